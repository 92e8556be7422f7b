/* GradStreamer tests: safetensors files, honest and hostile ones
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/gradstreamer.h"
#include "lib/model/gradsafetensors-private.h"

#include <glib/gstdio.h>
#include <string.h>

/* A file of that header and that many bytes of data, in a block of exactly its size. */
static GBytes *
make_file (const gchar * header, gsize data_size)
{
  guint64 length = strlen (header);
  GByteArray *file = g_byte_array_new ();

  g_byte_array_append (file, (const guint8 *) &length, 8);
  g_byte_array_append (file, (const guint8 *) header, length);
  for (gsize i = 0; i < data_size; i++)
    g_byte_array_append (file, (const guint8[]) { i }, 1);
  return g_byte_array_free_to_bytes (file);
}

static GradSafetensors *
parse_copy (gconstpointer data, gsize size, GError ** error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);

  return grad_safetensors_parse (bytes, "test", error);
}

#define T(shape, begin, end) \
  "{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" #begin "," #end "]}"
#define DEEP10 "[[[[[[[[[["
#define DEEP100 DEEP10 DEEP10 DEEP10 DEEP10 DEEP10 DEEP10 DEEP10 DEEP10 DEEP10 DEEP10
#define DEEP1000 DEEP100 DEEP100 DEEP100 DEEP100 DEEP100 DEEP100 DEEP100 DEEP100 DEEP100 DEEP100

