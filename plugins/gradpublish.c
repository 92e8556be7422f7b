/* GradStreamer: write down what was classified
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradpublish
 * @title: gradpublish
 * @short_description: classifications as lines of JSON, and as text
 *
 * Passes frames on, and writes one line of JSON for each new #GradClassification that they carry, to `location` ("-" is standard output; a
 * file is written anew):
 * `{"pts":0,"latency":3400000,"version":705,"results":[{"class":8,"label":"Bag","probability":0.97}]}`, times in ns.
 *
 * The request pad `text` has the same as a text stream: the line, or, with `text-format=label`, "Bag 97 %" for every frame, for textoverlay.
 * Whoever reads it never holds up the video: what it does not take in time is dropped.
 *
 * ## Example
 * <!-- run: s|gradclassify [^!]*!|identity !| -->
 * |[
 * gst-launch-1.0 -q videotestsrc num-buffers=10 ! gradclassify sync=true location=resnet18.safetensors ! gradpublish location=- ! fakesink
 * ]|
 */
#include "config.h"
#include "lib/base/gradelement.h"
#include "lib/data/gradclassification.h"
#include "lib/model/gradjson-private.h"
#include "gradstreamerelements.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <gst/base/gstbasetransform.h>
#include <stdio.h>
#include <string.h>

GST_DEBUG_CATEGORY_STATIC (grad_publish_debug);
#define GST_CAT_DEFAULT grad_publish_debug

#define GRAD_TYPE_PUBLISH (grad_publish_get_type ())
G_DECLARE_FINAL_TYPE (GradPublish, grad_publish, GRAD, PUBLISH, GstBaseTransform)

typedef enum
{
  GRAD_TEXT_LABEL,
  GRAD_TEXT_JSON
} GradTextFormat;

struct _GradPublish
{
  GstBaseTransform parent;

  /* properties, object lock */
  gchar *location;
  gboolean changes_only;
  GradTextFormat text_format;

  /* from READY to PAUSED on */
  FILE *file;
  /* streaming thread */
  GradClassification *last;
  /* object lock to change it */
  GstPad *text;

  GMutex lock;                  /* guards the following: what the text pad's own thread pushes */
  GCond more;
  GQueue queue;                 /* of buffers and events */
  gboolean flushing;
};

enum
{
  PROP_0,
  PROP_LOCATION,
  PROP_CHANGES_ONLY,
  PROP_TEXT_FORMAT
};

#define DEFAULT_CHANGES_ONLY FALSE
#define DEFAULT_TEXT_FORMAT GRAD_TEXT_LABEL
#define MAX_QUEUED 100          /* buffers */

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
static GstStaticPadTemplate text_template = GST_STATIC_PAD_TEMPLATE ("text", GST_PAD_SRC,
    GST_PAD_REQUEST, GST_STATIC_CAPS ("text/x-raw, format=(string)utf8"));

G_DEFINE_FINAL_TYPE (GradPublish, grad_publish, GST_TYPE_BASE_TRANSFORM);
GST_ELEMENT_REGISTER_DEFINE (gradpublish, "gradpublish", GST_RANK_NONE, GRAD_TYPE_PUBLISH);

#define GRAD_TYPE_TEXT_FORMAT (grad_text_format_get_type ())
static GType
grad_text_format_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GRAD_TEXT_LABEL, "Label and percent of the most probable class, for every frame", "label"},
    {GRAD_TEXT_JSON, "A line of JSON for every result", "json"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradTextFormat", values));
  return type;
}

/* ---- the text pad: a queue and a thread of its own */

/* Takes over the object. Text that nobody takes in time makes room for newer one. */
static void
enqueue (GradPublish * self, gpointer object)
{
  g_mutex_lock (&self->lock);
  if (self->flushing) {
    gst_mini_object_unref (object);
  } else {
    if (GST_IS_BUFFER (object) && self->queue.length >= MAX_QUEUED)
      for (GList * l = self->queue.head; l; l = l->next)
        if (GST_IS_BUFFER (l->data)) {
          gst_mini_object_unref (l->data);
          g_queue_delete_link (&self->queue, l);
          break;
        }
    g_queue_push_tail (&self->queue, object);
    g_cond_signal (&self->more);
  }
  g_mutex_unlock (&self->lock);
}

