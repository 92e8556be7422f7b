/* GradStreamer: a network as a table: layers, shapes, parameters, FLOPs
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Units say all of it without a device, from the shape of their input. */
#include "gradmodel-private.h"
#include "../autograd/gradnetwork-private.h"
#include "gradparameter-private.h"
#include "gradsummary.h"
#include "../autograd/gradgraph-private.h"
#include "../autograd/gradnetwork.h"
#include "../base/gradlayer.h"

#include <string.h>

static void
row_free (gpointer data)
{
  GradSummaryRow *row = data;

  g_free (row->name);
  g_free (row->factory);
  g_free (row->settings);
  g_free (row);
}

/* Properties of a layer, but for the prefix, which says nothing of what it does. */
static gchar *
describe_settings (GstElement * element)
{
  g_autofree gchar *text = grad_model_describe_layer (element);
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  GString *settings = g_string_new (NULL);

  for (guint i = 1; words[0] && words[i]; i++)
    if (!g_str_has_prefix (words[i], "param-prefix="))
      g_string_append_printf (settings, "%s%s", settings->len ? " " : "", words[i]);
  return g_string_free (settings, FALSE);
}

/* Adds up what has joined the store since it had that many parameters. */
static void
count (GradParameterStore * store, guint from, GradSummaryRow * row)
{
  for (guint i = from; i < grad_parameter_store_get_n_parameters (store); i++) {
    const GradParameter *p = grad_parameter_store_get_parameter (store, i);

    if (p->kind == GRAD_PARAMETER_TRAINABLE)
      row->trainable += grad_shape_n_elements (&p->shape);
    else if (p->kind == GRAD_PARAMETER_STATISTIC)
      row->statistics += grad_shape_n_elements (&p->shape);
  }
}

static gboolean
describe_layer (GradLayer * layer, GradNetwork * network, const GradShape * input,
    GradSummaryRow * row, GError ** error)
{
  GradLayerClass *klass = GRAD_LAYER_GET_CLASS (layer);
  GradParameterStore *store = grad_network_get_store (network);
  guint before = grad_parameter_store_get_n_parameters (store);
  g_autoptr (GradGraph) graph = NULL;
  g_autofree gchar *prefix = NULL;

  if (klass->check && !klass->check (layer, input, error))
    return FALSE;
  graph = grad_layer_new_graph (layer, network, &prefix);
  grad_graph_set_limit (graph, G_MAXSIZE);      /* sizes that cannot exist are refused */
  if (!grad_graph_describe (graph, store, input, &row->output, &row->flops, error))
    return FALSE;
  count (store, before, row);
  return TRUE;
}

/* networks: by name */
static gboolean
add_row (GPtrArray * rows, GHashTable * networks, GstElement * element, GradShape * shape,
    GError ** error)
{
  GradSummaryRow *row = g_new0 (GradSummaryRow, 1);
  gboolean ok;

  row->name = gst_object_get_name (GST_OBJECT (element));
  row->factory = g_strdup (GST_OBJECT_NAME (gst_element_get_factory (element)));
  row->settings = describe_settings (element);
  g_ptr_array_add (rows, row);
  if (GRAD_IS_LAYER (element) && !grad_shape_is_valid (shape)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "it gets pictures of unknown size: set width and "
        "height of gradresize");
    ok = FALSE;
  } else if (GRAD_IS_LAYER (element)) {
    GradNetwork *network;
    g_autofree gchar *set = NULL;
    const gchar *name;

    g_object_get (element, "model-name", &set, NULL);
    name = grad_network_name_or_main (set);
    network = g_hash_table_lookup (networks, name);
    if (network == NULL)
      g_hash_table_insert (networks, g_strdup (name), network = grad_network_new (name));
    ok = describe_layer (GRAD_LAYER (element), network, shape, row, error);
  } else
    ok = GRAD_TRANSFORM_GET_CLASS (element)->infer_shape (GRAD_TRANSFORM (element), shape,
        &row->output, error);
  if (!ok)
    g_prefix_error (error, "%s: ", row->name);
  *shape = row->output;
  return ok;
}

static GPtrArray *
summarize (GPtrArray * elements, GHashTable * networks, const GradShape * input, GError ** error)
{
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func (row_free);
  GradShape shape = *input;

  for (guint i = 0; i < elements->len; i++)
    if (GRAD_IS_TRANSFORM (elements->pdata[i])
        && !add_row (rows, networks, elements->pdata[i], &shape, error))
      return NULL;
  return g_steal_pointer (&rows);
}

static GHashTable *
new_networks (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
}

/**
 * grad_summary_new: (skip)
 * @elements: (element-type GstElement): elements in order of the flow, in any state; those that leave tensors as they are
 *   get no row
 * @input: shape of what the first one gets
 * @error: location of a #GError
 *
 * Says what a network consists of, without computing anything or having any data.
 *
 * Returns: (transfer full) (element-type GradSummaryRow) (nullable): a row for each layer, and each element that resizes; %NULL with
 *   %GRAD_ERROR_SHAPE when one does not fit what comes before it
 */
GPtrArray *
grad_summary_new (GPtrArray * elements, const GradShape * input, GError ** error)
{
  g_autoptr (GHashTable) networks = new_networks ();

  return summarize (elements, networks, input, error);
}

/* Called by the prefix of their parameters, or by what they are: names of elements count what a process has made. */
static void
name_rows (GPtrArray * rows, GPtrArray * layers)
{
  for (guint i = 0; i < rows->len; i++) {
    GradSummaryRow *row = rows->pdata[i];
    g_autofree gchar *prefix = NULL;

    g_object_get (layers->pdata[i], "param-prefix", &prefix, NULL);
    g_free (row->name);
    row->name = g_strdup (prefix && *prefix ? prefix : row->factory);
  }
}

/**
 * grad_summary_new_from_model: (skip)
 * @model: a model that was opened just now
 * @error: location of a #GError
 *
 * Says what the network of a model file consists of, for one picture, and checks that the file has weights for it.
 *
 * Returns: (transfer full) (element-type GradSummaryRow) (nullable): a row for each layer; %NULL with %GRAD_ERROR_FILE when
 *   weights are missing or the size of pictures is, and %GRAD_ERROR_SHAPE when layers or weights do not fit each other
 */
GPtrArray *
grad_summary_new_from_model (GradModel * model, GError ** error)
{
  const GradModelInput *in = &model->input;
  g_autoptr (GHashTable) networks = new_networks ();
  g_autoptr (GPtrArray) layers = grad_model_create_layers (model, error);
  GradNetwork *network = grad_network_new ("main");
  GPtrArray *rows;

  g_hash_table_insert (networks, g_strdup ("main"), network);
  grad_parameter_store_set_file (grad_network_get_store (network), model->location, model->file);
  if (layers == NULL)
    return NULL;
  if (in->width == 0 || in->channels == 0) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s does not say what pictures it wants: train "
        "it with gradresize and a layer of convolutions in front", model->location);
    return NULL;
  }
  rows = summarize (layers, networks, &GRAD_SHAPE (1, in->channels, in->height, in->width), error);
  if (rows != NULL)
    name_rows (rows, layers);
  return rows;
}
