/* GradStreamer kernels: 2D convolution by our own CUDA kernels: the first one of a network
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * 7x7 with stride 2, of pictures with few channels: there are no 16 bytes of channels per pixel to
 * read, and tensor cores would mostly multiply zeros. Weights and a patch of one channel lie in
 * shared memory. In registers a thread has 8 outputs of a row times 8 channels, or 7 taps of a row
 * times 8 channels of the gradient, and a row of pixels, which serves all 7 taps: 448 products per
 * 20 loads of 16 bytes. The gradient is summed in parts, one per block, which are added in their
 * order.
 *
 * (256, 1, 96, 96) to 64 channels: 1.85 G products in either direction, 0.055 ms on an H200's f32
 * cores; x 4.7 MB, y or dy 75 MB in bf16, dy once per channel of x: 0.019 ms. Expected 0.08 ms
 * each; times I for I channels. Not run on a GPU. */
#include "conv-cuda.h"

#define KERNEL 7
#define STRIDE 2
#define TAPS (KERNEL * KERNEL)
#define CHANNELS 64             /* of a tile of the result */
#define COLUMNS 8               /* of it, a thread's */
#define PATCH_COLUMNS ((COLUMNS - 1) * STRIDE + KERNEL)
#define HALF 12                 /* a row of a patch in shared memory: even columns, then odd ones */
#define PITCH 28                /* 4 rows of it, or 4 every other row, lie in different banks */
#define PATCH_ROWS(rows) (((rows) - 1) * STRIDE + KERNEL)

#define ROWS 16                 /* of a tile, forward */
#define THREADS (ROWS * CHANNELS / 8)

#define WEIGHT_ROWS 8           /* of a tile, weight gradient */
#define SLICES 4                /* threads that share them */
#define WEIGHT_THREADS (SLICES * KERNEL * CHANNELS / 8)

typedef struct
{
  int h, w, c;                  /* x */
  int oh, ow, o;                /* y */
  int padding;
  int tiles_i, tiles_j, tiles;  /* of a sample; of all */
  int w_columns;                /* forward: of the packed weights */
  gboolean bias, relu;
} Stem;

typedef struct
{
  int n, i, j;                  /* of its first output */
} Tile;

static __device__ __forceinline__ Tile
tile_at (const Stem & g, int tile, int rows)
{
  int n = tile / (g.tiles_i * g.tiles_j), rest = tile - n * g.tiles_i * g.tiles_j;
  int i = rest / g.tiles_j;

  return { n, i * rows, (rest - i * g.tiles_j) * COLUMNS };
}

/* Channel c of what a tile with that first output sees; a warp loads a row */
template < int N_ROWS, int N_THREADS, class T > static __device__ __forceinline__ void
load_patch (const T * x, const Stem & g, const Tile & tile, int c, float (*patch)[PITCH])
{
  int row = threadIdx.x / 32, column = threadIdx.x % 32;
  int i = tile.i * STRIDE - g.padding + row, j = tile.j * STRIDE - g.padding + column;
  gboolean inside = (unsigned) j < (unsigned) g.w;

  x += (((gint64) tile.n * g.h + i) * g.w + j) * g.c + c;
  if (column < PATCH_COLUMNS)
#pragma unroll 5
    for (int k = 0; k < N_ROWS - row; k += N_THREADS / 32)
      patch[row + k][column % STRIDE * HALF + column / STRIDE] =
          inside && (unsigned) (i + k) < (unsigned) g.h
          ? grad_load (x + (gint64) k * g.w * g.c) : 0;
}

/* What taps of even (0) or odd (1) number see: of tap q and output k, half[q / 2 + k] */
static __device__ __forceinline__ void
load_half (const float *row, int odd, float *half)
{
#pragma unroll
  for (int k = 0; k < HALF; k += 4)
    grad_load_vector < 4 > (row + odd * HALF + k, half + k);
}

/* 8 values: 4 from `column`, 4 from half a row further */
static __device__ __forceinline__ void
load_channels (const float *row, int column, float *values)
{
  grad_load_vector < 4 > (row + column, values);
  grad_load_vector < 4 > (row + CHANNELS / 2 + column, values + 4);
}

/* A thread's 8 channels lie as load_channels() wants them: two pieces of 4 */
static __device__ __forceinline__ void
load_weights (const float *w, gsize stride, float (*ws)[CHANNELS])
{
  int piece = threadIdx.x % (CHANNELS / 4), tap = threadIdx.x / (CHANNELS / 4);
  float *to = &ws[tap][piece % 2 * (CHANNELS / 2) + piece / 2 * 4];

  w += tap * stride + piece * 4;
#pragma unroll 4
  for (int k = 0; k < TAPS - tap; k += THREADS / (CHANNELS / 4))
    *(float4 *) (to + k * CHANNELS) = *(const float4 *) (w + k * stride);
}

