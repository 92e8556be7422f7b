/* GradStreamer: base class of elements that make batches of the frames of one or several videos
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Owns pads, events and queries; what a frame becomes is the subclass's. */
#include "gradvideobatcher.h"
#include "gradbatchsender.h"
#include "gradvideobatcherpad.h"
#include "../base/gradattachment.h"

#include <stdio.h>

typedef struct
{
  /* properties, object lock */
  guint batch_size;
  guint64 batch_timeout;
  GradAttachment attachment;

  guint next_pad;               /* object lock: number of the next request pad */
  gint requested;               /* atomic: whether there was one */

  /* from READY to PAUSED on */
  GradDevice *device;
  GradBatchSender sender;
} GradVideoBatcherPrivate;

#define CAPS GST_VIDEO_CAPS_MAKE (GRAD_FRAME_FORMATS) "; " \
    GST_VIDEO_CAPS_MAKE_WITH_FEATURES ("memory:CUDAMemory", GRAD_FRAME_FORMATS)

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));
static GstStaticPadTemplate request_template = GST_STATIC_PAD_TEMPLATE ("sink_%u", GST_PAD_SINK,
    GST_PAD_REQUEST, GST_STATIC_CAPS (CAPS));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (GradVideoBatcher, grad_video_batcher, GST_TYPE_ELEMENT);
#define PRIV(b) ((GradVideoBatcherPrivate *) grad_video_batcher_get_instance_private (GRAD_VIDEO_BATCHER (b)))

/* ---- what comes from other elements */

/* Whether there was something and nothing more comes */
static gboolean
all_ended (GstElement * element)
{
  gboolean any = FALSE, all = TRUE;

  GST_OBJECT_LOCK (element);
  for (GList * l = element->sinkpads; l; l = l->next) {
    gboolean eos = GRAD_VIDEO_BATCHER_PAD (l->data)->eos;

    any |= eos;
    all &= eos || !GST_PAD_IS_LINKED (l->data);
  }
  GST_OBJECT_UNLOCK (element);
  return any && all;
}

/* Whether the event goes on downstream: of several streams one says what holds for all. */
static gboolean
handle_event (GradVideoBatcher * element, GradVideoBatcherPad * pad, GstEvent * event)
{
  GradBatchSender *sender = &PRIV (element)->sender;
  g_autoptr (GstEvent) known = NULL;

  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_STREAM_START:
      pad->eos = FALSE;
      known = gst_pad_get_sticky_event (sender->pad, GST_EVENT_STREAM_START, 0);
      return !sender->shared || known == NULL;
    case GST_EVENT_CAPS:
      if (pad->started)
        grad_batch_sender_finish (sender);
      sender->fps_n = GST_VIDEO_INFO_FPS_N (&pad->info);
      sender->fps_d = GST_VIDEO_INFO_FPS_D (&pad->info);
      sender->announced = 0;
      return FALSE;
    case GST_EVENT_SEGMENT:
      gst_event_copy_segment (event, &pad->segment);
      if (sender->shared)
        return FALSE;
      grad_batch_sender_finish (sender);
      grad_batch_sender_announce (sender, sender->size);
      return TRUE;
    case GST_EVENT_EOS:
      pad->eos = TRUE;
      if (!all_ended (GST_ELEMENT (element)))
        return FALSE;
      grad_batch_sender_finish (sender);
      return TRUE;
    case GST_EVENT_GAP:
      if (!sender->shared)
        grad_batch_sender_finish (sender);
      return !sender->shared;
    default:
      return !sender->shared;
  }
}

/* With the sender's lock. Whether the last event went well */
static gboolean
handle_pending (GradVideoBatcher * element, GradVideoBatcherPad * pad)
{
  GradVideoBatcherPrivate *self = PRIV (element);
  gboolean ok = TRUE;
  GstEvent *event;

  if (g_atomic_int_get (&self->requested))
    grad_batch_sender_share (&self->sender);
  while ((event = g_queue_pop_head (&pad->pending)) != NULL) {
    ok = !handle_event (element, pad, event)
        || gst_pad_push_event (self->sender.pad, gst_event_ref (event));
    gst_event_unref (event);
  }
  return ok;
}

