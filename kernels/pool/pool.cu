/* GradStreamer kernels: max pooling and global average pooling, cuda
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   max:    x, dx: (N, IH, IW, C), y, dy: (N, OH, OW, C), workspace: (N, OH, OW, C), the place of the largest
 *           value in its window; a byte, or 4 for windows of more than 16x16
 *   global: x, dx: (N, H, W, C), y, dy: (N, C) plain
 *   y =, dx =; deterministic
 *
 * Memory bound. Bytes, bf16: max forward 2 per element of x, 2 and 1 (workspace) per one of y; backward the same, 2.75 per
 * element of x for 3x3/2. Global: 2 per element of x. All that is the floor, provided that windows that overlap meet in the L1
 * cache: a block of max pooling is a square of pixels. */
#include "kernels/cuda-rows.h"

#define UNROLL 4                /* rows, of global pooling */
#define BYTE_KERNEL 16          /* places in larger windows do not fit in a byte */

static gsize
workspace_size (GradPlan * plan)
{
  const GradPoolDesc *d = &((GradPoolPlan *) plan)->desc;

  return (gsize) d->n * d->c * d->oh * d->ow * (d->kernel > BYTE_KERNEL ? sizeof (guint32) : 1);
}

/* Planes of pixels, each thread at one pixel with V channels: blocks are `width` groups of channels by tile_w by tile_h */
struct Planes
{
  int channels, h, w;
  int width, chunks, tile_h, tile_w, tiles_h, tiles_w;
};

struct Pixel
{
  int n, h, w, channel;
};

template < int V > static Planes
planes_of (int channels, int h, int w)
{
  GradRows m = grad_rows < V > ((gsize) h * w, channels);
  int tile_h = 1, tile_w;

  while (4 * tile_h * tile_h <= m.height)
    tile_h *= 2;
  tile_h = MIN (tile_h, h);
  tile_w = MIN (m.height / tile_h, w);
  return (Planes) {
    .channels = channels,.h = h,.w = w,
    .width = m.width,.chunks = m.chunks,.tile_h = tile_h,.tile_w = tile_w,
    .tiles_h = (h + tile_h - 1) / tile_h,.tiles_w = (w + tile_w - 1) / tile_w,
  };
}

template < int V > static __device__ __forceinline__ bool
find_pixel (const Planes & p, Pixel & at)
{
  unsigned b = blockIdx.x;

  at.channel = (b % p.chunks * p.width + threadIdx.x) * V;
  b /= p.chunks;
  at.w = b % p.tiles_w * p.tile_w + threadIdx.y;
  b /= p.tiles_w;
  at.h = b % p.tiles_h * p.tile_h + threadIdx.z;
  at.n = b / p.tiles_h;
  return at.channel < p.channels && at.w < p.w && at.h < p.h;
}

/* Minus infinity, as padding counts */
template < int V, class T > static __device__ __forceinline__ GradPack < V, T >
lowest (void)
{
  float values[V];

#pragma unroll
  for (int v = 0; v < V; v++)
    values[v] = -INFINITY;
  return grad_make_pack < V, T > (values);
}

/* K is the window, 0: d.kernel; NOTE: write places. As in the reference, the first value of a window stays unless a later one is
 * larger: so does one that is not a number. */
