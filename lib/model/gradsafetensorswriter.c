/* GradStreamer: writing safetensors files
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradsafetensors-private.h"
#include "gradjson-private.h"
#include "../gradfile-private.h"

#include <string.h>

static void
append_metadata (GString * header, GHashTable * metadata)
{
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (metadata), (GCompareFunc) strcmp);

  g_string_append (header, "\"__metadata__\":{");
  for (GList * l = keys; l != NULL; l = l->next) {
    grad_json_append_string (header, l->data);
    g_string_append_c (header, ':');
    grad_json_append_string (header, g_hash_table_lookup (metadata, l->data));
    g_string_append (header, l->next ? "," : "},");
  }
}

static void
append_entry (GString * header, const GradSafetensorsEntry * entry, gsize begin)
{
  grad_json_append_string (header, entry->name);
  g_string_append_printf (header, ":{\"dtype\":\"%s\",\"shape\":[", entry->dtype);
  for (guint i = 0; i < entry->rank; i++)
    g_string_append_printf (header, "%s%" G_GINT64_FORMAT, i ? "," : "", entry->dims[i]);
  g_string_append_printf (header, "],\"data_offsets\":[%" G_GSIZE_FORMAT ",%" G_GSIZE_FORMAT
      "]},", begin, begin + entry->size);
}

/**
 * grad_safetensors_write:
 * @location: (type filename): the file
 * @entries: (array length=n_entries): tensors, in the order in which they shall lie in the file
 * @n_entries: how many
 * @metadata: (nullable) (element-type utf8 utf8): what goes to `__metadata__`
 * @error: location of a #GError
 *
 * Writes a file beside @location, syncs it and renames it over @location: at any moment there is
 * the whole old file or the whole new one. The same arguments give the same bytes.
 *
 * Returns: %FALSE with %GRAD_ERROR_IO when the file cannot be written, and with %GRAD_ERROR_SHAPE
 *   when the size of an entry is not that of its shape, its name is taken, or a text is no UTF-8
 */
gboolean
grad_safetensors_write (const gchar * location, const GradSafetensorsEntry * entries,
    guint n_entries, GHashTable * metadata, GError ** error)
{
  g_autoptr (GString) header = g_string_new ("{");
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  g_autofree struct iovec *parts = g_new (struct iovec, n_entries + 2);
  guint64 header_size;
  gsize size = 0;

  g_hash_table_add (names, (gpointer) "__metadata__");
  if (metadata != NULL && g_hash_table_size (metadata) > 0)
    append_metadata (header, metadata);
  for (guint i = 0; i < n_entries; i++) {
    gsize expected;

    if (!grad_safetensors_size (&entries[i], &expected) || entries[i].size != expected
        || !g_hash_table_add (names, (gpointer) entries[i].name)) {
      g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE,
          "cannot write %s: tensor %s: its name is taken, or its size is not that of its shape",
          location, entries[i].name);
      return FALSE;
    }
    append_entry (header, &entries[i], size);
    size += entries[i].size;
    parts[i + 2] = (struct iovec) { (gpointer) entries[i].data, entries[i].size };
  }
  if (!g_utf8_validate (header->str, header->len, NULL)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE,
        "cannot write %s: a name or a text of its metadata is not in UTF-8", location);
    return FALSE;
  }
  if (header->len > 1)
    g_string_truncate (header, header->len - 1);        /* the last comma */
  g_string_append_c (header, '}');
  while (header->len % 8 != 0)
    g_string_append_c (header, ' ');

  header_size = header->len;
  parts[0] = (struct iovec) { &header_size, sizeof header_size };
  parts[1] = (struct iovec) { header->str, header->len };
  return grad_file_replace (location, parts, n_entries + 2, error);
}
