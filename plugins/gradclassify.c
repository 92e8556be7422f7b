/* GradStreamer: classify the pictures of a video
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradclassify
 * @title: gradclassify
 * @short_description: says what is to be seen in a video
 *
 * Video in, the same video out, untouched; what a trained network sees in it goes along as #GradClassificationMeta and is posted
 * as element message `grad-classification`. The network comes from a model file (`location`), which is read again when it is
 * replaced, or is one that trains at this moment in the same process (`model-name`), on the same #GradBus.
 *
 * With `sync=true` each frame waits for its result. With `sync=false` frames pass at once, carry the newest result, and a thread
 * takes the newest frame whenever it is done with the last one: under load frames are skipped and the video goes on.
 *
 * ## Example
 * <!-- run: s|gradclassify [^!]*!|identity !|; s/autovideosink/fakesink/ -->
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=30 ! gradclassify location=resnet18.safetensors ! gradoverlay ! videoconvert ! autovideosink
 * ]|
 */
#include "config.h"
#include "lib/base/gradattachment.h"
#include "lib/video/gradanalytics.h"
#include "lib/video/gradframeclassifier.h"
#include "lib/video/gradreporter.h"
#include "gradstreamerelements.h"

#include <gst/base/gstbasetransform.h>

GST_DEBUG_CATEGORY_STATIC (grad_classify_debug);
#define GST_CAT_DEFAULT grad_classify_debug

#define GRAD_TYPE_CLASSIFY (grad_classify_get_type ())
G_DECLARE_FINAL_TYPE (GradClassify, grad_classify, GRAD, CLASSIFY, GstBaseTransform)

struct _GradClassify
{
  GstBaseTransform parent;

  /* properties, object lock */
  gchar *location, *model_name, *class_names;
  guint top_k, interval;
  gdouble threshold, smoothing;
  GradRegion region;
  gboolean sync, qos;
  guint64 max_lag, refresh_interval;
  GradAttachment attachment;

  /* from READY to PAUSED on */
  GradDevice *device;
  GMutex configuring;           /* guards that the next one is set and taken away */
  GradFrameClassifier *classifier;
  gchar *warned;                /* thread of the classifier: what of, last */
  /* streaming thread */
  GstVideoInfo info;
  GstCaps *refused;             /* they come again with the next event, and one error is enough */
  GradReporter reporter;
  GstClockTime earliest;        /* object lock: running time before which frames are late */
};

#define CAPS GST_VIDEO_CAPS_MAKE (GRAD_FRAME_FORMATS) "; " \
    GST_VIDEO_CAPS_MAKE_WITH_FEATURES ("memory:CUDAMemory", GRAD_FRAME_FORMATS)

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));

G_DEFINE_FINAL_TYPE (GradClassify, grad_classify, GST_TYPE_BASE_TRANSFORM);
GST_ELEMENT_REGISTER_DEFINE (gradclassify, "gradclassify", GST_RANK_NONE, GRAD_TYPE_CLASSIFY);

/* In the classifier's thread. A model that cannot be read while the video plays is no reason to stop it. */
static void
take_result (gpointer element, GradClassification * result, const GError * error)
{
  GradClassify *self = element;

  if (result != NULL) {
    grad_reporter_post (&self->reporter, result);
    g_clear_pointer (&self->warned, g_free);
  } else if (g_strcmp0 (error->message, self->warned) != 0) {   /* else the next frame has the same */
    GST_ELEMENT_WARNING (self, RESOURCE, READ, ("%s", error->message), (NULL));
    g_free (self->warned);
    self->warned = g_strdup (error->message);
  }
}

/* What the properties say at this moment. */
static gboolean
get_settings (GradClassify * self, GradFrameClassifierSettings * settings, GError ** error)
{
  g_autofree gchar *name = NULL, *names = NULL;

  GST_OBJECT_LOCK (self);
  *settings = (GradFrameClassifierSettings) {
    .location = self->location && *self->location ? g_strdup (self->location) : NULL,
    .refresh = self->refresh_interval,.region = self->region,.top_k = self->top_k,
    .threshold = self->threshold,.smoothing = self->smoothing
  };
  name = g_strdup (self->model_name);
  names = g_strdup (self->class_names);
  GST_OBJECT_UNLOCK (self);

  if (settings->location == NULL && (name == NULL || *name == '\0')) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "set location to a model file, or "
        "model-name to the name of a network that is being trained");
    return FALSE;
  }
  if (settings->location == NULL)
    settings->network = grad_bus_get_network (self->attachment.bus, name);
  if (names == NULL || *names == '\0')
    return TRUE;
  settings->class_names = grad_class_names_parse (names, error);
  return settings->class_names != NULL;
}

