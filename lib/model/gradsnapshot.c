/* GradStreamer: what a model file is to hold, as it is at one moment
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradparameter-private.h"
#include "../tensor/gradtensor-private.h"

#include <math.h>

/* Values that are on their way from the device */
typedef struct
{
  guint entry;
  GradTensor *tensor;           /* owned */
  gpointer download;            /* see grad_tensor_begin_download() */
} Coming;

struct _GradSnapshot
{
  GArray *entries;              /* of GradSafetensorsEntry */
  GPtrArray *owned;             /* names and values of these */
  GHashTable *metadata;
  GArray *coming;               /* of Coming */
};

static void
clear_coming (gpointer data)
{
  Coming *coming = data;

  if (coming->download != NULL)
    grad_tensor_end_download (coming->tensor, coming->download, NULL, NULL);
  grad_tensor_unref (coming->tensor);
}

static gboolean
wait_for_values (GradSnapshot * self, GError ** error)
{
  for (guint i = 0; i < self->coming->len; i++) {
    Coming *coming = &g_array_index (self->coming, Coming, i);
    const GradSafetensorsEntry *entry = &g_array_index (self->entries, GradSafetensorsEntry, coming->entry);

    if (coming->download == NULL) {     /* that was told before */
      g_set_error (error, GRAD_ERROR, GRAD_ERROR_FAILED, "%s did not come from the device", entry->name);
      return FALSE;
    }
    if (!grad_tensor_end_download (coming->tensor, g_steal_pointer (&coming->download), (gpointer) entry->data, error))
      return FALSE;
  }
  g_array_set_size (self->coming, 0);
  return TRUE;
}

gboolean
grad_snapshot_add_tensor (GradSnapshot * snapshot, const gchar * name, GradTensor * tensor, GError ** error)
{
  const GradShape *shape = grad_tensor_get_shape (tensor);
  GradSafetensorsEntry entry = {.name = g_strdup (name),.dtype = "F32",.rank = shape->rank,
    .size = grad_shape_n_elements (shape) * sizeof (gfloat)
  };
  gfloat *values = grad_parameter_new_values (entry.size, error);
  gpointer download;

  g_ptr_array_add (snapshot->owned, (gpointer) entry.name);
  if (values == NULL)
    return FALSE;
  g_ptr_array_add (snapshot->owned, values);
  for (guint i = 0; i < entry.rank; i++)
    entry.dims[i] = shape->dims[i];
  entry.data = values;
  g_array_append_val (snapshot->entries, entry);
  download = grad_tensor_begin_download (tensor);
  if (download == NULL)         /* perhaps because others take all there is room for */
    return wait_for_values (snapshot, error) && grad_tensor_download (tensor, values, entry.size, error);
  g_array_append_val (snapshot->coming, ((Coming) { snapshot->entries->len - 1, grad_tensor_ref (tensor), download }));
  return TRUE;
}

void
grad_snapshot_add_count (GradSnapshot * snapshot, const gchar * name, gint64 count)
{
  GradSafetensorsEntry entry = {.name = g_strdup (name),.dtype = "I64",.data = g_memdup2 (&count, sizeof count),.size = sizeof count };

  g_ptr_array_add (snapshot->owned, (gpointer) entry.name);
  g_ptr_array_add (snapshot->owned, (gpointer) entry.data);
  g_array_append_val (snapshot->entries, entry);
}

static gboolean
add_parameter (GradSnapshot * self, const GradParameter * parameter, GError ** error)
{
  if (parameter->kind != GRAD_PARAMETER_COUNTER)
    return grad_snapshot_add_tensor (self, parameter->name, grad_parameter_get_result (parameter), error);
  grad_snapshot_add_count (self, parameter->name, parameter->count);
  return TRUE;
}

static void
set_metadata (GradSnapshot * self, const gchar * key, const gchar * value)
{
  g_hash_table_insert (self->metadata, g_strdup (key), g_strdup (value));
}

