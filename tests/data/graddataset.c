/* GradStreamer tests: IDX data sets
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/gradstreamer.h"
#include "lib/data/gradidx-private.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

#define IMAGES "\0\0\x08\x03" "\0\0\0\2" "\0\0\0\2" "\0\0\0\3" "abcdefghijkl"
#define LABELS "\0\0\x08\x01" "\0\0\0\2" "\1\xff"
#define LITERAL(s) (s), sizeof (s) - 1

static GBytes *
gzip (gconstpointer data, gsize size)
{
  g_autoptr (GConverter) zip =
      G_CONVERTER (g_zlib_compressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP, -1));
  gsize capacity = size + 1000, n_read, n_written;
  guint8 *out = g_malloc (capacity);

  g_assert_cmpint (g_converter_convert (zip, data, size, out, capacity, G_CONVERTER_INPUT_AT_END,
          &n_read, &n_written, NULL), ==, G_CONVERTER_FINISHED);
  g_assert_cmpuint (n_read, ==, size);
  return g_bytes_new_take (g_realloc (out, n_written), n_written);
}

static GBytes *
join (GBytes * a, GBytes * b)
{
  GByteArray *all = g_byte_array_new ();

  g_byte_array_append (all, g_bytes_get_data (a, NULL), g_bytes_get_size (a));
  g_byte_array_append (all, g_bytes_get_data (b, NULL), g_bytes_get_size (b));
  return g_byte_array_free_to_bytes (all);
}

static void
assert_refused (GBytes * file, guint rank, const gchar * problem)
{
  g_autoptr (GError) error = NULL;
  guint32 dims[3];

  g_assert_null (grad_idx_parse (file, "test", rank, dims, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_FILE);
  if (!g_str_has_prefix (error->message, "test: ") || strstr (error->message, problem) == NULL)
    g_error ("got \"%s\", expected \"%s\"", error->message, problem);
}

static void
assert_images (GBytes * file)
{
  g_autoptr (GError) error = NULL;
  guint32 dims[3];
  g_autoptr (GBytes) images = grad_idx_parse (file, "test", 3, dims, &error);

  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (images, NULL), g_bytes_get_size (images), "abcdefghijkl", 12);
  g_assert_true (dims[0] == 2 && dims[1] == 2 && dims[2] == 3);
}

/* each one plain and packed */
static const struct
{
  guint rank;
  const gchar *data;
  gsize size;
  const gchar *problem;
} cases[] = {
  {3, LITERAL ("\0\0\x08"), "no IDX file"},
  {3, LITERAL (LABELS), "begins with 0x00000801, expected 0x00000803: labels where"},
  {1, LITERAL (IMAGES), "begins with 0x00000803, expected 0x00000801: images where"},
  {3, LITERAL ("\x89PNG\r\n\x1a\n--------"), "begins with 0x89504e47, expected 0x00000803"},
  {3, LITERAL ("\0\0\x0d\x03" "\0\0\0\1" "\0\0\0\1" "\0\0\0\1----"), "begins with 0x00000d03"},
  {3, LITERAL (IMAGES "m"), "more data than its header says: at least 29 bytes, expected 28"},
  {3, LITERAL ("\0\0\x08\3" "\0\0\0\0" "\0\0\0\2" "\0\0\0\3"), "it has no samples"},
  {1, LITERAL ("\0\0\x08\1" "\0\0\0\0"), "it has no samples"},
  {3, LITERAL ("\0\0\x08\3" "\0\0\0\2" "\0\0\0\0" "\0\0\0\3"), "no pixels"},
  {3, LITERAL ("\0\0\x08\3" "\0\0\0\2" "\0\0\0\2" "\0\0\0\0"), "no pixels"},
  {3, LITERAL ("\0\0\x08\3" "\xff\xff\xff\xff" "\0\0\0\2" "\0\0\0\3"), "sizes are out of range"},
  {3, LITERAL ("\0\0\x08\3" "\x7f\xff\xff\xff" "\x7f\xff\xff\xff" "\x7f\xff\xff\xff"),
      "sizes are out of range"},
  {3, LITERAL ("\0\0\x08\3" "\0\0\1\0" "\0\0\1\0" "\0\0\1\0abc"),
      "truncated: 19 bytes, expected 16777232"},
};

static void
test_cases (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GBytes) plain = g_bytes_new (cases[i].data, cases[i].size);
    g_autoptr (GBytes) packed = gzip (cases[i].data, cases[i].size);

    assert_refused (plain, cases[i].rank, cases[i].problem);
    assert_refused (packed, cases[i].rank, cases[i].problem);
  }
}

