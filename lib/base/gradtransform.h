/* GradStreamer: base class of elements that make one tensor from one tensor
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/base/gstbasetransform.h>
#include "gradelement.h"

G_BEGIN_DECLS

#define GRAD_TYPE_TRANSFORM (grad_transform_get_type ())
GRAD_API G_DECLARE_DERIVABLE_TYPE (GradTransform, grad_transform, GRAD, TRANSFORM, GstBaseTransform)

/**
 * GradTransformClass:
 * @parent_class: parent
 * @input_rank: rank of input tensors: 4 or 2
 * @output_dtype: type of output tensors: float32 if a subclass does not say otherwise
 * @attach: optional: NULL to READY, the bus is known
 * @start: optional: READY to PAUSED, the device is open
 * @stop: optional: PAUSED to READY
 * @infer_shape: the output shape from the input shape, without side effects
 * @prepare: optional: caps are set; what @infer_shape said holds
 * @process: fills @out, a new buffer with metas and timestamps, from @in
 */
struct _GradTransformClass
{
  GstBaseTransformClass parent_class;

  guint input_rank;
  GradDType output_dtype;
  gboolean (*attach) (GradTransform * transform, GError ** error);
  gboolean (*start) (GradTransform * transform, GError ** error);
  void (*stop) (GradTransform * transform);
  gboolean (*infer_shape) (GradTransform * transform, const GradShape * input,
      GradShape * output, GError ** error);
  gboolean (*prepare) (GradTransform * transform, const GradShape * input, GError ** error);
  gboolean (*process) (GradTransform * transform, GradTensor * input, GstBuffer * in,
      GstBuffer * out, GError ** error);

  gpointer padding[GST_PADDING];
};

GRAD_API GradBus *grad_transform_peek_bus (GradTransform * transform);
GRAD_API GradDevice *grad_transform_peek_device (GradTransform * transform);

G_END_DECLS
