/* GradStreamer: sends batches of frames on a source pad, with what has to go in front of them, when they are due
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradbatchsender.h"
#include "../tensor/gradtensor.h"

void
grad_batch_sender_init (GradBatchSender * sender)
{
  g_mutex_init (&sender->lock);
  g_cond_init (&sender->started);
}

void
grad_batch_sender_clear (GradBatchSender * sender)
{
  g_mutex_clear (&sender->lock);
  g_cond_clear (&sender->started);
}

void
grad_batch_sender_start (GradBatchSender * sender, GradFrameReader * reader)
{
  sender->batch = grad_frame_batch_new (reader, sender->size);
  sender->flow = GST_FLOW_OK;
  sender->shared = sender->timed = FALSE;
  sender->fps_n = 0;
  sender->announced = 0;
}

void
grad_batch_sender_stop (GradBatchSender * sender)
{
  g_mutex_lock (&sender->lock);
  g_clear_pointer (&sender->batch, grad_frame_batch_free);
  g_mutex_unlock (&sender->lock);
}

/* Batches of several streams have no rate. */
static GstCaps *
create_caps (GradBatchSender * sender, guint n)
{
  GradShape shape = GRAD_SHAPE (n, sender->input.channels, sender->input.height, sender->input.width);
  gint fps_n, fps_d;

  if (sender->shared || sender->fps_n <= 0
      || !gst_util_fraction_multiply (sender->fps_n, sender->fps_d, 1, n, &fps_n, &fps_d))
    fps_n = 0, fps_d = 1;
  return grad_caps_new (GRAD_DTYPE_FLOAT32, &shape, fps_n, fps_d);
}

void
grad_batch_sender_announce (GradBatchSender * sender, guint n)
{
  GstSegment segment;

  if (sender->announced != n) {
    g_autoptr (GstCaps) caps = create_caps (sender, n);

    gst_pad_push_event (sender->pad, gst_event_new_caps (caps));
    sender->announced = n;
  }
  if (sender->shared && !sender->timed) {
    gst_segment_init (&segment, GST_FORMAT_TIME);
    gst_pad_push_event (sender->pad, gst_event_new_segment (&segment));
    sender->timed = TRUE;
  }
}

GstFlowReturn
grad_batch_sender_finish (GradBatchSender * sender)
{
  guint n = grad_frame_batch_get_n_frames (sender->batch);
  GstBuffer *batch = grad_frame_batch_take (sender->batch);
  GstFlowReturn ret;

  if (batch == NULL)
    return GST_FLOW_OK;
  GST_LOG_OBJECT (sender->pad, "%u frames: %" GST_PTR_FORMAT, n, batch);
  grad_batch_sender_announce (sender, n);
  ret = gst_pad_push (sender->pad, batch);
  /* another stream's flush is no reason for this one to stop */
  return ret == GST_FLOW_FLUSHING && sender->shared && !sender->stopping ? GST_FLOW_OK : ret;
}

void
grad_batch_sender_flush (GradBatchSender * sender)
{
  g_autoptr (GstBuffer) dropped = grad_frame_batch_take (sender->batch);

  sender->flow = GST_FLOW_OK;
  sender->timed = FALSE;
}

void
grad_batch_sender_share (GradBatchSender * sender)
{
  if (sender->shared)
    return;
  grad_batch_sender_finish (sender);
  sender->shared = TRUE;
  sender->timed = FALSE;
  sender->announced = 0;
}

GstFlowReturn
grad_batch_sender_add (GradBatchSender * sender, GstBuffer * frame, const GstVideoInfo * info,
    const gchar * pad, const GstSegment * segment, GError ** error)
{
  GstClockTime pts = GST_BUFFER_PTS (frame);
  guint n;

  if (sender->flow != GST_FLOW_OK)
    return sender->flow;
  if (sender->shared && GST_CLOCK_TIME_IS_VALID (pts)) {
    pts = gst_segment_to_running_time (segment, GST_FORMAT_TIME, pts);
    if (!GST_CLOCK_TIME_IS_VALID (pts))
      return GST_FLOW_OK;
  }
  if (!grad_frame_batch_add (sender->batch, frame, info, pad, pts, error))
    return GST_FLOW_ERROR;
  n = grad_frame_batch_get_n_frames (sender->batch);
  if (n == sender->size)
    return grad_batch_sender_finish (sender);
  if (n == 1) {
    sender->deadline = g_get_monotonic_time () + (gint64) (sender->timeout / GST_USECOND);
    g_cond_signal (&sender->started);
  }
  return GST_FLOW_OK;
}

/* A task */
static void
wait_for_deadline (gpointer data)
{
  GradBatchSender *sender = data;

  g_mutex_lock (&sender->lock);
  if (!sender->stopping && grad_frame_batch_get_n_frames (sender->batch) == 0)
    g_cond_wait (&sender->started, &sender->lock);
  else if (!sender->stopping && g_get_monotonic_time () < sender->deadline)
    g_cond_wait_until (&sender->started, &sender->lock, sender->deadline);
  else if (!sender->stopping)
    sender->flow = grad_batch_sender_finish (sender);
  g_mutex_unlock (&sender->lock);
}

gboolean
grad_batch_sender_activate (GradBatchSender * sender, gboolean active)
{
  g_mutex_lock (&sender->lock);
  sender->stopping = !active;
  g_cond_signal (&sender->started);
  g_mutex_unlock (&sender->lock);
  if (!active)
    return gst_pad_stop_task (sender->pad);
  return sender->timeout == 0 || sender->size == 1
      || gst_pad_start_task (sender->pad, wait_for_deadline, sender, NULL);
}
