/* GradStreamer: base class of sources that show a training while it runs
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Live sources with frames at a constant rate. A subclass draws, in the streaming thread, when there is something new; else the
 * last frame is pushed again. When the training ends, so does the stream, with what was last. */
#include "gradtrainingview.h"

typedef struct
{
  /* properties, object lock */
  gchar *model_name;
  gint width, height, fps_n, fps_d;     /* the last two are a fraction */

  /* from NULL to READY on */
  GradBus *bus;
  /* while PAUSED or PLAYING */
  GradNetwork *network;
  GradHistory *history;         /* the network's */
  gboolean flushing;            /* changed by grad_history_set_flushing() only */
  /* streaming thread */
  GstVideoInfo info;
  GstBuffer *frame;             /* the last one */
  gint64 next;                  /* when to look again, monotonic time */
} GradTrainingViewPrivate;

#define DEFAULT_FPS 2

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (GradTrainingView, grad_training_view, GST_TYPE_PUSH_SRC);
#define PRIV(s) ((GradTrainingViewPrivate *) \
    grad_training_view_get_instance_private (GRAD_TRAINING_VIEW (s)))

GradBus *
grad_training_view_get_bus (GradTrainingView * view)
{
  return PRIV (view)->bus;
}

GradNetwork *
grad_training_view_get_network (GradTrainingView * view)
{
  return PRIV (view)->network;
}

/* ---- frames */

/* What a caps filter asks for goes before the properties. */
static GstCaps *
grad_training_view_fixate (GstBaseSrc * src, GstCaps * caps)
{
  GradTrainingViewPrivate *priv = PRIV (src);
  GstStructure *s;

  caps = gst_caps_make_writable (caps);
  s = gst_caps_get_structure (caps, 0);
  GST_OBJECT_LOCK (src);
  gst_structure_fixate_field_nearest_int (s, "width", priv->width);
  gst_structure_fixate_field_nearest_int (s, "height", priv->height);
  gst_structure_fixate_field_nearest_fraction (s, "framerate", priv->fps_n, priv->fps_d);
  GST_OBJECT_UNLOCK (src);
  return GST_BASE_SRC_CLASS (grad_training_view_parent_class)->fixate (src, caps);
}

static gboolean
grad_training_view_set_caps (GstBaseSrc * src, GstCaps * caps)
{
  GradTrainingViewPrivate *priv = PRIV (src);

  gst_clear_buffer (&priv->frame);
  return gst_video_info_from_caps (&priv->info, caps);
}

/* A caps filter may ask for pictures without a rate. */
static GstClockTime
get_duration (GradTrainingViewPrivate * priv)
{
  gint n = priv->info.fps_n, d = priv->info.fps_d;

  return n > 0 ? gst_util_uint64_scale (GST_SECOND, d, n) : GST_SECOND / DEFAULT_FPS;
}

static GstFlowReturn
grad_training_view_create (GstPushSrc * src, GstBuffer ** out)
{
  GradTrainingView *self = GRAD_TRAINING_VIEW (src);
  GradTrainingViewPrivate *priv = PRIV (self);
  GstBuffer *frame = NULL;
  GError *error = NULL;
  gboolean running;

  if (!grad_history_wait (priv->history, priv->next, &priv->flushing, &running))
    return GST_FLOW_FLUSHING;
  if (!GRAD_TRAINING_VIEW_GET_CLASS (self)->draw (self, &priv->info, priv->frame == NULL, &frame,
          &error)) {
    grad_element_fail (self, error);
    return GST_FLOW_ERROR;
  }
  priv->next = MAX (priv->next + (gint64) GST_TIME_AS_USECONDS (get_duration (priv)),
      g_get_monotonic_time ());
  if (frame == NULL && !running)
    return GST_FLOW_EOS;
  if (frame != NULL) {
    gst_clear_buffer (&priv->frame);
    priv->frame = frame;
  }
  *out = gst_buffer_copy (priv->frame); /* of the same memory */
  GST_BUFFER_DURATION (*out) = get_duration (priv);
  return GST_FLOW_OK;
}

/* ---- states */

static gboolean
begin (GradTrainingView * self, GError ** error)
{
  GradTrainingViewPrivate *priv = PRIV (self);
  GradTrainingViewClass *klass = GRAD_TRAINING_VIEW_GET_CLASS (self);

  if (grad_history_is_running (priv->history))
    return klass->begin == NULL || klass->begin (self, error);
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "no network \"%s\" is being trained here: put this "
      "element into the launch string of a training, and set model-name to that of its network",
      grad_network_get_name (priv->network));
  return FALSE;
}

static gboolean
start (GradTrainingView * self)
{
  GradTrainingViewPrivate *priv = PRIV (self);
  g_autofree gchar *name = NULL;
  GError *error = NULL;

  GST_OBJECT_LOCK (self);
  name = g_strdup (priv->model_name);
  GST_OBJECT_UNLOCK (self);
  priv->network = grad_bus_get_network (priv->bus, name);
  priv->history = grad_network_get_history (priv->network);
  priv->next = 0;
  if (begin (self, &error))
    return TRUE;
  g_clear_object (&priv->network);
  return grad_element_fail (self, error);
}