template < class T, int V, int K, bool NOTE, class Place > static __global__ void GRAD_ROWS_BOUNDS
max_kernel (Planes p, GradPoolDesc d, const T * x, T * y, Place * places)
{
  const int columns = K > 0 ? K : 1;    /* that are read at a time */
  int kernel = K > 0 ? K : d.kernel, top, left, first, place[V] = { };
  float best[V] = { };
  Pixel at;
  gsize to;

  if (!find_pixel < V > (p, at))
    return;
  top = at.h * d.stride - d.padding;
  left = at.w * d.stride - d.padding;
  first = max (-top, 0) * kernel + max (-left, 0);
  x += (gsize) at.n * d.ih * d.iw * d.c + at.channel;
#pragma unroll (columns)
  for (int i = 0; i < kernel; i++)
#pragma unroll (1)
    for (int j = 0; j < kernel; j += columns) {
      GradPack < V, T > values[columns];

#pragma unroll
      for (int k = 0; k < columns; k++)
        if ((unsigned) (top + i) < (unsigned) d.ih && (unsigned) (left + j + k) < (unsigned) d.iw)
          values[k] = grad_load_pack < V > (x + ((gsize) (top + i) * d.iw + (left + j + k)) * d.c);
        else
          values[k] = lowest < V, T > ();
#pragma unroll
      for (int k = 0; k < columns; k++)
#pragma unroll
        for (int v = 0; v < V; v++) {
          float value = values[k][v];
          int here = i * kernel + j + k;
          bool larger = (here == first) | (value > best[v]);

          best[v] = larger ? value : best[v];
          if (NOTE)
            place[v] = larger ? here : place[v];
        }
    }
  to = (((gsize) at.n * p.h + at.h) * p.w + at.w) * d.c + at.channel;
  grad_store_vector < V > (y + to, best);
  if (NOTE) {
    GradPack < V, Place > pack;

#pragma unroll
    for (int v = 0; v < V; v++)
      pack.v[v] = place[v];
    *(GradPack < V, Place > *)(places + to) = pack;
  }
}

/* Pixels gather from the windows that cover them. A thread has a cell of S by S pixels, those whose last window is (a, b): row q
 * of the cell is row t S + q of the window a - t. With K and S, the window and stride, known when it is compiled the
 * windows are read once for all of the cell; K = 0: any. */
template < class T, int V, int K, int S, class Place > static __global__ void GRAD_ROWS_BOUNDS
max_backward_kernel (Planes p, GradPoolDesc d, const T * dy, const Place * places, T * dx)
{
  const int W = K > 0 ? (K + S - 1) / S : 1;
  int kernel = K > 0 ? K : d.kernel, stride = K > 0 ? S : d.stride;
  GradPack < V, T > values[W][W];
  GradPack < V, Place > place[W][W];
  Pixel at;

  if (!find_pixel < V > (p, at))
    return;
  auto read = [&] (int t, int u, GradPack < V, T > &value, GradPack < V, Place > &from) {
    gsize window = (((gsize) at.n * d.oh + (at.h - t)) * d.ow + (at.w - u)) * d.c + at.channel;

    value = { };
    from = { };
    if ((unsigned) (at.h - t) < (unsigned) d.oh && (unsigned) (at.w - u) < (unsigned) d.ow) {
      value = grad_load_pack < V > (dy + window);
      from = grad_load_pack < V > (places + window);
    }
  };
  if (K > 0)
#pragma unroll
    for (int t = 0; t < W; t++)
#pragma unroll
      for (int u = 0; u < W; u++)
        read (t, u, values[t][u], place[t][u]);
#pragma unroll (K > 0 ? S : 1)
  for (int q = 0; q < stride; q++)
#pragma unroll (K > 0 ? S : 1)
    for (int r = 0; r < stride; r++) {
      int h = at.h * stride + q - d.padding, w = at.w * stride + r - d.padding;
      float sums[V] = { };

      /* the windows' order is that of the reference */
#pragma unroll (W)
      for (int t = (kernel - 1 - q + stride) / stride - 1; t >= 0; t--)
#pragma unroll (W)
        for (int u = (kernel - 1 - r + stride) / stride - 1; u >= 0; u--) {
          unsigned here = (t * stride + q) * kernel + u * stride + r;
          int i = K > 0 ? t : 0, j = K > 0 ? u : 0;

          if (K == 0)
            read (t, u, values[0][0], place[0][0]);
#pragma unroll
          for (int v = 0; v < V; v++)
            sums[v] += place[i][j].v[v] == here ? values[i][j][v] : 0;
        }
      if ((unsigned) h < (unsigned) d.ih && (unsigned) w < (unsigned) d.iw)
        grad_store_vector < V > (dx + (((gsize) at.n * d.ih + h) * d.iw + w) * d.c + at.channel, sums);
    }
}

