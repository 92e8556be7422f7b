/* GradStreamer: names of classes
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradmodel-private.h"
#include "../gradfile-private.h"

#include <string.h>

#define MAX_BYTES (1 << 20)
#define MAX_NAMES 65536

gboolean
grad_text_is_printable (const gchar * text)
{
  if (!g_utf8_validate (text, -1, NULL))
    return FALSE;
  for (const gchar * p = text; *p != '\0'; p = g_utf8_next_char (p))
    if (g_unichar_iscntrl (g_utf8_get_char (p)))
      return FALSE;
  return TRUE;
}

GStrv
grad_class_names_split (const gchar * text, gsize size, const gchar * separator,
    const gchar * where, GError ** error)
{
  g_autofree gchar *copy = NULL;
  g_auto (GStrv) names = NULL;
  guint n;

  if (size > MAX_BYTES || !g_utf8_validate_len (text, size, NULL)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE,
        "%s: expected class names in UTF-8, at most %d bytes", where, MAX_BYTES);
    return NULL;
  }
  copy = g_strndup (text, size);
  names = g_strsplit (copy, separator, -1);
  for (n = 0; names[n] != NULL; n++)
    g_strstrip (names[n]);
  while (n > 0 && *names[n - 1] == '\0')
    g_clear_pointer (&names[--n], g_free);
  if (n < 1 || n > MAX_NAMES) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s: got %u class names, expected 1 to %d",
        where, n, MAX_NAMES);
    return NULL;
  }
  for (guint i = 0; i < n; i++)
    if (*names[i] == '\0' || !grad_text_is_printable (names[i])) {
      g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s: the name of class %u %s", where, i,
          *names[i] ? "has control characters" : "is empty");
      return NULL;
    }
  return g_steal_pointer (&names);
}

/**
 * grad_class_names_parse:
 * @text: names separated by commas, or the name of a file with one name a line
 * @error: location of a #GError
 *
 * What has a comma is taken for names, anything else for a file: of UTF-8, at most 1 MiB. White space around names and empty
 * lines at the end do not count.
 *
 * Returns: (transfer full) (array zero-terminated=1) (nullable): 1 to 65536 names, or %NULL with %GRAD_ERROR_IO when there is
 *   no such file and %GRAD_ERROR_FILE when a name is empty or has control characters
 */
GStrv
grad_class_names_parse (const gchar * text, GError ** error)
{
  g_autoptr (GBytes) bytes = NULL;
  gconstpointer data;
  gsize size;

  if (strchr (text, ',') != NULL)
    return grad_class_names_split (text, strlen (text), ",", "class-names", error);
  bytes = grad_file_map (text, error);
  if (bytes == NULL) {
    g_prefix_error (error, "class-names is neither names separated by commas nor a file: ");
    return NULL;
  }
  data = g_bytes_get_data (bytes, &size);
  return grad_class_names_split (data, size, "\n", text, error);
}
