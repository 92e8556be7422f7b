/* GradStreamer: the file that parameters take their values from
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradparameter-private.h"

/**
 * grad_parameter_store_set_source:
 * @store: a store
 * @location: (type filename): a safetensors file
 * @error: location of a #GError
 *
 * Lets parameters that are added from now on take their values from a file, which is opened now and
 * stays open; those that are there already keep theirs. Naming the same file again does nothing.
 *
 * Returns: %FALSE with %GRAD_ERROR_SETTINGS when another file was set before, or as
 *   grad_safetensors_open()
 */
gboolean
grad_parameter_store_set_source (GradParameterStore * store, const gchar * location,
    GError ** error)
{
  g_autofree gchar *path = g_canonicalize_filename (location, NULL);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&store->lock);

  if (store->location == NULL) {
    store->file = grad_safetensors_open (path, error);
    if (store->file != NULL)
      store->location = g_steal_pointer (&path);
    return store->file != NULL;
  }
  if (g_str_equal (store->location, path))
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
      "the weights come from %s already, they cannot come from %s, too: name one file",
      store->location, path);
  return FALSE;
}

void
grad_parameter_store_set_file (GradParameterStore * store, const gchar * location,
    GradSafetensors * file)
{
  g_mutex_lock (&store->lock);
  g_free (store->location);
  store->location = g_strdup (location);
  g_set_object (&store->file, file);
  g_mutex_unlock (&store->lock);
}

/**
 * grad_parameter_store_resume: (skip)
 * @store: a store
 * @location: a safetensors file
 * @error: location of a #GError
 *
 * As grad_parameter_store_set_source(), and what optimizers keep of parameters comes from the file, too.
 *
 * Returns: %FALSE as grad_parameter_store_set_source()
 */
gboolean
grad_parameter_store_resume (GradParameterStore * store, const gchar * location, GError ** error)
{
  if (!grad_parameter_store_set_source (store, location, error))
    return FALSE;
  g_mutex_lock (&store->lock);
  store->resume = TRUE;
  g_mutex_unlock (&store->lock);
  return TRUE;
}

/**
 * grad_parameter_store_get_source:
 * @store: a store
 *
 * Returns: (transfer none) (nullable) (type filename): full path of the file that was set
 */
const gchar *
grad_parameter_store_get_source (GradParameterStore * store)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&store->lock);

  return store->location;
}

gchar *
grad_parameter_store_describe_unused (GradParameterStore * store)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&store->lock);
  const gchar *first = NULL;
  guint n = 0;

  for (guint i = 0; store->file != NULL && i < grad_safetensors_get_n_entries (store->file); i++) {
    const gchar *name = grad_safetensors_get_entry (store->file, i)->name;

    if (g_str_has_prefix (name, GRAD_PARAMETER_STATE) || g_hash_table_contains (store->by_name, name))
      continue;
    first = first ? first : name;
    n++;
  }
  return n > 0 ? g_strdup_printf ("%s has %u tensors that no layer here takes, %s the first of them: is a layer missing?",
      store->location, n, first) : NULL;
}
