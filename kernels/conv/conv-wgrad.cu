/* GradStreamer kernels: 2D convolution by our own CUDA kernels: gradients of weights and bias
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   dw(o,c,p,q) = or += sum over n,i,j of dy(n,o,i,j) x(n,c,i*stride-padding+p,j*stride-padding+q)
 *   db(o) = or += sum over n,i,j of dy(n,o,i,j)
 *
 * For every shape. A matrix product again: rows are taps and channels (p, q, c), columns are o, and
 * what is summed over are all positions of dy. Those are split into parts, so that there are enough
 * blocks; the parts are added in their order, so sums are the same every time on one model of GPU.
 * The bias is one more row, whose x is 1.
 *
 * Bytes per call: dy once per 64 rows, x once per tap and 64 columns, mostly from L2; parts (O,
 * rows) of f32, as many as make six tiles of 64 x 64 per multiprocessor: 13 MB written and read on
 * an H200. FLOP and time are forward's. Not run on a GPU. */
#include "conv-cuda.h"

#define ROWS 64                 /* of a tile */
#define DEPTH GRAD_CONV_DEPTH
#define THREADS 64

/* ---- parts of the sum */

typedef struct
{
  int h, w, c;                  /* x */
  int oh, ow, o;                /* dy */
  int kernel, stride, padding;
  int rows, part_row;           /* without and with the bias's */
  gint64 positions, part;       /* of dy; in a part, a multiple of DEPTH */
  int dn, di, dj;               /* from one position to the one that the same thread loads next */
} Sum;

template < int V, int COLUMNS, class T > __global__ void __launch_bounds__ (THREADS, V == 1 ? 4 : 6)
parts_kernel (const T * x, const T * dy, float *parts, const Sum g)
{
  const int N = COLUMNS / 8, LANES = ROWS / V, LANES_Y = COLUMNS / V, PIECES_Y = DEPTH * LANES_Y;
  const int LOADS = DEPTH / V, LOADS_Y = (PIECES_Y + THREADS - 1) / THREADS;
  alignas (16) __shared__ float xs[2][DEPTH][ROWS];
  alignas (16) __shared__ float ys[2][DEPTH][COLUMNS];
  int t = threadIdx.x, tx = t % 8, ty = t / 8;
  int first = blockIdx.y * COLUMNS, row = blockIdx.x * ROWS + t % LANES * V;
  int tap = row / g.c, c = row - tap * g.c;
  int p = tap / g.kernel - g.padding, q = tap % g.kernel - g.padding;
  gint64 begin = blockIdx.z * g.part, end = MIN (begin + g.part, g.positions);
  int steps = (end - begin + DEPTH - 1) / DEPTH;
  gint64 position = begin + t / LANES;
  int j = position % g.ow, i = position / g.ow % g.oh;
  gint64 n = position / g.ow / g.oh;
  const float one[V] = { 1 };
  GradPack < V, T > next[LOADS] = { }, next_y[LOADS_Y] = { };
  float sums[8][N] = { };

  for (int s = -1; s < steps; s++) {
    if (s + 1 < steps) {
#pragma unroll
      for (int k = 0; k < LOADS; k++) {
        int at_i = i * g.stride + p, at_j = j * g.stride + q;

        next[k] = { };
        if (position < end && row < g.rows && (unsigned) at_i < (unsigned) g.h
            && (unsigned) at_j < (unsigned) g.w)
          next[k] = grad_load_pack < V > (x + ((n * g.h + at_i) * g.w + at_j) * g.c + c);
        else if (row == g.rows && position < end)
          next[k] = grad_make_pack < V, T > (one);
        position += V;
        j += g.dj;
        i += g.di;
        n += g.dn;
        if (j >= g.ow) {
          j -= g.ow;
          i++;
        }
        if (i >= g.oh) {
          i -= g.oh;
          n++;
        }
      }
#pragma unroll
      for (int k = 0; k < LOADS_Y; k++) {
        int piece = t + k * THREADS, column = first + piece % LANES_Y * V;
        gint64 at = begin + (s + 1) * DEPTH + piece / LANES_Y;

        next_y[k] = { };
        if (piece < PIECES_Y && at < end && column < g.o)
          next_y[k] = grad_load_pack < V > (dy + at * g.o + column);
      }
    }
    if (s >= 0)
#pragma unroll 2
      for (int k = 0; k < DEPTH; k++)
        grad_conv_multiply < N > (xs[s & 1][k], tx, ys[s & 1][k], ty, sums);
    if (s + 1 < steps) {
#pragma unroll
      for (int k = 0; k < LOADS; k++)
        grad_conv_unpack (next[k], &xs[(s + 1) & 1][k * V + t / LANES][t % LANES * V]);
#pragma unroll
      for (int k = 0; k < LOADS_Y; k++) {
        int piece = t + k * THREADS;

        if (piece < PIECES_Y)
          grad_conv_unpack (next_y[k], &ys[(s + 1) & 1][piece / LANES_Y][piece % LANES_Y * V]);
      }
    }
    __syncthreads ();
  }
  parts += (gsize) blockIdx.z * g.o * g.part_row;
#pragma unroll
  for (int v = 0; v < N; v++) {
    int column = first + (N < 4 ? ty * N + v : v / 4 * 32 + ty * 4 + v % 4);

#pragma unroll
    for (int r = 0; r < 8; r++) {
      int of_part = blockIdx.x * ROWS + r / 4 * 32 + tx * 4 + r % 4;

      if (column < g.o && of_part < g.part_row)
        parts[(gsize) column * g.part_row + of_part] = sums[r][v];
    }
  }
}

