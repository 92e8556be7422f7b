/* GradStreamer kernels: resize of uint8 pictures to float, as torchvision does it with PIL
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

/* Antialiased bilinear in fixed point, bit for bit Pillow's Image.resize (BILINEAR): horizontal pass to
 * uint8, then vertical pass to uint8; then y = (v / 255 - mean(c)) / std(c).
 * x: (N, C, IH, IW) uint8; y: float32, (N, C, OH, OW) or more samples, of which those from `first` on are written. */
typedef struct
{
  gint n, c, ih, iw, oh, ow;
  gfloat mean[4], std[4];       /* of the first four channels; further ones use the last */
} GradResizeDesc;

typedef struct
{
  GradPlan *(*plan) (GradDevice * device, const GradResizeDesc * desc, GError ** error);
  gboolean (*run) (GradPlan * plan, const GradTensor * x, GradTensor * y, gint first,
      GError ** error);
} GradResizeOps;

extern const GradResizeOps grad_resize_ref_ops;
extern const GradResizeOps grad_resize_cpu_ops;
extern const GradResizeOps grad_resize_cuda_ops;
