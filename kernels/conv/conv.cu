/* GradStreamer kernels: 2D convolution by our own CUDA kernels: table, forward, backward_data
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, I, IH, IW), y, dy, residual: (N, O, OH, OW), NHWC, bf16 or f32
 *   w, dw: (O, I, kernel, kernel), which lie as (O, kernel, kernel, I), b, db: (O), f32
 *   y =, dx =, dw = or +=, db = or +=
 *
 * For every shape: what cuDNN does not take, and what it can be compared with; it has the tensor
 * cores, these the f32 cores. Products and sums in float; nothing is rounded but what is stored.
 * Deterministic.
 *
 * Implicit matrix product: a block computes 64 positions x 64 (or 16) channels, a thread 8 x 8 (or
 * 8 x 2), from 16 products of each sum at a time in shared memory. backward_data is the same: dx at
 * the rows and columns of one residue modulo the stride is a convolution with stride 1 of dy with
 * every stride-th tap, so nothing is multiplied by zero.
 *
 * Bytes per call: the input once per tap and 64 output channels, mostly from L2, the output once,
 * weights written and read once more. Floor on an H200: 67 TFLOP/s of f32, for (256, 64, 24, 24) by
 * 3x3 to 64 channels 10.9 GFLOP, 0.16 ms; expected 0.25 ms. Not run on a GPU. */
#include "conv-cuda.h"

#define POSITIONS 64            /* of a tile */
#define DEPTH GRAD_CONV_DEPTH
#define THREADS 64

/* ---- weights as a matrix */

GradConvPacking
grad_conv_packing (const GradConvDesc * d, int columns)
{
  gsize taps = (gsize) d->kernel * d->kernel;

  return (GradConvPacking) {
    .depth = d->ic,.width = d->oc,.depth_stride = 1,.width_stride = d->ic * taps,.tap_stride = (gsize) d->ic,
    .kernel = d->kernel,.p0 = 0,.q0 = 0,.step = 1,.n_p = d->kernel,.n_q = d->kernel,
    .rows = (int) (d->ic * taps + DEPTH - 1) / DEPTH * DEPTH,
    .columns = (d->oc + columns - 1) / columns * columns,
  };
}

/* A thread has 4 columns of one channel summed over, at all taps; the channel after the last one is the
 * filling. */
__global__ void
pack_kernel (const float *w, float *packed, const GradConvPacking m)
{
  int taps = m.n_p * m.n_q, pieces = m.columns / 4;
  gsize n = (gsize) (m.depth + 1) * pieces;

  for (gsize i = (gsize) blockIdx.x * blockDim.x + threadIdx.x; i < n;
      i += (gsize) gridDim.x * blockDim.x) {
    int d = i / pieces, column = (i - (gsize) d * pieces) * 4;
    float4 *to = (float4 *) (packed + (gsize) d * m.columns + column);

    if (d == m.depth) {
      for (int row = taps * m.depth; row < m.rows; row++)
        *(float4 *) (packed + (gsize) row * m.columns + column) = make_float4 (0, 0, 0, 0);
      continue;
    }
    for (int p = 0; p < m.n_p; p++)
      for (int q = 0; q < m.n_q; q++) {
        const float *from = w + d * m.depth_stride + column * m.width_stride
            + ((m.p0 + p * m.step) * m.kernel + m.q0 + q * m.step) * m.tap_stride;

        *to = make_float4 (column < m.width ? from[0] : 0,
            column + 1 < m.width ? from[m.width_stride] : 0,
            column + 2 < m.width ? from[2 * m.width_stride] : 0,
            column + 3 < m.width ? from[3 * m.width_stride] : 0);
        to += (gsize) m.depth * m.columns / 4;
      }
  }
}