template < int V, int COLUMNS, class T > static gboolean
launch_parts (GradDevice * device, const GradConvDesc * d, const GradTensor * x,
    const GradTensor * dy, float *parts, dim3 grid, Sum g, GError ** error)
{
  g.dj = V % d->ow;
  g.di = V / d->ow % d->oh;
  g.dn = V / d->ow / d->oh;
  GRAD_CUDA_LAUNCH (device, "convolution's weight gradient", error, grid, THREADS,
      (parts_kernel < V, COLUMNS, T >), grad_cuda_data < const T > (x),
      grad_cuda_data < const T > (dy), parts, g);
  return TRUE;
}

template < class T > static gboolean
run_parts (GradDevice * device, const GradConvDesc * d, const GradTensor * x, const GradTensor * dy,
    float *parts, dim3 grid, const Sum * g, GError ** error)
{
  const int V = GradWidth < T >::value;

  if (d->ic % V == 0 && d->oc % V == 0)
    return d->oc <= 16 ? launch_parts < V, 16, T > (device, d, x, dy, parts, grid, *g, error)
        : launch_parts < V, 64, T > (device, d, x, dy, parts, grid, *g, error);
  return d->oc <= 16 ? launch_parts < 1, 16, T > (device, d, x, dy, parts, grid, *g, error)
      : launch_parts < 1, 64, T > (device, d, x, dy, parts, grid, *g, error);
}

/* ---- their sum */

/* A thread of each of the block's SLICES rows for one of `n` values: they share its parts. */
template < int SLICES > __global__ void
add_parts_kernel (const float *parts, int n_parts, gsize n, float *dw, float *db, int o_size,
    int part_row, gboolean accumulate)
{
  const int LANES = 256 / SLICES;
  __shared__ float sums[SLICES][LANES];
  int lane = threadIdx.x, slice = threadIdx.y;

  for (gsize first = (gsize) blockIdx.x * LANES; first < n; first += (gsize) gridDim.x * LANES) {
    gsize i = first + lane;
    float sum = 0;

    if (i < n)
#pragma unroll 4
      for (int part = slice; part < n_parts; part += SLICES)
        sum += parts[part * n + i];
    if (SLICES > 1) {
      sums[slice][lane] = sum;
      __syncthreads ();
      for (int k = 1; k < SLICES && slice == 0; k++)
        sum += sums[k][lane];
      __syncthreads ();
    }
    if (i < n && slice == 0) {
      int o = i / part_row, row = i - (gsize) o * part_row;
      float *to = row == o_size ? db + o : dw + (gsize) o * o_size + row;

      *to = accumulate ? *to + sum : sum;
    }
  }
}

gboolean
grad_conv_add_parts (GradDevice * device, const GradConvDesc * d, const float *parts, guint n_parts,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  gsize row = grad_conv_part_row (d), n = d->oc * row;
  int o_size = d->kernel * d->kernel * d->ic;
  float *w = grad_cuda_data < float >(dw), *b = d->bias ? grad_cuda_data < float >(db) : NULL;

  /* few values: threads share the parts of each */
  if (n_parts >= 16 && n < (gsize) 256 * grad_cuda_device_n_multiprocessors (device))
    GRAD_CUDA_LAUNCH (device, "convolution's weight gradient", error,
        grad_conv_loop_blocks (device, n, 32), dim3 (32, 8), (add_parts_kernel < 8 >), parts,
        n_parts, n, w, b, o_size, row, accumulate);
  else
    GRAD_CUDA_LAUNCH (device, "convolution's weight gradient", error,
        grad_conv_loop_blocks (device, n, 256), dim3 (256, 1), (add_parts_kernel < 1 >), parts,
        n_parts, n, w, b, o_size, row, accumulate);
  return TRUE;
}

/* ---- both */

gboolean
grad_conv_backward_weights (GradDevice * device, const GradConvDesc * d, const GradTensor * x,
    const GradTensor * dy, GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  gsize row = grad_conv_part_row (d), n_parts, capacity;
  dim3 grid (grad_cuda_blocks (row, ROWS), grad_cuda_blocks (d->oc, d->oc <= 16 ? 16 : 64));
  Sum g = {
    .h = d->ih,.w = d->iw,.c = d->ic,.oh = d->oh,.ow = d->ow,.o = d->oc,
    .kernel = d->kernel,.stride = d->stride,.padding = d->padding,
    .rows = d->kernel * d->kernel * d->ic,.part_row = (int) row,
    .positions = (gint64) d->n * d->oh * d->ow,
  };
  float *parts;
  gboolean ok;

  /* as many as fill the GPU, but none of less than 256 positions */
  n_parts = grad_cuda_device_n_multiprocessors (device) * 6 / (grid.x * grid.y);
  n_parts = CLAMP (n_parts, 1, (gsize) (g.positions + 255) / 256);
  g.part = (g.positions + n_parts - 1) / n_parts;
  g.part = (g.part + DEPTH - 1) / DEPTH * DEPTH;
  grid.z = grad_cuda_blocks (g.positions, g.part);
  parts = (float *) grad_device_pool_get (device, grid.z * d->oc * row * sizeof (float), &capacity,
      error);
  if (parts == NULL)
    return FALSE;
  ok = GRAD_CUDA_DISPATCH (x, run_parts, device, d, x, dy, parts, grid, &g, error)
      && grad_conv_add_parts (device, d, parts, grid.z, dw, db, accumulate, error);
  grad_device_pool_put (device, parts, capacity);
  return ok;
}
