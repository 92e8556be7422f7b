/* GradStreamer: files are mapped whole and replaced whole
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradfile-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_LINKS 40            /* as the kernel's; more are a circle */

GBytes *
grad_file_map (const gchar * location, GError ** error)
{
  gint fd = g_open (location, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
  g_autoptr (GMappedFile) map = NULL;
  struct stat info;

  if (fd < 0 || fstat (fd, &info) < 0)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_IO, "cannot read %s: %s", location,
        g_strerror (errno));
  else if (!S_ISREG (info.st_mode))
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_IO, "cannot read %s: %s", location,
        S_ISDIR (info.st_mode) ? g_strerror (EISDIR) : "it is no regular file");
  else if (info.st_size == 0)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s: the file is empty", location);
  else {
    g_autoptr (GError) cause = NULL;

    map = g_mapped_file_new_from_fd (fd, FALSE, &cause);
    if (map == NULL)
      g_set_error (error, GRAD_ERROR, GRAD_ERROR_IO, "cannot read %s: %s", location,
          cause->message);
  }
  if (fd >= 0)
    close (fd);
  return map ? g_mapped_file_get_bytes (map) : NULL;
}

static gboolean
write_all (gint fd, const guint8 * data, gsize size)
{
  while (size > 0) {
    gssize n = write (fd, data, size);

    if (n < 0 && errno != EINTR)
      return FALSE;
    if (n > 0) {
      data += n;
      size -= n;
    }
  }
  return TRUE;
}

/* The name lasts only when the folder has reached the disk. The new file is in place by now, and
 * some file systems cannot sync a folder, so that failing here is no failure. */
static void
sync_folder (const gchar * file)
{
  g_autofree gchar *folder = g_path_get_dirname (file);
  gint fd = g_open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

  if (fd >= 0) {
    fsync (fd);
    close (fd);
  }
}

gchar *
grad_file_resolve (const gchar * location)
{
  gchar *path = g_strdup (location), *next;

  for (guint i = 0; i < MAX_LINKS && (next = g_file_read_link (path, NULL)) != NULL; i++) {
    g_autofree gchar *folder = g_path_get_dirname (path);
    g_autofree gchar *link = next;

    g_free (path);
    path = g_path_is_absolute (link) ? g_steal_pointer (&link) : g_build_filename (folder, link, NULL);
  }
  return path;
}

/* FALSE with errno */
static gboolean
replace (const gchar * location, const struct iovec *parts, guint n_parts)
{
  g_autofree gchar *target = grad_file_resolve (location);      /* a link goes on pointing to the file */
  g_autofree gchar *temporary = g_strconcat (target, ".tmp-XXXXXX", NULL);
  gboolean ok = TRUE;
  struct stat info;
  gint fd, reason;

  if (stat (target, &info) == 0 && !S_ISREG (info.st_mode)) {
    errno = S_ISDIR (info.st_mode) ? EISDIR : EINVAL;   /* never put a file where a device was */
    return FALSE;
  }
  fd = g_mkstemp_full (temporary, O_WRONLY | O_CLOEXEC, 0666);
  if (fd < 0)
    return FALSE;
  for (guint i = 0; i < n_parts && ok; i++)
    ok = write_all (fd, parts[i].iov_base, parts[i].iov_len);
  ok = ok && fsync (fd) == 0;
  reason = errno;
  if (close (fd) < 0 && ok) {
    ok = FALSE;
    reason = errno;
  }
  if (ok && g_rename (temporary, target) < 0) {
    ok = FALSE;
    reason = errno;
  }
  if (ok)
    sync_folder (target);
  else
    g_unlink (temporary);
  errno = reason;
  return ok;
}

gboolean
grad_file_replace (const gchar * location, const struct iovec *parts, guint n_parts,
    GError ** error)
{
  if (replace (location, parts, n_parts))
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_IO, "cannot write %s: %s: %schoose another location",
      location, g_strerror (errno),
      errno == ENOSPC || errno == EDQUOT ? "free some space or " : "");
  return FALSE;
}