static GstFlowReturn
grad_video_batcher_chain (GstPad * pad, GstObject * parent, GstBuffer * frame)
{
  GradVideoBatcherPrivate *self = PRIV (parent);
  GradVideoBatcherPad *stream = GRAD_VIDEO_BATCHER_PAD (pad);
  GError *error = NULL;
  GstFlowReturn ret;

  g_mutex_lock (&self->sender.lock);
  if (GST_PAD_PARENT (pad) == NULL)     /* released meanwhile */
    ret = GST_FLOW_FLUSHING;
  else {
    handle_pending (GRAD_VIDEO_BATCHER (parent), stream);
    stream->started = TRUE;
    ret = grad_batch_sender_add (&self->sender, frame, &stream->info, GST_OBJECT_NAME (pad),
        &stream->segment, &error);
  }
  g_mutex_unlock (&self->sender.lock);
  if (error != NULL)
    grad_element_fail (parent, error);
  gst_buffer_unref (frame);
  return ret;
}

static gboolean
set_info (GstElement * element, GradVideoBatcherPad * pad, GstEvent * event)
{
  GstVideoInfo info;
  GstCaps *caps;

  gst_event_parse_caps (event, &caps);
  if (!gst_video_info_from_caps (&info, caps))
    return FALSE;
  GST_OBJECT_LOCK (element);
  pad->info = info;             /* if they are not what can be read, the first frame is refused */
  GST_OBJECT_UNLOCK (element);
  if (PRIV (element)->sender.size > 1)
    gst_element_post_message (element, gst_message_new_latency (GST_OBJECT (element)));
  return TRUE;
}

static gboolean
flush_stop (GradBatchSender * sender, GradVideoBatcherPad * pad, GstEvent * event)
{
  gboolean ok;

  g_mutex_lock (&sender->lock);
  pad->eos = FALSE;
  grad_batch_sender_flush (sender);
  ok = gst_pad_push_event (sender->pad, event);
  g_mutex_unlock (&sender->lock);
  return ok;
}

/* A live source holds a lock while it pushes events, and its state cannot change until it is back. So events that others do not
 * wait with either wait for nobody, such as a thread that is in a paused sink with a batch. */
static gboolean
grad_video_batcher_sink_event (GstPad * pad, GstObject * parent, GstEvent * event)
{
  GradBatchSender *sender = &PRIV (parent)->sender;
  GradVideoBatcherPad *stream = GRAD_VIDEO_BATCHER_PAD (pad);
  GstEventType type = GST_EVENT_TYPE (event);
  gboolean ok = TRUE;

  if (type == GST_EVENT_FLUSH_STOP)
    return flush_stop (sender, stream, event);
  if (!GST_EVENT_IS_SERIALIZED (event))
    return gst_pad_event_default (pad, parent, event);
  if (type == GST_EVENT_CAPS && !set_info (GST_ELEMENT (parent), stream, event)) {
    gst_event_unref (event);
    return FALSE;
  }
  g_queue_push_tail (&stream->pending, event);
  if (type == GST_EVENT_EOS || type == GST_EVENT_GAP) {
    g_mutex_lock (&sender->lock);
    ok = handle_pending (GRAD_VIDEO_BATCHER (parent), stream);
    g_mutex_unlock (&sender->lock);
  }
  return ok;
}

static gboolean
grad_video_batcher_sink_query (GstPad * pad, GstObject * parent, GstQuery * query)
{
  if (grad_element_query_context (GST_ELEMENT (parent), query, PRIV (parent)->attachment.bus))
    return TRUE;
  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION)
    return gst_pad_query_default (pad, parent, query);
  gst_query_add_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL);
  return TRUE;
}

