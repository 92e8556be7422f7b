/* GradStreamer: the log of a training: lines of JSON
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradlog-private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static gboolean
get_number (const gchar * line, const gchar * key, guint64 * number)
{
  const gchar *found = strstr (line, key);

  if (found != NULL)
    *number = g_ascii_strtoull (found + strlen (key), NULL, 10);
  return found != NULL;
}

/* Whether a line tells of something that the checkpoint is ahead of. */
static gboolean
is_past (const gchar * line, const GradCheckpoint * from)
{
  const GradPosition *at = &from->position;
  guint64 n;

  if (strchr (line, '\n') == NULL)      /* cut off in the middle */
    return FALSE;
  if (strstr (line, "\"phase\":\"train\"") != NULL)
    return get_number (line, "\"step\":", &n) && n <= from->step;
  if (!get_number (line, "\"epoch\":", &n))
    return FALSE;
  return n < at->epoch || (n == at->epoch && at->testing
      && strstr (line, "\"phase\":\"train-epoch\"") != NULL);
}

/* NULL with errno */
static FILE *
reopen (const gchar * location, const GradCheckpoint * from)
{
  FILE *log = g_file_test (location, G_FILE_TEST_IS_REGULAR) ? g_fopen (location, "r+") : NULL;
  gchar *line = NULL;
  size_t size = 0;
  off_t end = 0;
  gssize n;

  if (log == NULL)              /* there is none, or it is a pipe */
    return g_fopen (location, "a");
  while ((n = getline (&line, &size, log)) > 0 && is_past (line, from))
    end += n;
  free (line);
  if (ftruncate (fileno (log), end) < 0 || fseeko (log, end, SEEK_SET) < 0) {
    fclose (log);
    return NULL;
  }
  return log;
}

gboolean
grad_log_open (GradLog * log, const gchar * location, const GradCheckpoint * resumed, GError ** error)
{
  if (location == NULL || *location == '\0')
    return TRUE;
  log->file = resumed ? reopen (location, resumed) : g_fopen (location, "a");
  log->is_old = resumed == NULL;
  if (log->file == NULL)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_IO, "cannot write the log %s: %s: set log-location "
        "to a file that can be written", location, g_strerror (errno));
  return log->file != NULL;
}

void
grad_log_add (GradLog * log, const GstStructure * s, const gchar * const *names)
{
  g_autoptr (GString) line = g_string_new (NULL);

  if (log->file == NULL)
    return;
  if (log->is_old && ftruncate (fileno (log->file), 0) != 0)
    GST_DEBUG ("the log is no file: %s", g_strerror (errno));
  log->is_old = FALSE;
  for (; *names != NULL; names++) {
    const GValue *value = gst_structure_get_value (s, *names);
    g_autofree gchar *key = g_strdelimit (g_strdup (*names), "-", '_');
    gchar number[G_ASCII_DTOSTR_BUF_SIZE];

    if (value == NULL)
      continue;
    g_string_append_printf (line, "%c\"%s\":", line->len ? ',' : '{', key);
    if (G_VALUE_HOLDS_STRING (value))
      g_string_append_printf (line, "\"%s\"", g_value_get_string (value));
    else if (G_VALUE_HOLDS_UINT (value))
      g_string_append_printf (line, "%u", g_value_get_uint (value));
    else if (G_VALUE_HOLDS_UINT64 (value))
      g_string_append_printf (line, "%" G_GUINT64_FORMAT, g_value_get_uint64 (value));
    else if (isfinite (g_value_get_double (value)))
      g_string_append (line, g_ascii_formatd (number, sizeof number, "%.9g",
              g_value_get_double (value)));
    else
      g_string_append (line, "null");
  }
  fprintf (log->file, "%s}\n", line->str);
}

gboolean
grad_log_flush (GradLog * log)
{
  if (log->file == NULL || (fflush (log->file) == 0 && !ferror (log->file)))
    return TRUE;
  grad_log_close (log);
  return FALSE;
}

void
grad_log_close (GradLog * log)
{
  gint reason = errno;

  if (log->file != NULL)
    fclose (g_steal_pointer (&log->file));
  errno = reason;
}
