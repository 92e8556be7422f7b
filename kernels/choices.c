/* GradStreamer kernels: choices that were measured once and are remembered
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Lines that cannot be read are passed over, and gone with the next write. */
#include "kernels/choices.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static GMutex lock;
static GHashTable *choices;     /* key -> choice; NULL: the file has not been read */
static GHashTable *used;        /* keys that somebody asked for or kept since the runs began */
static guint n_runs;

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

static GHashTable *
new_table (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
}

/* The first line of a key counts. */
static GHashTable *
parse_choices (const gchar * text)
{
  GHashTable *table = new_table ();
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (gchar ** line = lines; *line != NULL; line++) {
    g_auto (GStrv) fields = g_strsplit (*line, "\t", -1);

    if (g_strv_length (fields) == 2 && is_field (fields[0]) && is_field (fields[1])
        && !g_hash_table_contains (table, fields[0]))
      g_hash_table_insert (table, g_strdup (fields[0]), g_strdup (fields[1]));
  }
  return table;
}

static GHashTable *
read_choices (void)
{
  g_autofree gchar *path = choices_path (), *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? parse_choices (text) : new_table ();
}

/* set: of the keys to print */
static GString *
print_choices (GHashTable * table, GHashTable * set)
{
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (set), (GCompareFunc) strcmp);
  GString *text = g_string_new ("");

  for (GList * key = keys; key != NULL; key = key->next)
    g_string_append_printf (text, "%s\t%s\n", (gchar *) key->data,
        (gchar *) g_hash_table_lookup (table, key->data));
  return text;
}

static void
note_used (const gchar * key)
{
  if (used == NULL)
    used = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_hash_table_add (used, g_strdup (key));
}

/* Adds what is missing. */
static void
merge (GHashTable * to, GHashTable * from)
{
  GHashTableIter iter;
  gpointer key, choice;

  g_hash_table_iter_init (&iter, from);
  while (g_hash_table_iter_next (&iter, &key, &choice))
    if (!g_hash_table_contains (to, key))
      g_hash_table_insert (to, g_strdup (key), g_strdup (choice));
}

static void
write_choices (GHashTable * table)
{
  g_autofree gchar *path = choices_path ();
  g_autoptr (GString) text = print_choices (table, table);
  g_autoptr (GError) error = NULL;

  if (!g_file_set_contents_full (path, text->str, text->len, G_FILE_SET_CONTENTS_CONSISTENT, 0666,
          &error))
    GST_INFO ("what was measured is not remembered: %s", error->message);
}

/* Other processes wait until it is closed; -1 where they cannot be kept away. */
static gint
lock_file (void)
{
  g_autofree gchar *path = choices_path (), *dir = g_path_get_dirname (path);
  g_autofree gchar *lock_path = g_strconcat (path, ".lock", NULL);
  gint fd;

  g_mkdir_with_parents (dir, 0700);
  fd = open (lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  while (fd >= 0 && flock (fd, LOCK_EX) != 0 && errno == EINTR);
  return fd;
}

gchar *
grad_choice_find (const gchar * key)
{
  gchar *choice;

  g_mutex_lock (&lock);
  if (choices == NULL)
    choices = read_choices ();
  choice = g_strdup (g_hash_table_lookup (choices, key));
  if (choice != NULL)
    note_used (key);
  g_mutex_unlock (&lock);
  return choice;
}

gchar *
grad_choice_keep (const gchar * key, const gchar * known, const gchar * choice)
{
  g_autoptr (GHashTable) in_file = NULL;
  const gchar *other;
  gchar *winner;
  gint fd;

  g_return_val_if_fail (is_field (key) && is_field (choice), NULL);
  g_mutex_lock (&lock);
  fd = lock_file ();
  in_file = read_choices ();
  other = g_hash_table_lookup (in_file, key);
  winner = g_strdup (other && g_strcmp0 (other, known) != 0 ? other : choice);
  g_hash_table_replace (in_file, g_strdup (key), g_strdup (winner));
  if (choices == NULL)
    choices = new_table ();
  g_hash_table_replace (choices, g_strdup (key), g_strdup (winner));
  note_used (key);
  merge (choices, in_file);
  write_choices (in_file);
  if (fd >= 0)
    close (fd);
  g_mutex_unlock (&lock);
  return winner;
}

void
grad_choices_begin (void)
{
  g_mutex_lock (&lock);
  if (n_runs++ == 0)
    g_clear_pointer (&used, g_hash_table_unref);
  g_mutex_unlock (&lock);
}

void
grad_choices_end (void)
{
  g_mutex_lock (&lock);
  n_runs--;
  g_mutex_unlock (&lock);
}

gchar *
grad_choices_describe (void)
{
  GString *text;

  g_mutex_lock (&lock);
  text = used ? print_choices (choices, used) : g_string_new ("");
  g_mutex_unlock (&lock);
  return g_string_free (text, FALSE);
}

void
grad_choices_adopt (const gchar * lines)
{
  GHashTable *adopted = parse_choices (lines);
  g_autoptr (GHashTable) before = NULL;
  GHashTableIter iter;
  gpointer key;

  g_mutex_lock (&lock);
  for (g_hash_table_iter_init (&iter, adopted); g_hash_table_iter_next (&iter, &key, NULL);)
    note_used (key);
  before = choices ? choices : read_choices ();
  merge (adopted, before);
  choices = adopted;
  g_mutex_unlock (&lock);
}

void
grad_choice_forget (void)
{
  g_mutex_lock (&lock);
  g_clear_pointer (&choices, g_hash_table_unref);
  g_clear_pointer (&used, g_hash_table_unref);
  g_mutex_unlock (&lock);
}
