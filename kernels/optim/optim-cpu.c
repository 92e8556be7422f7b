/* GradStreamer kernels: optimizers, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors of any shape and layout, float. value, m, v, average are updated; deterministic.
 * Memory bound, each in one pass over all tensors. Bytes per element: Adam 28, SGD 20, without momentum 12, an
 * average 8 more; measure 4. */
#define GRAD_REAL gfloat
#include "optim-body.h"
#include "kernels/cpu.h"

#define CHUNK 16384             /* elements that one thread works on at a time */
#define LANES 16                /* sums at a time */

typedef struct _Job Job;
typedef void (*SpanFunc) (const Job * job, const GradOptimTensor * tensor, gsize from, gsize n);

/* The same for each chunk of each tensor */
struct _Job
{
  const GradOptimTensor *tensors;
  SpanFunc span;
  gdouble scale;
  gfloat decay;
  const GradAdamArgs *adam;
  const GradOptimStep *step;
  GradSgdStep sgd;
  gdouble *sums;                /* of each chunk, for measure */
};

static gsize
n_chunks (const GradOptimTensor * tensor)
{
  return (grad_shape_n_elements (&tensor->grad->shape) + CHUNK - 1) / CHUNK;
}

static gsize
count_chunks (const GradOptimTensor * tensors, guint n_tensors)
{
  gsize n = 0;

  for (guint t = 0; t < n_tensors; t++)
    n += n_chunks (&tensors[t]);
  return n;
}

static gfloat *
data_from (const GradTensor * tensor, gsize from)
{
  return tensor ? (gfloat *) grad_tensor_data (tensor) + from : NULL;
}

/* Which tensor chunk i is in, and where in it */
static const GradOptimTensor *
find_chunk (const GradOptimTensor * t, gsize i, gsize * from, gsize * n)
{
  for (; i >= n_chunks (t); t++)
    i -= n_chunks (t);
  *from = i * CHUNK;
  *n = MIN (CHUNK, grad_shape_n_elements (&t->grad->shape) - *from);
  return t;
}

GRAD_CLONES static void
adam_loop (gfloat * restrict value, gfloat * restrict m, gfloat * restrict v,
    const gfloat * restrict grad, gsize n, const GradAdamStep * step)
{
  GradAdamStep s = *step;

  for (gsize i = 0; i < n; i++)
    grad_adam_element (&value[i], &m[i], &v[i], grad[i], &s);
}

GRAD_CLONES static void
momentum_loop (gfloat * restrict value, gfloat * restrict m, const gfloat * restrict grad, gsize n,
    const GradSgdStep * step)
{
  GradSgdStep s = *step;

  for (gsize i = 0; i < n; i++)
    grad_sgd_element (&value[i], &m[i], grad[i], &s);
}

GRAD_CLONES static void
sgd_loop (gfloat * restrict value, const gfloat * restrict grad, gsize n, const GradSgdStep * step)
{
  GradSgdStep s = *step;

  for (gsize i = 0; i < n; i++) {
    gfloat none = 0;

    grad_sgd_element (&value[i], &none, grad[i], &s);
  }
}

GRAD_CLONES static void
average_loop (gfloat * restrict average, const gfloat * restrict value, gsize n, gfloat decay)
{
  for (gsize i = 0; i < n; i++)
    grad_average_element (&average[i], value[i], decay);
}

/* Each lane's sum is that of every LANESth element: the same order whatever the processor has. */
GRAD_CLONES static gdouble
squares_loop (const gfloat * restrict grad, gsize n)
{
  gdouble sums[LANES] = { 0 }, sum = 0;
  gsize i = 0;

  for (; i + LANES <= n; i += LANES)
    for (gsize l = 0; l < LANES; l++)
      sums[l] += (gdouble) grad[i + l] * grad[i + l];
  for (; i < n; i++)
    sum += (gdouble) grad[i] * grad[i];
  for (gsize l = 0; l < LANES; l++)
    sum += sums[l];
  return sum;
}

static void
adam_span (const Job * job, const GradOptimTensor * t, gsize from, gsize n)
{
  GradAdamStep step = grad_adam_step (job->adam, job->step, t->number);

  grad_adam_rescale (&step, job->scale, t->rate_scale);
  adam_loop (data_from (t->value, from), data_from (t->m, from), data_from (t->v, from),
      data_from (t->grad, from), n, &step);
}

static void
sgd_span (const Job * job, const GradOptimTensor * t, gsize from, gsize n)
{
  GradSgdStep step = job->sgd;

  grad_sgd_rescale (&step, job->scale, t->rate_scale);
  if (t->m != NULL)
    momentum_loop (data_from (t->value, from), data_from (t->m, from), data_from (t->grad, from),
        n, &step);
  else
    sgd_loop (data_from (t->value, from), data_from (t->grad, from), n, &step);
}

/* The average's turn comes while the values are still in the cache. */
static void
update_chunk (gsize i, gpointer data)
{
  const Job *job = data;
  gsize from, n;
  const GradOptimTensor *t = find_chunk (job->tensors, i, &from, &n);

  job->span (job, t, from, n);
  if (t->average != NULL)
    average_loop (data_from (t->average, from), data_from (t->value, from), n, job->decay);
}

static gboolean
update (Job * job, const GradOptimTensor * tensors, guint n_tensors, const GradOptimStep * step)
{
  job->tensors = tensors;
  job->decay = step->decay;
  job->scale = step->measured ? ((gdouble *) grad_tensor_data (step->measured))[1] : 1;
  if (grad_is_finite (job->scale))
    grad_parallel_for (count_chunks (tensors, n_tensors), update_chunk, job);
  return TRUE;
}

static gboolean
adam (GradDevice * device, GradOptimTensor * tensors, guint n_tensors,
    const GradAdamArgs * args, const GradOptimStep * step, GError ** error)
{
  Job job = {.span = adam_span,.adam = args,.step = step };

  return update (&job, tensors, n_tensors, step);
}

static gboolean
sgd (GradDevice * device, GradOptimTensor * tensors, guint n_tensors,
    const GradSgdArgs * args, const GradOptimStep * step, GError ** error)
{
  Job job = {.span = sgd_span,.sgd = grad_sgd_step (args, step) };

  return update (&job, tensors, n_tensors, step);
}

static void
measure_chunk (gsize i, gpointer data)
{
  const Job *job = data;
  gsize from, n;
  const GradOptimTensor *t = find_chunk (job->tensors, i, &from, &n);

  job->sums[i] = squares_loop (data_from (t->grad, from), n);
}

static gboolean
measure (GradDevice * device, const GradOptimTensor * tensors, guint n_tensors,
    const GradMeasureArgs * args, GradTensor * result, GError ** error)
{
  gsize n = count_chunks (tensors, n_tensors);
  g_autofree gdouble *sums = g_new (gdouble, n);
  const gdouble *next = sums;
  Job job = {.tensors = tensors,.sums = sums };
  gdouble all = 0;
  guint bad = 0;

  grad_parallel_for (n, measure_chunk, &job);
  for (guint t = 0; t < n_tensors; t++) {
    gdouble sum = 0;

    for (gsize left = n_chunks (&tensors[t]); left > 0; left--)
      sum += *next++;
    all += sum;
    bad = grad_is_finite (sum) ? bad : t + 1;
  }
  grad_measure_result (all, bad, args->mean, args->max_norm,
      args->before ? grad_tensor_data (args->before) : NULL, grad_tensor_data (result));
  return TRUE;
}

const GradOptimOps grad_optim_cpu_ops = {
  .adam = adam,
  .sgd = sgd,
  .measure = measure,
};
