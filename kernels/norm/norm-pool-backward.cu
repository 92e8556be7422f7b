/* GradStreamer kernels: batch normalisation, ReLU and max pooling in one, cuda: backward
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x, dx: (N, IH, IW, C), dy, places: (N, OH, OW, C), the rest (C), floats.
 * dgamma and dbeta = or +=, dx =; deterministic for a number of multiprocessors.
 *
 * Memory bound. Bytes per element of x, 3x3/2 and bf16 (twice that in f32, but for places), without what the second pass finds in the
 * L2 cache, for which it walks backwards: x, dy and places twice, dx 7.5, where one kernel after the other takes 15. The floor is 4.75,
 * of tensors that stay in the cache. Sums could do with the winners, but hardly 32 bytes of x have none. Not run on a GPU. */
#include "norm-pool-cuda.h"

/* K = 3: windows of 3x3/2; K = 0: of any kind. m: the windows */
template < class T, int V, int K > static __global__ void BOUNDS
pool_sums_kernel (GradRows m, GradPoolDesc d, const T * x, const guint8 * places, const T * dy, const float *means,
    float *partials)
{
  const int COLUMNS = K > 0 ? K : 1;
  int channel = grad_rows_channel < V > (m), kernel = K > 0 ? K : d.kernel, stride = K > 0 ? 2 : d.stride;
  unsigned part = blockIdx.x / m.chunks, parts = gridDim.x / m.chunks;
  unsigned i = m.rows * part / parts + threadIdx.y, end = m.rows * (part + 1) / parts;
  Position at = position (i, d.oh, d.ow), step = position (m.height, d.oh, d.ow);
  float mean[V], totals[2 * V] = { };

  if (channel >= m.channels)
    return;
  grad_rows_parameters < V > (means + channel, mean);
  x += channel;
#pragma unroll (1)
  for (; i < end; i += m.height, advance (at, step, d.oh, d.ow)) {
    gsize to = (gsize) i * d.c + channel;
    GradPack < V, T > dz = grad_load_pack < V > (dy + to), winners[V] = { };    /* of each that of its channel is wanted */
    GradPack < V, guint8 > from = grad_load_pack < V > (places + to);

#pragma unroll (COLUMNS)
    for (int row = 0; row < kernel; row++) {
      const T *xs = x + offset ({ at.n, inside (at.h * stride - d.padding + row, d.ih), 0 }, d.ih, d.iw, d.c);

#pragma unroll (1)
      for (int j = 0; j < kernel; j += COLUMNS) {
        GradPack < V, T > values[COLUMNS];

#pragma unroll
        for (int k = 0; k < COLUMNS; k++)
          values[k] = grad_load_pack < V > (xs + inside (at.w * stride - d.padding + j + k, d.iw) * d.c);
#pragma unroll
        for (int k = 0; k < COLUMNS; k++)
#pragma unroll
          for (int v = 0; v < V; v++)
            if (from.v[v] == FIRST - row * kernel - (j + k))
              winners[v] = values[k];
      }
    }
#pragma unroll
    for (int v = 0; v < V; v++) {
      float gradient = from.v[v] > 0 ? dz[v] : 0;

      totals[v] += gradient;
      totals[V + v] += gradient * (winners[v][v] - mean[v]);
    }
  }
  write_partials < V > (partials, m, channel, totals);
}

/* Pixels in cells that share windows. With K = 3, windows of 3x3/2, cell (a, b) is two by two pixels, and the first one has window
 * (a, b) alone, less `before`; with K = 0 it is one pixel. */
template < int K > struct Cells
{
  static const int SIZE = K > 0 ? 2 : 1;
  int before, h, w;

  __device__ __host__ __forceinline__ Cells (const GradPoolDesc & d):before (K > 0 ? 1 - d.padding : 0),
      h ((d.ih + before + SIZE - 1) / SIZE), w ((d.iw + before + SIZE - 1) / SIZE) { }
};