static void
stop (GradTrainingView * self)
{
  GradTrainingViewPrivate *priv = PRIV (self);
  GradTrainingViewClass *klass = GRAD_TRAINING_VIEW_GET_CLASS (self);

  if (klass->end != NULL)
    klass->end (self);
  gst_clear_buffer (&priv->frame);
  g_clear_object (&priv->network);
}

static gboolean
set_flushing (GstBaseSrc * src, gboolean flushing)
{
  GradTrainingViewPrivate *priv = PRIV (src);

  if (priv->network != NULL)    /* started */
    grad_history_set_flushing (priv->history, &priv->flushing, flushing);
  return TRUE;
}

static gboolean
grad_training_view_unlock (GstBaseSrc * src)
{
  return set_flushing (src, TRUE);
}

static gboolean
grad_training_view_unlock_stop (GstBaseSrc * src)
{
  return set_flushing (src, FALSE);
}

static GstStateChangeReturn
grad_training_view_change_state (GstElement * element, GstStateChange transition)
{
  GradTrainingView *self = GRAD_TRAINING_VIEW (element);
  GradTrainingViewPrivate *priv = PRIV (self);
  GstStateChangeReturn ret;

  if (transition == GST_STATE_CHANGE_NULL_TO_READY)
    grad_element_join_bus (element, &priv->bus);
  else if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !start (self))
    return GST_STATE_CHANGE_FAILURE;
  ret = GST_ELEMENT_CLASS (grad_training_view_parent_class)->change_state (element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY
      || (transition == GST_STATE_CHANGE_READY_TO_PAUSED && ret == GST_STATE_CHANGE_FAILURE))
    stop (self);
  else if (transition == GST_STATE_CHANGE_READY_TO_NULL)
    grad_element_leave_bus (&priv->bus);
  return ret;
}

static gboolean
grad_training_view_query (GstBaseSrc * src, GstQuery * query)
{
  return grad_element_query_context (GST_ELEMENT (src), query, PRIV (src)->bus)
      || GST_BASE_SRC_CLASS (grad_training_view_parent_class)->query (src, query);
}

/* ---- properties */

static void
grad_training_view_finalize (GObject * object)
{
  g_free (PRIV (object)->model_name);
  G_OBJECT_CLASS (grad_training_view_parent_class)->finalize (object);
}

static void
grad_training_view_class_init (GradTrainingViewClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseSrcClass *src_class = GST_BASE_SRC_CLASS (klass);

  grad_element_class_init_properties (object_class);
  object_class->finalize = grad_training_view_finalize;
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradTrainingView, model_name),
      g_param_spec_string ("model-name", "Model name", "Name of the network whose training is shown",
          "main", GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradTrainingView, width),
      g_param_spec_int ("width", "Width", "Width of the frames in pixels, if no caps filter behind says "
          "otherwise", 1, GRAD_TRAINING_VIEW_MAX_SIZE, 640, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradTrainingView, height),
      g_param_spec_int ("height", "Height", "Height of the frames in pixels, if no caps filter behind "
          "says otherwise", 1, GRAD_TRAINING_VIEW_MAX_SIZE, 360, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradTrainingView, fps_n),
      gst_param_spec_fraction ("framerate", "Frame rate", "Frames per second, which is also how often it "
          "is drawn at most", 1, G_MAXINT, G_MAXINT, 1, DEFAULT_FPS, 1, GRAD_PARAM_STATIC));

  element_class->change_state = GST_DEBUG_FUNCPTR (grad_training_view_change_state);
  src_class->fixate = GST_DEBUG_FUNCPTR (grad_training_view_fixate);
  src_class->set_caps = GST_DEBUG_FUNCPTR (grad_training_view_set_caps);
  src_class->unlock = GST_DEBUG_FUNCPTR (grad_training_view_unlock);
  src_class->unlock_stop = GST_DEBUG_FUNCPTR (grad_training_view_unlock_stop);
  src_class->query = GST_DEBUG_FUNCPTR (grad_training_view_query);
  GST_PUSH_SRC_CLASS (klass)->create = GST_DEBUG_FUNCPTR (grad_training_view_create);
  gst_type_mark_as_plugin_api (GRAD_TYPE_TRAINING_VIEW, 0);
}

static void
grad_training_view_init (GradTrainingView * self)
{
  GradTrainingViewPrivate *priv = PRIV (self);

  gst_video_info_init (&priv->info);
  gst_base_src_set_live (GST_BASE_SRC (self), TRUE);
  gst_base_src_set_format (GST_BASE_SRC (self), GST_FORMAT_TIME);
  gst_base_src_set_do_timestamp (GST_BASE_SRC (self), TRUE);
}
