/* GradStreamer kernels: what cuDNN's convolutions leave to us: filters between the master's layout
 * and cuDNN's, what is added, sums for a bias
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   packed: (O, k, k, I), w, dw: (O, I, k, k), plain f32, b, db: (O), y, residual, dy: rows of O
 *   packed =, dw = or +=, db = or +=, y = in place
 *
 * pack and unpack read and write every weight once, unpack twice when it adds. A block takes some
 * channels of one output channel through shared memory, so that both sides are contiguous. The 11
 * million weights of ResNet-18 are 67 MB both ways in bf16, 16 us at 4.3 TB/s for all layers;
 * launches cost more. sum_rows reads dy once; finish reads y and residual and writes y once.
 * Deterministic: partial sums of fixed rows, added in order. Not run on a GPU yet. */
#define GRAD_REAL float
#include "kernels/cuda.h"
#include "kernels/elementwise/elementwise-body.h"
#include "conv-weights.h"

#define THREADS 256
#define TILE 2304               /* 256 channels of a 3x3 kernel, 9 KB */

static int
channels_per_tile (int i, int k2)
{
  return MIN (i, TILE / k2);
}

/* blockIdx.x is an output channel and some input channels; k2 is the square of the kernel size */
template < class T > __global__ void
pack_kernel (const float *w, T * packed, int channels, int k2, int per_tile)
{
  __shared__ float tile[TILE];
  int tiles = (channels + per_tile - 1) / per_tile;
  gsize base = (gsize) (blockIdx.x / tiles) * channels * k2;
  int first = blockIdx.x % tiles * per_tile, n = min (per_tile, channels - first);

  for (int t = threadIdx.x; t < n * k2; t += THREADS)
    tile[t] = w[base + (gsize) first * k2 + t];
  __syncthreads ();
  for (int t = threadIdx.x; t < n * k2; t += THREADS) {
    int p = t / n, c = t % n;

    grad_store (packed + base + (gsize) p * channels + first + c, tile[c * k2 + p]);
  }
}

template < class T > __global__ void
unpack_kernel (const T * packed, float *dw, int channels, int k2, int per_tile, bool accumulate)
{
  __shared__ float tile[TILE];
  int tiles = (channels + per_tile - 1) / per_tile;
  gsize base = (gsize) (blockIdx.x / tiles) * channels * k2;
  int first = blockIdx.x % tiles * per_tile, n = min (per_tile, channels - first);

  for (int t = threadIdx.x; t < n * k2; t += THREADS) {
    int p = t / n, c = t % n;

    tile[c * k2 + p] = grad_load (packed + base + (gsize) p * channels + first + c);
  }
  __syncthreads ();
  for (int t = threadIdx.x; t < n * k2; t += THREADS) {
    float *to = dw + base + (gsize) first * k2 + t;

    *to = accumulate ? *to + tile[t] : tile[t];
  }
}

static gboolean
supports (gint kernel)
{
  return kernel <= 48;          /* kernel * kernel <= TILE */
}

template < class T > static gboolean
pack_typed (GradDevice * device, gint o, gint i, gint kernel, const gfloat * w, T * packed,
    GError ** error)
{
  int per_tile = channels_per_tile (i, kernel * kernel);

  GRAD_CUDA_LAUNCH (device, "packing of weights", error, o * grad_cuda_blocks (i, per_tile),
      THREADS, (pack_kernel < T >), w, packed, i, kernel * kernel, per_tile);
  return TRUE;
}

template < class T > static gboolean
unpack_typed (GradDevice * device, gint o, gint i, gint kernel, const T * packed, gfloat * dw,
    gboolean accumulate, GError ** error)
{
  int per_tile = channels_per_tile (i, kernel * kernel);

  GRAD_CUDA_LAUNCH (device, "unpacking of weight gradients", error,
      o * grad_cuda_blocks (i, per_tile), THREADS, (unpack_kernel < T >), packed, dw, i,
      kernel * kernel, per_tile, accumulate != FALSE);
  return TRUE;
}

#define GROUPS 8                /* of 16 bytes, side by side: 128 bytes of a row */
#define ROWS 32                 /* of a block, at a time */

/* partial(blockIdx.y, o) = sum of this block's rows, every gridDim.y * ROWS-th */
template < class T > __global__ void
sum_rows_kernel (const T * dy, float *partial, gsize rows, int o)
{
  const int V = GradWidth < T >::value;
  __shared__ float sums[ROWS][GROUPS * V];
  int group = blockIdx.x * GROUPS + threadIdx.x;
  int t = threadIdx.y * GROUPS + threadIdx.x, channel = blockIdx.x * GROUPS * V + t;
  float sum[V] = { };

  if (group * V < o)
    for (gsize r = (gsize) blockIdx.y * ROWS + threadIdx.y; r < rows;
        r += (gsize) gridDim.y * ROWS) {
      float values[V];

      grad_load_vector < V > (dy + r * o + group * V, values);
#pragma unroll
      for (int k = 0; k < V; k++)
        sum[k] += values[k];
    }
#pragma unroll
  for (int k = 0; k < V; k++)
    sums[threadIdx.y][threadIdx.x * V + k] = sum[k];
  __syncthreads ();
  if (t < GROUPS * V && channel < o) {
    float total = 0;

    for (int r = 0; r < ROWS; r++)
      total += sums[r][t];
    partial[(gsize) blockIdx.y * o + channel] = total;
  }
}

