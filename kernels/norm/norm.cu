/* GradStreamer kernels: batch normalisation (+ add) (+ ReLU), cuda: forward, and the table
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x, residual, y: (N, H, W, C), the rest (C), floats. All outputs =; deterministic for a number of multiprocessors.
 *
 * Memory bound. Bytes per element, bf16 (twice that in f32), without what the second pass finds in the L2 cache, for which it
 * walks backwards:
 *   forward_train  x twice, y: 6, with residual 8. The floor is 4 and 6, of tensors that stay in the cache between the passes.
 *   forward_infer  x, y: 4, with residual 6: the floor.
 *
 * Variance: each thread sums x - s and (x - s)², s being the first value that it sees of the channel. As s is one of its n
 * values, the sum of squares is at most n times what is left when the mean is taken out, whatever the mean is: float loses at
 * most log2 n bits, mostly none. Threads' sums are moved to a common s, the channel's first value, and added in double. Three
 * operations per element, where Welford's updates take five and a division per row. */
#include "norm-cuda.h"

#include <float.h>

#define MOMENTS_UNROLL 4
#define FORWARD_UNROLL(add) ((add) ? 2 : 4)

template < class T, int V > static __global__ void GRAD_ROWS_BOUNDS
moments_kernel (GradRows m, const T * x, double *partials)
{
  const int U = MOMENTS_UNROLL;
  int channel = grad_rows_channel < V > (m), n = 0;
  gsize tiles = grad_rows_tiles (m, U), parts = gridDim.x / m.chunks;
  float shift[V] = { }, sums[V] = { }, squares[V] = { };
  double totals[2 * V];

  if (channel >= m.channels)
    return;
  for (gsize i = blockIdx.x / m.chunks; i < tiles; i += parts) {
    GradRowsTile tile = grad_rows_tile < U > (m, i, channel);
    GradPack < V, T > xs[U];

#pragma unroll
    for (int u = 0; u < U; u++)
      xs[u] = grad_rows_load < V > (tile, x, u);
    if (n == 0)
#pragma unroll
      for (int v = 0; v < V; v++)
        shift[v] = xs[0][v];
#pragma unroll
    for (int u = 0; u < U; u++)
      if (u < tile.n)
#pragma unroll
        for (int v = 0; v < V; v++) {
          float d = xs[u][v] - shift[v];

          sums[v] += d;
          squares[v] += d * d;
        }
    n += tile.n;
  }
#pragma unroll
  for (int v = 0; v < V; v++) {
    double d = n > 0 ? (double) shift[v] - grad_load (x + channel + v) : 0;

    totals[v] = sums[v] + n * d;
    totals[V + v] = squares[v] + d * (2. * sums[v] + n * d);
  }
  write_partials < V > (partials, m, channel, totals);
}

template < class T > static __global__ void
finish_forward_kernel (const double *partials, int parts, int channels, double count, double eps, const T * x,
    const float *gamma, const float *beta, float *mean, float *var, float *affine)
{
  int c = blockIdx.x * FINISH_CHANNELS + threadIdx.x;
  double totals[2], v;

  if (c >= channels)
    return;
  add_partials (partials, parts, channels, c, totals);
  if (threadIdx.y > 0)
    return;
  v = (totals[1] - totals[0] * totals[0] / count) / count;
  v = v < 0 ? 0 : v > FLT_MAX ? NAN : v;        /* as the cpu says */
  var[c] = v;
  grad_norm_affine (grad_load (x + c) + totals[0] / count, v, eps, gamma[c], beta[c], mean + c, affine + c,
      affine + channels + c);
}

/* What forward_kernel takes per channel: from affine when that is there, else from running statistics */
struct Coefficients
{
  const float *mean, *affine, *var, *gamma, *beta, *offset;
  float eps;
};

