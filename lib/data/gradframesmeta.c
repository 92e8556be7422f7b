/* GradStreamer: which frames of video a batch was made of
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradframesmeta.h"

GType
grad_frames_meta_api_get_type (void)
{
  static GType type = 0;
  static const gchar *tags[] = { NULL };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, gst_meta_api_type_register ("GradFramesMetaAPI", tags));
  return type;
}

static gboolean
frames_meta_init (GstMeta * meta, gpointer params, GstBuffer * buffer)
{
  ((GradFramesMeta *) meta)->n_frames = 0;
  ((GradFramesMeta *) meta)->frames = NULL;
  return TRUE;
}

static void
frames_meta_free (GstMeta * meta, GstBuffer * buffer)
{
  g_free (((GradFramesMeta *) meta)->frames);
}

static gboolean
frames_meta_transform (GstBuffer * to, GstMeta * meta, GstBuffer * from, GQuark type,
    gpointer data)
{
  GradFramesMeta *self = (GradFramesMeta *) meta;

  grad_buffer_add_frames_meta (to, self->frames, self->n_frames);
  return TRUE;
}

/**
 * grad_buffer_add_frames_meta:
 * @buffer: a writable buffer
 * @frames: (array length=n_frames): where its samples come from; their pads' names are interned strings
 * @n_frames: number of samples
 *
 * Replaces what the buffer has.
 *
 * Returns: (transfer none): its frames meta
 */
GradFramesMeta *
grad_buffer_add_frames_meta (GstBuffer * buffer, const GradFrame * frames, guint n_frames)
{
  static const GstMetaInfo *info = NULL;
  GradFramesMeta *self = grad_buffer_get_frames_meta (buffer);

  if (g_once_init_enter (&info))
    g_once_init_leave (&info, gst_meta_register (GRAD_FRAMES_META_API_TYPE, "GradFramesMeta",
            sizeof (GradFramesMeta), frames_meta_init, frames_meta_free, frames_meta_transform));
  if (self == NULL)
    self = (GradFramesMeta *) gst_buffer_add_meta (buffer, info, NULL);
  g_free (self->frames);
  self->n_frames = n_frames;
  self->frames = g_memdup2 (frames, n_frames * sizeof *frames);
  return self;
}

/**
 * grad_buffer_get_frames_meta:
 * @buffer: a buffer
 *
 * Returns: (transfer none) (nullable): its frames meta
 */
GradFramesMeta *
grad_buffer_get_frames_meta (GstBuffer * buffer)
{
  return (GradFramesMeta *) gst_buffer_get_meta (buffer, GRAD_FRAMES_META_API_TYPE);
}

/**
 * grad_frames_meta_get_frame:
 * @meta: a frames meta
 * @i: number of a sample in the batch
 *
 * For languages that cannot read an array of structures.
 *
 * Returns: (transfer none) (nullable): where the sample comes from; %NULL when there are fewer
 */
const GradFrame *
grad_frames_meta_get_frame (const GradFramesMeta * meta, guint i)
{
  return i < meta->n_frames ? &meta->frames[i] : NULL;
}