static __global__ void
sum_partial_kernel (const float *partial, float *db, int n_partial, int o, bool accumulate)
{
  int channel = blockIdx.x * THREADS + threadIdx.x;
  float sum = 0;

  if (channel >= o)
    return;
  for (int i = 0; i < n_partial; i++)
    sum += partial[(gsize) i * o + channel];
  db[channel] = accumulate ? db[channel] + sum : sum;
}

template < class T > static gboolean
sum_rows_typed (GradDevice * device, gsize rows, gint o, const T * dy, gfloat * db,
    gboolean accumulate, float *partial, int n_partial, GError ** error)
{
  dim3 grid (grad_cuda_blocks (o, GROUPS * GradWidth < T >::value), n_partial);

  GRAD_CUDA_LAUNCH (device, "bias gradient", error, grid, dim3 (GROUPS, ROWS),
      (sum_rows_kernel < T >), dy, partial, rows, o);
  GRAD_CUDA_LAUNCH (device, "bias gradient", error, grad_cuda_blocks (o, THREADS), THREADS,
      sum_partial_kernel, partial, db, n_partial, o, accumulate != FALSE);
  return TRUE;
}

template < class T > __global__ void
finish_kernel (T * y, const T * residual, const float *b, gsize n, int o, bool relu)
{
  const int V = GradWidth < T >::value;
  gsize i = ((gsize) blockIdx.x * THREADS + threadIdx.x) * V;
  int channel = i % o;
  float values[V], more[V];

  if (i >= n)
    return;
  grad_load_vector < V > (y + i, values);
  if (residual != NULL) {
    grad_load_vector < V > (residual + i, more);
#pragma unroll
    for (int k = 0; k < V; k++)
      values[k] += more[k];
  }
#pragma unroll
  for (int k = 0; k < V; k++) {
    if (b != NULL)
      values[k] += b[channel + k];
    if (relu)
      values[k] = grad_relu (values[k]);
  }
  grad_store_vector < V > (y + i, values);
}

template < class T > static gboolean
finish_typed (GradDevice * device, gsize rows, gint o, const gfloat * b, const T * residual,
    gboolean relu, T * y, GError ** error)
{
  GRAD_CUDA_LAUNCH (device, "bias and ReLU", error,
      grad_cuda_blocks (rows * o, THREADS * GradWidth < T >::value), THREADS, (finish_kernel < T >),
      y, residual, b, rows * o, o, relu != FALSE);
  return TRUE;
}

static gboolean
pack (GradDevice * device, guint layout, gint o, gint i, gint kernel, const gfloat * w,
    gpointer packed, GError ** error)
{
  return layout == GRAD_CUDA_NHWC_BF16
      ? pack_typed (device, o, i, kernel, w, (__nv_bfloat16 *) packed, error)
      : pack_typed (device, o, i, kernel, w, (float *) packed, error);
}

static gboolean
unpack (GradDevice * device, guint layout, gint o, gint i, gint kernel, gconstpointer packed,
    gfloat * dw, gboolean accumulate, GError ** error)
{
  return layout == GRAD_CUDA_NHWC_BF16
      ? unpack_typed (device, o, i, kernel, (const __nv_bfloat16 *) packed, dw, accumulate, error)
      : unpack_typed (device, o, i, kernel, (const float *) packed, dw, accumulate, error);
}

static gboolean
sum_rows (GradDevice * device, guint layout, gsize rows, gint o, gconstpointer dy, gfloat * db,
    gboolean accumulate, GError ** error)
{
  int columns = layout == GRAD_CUDA_NHWC_BF16 ? GROUPS * 8 : GROUPS * 4;
  /* 8 blocks fit on a multiprocessor; few rows want fewer */
  int n_partial = CLAMP (8 * grad_cuda_device_n_multiprocessors (device)
      / grad_cuda_blocks (o, columns), 1, 512);
  gsize capacity;
  float *partial;
  gboolean ok;

  n_partial = MIN ((gsize) n_partial, (rows + ROWS - 1) / ROWS);
  partial = (float *) grad_device_pool_get (device, (gsize) n_partial * o * sizeof (float),
      &capacity, error);
  if (partial == NULL)
    return FALSE;
  ok = layout == GRAD_CUDA_NHWC_BF16
      ? sum_rows_typed (device, rows, o, (const __nv_bfloat16 *) dy, db, accumulate, partial,
      n_partial, error)
      : sum_rows_typed (device, rows, o, (const float *) dy, db, accumulate, partial, n_partial,
      error);
  grad_device_pool_put (device, partial, capacity);
  return ok;
}

static gboolean
finish (GradDevice * device, guint layout, gsize rows, gint o, const gfloat * b,
    gconstpointer residual, gboolean relu, gpointer y, GError ** error)
{
  return layout == GRAD_CUDA_NHWC_BF16
      ? finish_typed (device, rows, o, b, (const __nv_bfloat16 *) residual, relu,
      (__nv_bfloat16 *) y, error)
      : finish_typed (device, rows, o, b, (const float *) residual, relu, (float *) y, error);
}

extern "C" const GradConvWeightsOps grad_conv_weights_ops = {
  .supports = supports,
  .pack = pack,
  .unpack = unpack,
  .sum_rows = sum_rows,
  .finish = finish,
};
