/* GradStreamer kernels: optimizers, cuda
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Plain float tensors of any shape. value, m, v, average are updated; deterministic.
 * Memory bound, each in one pass over all tensors with the least there is to move. Bytes per element: Adam 28, SGD 20,
 * without momentum 12, an average 8 more, a value that is kept in bfloat16, too, 2 more; measure 4. 11.2 million parameters are
 * 335 MB with Adam in bf16, 78 µs at 4.3 TB/s. */
#define GRAD_REAL float
#include "kernels/cuda.h"
#include "kernels/conv/conv-weights.h"
#include "kernels/kept.h"
#include "optim-body.h"

#define THREADS 256
#define CHUNK 4096              /* elements per block: small, for the last blocks to end together */
#define MAX_TENSORS 64          /* in one launch: ResNet-18 has 62 */
#define MAX_ROUNDED 31          /* of them: ResNet-18 has 22 */

/* Which of them there are is up to the kernel. */
struct Tensor
{
  float *value, *m, *v, *average;
  const float *grad;
  unsigned n, first_block;
  float rate_scale;
  unsigned rounded;             /* which one it has; 0 is none */
};

struct Batch
{
  Tensor tensors[MAX_TENSORS];
  unsigned n_tensors;
  float decay;
  const gdouble *measured;
  __nv_bfloat16 *rounded[1 + MAX_ROUNDED];
};

/* The rules: what is kept of an element, and how it is updated */
struct Adam
{
  GradAdamStep step;

  __device__ __forceinline__ void rescale (gdouble scale, gdouble rate_scale)
  {
    grad_adam_rescale (&step, scale, rate_scale);
  }
  __device__ __forceinline__ void apply (float *value, float *m, float *v, float grad) const
  {
    grad_adam_element (value, m, v, grad, &step);
  }
};

struct Sgd
{
  GradSgdStep step;

  __device__ __forceinline__ void rescale (gdouble scale, gdouble rate_scale)
  {
    grad_sgd_rescale (&step, scale, rate_scale);
  }
  __device__ __forceinline__ void apply (float *value, float *m, float *, float grad) const
  {
    grad_sgd_element (value, m, grad, &step);
  }
};

static_assert (sizeof (Batch) + sizeof (Adam) <= 4096, "older drivers pass no more to a kernel");

/* V elements; p may be NULL: zeros, and nothing is stored */
template < int V > static __device__ __forceinline__ void
load (const float *p, gsize i, float *values)
{
  if (p != NULL)
    grad_load_vector < V > (p + i, values);
  else
    for (int k = 0; k < V; k++)
      values[k] = 0;
}

template < int V > static __device__ __forceinline__ void
store (float *p, gsize i, const float *values)
{
  if (p != NULL)
    grad_store_vector < V > (p + i, values);
}

template < int V, class Rule > static __device__ __forceinline__ void
update_span (const Tensor & t, __nv_bfloat16 * rounded, gsize i, const Rule & rule, float decay)
{
  float value[V], m[V], v[V], average[V], grad[V];

  load < V > (t.value, i, value);
  load < V > (t.m, i, m);
  load < V > (t.v, i, v);
  load < V > (t.average, i, average);
  load < V > (t.grad, i, grad);
#pragma unroll
  for (int k = 0; k < V; k++) {
    rule.apply (&value[k], &m[k], &v[k], grad[k]);
    grad_average_element (&average[k], value[k], decay);
  }
  store < V > (t.value, i, value);
  store < V > (t.m, i, m);
  store < V > (t.v, i, v);
  store < V > (t.average, i, average);
  if (rounded != NULL)
    grad_store_vector < V > (rounded + i, value);
}

/* The last tensor that begins with this block or before, and which of its elements are the block's */
static __device__ __forceinline__ const Tensor &
find_chunk (const Batch & batch, unsigned *from, unsigned *to)
{
  unsigned low = 0, high = batch.n_tensors;

  while (high - low > 1) {
    unsigned middle = (low + high) / 2;

    if (batch.tensors[middle].first_block <= blockIdx.x)
      low = middle;
    else
      high = middle;
  }

  const Tensor & t = batch.tensors[low];
  *from = (blockIdx.x - t.first_block) * CHUNK;
  *to = t.n - *from < CHUNK ? t.n : *from + CHUNK;
  return t;
}

