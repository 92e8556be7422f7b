/* GradStreamer: grad-classify runs a launch description that ends in logits, prints what it sees
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "gradpipeline.h"
#include "lib/gradstreamer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_WIDTH 16

typedef struct
{
  gint count;                   /* pictures wanted */
  gint shown, labelled, right;  /* streaming thread only, until the pipeline is stopped */
} Classifier;

static const gchar description[] =
    "The description's sink must get logits, one row per picture: gradfc's output.\n"
    "Exit status: 0, 1 after an error, 2 for a wrong command.";

/* class names of the data set that flows through the pad, or NULL */
static gchar **
get_class_names (GstPad * pad)
{
  GstEvent *event;
  gchar **names = NULL;

  for (guint i = 0; names == NULL
      && (event = gst_pad_get_sticky_event (pad, GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, i)); i++) {
    const GstStructure *s = gst_event_get_structure (event);

    if (gst_structure_has_name (s, "grad-dataset")
        && gst_structure_get_string (s, "class-names") != NULL)
      names = g_strsplit (gst_structure_get_string (s, "class-names"), ",", -1);
    gst_event_unref (event);
  }
  return names;
}

/* the name of a class, or its number, which is put into the buffer */
static const gchar *
class_name (gchar ** names, gint label, gchar buffer[16])
{
  if (names != NULL && label >= 0 && (guint) label < g_strv_length (names))
    return names[label];
  g_snprintf (buffer, 16, label >= 0 ? "%d" : "?", label);
  return buffer;
}

/* index of the largest logit (K), and its softmax */
static gint
predict (const gfloat * logits, gint k, gdouble * probability)
{
  gint best = 0;
  gdouble sum = 0;

  for (gint i = 1; i < k; i++)
    if (logits[i] > logits[best])
      best = i;
  for (gint i = 0; i < k; i++)
    sum += exp ((gdouble) logits[i] - logits[best]);
  *probability = 1 / sum;
  return best;
}

/* logits: (N, K); indices, labels: (N) or NULL */
static void
print_rows (Classifier * self, gint n, gint k, const gfloat * logits, const guint32 * indices,
    const gint32 * labels, gchar ** names)
{
  if (self->shown == 0)
    printf ("%7s  %-*s  %-*s  %s\n", "picture", NAME_WIDTH, "true label", NAME_WIDTH,
        "predicted label", "probability");
  for (gint i = 0; i < n && self->shown < self->count; i++, self->shown++) {
    gdouble probability;
    gint label = labels ? labels[i] : -1, best = predict (logits + (gsize) i * k, k, &probability);
    gchar buffers[2][16];

    printf ("%7u  %-*s  %-*s  %11.3f%s\n", indices ? indices[i] : (guint) self->shown, NAME_WIDTH,
        class_name (names, label, buffers[0]), NAME_WIDTH,
        class_name (names, best, buffers[1]), probability,
        labels && label != best ? "  wrong" : "");
    self->labelled += labels != NULL;
    self->right += labels != NULL && label == best;
  }
}

/* n 32-bit numbers, or NULL */
static gconstpointer
get_numbers (GBytes * bytes, gint n)
{
  gsize size;
  gconstpointer data = bytes ? g_bytes_get_data (bytes, &size) : NULL;

  return data != NULL && size >= n * sizeof (gint32) ? data : NULL;
}

static gboolean
print_buffer (Classifier * self, GstPad * pad, GstBuffer * buffer, GError ** error)
{
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  GradSampleMeta *meta = grad_buffer_get_sample_meta (buffer);
  g_auto (GStrv) names = get_class_names (pad);
  const guint32 *indices = NULL;
  const gint32 *labels = NULL;
  GradShape shape;              /* (N, K) */
  GradDType dtype;
  GstMapInfo map;

  if (caps == NULL
      || !gst_structure_has_name (gst_caps_get_structure (caps, 0), "other/tensors")) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "what arrives here is no tensor of logits");
    return FALSE;
  }
  if (!grad_caps_parse (caps, 2, &dtype, &shape, error))
    return FALSE;
  if (dtype != GRAD_DTYPE_FLOAT32
      || gst_buffer_get_size (buffer) != grad_shape_n_elements (&shape) * sizeof (gfloat)
      || !gst_buffer_map (buffer, &map, GST_MAP_READ)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "the buffers do not hold float32 logits");
    return FALSE;
  }
  if (meta != NULL) {
    indices = get_numbers (meta->indices, shape.dims[0]);
    labels = get_numbers (meta->labels, shape.dims[0]);
  }
  print_rows (self, shape.dims[0], shape.dims[1], (const gfloat *) map.data, indices, labels,
      names);
  gst_buffer_unmap (buffer, &map);
  return TRUE;
}

