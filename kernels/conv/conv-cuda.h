/* GradStreamer kernels: 2D convolution, what our own CUDA kernels have in common
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define GRAD_REAL float
#include "kernels/cuda.h"
#include "kernels/elementwise/elementwise-body.h"

/* to is aligned to 16 bytes where V is 4 or 8 */
template < int V, class T > static __device__ __forceinline__ void
grad_conv_unpack (const GradPack < V, T > &pack, float *to)
{
  const int W = V < 4 ? 1 : 4;
  float values[V];

#pragma unroll
  for (int v = 0; v < V; v++)
    values[v] = pack[v];
#pragma unroll
  for (int v = 0; v < V; v += W)
    grad_store_vector < W > (to + v, values + v);
}

/* The weights as a matrix, in scratch memory: a row for each product of a sum, in the order of taps
 * (p, q), then channels summed over; a column for each channel of the result. Rows and columns that
 * fill up tiles are zero. */
typedef struct
{
  int depth, width;             /* channels summed over, channels of the result */
  gsize depth_stride, width_stride, tap_stride; /* from one to the next in w */
  int kernel, p0, q0, step, n_p, n_q;   /* taps p0 + step * (0 … n_p - 1), same with q */
  int rows, columns;            /* with what fills up tiles */
} GradConvPacking;

#define GRAD_CONV_DEPTH 16      /* rows of a tile; rows are a multiple of it */
#define GRAD_CONV_COLUMNS 64    /* the widest tile has so many columns */

/* All of them for a forward convolution, filled up to so many columns; conv.cu */
GradConvPacking grad_conv_packing (const GradConvDesc * desc, int columns);
gboolean grad_conv_pack (GradDevice * device, const GradConvPacking * packing, const GradTensor * w,
    float *packed, GError ** error);

/* What is added up for a weight gradient: for each of n_parts parts, for each o, one value per tap
 * and c, in the order (p, q, c), as weights lie, then, with a bias, one for it. */
static inline gsize
grad_conv_part_row (const GradConvDesc * d)
{
  return (gsize) d->kernel * d->kernel * d->ic + (d->bias ? 1 : 0);
}

/* dw, db = or += the sum of the parts, from the first to the last; conv-wgrad.cu */
gboolean grad_conv_add_parts (GradDevice * device, const GradConvDesc * desc, const float *parts,
    guint n_parts, GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error);
gboolean grad_conv_backward_weights (GradDevice * device, const GradConvDesc * desc,
    const GradTensor * x, const GradTensor * dy, GradTensor * dw, GradTensor * db,
    gboolean accumulate, GError ** error);

/* Pictures of 1 to 4 channels, kernel 7, stride 2, no residual; conv-stem.cu */
gboolean grad_conv_is_stem (const GradConvDesc * desc);
gboolean grad_conv_stem_forward (GradDevice * device, const GradConvDesc * desc,
    const GradTensor * x, const GradTensor * w, const GradTensor * b, GradTensor * y,
    GError ** error);
gboolean grad_conv_stem_backward_weights (GradDevice * device, const GradConvDesc * desc,
    const GradTensor * x, const GradTensor * dy, GradTensor * dw, GradTensor * db,
    gboolean accumulate, GError ** error);

/* So many blocks for n threads' worth of work; they loop. */
static inline guint
grad_conv_loop_blocks (GradDevice * device, gsize n, guint threads)
{
  return MIN (grad_cuda_blocks (n, threads), grad_cuda_device_n_multiprocessors (device) * 8);
}

/* One product of a thread's tile of 8 rows, in two groups of 4 that are 32 apart, and N columns, in groups of
 * up to 4: both lie in shared memory. */
template < int N > static __device__ __forceinline__ void
grad_conv_multiply (const float *rows, int row, const float *columns, int column, float (&sums)[8][N])
{
  const int W = N < 4 ? N : 4;
  float a[8], b[N];

  grad_load_vector < 4 > (rows + row * 4, a);
  grad_load_vector < 4 > (rows + 32 + row * 4, a + 4);
#pragma unroll
  for (int h = 0; h < N; h += 4)
    grad_load_vector < W > (columns + h * 8 + column * W, b + h);
#pragma unroll
  for (int r = 0; r < 8; r++)
#pragma unroll
    for (int v = 0; v < N; v++)
      sums[r][v] += a[r] * b[v];
}

/* N neighbouring values of the result, of which the first `n` exist: y = [relu] (value [+ bias] [+
 * residual]). `whole`: all exist and are aligned. Bias and residual may be NULL. */
template < int N, class T > static __device__ __forceinline__ void
grad_conv_finish (float *values, int n, gboolean whole, const float *bias, const T * residual,
    T * y, gboolean relu)
{
  const int V = N * sizeof (T) > 16 ? 16 / sizeof (T) : N;
  float r[N] = { };

  if (whole && residual != NULL)
#pragma unroll
    for (int i = 0; i < N; i += V)
      grad_load_vector < V > (residual + i, r + i);
#pragma unroll
  for (int i = 0; i < N; i++)
    if (i < n) {
      if (bias != NULL)
        values[i] += bias[i];
      if (residual != NULL)
        values[i] += whole ? r[i] : grad_load (residual + i);
      if (relu)
        values[i] = grad_relu (values[i]);
      if (!whole)
        grad_store (y + i, values[i]);
    }
  if (whole)
#pragma unroll
    for (int i = 0; i < N; i += V)
      grad_store_vector < V > (y + i, values + i);
}
