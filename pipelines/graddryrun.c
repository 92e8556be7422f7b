/* GradStreamer: what a pipeline would train, without running it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graddryrun.h"
#include "gradjsontext.h"
#include "gradsummarytable.h"
#include "gradtable.h"
#include "lib/base/gradlayer.h"
#include "lib/base/gradsource.h"
#include "lib/data/graddataset.h"
#include "lib/model/gradmodel-private.h"

#include <stdio.h>

/* What is in front of a sink */
typedef struct
{
  GPtrArray *elements;          /* of GstElement, in order of the flow */
  GradSource *source;           /* not owned; NULL: another one */
  guint batch_size, epochs;
  guint train, test;            /* pictures */
  gint width, height, channels; /* 0: unknown */
} Chain;

static guint
n_batches (const Chain * chain)
{
  gboolean drop_last;

  g_object_get (chain->source, "drop-last", &drop_last, NULL);
  return drop_last ? chain->train / chain->batch_size
      : (chain->train + chain->batch_size - 1) / chain->batch_size;
}

/* Opens the data as a training would, to see how large pictures are and how many. */
static void
look_at_data (Chain * chain)
{
  g_autoptr (GradDataset) train = NULL, test = NULL;
  g_autoptr (GError) error = NULL;

  g_object_get (chain->source, "batch-size", &chain->batch_size, "epochs", &chain->epochs, NULL);
  chain->channels = 1;
  if (GRAD_SOURCE_GET_CLASS (chain->source)->open (chain->source, TRUE, &train, &test, &error)) {
    chain->train = grad_dataset_get_n_samples (train);
    chain->test = test ? grad_dataset_get_n_samples (test) : 0;
    chain->width = grad_dataset_get_width (train);
    chain->height = grad_dataset_get_height (train);
  } else
    fprintf (stderr, "grad-launch: missing: %s: %s\n", GST_OBJECT_NAME (chain->source),
        error->message);
}

static gboolean
has_property (GstElement * element, const gchar * name, GType type)
{
  GParamSpec *spec = g_object_class_find_property (G_OBJECT_GET_CLASS (element), name);

  return spec != NULL && spec->value_type == type;
}

/* What makes tensors of something else says what it makes: gradfromvideo. */
static gboolean
look_at_converter (Chain * chain, GstElement * element)
{
  if (GRAD_IS_TRANSFORM (element) || !has_property (element, "width", G_TYPE_INT)
      || !has_property (element, "height", G_TYPE_INT)
      || !has_property (element, "channels", G_TYPE_INT)
      || !has_property (element, "batch-size", G_TYPE_UINT))
    return FALSE;
  g_object_get (element, "width", &chain->width, "height", &chain->height, "channels",
      &chain->channels, "batch-size", &chain->batch_size, NULL);
  return TRUE;
}

static void
look_at_input (Chain * chain)
{
  *chain = (Chain) {.elements = chain->elements,.batch_size = 1 };
  for (guint i = 0; i < chain->elements->len; i++) {
    GstElement *element = chain->elements->pdata[i];

    if (GRAD_IS_SOURCE (element)) {
      chain->source = GRAD_SOURCE (element);
      look_at_data (chain);
      return;
    }
    if (look_at_converter (chain, element))
      return;
  }
}

static void
print_text (const Chain * chain, GPtrArray * rows)
{
  g_autofree gchar *table = grad_summary_to_string (rows, grad_terminal_width ());

  if (chain->train > 0) {
    g_autofree gchar *train = grad_format_count (chain->train);
    g_autofree gchar *test = grad_format_count (chain->test);

    printf ("%s: %s pictures of %dx%d, %s to test with; %u x %u batches of %u\n\n",
        GST_OBJECT_NAME (chain->source), train, chain->width, chain->height,
        chain->test ? test : "none", chain->epochs, n_batches (chain), chain->batch_size);
  }
  fputs (table, stdout);
}

static void
print_json (const Chain * chain, GPtrArray * rows)
{
  g_autoptr (GString) json = g_string_new (NULL);

  grad_json_open (json, NULL, '{');
  grad_json_add_string (json, "type", "network");
  if (chain->train > 0) {
    grad_json_add_integer (json, "train_samples", chain->train);
    grad_json_add_integer (json, "test_samples", chain->test);
    grad_json_add_integer (json, "epochs", chain->epochs);
    grad_json_add_integer (json, "train_batches", n_batches (chain));
  }
  grad_json_add_integer (json, "batch_size", chain->batch_size);
  grad_summary_to_json (rows, json);
  grad_json_close (json, '}');
  puts (json->str);
}

static gboolean
is_layer (gconstpointer element, gconstpointer unused)
{
  return GRAD_IS_LAYER ((gpointer) element);
}

/* *found: whether there is a network */
static gboolean
describe (GstElement * sink, gboolean json, gboolean * found, GError ** error)
{
  Chain chain = { NULL };
  g_autoptr (GPtrArray) elements = NULL, rows = NULL;
  GradShape input;

  if (sink->sinkpads == NULL)
    return TRUE;
  chain.elements = elements = grad_model_find_upstream (sink->sinkpads->data);
  if (!g_ptr_array_find_with_equal_func (elements, NULL, is_layer, NULL))
    return TRUE;
  *found = TRUE;
  look_at_input (&chain);
  input = GRAD_SHAPE (chain.batch_size, chain.channels, chain.height, chain.width);
  rows = grad_summary_new (elements, &input, error);
  if (rows == NULL)
    return FALSE;
  if (json)
    print_json (&chain, rows);
  else
    print_text (&chain, rows);
  return TRUE;
}

gboolean
grad_dry_run (GstElement * pipeline, gboolean json, GError ** error)
{
  g_autoptr (GstIterator) sinks = gst_bin_iterate_sinks (GST_BIN (pipeline));
  g_auto (GValue) item = G_VALUE_INIT;
  gboolean found = FALSE;

  while (gst_iterator_next (sinks, &item) == GST_ITERATOR_OK) {
    if (!describe (g_value_get_object (&item), json, &found, error))
      return FALSE;
    g_value_reset (&item);
  }
  if (!found)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "there are no layers in the pipeline; of a model "
        "file grad-model info says which it has");
  return found;
}