GradSnapshot *
grad_snapshot_new (GradParameterStore * store, GHashTable * metadata, GError ** error)
{
  g_autoptr (GPtrArray) list = grad_parameter_store_list (store);
  g_autoptr (GradSnapshot) self = g_new (GradSnapshot, 1);
  GHashTableIter iter;
  gpointer key, value;

  self->entries = g_array_new (FALSE, FALSE, sizeof (GradSafetensorsEntry));
  self->owned = g_ptr_array_new_with_free_func (g_free);
  self->metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->coming = g_array_new (FALSE, FALSE, sizeof (Coming));
  g_array_set_clear_func (self->coming, clear_coming);
  for (guint i = 0; i < list->len; i++)
    if (!add_parameter (self, list->pdata[i], error))
      return NULL;
  for (guint i = 0; i < list->len; i++)
    if (!grad_parameter_add_state (list->pdata[i], self, error))
      return NULL;
  if (metadata != NULL)
    for (g_hash_table_iter_init (&iter, metadata); g_hash_table_iter_next (&iter, &key, &value);)
      set_metadata (self, key, value);
  set_metadata (self, "format", "gradstreamer");
  set_metadata (self, "format_version", "1");
  return g_steal_pointer (&self);
}

gboolean
grad_snapshot_check (GradSnapshot * snapshot, const gchar * location, GError ** error)
{
  if (!wait_for_values (snapshot, error))
    return FALSE;
  for (guint i = 0; i < snapshot->entries->len; i++) {
    const GradSafetensorsEntry *entry = &g_array_index (snapshot->entries, GradSafetensorsEntry, i);
    const gfloat *values = entry->data;
    gboolean ok = TRUE;

    for (gsize k = 0; g_str_equal (entry->dtype, "F32") && k < entry->size / sizeof (gfloat); k++)
      ok &= isfinite (values[k]);
    if (ok)
      continue;
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_NOT_FINITE, "%s has values that are infinite or not a number: %s stays as it "
        "was. Train from an earlier file, with a smaller learning-rate", entry->name, location);
    return FALSE;
  }
  return TRUE;
}

gboolean
grad_snapshot_write (GradSnapshot * snapshot, const gchar * location, GError ** error)
{
  if (!wait_for_values (snapshot, error))
    return FALSE;
  return grad_safetensors_write (location, (GradSafetensorsEntry *) snapshot->entries->data, snapshot->entries->len,
      snapshot->metadata, error);
}

void
grad_snapshot_free (GradSnapshot * snapshot)
{
  if (snapshot == NULL)
    return;
  g_array_unref (snapshot->coming);
  g_array_unref (snapshot->entries);
  g_ptr_array_unref (snapshot->owned);
  g_hash_table_unref (snapshot->metadata);
  g_free (snapshot);
}

/**
 * grad_parameter_store_save:
 * @store: a store
 * @location: (type filename): where to
 * @metadata: (nullable) (element-type utf8 utf8): what the file shall say besides; "format" and
 *   "format_version" are added
 * @error: location of a #GError
 *
 * Writes all parameters to a safetensors file, in the order in which they were added, counters as
 * scalars of 64 bits, then what an optimizer keeps of them ("optimizer.NAME.exp_avg" and
 * "optimizer.NAME.exp_avg_sq", as PyTorch calls Adam's moments, and "optimizer.NAME.value" where
 * NAME is an average). The file is replaced whole, see
 * grad_safetensors_write().
 *
 * Returns: %FALSE with %GRAD_ERROR_IO when it cannot be written, or with the device's error
 */
gboolean
grad_parameter_store_save (GradParameterStore * store, const gchar * location,
    GHashTable * metadata, GError ** error)
{
  g_autoptr (GradSnapshot) snapshot = grad_snapshot_new (store, metadata, error);

  return snapshot != NULL && grad_snapshot_write (snapshot, location, error);
}
