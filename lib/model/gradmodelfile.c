/* GradStreamer: model files: what is in them beside the parameters
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradmodel-private.h"
#include "../autograd/gradnetwork-private.h"
#include "gradmodelfile.h"
#include "gradparameter-private.h"
#include "../base/gradlayer.h"
#include "../gradfile-private.h"

#include <errno.h>
#include <glib/gstdio.h>

/* as grad_fragment_create_layers() reads it: enumerations by nick, their names have spaces */
static gchar *
value_to_string (GParamSpec * spec, const GValue * value)
{
  gchar *s;

  if (G_IS_PARAM_SPEC_ENUM (spec))
    return g_strdup (g_enum_get_value (G_PARAM_SPEC_ENUM (spec)->enum_class,
            g_value_get_enum (value))->value_nick);
  s = gst_value_serialize (value);
  return s ? s : g_strdup ("\"\"");
}

gchar *
grad_model_describe_layer (GstElement * element)
{
  GstElementFactory *factory = gst_element_get_factory (element);
  GString *text = g_string_new (GST_OBJECT_NAME (factory));
  guint n;
  g_autofree GParamSpec **specs =
      g_object_class_list_properties (G_OBJECT_GET_CLASS (element), &n);

  for (guint i = 0; i < n; i++) {
    g_auto (GValue) value = G_VALUE_INIT;
    g_autofree gchar *s = NULL;

    if (!(specs[i]->flags & GRAD_PARAM_STRUCTURAL))
      continue;
    g_value_init (&value, specs[i]->value_type);
    g_object_get_property (G_OBJECT (element), specs[i]->name, &value);
    if (g_param_value_defaults (specs[i], &value))
      continue;
    s = value_to_string (specs[i], &value);
    g_string_append_printf (text, " %s=%s", specs[i]->name, s);
  }
  return g_string_free (text, FALSE);
}

/* The pad of an element that @pad is linked to, through the walls of bins: (transfer full) (nullable) */
static GstPad *
get_peer (GstPad * pad)
{
  GstPad *peer = gst_pad_get_peer (pad);

  while (peer != NULL && GST_IS_PROXY_PAD (peer)) {
    g_autoptr (GstPad) wall = peer;
    g_autoptr (GstProxyPad) outside = NULL;

    if (GST_IS_GHOST_PAD (wall))        /* into a bin */
      peer = gst_ghost_pad_get_target (GST_GHOST_PAD (wall));
    else {                      /* out of one */
      outside = gst_proxy_pad_get_internal (GST_PROXY_PAD (wall));
      peer = outside ? gst_pad_get_peer (GST_PAD (outside)) : NULL;
    }
  }
  return peer;
}

GPtrArray *
grad_model_find_upstream (GstPad * sinkpad)
{
  GPtrArray *elements = g_ptr_array_new_with_free_func (gst_object_unref);
  GstPad *pad = gst_object_ref (sinkpad);

  while (pad != NULL) {
    g_autoptr (GstPad) peer = get_peer (pad);
    GstElement *element = peer ? gst_pad_get_parent_element (peer) : NULL;

    gst_object_unref (pad);
    if (element == NULL)
      break;
    g_ptr_array_insert (elements, 0, element);
    pad = element->sinkpads ? gst_object_ref (element->sinkpads->data) : NULL;
  }
  return elements;
}

/**
 * grad_model_fragment: (skip)
 * @sinkpad: sink pad behind the network
 * @model_name: name of the network
 *
 * Walks upstream and writes down the network's layers, in the order of the flow. Elements that are no layers
 * (queue, identity, tee …) are left out, and so is the loss, which has no structure.
 *
 * Returns: (transfer full): "gradconvstem channels=64 ! gradresstage …"; empty when there are no layers
 */
gchar *
grad_model_fragment (GstPad * sinkpad, const gchar * model_name)
{
  g_autoptr (GPtrArray) elements = grad_model_find_upstream (sinkpad);
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < elements->len; i++) {
    GstElement *element = elements->pdata[i];
    g_autofree gchar *name = NULL, *layer = NULL;

    if (!GRAD_IS_LAYER (element) || GRAD_LAYER_GET_CLASS (element)->before)
      continue;
    g_object_get (element, "model-name", &name, NULL);
    if (g_strcmp0 (grad_network_name_or_main (name), model_name) != 0)
      continue;
    layer = grad_model_describe_layer (element);
    g_string_append_printf (text, "%s%s", text->len > 0 ? " ! " : "", layer);
  }
  return g_string_free (text, FALSE);
}

static void
add (GHashTable * table, const gchar * key, gchar * value)
{
  if (value != NULL && *value != '\0')
    g_hash_table_insert (table, (gpointer) key, value);
  else
    g_free (value);
}