/* How long the first frame of a batch waits for the last one, as far as is known */
static GstClockTime
get_latency (GstElement * element)
{
  GradBatchSender *sender = &PRIV (element)->sender;
  GstClockTime full;
  gdouble rate = 0;             /* frames per second, of all streams */

  if (sender->size == 1)
    return 0;
  GST_OBJECT_LOCK (element);
  for (GList * l = element->sinkpads; l; l = l->next) {
    const GstVideoInfo *info = &GRAD_VIDEO_BATCHER_PAD (l->data)->info;

    rate += (gdouble) GST_VIDEO_INFO_FPS_N (info) / MAX (GST_VIDEO_INFO_FPS_D (info), 1);
  }
  GST_OBJECT_UNLOCK (element);
  if (rate <= 0)
    return sender->timeout;
  full = (sender->size - 1) / rate * GST_SECOND;
  return sender->timeout ? MIN (sender->timeout, full) : full;
}

static gboolean
grad_video_batcher_src_query (GstPad * pad, GstObject * parent, GstQuery * query)
{
  gboolean live;

  if (grad_element_query_context (GST_ELEMENT (parent), query, PRIV (parent)->attachment.bus))
    return TRUE;
  if (!gst_pad_query_default (pad, parent, query))
    return FALSE;
  if (GST_QUERY_TYPE (query) == GST_QUERY_LATENCY) {
    gst_query_parse_latency (query, &live, NULL, NULL);
    grad_query_add_latency (query, live ? get_latency (GST_ELEMENT (parent)) : 0);
  }
  return TRUE;
}

/* ---- pads and states */

static gboolean
grad_video_batcher_src_activate_mode (GstPad * pad, GstObject * parent, GstPadMode mode,
    gboolean active)
{
  return mode == GST_PAD_MODE_PUSH && grad_batch_sender_activate (&PRIV (parent)->sender, active);
}

static GstPad *
add_pad (GstElement * element, const gchar * name, GstPadTemplate * template)
{
  GstPad *pad = g_object_new (GRAD_TYPE_VIDEO_BATCHER_PAD, "name", name, "direction", GST_PAD_SINK,
      "template", template, NULL);

  gst_pad_set_chain_function (pad, grad_video_batcher_chain);
  gst_pad_set_event_function (pad, grad_video_batcher_sink_event);
  gst_pad_set_query_function (pad, grad_video_batcher_sink_query);
  return gst_element_add_pad (element, pad) ? pad : NULL;
}

static GstPad *
grad_video_batcher_request_new_pad (GstElement * element, GstPadTemplate * template,
    const gchar * name, const GstCaps * caps)
{
  GradVideoBatcherPrivate *self = PRIV (element);
  g_autofree gchar *numbered = NULL;
  guint i;

  GST_OBJECT_LOCK (element);
  if (name == NULL || sscanf (name, "sink_%u", &i) != 1)
    i = self->next_pad;
  self->next_pad = MAX (self->next_pad, i + 1);
  GST_OBJECT_UNLOCK (element);
  numbered = g_strdup_printf ("sink_%u", i);
  g_atomic_int_set (&self->requested, TRUE);
  return add_pad (element, numbered, template);
}

static void
end_if_all_ended (GstElement * element, gpointer data)
{
  GradBatchSender *sender = &PRIV (element)->sender;

  g_mutex_lock (&sender->lock);
  if (sender->batch != NULL && all_ended (element)) {
    grad_batch_sender_finish (sender);
    gst_pad_push_event (sender->pad, gst_event_new_eos ());
  }
  g_mutex_unlock (&sender->lock);
}

/* Waits for nobody, as a batch may be in a paused sink: neither for the lock, nor by pushing what the others have left, nor for a thread
 * of this pad, which is therefore not deactivated. */
static void
grad_video_batcher_release_pad (GstElement * element, GstPad * pad)
{
  gboolean awaited = GST_PAD_IS_ACTIVE (pad) && !GRAD_VIDEO_BATCHER_PAD (pad)->eos;

  gst_element_remove_pad (element, pad);
  if (awaited)
    gst_element_call_async (element, end_if_all_ended, NULL, NULL);
}

