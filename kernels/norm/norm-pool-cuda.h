/* GradStreamer kernels: batch normalisation, ReLU and max pooling in one, cuda: what forward and backward have in common
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A place is a byte: FIRST less the number of the pixel in its window, by rows, or 0 where the ReLU cut. The earlier, the larger. */
#pragma once

#include "norm-cuda.h"

#define FIRST 255u
#define BLOCKS 2                /* per multiprocessor: what windows are made of is under way at once, in up to 128 registers */
#define BOUNDS __launch_bounds__ (GRAD_ROWS_THREADS, BLOCKS)

/* There are kernels for 3x3/2, and for any other. */
static inline bool
is_special (const GradPoolDesc * d)
{
  return d->kernel == 3 && d->stride == 2;
}

/* In pictures of h rows and w columns */
struct Position
{
  int n, h, w;
};

static __device__ __forceinline__ Position
position (unsigned i, int h, int w)
{
  unsigned row = i / w;

  return { (int) (row / h), (int) (row % h), (int) (i % w) };
}

static __device__ __forceinline__ void
advance (Position & at, const Position & step, int h, int w)
{
  at.w += step.w;
  at.h += step.h + (at.w >= w);
  at.w -= at.w >= w ? w : 0;
  at.n += step.n + (at.h >= h);
  at.h -= at.h >= h ? h : 0;
}

/* What is outside of a picture of `size` rows or columns counts as what is at its edge: windows have that anyway. */
static __device__ __forceinline__ int
inside (int i, int size)
{
  return min (max (i, 0), size - 1);
}

/* Offset of a pixel's first channel */
static __device__ __forceinline__ gsize
offset (const Position & at, int h, int w, int channels)
{
  return (gsize) (unsigned) ((at.n * h + at.h) * w + at.w) * channels;
}
