/* GradStreamer: frames of video, as they come, to batches
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradframebatch.h"
#include "../autograd/gradsamplemeta.h"
#include "../data/gradframesmeta.h"

struct _GradFrameBatch
{
  GradFrameReader *reader;      /* owned */
  guint batch_size;
  guint64 source, sequence;     /* of batches, for sample metas */
  /* the open batch */
  GradTensor *tensor;           /* (batch size, C, H, W) */
  GArray *frames;               /* GradFrame */
  GstBuffer *buffer;            /* what it becomes; NULL: no frame yet */
  GstClockTime end;
};

GradFrameBatch *
grad_frame_batch_new (GradFrameReader * reader, guint batch_size)
{
  GradFrameBatch *self = g_new0 (GradFrameBatch, 1);

  self->reader = reader;
  self->batch_size = batch_size;
  self->source = grad_sample_meta_new_source ();
  self->frames = g_array_new (FALSE, FALSE, sizeof (GradFrame));
  return self;
}

void
grad_frame_batch_free (GradFrameBatch * batch)
{
  gst_clear_buffer (&batch->buffer);
  g_clear_pointer (&batch->tensor, grad_tensor_unref);
  g_array_unref (batch->frames);
  grad_frame_reader_free (batch->reader);
  g_free (batch);
}

static GstClockTime
duration_of (GstBuffer * frame, const GstVideoInfo * info)
{
  gint n = GST_VIDEO_INFO_FPS_N (info), d = GST_VIDEO_INFO_FPS_D (info);

  if (GST_BUFFER_DURATION_IS_VALID (frame) || n <= 0 || d <= 0)
    return GST_BUFFER_DURATION (frame);
  return gst_util_uint64_scale (GST_SECOND, d, n);
}

/* The first frame's sample meta goes to the batch, those of others are added; without one of them there is none. */
static void
add_sample_meta (GradFrameBatch * self, GstBuffer * frame)
{
  GradSampleMeta *meta = grad_buffer_get_sample_meta (frame);
  GradSampleMeta *all = grad_buffer_get_sample_meta (self->buffer);
  GstMetaTransformCopy copy = { FALSE, 0, -1 };

  if (meta != NULL && self->frames->len == 0)
    meta->meta.info->transform_func (self->buffer, &meta->meta, frame, _gst_meta_transform_copy, &copy);
  else if (meta != NULL && all != NULL)
    grad_sample_meta_append (all, meta);
  else if (all != NULL)
    gst_buffer_remove_meta (self->buffer, &all->meta);
}

gboolean
grad_frame_batch_add (GradFrameBatch * batch, GstBuffer * frame, const GstVideoInfo * info,
    const gchar * pad, GstClockTime pts, GError ** error)
{
  GradFrame origin = { g_intern_string (pad), GST_BUFFER_PTS (frame), duration_of (frame, info) };

  if (batch->tensor == NULL)
    batch->tensor = grad_frame_reader_new_batch (batch->reader, batch->batch_size, error);
  if (batch->tensor == NULL || !grad_frame_reader_read_into (batch->reader, frame, info, batch->tensor,
          batch->frames->len, error))
    return FALSE;
  if (batch->buffer == NULL) {
    batch->buffer = gst_buffer_new ();
    GST_BUFFER_PTS (batch->buffer) = batch->end = pts;
    if (GST_BUFFER_IS_DISCONT (frame))
      GST_BUFFER_FLAG_SET (batch->buffer, GST_BUFFER_FLAG_DISCONT);
  }
  if (GST_CLOCK_TIME_IS_VALID (pts) && GST_CLOCK_TIME_IS_VALID (batch->end))
    batch->end = MAX (batch->end, pts + (GST_CLOCK_TIME_IS_VALID (origin.duration) ? origin.duration : 0));
  add_sample_meta (batch, frame);
  g_array_append_val (batch->frames, origin);
  return TRUE;
}

guint
grad_frame_batch_get_n_frames (GradFrameBatch * batch)
{
  return batch->frames->len;
}

GstBuffer *
grad_frame_batch_take (GradFrameBatch * batch)
{
  GstBuffer *buffer = g_steal_pointer (&batch->buffer);
  guint n = batch->frames->len;
  GradSampleMeta *meta;

  if (buffer == NULL)
    return NULL;
  grad_tensor_truncate (batch->tensor, n);
  gst_buffer_append_memory (buffer, GST_MEMORY_CAST (g_steal_pointer (&batch->tensor)));
  grad_buffer_add_frames_meta (buffer, (GradFrame *) batch->frames->data, n);
  g_array_set_size (batch->frames, 0);
  if (GST_BUFFER_PTS_IS_VALID (buffer) && batch->end > GST_BUFFER_PTS (buffer))
    GST_BUFFER_DURATION (buffer) = batch->end - GST_BUFFER_PTS (buffer);
  meta = grad_buffer_get_sample_meta (buffer);
  if (meta != NULL && batch->batch_size > 1) {
    meta->source = batch->source;
    meta->sequence = ++batch->sequence;
  }
  return buffer;
}