static gboolean
start (GstElement * element, GError ** error)
{
  GradVideoBatcher *batcher = GRAD_VIDEO_BATCHER (element);
  GradVideoBatcherPrivate *self = PRIV (element);
  GradBatchSender *sender = &self->sender;
  GradRegion region;

  if (!GRAD_VIDEO_BATCHER_GET_CLASS (batcher)->get_input (batcher, &sender->input, &region, error))
    return FALSE;
  self->device = grad_element_open_device (element, self->attachment.bus, error);
  if (self->device == NULL)
    return FALSE;
  GST_OBJECT_LOCK (element);
  sender->size = self->batch_size;
  sender->timeout = self->batch_timeout;
  for (GList * l = element->sinkpads; l; l = l->next)
    grad_video_batcher_pad_reset (l->data);
  GST_OBJECT_UNLOCK (element);
  grad_batch_sender_start (sender, grad_frame_reader_new (self->device, &sender->input, region));
  return TRUE;
}

static void
stop (GstElement * element)
{
  GradVideoBatcherPrivate *self = PRIV (element);

  grad_batch_sender_stop (&self->sender);
  g_clear_object (&self->device);
}

static GstStateChangeReturn
grad_video_batcher_change_state (GstElement * element, GstStateChange transition)
{
  return grad_attachment_change_state (&PRIV (element)->attachment, element, transition,
      grad_video_batcher_parent_class, start, stop);
}

/* ---- properties */

static void
grad_video_batcher_finalize (GObject * object)
{
  GradVideoBatcherPrivate *self = PRIV (object);

  grad_batch_sender_clear (&self->sender);
  grad_attachment_clear (&self->attachment);
  G_OBJECT_CLASS (grad_video_batcher_parent_class)->finalize (object);
}

static void
grad_video_batcher_class_init (GradVideoBatcherClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  grad_element_class_init_properties (object_class);
  object_class->finalize = grad_video_batcher_finalize;
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradVideoBatcher, batch_size),
      g_param_spec_uint ("batch-size", "Batch size", "Frames in a batch, of all streams together", 1, 1 << 20,
          1, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradVideoBatcher, batch_timeout),
      g_param_spec_uint64 ("batch-timeout", "Batch timeout", "Longest time in ns that a frame waits for its batch to "
          "fill, 0 for as long as it takes", 0, G_MAXUINT64, 0, GRAD_PARAM_STATIC));
  grad_attachment_install_properties (object_class, G_PRIVATE_OFFSET (GradVideoBatcher, attachment));

  gst_element_class_add_static_pad_template_with_gtype (element_class, &sink_template,
      GRAD_TYPE_VIDEO_BATCHER_PAD);
  gst_element_class_add_static_pad_template_with_gtype (element_class, &request_template,
      GRAD_TYPE_VIDEO_BATCHER_PAD);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  element_class->change_state = GST_DEBUG_FUNCPTR (grad_video_batcher_change_state);
  element_class->request_new_pad = GST_DEBUG_FUNCPTR (grad_video_batcher_request_new_pad);
  element_class->release_pad = GST_DEBUG_FUNCPTR (grad_video_batcher_release_pad);
  gst_type_mark_as_plugin_api (GRAD_TYPE_VIDEO_BATCHER, 0);
  gst_type_mark_as_plugin_api (GRAD_TYPE_VIDEO_BATCHER_PAD, 0);
}

static void
grad_video_batcher_init (GradVideoBatcher * element)
{
  GradVideoBatcherPrivate *self = PRIV (element);

  grad_batch_sender_init (&self->sender);
  add_pad (GST_ELEMENT (element), "sink",
      gst_element_class_get_pad_template (GST_ELEMENT_GET_CLASS (element), "sink"));
  self->sender.pad = gst_pad_new_from_static_template (&src_template, "src");
  gst_pad_set_query_function (self->sender.pad, grad_video_batcher_src_query);
  gst_pad_set_activatemode_function (self->sender.pad, grad_video_batcher_src_activate_mode);
  gst_element_add_pad (GST_ELEMENT (element), self->sender.pad);
}