/* Two rows or columns next to each other, of those that a picture has */
struct Two
{
  int first;
  bool there[2];
  int step;                     /* from one to the other, those that are not there being at the edge */

  __device__ __forceinline__ Two (int i, int size):first (inside (i, size)),
      there { (unsigned) i < (unsigned) size, (unsigned) (i + 1) < (unsigned) size },
      step (inside (i + 1, size) - first) { }
};

/* m: the cells. dx may be x. */
template < class T, int V, int K > static __global__ void BOUNDS
pool_backward_kernel (GradRows m, GradPoolDesc d, const T * x, const guint8 * places, const T * dy, const float *means,
    const float *gradient, T * dx)
{
  const int S = Cells < K >::SIZE;
  int channel = grad_rows_channel < V > (m);
  unsigned part = blockIdx.x / m.chunks, parts = gridDim.x / m.chunks;
  unsigned i = m.rows * part / parts + threadIdx.y, end = m.rows * (part + 1) / parts;
  Cells < K > cells (d);
  Position next = position (i, cells.h, cells.w), step = position (m.height, cells.h, cells.w);
  float mean[V], scale[V], slope[V], shift[V];

  if (channel >= m.channels)
    return;
  load_gradient < V > (means, gradient, m.channels, channel, mean, scale, slope, shift);
#pragma unroll (1)
  for (; i < end; i += m.height, advance (next, step, cells.h, cells.w)) {
    Position at = { d.n - 1 - next.n, cells.h - 1 - next.h, cells.w - 1 - next.w };
    Two h (at.h * S - cells.before, d.ih), w (at.w * S - cells.before, d.iw);
    Two a (at.h - cells.before, d.oh), b (at.w - cells.before, d.ow);
    gsize pixel = offset ({ at.n, h.first, w.first }, d.ih, d.iw, d.c) + channel;
    gsize window = offset ({ at.n, a.first, b.first }, d.oh, d.ow, d.c) + channel;
    GradPack < V, T > xs[S][S], dys[S][S];
    GradPack < V, guint8 > from[S][S];

#pragma unroll
    for (int q = 0; q < S; q++)
#pragma unroll
      for (int r = 0; r < S; r++) {
        int to = (q * a.step * d.ow + r * b.step) * d.c;

        xs[q][r] = grad_load_pack < V > (x + pixel + (q * h.step * d.iw + r * w.step) * d.c);
        if (K == 0)
          continue;
        dys[q][r] = grad_load_pack < V > (dy + window + to);
        from[q][r] = grad_load_pack < V > (places + window + to);
        if (!a.there[q] || !b.there[r])
          from[q][r] = { };
      }
#pragma unroll
    for (int q = 0; q < S; q++)
#pragma unroll
      for (int r = 0; r < S; r++) {
        float dz[V] = { };

        auto add = [&] (const GradPack < V, T > &value, const GradPack < V, guint8 > &place, unsigned here, bool first) {
#pragma unroll
          for (int v = 0; v < V; v++)
            if (place.v[v] == here)
              dz[v] = first ? value[v] : dz[v] + value[v];
        };

        /* windows by rows, as in max pooling */
        if (K > 0) {
#pragma unroll
          for (int t = 0; t <= q; t++)
#pragma unroll
            for (int u = 0; u <= r; u++)
              add (dys[t][u], from[t][u], FIRST - (1 + q - 2 * t) * K - (1 + r - 2 * u), t + u == 0);
        } else {
          int top = at.h + d.padding, left = at.w + d.padding;

          for (int t = max ((top - d.kernel + d.stride) / d.stride, 0); t <= min (top / d.stride, d.oh - 1); t++)
            for (int u = max ((left - d.kernel + d.stride) / d.stride, 0); u <= min (left / d.stride, d.ow - 1); u++) {
              gsize to = offset ({ at.n, t, u }, d.oh, d.ow, d.c) + channel;

              add (grad_load_pack < V > (dy + to), grad_load_pack < V > (places + to),
                  FIRST - (top - t * d.stride) * d.kernel - (left - u * d.stride), false);
            }
        }
#pragma unroll
        for (int v = 0; v < V; v++)
          dz[v] = grad_norm_backward (dz[v], xs[q][r][v], mean[v], scale[v], slope[v], shift[v]);
        if (h.there[q] && w.there[r])
          grad_store_vector < V > (dx + pixel + (q * h.step * d.iw + r * w.step) * d.c, dz);
      }
  }
}