static gboolean
start (GstElement * element, GError ** error)
{
  GradClassify *self = GRAD_CLASSIFY (element);
  g_auto (GradFrameClassifierSettings) settings = { NULL };

  grad_reporter_start (&self->reporter, element);
  self->earliest = GST_CLOCK_TIME_NONE;
  self->device = grad_element_open_device (element, self->attachment.bus, error);
  if (self->device == NULL)
    return FALSE;
  g_mutex_lock (&self->configuring);
  if (!get_settings (self, &settings, error)) {
    g_mutex_unlock (&self->configuring);
    return FALSE;
  }
  g_clear_pointer (&self->warned, g_free);
  self->classifier = grad_frame_classifier_new (self->device, &settings, take_result, self, error);
  g_mutex_unlock (&self->configuring);
  return self->classifier != NULL;
}

/* A property has changed. */
static void
configure (GradClassify * self)
{
  g_auto (GradFrameClassifierSettings) settings = { NULL };
  g_autoptr (GError) error = NULL;

  g_mutex_lock (&self->configuring);
  if (self->classifier != NULL && get_settings (self, &settings, &error))
    grad_frame_classifier_configure (self->classifier, &settings);
  g_mutex_unlock (&self->configuring);
  if (error != NULL)
    GST_ELEMENT_WARNING (self, LIBRARY, SETTINGS, ("%s", error->message), (NULL));
}

static void
stop (GstElement * element)
{
  GradClassify *self = GRAD_CLASSIFY (element);
  GradFrameClassifier *classifier;

  g_mutex_lock (&self->configuring);
  classifier = g_steal_pointer (&self->classifier);
  g_mutex_unlock (&self->configuring);
  g_clear_pointer (&classifier, grad_frame_classifier_free);
  g_clear_object (&self->device);
  gst_clear_caps (&self->refused);
}

static GstStateChangeReturn
grad_classify_change_state (GstElement * element, GstStateChange transition)
{
  return grad_attachment_change_state (&GRAD_CLASSIFY (element)->attachment, element, transition,
      grad_classify_parent_class, start, stop);
}

static gboolean
grad_classify_set_caps (GstBaseTransform * trans, GstCaps * in, GstCaps * out)
{
  GradClassify *self = GRAD_CLASSIFY (trans);
  GError *error = NULL;

  if (self->refused != NULL && gst_caps_is_equal (in, self->refused))
    return FALSE;
  gst_caps_replace (&self->refused, in);
  if (!gst_video_info_from_caps (&self->info, in))
    return FALSE;
  if (!grad_frame_reader_check (&self->info, &error))
    return grad_element_fail (self, error);
  gst_clear_caps (&self->refused);
  return TRUE;
}

static gboolean
is_late (GradClassify * self, GstBuffer * frame)
{
  const GstSegment *segment = &GST_BASE_TRANSFORM (self)->segment;
  GstClockTime time = segment->format == GST_FORMAT_TIME ? gst_segment_to_running_time (segment, GST_FORMAT_TIME,
      GST_BUFFER_PTS (frame)) : GST_CLOCK_TIME_NONE;
  gboolean late;

  GST_OBJECT_LOCK (self);
  late = self->qos && GST_CLOCK_TIME_IS_VALID (time) && GST_CLOCK_TIME_IS_VALID (self->earliest)
      && time < self->earliest;
  GST_OBJECT_UNLOCK (self);
  return late;
}

/* The frame's own result; %NULL when there is none. */
static gboolean
classify_now (GradClassify * self, GstBuffer * frame, GradClassification ** result,
    GError ** error)
{
  if (is_late (self, frame)) {
    grad_reporter_count_skipped (&self->reporter);
    return TRUE;
  }
  if (!grad_frame_classifier_run (self->classifier, frame, &self->info, result, error))
    return FALSE;
  if (*result != NULL) {
    grad_reporter_set_latency (&self->reporter, grad_classification_get_latency (*result));
    grad_reporter_post (&self->reporter, *result);
  }
  return TRUE;
}

/* A result is one latency old when it comes, and two and a bit when the next one does: a slow network is no reason to have none.
 * Whether what was seen in an earlier frame still holds for this one. */
