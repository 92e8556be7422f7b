/* GradStreamer: how far a training has come
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradcheckpoint.h"
#include "../model/gradparameter-private.h"

#include <math.h>
#include <string.h>

#define KEY "checkpoint"        /* of the metadata: "step=705 epoch=3 …" */

typedef enum
{ UINT, UINT64, DOUBLE } Type;

static const struct
{
  const gchar *name;
  Type type;
  gsize offset;
} fields[] = {
#define FIELD(name, type, member) { name, type, G_STRUCT_OFFSET (GradCheckpoint, member) }
  FIELD ("step", UINT64, step),
  FIELD ("epoch", UINT, position.epoch),
  FIELD ("testing", UINT, position.testing),
  FIELD ("samples", UINT, position.samples),
  FIELD ("pass-samples", UINT64, pass_samples),
  FIELD ("pass-correct", UINT64, pass_correct),
  FIELD ("pass-loss", DOUBLE, pass_loss),
  FIELD ("pass-seconds", DOUBLE, pass_seconds),
  FIELD ("best-accuracy", DOUBLE, best_accuracy),
  FIELD ("seed", UINT64, seed),
  FIELD ("batch-size", UINT, batch_size),
  FIELD ("train-samples", UINT, train_samples),
  FIELD ("test-samples", UINT, test_samples),
  /* files of before 2026-12 have none of these */
  FIELD ("start", UINT64, start),
  FIELD ("shuffle", UINT, shuffle),
};

#define N_OLD_FIELDS (G_N_ELEMENTS (fields) - 2)
#define SHUFFLE_UNKNOWN 2
#define MAX_STEP GRAD_PARAMETER_MAX_COUNT

void
grad_checkpoint_describe (const GradCheckpoint * self, GHashTable * metadata)
{
  GString *text = g_string_new (NULL);
  gchar number[G_ASCII_DTOSTR_BUF_SIZE];

  for (guint i = 0; i < G_N_ELEMENTS (fields); i++) {
    gconstpointer field = (const guint8 *) self + fields[i].offset;

    g_string_append_printf (text, "%s%s=", i ? " " : "", fields[i].name);
    if (fields[i].type == UINT)
      g_string_append_printf (text, "%u", *(const guint *) field);
    else if (fields[i].type == UINT64)
      g_string_append_printf (text, "%" G_GUINT64_FORMAT, *(const guint64 *) field);
    else
      g_string_append (text, g_ascii_dtostr (number, sizeof number, *(const gdouble *) field));
  }
  g_hash_table_replace (metadata, (gpointer) KEY, g_string_free (text, FALSE));
}

static gboolean
parse_field (const gchar * text, guint i, GradCheckpoint * self)
{
  gpointer field = (guint8 *) self + fields[i].offset;
  guint64 n = 0;

  if (fields[i].type == DOUBLE) {
    gchar *end;

    *(gdouble *) field = g_ascii_strtod (text, &end);
    return end != text && *end == '\0' && isfinite (*(gdouble *) field);
  }
  if (!g_ascii_string_to_unsigned (text, 10, 0, fields[i].type == UINT ? G_MAXUINT : G_MAXUINT64,
          &n, NULL))
    return FALSE;
  if (fields[i].type == UINT)
    *(guint *) field = n;
  else
    *(guint64 *) field = n;
  return TRUE;
}

static gboolean
parse (const gchar * text, GradCheckpoint * self)
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);

  guint n_words = g_strv_length (words);

  if (n_words != G_N_ELEMENTS (fields) && n_words != N_OLD_FIELDS)
    return FALSE;
  self->start = 0;
  self->shuffle = SHUFFLE_UNKNOWN;
  for (guint i = 0; i < n_words; i++) {
    gsize length = strlen (fields[i].name);

    if (strncmp (words[i], fields[i].name, length) != 0 || words[i][length] != '='
        || !parse_field (words[i] + length + 1, i, self))
      return FALSE;
  }
  return self->position.epoch >= 1 && self->start <= self->step && self->step < MAX_STEP && self->position.testing <= 1
      && self->position.samples <= (self->position.testing ? self->test_samples
      : self->train_samples);
}

gboolean
grad_checkpoint_read (GradCheckpoint * self, GradSafetensors * file, const gchar * location,
    GError ** error)
{
  const gchar *text = grad_safetensors_get_metadata (file, KEY);

  if (text != NULL && parse (text, self))
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s %s: to start from its weights alone, set "
      "init-location to it, another location, and resume=false", location, text
      ? "is damaged where it says how far its training has come"
      : "has a network, but not how far its training has come");
  return FALSE;
}

static void
get_dataset (const GstStructure * dataset, GradCheckpoint * is)
{
  is->shuffle = SHUFFLE_UNKNOWN;
  gst_structure_get (dataset, "batch-size", G_TYPE_UINT, &is->batch_size, "train-samples", G_TYPE_UINT,
      &is->train_samples, "test-samples", G_TYPE_UINT, &is->test_samples, "shuffle", G_TYPE_BOOLEAN,
      &is->shuffle, NULL);
}

gboolean
grad_checkpoint_check_dataset (const GradCheckpoint * self, const GstStructure * dataset,
    GError ** error)
{
  GradCheckpoint is = { 0 };

  get_dataset (dataset, &is);
  if (is.batch_size != self->batch_size || is.train_samples != self->train_samples
      || is.test_samples != self->test_samples)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "the training to resume had batches of %u of "
        "%u samples and a test set of %u; the source now has batches of %u of %u, and %u: make them the "
        "same, or set resume=false", self->batch_size, self->train_samples, self->test_samples,
        is.batch_size, is.train_samples, is.test_samples);
  else if (is.shuffle != self->shuffle && is.shuffle != SHUFFLE_UNKNOWN && self->shuffle != SHUFFLE_UNKNOWN)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "the training to resume had shuffle=%s: make it the same, "
        "or set resume=false", self->shuffle ? "true" : "false");
  else
    return TRUE;
  return FALSE;
}

void
grad_checkpoint_set_dataset (GradCheckpoint * self, const GstStructure * dataset)
{
  get_dataset (dataset, self);
}