gboolean
grad_conv_pack (GradDevice * device, const GradConvPacking * m, const GradTensor * w, float *packed,
    GError ** error)
{
  gsize n = (gsize) (m->depth + 1) * (m->columns / 4);

  GRAD_CUDA_LAUNCH (device, "convolution's weights", error,
      grad_conv_loop_blocks (device, n, 256), 256, pack_kernel,
      grad_cuda_data < const float >(w), packed, *m);
  return TRUE;
}

/* ---- the matrix product */

/* Position (i, j), 0 <= i < rows, 0 <= j < columns, of the result lies at (row + i * step,
 * column + j * step) of (N, OH, OW, O); its tap (p, q) is at
 * (from_row + i * stride + p * direction, from_column + j * stride + q * direction) of
 * (N, H, W, C). */
typedef struct
{
  int n, h, w, c;
  int oh, ow, o;
  int rows, columns, row, column, step;
  int from_row, from_column, stride, direction;
  int n_p, n_q;                 /* taps */
  int w_rows, w_columns;        /* of the packed weights */
} Gather;

#define OUTSIDE (-(1 << 30))

/* One position's way through its products: V channels, further channels, further taps */
template < int V, class T > struct Walk
{
  const T *sample;
  int row, column;              /* of tap (0, 0) */
  int p, q, c;

  __device__ __forceinline__ GradPack < V, T >
  next (const Gather & g)
  {
    int i = row + p * g.direction, j = column + q * g.direction;
    GradPack < V, T > pack = { };

    if (p < g.n_p && (unsigned) i < (unsigned) g.h && (unsigned) j < (unsigned) g.w)
      pack = grad_load_pack < V > (sample + (gsize) (i * g.w + j) * g.c + c);
    c += V;
    if (c == g.c) {
      c = 0;
      if (++q == g.n_q) {
        q = 0;
        p++;
      }
    }
    return pack;
  }
};

/* Where column k of a tile of 64 lies: the 8 of a thread are two pieces of 4, each of which is next
 * to its neighbour's. */
template < int COLUMNS > static __device__ __forceinline__ int
place (int k)
{
  return COLUMNS == 64 ? k / 4 % 2 * 32 + k / 8 * 4 + k % 4 : k;
}

template < int V, int COLUMNS, class T > __global__ void __launch_bounds__ (THREADS, 6)
gather_kernel (const T * x, const float *w, const float *bias, const T * residual, T * y,
    const Gather g, gboolean relu)
{
  const int N = COLUMNS / 8, PIECES = DEPTH * COLUMNS / 4 / THREADS;
  alignas (16) __shared__ float xs[2][DEPTH][POSITIONS];
  alignas (16) __shared__ float ws[2][DEPTH][COLUMNS];
  __shared__ gint64 places[POSITIONS];
  int t = threadIdx.x, tx = t % 8, ty = t / 8, first = blockIdx.y * COLUMNS;
  gsize position = (gsize) blockIdx.x * POSITIONS + t, plane = (gsize) g.rows * g.columns;
  gsize sample = position / plane;
  int i = (position - sample * plane) / g.columns;
  int j = (position - sample * plane) - (gsize) i * g.columns;
  int steps = g.w_rows / DEPTH;
  Walk < V, T > walk = { };
  GradPack < V, T > next[DEPTH / V];
  float4 next_w[PIECES];
  float sums[8][N] = { };

  walk.row = OUTSIDE;
  places[t] = -1;
  if (sample < (gsize) g.n) {
    walk.sample = x + sample * g.h * g.w * g.c;
    walk.row = g.from_row + i * g.stride;
    walk.column = g.from_column + j * g.stride;
    places[t] = (((gint64) sample * g.oh + g.row + i * g.step) * g.ow + g.column + j * g.step)
        * g.o;
  }
  w += first;
  for (int s = -1; s < steps; s++) {    /* no steps: dx that no tap reaches, it is 0 */
    if (s + 1 < steps) {
#pragma unroll
      for (int k = 0; k < DEPTH / V; k++)
        next[k] = walk.next (g);
#pragma unroll
      for (int k = 0; k < PIECES; k++) {
        int piece = t + k * THREADS, row = (s + 1) * DEPTH + piece / (COLUMNS / 4);

        next_w[k] = *(const float4 *) (w + (gsize) row * g.w_columns + piece % (COLUMNS / 4) * 4);
      }
    }
    if (s >= 0)
#pragma unroll 4
      for (int k = 0; k < DEPTH; k++)
        grad_conv_multiply < N > (xs[s & 1][k], ty, ws[s & 1][k], tx, sums);
    if (s + 1 < steps) {
#pragma unroll
      for (int k = 0; k < DEPTH; k++)
        xs[(s + 1) & 1][k][t] = next[k / V][k % V];
#pragma unroll
      for (int k = 0; k < PIECES; k++) {
        int piece = t + k * THREADS, column = piece % (COLUMNS / 4) * 4;

        *(float4 *) &ws[(s + 1) & 1][piece / (COLUMNS / 4)][place < COLUMNS > (column)] = next_w[k];
      }
    }
    __syncthreads ();
  }
  first += tx * N;
#pragma unroll
  for (int r = 0; r < 8; r++) {
    gint64 at = places[r / 4 * 32 + ty * 4 + r % 4];

    if (at >= 0 && first < g.o)
      grad_conv_finish < N > (sums[r], g.o - first, g.o % N == 0, bias ? bias + first : NULL,
          residual ? residual + at + first : NULL, y + at + first, relu);
  }
}