/* 8 bytes of data each */
static const struct
{
  const gchar *header, *problem;        /* NULL: a good one */
} cases[] = {
  {"{\"a\":" T ("2", 0, 8) "}", NULL},
  {"{\"a\":" T ("2", 0, 8) "}   \n", NULL},
  {"{\"b\":" T ("", 4, 8) ",\"a\":" T ("1,1,1,1,1,1,1,1", 0, 4) "}", NULL},
  {"{\"a\":" T ("2", 0, 8) ",\"e\":" T ("0", 8, 8) ",\"f\":" T ("3,0", 0, 0) "}", NULL},
  {"{ \"a\" : { \"shape\":[ 8 ], \"data_offsets\":[0 , 8], \"dtype\":\"F8_E4M3\"} }", NULL},
  {"{\"__metadata__\":{},\"a\":" T ("2", 0, 8) "}", NULL},
  {"{\"__metadata__\":{\"k\":\"\\u00e9\\uD83D\\ude00\\n\\\"\\/\"},\"a\":" T ("2", 0, 8) "}", NULL},

  {"{}", "8 bytes too many after the last tensor"},
  {"[]", "header is no JSON object"},
  {" {\"a\":" T ("2", 0, 8) "}", "header is no JSON object"},
  {"{\"a\":" T ("2", 0, 8), "expected ','"},
  {"{\"a\":" T ("2", 0, 8) "}}", "expected the end"},
  {"{\"a\":" T ("2", 0, 8) ",}", "expected '\"'"},
  {"{\"a\" " T ("2", 0, 8) "}", "expected ':'"},
  {"{'a':" T ("2", 0, 8) "}", "expected '\"'"},
  {"{/**/\"a\":" T ("2", 0, 8) "}", "expected '\"'"},
  {"{\"a\xff\":" T ("2", 0, 8) "}", "UTF-8"},
  {"{\"a\\u0000\":" T ("2", 0, 8) "}", "a valid escape"},
  {"{\"a\\ud800\":" T ("2", 0, 8) "}", "a valid escape"},
  {"{\"a\\ud800\\u0041\":" T ("2", 0, 8) "}", "a valid escape"},
  {"{\"a\\ude00\":" T ("2", 0, 8) "}", "a valid escape"},
  {"{\"a\\x\":" T ("2", 0, 8) "}", "a valid escape"},
  {"{\"a\\", "a valid escape"},
  {"{\"a\\u12", "a valid escape"},
  {"{\"a\n\":" T ("2", 0, 8) "}", "the end of the string"},
  {"{\"a\":" DEEP1000 "}", "expected '{'"},
  {"{\"a\":{\"shape\":" DEEP1000 "}}", "expected an integer"},
  {"{\"__metadata__\":{\"a\":" DEEP1000 "}}", "expected '\"'"},
  {"{\"__metadata__\":{\"a\":{\"a\":{}}}}", "expected '\"'"},
  {"{\"__metadata__\":{\"k\":1},\"a\":" T ("2", 0, 8) "}", "expected '\"'"},
  {"{\"__metadata__\":[],\"a\":" T ("2", 0, 8) "}", "expected '{'"},
  {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"},\"a\":" T ("2", 0, 8) "}", "there twice"},
  {"{\"__metadata__\":{},\"a\":" T ("2", 0, 8) ",\"__metadata__\":{}}", "dtype, shape and two"},

  {"{\"a\":{}}", "dtype, shape and two"},
  {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "dtype, shape and two"},
  {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]}}", "dtype, shape and two"},
  {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", "two offsets"},
  {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
      "dtype, shape and two"},
  {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":0}}",
      "dtype, shape and two"},
  {"{\"a\":{\"dtype\":\"F23\",\"shape\":[2],\"data_offsets\":[0,8]}}",
      "tensor a: its dtype is unknown"},
  {"{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", "expected '\"'"},

  {"{\"a\":" T ("2", 0, 12) "}", "tensor a: its data_offsets are out of the file"},
  {"{\"a\":" T ("2", 8, 0) "}", "out of the file"},
  {"{\"a\":" T ("2", 9223372036854775800, 9223372036854775807) "}", "out of the file"},
  {"{\"a\":" T ("2", 0, 18446744073709551624) "}", "an integer from 0"},
  {"{\"a\":" T ("2", -8, 0) "}", "an integer from 0"},
  {"{\"a\":" T ("2", 0, 8.0) "}", "expected ','"},
  {"{\"a\":" T ("2", 0, 8e0) "}", "expected ','"},
  {"{\"a\":" T ("02", 0, 8) "}", "an integer from 0"},
  {"{\"a\":" T ("-2", 0, 8) "}", "an integer from 0"},
  {"{\"a\":" T ("+2", 0, 8) "}", "an integer from 0"},
  {"{\"a\":" T ("3", 0, 8) "}", "do not agree"},
  {"{\"a\":" T ("", 0, 8) "}", "do not agree"},
  {"{\"a\":" T ("9223372036854775808", 0, 8) "}", "an integer from 0"},
  {"{\"a\":" T ("9223372036854775807", 0, 8) "}", "do not agree"},
  {"{\"a\":" T ("4611686018427387904,2", 0, 0) "}", "do not agree"},
  {"{\"a\":" T ("4611686018427387905,4", 0, 8) "}", "do not agree"},
  {"{\"a\":" T ("4294967296,4294967296", 0, 0) "}", "do not agree"},
  {"{\"a\":" T ("1,1,1,1,1,1,1,1,2", 0, 8) "}", "at most 8 dimensions"},

  {"{\"a\":" T ("1", 0, 4) "}", "4 bytes too many"},
  {"{\"a\":" T ("1", 4, 8) "}", "a hole or an overlap"},
  {"{\"a\":" T ("1", 0, 4) ",\"b\":" T ("1", 0, 4) "}", "a hole or an overlap"},
  {"{\"a\":" T ("2", 0, 8) ",\"b\":" T ("1", 4, 8) "}", "a hole or an overlap"},
  {"{\"a\":" T ("2", 0, 8) ",\"b\":" T ("0", 4, 4) "}", "a hole or an overlap"},
  {"{\"a\":" T ("1", 0, 4) ",\"a\":" T ("1", 4, 8) "}", "tensor a: it is there twice"},
  {"{\"a\":" T ("1", 0, 4) ",\"\\u0061\":" T ("1", 4, 8) "}", "tensor a: it is there twice"},
};

static void
test_cases (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GBytes) bytes = make_file (cases[i].header, 8);
    g_autoptr (GError) error = NULL;
    g_autoptr (GradSafetensors) file = grad_safetensors_parse (bytes, "test", &error);

    if (cases[i].problem == NULL) {
      g_assert_no_error (error);
      g_assert_nonnull (file);
      continue;
    }
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_FILE);
    g_assert_null (file);
    if (!g_str_has_prefix (error->message, "test: ")
        || strstr (error->message, cases[i].problem) == NULL)
      g_error ("%.200s: got \"%s\", expected \"%s\"", cases[i].header, error->message,
          cases[i].problem);
  }
}