template < class T, int V, int K, bool NOTE, class Place > static gboolean
launch_max (GradDevice * device, const GradPoolDesc * d, const T * x, T * y, Place * places, GError ** error)
{
  Planes p = planes_of < V > (d->c, d->oh, d->ow);

  GRAD_CUDA_LAUNCH (device, "max pooling", error, (unsigned) d->n * p.tiles_h * p.tiles_w * p.chunks,
      dim3 (p.width, p.tile_w, p.tile_h), (max_kernel < T, V, K, NOTE, Place >), p, *d, x, y, places);
  return TRUE;
}

template < class T, int V, int K, class Place > static gboolean
run_max (GradDevice * device, const GradPoolDesc * d, const GradTensor * x, GradTensor * y,
    GradTensor * workspace, GError ** error)
{
  const T *xs = grad_cuda_data < const T > (x);
  T *ys = grad_cuda_data < T > (y);
  Place *places = grad_cuda_data < Place > (workspace);

  return places ? launch_max < T, V, K, true > (device, d, xs, ys, places, error)
      : launch_max < T, V, K, false > (device, d, xs, ys, places, error);
}

template < class T, int V, int K, int S, class Place > static gboolean
run_max_backward (GradDevice * device, const GradPoolDesc * d, const GradTensor * dy,
    const GradTensor * workspace, GradTensor * dx, GError ** error)
{
  Planes p = planes_of < V > (d->c, (d->ih - 1 + d->padding) / d->stride + 1,
      (d->iw - 1 + d->padding) / d->stride + 1);

  GRAD_CUDA_LAUNCH (device, "backward of max pooling", error,
      (unsigned) d->n * p.tiles_h * p.tiles_w * p.chunks, dim3 (p.width, p.tile_w, p.tile_h),
      (max_backward_kernel < T, V, K, S, Place >), p, *d, grad_cuda_data < const T > (dy),
      grad_cuda_data < const Place > (workspace), grad_cuda_data < T > (dx));
  return TRUE;
}

template < class T, int V > static gboolean
max_typed (GradDevice * device, const GradPoolDesc * d, const GradTensor * x, GradTensor * y,
    GradTensor * workspace, GError ** error)
{
  return d->kernel == 2 ? run_max < T, V, 2, guint8 > (device, d, x, y, workspace, error)
      : d->kernel == 3 ? run_max < T, V, 3, guint8 > (device, d, x, y, workspace, error)
      : d->kernel <= BYTE_KERNEL ? run_max < T, V, 0, guint8 > (device, d, x, y, workspace, error)
      : run_max < T, 1, 0, guint32 > (device, d, x, y, workspace, error);
}

template < class T, int V > static gboolean
max_backward_typed (GradDevice * device, const GradPoolDesc * d, const GradTensor * dy,
    const GradTensor * workspace, GradTensor * dx, GError ** error)
{
  return d->kernel == 2 && d->stride == 2
      ? run_max_backward < T, V, 2, 2, guint8 > (device, d, dy, workspace, dx, error)
      : d->kernel == 3 && d->stride == 2
      ? run_max_backward < T, V, 3, 2, guint8 > (device, d, dy, workspace, dx, error)
      : d->kernel <= BYTE_KERNEL
      ? run_max_backward < T, V, 0, 1, guint8 > (device, d, dy, workspace, dx, error)
      : run_max_backward < T, 1, 0, 1, guint32 > (device, d, dy, workspace, dx, error);
}

static gboolean
forward (GradPlan * plan, const GradTensor * x, GradTensor * y, GradTensor * workspace,
    GError ** error)
{
  return GRAD_ROWS_DISPATCH (x, max_typed, plan->device, &((GradPoolPlan *) plan)->desc, x, y, workspace,
      error);
}

static gboolean
backward (GradPlan * plan, const GradTensor * dy, const GradTensor * workspace, GradTensor * dx,
    GError ** error)
{
  return GRAD_ROWS_DISPATCH (dx, max_backward_typed, plan->device, &((GradPoolPlan *) plan)->desc, dy,
      workspace, dx, error);
}