template < int V > static __device__ __forceinline__ void
load_coefficients (const Coefficients & from, int channels, int channel, float *mean, float *scale,
    float *shift)
{
  grad_rows_parameters < V > (from.mean + channel, mean);
  if (from.affine != NULL) {
    grad_rows_parameters < V > (from.affine + channel, scale);
    grad_rows_parameters < V > (from.affine + channels + channel, shift);
  } else {
    float var[V], offset[V] = { };

    grad_rows_parameters < V > (from.var + channel, var);
    grad_rows_parameters < V > (from.gamma + channel, scale);
    grad_rows_parameters < V > (from.beta + channel, shift);
    if (from.offset != NULL)
      grad_rows_parameters < V > (from.offset + channel, offset);
#pragma unroll
    for (int v = 0; v < V; v++) {
      scale[v] = grad_norm_scale (scale[v], var[v], from.eps);
      shift[v] += scale[v] * offset[v];
    }
  }
}

template < class T, int V, bool ADD > static __global__ void GRAD_ROWS_BOUNDS
forward_kernel (GradRows m, const T * x, const T * residual, Coefficients coefficients, bool relu, T * y)
{
  const int U = FORWARD_UNROLL (ADD);
  int channel = grad_rows_channel < V > (m);
  gsize tiles = grad_rows_tiles (m, U), parts = gridDim.x / m.chunks;
  float mean[V], scale[V], shift[V];

  if (channel >= m.channels)
    return;
  load_coefficients < V > (coefficients, m.channels, channel, mean, scale, shift);
  for (gsize i = blockIdx.x / m.chunks; i < tiles; i += parts) {
    GradRowsTile tile = grad_rows_tile < U > (m, tiles - 1 - i, channel);
    GradPack < V, T > xs[U], rs[U];

#pragma unroll
    for (int u = 0; u < U; u++) {
      xs[u] = grad_rows_load < V > (tile, x, u);
      if (ADD)
        rs[u] = grad_rows_load < V > (tile, residual, u);
    }
#pragma unroll
    for (int u = 0; u < U; u++)
      if (u < tile.n) {
        float z[V];

#pragma unroll
        for (int v = 0; v < V; v++) {
          z[v] = grad_norm_forward (xs[u][v], mean[v], scale[v], shift[v]);
          if (ADD)
            z[v] += rs[u][v];
          z[v] = relu ? grad_relu (z[v]) : z[v];
        }
        grad_store_vector < V > (y + tile.at + u * tile.step, z);
      }
  }
}

template < class T, int V, bool ADD > static gboolean
run_forward (GradDevice * device, const GradNormDesc * d, const GradTensor * x, const GradTensor * residual,
    const Coefficients & coefficients, GradTensor * y, GError ** error)
{
  GradRows m = grad_rows < V > (rows_of (d), d->c);

  GRAD_CUDA_LAUNCH (device, "batch norm", error,
      m.chunks * grad_rows_parts (device, m, FORWARD_UNROLL (ADD)), dim3 (m.width, m.height),
      (forward_kernel < T, V, ADD >), m, grad_cuda_data < const T > (x), grad_cuda_data < const T > (residual),
      coefficients, d->relu, grad_cuda_data < T > (y));
  return TRUE;
}

template < class T, int V > static gboolean
forward (GradDevice * device, const GradNormDesc * d, const GradTensor * x, const GradTensor * residual,
    const Coefficients & coefficients, GradTensor * y, GError ** error)
{
  return residual ? run_forward < T, V, true > (device, d, x, residual, coefficients, y, error)
      : run_forward < T, V, false > (device, d, x, NULL, coefficients, y, error);
}

template < class T, int V > static gboolean
run_statistics (GradDevice * device, const GradNormDesc * d, const GradRows & m, unsigned parts, const T * x,
    const float *gamma, const float *beta, double *partials, float *mean, float *var, float *affine,
    GError ** error)
{
  GRAD_CUDA_LAUNCH (device, "moments of a batch norm", error, m.chunks * parts, dim3 (m.width, m.height),
      (moments_kernel < T, V >), m, x, partials);
  GRAD_CUDA_LAUNCH (device, "statistics of a batch norm", error, grad_cuda_blocks (d->c, FINISH_CHANNELS),
      finish_block (parts), (finish_forward_kernel < T >), partials, parts, d->c, m.rows, d->eps, x, gamma,
      beta, mean, var, affine);
  return TRUE;
}

