/* GradStreamer: frames of video, as they come, to batches
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradframereader.h"

G_BEGIN_DECLS

typedef struct _GradFrameBatch GradFrameBatch;

/* For one thread at a time; takes the reader over. */
GradFrameBatch *grad_frame_batch_new (GradFrameReader * reader, guint batch_size);
void grad_frame_batch_free (GradFrameBatch * batch);

/* The next sample of the open batch. The frame is converted at once and not needed any more: who makes frames may have few of
 * them. pad: where it came in; pts: when it is to be shown, in the time of the batches. */
gboolean grad_frame_batch_add (GradFrameBatch * batch, GstBuffer * frame,
    const GstVideoInfo * info, const gchar * pad, GstClockTime pts, GError ** error);
guint grad_frame_batch_get_n_frames (GradFrameBatch * batch);
/* Closes the batch, full or not: a buffer with a GradFramesMeta and, if all frames had one, a GradSampleMeta; NULL without
 * frames. */
GstBuffer *grad_frame_batch_take (GradFrameBatch * batch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradFrameBatch, grad_frame_batch_free)

G_END_DECLS
