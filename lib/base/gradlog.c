/* GradStreamer: the log of a training that goes on
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradlog-private.h"

#include <glib/gstdio.h>
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

FILE *
grad_log_reopen (const gchar * location, const GradCheckpoint * from)
{
  FILE *log = g_fopen (location, "r+");
  gchar *line = NULL;
  size_t size = 0;
  off_t end = 0;
  gssize n;

  if (log == NULL)
    return g_fopen (location, "w");
  while ((n = getline (&line, &size, log)) > 0 && is_past (line, from))
    end += n;
  free (line);
  if (ftruncate (fileno (log), end) < 0 || fseeko (log, end, SEEK_SET) < 0) {
    fclose (log);
    return NULL;
  }
  return log;
}