template < class T > __global__ void __launch_bounds__ (THREADS, 4)
forward_kernel (const T * x, const float *w, const float *bias, T * y, const Stem g)
{
  alignas (16) __shared__ float ws[TAPS][CHANNELS], xs[PATCH_ROWS (ROWS)][PITCH];
  int tx = threadIdx.x % 8, row = threadIdx.x / 8, o = blockIdx.y * CHANNELS + tx * 8;

  w += blockIdx.y * CHANNELS;
  for (int t = blockIdx.x; t < g.tiles; t += gridDim.x) {
    Tile tile = tile_at (g, t, ROWS);
    float sums[COLUMNS][8] = { };

    for (int c = 0; c < g.c; c++) {
      __syncthreads ();
      if (g.c > 1 || t == (int) blockIdx.x)
        load_weights (w + (gsize) c * g.w_columns, (gsize) g.c * g.w_columns, ws);
      load_patch < PATCH_ROWS (ROWS), THREADS > (x, g, tile, c, xs);
      __syncthreads ();
#pragma unroll 1
      for (int p = 0; p < KERNEL; p++) {
#pragma unroll
        for (int odd = 0; odd < STRIDE; odd++) {
          float half[HALF];

          load_half (xs[row * STRIDE + p], odd, half);
#pragma unroll
          for (int q = odd; q < KERNEL; q += STRIDE) {
            float wo[8];

            load_channels (ws[p * KERNEL + q], tx * 4, wo);
#pragma unroll
            for (int k = 0; k < COLUMNS; k++)
#pragma unroll
              for (int v = 0; v < 8; v++)
                sums[k][v] += half[q / STRIDE + k] * wo[v];
          }
        }
      }
    }
    if (tile.i + row < g.oh && o < g.o) {
      gsize at = (((gsize) tile.n * g.oh + tile.i + row) * g.ow + tile.j) * g.o + o;

#pragma unroll
      for (int k = 0; k < COLUMNS; k++, at += g.o)
        if (tile.j + k < g.ow)
          grad_conv_finish < 8 > (sums[k], 8, TRUE, bias ? bias + o : NULL, (const T *) NULL,
              y + at, g.relu);
    }
  }
}

/* blockIdx.y: a channel of x and 64 of y; what blockIdx.x's tiles make is part blockIdx.x */
template < class T > __global__ void __launch_bounds__ (WEIGHT_THREADS, 2)
weights_kernel (const T * x, const T * dy, float *parts, const Stem g)
{
  const int OUTPUTS = WEIGHT_ROWS * COLUMNS, V = GradWidth < T >::value, PIECES = CHANNELS / V;
  alignas (16) __shared__ float ys[OUTPUTS][CHANNELS];
  alignas (16) __shared__ float xs[PATCH_ROWS (WEIGHT_ROWS)][PITCH];
  float (*total)[TAPS] = (float (*)[TAPS]) ys;  /* in the end: of all slices */
  int tx = threadIdx.x % 8, unit = threadIdx.x / 8, p = unit % KERNEL, slice = unit / KERNEL;
  int c = blockIdx.y % g.c, first = blockIdx.y / g.c * CHANNELS;
  int part_row = TAPS * g.c + (g.bias ? 1 : 0);
  float sums[KERNEL][8] = { }, bias = 0;

  for (int t = blockIdx.x; t < g.tiles; t += gridDim.x) {
    Tile tile = tile_at (g, t, WEIGHT_ROWS);

    __syncthreads ();
    for (int k = threadIdx.x; k < OUTPUTS * PIECES; k += WEIGHT_THREADS) {
      int output = k / PIECES, channel = k % PIECES * V;
      int i = tile.i + output / COLUMNS, j = tile.j + output % COLUMNS;
      GradPack < V, T > pack = { };

      if (i < g.oh && j < g.ow && first + channel < g.o)
        pack = grad_load_pack < V > (dy
            + (((gsize) tile.n * g.oh + i) * g.ow + j) * g.o + first + channel);
      grad_conv_unpack (pack, &ys[output][channel]);
    }
    load_patch < PATCH_ROWS (WEIGHT_ROWS), WEIGHT_THREADS > (x, g, tile, c, xs);
    __syncthreads ();
    if (g.bias && c == 0 && threadIdx.x < CHANNELS)
      for (int k = 0; k < OUTPUTS; k++)
        bias += ys[k][threadIdx.x];
#pragma unroll 1
    for (int row = slice; row < WEIGHT_ROWS; row += SLICES) {
      float half[STRIDE][HALF];

      load_half (xs[row * STRIDE + p], 0, half[0]);
      load_half (xs[row * STRIDE + p], 1, half[1]);
#pragma unroll
      for (int k = 0; k < COLUMNS; k++) {
        float d[8];

        load_channels (ys[row * COLUMNS + k], tx * 4, d);
#pragma unroll
        for (int q = 0; q < KERNEL; q++)
#pragma unroll
          for (int v = 0; v < 8; v++)
            sums[q][v] += half[q % STRIDE][q / STRIDE + k] * d[v];
      }
    }
  }
  for (int s = 0; s < SLICES; s++) {
    __syncthreads ();
    if (s == slice)
#pragma unroll
      for (int v = 0; v < 8; v++) {
        float *to = &total[v / 4 * (CHANNELS / 2) + tx * 4 + v % 4][p * KERNEL];

#pragma unroll
        for (int q = 0; q < KERNEL; q++)
          to[q] = s == 0 ? sums[q][v] : to[q] + sums[q][v];
      }
  }
  __syncthreads ();
  parts += ((gsize) blockIdx.x * g.o + first) * part_row;
  for (int k = threadIdx.x; k < CHANNELS * TAPS; k += WEIGHT_THREADS) {
    int o = k / TAPS, tap = k - o * TAPS;

    if (first + o < g.o)
      parts[(gsize) o * part_row + tap * g.c + c] = total[o][tap];
  }
  if (g.bias && c == 0 && threadIdx.x < CHANNELS && first + (int) threadIdx.x < g.o)
    parts[(gsize) threadIdx.x * part_row + TAPS * g.c] = bias;
}