static GstPadProbeReturn
on_buffer (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Classifier *self = data;
  GstObject *element = GST_OBJECT (GST_OBJECT_PARENT (pad));
  g_autoptr (GError) error = NULL;

  if (self->shown >= self->count)
    return GST_PAD_PROBE_OK;
  if (!print_buffer (self, pad, GST_PAD_PROBE_INFO_BUFFER (info), &error)) {
    self->count = 0;
    gst_element_post_message (GST_ELEMENT (element), gst_message_new_error (element, error, NULL));
  } else if (self->shown == self->count) {
    gst_element_post_message (GST_ELEMENT (element),
        gst_message_new_application (element, gst_structure_new_empty ("grad-classify-done")));
  }
  return GST_PAD_PROBE_OK;
}

/* the sink pad where the logits arrive */
static GstPad *
find_logits (GstElement * pipeline)
{
  g_autoptr (GstIterator) sinks = gst_bin_iterate_sinks (GST_BIN (pipeline));
  GValue item = G_VALUE_INIT;
  GstPad *pad = NULL;

  if (gst_iterator_next (sinks, &item) == GST_ITERATOR_OK) {
    pad = gst_element_get_static_pad (g_value_get_object (&item), "sink");
    g_value_unset (&item);
  }
  return pad;
}

static gint
run (Classifier * self, GstElement * pipeline)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message = NULL;
  g_autoptr (GError) error = NULL;

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE,
      GST_MESSAGE_ERROR | GST_MESSAGE_EOS | GST_MESSAGE_APPLICATION);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
    gst_message_parse_error (message, &error, NULL);
    fprintf (stderr, "grad-classify: %s: %s\n", GST_MESSAGE_SRC_NAME (message), error->message);
    return EXIT_FAILURE;
  }
  if (self->labelled > 0)
    printf ("%d of %d right\n", self->right, self->labelled);
  return EXIT_SUCCESS;
}

int
main (int argc, char **argv)
{
  Classifier self = {.count = 20 };
  g_auto (GStrv) arguments = NULL;
  const GOptionEntry entries[] = {
    {"count", 'n', 0, G_OPTION_ARG_INT, &self.count, "Pictures to classify (20)", "N"},
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments, NULL,
        "FILE.launch|'LAUNCH STRING' [name=value ...]"},
    {NULL}
  };
  g_autoptr (GOptionContext) options = g_option_context_new (NULL);
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (GstPad) pad = NULL;
  g_autoptr (GError) error = NULL;

  grad_pipeline_find_plugin ();
  g_option_context_add_main_entries (options, entries, NULL);
  g_option_context_add_group (options, gst_init_get_option_group ());
  g_option_context_set_description (options, description);
  if (!g_option_context_parse (options, &argc, &argv, &error)) {
    fprintf (stderr, "grad-classify: %s\n", error->message);
    return 2;
  }
  if (arguments == NULL || self.count < 1) {
    fprintf (stderr, "usage: grad-classify [--count=N] FILE.launch|'LAUNCH STRING' "
        "[name=value ...]\n(grad-classify --help says more)\n");
    return 2;
  }
  pipeline = grad_pipeline_new ((const gchar * const *) arguments, &error);
  if (pipeline == NULL) {
    fprintf (stderr, "grad-classify: %s\n", error->message);
    return grad_pipeline_exit_status (error);
  }
  pad = find_logits (pipeline);
  if (pad == NULL) {
    fprintf (stderr, "grad-classify: the description has no sink\n");
    return 2;
  }
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, &self, NULL);
  return run (&self, pipeline);
}
