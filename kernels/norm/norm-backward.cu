/* GradStreamer kernels: batch normalisation (+ add) (+ ReLU), cuda: backward
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x, y and gradients of them: (N, H, W, C), the rest (C), floats.
 * dgamma and dbeta = or +=, dx and dresidual =; deterministic for a number of multiprocessors.
 *
 * Memory bound, in two passes, the second one backwards. Bytes per element, bf16 (twice that in f32), without what the second
 * finds in the L2 cache; in brackets the floor, of tensors that stay there:
 *   no ReLU              x, dy twice, dx: 10 (6)
 *   ReLU, no dresidual   x, dy twice, y once, dx, a bit of mask, twice: 12.25 (8)
 *   ReLU and dresidual   x, dz twice, y, dy once, dx: 14 (10)
 */
#include "norm-cuda.h"

#define SUMS_UNROLL 2
#define BACKWARD_UNROLL 2

/* With WRITE dz goes to dresidual; with RELU alone a bit per channel, whether it is dy or 0, to mask: (N, H, W, C/V) bytes */
template < class T, int V, bool RELU, bool WRITE > static __global__ void GRAD_ROWS_BOUNDS
sums_kernel (GradRows m, const T * x, const T * y, const T * dy, const float *mean, T * dresidual,
    guint8 * mask, float *partials)
{
  const int U = SUMS_UNROLL;
  int channel = grad_rows_channel < V > (m);
  gsize tiles = grad_rows_tiles (m, U), parts = gridDim.x / m.chunks;
  float means[V], totals[2 * V] = { };

  if (channel >= m.channels)
    return;
  grad_rows_parameters < V > (mean + channel, means);
  for (gsize i = blockIdx.x / m.chunks; i < tiles; i += parts) {
    GradRowsTile tile = grad_rows_tile < U > (m, i, channel);
    GradPack < V, T > xs[U], ys[U], dys[U];

#pragma unroll
    for (int u = 0; u < U; u++) {
      xs[u] = grad_rows_load < V > (tile, x, u);
      if (RELU)
        ys[u] = grad_rows_load < V > (tile, y, u);
      dys[u] = grad_rows_load < V > (tile, dy, u);
    }
#pragma unroll
    for (int u = 0; u < U; u++)
      if (u < tile.n) {
        gsize at = tile.at + u * tile.step;
        float dz[V];
        unsigned bits = 0;

#pragma unroll
        for (int v = 0; v < V; v++) {
          dz[v] = dys[u][v];
          if (RELU) {
            float value = ys[u][v];

            dz[v] = grad_relu_backward (value, dz[v]);
            bits |= (value > 0) << v;
          }
          totals[v] += dz[v];
          totals[V + v] += dz[v] * (xs[u][v] - means[v]);
        }
        if (WRITE)
          grad_store_vector < V > (dresidual + at, dz);
        else if (RELU)
          mask[at / V] = bits;
      }
  }
  write_partials < V > (partials, m, channel, totals);
}

static __global__ void
finish_backward_kernel (const float *partials, int parts, int channels, double count, double eps,
    const float *gamma, const float *var, bool accumulate, float *dgamma, float *dbeta, float *gradient)
{
  int c = blockIdx.x * FINISH_CHANNELS + threadIdx.x;
  double totals[2];

  if (c >= channels)
    return;
  add_partials (partials, parts, channels, c, totals);
  if (threadIdx.y == 0)
    grad_norm_gradient (totals[0], totals[1], count, var[c], eps, gamma[c], accumulate, dgamma + c,
        dbeta + c, gradient + c, gradient + channels + c, gradient + 2 * channels + c);
}

gboolean
grad_norm_cuda_gradients (GradDevice * device, const GradNormDesc * d, const float *partials, unsigned parts,
    const GradTensor * gamma, const GradTensor * var, gboolean accumulate, GradTensor * dgamma,
    GradTensor * dbeta, float *gradient, GError ** error)
{
  GRAD_CUDA_LAUNCH (device, "gradients of a batch norm", error, grad_cuda_blocks (d->c, FINISH_CHANNELS),
      finish_block (parts), finish_backward_kernel, partials, parts, d->c, rows_of (d), d->eps,
      grad_cuda_data < const float >(gamma), grad_cuda_data < const float >(var), accumulate,
      grad_cuda_data < float >(dgamma), grad_cuda_data < float >(dbeta), gradient);
  return TRUE;
}

/* dz is masked already, or mask says where to */
template < class T, int V, bool MASK > static __global__ void GRAD_ROWS_BOUNDS
backward_kernel (GradRows m, const T * x, const T * dz, const guint8 * mask, const float *means,
    const float *gradient, T * dx)
{
  const int U = BACKWARD_UNROLL;
  int channel = grad_rows_channel < V > (m);
  gsize tiles = grad_rows_tiles (m, U), parts = gridDim.x / m.chunks;
  float mean[V], scale[V], slope[V], shift[V];

  if (channel >= m.channels)
    return;
  load_gradient < V > (means, gradient, m.channels, channel, mean, scale, slope, shift);
  for (gsize i = blockIdx.x / m.chunks; i < tiles; i += parts) {
    GradRowsTile tile = grad_rows_tile < U > (m, tiles - 1 - i, channel);
    GradPack < V, T > xs[U], dzs[U];
    unsigned bits[U];

#pragma unroll
    for (int u = 0; u < U; u++) {
      gsize at = tile.at + u * tile.step;

      xs[u] = grad_rows_load < V > (tile, x, u);
      dzs[u] = grad_rows_load < V > (tile, dz, u);
      bits[u] = MASK && u < tile.n ? mask[at / V] : ~0u;
    }
#pragma unroll
    for (int u = 0; u < U; u++)
      if (u < tile.n) {
        float d[V];

#pragma unroll
        for (int v = 0; v < V; v++) {
          d[v] = bits[u] >> v & 1 ? dzs[u][v] : 0;
          d[v] = grad_norm_backward (d[v], xs[u][v], mean[v], scale[v], slope[v], shift[v]);
        }
        grad_store_vector < V > (dx + tile.at + u * tile.step, d);
      }
  }
}

