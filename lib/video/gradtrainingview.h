/* GradStreamer: base class of sources that show a training while it runs
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../autograd/gradhistory-private.h"
#include "../base/gradelement.h"

#include <gst/base/gstpushsrc.h>
#include <gst/video/video.h>

G_BEGIN_DECLS

#define GRAD_TYPE_TRAINING_VIEW (grad_training_view_get_type ())
G_DECLARE_DERIVABLE_TYPE (GradTrainingView, grad_training_view, GRAD, TRAINING_VIEW, GstPushSrc)

/* Caps of a subclass's pad template */
#define GRAD_TRAINING_VIEW_MAX_SIZE 16384
#define GRAD_TRAINING_VIEW_CAPS(format) "video/x-raw, format=(string)" format ", " \
    "width=(int)[1, " G_STRINGIFY (GRAD_TRAINING_VIEW_MAX_SIZE) "], " \
    "height=(int)[1, " G_STRINGIFY (GRAD_TRAINING_VIEW_MAX_SIZE) "], " \
    "framerate=" GST_VIDEO_FPS_RANGE

struct _GradTrainingViewClass
{
  GstPushSrcClass parent_class;

  /* (optional) READY to PAUSED, and back: the network is there in between */
  gboolean (*begin) (GradTrainingView * view, GError ** error);
  void (*end) (GradTrainingView * view);
  /* Streaming thread, at most framerate times a second: a new frame that suits info, or NULL when there is nothing new to
   * show. The first one with these caps must be there at once: sinks wait for it, and the training for them. */
  gboolean (*draw) (GradTrainingView * view, const GstVideoInfo * info, gboolean first,
      GstBuffer ** frame, GError ** error);
};

GradBus *grad_training_view_get_bus (GradTrainingView * view);
GradNetwork *grad_training_view_get_network (GradTrainingView * view);

G_END_DECLS
