/* GradStreamer kernels: element by element
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

/* All tensors of one call have one shape and layout; outputs may be inputs (in place). */
typedef struct
{
  /* y = a + b */
  gboolean (*add) (GradDevice * device, const GradTensor * a, const GradTensor * b,
      GradTensor * y, GError ** error);
  /* y = max (x, 0) */
  gboolean (*relu) (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error);
  /* dx = dy where y > 0, else 0 */
  gboolean (*relu_backward) (GradDevice * device, const GradTensor * y, const GradTensor * dy,
      GradTensor * dx, GError ** error);
  /* y = x, the whole storage */
  gboolean (*copy) (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error);
  /* y = 0, the whole storage */
  gboolean (*zero) (GradDevice * device, GradTensor * y, GError ** error);
} GradElementwiseOps;

/* of devices whose memory is the host's */
gboolean grad_elementwise_host_copy (GradDevice * device, const GradTensor * x, GradTensor * y,
    GError ** error);
gboolean grad_elementwise_host_zero (GradDevice * device, GradTensor * y, GError ** error);

extern const GradElementwiseOps grad_elementwise_ref_ops;
extern const GradElementwiseOps grad_elementwise_cpu_ops;
extern const GradElementwiseOps grad_elementwise_cuda_ops;