gchar *
grad_model_describe_size (const GstStructure * dataset)
{
  gint w, h;

  return gst_structure_get (dataset, "input-width", G_TYPE_INT, &w, "input-height", G_TYPE_INT,
      &h, NULL) || gst_structure_get (dataset, "width", G_TYPE_INT, &w, "height", G_TYPE_INT, &h,
      NULL) ? g_strdup_printf ("%dx%d", w, h) : NULL;
}

/**
 * grad_model_take_snapshot: (skip)
 * @network: a network that nobody trains at this moment
 * @fragment: (nullable): its structure, from grad_model_fragment()
 * @dataset: (nullable): what the source told, see #GRAD_DATASET_EVENT
 * @training: (element-type utf8 utf8): how it was trained
 * @seed: seed of the run
 * @error: location of a #GError
 *
 * What a model file is to hold: parameters, what the optimizer keeps of them, structure, input size and normalisation, class names, and how
 * the network was trained.
 *
 * Returns: (transfer full) (nullable): it, or %NULL with %GRAD_ERROR_NO_MEMORY or the device's error
 */
GradSnapshot *
grad_model_take_snapshot (GradNetwork * network, const gchar * fragment, const GstStructure * dataset,
    GHashTable * training, guint64 seed, GError ** error)
{
  g_autoptr (GHashTable) metadata = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  GHashTableIter iter;
  gpointer key, value;

  for (g_hash_table_iter_init (&iter, training); g_hash_table_iter_next (&iter, &key, &value);)
    add (metadata, key, g_strdup (value));
  add (metadata, "network", g_strdup (fragment));
  if (dataset != NULL) {
    add (metadata, "input_size", grad_model_describe_size (dataset));
    add (metadata, "class_names", g_strdup (gst_structure_get_string (dataset, "class-names")));
    add (metadata, "mean", g_strdup (gst_structure_get_string (dataset, "mean")));
    add (metadata, "std", g_strdup (gst_structure_get_string (dataset, "std")));
  }
  add (metadata, "steps", g_strdup_printf ("%" G_GUINT64_FORMAT,
          grad_network_get_n_updates (network)));
  add (metadata, "seed", g_strdup_printf ("%" G_GUINT64_FORMAT, seed));
  return grad_snapshot_new (grad_network_get_store (network), metadata, error);
}

/**
 * grad_model_finish: (skip)
 * @location: a model file that was written from grad_model_take_snapshot()
 * @training: (element-type utf8 utf8): what its metadata shall say besides, or instead
 * @error: location of a #GError
 *
 * Leaves out what the optimizer kept: a third of the size, and the tensors are those of the network alone, as PyTorch's
 * load_state_dict() wants them.
 *
 * Returns: %FALSE as grad_safetensors_open() and grad_safetensors_write(); then the file is as it was
 */
gboolean
grad_model_finish (const gchar * location, GHashTable * training, GError ** error)
{
  g_autoptr (GradSafetensors) file = grad_safetensors_open (location, error);
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (GradSafetensorsEntry));
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_auto (GStrv) keys = NULL;
  GHashTableIter iter;
  gpointer key, value;

  if (file == NULL)
    return FALSE;
  keys = grad_safetensors_list_metadata (file);
  for (gchar ** k = keys; *k != NULL; k++)
    g_hash_table_insert (metadata, *k, (gpointer) grad_safetensors_get_metadata (file, *k));
  for (g_hash_table_iter_init (&iter, training); g_hash_table_iter_next (&iter, &key, &value);)
    g_hash_table_insert (metadata, key, value);
  for (guint i = 0; i < grad_safetensors_get_n_entries (file); i++) {
    const GradSafetensorsEntry *entry = grad_safetensors_get_entry (file, i);

    if (!g_str_has_prefix (entry->name, GRAD_PARAMETER_STATE))
      g_array_append_vals (entries, entry, 1);
  }
  return grad_safetensors_write (location, (GradSafetensorsEntry *) entries->data, entries->len,
      metadata, error);
}

/**
 * grad_model_check_location: (skip)
 * @location: file to be written later
 * @error: location of a #GError
 *
 * Returns: %FALSE with %GRAD_ERROR_IO when it could not be written
 */
gboolean
grad_model_check_location (const gchar * location, GError ** error)
{
  g_autofree gchar *target = grad_file_resolve (location);
  g_autofree gchar *probe = g_strconcat (target, ".XXXXXX", NULL);
  gint fd;

  if (g_file_test (location, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_IO,
        "cannot save the model to %s: it is a folder: set location to a file", location);
    return FALSE;
  }
  fd = g_mkstemp (probe);
  if (fd < 0) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_IO, "cannot save the model to %s: %s: set location "
        "to a file that can be written", location, g_strerror (errno));
    return FALSE;
  }
  g_close (fd, NULL);
  g_unlink (probe);
  return TRUE;
}
