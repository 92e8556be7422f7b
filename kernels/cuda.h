/* GradStreamer kernels: what our CUDA kernels have in common
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A .cu file has kernels, which are templates on the type T of activations (float or __nv_bfloat16), and the family's op table.
 * It is compiled by nvcc for GPUs, and by the host's C++ compiler against tests/cuda for tests without one; there
 * every launch runs thread by thread. So that it can: no dynamic shared memory, no inline assembly, shuffles with all
 * lanes of a warp, and __syncthreads() that all threads reach or have left the kernel.
 *
 * Sums are deterministic: no atomics; partial sums go to scratch memory and are added in a fixed order. They are made in
 * float; what a bf16 kernel computes with is float, too. */
#pragma once

#include <cuda_runtime.h>
#include <cuda_bf16.h>

#include "lib/device/gradcudadevice-private.h"
#include "kernels/kernels.h"

#define GRAD_BODY static __device__ __host__ __forceinline__

/* GRAD_CUDA_LAUNCH (device, "what", error, grid, block, kernel, arguments…): enqueues, and returns FALSE from the function that it
 * is in when that fails. A kernel with template arguments goes in parentheses. */
#ifdef __CUDACC__
#define GRAD_CUDA_START(stream, grid, block, kernel, ...) \
  kernel <<< grid, block, 0, stream >>> (__VA_ARGS__)
#else
#define GRAD_CUDA_START(stream, grid, block, kernel, ...) \
  emulated_launch (stream, grid, block, kernel, __VA_ARGS__)
#endif
#define GRAD_CUDA_LAUNCH(device, what, error, grid, block, kernel, ...) G_STMT_START { \
  GRAD_CUDA_START (grad_cuda_device_stream (device), grid, block, kernel, __VA_ARGS__); \
  if (!grad_cuda_check (device, cudaGetLastError (), what, error)) \
    return FALSE; \
} G_STMT_END

/* Calls func<T> (…) with the type that the tensor's activations have; plain tensors are floats. */
#define GRAD_CUDA_DISPATCH(tensor, func, ...) \
  ((tensor)->layout == GRAD_CUDA_NHWC_BF16 ? func < __nv_bfloat16 > (__VA_ARGS__) \
      : func < float > (__VA_ARGS__))

template < class T > static inline T *
grad_cuda_data (const GradTensor * tensor)
{
  return tensor ? (T *) grad_tensor_data (tensor) : NULL;
}

static inline unsigned
grad_cuda_blocks (gsize n, gsize per_block)
{
  return (unsigned) ((n + per_block - 1) / per_block);
}

static __device__ __forceinline__ float
grad_load (const float *p)
{
  return *p;
}

static __device__ __forceinline__ float
grad_load (const __nv_bfloat16 * p)
{
  return __bfloat162float (*p);
}

static __device__ __forceinline__ void
grad_store (float *p, float value)
{
  *p = value;
}

static __device__ __forceinline__ void
grad_store (__nv_bfloat16 * p, float value)
{
  *p = __float2bfloat16 (value);
}

/* V values as they lie in memory: loads can come first, in a batch, and be converted when their values are used. */
template < int V, class T > struct alignas (V * sizeof (T)) GradPack
{
  T v[V];

  __device__ __forceinline__ float operator[] (int i) const { return grad_load (v + i); }
};

/* A bfloat16 is the upper half of a float: one operation each, where taking halves apart takes three. */
template < int V > requires (V % 2 == 0)
struct alignas (V * 2) [[gnu::may_alias]] GradPack < V, __nv_bfloat16 >
{
  unsigned words[V / 2];

  __device__ __forceinline__ float operator[] (int i) const
  {
    return __uint_as_float (i % 2 ? words[i / 2] & 0xffff0000u : words[i / 2] << 16);
  }
};

template < int V, class T > static __device__ __forceinline__ GradPack < V, T >
grad_load_pack (const T * p)
{
  return *(const GradPack < V, T > *)p;
}

/* V values at once, V · sizeof (T) = 4, 8 or 16 bytes, aligned to that, or V = 1. */
template < int V, class T > static __device__ __forceinline__ void
grad_load_vector (const T * p, float *values)
{
  GradPack < V, T > pack = grad_load_pack < V > (p);

#pragma unroll
  for (int i = 0; i < V; i++)
    values[i] = pack[i];
}

template < int V, class T > static __device__ __forceinline__ void
grad_store_vector (T * p, const float *values)
{
  struct alignas (V * sizeof (T)) Vector
  {
    T v[V];
  } vector;

#pragma unroll
  for (int i = 0; i < V; i++)
    grad_store (&vector.v[i], values[i]);
  *(Vector *) p = vector;
}

template < int V, class T > static __device__ __forceinline__ GradPack < V, T >
grad_make_pack (const float *values)
{
  GradPack < V, T > pack;

  grad_store_vector < V > ((T *) &pack, values);
  return pack;
}

/* Values that fit in 16 bytes */
template < class T > struct GradWidth
{
  static const int value = 16 / sizeof (T);
};