template < class T, int V > static gboolean
statistics (GradDevice * device, const GradNormDesc * d, const GradTensor * x, const GradTensor * gamma,
    const GradTensor * beta, GradTensor * mean, GradTensor * var, float *affine, GError ** error)
{
  GradRows m = grad_rows < V > (rows_of (d), d->c);
  unsigned parts = grad_rows_parts (device, m, MOMENTS_UNROLL);
  gsize capacity;
  double *partials = (double *) grad_device_pool_get (device, (gsize) parts * 2 * d->c * sizeof (double),
      &capacity, error);
  gboolean ok;

  if (partials == NULL)
    return FALSE;
  ok = run_statistics < T, V > (device, d, m, parts, grad_cuda_data < const T > (x),
      grad_cuda_data < const float >(gamma), grad_cuda_data < const float >(beta), partials,
      grad_cuda_data < float >(mean), grad_cuda_data < float >(var), affine, error);
  grad_device_pool_put (device, partials, capacity);
  return ok;
}

gboolean
grad_norm_cuda_statistics (GradDevice * device, const GradNormDesc * d, const GradTensor * x,
    const GradTensor * gamma, const GradTensor * beta, GradTensor * mean, GradTensor * var, float *affine,
    GError ** error)
{
  return GRAD_ROWS_DISPATCH (x, statistics, device, d, x, gamma, beta, mean, var, affine, error);
}

static gboolean
forward_train (GradPlan * plan, const GradTensor * x, const GradTensor * residual,
    const GradTensor * gamma, const GradTensor * beta, GradTensor * mean, GradTensor * var,
    GradTensor * y, GError ** error)
{
  const GradNormDesc *d = &((CudaPlan *) plan)->desc;
  gsize capacity;
  float *affine = (float *) grad_device_pool_get (plan->device, (gsize) 2 * d->c * sizeof (float), &capacity,
      error);
  Coefficients coefficients = {.mean = grad_cuda_data < const float >(mean),.affine = affine };
  gboolean ok;

  if (affine == NULL)
    return FALSE;
  ok = grad_norm_cuda_statistics (plan->device, d, x, gamma, beta, mean, var, affine, error)
      && GRAD_ROWS_DISPATCH (x, forward, plan->device, d, x, residual, coefficients, y, error);
  grad_device_pool_put (plan->device, affine, capacity);
  return ok;
}

static gboolean
forward_infer (GradPlan * plan, const GradTensor * x, const GradTensor * residual,
    const GradTensor * gamma, const GradTensor * beta, const GradTensor * running_mean,
    const GradTensor * running_var, const GradTensor * offset, GradTensor * y, GError ** error)
{
  const GradNormDesc *d = &((CudaPlan *) plan)->desc;
  Coefficients coefficients = {
    .mean = grad_cuda_data < const float >(running_mean),
    .var = grad_cuda_data < const float >(running_var),
    .gamma = grad_cuda_data < const float >(gamma),
    .beta = grad_cuda_data < const float >(beta),
    .offset = grad_cuda_data < const float >(offset),
    .eps = d->eps,
  };

  return GRAD_ROWS_DISPATCH (x, forward, plan->device, d, x, residual, coefficients, y, error);
}

#define MAX_RUNNING 32          /* in one launch: ResNet-18 has 17 */

struct Running
{
  const float *mean, *var, *offset;
  float *running_mean, *running_var;
  double count;
  float momentum;
  int channels;
};

struct RunningBatch
{
  Running list[MAX_RUNNING];
};

/* blockIdx.y: which of them */
static __global__ void
running_kernel (const RunningBatch batch, const double *measured)
{
  const Running & r = batch.list[blockIdx.y];
  int c = blockIdx.x * GRAD_ROWS_THREADS + threadIdx.x;

  if (c < r.channels && !(measured && isnan (measured[1])))
    grad_norm_running (r.mean[c], r.var[c], r.offset ? r.offset[c] : 0, r.count, r.momentum, r.running_mean + c,
        r.running_var + c);
}

