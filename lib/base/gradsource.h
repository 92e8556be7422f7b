/* GradStreamer: base class of sources that make batches of a data set
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradelement.h"
#include "../data/gradsampler.h"

#include <gst/base/gstpushsrc.h>

G_BEGIN_DECLS

#define GRAD_TYPE_SOURCE (grad_source_get_type ())
GRAD_API G_DECLARE_DERIVABLE_TYPE (GradSource, grad_source, GRAD, SOURCE, GstPushSrc)

/**
 * GradSourceClass:
 * @parent_class: parent
 * @has_labels: whether the data has labels, as far as properties say it
 * @open: opens the data from READY to PAUSED: @data is to be trained with (with @train), evaluated or classified;
 *   @test, which may stay %NULL, is evaluated after each epoch of training
 */
struct _GradSourceClass
{
  GstPushSrcClass parent_class;

  gboolean (*has_labels) (GradSource * source);
  gboolean (*open) (GradSource * source, gboolean train, GradDataset ** data, GradDataset ** test,
      GError ** error);

  gpointer padding[GST_PADDING];
};

G_END_DECLS