static gboolean
is_fresh (GradClassify * self, GradClassification * result, GstBuffer * frame)
{
  GstClockTime then = grad_classification_get_pts (result), now = GST_BUFFER_PTS (frame);
  guint64 max_lag;

  GST_OBJECT_LOCK (self);
  max_lag = self->max_lag;
  GST_OBJECT_UNLOCK (self);
  return max_lag == 0 || !GST_CLOCK_TIME_IS_VALID (then) || !GST_CLOCK_TIME_IS_VALID (now)
      || now <= then || now - then <= MAX (max_lag, grad_classification_get_latency (result) * 9 / 4);
}

static GstFlowReturn
grad_classify_transform_ip (GstBaseTransform * trans, GstBuffer * frame)
{
  GradClassify *self = GRAD_CLASSIFY (trans);
  g_autoptr (GradClassification) result = NULL;
  GError *error = NULL;
  guint64 n = grad_reporter_count_frame (&self->reporter);
  gboolean sync, due;

  GST_OBJECT_LOCK (self);
  sync = self->sync;
  due = n % self->interval == 0;
  GST_OBJECT_UNLOCK (self);
  if (sync && due && !classify_now (self, frame, &result, &error)) {
    grad_element_fail (self, error);
    return GST_FLOW_ERROR;
  }
  if (result == NULL)
    result = grad_frame_classifier_get_latest (self->classifier);
  if (result != NULL && is_fresh (self, result, frame)) {
    grad_buffer_add_classification_meta (frame, result);
    grad_analytics_attach (frame, &self->info, result);
  }
  /* last, since whoever waits for it keeps the frame from being changed */
  if (!sync && due && grad_frame_classifier_submit (self->classifier, frame, &self->info))
    grad_reporter_count_skipped (&self->reporter);
  return GST_FLOW_OK;
}

static gboolean
grad_classify_sink_event (GstBaseTransform * trans, GstEvent * event)
{
  GradClassify *self = GRAD_CLASSIFY (trans);

  if (GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_STOP
      || GST_EVENT_TYPE (event) == GST_EVENT_STREAM_START) {
    GST_OBJECT_LOCK (self);
    self->earliest = GST_CLOCK_TIME_NONE;
    GST_OBJECT_UNLOCK (self);
    if (self->classifier != NULL)
      grad_frame_classifier_flush (self->classifier);
  }
  return GST_BASE_TRANSFORM_CLASS (grad_classify_parent_class)->sink_event (trans, event);
}

static gboolean
grad_classify_src_event (GstBaseTransform * trans, GstEvent * event)
{
  GradClassify *self = GRAD_CLASSIFY (trans);

  if (GST_EVENT_TYPE (event) == GST_EVENT_QOS) {
    GstClockTimeDiff jitter;
    GstClockTime time;

    gst_event_parse_qos (event, NULL, NULL, &jitter, &time);
    GST_OBJECT_LOCK (self);
    self->earliest = !GST_CLOCK_TIME_IS_VALID (time) || jitter <= 0 ? GST_CLOCK_TIME_NONE
        : time + 2 * jitter;
    GST_OBJECT_UNLOCK (self);
  }
  return GST_BASE_TRANSFORM_CLASS (grad_classify_parent_class)->src_event (trans, event);
}

static gboolean
grad_classify_query (GstBaseTransform * trans, GstPadDirection direction, GstQuery * query)
{
  GradClassify *self = GRAD_CLASSIFY (trans);

  if (grad_element_query_context (GST_ELEMENT (self), query, self->attachment.bus))
    return TRUE;
  if (!GST_BASE_TRANSFORM_CLASS (grad_classify_parent_class)->query (trans, direction, query))
    return FALSE;
  if (GST_QUERY_TYPE (query) == GST_QUERY_LATENCY && direction == GST_PAD_SRC)
    grad_query_add_latency (query, grad_reporter_get_latency (&self->reporter));
  return TRUE;
}

static void
grad_classify_set_property (GObject * object, guint id, const GValue * value, GParamSpec * pspec)
{
  grad_element_set_property (object, id, value, pspec);
  if (pspec->flags & GST_PARAM_MUTABLE_PLAYING)
    configure (GRAD_CLASSIFY (object));
}

static void
grad_classify_get_property (GObject * object, guint id, GValue * value, GParamSpec * pspec)
{
  if (id == G_STRUCT_OFFSET (GradClassify, reporter))
    g_value_take_boxed (value, grad_reporter_get_stats (&GRAD_CLASSIFY (object)->reporter));
  else
    grad_element_get_property (object, id, value, pspec);
}