/* As many as one launch takes, none of them twice; returns how many channels the widest has. */
static int
fill (RunningBatch * batch, const GradNormRunning * list, guint n, guint * taken)
{
  int widest = 0;
  guint i = 0;

  for (; i < MIN (n, MAX_RUNNING); i++) {
    const GradNormRunning *r = &list[i];

    for (guint k = 0; k < i; k++)
      if (list[k].running_mean == r->running_mean)
        n = i;
    if (i == n)
      break;
    batch->list[i] = {
      grad_cuda_data < const float >(r->mean), grad_cuda_data < const float >(r->var),
      grad_cuda_data < const float >(r->offset), grad_cuda_data < float >(r->running_mean),
      grad_cuda_data < float >(r->running_var), r->count, r->momentum, r->mean->shape.dims[0]
    };
    widest = MAX (widest, batch->list[i].channels);
  }
  *taken = i;
  return widest;
}

static gboolean
update_running (GradDevice * device, const GradNormRunning * list, guint n, const GradTensor * measured,
    GError ** error)
{
  guint taken;

  for (guint first = 0; first < n; first += taken) {
    RunningBatch batch;
    int widest = fill (&batch, list + first, n - first, &taken);

    GRAD_CUDA_LAUNCH (device, "running statistics", error, dim3 (grad_cuda_blocks (widest, GRAD_ROWS_THREADS), taken),
        GRAD_ROWS_THREADS, running_kernel, batch, grad_cuda_data < const double >(measured));
  }
  return TRUE;
}

/* A block per channel, of `size` weights */
static __global__ void
fold_kernel (gsize size, float eps, const float *weight, const float *bias, const float *gamma,
    const float *beta, const float *mean, const float *var, float *folded_weight, float *folded_bias)
{
  int c = blockIdx.x;
  float scale = grad_norm_scale (gamma[c], var[c], eps);

  for (gsize i = threadIdx.x; i < size; i += GRAD_ROWS_THREADS)
    folded_weight[c * size + i] = scale * weight[c * size + i];
  if (threadIdx.x == 0)
    folded_bias[c] = grad_norm_folded_bias (scale, bias ? bias[c] : 0, beta[c], mean[c]);
}

static gboolean
fold (GradDevice * device, const GradNormFold * f, GError ** error)
{
  int channels = f->gamma->shape.dims[0];

  GRAD_CUDA_LAUNCH (device, "folding a batch norm", error, channels, GRAD_ROWS_THREADS, fold_kernel,
      grad_shape_n_elements (&f->weight->shape) / channels, f->eps,
      grad_cuda_data < const float >(f->weight), grad_cuda_data < const float >(f->bias),
      grad_cuda_data < const float >(f->gamma), grad_cuda_data < const float >(f->beta),
      grad_cuda_data < const float >(f->mean), grad_cuda_data < const float >(f->var),
      grad_cuda_data < float >(f->folded_weight), grad_cuda_data < float >(f->folded_bias));
  return TRUE;
}

static gboolean
supports (GradDevice * device, const GradNormDesc * desc)
{
  GradPoolDesc pool;

  /* which counts pixels in 32 bits */
  return grad_norm_desc_pool (desc, &pool, NULL) && (desc->pool.kernel == 0 || rows_of (desc) <= G_MAXINT32);
}

static GradPlan *
plan_new (GradDevice * device, const GradNormDesc * desc, GError ** error)
{
  CudaPlan *self;
  GradPoolDesc pool;

  if (!grad_norm_desc_pool (desc, &pool, error))
    return NULL;
  self = g_new (CudaPlan, 1);
  self->plan = (GradPlan) {.device = device };
  self->desc = *desc;
  self->pool = pool;
  return &self->plan;
}

extern "C" const GradNormOps grad_norm_cuda_ops = {
  .supports = supports,
  .plan = plan_new,
  .forward_train = forward_train,
  .forward_infer = forward_infer,
  .backward = grad_norm_cuda_backward,
  .forward_pool = grad_norm_cuda_forward_pool,
  .backward_pool = grad_norm_cuda_backward_pool,
  .update_running = update_running,
  .fold = fold,
};
