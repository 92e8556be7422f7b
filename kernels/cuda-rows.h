/* GradStreamer kernels: how CUDA kernels walk rows of channels
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Pictures are a matrix of N H W rows and C columns. A thread has V neighbouring channels, 16 bytes; threadIdx.x counts
 * such groups, threadIdx.y rows. A block is at most 32 groups wide (512 bytes), so that blocks of few rows need not write
 * sums of many channels; blocks that lie side by side have neighbouring numbers. Narrow rows follow each other without a
 * gap. */
#pragma once

#include "kernels/cuda.h"

#define GRAD_ROWS_THREADS 256
#define GRAD_ROWS_BLOCKS 3      /* per multiprocessor: 80 registers per thread */
#define GRAD_ROWS_WAVES 4       /* of blocks without sums, beside a second stream that may have taken some multiprocessors */
#define GRAD_ROWS_BOUNDS __launch_bounds__ (GRAD_ROWS_THREADS, GRAD_ROWS_BLOCKS)

struct GradRows
{
  gsize rows;
  int channels;
  int width, height;            /* of a block, in threads */
  int chunks;                   /* blocks side by side */
};

template < int V > static inline GradRows
grad_rows (gsize rows, int channels)
{
  int groups = channels / V, chunks = (groups + 31) / 32, width = (groups + chunks - 1) / chunks;

  return (GradRows) {
    .rows = rows,
    .channels = channels,
    .width = width,
    .height = (int) MIN ((gsize) (GRAD_ROWS_THREADS / width), rows),
    .chunks = chunks,
  };
}

/* A tile is what a block reads of its channels in `unroll` steps. */
static __device__ __host__ __forceinline__ gsize
grad_rows_tiles (const GradRows & m, int unroll)
{
  return (m.rows + m.height * unroll - 1) / (m.height * unroll);
}

/* How many blocks share the tiles, as many as run at a time: part p has tiles p, p + parts … */
static inline unsigned
grad_rows_parts (GradDevice * device, const GradRows & m, int unroll, unsigned per_multiprocessor = GRAD_ROWS_BLOCKS)
{
  gsize blocks = grad_cuda_device_n_multiprocessors (device) * per_multiprocessor;

  return MIN (grad_rows_tiles (m, unroll), MAX (blocks / m.chunks, 1));
}

/* The first channel of this thread; beyond the last one there is nothing to do. */
template < int V > static __device__ __forceinline__ int
grad_rows_channel (const GradRows & m)
{
  return (blockIdx.x % m.chunks * m.width + threadIdx.x) * V;
}

/* A tile as one thread sees it: the offset of its first row, how far it is to the next one, and how many it has */
struct GradRowsTile
{
  gsize at;
  int step, n;
};

template < int U > static __device__ __forceinline__ GradRowsTile
grad_rows_tile (const GradRows & m, gsize tile, int channel)
{
  gsize row = tile * m.height * U + threadIdx.y;
  int left = row < m.rows ? (int) MIN (m.rows - row, (gsize) (m.height * U)) : 0, n = 0;

#pragma unroll
  for (int u = 0; u < U; u++)
    n += u * m.height < left;
  return { row * m.channels + channel, m.height * m.channels, n };
}

/* Its row u, zeros beyond the last one */
template < int V, class T > static __device__ __forceinline__ GradPack < V, T >
grad_rows_load (const GradRowsTile & tile, const T * p, int u)
{
  if (u < tile.n)
    return grad_load_pack < V > (p + tile.at + u * tile.step);
  return GradPack < V, T > ();
}

/* Parameters and the like: V floats, of which 4 make 16 bytes */
template < int V > static __device__ __forceinline__ void
grad_rows_parameters (const float *p, float *values)
{
  const int W = V < 4 ? V : 4;

#pragma unroll
  for (int i = 0; i < V; i += W)
    grad_load_vector < W > (p + i, values + i);
}

/* Sums K values of each thread over threadIdx.y, in pairs; the threads of row 0 have the result. For blocks of
 * blockDim.x · blockDim.y <= GRAD_ROWS_THREADS. */
template < int K, class Real > static __device__ __forceinline__ void
grad_rows_sum (Real * values)
{
  __shared__ Real others[K][GRAD_ROWS_THREADS / 2];
  int row = threadIdx.y;

  for (int n = blockDim.y, half; n > 1; n = half) {
    half = (n + 1) / 2;
    if (row >= half && row < n)
#pragma unroll
      for (int k = 0; k < K; k++)
        others[k][(row - half) * blockDim.x + threadIdx.x] = values[k];
    __syncthreads ();
    if (row < n - half)
#pragma unroll
      for (int k = 0; k < K; k++)
        values[k] += others[k][row * blockDim.x + threadIdx.x];
    __syncthreads ();
  }
}

/* Calls func<T, V> (…) for the tensor's layout and channels: V values are 16 bytes, or one where that does not come out
 * even. */
#define GRAD_ROWS_DISPATCH_TYPE(T, channels, func, ...) \
  ((channels) % GradWidth < T >::value == 0 ? func < T, GradWidth < T >::value > (__VA_ARGS__) \
      : func < T, 1 > (__VA_ARGS__))
#define GRAD_ROWS_DISPATCH(tensor, func, ...) \
  ((tensor)->layout == GRAD_CUDA_NHWC_BF16 \
      ? GRAD_ROWS_DISPATCH_TYPE (__nv_bfloat16, (tensor)->shape.dims[1], func, __VA_ARGS__) \
      : GRAD_ROWS_DISPATCH_TYPE (float, (tensor)->shape.dims[1], func, __VA_ARGS__))