static void
test_header_length (void)
{
  const guint64 lengths[] =
      { 0, 1, 9, 100, 1 << 24, (guint64) 1 << 62, G_MAXUINT64, G_MAXUINT64 - 7 };

  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++) {
    g_autoptr (GError) error = NULL;
    guint8 file[16] = "--------{}      ";

    memcpy (file, &lengths[i], 8);
    g_assert_null (parse_copy (file, sizeof file, &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_FILE);
  }
}

/* as the Python library writes {"a": arange (3, int16), "weight": [[1.5, nan]]} */
static const guint8 foreign[] = "\x98\0\0\0\0\0\0\0"
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"weight\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
    "\"a\":{\"dtype\":\"I16\",\"shape\":[3],\"data_offsets\":[8,14]}}      "
    "\0\0\xc0\x3f\x01\0\xc0\x7f" "\0\0\1\0\2\0";

static void
assert_foreign (GradSafetensors * file)
{
  const GradSafetensorsEntry *entry = grad_safetensors_find (file, "weight");

  g_assert_cmpuint (grad_safetensors_get_n_entries (file), ==, 2);
  g_assert_true (entry == grad_safetensors_get_entry (file, 0));
  g_assert_cmpstr (entry->dtype, ==, "F32");
  g_assert_cmpuint (entry->rank, ==, 2);
  g_assert_cmpint (entry->dims[0], ==, 1);
  g_assert_cmpint (entry->dims[1], ==, 2);
  g_assert_cmpmem (entry->data, entry->size, "\0\0\xc0\x3f\x01\0\xc0\x7f", 8);
  entry = grad_safetensors_get_entry (file, 1);
  g_assert_cmpstr (entry->name, ==, "a");
  g_assert_cmpmem (entry->data, entry->size, "\0\0\1\0\2\0", 6);
  g_assert_null (grad_safetensors_find (file, "b"));
  g_assert_cmpstr (grad_safetensors_get_metadata (file, "format"), ==, "pt");
  g_assert_null (grad_safetensors_get_metadata (file, "forma"));
}

static void
test_foreign (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GradSafetensors) file = parse_copy (foreign, sizeof foreign - 1, &error);

  g_assert_no_error (error);
  assert_foreign (file);
}

