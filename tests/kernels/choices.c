/* GradStreamer tests: choices that were measured once and are remembered
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/choices.h"

#include <glib/gstdio.h>
#include <string.h>

#define N_THREADS 4
#define N_KEYS 16

static gchar *folder, *path;

/* nothing is there */
static void
clean (void)
{
  g_autofree gchar *lock = g_strconcat (path, ".lock", NULL);

  grad_choice_forget ();
  g_unlink (path);
  g_unlink (lock);
  g_rmdir (folder);
}

static void
assert_file (const gchar * expected)
{
  g_autofree gchar *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, expected);
}

static void
assert_choice (const gchar * key, const gchar * expected)
{
  g_autofree gchar *choice = grad_choice_find (key);

  g_assert_cmpstr (choice, ==, expected);
}

/* known: what this process knew when it measured */
static void
keep (const gchar * key, const gchar * known, const gchar * choice, const gchar * expected)
{
  g_autofree gchar *kept = grad_choice_keep (key, known, choice);

  g_assert_cmpstr (kept, ==, expected);
}

static void
test_remembered (void)
{
  clean ();
  assert_choice ("cudnn 1|a GPU|x", NULL);
  keep ("cudnn 1|a GPU|x", NULL, "62 2=4 13=0", "62 2=4 13=0");
  keep ("cpu", NULL, "a = b", "a = b");
  keep ("cudnn 1|a GPU|x", "62 2=4 13=0", "63", "63");
  assert_choice ("cudnn 1|a GPU|x", "63");
  grad_choice_forget ();
  assert_choice ("cudnn 1|a GPU|x", "63");
  assert_choice ("cpu", "a = b");
  assert_choice ("cp", NULL);
  assert_file ("cpu\ta = b\ncudnn 1|a GPU|x\t63\n");
}

/* The file is read when something is asked for first. A second process writes after that: what was first counts, unless
 * whoever replaces it knows it. */
static void
test_processes (void)
{
  if (g_test_subprocess ()) {
    assert_choice ("ours", "1");
    keep ("theirs", NULL, "2", "2");
    keep ("ours", "1", "3", "3");
    return;
  }
  clean ();
  keep ("ours", NULL, "1", "1");
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
  assert_file ("ours\t3\ntheirs\t2\n");
  assert_choice ("theirs", NULL);
  keep ("theirs", NULL, "4", "2");
  assert_choice ("theirs", "2");
  assert_choice ("ours", "1");
  keep ("ours", "1", "5", "3");
  assert_choice ("ours", "3");
  assert_file ("ours\t3\ntheirs\t2\n");
}

static void
assert_described (const gchar * expected)
{
  g_autofree gchar *lines = grad_choices_describe ();

  g_assert_cmpstr (lines, ==, expected);
}

/* What a run has used goes elsewhere, and counts there before what the file says, which stays as it is. */
static void
test_adopted (void)
{
  clean ();
  grad_choices_begin ();
  assert_described ("");
  keep ("used", NULL, "1", "1");
  keep ("other", NULL, "2", "2");
  grad_choices_begin ();        /* another run beside it */
  assert_described ("other\t2\nused\t1\n");
  grad_choices_end ();
  assert_described ("other\t2\nused\t1\n");
  grad_choices_end ();
  grad_choices_begin ();
  assert_described ("");
  assert_choice ("used", "1");
  assert_choice ("unknown", NULL);
  assert_described ("used\t1\n");
  grad_choices_adopt ("used\t3\nnew\t4\nno tab\n");
  assert_choice ("used", "3");
  assert_choice ("new", "4");
  assert_choice ("other", "2");
  assert_described ("new\t4\nother\t2\nused\t3\n");
  assert_file ("other\t2\nused\t1\n");
  keep ("more", NULL, "5", "5");
  assert_file ("more\t5\nother\t2\nused\t1\n");
  grad_choices_end ();
  grad_choice_forget ();
  assert_choice ("used", "1");
}

static void
test_garbage (void)
{
  static const gchar garbage[] = "\n\tno key\nno tab\nd\t\ne\t5\nthree\t1\t2\n\xff\xfe\t1\n"
      "utf8\t\xff\ne\t6\nf\tlast";
  static const gchar *const absent[] = { "", "no tab", "d", "three", "\xff\xfe", "utf8" };

  clean ();
  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, garbage, -1, NULL));
  assert_choice ("e", "5");
  assert_choice ("f", "last");
  for (guint i = 0; i < G_N_ELEMENTS (absent); i++)
    assert_choice (absent[i], NULL);
  keep ("d", NULL, "7", "7");
  assert_file ("d\t7\ne\t5\nf\tlast\n");
}

/* Where the folder should be there is a file: nothing can be written, nor read. */
static void
test_unwritable (void)
{
  clean ();
  g_assert_true (g_file_set_contents (folder, "", 0, NULL));
  keep ("a", NULL, "1", "1");
  keep ("b", NULL, "2", "2");
  assert_choice ("a", "1");
  assert_choice ("b", "2");
  grad_choice_forget ();
  assert_choice ("a", NULL);
  g_assert_cmpint (g_unlink (folder), ==, 0);
}

static gpointer
keep_some (gpointer thread)
{
  for (guint i = 0; i < N_KEYS; i++) {
    g_autofree gchar *key = g_strdup_printf ("%u/%u", GPOINTER_TO_UINT (thread), i);

    assert_choice (key, NULL);
    keep (key, NULL, key, key);
    assert_choice (key, key);
  }
  return NULL;
}

static void
test_threads (void)
{
  GThread *threads[N_THREADS];

  clean ();
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new (NULL, keep_some, GUINT_TO_POINTER (i));
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  grad_choice_forget ();
  for (guint i = 0; i < N_THREADS * N_KEYS; i++) {
    g_autofree gchar *key = g_strdup_printf ("%u/%u", i / N_KEYS, i % N_KEYS);

    assert_choice (key, key);
  }
}

int
main (int argc, char **argv)
{
  g_autofree gchar *cache = g_strdup (g_getenv ("TEST_CACHE"));
  gint result;

  if (cache == NULL)
    cache = g_dir_make_tmp ("choices-XXXXXX", NULL);
  g_setenv ("TEST_CACHE", cache, TRUE); /* for the second process */
  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  folder = g_build_filename (cache, "gradstreamer", NULL);
  path = g_build_filename (folder, "choices", NULL);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/kernels/choices/remembered", test_remembered);
  g_test_add_func ("/kernels/choices/processes", test_processes);
  g_test_add_func ("/kernels/choices/adopted", test_adopted);
  g_test_add_func ("/kernels/choices/garbage", test_garbage);
  g_test_add_func ("/kernels/choices/unwritable", test_unwritable);
  g_test_add_func ("/kernels/choices/threads", test_threads);
  result = g_test_run ();
  if (!g_test_subprocess ()) {
    clean ();
    g_rmdir (cache);
  }
  g_free (folder);
  g_free (path);
  return result;
}
