/* GradStreamer: a pad that a text stream leaves by, beside a stream of frames
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * It has a queue and a thread of its own, so that frames never wait for those who take the text. */
#include "gradtextpad.h"

#include <string.h>

#define MAX_QUEUED 100          /* buffers */

struct _GradTextPad
{
  GstPad parent;

  gboolean announced;           /* streaming thread of the frames: whether what their stream says was passed on */
  GMutex lock;                  /* guards the following */
  GCond more;
  GQueue queue;                 /* of buffers and events */
  gboolean flushing;
};

G_DEFINE_FINAL_TYPE (GradTextPad, grad_text_pad, GST_TYPE_PAD);

static gboolean
is_droppable (gpointer object)
{
  return GST_IS_BUFFER (object) || GST_EVENT_TYPE (object) == GST_EVENT_GAP;
}

/* Takes over the object. Text that nobody takes in time, and its gaps, make room for what is newer. */
static void
enqueue (GradTextPad * self, gpointer object)
{
  g_mutex_lock (&self->lock);
  if (self->flushing) {
    gst_mini_object_unref (object);
  } else {
    if (is_droppable (object) && self->queue.length >= MAX_QUEUED)
      for (GList * l = self->queue.head; l; l = l->next)
        if (is_droppable (l->data)) {
          gst_mini_object_unref (l->data);
          g_queue_delete_link (&self->queue, l);
          break;
        }
    g_queue_push_tail (&self->queue, object);
    g_cond_signal (&self->more);
  }
  g_mutex_unlock (&self->lock);
}

/* text: a copy goes out, with the times of the frame. */
void
grad_text_pad_push (GradTextPad * self, const gchar * text, const GstBuffer * frame)
{
  GstBuffer *buffer = gst_buffer_new_memdup (text, strlen (text));

  GST_BUFFER_PTS (buffer) = GST_BUFFER_PTS (frame);
  GST_BUFFER_DURATION (buffer) = GST_BUFFER_DURATION (frame);
  enqueue (self, buffer);
}

/* Time goes on without text: one gap says it, however long. */
void
grad_text_pad_push_gap (GradTextPad * self, GstClockTime pts)
{
  g_mutex_lock (&self->lock);
  if (self->queue.tail && GST_IS_EVENT (self->queue.tail->data)
      && GST_EVENT_TYPE (self->queue.tail->data) == GST_EVENT_GAP)
    gst_mini_object_unref (g_queue_pop_tail (&self->queue));
  g_mutex_unlock (&self->lock);
  enqueue (self, gst_event_new_gap (pts, GST_CLOCK_TIME_NONE));
}

static void
report (GradTextPad * self, GstFlowReturn ret)
{
  g_autoptr (GstElement) element = gst_pad_get_parent_element (GST_PAD (self));

  if (element != NULL)
    GST_ELEMENT_FLOW_ERROR (element, ret);
}

static void
push_next (gpointer pad)
{
  GradTextPad *self = pad;
  GstFlowReturn ret = GST_FLOW_OK;
  gpointer object;

  g_mutex_lock (&self->lock);
  while (!self->flushing && self->queue.length == 0)
    g_cond_wait (&self->more, &self->lock);
  object = self->flushing ? NULL : g_queue_pop_head (&self->queue);
  g_mutex_unlock (&self->lock);
  if (object != NULL && GST_IS_EVENT (object))
    gst_pad_push_event (pad, object);
  else if (object != NULL)
    ret = gst_pad_push (pad, object);
  /* nobody there, or nobody who wants more, is no error */
  if (ret < GST_FLOW_EOS)
    report (self, ret);
  if (object == NULL || ret < GST_FLOW_EOS)
    gst_pad_pause_task (pad);
}

/* What the stream is stays known in a flush. */
static void
drop (gpointer object, gpointer pad)
{
  if (GST_IS_EVENT (object) && GST_EVENT_IS_STICKY (object) && GST_EVENT_TYPE (object) != GST_EVENT_SEGMENT
      && GST_EVENT_TYPE (object) != GST_EVENT_EOS)
    gst_pad_store_sticky_event (pad, object);
  gst_mini_object_unref (object);
}

static void
set_flushing (GradTextPad * self, gboolean flushing)
{
  g_mutex_lock (&self->lock);
  self->flushing = flushing;
  if (flushing) {
    g_queue_foreach (&self->queue, drop, self);
    g_queue_clear (&self->queue);
  }
  g_cond_signal (&self->more);
  g_mutex_unlock (&self->lock);
}

static gboolean
activate_mode (GstPad * pad, GstObject * parent, GstPadMode mode, gboolean active)
{
  if (mode != GST_PAD_MODE_PUSH)
    return FALSE;
  set_flushing (GRAD_TEXT_PAD (pad), !active);
  return active ? gst_pad_start_task (pad, push_next, pad, NULL) : gst_pad_stop_task (pad);
}

static void
start_stream (GradTextPad * self)
{
  g_autoptr (GstElement) element = gst_pad_get_parent_element (GST_PAD (self));
  g_autofree gchar *id = element ? gst_pad_create_stream_id (GST_PAD (self), element, "text") : NULL;
  g_autoptr (GstCaps) caps = gst_pad_get_pad_template_caps (GST_PAD (self));

  if (id == NULL)
    return;                     /* released meanwhile */
  enqueue (self, gst_event_new_stream_start (id));
  enqueue (self, gst_event_new_caps (caps));
}

/* What the frames' stream says goes out as far as it holds for text. */
void
grad_text_pad_push_event (GradTextPad * self, GstEvent * event)
{
  GstPad *pad = GST_PAD (self);

  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_STREAM_START:
      start_stream (self);
      break;
    case GST_EVENT_FLUSH_START:
      gst_pad_push_event (pad, gst_event_ref (event));
      set_flushing (self, TRUE);
      gst_pad_pause_task (pad);
      break;
    case GST_EVENT_FLUSH_STOP:
      gst_pad_push_event (pad, gst_event_ref (event));
      set_flushing (self, FALSE);
      gst_pad_start_task (pad, push_next, pad, NULL);
      break;
    case GST_EVENT_SEGMENT:
    case GST_EVENT_EOS:
    case GST_EVENT_TAG:
      enqueue (self, gst_event_ref (event));
      break;
    default:
      break;
  }
}

static gboolean
pass_on (GstPad * frames, GstEvent ** event, gpointer self)
{
  grad_text_pad_push_event (self, *event);
  return TRUE;
}

/* Before each frame and serialized event: a pad that was asked for while frames flow begins with what their pad was told earlier. */
void
grad_text_pad_follow (GradTextPad * self, GstPad * frames)
{
  if (!self->announced)
    gst_pad_sticky_events_foreach (frames, pass_on, self);
  self->announced = TRUE;
}

static void
grad_text_pad_finalize (GObject * object)
{
  GradTextPad *self = GRAD_TEXT_PAD (object);

  g_queue_clear_full (&self->queue, (GDestroyNotify) gst_mini_object_unref);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->more);
  G_OBJECT_CLASS (grad_text_pad_parent_class)->finalize (object);
}

static void
grad_text_pad_class_init (GradTextPadClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = grad_text_pad_finalize;
}

static void
grad_text_pad_init (GradTextPad * self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->more);
  g_queue_init (&self->queue);
  self->flushing = TRUE;
  gst_pad_set_activatemode_function (GST_PAD (self), activate_mode);
}
