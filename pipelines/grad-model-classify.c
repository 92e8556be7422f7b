/* GradStreamer: grad-model classify: what is to be seen in pictures
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradjsontext.h"
#include "gradmodeltool.h"
#include "gradtable.h"

#include <stdlib.h>
#include <string.h>

typedef struct
{
  GstElement *pipeline, *convert;
  const gchar *const *names;
  guint n_classes;
  gfloat *probabilities;        /* (n_classes) of the picture; streaming thread until the pipeline is stopped */
  gboolean seen;
} Classify;

/* The first frame is enough; what follows in a video would be more work for nothing. */
static GstPadProbeReturn
on_buffer (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Classify *self = data;
  GstObject *element = GST_OBJECT_PARENT (pad);
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  gsize size = gst_buffer_get_size (buffer);

  if (self->seen)
    return GST_PAD_PROBE_DROP;
  self->seen = TRUE;
  self->n_classes = size / sizeof (gfloat);
  self->probabilities = g_realloc (self->probabilities, size);
  gst_buffer_extract (buffer, 0, self->probabilities, size);
  gst_element_post_message (GST_ELEMENT (element),
      gst_message_new_application (element, gst_structure_new_empty ("grad-model-done")));
  return GST_PAD_PROBE_OK;
}

static gboolean
set_region (GstElement * from, const gchar * region, GError ** error)
{
  GParamSpec *spec = g_object_class_find_property (G_OBJECT_GET_CLASS (from), "region");
  GEnumClass *klass = G_PARAM_SPEC_ENUM (spec)->enum_class;
  GEnumValue *value = g_enum_get_value_by_nick (klass, region);

  if (value != NULL)
    g_object_set (from, "region", value->value, NULL);
  else
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "there is no region \"%s\": "
        "gst-inspect-1.0 gradfromvideo lists those that there are", region);
  return value != NULL;
}

/* The weights stay loaded as long as it is not set to NULL. */
static gboolean
prepare (Classify * self, const gchar * model, const gchar * region, GError ** error)
{
  g_autoptr (GstElement) from = NULL, network = NULL, end = NULL;
  g_autoptr (GstElementFactory) deinterlace = gst_element_factory_find ("deinterlace");
  g_autofree gchar *launch = NULL;
  g_autoptr (GstPad) pad = NULL;

  launch = g_strconcat ("videoconvert name=convert ! ", deinterlace ? "deinterlace ! " : "",
      "gradfromvideo name=from batch-size=1 ! gradmodel name=network ! fakesink name=end", NULL);
  self->pipeline = gst_parse_launch_full (launch, NULL, GST_PARSE_FLAG_FATAL_ERRORS, error);
  if (self->pipeline == NULL)
    return FALSE;
  gst_object_ref_sink (self->pipeline);
  self->convert = gst_bin_get_by_name (GST_BIN (self->pipeline), "convert");
  from = gst_bin_get_by_name (GST_BIN (self->pipeline), "from");
  network = gst_bin_get_by_name (GST_BIN (self->pipeline), "network");
  end = gst_bin_get_by_name (GST_BIN (self->pipeline), "end");
  g_object_set (from, "model", model, NULL);
  g_object_set (network, "location", model, NULL);
  if (!set_region (from, region, error))
    return FALSE;
  pad = gst_element_get_static_pad (end, "sink");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, self, NULL);
  return TRUE;
}

static void
on_pad (GstElement * source, GstPad * pad, gpointer data)
{
  gst_element_link_pads (source, GST_PAD_NAME (pad), data, "sink");
}

/* A new element for each picture: uridecodebin does not forget all of the one before. */
static gboolean
classify (Classify * self, const gchar * picture, GError ** error)
{
  GstElement *source = NULL;
  g_autofree gchar *uri = gst_uri_is_valid (picture) && !g_file_test (picture, G_FILE_TEST_EXISTS)
      ? g_strdup (picture) : gst_filename_to_uri (picture, error);
  g_autoptr (GError) cause = NULL;

  if (uri == NULL || !(source = gst_parse_launch ("uridecodebin expose-all-streams=false "
              "caps=video/x-raw(ANY)", error)))
    return FALSE;
  g_object_set (source, "uri", uri, NULL);
  g_signal_connect (source, "pad-added", G_CALLBACK (on_pad), self->convert);
  gst_bin_add (GST_BIN (self->pipeline), source);
  self->seen = FALSE;
  if (!grad_command_play (self->pipeline, &cause))
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FAILED, "%s: %s", picture, cause->message);
  else if (!self->seen)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s: there is no picture in it", picture);
  gst_element_set_state (source, GST_STATE_NULL);
  gst_bin_remove (GST_BIN (self->pipeline), source);
  return self->seen && cause == NULL;
}