/* Time goes on without text: one gap says it, however long. */
static void
enqueue_gap (GradPublish * self, GstClockTime pts)
{
  g_mutex_lock (&self->lock);
  if (self->queue.tail && GST_IS_EVENT (self->queue.tail->data)
      && GST_EVENT_TYPE (self->queue.tail->data) == GST_EVENT_GAP)
    gst_mini_object_unref (g_queue_pop_tail (&self->queue));
  g_mutex_unlock (&self->lock);
  enqueue (self, gst_event_new_gap (pts, GST_CLOCK_TIME_NONE));
}

static void
push_text (gpointer element)
{
  GradPublish *self = element;
  gpointer object;

  g_mutex_lock (&self->lock);
  while (!self->flushing && self->queue.length == 0)
    g_cond_wait (&self->more, &self->lock);
  object = self->flushing ? NULL : g_queue_pop_head (&self->queue);
  g_mutex_unlock (&self->lock);
  if (object == NULL)
    gst_pad_pause_task (self->text);
  else if (GST_IS_EVENT (object))
    gst_pad_push_event (self->text, object);
  else
    gst_pad_push (self->text, object);
}

static void
set_flushing (GradPublish * self, gboolean flushing)
{
  g_mutex_lock (&self->lock);
  self->flushing = flushing;
  if (flushing) {
    g_queue_foreach (&self->queue, (GFunc) gst_mini_object_unref, NULL);
    g_queue_clear (&self->queue);
  }
  g_cond_signal (&self->more);
  g_mutex_unlock (&self->lock);
}

static gboolean
activate_text (GstPad * pad, GstObject * parent, GstPadMode mode, gboolean active)
{
  GradPublish *self = GRAD_PUBLISH (parent);

  if (mode != GST_PAD_MODE_PUSH)
    return FALSE;
  set_flushing (self, !active);
  return active ? gst_pad_start_task (pad, push_text, self, NULL) : gst_pad_stop_task (pad);
}

