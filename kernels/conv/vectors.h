/* GradStreamer kernels: LANES channels at a time, for loops that are compiled once for each width
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * To be included with LANES and TARGET defined. Vector types say what compilers would have to find in loops over lanes, and don't
 * always find. */
#pragma once

#include "kernels/cpu.h"

#define INLINE TARGET GRAD_INLINE

typedef gfloat Vector __attribute__ ((vector_size (4 * LANES), aligned (4 * LANES), may_alias));
typedef guint32 Bits __attribute__ ((vector_size (4 * LANES)));
typedef guint16 Half __attribute__ ((vector_size (2 * LANES), may_alias));

/* LANES channels in memory, floats or bfloat16 as grad_load() and grad_store() have them */
INLINE Vector
load_pixel (gconstpointer pixel, gboolean bf16)
{
  return bf16 ? (Vector) (__builtin_convertvector (*(const Half *) pixel, Bits) << 16)
      : *(const Vector *) pixel;
}

/* in the lower halves */
INLINE Bits
bf16_bits (Vector value)
{
  Bits bits = (Bits) value, nan = (Bits) (value != value);

  return (((bits | 0x400000) & nan) | ((bits + 0x7fff + (bits >> 16 & 1)) & ~nan)) >> 16;
}

INLINE void
store_pixel (gpointer pixel, Vector value, gboolean bf16)
{
  if (!bf16)
    *(Vector *) pixel = value;
  else
    *(Half *) pixel = __builtin_convertvector (bf16_bits (value), Half);
}