static void
test_truncated (void)
{
  for (gsize size = 0; size < sizeof foreign - 1; size++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (parse_copy (foreign, size, &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_FILE);
  }
}

static void
test_write (void)
{
  g_autofree gchar *folder = g_dir_make_tmp (NULL, NULL);
  g_autofree gchar *location = g_build_filename (folder, "x.safetensors", NULL);
  g_autofree gchar *contents = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GradSafetensors) original = parse_copy (foreign, sizeof foreign - 1, NULL);
  g_autoptr (GradSafetensors) file = NULL;
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  GradSafetensorsEntry entries[2] = { *grad_safetensors_get_entry (original, 0),
    *grad_safetensors_get_entry (original, 1)
  };
  gsize size;

  g_hash_table_insert (metadata, "format", "pt");
  g_assert_true (grad_safetensors_write (location, entries, 2, metadata, &error));
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (location, &contents, &size, NULL));
  g_assert_cmpmem (contents, size, foreign, sizeof foreign - 1);
  file = grad_safetensors_open (location, &error);
  g_assert_no_error (error);
  assert_foreign (file);

  entries[1].name = "weight";   /* nothing wrong gets into a file, and the old one stays */
  g_assert_false (grad_safetensors_write (location, entries, 2, NULL, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
  g_clear_error (&error);
  entries[1].name = "\xff";
  g_assert_false (grad_safetensors_write (location, entries, 2, NULL, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
  g_clear_error (&error);
  entries[1].name = "b";
  entries[1].size--;
  g_assert_false (grad_safetensors_write (location, entries, 2, NULL, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
  assert_foreign (file);
  g_unlink (location);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

/* texts that need escapes, no tensors, no metadata */
static void
test_write_odd (void)
{
  const gchar *odd = "\"\\/\b\t\n\x01\x7fé😀";
  g_autofree gchar *folder = g_dir_make_tmp (NULL, NULL);
  g_autofree gchar *location = g_build_filename (folder, "x.safetensors", NULL);
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;
  g_autoptr (GradSafetensors) file = NULL;
  GradSafetensorsEntry entry = {.name = odd,.dtype = "F32",.rank = 1,.data = "" };

  g_hash_table_insert (metadata, (gpointer) odd, (gpointer) odd);
  g_assert_true (grad_safetensors_write (location, &entry, 1, metadata, &error));
  file = grad_safetensors_open (location, &error);
  g_assert_no_error (error);
  g_assert_nonnull (grad_safetensors_find (file, odd));
  g_assert_cmpstr (grad_safetensors_get_metadata (file, odd), ==, odd);
  g_clear_object (&file);

  g_assert_true (grad_safetensors_write (location, NULL, 0, NULL, &error));
  file = grad_safetensors_open (location, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (grad_safetensors_get_n_entries (file), ==, 0);
  g_assert_null (grad_safetensors_find (file, "a"));
  g_unlink (location);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

/* Many tensors whose names all have the same hash in GLib: "Ab" and "BA" are equal there. */
static void
test_many (void)
{
  enum { N = 1 << 16 };
  g_autoptr (GString) header = g_string_new ("{");
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GradSafetensors) file = NULL;

  for (guint i = 0; i < N; i++) {
    g_string_append (header, i ? ",\"" : "\"");
    for (guint bit = 0; bit < 16; bit++)
      g_string_append (header, i >> bit & 1 ? "Ab" : "BA");
    g_string_append (header, "\":" T ("0", 0, 0));
  }
  g_string_append (header, "}");
  bytes = make_file (header->str, 0);
  file = grad_safetensors_parse (bytes, "test", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (grad_safetensors_get_n_entries (file), ==, N);
  for (guint i = 0; i < N; i++) {
    const GradSafetensorsEntry *entry = grad_safetensors_get_entry (file, i);

    g_assert_true (grad_safetensors_find (file, entry->name) == entry);
  }
}

static void
test_mutations (void)
{
  static const gchar bytes[] = "\"\\{}[]:,09-e u\xff\x80";
  GradRandom random;
  guint accepted = 0;

  grad_random_init (&random, 1, "fuzz", "safetensors", 0);
  for (guint i = 0; i < 20000; i++) {
    gsize size = sizeof foreign - 1;
    guint8 copy[sizeof foreign + 8];
    g_autoptr (GradSafetensors) file = NULL;

    memcpy (copy, foreign, size);
    for (guint n = 1 + grad_random_below (&random, 3); n > 0; n--) {
      guint at = grad_random_below (&random, size), other = grad_random_below (&random, size);

      switch (grad_random_below (&random, 4)) {
        case 0:
          copy[at] ^= 1 << grad_random_below (&random, 8);
          break;
        case 1:
          copy[at] = bytes[grad_random_below (&random, sizeof bytes)];
          break;
        case 2:
          memmove (copy + at, copy + other, size - MAX (at, other));
          break;
        default:
          size = 1 + grad_random_below (&random, size);
      }
    }
    file = parse_copy (copy, size, NULL);
    for (guint k = 0; file && k < grad_safetensors_get_n_entries (file); k++) {
      const GradSafetensorsEntry *entry = grad_safetensors_get_entry (file, k);
      guint sum = 0;

      for (gsize b = 0; b < entry->size; b++)   /* for the tools that watch memory */
        sum += ((const guint8 *) entry->data)[b];
      g_assert_cmpuint (sum, <=, 255 * entry->size);
    }
    accepted += file != NULL;
  }
  g_test_message ("accepted %u of 20000", accepted);
  g_assert_cmpuint (accepted, >, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/safetensors/cases", test_cases);
  g_test_add_func ("/safetensors/header-length", test_header_length);
  g_test_add_func ("/safetensors/foreign", test_foreign);
  g_test_add_func ("/safetensors/truncated", test_truncated);
  g_test_add_func ("/safetensors/write", test_write);
  g_test_add_func ("/safetensors/write-odd", test_write_odd);
  g_test_add_func ("/safetensors/many", test_many);
  g_test_add_func ("/safetensors/mutations", test_mutations);
  return g_test_run ();
}