/* ---- host */

/* With less than 17 channels of the result the tiles of 16 of the general kernels waste less. */
gboolean
grad_conv_is_stem (const GradConvDesc * d)
{
  return d->kernel == KERNEL && d->stride == STRIDE && d->ic <= 4 && d->oc > 16
      && d->oc % 8 == 0 && !d->add;
}

static Stem
stem (const GradConvDesc * d, int rows)
{
  int tiles_i = (d->oh + rows - 1) / rows, tiles_j = (d->ow + COLUMNS - 1) / COLUMNS;

  return (Stem) {
    .h = d->ih,.w = d->iw,.c = d->ic,.oh = d->oh,.ow = d->ow,.o = d->oc,.padding = d->padding,
    .tiles_i = tiles_i,.tiles_j = tiles_j,.tiles = d->n * tiles_i * tiles_j,
    .bias = d->bias,.relu = d->relu,
  };
}

/* So many tiles for so many blocks that each gets as many, or one less */
static guint
share (guint tiles, guint blocks)
{
  guint each = (tiles + MAX (blocks, 1) - 1) / MAX (blocks, 1);

  return (tiles + each - 1) / each;
}

template < class T > static gboolean
forward (GradDevice * device, const GradTensor * x, const float *w, const GradTensor * b,
    GradTensor * y, const Stem * g, GError ** error)
{
  guint n_y = grad_cuda_blocks (g->o, CHANNELS);
  dim3 grid (share (g->tiles, grad_cuda_device_n_multiprocessors (device) * 4 / n_y), n_y);

  GRAD_CUDA_LAUNCH (device, "convolution", error, grid, THREADS, (forward_kernel < T >),
      grad_cuda_data < const T > (x), w, grad_cuda_data < const float >(b),
      grad_cuda_data < T > (y), *g);
  return TRUE;
}

gboolean
grad_conv_stem_forward (GradDevice * device, const GradConvDesc * d, const GradTensor * x,
    const GradTensor * w, const GradTensor * b, GradTensor * y, GError ** error)
{
  GradConvPacking packing = grad_conv_packing (d, CHANNELS);
  Stem g = stem (d, ROWS);
  gsize capacity;
  float *packed = (float *) grad_device_pool_get (device,
      (gsize) packing.rows * packing.columns * sizeof (float), &capacity, error);
  gboolean ok;

  if (packed == NULL)
    return FALSE;
  g.w_columns = packing.columns;
  ok = grad_conv_pack (device, &packing, w, packed, error)
      && GRAD_CUDA_DISPATCH (y, forward, device, x, packed, b, y, &g, error);
  grad_device_pool_put (device, packed, capacity);
  return ok;
}

template < class T > static gboolean
backward_weights (GradDevice * device, const GradTensor * x, const GradTensor * dy, float *parts,
    dim3 grid, const Stem * g, GError ** error)
{
  GRAD_CUDA_LAUNCH (device, "convolution's weight gradient", error, grid, WEIGHT_THREADS,
      (weights_kernel < T >), grad_cuda_data < const T > (x), grad_cuda_data < const T > (dy),
      parts, *g);
  return TRUE;
}

gboolean
grad_conv_stem_backward_weights (GradDevice * device, const GradConvDesc * d, const GradTensor * x,
    const GradTensor * dy, GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  Stem g = stem (d, WEIGHT_ROWS);
  guint n_y = d->ic * grad_cuda_blocks (d->oc, CHANNELS);
  dim3 grid (share (g.tiles, grad_cuda_device_n_multiprocessors (device) * 2 / n_y), n_y);
  gsize capacity;
  float *parts = (float *) grad_device_pool_get (device,
      grid.x * d->oc * grad_conv_part_row (d) * sizeof (float), &capacity, error);
  gboolean ok;

  if (parts == NULL)
    return FALSE;
  ok = GRAD_CUDA_DISPATCH (x, backward_weights, device, x, dy, parts, grid, &g, error)
      && grad_conv_add_parts (device, d, parts, grid.x, dw, db, accumulate, error);
  grad_device_pool_put (device, parts, capacity);
  return ok;
}
