/* GradStreamer kernels: optimizers, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors of any shape and layout, float. value, m, v are updated; deterministic.
 * Memory bound: 28 bytes per element, in one pass over all tensors. */
#define GRAD_REAL gfloat
#include "optim-body.h"
#include "kernels/cpu.h"

#define CHUNK 16384             /* elements that one thread works on at a time */

typedef struct
{
  const GradAdamTensor *tensors;
  GradAdamStep step;
} Job;

static gsize
n_chunks (const GradAdamTensor * tensor)
{
  return (grad_shape_n_elements (&tensor->value->shape) + CHUNK - 1) / CHUNK;
}

GRAD_CLONES static void
adam_span (gfloat * restrict value, gfloat * restrict m, gfloat * restrict v,
    const gfloat * restrict grad, gsize n, const GradAdamStep * step)
{
  GradAdamStep s = *step;

  for (gsize i = 0; i < n; i++)
    grad_adam_element (&value[i], &m[i], &v[i], grad[i], &s);
}

static gfloat *
data_from (const GradTensor * tensor, gsize from)
{
  return (gfloat *) grad_tensor_data (tensor) + from;
}

static void
adam_chunk (gsize i, gpointer data)
{
  const Job *job = data;
  const GradAdamTensor *t = job->tensors;
  gsize from, n;

  for (; i >= n_chunks (t); t++)        /* which tensor chunk i is in */
    i -= n_chunks (t);
  from = i * CHUNK;
  n = MIN (CHUNK, grad_shape_n_elements (&t->value->shape) - from);
  adam_span (data_from (t->value, from), data_from (t->m, from), data_from (t->v, from),
      data_from (t->grad, from), n, &job->step);
}

static gboolean
adam (GradDevice * device, const GradAdamTensor * tensors, guint n_tensors,
    const GradAdamArgs * args, GError ** error)
{
  Job job = {.tensors = tensors,.step = grad_adam_step (args) };
  gsize n = 0;

  for (guint t = 0; t < n_tensors; t++)
    n += n_chunks (&tensors[t]);
  grad_parallel_for (n, adam_chunk, &job);
  return TRUE;
}

const GradOptimOps grad_optim_cpu_ops = {
  .adam = adam,
};
