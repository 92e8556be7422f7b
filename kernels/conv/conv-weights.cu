/* GradStreamer kernels: what cuDNN's convolutions leave to us: filters in bfloat16, what is added, sums
 * for a bias
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   w, dw: (O, I, k, k), which lie as (O, k, k, I), b, db: (O), f32, y, residual, dy: rows of O
 *   rounded =, dw = or +=, db = or +=, y = in place
 *
 * Memory bound, each in one pass. The 11 million weights of ResNet-18 are 67 MB read and written in
 * bf16, 16 us at 4.3 TB/s for all layers; launches cost more: so updates write the rounded ones (optim.cu).
 * sum_rows reads dy once; finish reads y and residual and writes y once.
 * Deterministic: partial sums of fixed rows, added in order. Not run on a GPU yet. */
#define GRAD_REAL float
#include "kernels/cuda.h"
#include "kernels/elementwise/elementwise-body.h"
#include "kernels/kept.h"
#include "conv-weights.h"

#define THREADS 256

static __global__ void
round_kernel (const float *from, __nv_bfloat16 * to, gsize n)
{
  gsize i = ((gsize) blockIdx.x * THREADS + threadIdx.x) * 8;
  float values[8];

  if (i >= n)
    return;
  grad_load_vector < 4 > (from + i, values);
  grad_load_vector < 4 > (from + i + 4, values + 4);
  grad_store_vector < 8 > (to + i, values);
}

static gboolean
round_values (GradDevice * device, const float *from, __nv_bfloat16 * to, gsize n, GError ** error)
{
  GRAD_CUDA_LAUNCH (device, "rounding of weights", error, grad_cuda_blocks (n, THREADS * 8), THREADS, round_kernel,
      from, to, n);
  return TRUE;
}

static gpointer
rounded (const GradTensor * parameter, GError ** error)
{
  GQuark form = g_quark_from_static_string (GRAD_CONV_ROUNDED);
  gsize n = grad_shape_n_elements (&parameter->shape);
  const float *from = grad_cuda_data < const float >(parameter);
  gboolean fresh;
  gpointer to = grad_kept_get (parameter, form, n * sizeof (__nv_bfloat16), &fresh, error);

  if (to == NULL || (!fresh && !round_values (parameter->device, from, (__nv_bfloat16 *) to, n, error)))
    return NULL;
  grad_kept_made (parameter, form);
  return to;
}

template < class T > static __global__ void
add_kernel (const T * from, float *dw, gsize n, bool accumulate)
{
  const int V = GradWidth < T >::value;
  gsize i = ((gsize) blockIdx.x * THREADS + threadIdx.x) * V;
  float values[V], sums[V] = { };

  if (i >= n)
    return;
  grad_load_vector < V > (from + i, values);
#pragma unroll
  for (int k = 0; k < V; k += 4) {
    if (accumulate)
      grad_load_vector < 4 > (dw + i + k, sums + k);
#pragma unroll
    for (int v = k; v < k + 4; v++)
      sums[v] += values[v];
    grad_store_vector < 4 > (dw + i + k, sums + k);
  }
}

template < class T > static gboolean
add_typed (GradDevice * device, const T * from, gsize n, gfloat * dw, gboolean accumulate, GError ** error)
{
  GRAD_CUDA_LAUNCH (device, "adding weight gradients", error, grad_cuda_blocks (n, THREADS * GradWidth < T >::value),
      THREADS, (add_kernel < T >), from, dw, n, accumulate != FALSE);
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
add (GradDevice * device, guint layout, gconstpointer from, gsize n, gfloat * dw, gboolean accumulate, GError ** error)
{
  return layout == GRAD_CUDA_NHWC_BF16
      ? add_typed (device, (const __nv_bfloat16 *) from, n, dw, accumulate, error)
      : add_typed (device, (const float *) from, n, dw, accumulate, error);
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
  .rounded = rounded,
  .add = add,
  .sum_rows = sum_rows,
  .finish = finish,
};