/* Storage is aligned, and so is every chunk: 16 bytes at a time but for a tensor's last elements. */
template < class Rule > __global__ void
__launch_bounds__ (THREADS)
update_kernel (const Batch batch, const Rule given)
{
  unsigned from, to;
  const Tensor t = find_chunk (batch, &from, &to);
  __nv_bfloat16 *rounded = batch.rounded[t.rounded];
  gdouble scale = batch.measured ? batch.measured[1] : 1;
  Rule rule = given;

  if (!grad_is_finite (scale))
    return;
  rule.rescale (scale, t.rate_scale);

  unsigned i = from + threadIdx.x * 4;
  for (; i + 4 <= to; i += THREADS * 4)
    update_span < 4 > (t, rounded, i, rule, batch.decay);
  for (; i < to; i++)           /* of one thread alone */
    update_span < 1 > (t, rounded, i, rule, batch.decay);
}

/* partial: sum of the squares of the block's elements */
__global__ void
__launch_bounds__ (THREADS)
squares_kernel (const Batch batch, gdouble * partial)
{
  __shared__ gdouble sums[THREADS];
  unsigned from, to;
  const Tensor & t = find_chunk (batch, &from, &to);
  gdouble sum = 0;

  unsigned i = from + threadIdx.x * 4;
  for (; i + 4 <= to; i += THREADS * 4) {
    float grad[4];

    grad_load_vector < 4 > (t.grad + i, grad);
#pragma unroll
    for (int k = 0; k < 4; k++)
      sum += (gdouble) grad[k] * grad[k];
  }
  for (; i < to; i++)
    sum += (gdouble) t.grad[i] * t.grad[i];
  sums[threadIdx.x] = sum;
  for (unsigned half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads ();
    if (threadIdx.x < half)
      sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0)
    partial[blockIdx.x] = sums[0];
}

/* One warp per tensor: the sum of its blocks' */
__global__ void
__launch_bounds__ (32)
tensors_kernel (const Batch batch, const gdouble * partial, gdouble * sums)
{
  const Tensor & t = batch.tensors[blockIdx.x];
  gdouble sum = 0;

  for (unsigned i = threadIdx.x; i < (t.n + CHUNK - 1) / CHUNK; i += 32)
    sum += partial[t.first_block + i];
#pragma unroll
  for (int flip = 16; flip > 0; flip /= 2)
    sum += __shfl_xor_sync (~0u, sum, flip);
  if (threadIdx.x == 0)
    sums[blockIdx.x] = sum;
}

/* One warp: the sum of all tensors' */
__global__ void
__launch_bounds__ (32)
result_kernel (const gdouble * sums, unsigned n, gdouble mean, gdouble max_norm,
    const gdouble * before, gdouble * result)
{
  gdouble sum = 0;
  int bad = 0;

  for (unsigned i = threadIdx.x; i < n; i += 32) {
    sum += sums[i];
    bad = grad_is_finite (sums[i]) ? bad : (int) i + 1;
  }
#pragma unroll
  for (int flip = 16; flip > 0; flip /= 2) {
    sum += __shfl_xor_sync (~0u, sum, flip);
    bad = max (bad, __shfl_xor_sync (~0u, bad, flip));
  }
  if (threadIdx.x == 0)
    grad_measure_result (sum, bad, mean, max_norm, before, result);
}

/* As many tensors as one launch takes, of which it is the same update; returns how many blocks these are. */
static unsigned
fill (Batch * batch, const GradOptimTensor * tensors, guint n_tensors)
{
  unsigned n_blocks = 0, n_rounded = 0;

  batch->n_tensors = 0;
  batch->rounded[0] = NULL;
  for (guint i = 0; i < MIN (n_tensors, MAX_TENSORS) && tensors[i].number == tensors[0].number; i++) {
    const GradOptimTensor *t = &tensors[i];
    unsigned n = grad_shape_n_elements (&t->grad->shape), rounded = 0;
    gpointer data = t->kept ? grad_kept_find (t->value, t->kept) : NULL;

    if (data != NULL) {
      if (n_rounded == MAX_ROUNDED)
        break;
      batch->rounded[rounded = ++n_rounded] = (__nv_bfloat16 *) data;
    }
    batch->tensors[i] = {
      grad_cuda_data < float >(t->value), grad_cuda_data < float >(t->m),
      grad_cuda_data < float >(t->v), grad_cuda_data < float >(t->average),
      grad_cuda_data < const float >(t->grad), n, n_blocks, (float) t->rate_scale, rounded
    };
    n_blocks += grad_cuda_blocks (n, CHUNK);
    batch->n_tensors++;
  }
  return n_blocks;
}

