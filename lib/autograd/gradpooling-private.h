/* GradStreamer: max pooling, for units that end with it or are nothing else
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradunit-private.h"

G_BEGIN_DECLS

/* (N, C, IH, IW) to (N, C, OH, OW) */
typedef struct
{
  gint kernel, stride, padding;
} GradPooling;

gboolean grad_pooling_infer_shape (const GradPooling * self, const GradShape * in,
    GradShape * out, GError ** error);
GradPlan *grad_pooling_plan (const GradPooling * self, GradDevice * device, const GradShape * in,
    const GradShape * out, GError ** error);
/* With a node, what backward needs is saved in that slot. */
gboolean grad_pooling_forward (GradPlan * plan, GradTensor * x, GradTensor * y, GradNode * node,
    guint slot, GError ** error);
/* The gradient at the input, which has that shape; (transfer full). */
GradTensor *grad_pooling_backward (GradPlan * plan, const GradShape * in, GradTensor * dy,
    GradNode * node, guint slot, GError ** error);

G_END_DECLS