static void
test_gzip (void)
{
  g_autoptr (GBytes) plain = g_bytes_new (IMAGES, sizeof IMAGES - 1);
  g_autoptr (GBytes) packed = gzip (IMAGES, sizeof IMAGES - 1);
  g_autoptr (GBytes) start = gzip (IMAGES, 5), rest = gzip (IMAGES + 5, sizeof IMAGES - 6);
  g_autoptr (GBytes) members = join (start, rest), trailing = join (packed, plain);
  g_autoptr (GBytes) huge = gzip (LITERAL ("\0\0\x08\3" "\0\1\0\0" "\0\1\0\0" "\0\0\1\0"));
  g_autofree guint8 *damaged =
      g_memdup2 (g_bytes_get_data (packed, NULL), g_bytes_get_size (packed));
  g_autoptr (GBytes) bad = NULL;

  assert_images (plain);
  assert_images (packed);
  assert_images (members);
  assert_refused (trailing, 3, "damaged gzip data");
  assert_refused (start, 3, "truncated");
  assert_refused (huge, 3, "more than 4 GiB: unpack it with gunzip");
  damaged[g_bytes_get_size (packed) - 6] ^= 1;  /* the checksum */
  bad = g_bytes_new (damaged, g_bytes_get_size (packed));
  assert_refused (bad, 3, "damaged gzip data");
}

static void
test_truncated (void)
{
  g_autoptr (GBytes) packed = gzip (IMAGES, sizeof IMAGES - 1);

  for (gsize size = 0; size < sizeof IMAGES - 1; size++) {
    g_autoptr (GBytes) part = g_bytes_new (IMAGES, size);

    assert_refused (part, 3, size < 4 ? "no IDX file" : "truncated");
  }
  for (gsize size = 0; size < g_bytes_get_size (packed); size++) {
    g_autoptr (GBytes) part = g_bytes_new (g_bytes_get_data (packed, NULL), size);

    assert_refused (part, 3, size < 2 ? "no IDX file" : "truncated");
  }
}

static void
test_mutations (void)
{
  g_autoptr (GBytes) packed = gzip (IMAGES, sizeof IMAGES - 1);
  guint accepted = 0;
  GradRandom random;

  grad_random_init (&random, 1, "fuzz", "idx", 0);
  for (guint i = 0; i < 20000; i++) {
    gsize size = i % 2 ? g_bytes_get_size (packed) : sizeof IMAGES - 1;
    g_autofree guint8 *copy = g_memdup2 (i % 2 ? g_bytes_get_data (packed, NULL) : IMAGES, size);
    g_autoptr (GBytes) file = NULL, images = NULL;
    guint32 dims[3];

    for (guint n = 1 + grad_random_below (&random, 3); n > 0; n--)
      copy[grad_random_below (&random, size)] = grad_random_uint32 (&random);
    file = g_bytes_new (copy, i % 3 ? size : 1 + grad_random_below (&random, size));
    images = grad_idx_parse (file, "test", 3, dims, NULL);
    if (images != NULL) {
      g_assert_cmpuint (g_bytes_get_size (images), ==, (gsize) dims[0] * dims[1] * dims[2]);
      accepted++;
    }
  }
  g_test_message ("accepted %u of 20000", accepted);
  g_assert_cmpuint (accepted, >, 0);
}

