/* GradStreamer tests: files are mapped whole and replaced whole
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/gradfile-private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static gchar *folder;

#define IN_FOLDER(name) g_build_filename (folder, name, NULL)

static gboolean
write_text (const gchar * location, const gchar * text, GError ** error)
{
  gsize half = strlen (text) / 2;
  struct iovec parts[] = { {(gpointer) text, half}, {NULL, 0},
    {(gpointer) (text + half), strlen (text) - half}
  };

  return grad_file_replace (location, parts, G_N_ELEMENTS (parts), error);
}

static void
assert_contents (const gchar * location, const gchar * text)
{
  g_autofree gchar *contents = NULL;

  g_assert_true (g_file_get_contents (location, &contents, NULL, NULL));
  g_assert_cmpstr (contents, ==, text);
}

static void
assert_n_files (guint expected)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir))
    n++;
  g_assert_cmpuint (n, ==, expected);
}

static void
test_replace (void)
{
  g_autofree gchar *file = IN_FOLDER ("file"), *link = IN_FOLDER ("link");
  g_autoptr (GError) error = NULL;
  mode_t mask = umask (027);
  GStatBuf info;

  g_assert_true (write_text (file, "old", &error));
  g_assert_no_error (error);
  umask (mask);
  assert_contents (file, "old");
  g_assert_cmpint (g_stat (file, &info), ==, 0);
  g_assert_cmphex (info.st_mode & 0777, ==, 0640);

  g_assert_cmpint (symlink ("file", link), ==, 0);
  g_assert_true (write_text (link, "new", &error));
  assert_contents (file, "new");
  g_assert_true (g_file_test (link, G_FILE_TEST_IS_SYMLINK));
  /* also before there is one */
  g_unlink (file);
  g_assert_true (write_text (link, "newer", &error));
  g_assert_true (g_file_test (link, G_FILE_TEST_IS_SYMLINK));
  g_assert_true (g_file_test (file, G_FILE_TEST_IS_REGULAR));
  g_unlink (link);
  g_unlink (file);
  /* a circle */
  g_assert_cmpint (symlink ("link", link), ==, 0);
  g_assert_true (write_text (link, "new", &error));
  g_unlink (link);
  assert_n_files (0);
}

static void
test_refused (void)
{
  g_autofree gchar *file = IN_FOLDER ("file"), *below = IN_FOLDER ("file/below");
  const struct
  {
    const gchar *location, *problem;
  } cases[] = {
    {below, "*cannot write */file/below: Not a directory: choose another location"},
    {folder, "*Is a directory: choose another location"},
    {"/dev/null", "cannot write /dev/null: Invalid argument: choose another location"},
    {"/no/such/folder/x", "*No such file or directory: choose another location"},
  };

  g_assert_true (write_text (file, "old", NULL));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_false (write_text (cases[i].location, "new", &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_IO);
    g_test_message ("%s", error->message);
    g_assert_true (g_pattern_match_simple (cases[i].problem, error->message));
  }
  assert_contents (file, "old");
  assert_n_files (1);
  g_unlink (file);
}

/* a limit on the size of files stands for a full disk: the write stops in the middle */
static void
test_full (void)
{
  g_autofree gchar *file = IN_FOLDER ("file"), *large = g_strnfill (100000, 'x');
  g_autoptr (GError) error = NULL;
  struct rlimit old, small;

  g_assert_true (write_text (file, "old", NULL));
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &old), ==, 0);
  small = old;
  small.rlim_cur = 10000;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  g_assert_false (write_text (file, large, &error));
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &old), ==, 0);
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "File too large"));
  assert_contents (file, "old");
  assert_n_files (1);
  g_unlink (file);
}

static void
test_map (void)
{
  g_autofree gchar *file = IN_FOLDER ("file"), *empty = IN_FOLDER ("empty");
  g_autofree gchar *pipe = IN_FOLDER ("pipe"), *missing = IN_FOLDER ("missing");
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  const struct
  {
    const gchar *location;
    GradError code;
    const gchar *problem;
  } cases[] = {
    {missing, GRAD_ERROR_IO, "cannot read */missing: No such file or directory"},
    {folder, GRAD_ERROR_IO, "cannot read *: Is a directory"},
    {pipe, GRAD_ERROR_IO, "cannot read */pipe: it is no regular file"},
    {"/dev/zero", GRAD_ERROR_IO, "cannot read /dev/zero: it is no regular file"},
    {empty, GRAD_ERROR_FILE, "*/empty: the file is empty"},
  };

  g_assert_true (write_text (empty, "", NULL));
  g_assert_true (write_text (file, "text", NULL));
  g_assert_cmpint (mkfifo (pipe, 0600), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (grad_file_map (cases[i].location, &error));
    g_assert_error (error, GRAD_ERROR, (gint) cases[i].code);
    g_assert_true (g_pattern_match_simple (cases[i].problem, error->message));
  }
  bytes = grad_file_map (file, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), "text", 4);
  g_unlink (file);
  g_unlink (empty);
  g_unlink (pipe);
}

int
main (int argc, char **argv)
{
  gint result;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp (NULL, NULL);
  g_test_add_func ("/file/replace", test_replace);
  g_test_add_func ("/file/refused", test_refused);
  g_test_add_func ("/file/full", test_full);
  g_test_add_func ("/file/map", test_map);
  result = g_test_run ();
  g_rmdir (folder);
  g_free (folder);
  return result;
}
