/* GradStreamer: a trained network as its file describes it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradmodel-private.h"
#include "gradsafetensors-private.h"
#include "../base/gradlayer.h"
#include "../data/gradresizer.h"

#include <string.h>

#define MAX_SIDE 4096
#define MAX_TEXT 1000           /* of what is shown when it is wrong */

G_STATIC_ASSERT (G_N_ELEMENTS (((GradModelInput *) NULL)->mean) == GRAD_RESIZER_CHANNELS);

G_DEFINE_FINAL_TYPE (GradModel, grad_model, G_TYPE_OBJECT);

/* What a file or a data set says of a network; NULL: nothing */
typedef struct
{
  const gchar *size, *mean, *std, *class_names, *steps;
} Description;

static gboolean
refuse (const gchar * key, const gchar * text, const gchar * expected, GError ** error)
{
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s=\"%s\": expected %s", key, text, expected);
  return FALSE;
}

/* "96x96" */
static gboolean
parse_size (const gchar * text, GradModelInput * input, GError ** error)
{
  g_auto (GStrv) parts = g_strsplit (text, "x", 3);
  guint64 width, height;

  if (g_strv_length (parts) != 2
      || !g_ascii_string_to_unsigned (parts[0], 10, 1, MAX_SIDE, &width, NULL)
      || !g_ascii_string_to_unsigned (parts[1], 10, 1, MAX_SIDE, &height, NULL))
    return refuse ("input_size", text, "WIDTHxHEIGHT, at most 4096x4096", error);
  input->width = width;
  input->height = height;
  return TRUE;
}

static gboolean
parse (GradModel * self, const Description * d, GError ** error)
{
  if (d->size != NULL && !parse_size (d->size, &self->input, error))
    return FALSE;
  if (!grad_resizer_parse ("mean", d->mean ? d->mean : "0", self->input.mean, FALSE, error)
      || !grad_resizer_parse ("std", d->std ? d->std : "1", self->input.std, TRUE, error))
    return FALSE;
  if (d->steps != NULL && !g_ascii_string_to_unsigned (d->steps, 10, 0, G_MAXUINT64, &self->steps,
          NULL))
    return refuse ("steps", d->steps, "a number", error);
  if (d->class_names != NULL)
    self->class_names = grad_class_names_split (d->class_names, strlen (d->class_names), ",",
        "class_names", error);
  return d->class_names == NULL || self->class_names != NULL;
}

/* Metadata that is shown when it is wrong */
static gboolean
get_text (GradSafetensors * file, const gchar * key, const gchar ** text, GError ** error)
{
  *text = grad_safetensors_get_metadata (file, key);
  if (*text == NULL || (strlen (*text) <= MAX_TEXT && grad_text_is_printable (*text)))
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s: too long, or no text", key);
  return FALSE;
}

/* The second dimension of the first layer's weight (O, I, H, W), 0 when it has none */
static gint
count_channels (GradSafetensors * file, GstElement * first)
{
  g_autofree gchar *prefix = NULL;

  g_object_get (first, "param-prefix", &prefix, NULL);
  for (guint i = 0; prefix && i < grad_safetensors_get_n_entries (file); i++) {
    const GradSafetensorsEntry *entry = grad_safetensors_get_entry (file, i);

    if (entry->rank == 4 && entry->dims[1] <= G_MAXINT && g_str_has_prefix (entry->name, prefix))
      return entry->dims[1];
  }
  return 0;
}

static gboolean
read_file (GradModel * self, GError ** error)
{
  GradSafetensors *file = self->file;
  Description d = {.class_names = grad_safetensors_get_metadata (file, "class_names") };
  g_autoptr (GPtrArray) layers = NULL;

  self->fragment = g_strdup (grad_safetensors_get_metadata (file, "network"));
  if (self->fragment == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "it has weights, but does not describe the "
        "network: use a file that gradadamsink has saved");
    return FALSE;
  }
  if (!get_text (file, "input_size", &d.size, error) || !get_text (file, "mean", &d.mean, error)
      || !get_text (file, "std", &d.std, error) || !get_text (file, "steps", &d.steps, error)
      || !parse (self, &d, error)
      || !(layers = grad_fragment_create_layers (self->fragment, error)))
    return FALSE;
  self->input.channels = count_channels (file, layers->pdata[0]);
  return TRUE;
}

GradModel *
grad_model_parse (GBytes * bytes, const gchar * location, GError ** error)
{
  g_autoptr (GradModel) self = g_object_new (GRAD_TYPE_MODEL, NULL);
  g_autoptr (GError) cause = NULL;

  self->location = g_strdup (location);
  self->file = grad_safetensors_parse (bytes, location, error);
  if (self->file == NULL)
    return NULL;
  if (read_file (self, &cause))
    return g_steal_pointer (&self);
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s: %s", location, cause->message);
  return NULL;
}

