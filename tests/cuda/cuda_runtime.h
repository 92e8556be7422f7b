/* GradStreamer tests: CUDA C++ as far as our kernels use it, on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cuda_runtime_api.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static
#define __forceinline__ inline __attribute__ ((always_inline))
#define __launch_bounds__(...)
#define EMULATED_CUDA 1

struct uint3
{ unsigned x, y, z; };
struct dim3
{
  unsigned x, y, z;
  dim3 (unsigned x = 1, unsigned y = 1, unsigned z = 1):x (x), y (y), z (z) {}
};
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static const int warpSize = 32;

struct alignas (8) float2
{ float x, y; };
struct alignas (16) float4
{ float x, y, z, w; };
struct alignas (8) uint2
{ unsigned x, y; };
struct alignas (16) uint4
{ unsigned x, y, z, w; };
static inline float4 make_float4 (float x, float y, float z, float w) { return { x, y, z, w }; }

static inline int min (int a, int b) { return a < b ? a : b; }
static inline int max (int a, int b) { return a > b ? a : b; }
template < class T > static inline T __ldg (const T * p) { return *p; }
static inline float __uint_as_float (unsigned i) { float x; memcpy (&x, &i, 4); return x; }
static inline unsigned __float_as_uint (float x) { unsigned i; memcpy (&i, &x, 4); return i; }

/* Meets the other threads of the block, or of the warp. */
void emulated_sync_block (void);
void emulated_sync_warp (void);
/* What the lane of this warp puts in, all get to see between two barriers. */
void *emulated_exchange (const void *value, size_t size, int lane);

#define __syncthreads() emulated_sync_block ()
static inline void __syncwarp (unsigned mask = ~0u) { emulated_sync_warp (); }

static inline int
emulated_lane (void)
{
  return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}

template < class T > static inline T
__shfl_sync (unsigned mask, T value, int lane, int width = 32)
{
  T result;
  int self = emulated_lane ();

  lane = self / width * width + (lane & (width - 1));
  memcpy (&result, emulated_exchange (&value, sizeof value, lane), sizeof result);
  emulated_sync_warp ();
  return result;
}

template < class T > static inline T
__shfl_xor_sync (unsigned mask, T value, int flip, int width = 32)
{
  return __shfl_sync (mask, value, (emulated_lane () % width) ^ flip, width);
}

/* Runs a grid, block by block. */
void emulated_run (dim3 grid, dim3 block, const std::function < void () > &body);
/* Does it, or lets the stream record it. */
void emulated_enqueue (cudaStream_t stream, std::function < void () > work);

/* As <<< >>>: arguments are what they are now, whenever it runs. */
template < class... P > static inline void
emulated_launch (cudaStream_t stream, dim3 grid, dim3 block, void (*kernel) (P...), std::type_identity_t < P >... arguments)
{
  emulated_enqueue (stream, [=] { emulated_run (grid, block, [&] { kernel (arguments...); }); });
}
