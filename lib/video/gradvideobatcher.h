/* GradStreamer: base class of elements that make batches of the frames of one or several videos
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradframereader.h"

G_BEGIN_DECLS

#define GRAD_TYPE_VIDEO_BATCHER (grad_video_batcher_get_type ())
G_DECLARE_DERIVABLE_TYPE (GradVideoBatcher, grad_video_batcher, GRAD, VIDEO_BATCHER, GstElement)

/**
 * GradVideoBatcherClass:
 * @parent_class: parent
 * @get_input: READY to PAUSED: what frames are to become, and of which part of them
 *
 * Pads are the base's.
 */
struct _GradVideoBatcherClass
{
  GstElementClass parent_class;

  gboolean (*get_input) (GradVideoBatcher * batcher, GradModelInput * input, GradRegion * region,
      GError ** error);
};

G_END_DECLS
