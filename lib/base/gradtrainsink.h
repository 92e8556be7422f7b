/* GradStreamer: base class of sinks that train a network
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/base/gstbasesink.h>
#include "gradelement.h"
#include "gradschedule.h"

G_BEGIN_DECLS

#define GRAD_TYPE_TRAIN_SINK (grad_train_sink_get_type ())
GRAD_API G_DECLARE_DERIVABLE_TYPE (GradTrainSink, grad_train_sink, GRAD, TRAIN_SINK, GstBaseSink)

/**
 * GradTrainSinkClass:
 * @parent_class: parent
 * @optimizer: what the model file says about the optimizer
 * @update: updates all parameters from their gradients
 */
struct _GradTrainSinkClass
{
  GstBaseSinkClass parent_class;

  const gchar *optimizer;
  gboolean (*update) (GradTrainSink * sink, GradNetwork * network, gdouble learning_rate,
      GError ** error);

  gpointer padding[GST_PADDING];
};

G_END_DECLS
