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
#include "gradtextpad.h"

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
  GradTextPad *text;
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
static GstStaticPadTemplate text_template = GST_STATIC_PAD_TEMPLATE ("text", GST_PAD_SRC,
    GST_PAD_REQUEST, GST_STATIC_CAPS (GRAD_TEXT_CAPS));

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

static GstPad *
grad_publish_request_new_pad (GstElement * element, GstPadTemplate * template, const gchar * name,
    const GstCaps * caps)
{
  GradPublish *self = GRAD_PUBLISH (element);
  GstPad *pad;

  if (self->text != NULL)
    return NULL;
  pad = g_object_new (GRAD_TYPE_TEXT_PAD, "name", "text", "direction", GST_PAD_SRC, "template",
      template, NULL);
  gst_element_add_pad (element, pad);
  GST_OBJECT_LOCK (self);
  self->text = GRAD_TEXT_PAD (pad);
  GST_OBJECT_UNLOCK (self);
  return pad;
}

static GradTextPad *
get_text_pad (GradPublish * self)
{
  GradTextPad *pad;

  GST_OBJECT_LOCK (self);
  pad = self->text ? g_object_ref (self->text) : NULL;
  GST_OBJECT_UNLOCK (self);
  return pad;
}

static void
grad_publish_release_pad (GstElement * element, GstPad * pad)
{
  GradPublish *self = GRAD_PUBLISH (element);

  gst_pad_set_active (pad, FALSE);
  GST_OBJECT_LOCK (self);
  self->text = NULL;            /* a streaming thread may have a reference of its own for a moment */
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
publish_text (GradPublish * self, GradTextPad * pad, GstBuffer * frame, GradClassification * c,
    GradTextFormat format, const gchar * line)
{
  g_autofree gchar *label = NULL;

  grad_text_pad_follow (pad, GST_BASE_TRANSFORM (self)->sinkpad);

  if (format == GRAD_TEXT_LABEL && c && grad_classification_get_n_results (c) > 0)
    line = label = g_strdup_printf ("%s %.0f %%", grad_classification_get_label (c, 0),
        100 * grad_classification_get_probability (c, 0));
  else if (format == GRAD_TEXT_LABEL)
    line = NULL;
  if (line != NULL)
    grad_text_pad_push (pad, line, frame);
  else if (GST_BUFFER_PTS_IS_VALID (frame))
    grad_text_pad_push_gap (pad, GST_BUFFER_PTS (frame));
}

static GstFlowReturn
grad_publish_transform_ip (GstBaseTransform * trans, GstBuffer * frame)
{
  GradPublish *self = GRAD_PUBLISH (trans);
  GradClassification *c = grad_buffer_get_classification (frame);
  g_autofree gchar *line = NULL;
  g_autoptr (GradTextPad) pad = get_text_pad (self);
  gboolean changes_only;
  GradTextFormat format;

  GST_OBJECT_LOCK (self);
  changes_only = self->changes_only;
  format = self->text_format;
  GST_OBJECT_UNLOCK (self);

  if (c != NULL && is_new (self, c, changes_only))
    line = to_json (c);
  if (pad != NULL)
    publish_text (self, pad, frame, c, format, line);
  if (line == NULL || self->file == NULL || (fputs (line, self->file) >= 0
          && fflush (self->file) == 0))
    return GST_FLOW_OK;
  GST_ELEMENT_ERROR (self, RESOURCE, WRITE, ("Cannot write results to %s: %s; name another file, or "
              "make room.", self->location, g_strerror (errno)), (NULL));
  return GST_FLOW_ERROR;
}

static gboolean
grad_publish_sink_event (GstBaseTransform * trans, GstEvent * event)
{
  GradPublish *self = GRAD_PUBLISH (trans);
  g_autoptr (GradTextPad) pad = get_text_pad (self);

  if (GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_STOP)
    g_clear_pointer (&self->last, grad_classification_unref);
  if (pad != NULL && GST_EVENT_IS_SERIALIZED (event))
    grad_text_pad_follow (pad, trans->sinkpad);
  if (pad != NULL)
    grad_text_pad_push_event (pad, event);
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

static void
grad_publish_set_property (GObject * object, guint id, const GValue * value, GParamSpec * pspec)
{
  if (id == G_STRUCT_OFFSET (GradPublish, location) && GRAD_PUBLISH (object)->file != NULL)
    g_warning ("gradpublish: location can be changed in READY or NULL alone");
  else
    grad_element_set_property (object, id, value, pspec);
}

static void
grad_publish_finalize (GObject * object)
{
  g_free (GRAD_PUBLISH (object)->location);
  G_OBJECT_CLASS (grad_publish_parent_class)->finalize (object);
}

static void
grad_publish_class_init (GradPublishClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_publish_debug, "gradpublish", 0, "GradStreamer publisher");
  grad_element_class_init_properties (object_class);
  object_class->set_property = grad_publish_set_property;
  object_class->finalize = grad_publish_finalize;
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradPublish, location),
      g_param_spec_string ("location", "Output file", "File for a line of JSON per result, \"-\" for "
          "standard output; none without", NULL, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradPublish, changes_only),
      g_param_spec_boolean ("changes-only", "Changes only", "Whether a result is written only if the most "
          "probable class is another one than before", FALSE, GRAD_PARAM_PLAYING));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradPublish, text_format),
      g_param_spec_enum ("text-format", "Text format", "What comes out of the pad \"text\"",
          GRAD_TYPE_TEXT_FORMAT, GRAD_TEXT_LABEL, GRAD_PARAM_PLAYING));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_add_static_pad_template_with_gtype (element_class, &text_template,
      GRAD_TYPE_TEXT_PAD);
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
  gst_type_mark_as_plugin_api (GRAD_TYPE_TEXT_PAD, 0);
}

static void
grad_publish_init (GradPublish * self)
{
  gst_base_transform_set_passthrough (GST_BASE_TRANSFORM (self), TRUE);
}