static void
test_open (void)
{
  g_autofree gchar *folder = g_dir_make_tmp (NULL, NULL);
  g_autofree gchar *images = g_build_filename (folder, "images", NULL);
  g_autofree gchar *labels = g_build_filename (folder, "labels", NULL);
  g_autofree gchar *three = g_build_filename (folder, "three", NULL);
  g_autofree gchar *empty = g_build_filename (folder, "empty", NULL);
  const struct
  {
    const gchar *images, *labels;
    GradError code;
    const gchar *problem;
  } bad[] = {
    {images, three, GRAD_ERROR_FILE, "*/images has 2 images, but */three has 3 labels: name the labels *"},
    {labels, images, GRAD_ERROR_FILE, "*/labels: *labels where images belong"},
    {images, images, GRAD_ERROR_FILE, "*/images: *images where labels belong"},
    {empty, NULL, GRAD_ERROR_FILE, "*/empty: the file is empty"},
    {folder, NULL, GRAD_ERROR_IO, "cannot read *: Is a directory"},
    {images, "/none", GRAD_ERROR_IO, "cannot read /none: No such file or directory"},
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (GradDataset) dataset = NULL, alone = NULL;

  g_assert_true (g_file_set_contents (images, LITERAL (IMAGES), NULL));
  g_assert_true (g_file_set_contents (labels, LITERAL (LABELS), NULL));
  g_assert_true (g_file_set_contents (three, LITERAL ("\0\0\x08\1" "\0\0\0\3" "abc"), NULL));
  g_assert_true (g_file_set_contents (empty, "", 0, NULL));
  dataset = grad_dataset_open_idx (images, labels, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (grad_dataset_get_n_samples (dataset), ==, 2);
  g_assert_cmpint (grad_dataset_get_height (dataset), ==, 2);
  g_assert_cmpint (grad_dataset_get_width (dataset), ==, 3);
  g_assert_cmpmem (grad_dataset_get_image (dataset, 1), 6, "ghijkl", 6);
  g_assert_true (grad_dataset_has_labels (dataset));
  g_assert_cmpint (grad_dataset_get_label (dataset, 1), ==, 255);
  alone = grad_dataset_open_idx (images, NULL, &error);
  g_assert_false (grad_dataset_has_labels (alone));
  g_assert_cmpint (grad_dataset_get_label (alone, 0), ==, -1);

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_assert_null (grad_dataset_open_idx (bad[i].images, bad[i].labels, &error));
    g_assert_error (error, GRAD_ERROR, (gint) bad[i].code);
    g_test_message ("%s", error->message);
    g_assert_true (g_pattern_match_simple (bad[i].problem, error->message));
    g_clear_error (&error);
  }
  g_unlink (images);
  g_unlink (labels);
  g_unlink (three);
  g_unlink (empty);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

static void
test_fashion_mnist (void)
{
  static const gint first[] = { 9, 0, 0, 3, 0, 2, 7, 2, 5, 5 };
  const gchar *env = g_getenv ("FASHION_MNIST_DIR");
  const gchar *folder = env ? env : "/usr/share/datasets/fashion-mnist";
  g_autofree gchar *images = g_build_filename (folder, "train-images-idx3-ubyte.gz", NULL);
  g_autofree gchar *labels = g_build_filename (folder, "train-labels-idx1-ubyte.gz", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GradDataset) dataset = NULL;
  g_autofree guint32 *order = g_new (guint32, 60000), *other = g_new (guint32, 60000);
  g_autofree gboolean *seen = g_new0 (gboolean, 60000);
  guint counts[10] = { 0 }, fixed = 0;

  if (!g_file_test (images, G_FILE_TEST_EXISTS)) {
    g_test_skip ("no Fashion-MNIST: install dataset-fashion-mnist or set FASHION_MNIST_DIR");
    return;
  }
  dataset = grad_dataset_open_idx (images, labels, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (grad_dataset_get_n_samples (dataset), ==, 60000);
  g_assert_cmpint (grad_dataset_get_height (dataset), ==, 28);
  g_assert_cmpint (grad_dataset_get_width (dataset), ==, 28);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpint (grad_dataset_get_label (dataset, i), ==, first[i]);
  for (guint i = 0; i < 60000; i++)
    counts[grad_dataset_get_label (dataset, i)]++;
  for (guint i = 0; i < 10; i++)
    g_assert_cmpuint (counts[i], ==, 6000);
  g_assert_nonnull (grad_dataset_get_image (dataset, 59999));

  grad_dataset_fill_order (dataset, TRUE, 1, 1, order);
  for (guint i = 0; i < 60000; i++) {
    g_assert_cmpuint (order[i], <, 60000);
    g_assert_false (seen[order[i]]);
    seen[order[i]] = TRUE;
    fixed += order[i] == i;
  }
  g_assert_cmpuint (fixed, <, 10);      /* one on average */
  grad_dataset_fill_order (dataset, TRUE, 1, 1, other);
  g_assert_cmpmem (order, 240000, other, 240000);
  grad_dataset_fill_order (dataset, TRUE, 1, 2, other);
  g_assert_cmpint (memcmp (order, other, 240000), !=, 0);
  grad_dataset_fill_order (dataset, TRUE, 2, 1, other);
  g_assert_cmpint (memcmp (order, other, 240000), !=, 0);
  grad_dataset_fill_order (dataset, FALSE, 1, 1, other);
  for (guint i = 0; i < 60000; i++)
    g_assert_cmpuint (other[i], ==, i);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dataset/cases", test_cases);
  g_test_add_func ("/dataset/gzip", test_gzip);
  g_test_add_func ("/dataset/truncated", test_truncated);
  g_test_add_func ("/dataset/mutations", test_mutations);
  g_test_add_func ("/dataset/open", test_open);
  g_test_add_func ("/dataset/fashion-mnist", test_fashion_mnist);
  return g_test_run ();
}