/* rule_of (number): the rule of that update */
template < class Rule, class RuleOf > static gboolean
update (GradDevice * device, GradOptimTensor * tensors, guint n_tensors, RuleOf rule_of,
    const GradOptimStep * step, GError ** error)
{
  GQuark form = g_quark_from_static_string (GRAD_CONV_ROUNDED);
  Batch batch;

  for (guint i = 0; i < n_tensors; i++)
    tensors[i].kept = grad_kept_find (tensors[i].value, form) ? form : 0;
  batch.decay = step->decay;
  batch.measured = grad_cuda_data < const gdouble > (step->measured);
  for (guint first = 0; first < n_tensors; first += batch.n_tensors) {
    unsigned n_blocks = fill (&batch, tensors + first, n_tensors - first);

    GRAD_CUDA_LAUNCH (device, "update", error, n_blocks, THREADS, (update_kernel < Rule >), batch,
        rule_of (tensors[first].number));
  }
  return TRUE;
}

static gboolean
adam (GradDevice * device, GradOptimTensor * tensors, guint n_tensors,
    const GradAdamArgs * args, const GradOptimStep * step, GError ** error)
{
  return update < Adam > (device, tensors, n_tensors,
      [=] (guint64 number) { return Adam { grad_adam_step (args, step, number) }; }, step, error);
}

static gboolean
sgd (GradDevice * device, GradOptimTensor * tensors, guint n_tensors,
    const GradSgdArgs * args, const GradOptimStep * step, GError ** error)
{
  return update < Sgd > (device, tensors, n_tensors,
      [=] (guint64) { return Sgd { grad_sgd_step (args, step) }; }, step, error);
}

/* sums: n_tensors, then one for each block of the largest launch */
static gboolean
run_measure (GradDevice * device, const GradOptimTensor * tensors, guint n_tensors,
    const GradMeasureArgs * args, gdouble * sums, gdouble * result, GError ** error)
{
  gdouble *partial = sums + n_tensors;
  Batch batch;

  for (guint first = 0; first < n_tensors; first += batch.n_tensors) {
    unsigned n_blocks = fill (&batch, tensors + first, n_tensors - first);

    GRAD_CUDA_LAUNCH (device, "gradient norm", error, n_blocks, THREADS, squares_kernel, batch,
        partial);
    GRAD_CUDA_LAUNCH (device, "gradient norm", error, batch.n_tensors, 32, tensors_kernel, batch,
        partial, sums + first);
  }
  GRAD_CUDA_LAUNCH (device, "gradient norm", error, 1, 32, result_kernel, sums, n_tensors,
      args->mean, args->max_norm, grad_cuda_data < const gdouble > (args->before), result);
  return TRUE;
}

static gboolean
measure (GradDevice * device, const GradOptimTensor * tensors, guint n_tensors,
    const GradMeasureArgs * args, GradTensor * result, GError ** error)
{
  gsize n_sums = n_tensors + 1, capacity;
  gdouble *sums;
  gboolean ok;

  for (guint t = 0; t < n_tensors; t++)
    n_sums += grad_cuda_blocks (grad_shape_n_elements (&tensors[t].grad->shape), CHUNK);
  sums = (gdouble *) grad_device_pool_get (device, n_sums * sizeof *sums, &capacity, error);
  if (sums == NULL)
    return FALSE;
  ok = run_measure (device, tensors, n_tensors, args, sums, grad_cuda_data < gdouble > (result),
      error);
  grad_device_pool_put (device, sums, capacity);
  return ok;
}

extern "C" const GradOptimOps grad_optim_cuda_ops = {
  .adam = adam,
  .sgd = sgd,
  .measure = measure,
};
