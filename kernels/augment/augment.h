/* GradStreamer kernels: uint8 pictures, moved, turned, mirrored, and with a box erased
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

/* Where the pixels of a picture come from, and what becomes black. The pixel (column, row) comes from
 * (u, v) = (u[0] column + u[1] row + u[2], v[0] column + v[1] row + v[2]) in units of 2^-32 pixels. */
typedef struct
{
  gint64 u[3], v[3];
  gint left, top, right, bottom;        /* erased: columns [left, right), rows [top, bottom), all within the picture */
} GradAugmentMap;

/* y (n, c, row, column) = x (n, c, v, u), bilinear, with 0 wherever x has no pixel; then 0 in the box.
 * x, y: (N, C, H, W) uint8, plain; maps: (N), in host memory. In integers, the same on every device: a fraction
 * counts in 2^-16, the sum of the four products is rounded once, half up. So a map of whole pixels copies. */
typedef struct
{
  gboolean (*run) (GradDevice * device, const GradTensor * x, const GradAugmentMap * maps,
      GradTensor * y, GError ** error);
} GradAugmentOps;

extern const GradAugmentOps grad_augment_ref_ops;
extern const GradAugmentOps grad_augment_cpu_ops;
extern const GradAugmentOps grad_augment_cuda_ops;