static int
tile_columns (int width)
{
  return width <= 16 ? 16 : 64;
}

template < int V, class T > static gboolean
launch (GradDevice * device, const T * x, const float *w, const float *b, const T * residual, T * y,
    const Gather * g, gboolean relu, GError ** error)
{
  dim3 grid (grad_cuda_blocks ((gsize) g->n * g->rows * g->columns, POSITIONS),
      grad_cuda_blocks (g->o, tile_columns (g->o)));

  if (tile_columns (g->o) == 16)
    GRAD_CUDA_LAUNCH (device, "convolution", error, grid, THREADS, (gather_kernel < V, 16, T >), x,
        w, b, residual, y, *g, relu);
  else
    GRAD_CUDA_LAUNCH (device, "convolution", error, grid, THREADS, (gather_kernel < V, 64, T >), x,
        w, b, residual, y, *g, relu);
  return TRUE;
}

/* y = what `g` says, with weights packed on the way */
template < class T > static gboolean
gather (GradDevice * device, const GradConvPacking * packing, const GradTensor * x,
    const GradTensor * w, const GradTensor * b, const GradTensor * residual, GradTensor * y,
    const Gather * g, gboolean relu, GError ** error)
{
  const int V = GradWidth < T >::value;
  const T *xs = grad_cuda_data < const T > (x), *rs = grad_cuda_data < const T > (residual);
  const float *bs = grad_cuda_data < const float >(b);
  T *ys = grad_cuda_data < T > (y);
  gsize capacity, size = MAX (packing->rows, 1) * (gsize) packing->columns * sizeof (float);
  float *packed = (float *) grad_device_pool_get (device, size, &capacity, error);
  gboolean ok = packed != NULL && (packing->rows == 0
      || grad_conv_pack (device, packing, w, packed, error))
      && (g->c % V == 0 ? launch < V > (device, xs, packed, bs, rs, ys, g, relu, error)
      : launch < 1 > (device, xs, packed, bs, rs, ys, g, relu, error));

  if (packed != NULL)
    grad_device_pool_put (device, packed, capacity);
  return ok;
}

/* ---- the table */

