/* GradStreamer tests: runs a fuzz target without libFuzzer: on its corpus, and on what becomes of it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: PROGRAM FOLDER */
#include "fuzz.h"

#include <string.h>

#define N_MUTATIONS 5000
#define MAX_SIZE 65536

static GPtrArray *corpus;       /* of GBytes */

static gint
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(gchar * const *) a, *(gchar * const *) b);
}

static void
read_corpus (const gchar * folder)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const gchar *name;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (names, g_build_filename (folder, name, NULL));
  g_ptr_array_sort (names, compare);
  for (guint i = 0; i < names->len; i++) {
    gchar *data;
    gsize size;

    g_assert_true (g_file_get_contents (names->pdata[i], &data, &size, NULL));
    g_ptr_array_add (corpus, g_bytes_new_take (data, size));
  }
}

/* In a block of exactly that size, so that reading over its end is seen */
static void
run (gconstpointer data, gsize size)
{
  g_autofree guint8 *copy = g_malloc (MAX (size, 1));

  memcpy (copy, data, size);
  LLVMFuzzerTestOneInput (copy, size);
}

static void
test_corpus (void)
{
  g_assert_cmpuint (corpus->len, >, 0);
  for (guint i = 0; i < corpus->len; i++) {
    gsize size;
    gconstpointer data = g_bytes_get_data (corpus->pdata[i], &size);

    run (data, size);
  }
}

static GBytes *
pick (GRand * random)
{
  return corpus->pdata[g_rand_int_range (random, 0, corpus->len)];
}

/* A piece of another input */
static void
splice (GByteArray * input, guint at, GRand * random)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (pick (random), &size);
  guint from = g_rand_int_range (random, 0, MAX (size, 1));
  guint most = g_rand_int_range (random, 1, 64), n = MIN (size - MIN (from, size), most);
  g_autofree guint8 *tail = g_memdup2 (input->data + at, input->len - at);
  guint n_tail = input->len - at;

  g_byte_array_set_size (input, at);
  g_byte_array_append (input, data + from, n);
  g_byte_array_append (input, tail, n_tail);
}

static void
mutate (GByteArray * input, GRand * random)
{
  static const gchar bytes[] = " !=\"\\,:{}[]\n.-+0123456789abx\xff\x80";
  guint at = g_rand_int_range (random, 0, MAX (input->len, 1));
  guint n = g_rand_int_range (random, 1, 32);

  if (input->len == 0 || g_rand_int_range (random, 0, 5) == 0)
    splice (input, MIN (at, input->len), random);
  else
    switch (g_rand_int_range (random, 0, 4)) {
      case 0:
        input->data[at] ^= 1 << g_rand_int_range (random, 0, 8);
        break;
      case 1:
        input->data[at] = bytes[g_rand_int_range (random, 0, sizeof bytes)];
        break;
      case 2:
        g_byte_array_remove_range (input, at, MIN (input->len - at, n));
        break;
      default:
        g_byte_array_set_size (input, g_rand_int_range (random, 0, 8) ? input->len : at);
    }
}

static void
test_mutations (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (1);

  for (guint i = 0; i < N_MUTATIONS; i++) {
    GBytes *seed = pick (random);
    g_autoptr (GByteArray) input = g_byte_array_new ();

    g_byte_array_append (input, g_bytes_get_data (seed, NULL), g_bytes_get_size (seed));
    for (gint n = g_rand_int_range (random, 1, 5); n > 0 && input->len < MAX_SIZE; n--)
      mutate (input, random);
    run (input->data, input->len);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  LLVMFuzzerInitialize (&argc, &argv);
  g_assert_cmpint (argc, ==, 2);
  corpus = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  read_corpus (argv[1]);
  g_test_add_func ("/fuzz/corpus", test_corpus);
  g_test_add_func ("/fuzz/mutations", test_mutations);
  argc = g_test_run ();
  g_ptr_array_unref (corpus);
  return argc;
}
