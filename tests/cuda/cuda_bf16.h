/* GradStreamer tests: CUDA's bfloat16 as far as our kernels use it, on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cuda_runtime.h"

struct alignas (2) __nv_bfloat16
{ uint16_t bits; };

static inline float
__bfloat162float (__nv_bfloat16 value)
{
  return __uint_as_float ((unsigned) value.bits << 16);
}

/* to the nearest, ties to even */
static inline __nv_bfloat16
__float2bfloat16 (float value)
{
  unsigned bits = __float_as_uint (value);

  if (value != value)
    return { 0x7fff };
  return { (uint16_t) ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) };
}
