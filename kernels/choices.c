/* GradStreamer kernels: choices that were measured once and are remembered
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Lines that cannot be read are passed over, and gone with the next write. Processes that write at
 * the same time may lose a line of each other's, which then is measured again, nothing worse. */
#include "kernels/choices.h"

#include <string.h>

static GMutex lock;
static GHashTable *choices;     /* key -> choice; NULL: the file has not been read */

static gchar *
choices_path (void)
{
  return g_build_filename (g_get_user_cache_dir (), "gradstreamer", "choices", NULL);
}

static gboolean
is_field (const gchar * text)
{
  return *text != '\0' && strpbrk (text, "\t\n") == NULL && g_utf8_validate (text, -1, NULL);
}

/* What the process knows already stays. */
static void
read_choices (void)
{
  g_autofree gchar *path = choices_path (), *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (choices == NULL)
    choices = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return;
  lines = g_strsplit (text, "\n", -1);
  for (gchar ** line = lines; *line != NULL; line++) {
    g_auto (GStrv) fields = g_strsplit (*line, "\t", -1);

    if (g_strv_length (fields) == 2 && is_field (fields[0]) && is_field (fields[1])
        && !g_hash_table_contains (choices, fields[0]))
      g_hash_table_insert (choices, g_strdup (fields[0]), g_strdup (fields[1]));
  }
}

static void
write_choices (void)
{
  g_autofree gchar *path = choices_path (), *dir = g_path_get_dirname (path);
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (choices), (GCompareFunc) strcmp);
  g_autoptr (GString) text = g_string_new ("");
  g_autoptr (GError) error = NULL;

  for (GList * key = keys; key != NULL; key = key->next)
    g_string_append_printf (text, "%s\t%s\n", (gchar *) key->data,
        (gchar *) g_hash_table_lookup (choices, key->data));
  g_mkdir_with_parents (dir, 0700);
  if (!g_file_set_contents_full (path, text->str, text->len, G_FILE_SET_CONTENTS_CONSISTENT, 0666,
          &error))
    GST_INFO ("what was measured is not remembered: %s", error->message);
}

gchar *
grad_choice_find (const gchar * key)
{
  gchar *choice;

  g_mutex_lock (&lock);
  if (choices == NULL)
    read_choices ();
  choice = g_strdup (g_hash_table_lookup (choices, key));
  g_mutex_unlock (&lock);
  return choice;
}

void
grad_choice_keep (const gchar * key, const gchar * choice)
{
  g_return_if_fail (is_field (key) && is_field (choice));
  g_mutex_lock (&lock);
  read_choices ();
  g_hash_table_replace (choices, g_strdup (key), g_strdup (choice));
  write_choices ();
  g_mutex_unlock (&lock);
}

void
grad_choice_forget (void)
{
  g_mutex_lock (&lock);
  g_clear_pointer (&choices, g_hash_table_unref);
  g_mutex_unlock (&lock);
}