/* All that one call works on */
struct Call
{
  GradDevice *device;
  const GradNormDesc *norm;
  const GradPoolDesc *pool;
  const GradTensor *x, *places, *dy, *gamma, *mean, *var;
  GradTensor *dx, *dgamma, *dbeta;
  gboolean accumulate;
  float *partials, *gradient;   /* scratch */
};

template < class T, int V, int K > static gboolean
run_backward (const Call & c, const GradRows & windows, unsigned parts, GError ** error)
{
  Cells < K > cells (*c.pool);
  GradRows m = grad_rows < V > ((gsize) c.pool->n * cells.h * cells.w, c.pool->c);
  const T *x = grad_cuda_data < const T > (c.x), *dy = grad_cuda_data < const T > (c.dy);
  const guint8 *places = grad_cuda_data < const guint8 > (c.places);
  const float *mean = grad_cuda_data < const float >(c.mean);

  GRAD_CUDA_LAUNCH (c.device, "sums of a batch norm and max pooling", error, windows.chunks * parts,
      dim3 (windows.width, windows.height), (pool_sums_kernel < T, V, K >), windows, *c.pool, x, places, dy, mean,
      c.partials);
  if (!grad_norm_cuda_gradients (c.device, c.norm, c.partials, parts, c.gamma, c.var, c.accumulate, c.dgamma,
          c.dbeta, c.gradient, error))
    return FALSE;
  GRAD_CUDA_LAUNCH (c.device, "backward of a batch norm and max pooling", error,
      m.chunks * grad_rows_parts (c.device, m, 1, BLOCKS * GRAD_ROWS_WAVES), dim3 (m.width, m.height),
      (pool_backward_kernel < T, V, K >), m, *c.pool, x, places, dy, mean, c.gradient, grad_cuda_data < T > (c.dx));
  return TRUE;
}

template < class T, int V > static gboolean
backward (Call & c, GError ** error)
{
  GradRows windows = grad_rows < V > ((gsize) c.pool->n * c.pool->oh * c.pool->ow, c.pool->c);
  unsigned parts = grad_rows_parts (c.device, windows, 1, BLOCKS);
  gsize capacity, channels = c.pool->c, n_sums = parts * 2 * channels;
  gboolean ok;

  c.partials = (float *) grad_device_pool_get (c.device, (n_sums + 3 * channels) * sizeof (float), &capacity, error);
  if (c.partials == NULL)
    return FALSE;
  c.gradient = c.partials + n_sums;
  ok = is_special (c.pool) ? run_backward < T, V, 3 > (c, windows, parts, error)
      : run_backward < T, V, 0 > (c, windows, parts, error);
  grad_device_pool_put (c.device, c.partials, capacity);
  return ok;
}

gboolean
grad_norm_cuda_backward_pool (GradPlan * plan, const GradTensor * x, const GradTensor * places,
    const GradTensor * dy, const GradTensor * gamma, const GradTensor * mean, const GradTensor * var,
    GradTensor * dx, GradTensor * dgamma, GradTensor * dbeta, gboolean accumulate, GError ** error)
{
  const CudaPlan *self = (CudaPlan *) plan;
  Call c = {
    .device = plan->device,.norm = &self->desc,.pool = &self->pool,
    .x = x,.places = places,.dy = dy,.gamma = gamma,.mean = mean,.var = var,
    .dx = dx,.dgamma = dgamma,.dbeta = dbeta,.accumulate = accumulate,
  };

  return GRAD_ROWS_DISPATCH (x, backward, c, error);
}