static void
grad_classify_finalize (GObject * object)
{
  GradClassify *self = GRAD_CLASSIFY (object);

  g_free (self->location);
  g_free (self->model_name);
  g_free (self->class_names);
  g_free (self->warned);
  g_mutex_clear (&self->configuring);
  grad_attachment_clear (&self->attachment);
  G_OBJECT_CLASS (grad_classify_parent_class)->finalize (object);
}

static void
install_properties (GObjectClass * klass)
{
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, location),
      g_param_spec_string ("location", "Model file", "Safetensors file of a trained "
          "network; read again when it is replaced, or another one is set", NULL, GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, model_name),
      g_param_spec_string ("model-name", "Model name", "Without location: name of "
          "a network that is being trained on the same bus", NULL, GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, class_names),
      g_param_spec_string ("class-names", "Class names", "Names of the classes "
          "separated by commas, or a file with one a line; by default what the model says", NULL,
          GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, top_k),
      g_param_spec_uint ("top-k", "Top k", "How many of the most probable classes to "
          "report", 1, G_MAXUINT, 3, GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, interval),
      g_param_spec_uint ("interval", "Interval", "Every how many frames one is "
          "classified", 1, G_MAXUINT, 1, GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, threshold),
      g_param_spec_double ("threshold", "Threshold", "Smallest probability, 0 to 1, "
          "to report a class with", 0, 1, 0, GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, smoothing),
      g_param_spec_double ("smoothing", "Smoothing", "Weight of earlier results in "
          "each new one, 0 for none", 0, 0.999, 0, GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, region),
      g_param_spec_enum ("region", "Region", "Which part of a frame the network gets to "
          "see", GRAD_TYPE_REGION, GRAD_REGION_CENTER, GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, sync),
      g_param_spec_boolean ("sync", "Synchronous", "Whether each frame waits for its own "
          "result; else it carries the newest one", FALSE, GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, qos),
      g_param_spec_boolean ("qos", "Quality of service", "With sync, whether frames that "
          "come late to the sink are passed on without being classified", TRUE, GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, max_lag),
      g_param_spec_uint64 ("max-lag", "Maximum lag", "Age in ns, measured in stream "
          "time, up to which a result is attached to later frames, but never less than until a slow network has the next one; 0 for any", 0, G_MAXUINT64,
          GST_SECOND, GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, refresh_interval),
      g_param_spec_uint64 ("refresh-interval", "Refresh interval",
          "With model-name, shortest time in ns after which the newest weights are taken over", 0,
          G_MAXUINT64, 500 * GST_MSECOND, GRAD_PARAM_PLAYING));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradClassify, reporter),
      g_param_spec_boxed ("stats", "Statistics", "Number of frames, results, and frames "
          "that were due but skipped under load", GST_TYPE_STRUCTURE,
          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  grad_attachment_install_properties (klass, G_STRUCT_OFFSET (GradClassify, attachment));
}

static gboolean
grad_classify_propose_allocation (GstBaseTransform * trans, GstQuery * decided, GstQuery * query)
{
  gboolean ok = GST_BASE_TRANSFORM_CLASS (grad_classify_parent_class)->propose_allocation (trans, decided, query);

  grad_query_remove_crop (query);
  return ok;
}

static void
grad_classify_class_init (GradClassifyClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_classify_debug, "gradclassify", 0, "GradStreamer classifier");
  grad_element_class_init_properties (object_class);
  object_class->set_property = grad_classify_set_property;
  object_class->get_property = grad_classify_get_property;
  object_class->finalize = grad_classify_finalize;
  install_properties (object_class);

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Video classifier",
      "Filter/Analyzer/Video", "Says what is to be seen in a video, with a trained network or one "
      "that is still learning", PACKAGE_AUTHOR);
  element_class->change_state = GST_DEBUG_FUNCPTR (grad_classify_change_state);
  trans_class->set_caps = GST_DEBUG_FUNCPTR (grad_classify_set_caps);
  trans_class->propose_allocation = GST_DEBUG_FUNCPTR (grad_classify_propose_allocation);
  trans_class->transform_ip = GST_DEBUG_FUNCPTR (grad_classify_transform_ip);
  trans_class->sink_event = GST_DEBUG_FUNCPTR (grad_classify_sink_event);
  trans_class->src_event = GST_DEBUG_FUNCPTR (grad_classify_src_event);
  trans_class->query = GST_DEBUG_FUNCPTR (grad_classify_query);
  gst_type_mark_as_plugin_api (GRAD_TYPE_REGION, 0);
}

static void
grad_classify_init (GradClassify * self)
{
  g_mutex_init (&self->configuring);
  grad_reporter_start (&self->reporter, GST_ELEMENT (self));
}