/* What the frames' stream says, as far as it holds for text */
static void
forward_event (GradPublish * self, GstEvent * event)
{
  GstCaps *caps;

  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_STREAM_START:{
      g_autofree gchar *id = gst_pad_create_stream_id (self->text, GST_ELEMENT (self), "text");

      enqueue (self, gst_event_new_stream_start (id));
      caps = gst_static_pad_template_get_caps (&text_template);
      enqueue (self, gst_event_new_caps (caps));
      gst_caps_unref (caps);
      break;
    }
    case GST_EVENT_FLUSH_START:
      gst_pad_push_event (self->text, gst_event_ref (event));
      set_flushing (self, TRUE);
      gst_pad_pause_task (self->text);
      break;
    case GST_EVENT_FLUSH_STOP:
      gst_pad_push_event (self->text, gst_event_ref (event));
      set_flushing (self, FALSE);
      gst_pad_start_task (self->text, push_text, self, NULL);
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

static GstPad *
grad_publish_request_new_pad (GstElement * element, GstPadTemplate * template, const gchar * name,
    const GstCaps * caps)
{
  GradPublish *self = GRAD_PUBLISH (element);
  GstPad *pad;

  if (self->text != NULL)
    return NULL;
  pad = gst_pad_new_from_template (template, "text");
  gst_pad_set_activatemode_function (pad, activate_text);
  GST_OBJECT_LOCK (self);
  self->text = pad;
  GST_OBJECT_UNLOCK (self);
  gst_element_add_pad (element, pad);
  return pad;
}

static void
grad_publish_release_pad (GstElement * element, GstPad * pad)
{
  GradPublish *self = GRAD_PUBLISH (element);

  gst_pad_set_active (pad, FALSE);
  GST_OBJECT_LOCK (self);
  self->text = NULL;
  GST_OBJECT_UNLOCK (self);
  gst_element_remove_pad (element, pad);
}

/* ---- frames */

static void
append_time (GString * line, const gchar * name, GstClockTime time)
{
  if (GST_CLOCK_TIME_IS_VALID (time))
    g_string_append_printf (line, "\"%s\":%" G_GUINT64_FORMAT ",", name, time);
  else
    g_string_append_printf (line, "\"%s\":null,", name);
}

static gchar *
to_json (GradClassification * c)
{
  GString *line = g_string_new ("{");
  gchar number[G_ASCII_DTOSTR_BUF_SIZE];

  append_time (line, "pts", grad_classification_get_pts (c));
  append_time (line, "latency", grad_classification_get_latency (c));
  g_string_append_printf (line, "\"version\":%" G_GUINT64_FORMAT ",\"results\":[",
      grad_classification_get_version (c));
  for (guint rank = 0; rank < grad_classification_get_n_results (c); rank++) {
    g_string_append_printf (line, "%s{\"class\":%u,\"label\":", rank ? "," : "",
        grad_classification_get_index (c, rank));
    grad_json_append_string (line, grad_classification_get_label (c, rank));
    g_string_append_printf (line, ",\"probability\":%s}", g_ascii_formatd (number, sizeof number,
            "%.6g", grad_classification_get_probability (c, rank)));
  }
  g_string_append (line, "]}\n");
  return g_string_free (line, FALSE);
}

static gboolean
same_class (GradClassification * a, GradClassification * b)
{
  guint n = grad_classification_get_n_results (a);

  return (n > 0) == (grad_classification_get_n_results (b) > 0)
      && (n == 0 || grad_classification_get_index (a, 0) == grad_classification_get_index (b, 0));
}

/* Whether the frame's result is to be written down; it is the last one from now on. */
static gboolean
is_new (GradPublish * self, GradClassification * c, gboolean changes_only)
{
  gboolean new = self->last == NULL || (c != self->last
      && !(changes_only && same_class (c, self->last)));

  if (c != self->last) {
    g_clear_pointer (&self->last, grad_classification_unref);
    self->last = grad_classification_ref (c);
  }
  return new;
}

static void
publish_text (GradPublish * self, GstBuffer * frame, GradClassification * c,
    GradTextFormat format, const gchar * line)
{
  g_autofree gchar *label = NULL;
  GstBuffer *text;

  if (format == GRAD_TEXT_LABEL && c && grad_classification_get_n_results (c) > 0)
    line = label = g_strdup_printf ("%s %.0f %%", grad_classification_get_label (c, 0),
        100 * grad_classification_get_probability (c, 0));
  else if (format == GRAD_TEXT_LABEL)
    line = NULL;
  if (line == NULL) {
    if (GST_BUFFER_PTS_IS_VALID (frame))
      enqueue_gap (self, GST_BUFFER_PTS (frame));
    return;
  }
  text = gst_buffer_new_memdup (line, strlen (line));
  GST_BUFFER_PTS (text) = GST_BUFFER_PTS (frame);
  GST_BUFFER_DURATION (text) = GST_BUFFER_DURATION (frame);
  enqueue (self, text);
}

static GstFlowReturn
grad_publish_transform_ip (GstBaseTransform * trans, GstBuffer * frame)
{
  GradPublish *self = GRAD_PUBLISH (trans);
  GradClassification *c = grad_buffer_get_classification (frame);
  g_autofree gchar *line = NULL;
  g_autoptr (GstPad) pad = NULL;
  gboolean changes_only;
  GradTextFormat format;

  GST_OBJECT_LOCK (self);
  changes_only = self->changes_only;
  format = self->text_format;
  pad = self->text ? gst_object_ref (self->text) : NULL;
  GST_OBJECT_UNLOCK (self);

  if (c != NULL && is_new (self, c, changes_only))
    line = to_json (c);
  if (pad != NULL)
    publish_text (self, frame, c, format, line);
  if (line == NULL || self->file == NULL || (fputs (line, self->file) >= 0
          && fflush (self->file) == 0))
    return GST_FLOW_OK;
  GST_ELEMENT_ERROR (self, RESOURCE, WRITE, ("Cannot write results to %s: %s.", self->location,
          g_strerror (errno)), (NULL));
  return GST_FLOW_ERROR;
}

static gboolean
grad_publish_sink_event (GstBaseTransform * trans, GstEvent * event)
{
  GradPublish *self = GRAD_PUBLISH (trans);

  if (GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_STOP)
    g_clear_pointer (&self->last, grad_classification_unref);
  if (self->text != NULL)
    forward_event (self, event);
  return GST_BASE_TRANSFORM_CLASS (grad_publish_parent_class)->sink_event (trans, event);
}

static gboolean
grad_publish_start (GstBaseTransform * trans)
{
  GradPublish *self = GRAD_PUBLISH (trans);

  if (self->location == NULL || *self->location == '\0')
    return TRUE;
  self->file = g_str_equal (self->location, "-") ? stdout : g_fopen (self->location, "we");
  if (self->file == NULL)
    GST_ELEMENT_ERROR (self, RESOURCE, OPEN_WRITE, ("Cannot write results to %s: %s; set location to a "
            "file that can be written.", self->location, g_strerror (errno)), (NULL));
  return self->file != NULL;
}

static gboolean
grad_publish_stop (GstBaseTransform * trans)
{
  GradPublish *self = GRAD_PUBLISH (trans);

  if (self->file != NULL && self->file != stdout)
    fclose (self->file);
  self->file = NULL;
  g_clear_pointer (&self->last, grad_classification_unref);
  return TRUE;
}

/* where each property is kept */
static const gsize fields[] = {
  [PROP_LOCATION] = G_STRUCT_OFFSET (GradPublish, location),
  [PROP_CHANGES_ONLY] = G_STRUCT_OFFSET (GradPublish, changes_only),
  [PROP_TEXT_FORMAT] = G_STRUCT_OFFSET (GradPublish, text_format),
};

static void
grad_publish_set_property (GObject * object, guint id, const GValue * value, GParamSpec * pspec)
{
  if (id == PROP_LOCATION && GRAD_PUBLISH (object)->file != NULL)
    g_warning ("gradpublish: location can be changed in READY or NULL alone");
  else
    grad_element_set_field (object, G_STRUCT_MEMBER_P (object, fields[id]), value);
}

static void
grad_publish_get_property (GObject * object, guint id, GValue * value, GParamSpec * pspec)
{
  grad_element_get_field (object, G_STRUCT_MEMBER_P (object, fields[id]), value);
}

static void
grad_publish_finalize (GObject * object)
{
  GradPublish *self = GRAD_PUBLISH (object);

  g_free (self->location);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->more);
  G_OBJECT_CLASS (grad_publish_parent_class)->finalize (object);
}

