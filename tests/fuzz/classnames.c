/* GradStreamer tests: any bytes as names of classes, in a file and as a list
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE             /* memfd_create() */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void
parse (const gchar * text)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = grad_class_names_parse (text, &error);

  fuzz_check (names, error);
  for (guint i = 0; names && names[i]; i++)
    g_assert_true (*names[i] && i < 65536 && g_utf8_validate (names[i], -1, NULL));
}

int
LLVMFuzzerTestOneInput (const guint8 * data, gsize size)
{
  gint fd = memfd_create ("names", MFD_CLOEXEC);
  g_autofree gchar *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autofree gchar *list = g_strndup ((const gchar *) data, size);

  g_assert_cmpint (write (fd, data, size), ==, size);
  parse (path);
  close (fd);
  if (strchr (list, ',') != NULL)
    parse (list);
  return 0;
}