static gint
compare (gconstpointer a, gconstpointer b, gpointer data)
{
  const gfloat *p = data;
  guint i = *(const guint *) a, k = *(const guint *) b;

  return p[i] != p[k] ? (p[i] > p[k] ? -1 : 1) : i < k ? -1 : i > k;
}

/* The classes, the most probable first */
static guint *
rank (const Classify * self)
{
  guint *classes = g_new (guint, MAX (1, self->n_classes));

  for (guint k = 0; k < self->n_classes; k++)
    classes[k] = k;
  g_qsort_with_data (classes, self->n_classes, sizeof *classes, compare, self->probabilities);
  return classes;
}

static gchar *
name_of (const Classify * self, guint k)
{
  return self->names && k < g_strv_length ((gchar **) self->names)
      ? grad_printable (self->names[k]) : g_strdup_printf ("%u", k);
}

static void
print_json (const Classify * self, const gchar * picture, guint top)
{
  g_autoptr (GString) json = g_string_new (NULL);
  g_autofree guint *classes = rank (self);

  grad_json_open (json, NULL, '{');
  grad_json_add_string (json, "picture", picture);
  grad_json_open (json, "classes", '[');
  for (guint r = 0; r < MIN (top, self->n_classes); r++) {
    guint k = classes[r];
    g_autofree gchar *name = name_of (self, k);

    grad_json_open (json, NULL, '{');
    grad_json_add_string (json, "name", name);
    grad_json_add_integer (json, "class", k);
    grad_json_add_double (json, "probability", self->probabilities[k]);
    grad_json_close (json, '}');
  }
  grad_json_close (json, ']');
  grad_json_close (json, '}');
  puts (json->str);
}

static void
print (const Classify * self, const gchar * picture, guint top)
{
  g_autofree gchar *text = grad_printable (picture);
  g_autofree guint *classes = rank (self);

  puts (text);
  for (guint r = 0; r < MIN (top, self->n_classes); r++) {
    guint k = classes[r];
    g_autofree gchar *name = name_of (self, k);

    printf ("  %.3f  %s\n", self->probabilities[k], name);
  }
}

static void
clear (Classify * self)
{
  if (self->pipeline != NULL) {
    gst_element_set_state (self->pipeline, GST_STATE_NULL);
    gst_object_unref (self->convert);
    gst_object_unref (self->pipeline);
  }
  g_free (self->probabilities);
}

static gint
run (const GradCommand * command, gint argc, gchar ** argv)
{
  gboolean json = FALSE;
  g_autofree gchar *region = NULL;
  gint top = 3, status = EXIT_SUCCESS;
  const GOptionEntry entries[] = {
    {"top", 't', 0, G_OPTION_ARG_INT, &top, "Classes to print of each picture (3)", "N"},
    {"region", 0, 0, G_OPTION_ARG_STRING, &region,
        "Part of a picture that the network sees, as gradfromvideo has it (center)", "REGION"},
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print a line of JSON for each picture", NULL},
    {NULL}
  };
  g_autoptr (GradModel) model = NULL;
  g_autoptr (GError) error = NULL;
  Classify self = { NULL };

  if (!grad_command_parse (command, entries, &argc, &argv, 2, G_MAXINT))
    return EXIT_USAGE;
  model = grad_model_open (argv[1], &error);
  if (model == NULL || !prepare (&self, argv[1], region ? region : "center", &error)) {
    clear (&self);
    return grad_command_fail (error);
  }
  self.names = grad_model_get_class_names (model);
  for (gint i = 2; i < argc; i++) {
    g_autoptr (GError) wrong = NULL;

    if (!classify (&self, argv[i], &wrong))
      status = grad_command_fail (wrong);
    else if (json)
      print_json (&self, argv[i], MAX (1, top));
    else
      print (&self, argv[i], MAX (1, top));
    fflush (stdout);
  }
  clear (&self);
  return status;
}

const GradCommand grad_command_classify = {
  "classify", "FILE PICTURE...", "what is to be seen in pictures",
  "Pictures may be files of any format that GStreamer decodes, or addresses (https://...); of a\n"
      "video the first frame counts. They are cropped, resized and normalised as the network was\n"
      "trained. A picture that cannot be read is said, and the others are classified.",
  run
};
