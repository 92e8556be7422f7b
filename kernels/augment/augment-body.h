/* GradStreamer kernels: a pixel of an augmented picture
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

#ifndef GRAD_BODY
#define GRAD_BODY static inline __attribute__ ((always_inline))
#endif

/* Two neighbours in a row of x, (H, W), mixed: times 2^16; 0 wherever x has no pixel */
GRAD_BODY guint32
grad_augment_mix (const guint8 * x, gint h, gint w, gint row, gint column, guint32 fraction)
{
  guint32 left, right;

  if ((guint32) row >= (guint32) h)
    return 0;
  x += (gsize) row * w;
  left = (guint32) column < (guint32) w ? x[column] : 0;
  right = (guint32) column + 1 < (guint32) w ? x[column + 1] : 0;
  return left * (0x10000 - fraction) + right * fraction;
}

/* x: (H, W); at (u, v) in units of 2^-32 pixels */
GRAD_BODY guint8
grad_augment_pixel (const guint8 * x, gint h, gint w, gint64 u, gint64 v)
{
  gint column = (gint) (u >> 32), row = (gint) (v >> 32);
  guint32 across = (guint32) u >> 16, down = (guint32) v >> 16;
  guint64 top = grad_augment_mix (x, h, w, row, column, across);
  guint64 bottom = grad_augment_mix (x, h, w, row + 1, column, across);

  return (guint8) ((top * (0x10000 - down) + bottom * down + 0x80000000u) >> 32);
}
