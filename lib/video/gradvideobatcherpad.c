/* GradStreamer: sink pads of elements that make batches of frames: a stream each
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradvideobatcherpad.h"

G_DEFINE_FINAL_TYPE (GradVideoBatcherPad, grad_video_batcher_pad, GST_TYPE_PAD);

/* As before the first event */
void
grad_video_batcher_pad_reset (GradVideoBatcherPad * self)
{
  g_queue_clear_full (&self->pending, (GDestroyNotify) gst_event_unref);
  gst_segment_init (&self->segment, GST_FORMAT_TIME);
  gst_video_info_init (&self->info);
  self->started = self->eos = FALSE;
}

static void
grad_video_batcher_pad_finalize (GObject * object)
{
  grad_video_batcher_pad_reset (GRAD_VIDEO_BATCHER_PAD (object));
  G_OBJECT_CLASS (grad_video_batcher_pad_parent_class)->finalize (object);
}

static void
grad_video_batcher_pad_class_init (GradVideoBatcherPadClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = grad_video_batcher_pad_finalize;
}

static void
grad_video_batcher_pad_init (GradVideoBatcherPad * self)
{
  grad_video_batcher_pad_reset (self);
}