static void
grad_publish_class_init (GradPublishClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_publish_debug, "gradpublish", 0, "GradStreamer publisher");
  object_class->set_property = grad_publish_set_property;
  object_class->get_property = grad_publish_get_property;
  object_class->finalize = grad_publish_finalize;
  g_object_class_install_property (object_class, PROP_LOCATION,
      g_param_spec_string ("location", "Output file", "File for a line of JSON per result, \"-\" for "
          "standard output; none without", NULL, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, PROP_CHANGES_ONLY,
      g_param_spec_boolean ("changes-only", "Changes only", "Whether a result is written only if the most "
          "probable class is another one than before", DEFAULT_CHANGES_ONLY,
          G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING));
  g_object_class_install_property (object_class, PROP_TEXT_FORMAT,
      g_param_spec_enum ("text-format", "Text format", "What comes out of the pad \"text\"",
          GRAD_TYPE_TEXT_FORMAT, DEFAULT_TEXT_FORMAT,
          G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_add_static_pad_template (element_class, &text_template);
  gst_element_class_set_static_metadata (element_class, "Classification publisher",
      "Filter/Analyzer/Video", "Writes what gradclassify has found as lines of JSON, or as a text stream",
      PACKAGE_AUTHOR);
  element_class->request_new_pad = GST_DEBUG_FUNCPTR (grad_publish_request_new_pad);
  element_class->release_pad = GST_DEBUG_FUNCPTR (grad_publish_release_pad);
  trans_class->transform_ip = GST_DEBUG_FUNCPTR (grad_publish_transform_ip);
  trans_class->sink_event = GST_DEBUG_FUNCPTR (grad_publish_sink_event);
  trans_class->start = GST_DEBUG_FUNCPTR (grad_publish_start);
  trans_class->stop = GST_DEBUG_FUNCPTR (grad_publish_stop);
  gst_type_mark_as_plugin_api (GRAD_TYPE_TEXT_FORMAT, 0);
}

static void
grad_publish_init (GradPublish * self)
{
  self->changes_only = DEFAULT_CHANGES_ONLY;
  self->text_format = DEFAULT_TEXT_FORMAT;
  g_mutex_init (&self->lock);
  g_cond_init (&self->more);
  g_queue_init (&self->queue);
  gst_base_transform_set_passthrough (GST_BASE_TRANSFORM (self), TRUE);
}