static gboolean
conv_forward (GradPlan * base, const GradTensor * x, const GradTensor * w, const GradTensor * b,
    const GradTensor * residual, GradTensor * y, GError ** error)
{
  const GradConvDesc *d = &((GradConvPlan *) base)->desc;
  GradConvPacking packing = grad_conv_packing (d, tile_columns (d->oc));
  Gather g = {
    .n = d->n,.h = d->ih,.w = d->iw,.c = d->ic,.oh = d->oh,.ow = d->ow,.o = d->oc,
    .rows = d->oh,.columns = d->ow,.row = 0,.column = 0,.step = 1,
    .from_row = -d->padding,.from_column = -d->padding,.stride = d->stride,.direction = 1,
    .n_p = d->kernel,.n_q = d->kernel,.w_rows = packing.rows,.w_columns = packing.columns,
  };

  b = d->bias ? b : NULL;
  residual = d->add ? residual : NULL;
  if (grad_conv_is_stem (d))
    return grad_conv_stem_forward (base->device, d, x, w, b, y, error);
  return GRAD_CUDA_DISPATCH (y, gather, base->device, &packing, x, w, b, residual, y, &g, d->relu,
      error);
}

/* Of the taps that rows first, first + stride … of dx see: the first one, how many there are, and
 * which row of dy the first row sees through it */
static int
taps_of (const GradConvDesc * d, int first, int *n, int *from)
{
  int p0 = (first + d->padding) % d->stride;

  *n = p0 < d->kernel ? (d->kernel - 1 - p0) / d->stride + 1 : 0;
  *from = (first + d->padding - p0) / d->stride;
  return p0;
}

static gboolean
conv_backward_data (GradPlan * base, const GradTensor * dy, const GradTensor * w, GradTensor * dx,
    GError ** error)
{
  const GradConvDesc *d = &((GradConvPlan *) base)->desc;
  GradConvPacking packing = grad_conv_packing (d, tile_columns (d->ic));
  int s = d->stride, columns = tile_columns (d->ic);

  if (!grad_conv_check_backward (grad_conv_desc_has_backward (d), error))
    return FALSE;
  packing.depth = d->oc;
  packing.width = d->ic;
  packing.depth_stride = packing.width_stride;
  packing.width_stride = 1;
  packing.columns = (d->ic + columns - 1) / columns * columns;
  packing.step = s;
  for (int i = 0; i < MIN (s, d->ih); i++)
    for (int j = 0; j < MIN (s, d->iw); j++) {
      Gather g = {
        .n = d->n,.h = d->oh,.w = d->ow,.c = d->oc,.oh = d->ih,.ow = d->iw,.o = d->ic,
        .rows = (d->ih - i + s - 1) / s,.columns = (d->iw - j + s - 1) / s,
        .row = i,.column = j,.step = s,.from_row = 0,.from_column = 0,.stride = 1,.direction = -1,
      };

      packing.p0 = taps_of (d, i, &packing.n_p, &g.from_row);
      packing.q0 = taps_of (d, j, &packing.n_q, &g.from_column);
      packing.rows = (packing.n_p * packing.n_q * d->oc + DEPTH - 1) / DEPTH * DEPTH;
      g.n_p = packing.n_p;
      g.n_q = packing.n_q;
      g.w_rows = packing.rows;
      g.w_columns = packing.columns;
      if (!GRAD_CUDA_DISPATCH (dx, gather, base->device, &packing, dy, w, NULL, NULL, dx, &g, FALSE,
              error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
conv_backward_weights (GradPlan * base, const GradTensor * x, const GradTensor * dy,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  const GradConvDesc *d = &((GradConvPlan *) base)->desc;

  if (!grad_conv_check_backward (grad_conv_desc_has_backward (d), error))
    return FALSE;
  return (grad_conv_is_stem (d) ? grad_conv_stem_backward_weights
      : grad_conv_backward_weights) (base->device, d, x, dy, dw, db, accumulate, error);
}

extern "C" const GradConvOps grad_conv_cuda_ops = {
  .supports = grad_conv_plan_supports,
  .plan = grad_conv_plan_new,
  .forward = conv_forward,
  .backward_data = conv_backward_data,
  .backward_weights = conv_backward_weights,
};