/* ---- global: a matrix for each n */

template < class T, int V > static __global__ void GRAD_ROWS_BOUNDS
mean_kernel (GradRows m, const T * x, float *y)
{
  int channel = grad_rows_channel < V > (m);
  gsize n = blockIdx.x / m.chunks;
  float sums[V] = { };

  if (channel >= m.channels)
    return;
  x += n * m.rows * m.channels;
  for (gsize i = 0; i < grad_rows_tiles (m, UNROLL); i++) {
    GradRowsTile tile = grad_rows_tile < UNROLL > (m, i, channel);
    GradPack < V, T > xs[UNROLL];

#pragma unroll
    for (int u = 0; u < UNROLL; u++)
      xs[u] = grad_rows_load < V > (tile, x, u);
#pragma unroll
    for (int u = 0; u < UNROLL; u++)
#pragma unroll
      for (int v = 0; v < V; v++)
        sums[v] += xs[u][v];
  }
  grad_rows_sum < V > (sums);
  if (threadIdx.y == 0)
    for (int v = 0; v < V; v++)
      y[n * m.channels + channel + v] = sums[v] / m.rows;
}

template < class T, int V > static __global__ void GRAD_ROWS_BOUNDS
mean_backward_kernel (GradRows m, unsigned tiles, const float *dy, T * dx)
{
  int channel = grad_rows_channel < V > (m);
  gsize n = blockIdx.x / m.chunks / tiles;
  GradRowsTile tile = grad_rows_tile < UNROLL > (m, blockIdx.x / m.chunks % tiles, channel);
  float values[V];

  if (channel >= m.channels)
    return;
  grad_rows_parameters < V > (dy + n * m.channels + channel, values);
#pragma unroll
  for (int v = 0; v < V; v++)
    values[v] /= m.rows;
  dx += n * m.rows * m.channels;
#pragma unroll
  for (int u = 0; u < UNROLL; u++)
    if (u < tile.n)
      grad_store_vector < V > (dx + tile.at + u * tile.step, values);
}

template < class T, int V > static gboolean
run_mean (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error)
{
  const gint *dims = x->shape.dims;
  GradRows m = grad_rows < V > ((gsize) dims[2] * dims[3], dims[1]);

  GRAD_CUDA_LAUNCH (device, "global pooling", error, (unsigned) dims[0] * m.chunks,
      dim3 (m.width, m.height), (mean_kernel < T, V >), m, grad_cuda_data < const T > (x),
      grad_cuda_data < float >(y));
  return TRUE;
}

template < class T, int V > static gboolean
run_mean_backward (GradDevice * device, const GradTensor * dy, GradTensor * dx, GError ** error)
{
  const gint *dims = dx->shape.dims;
  GradRows m = grad_rows < V > ((gsize) dims[2] * dims[3], dims[1]);
  unsigned tiles = grad_rows_tiles (m, UNROLL);

  GRAD_CUDA_LAUNCH (device, "backward of global pooling", error, dims[0] * tiles * m.chunks,
      dim3 (m.width, m.height), (mean_backward_kernel < T, V >), m, tiles,
      grad_cuda_data < const float >(dy), grad_cuda_data < T > (dx));
  return TRUE;
}

static gboolean
global_forward (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error)
{
  return GRAD_ROWS_DISPATCH (x, run_mean, device, x, y, error);
}

static gboolean
global_backward (GradDevice * device, const GradTensor * dy, GradTensor * dx, GError ** error)
{
  return GRAD_ROWS_DISPATCH (dx, run_mean_backward, device, dy, dx, error);
}

extern "C" const GradPoolOps grad_pool_cuda_ops = {
  .supports = grad_pool_plan_supports,
  .plan = grad_pool_plan_new,
  .workspace_size = workspace_size,
  .forward = forward,
  .backward = backward,
  .global_forward = global_forward,
  .global_backward = global_backward,
};