template < class T, int V, bool MASK > static gboolean
run_backward (GradDevice * device, const GradRows & m, const T * x, const T * dz, const guint8 * mask,
    const float *mean, const float *gradient, T * dx, GError ** error)
{
  GRAD_CUDA_LAUNCH (device, "backward of a batch norm", error,
      m.chunks * grad_rows_parts (device, m, BACKWARD_UNROLL, GRAD_ROWS_BLOCKS * GRAD_ROWS_WAVES), dim3 (m.width, m.height),
      (backward_kernel < T, V, MASK >), m, x, dz, mask, mean, gradient, dx);
  return TRUE;
}

/* All that one call works on */
template < class T > struct Call
{
  GradDevice *device;
  const GradNormDesc *desc;
  GradRows m;
  unsigned parts;
  const T *x, *y, *dy;
  const float *mean;
  T *dx, *dresidual;
  const GradTensor *gamma, *var;
  GradTensor *dgamma, *dbeta;
  gboolean accumulate;
  float *partials, *gradient;   /* scratch */
  guint8 *mask;
};

template < class T, int V, bool RELU, bool WRITE > static gboolean
run (const Call < T > &c, GError ** error)
{
  dim3 block (c.m.width, c.m.height);

  GRAD_CUDA_LAUNCH (c.device, "sums of a batch norm", error, c.m.chunks * c.parts, block,
      (sums_kernel < T, V, RELU, WRITE >), c.m, c.x, c.y, c.dy, c.mean, c.dresidual, c.mask, c.partials);
  if (!grad_norm_cuda_gradients (c.device, c.desc, c.partials, c.parts, c.gamma, c.var, c.accumulate, c.dgamma,
          c.dbeta, c.gradient, error))
    return FALSE;
  return RELU && !WRITE
      ? run_backward < T, V, true > (c.device, c.m, c.x, c.dy, c.mask, c.mean, c.gradient, c.dx, error)
      : run_backward < T, V, false > (c.device, c.m, c.x, WRITE ? c.dresidual : c.dy, NULL, c.mean,
      c.gradient, c.dx, error);
}

template < class T, int V > static gboolean
backward (GradDevice * device, const GradNormDesc * d, const GradTensor * x, const GradTensor * y,
    const GradTensor * dy, const GradTensor * gamma, const GradTensor * mean, const GradTensor * var,
    GradTensor * dx, GradTensor * dresidual, GradTensor * dgamma, GradTensor * dbeta,
    gboolean accumulate, GError ** error)
{
  Call < T > c = {
    .device = device,.desc = d,.m = grad_rows < V > (rows_of (d), d->c),
    .x = grad_cuda_data < const T > (x),.y = grad_cuda_data < const T > (y),
    .dy = grad_cuda_data < const T > (dy),.mean = grad_cuda_data < const float >(mean),
    .dx = grad_cuda_data < T > (dx),.dresidual = grad_cuda_data < T > (dresidual),
    .gamma = gamma,.var = var,.dgamma = dgamma,.dbeta = dbeta,.accumulate = accumulate,
  };
  gsize capacity, n_sums, n_mask = d->relu && !dresidual ? c.m.rows * (d->c / V) : 0;
  gboolean ok;

  if (!d->relu && dresidual == dy)      /* it is dz already */
    c.dresidual = NULL;
  c.parts = grad_rows_parts (device, c.m, SUMS_UNROLL);
  n_sums = (gsize) c.parts * 2 * d->c;
  c.partials = (float *) grad_device_pool_get (device, (n_sums + 3 * (gsize) d->c) * sizeof (float) + n_mask,
      &capacity, error);
  if (c.partials == NULL)
    return FALSE;
  c.gradient = c.partials + n_sums;
  c.mask = (guint8 *) (c.gradient + 3 * (gsize) d->c);
  ok = d->relu && c.dresidual ? run < T, V, true, true > (c, error)
      : d->relu ? run < T, V, true, false > (c, error)
      : c.dresidual ? run < T, V, false, true > (c, error) : run < T, V, false, false > (c, error);
  grad_device_pool_put (device, c.partials, capacity);
  return ok;
}

gboolean
grad_norm_cuda_backward (GradPlan * plan, const GradTensor * x, const GradTensor * y,
    const GradTensor * dy, const GradTensor * gamma, const GradTensor * mean, const GradTensor * var,
    GradTensor * dx, GradTensor * dresidual, GradTensor * dgamma, GradTensor * dbeta,
    gboolean accumulate, GError ** error)
{
  return GRAD_ROWS_DISPATCH (x, backward, plan->device, &((CudaPlan *) plan)->desc, x, y, dy, gamma, mean,
      var, dx, dresidual, dgamma, dbeta, accumulate, error);
}
