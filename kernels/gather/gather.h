/* GradStreamer kernels: samples of a data set that lies on the device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

/* Of devices whose memory is not the host's; others read samples where the data set is. */
typedef struct
{
  /* y(i) = set(indices[i]); set: uint8 (M, …), y: uint8 (N, …), all indices less than M. The caller may forget them. */
  gboolean (*samples) (GradDevice * device, const GradTensor * set, const guint32 * indices, GradTensor * y,
      GError ** error);
} GradGatherOps;

extern const GradGatherOps grad_gather_cuda_ops;
