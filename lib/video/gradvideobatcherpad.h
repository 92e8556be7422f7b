/* GradStreamer: sink pads of elements that make batches of frames: a stream each
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/video/video.h>

G_BEGIN_DECLS

#define GRAD_TYPE_VIDEO_BATCHER_PAD (grad_video_batcher_pad_get_type ())
G_DECLARE_FINAL_TYPE (GradVideoBatcherPad, grad_video_batcher_pad, GRAD, VIDEO_BATCHER_PAD, GstPad)

/* What is known of the pad's stream. */
struct _GradVideoBatcherPad
{
  GstPad parent;

  /* streaming thread of the pad */
  GQueue pending;               /* GstEvent, to be looked at with the next frame */
  GstSegment segment;
  GstVideoInfo info;            /* written with the element's object lock */
  gboolean started;             /* whether there was a frame */
  gboolean eos;                 /* lock of the element's sender */
};

void grad_video_batcher_pad_reset (GradVideoBatcherPad * self);

G_END_DECLS