/* The whole file in memory, where nobody can cut it short while it is read */
static GBytes *
load_file (const gchar * location, GError ** error)
{
  g_autoptr (GError) cause = NULL;
  gchar *data;
  gsize size;

  if (g_file_get_contents (location, &data, &size, &cause))
    return g_bytes_new_take (data, size);
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_IO, "cannot read the model: %s", cause->message);
  return NULL;
}

/**
 * grad_model_open:
 * @location: (type filename): a model file, as gradadamsink saves it
 * @error: location of a #GError
 *
 * Reads a model file, and checks all of it but the weights.
 *
 * Returns: (transfer full) (nullable): the model, or %NULL with %GRAD_ERROR_IO when it cannot be read and
 *   %GRAD_ERROR_FILE when its contents are wrong
 */
GradModel *
grad_model_open (const gchar * location, GError ** error)
{
  g_autoptr (GBytes) bytes = NULL;
  struct stat info = { 0 };
  GradModel *self;

  stat (location, &info);       /* opening says why it fails */
  bytes = load_file (location, error);
  self = bytes ? grad_model_parse (bytes, location, error) : NULL;
  if (self != NULL)
    self->info = info;
  return self;
}

/**
 * grad_model_new:
 * @fragment: layers as model files describe them: "gradconvstem channels=16 ! gradglobalpool ! gradfc"
 * @dataset: (nullable): what the network gets to see, see #GRAD_DATASET_EVENT
 * @channels: channels of a picture, 0 when unknown
 * @error: location of a #GError
 *
 * Describes a network that has no file, because it is just being trained.
 *
 * Returns: (transfer full) (nullable): the model, or %NULL with %GRAD_ERROR_FILE or %GRAD_ERROR_SETTINGS when something
 *   is wrong with what is said
 */
GradModel *
grad_model_new (const gchar * fragment, const GstStructure * dataset, gint channels,
    GError ** error)
{
  g_autoptr (GradModel) self = g_object_new (GRAD_TYPE_MODEL, NULL);
  g_autoptr (GPtrArray) layers = grad_fragment_create_layers (fragment, error);
  g_autofree gchar *size = NULL;
  Description d = { 0 };

  if (layers == NULL)
    return NULL;
  if (dataset != NULL) {
    d.size = size = grad_model_describe_size (dataset);
    d.mean = gst_structure_get_string (dataset, "mean");
    d.std = gst_structure_get_string (dataset, "std");
    d.class_names = gst_structure_get_string (dataset, "class-names");
    if (d.class_names && *d.class_names == '\0')
      d.class_names = NULL;
  }
  self->fragment = g_strdup (fragment);
  self->input.channels = channels;
  return parse (self, &d, error) ? g_steal_pointer (&self) : NULL;
}

/**
 * grad_model_get_location:
 * @model: a model
 *
 * Returns: (transfer none) (nullable) (type filename): its file, or %NULL when it has none
 */
const gchar *
grad_model_get_location (GradModel * model)
{
  return model->location;
}

/**
 * grad_model_get_fragment:
 * @model: a model
 *
 * Returns: (transfer none): its layers, as its file describes them
 */
const gchar *
grad_model_get_fragment (GradModel * model)
{
  return model->fragment;
}

/**
 * grad_model_get_input:
 * @model: a model
 *
 * Returns: (transfer none): what the network wants to see
 */
const GradModelInput *
grad_model_get_input (GradModel * model)
{
  return &model->input;
}

/**
 * grad_model_get_class_names:
 * @model: a model
 *
 * Returns: (transfer none) (nullable) (array zero-terminated=1): names of the classes, or %NULL when they are unknown
 */
const gchar *const *
grad_model_get_class_names (GradModel * model)
{
  return (const gchar * const *) model->class_names;
}

/**
 * grad_model_get_steps:
 * @model: a model
 *
 * Returns: updates that the weights have had, 0 when unknown
 */
guint64
grad_model_get_steps (GradModel * model)
{
  return model->steps;
}

/**
 * grad_model_create_layers:
 * @model: a model
 * @error: location of a #GError
 *
 * Makes the elements that the network consists of, with the properties that say what they are, `param-prefix` included.
 * They are in no bin, and know no weights: set `model`, and a `model-name`.
 *
 * Returns: (transfer full) (element-type GradLayer) (nullable): layers in the order of the flow, with references that
 *   are not floating; %NULL with %GRAD_ERROR_FILE when one cannot be made any more
 */
GPtrArray *
grad_model_create_layers (GradModel * model, GError ** error)
{
  return grad_fragment_create_layers (model->fragment, error);
}

static void
grad_model_finalize (GObject * object)
{
  GradModel *self = GRAD_MODEL (object);

  g_free (self->location);
  g_clear_object (&self->file);
  g_free (self->fragment);
  g_strfreev (self->class_names);
  G_OBJECT_CLASS (grad_model_parent_class)->finalize (object);
}

static void
grad_model_class_init (GradModelClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = grad_model_finalize;
}

static void
grad_model_init (GradModel * self)
{
}
