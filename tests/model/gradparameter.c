/* GradStreamer tests: parameters of a network
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testutil.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

typedef struct
{
  gchar *folder, *location;
  GradDevice *device;
  GradParameterStore *store;
} Fixture;

static void
setup (Fixture * f, gconstpointer device)
{
  f->folder = g_dir_make_tmp (NULL, NULL);
  f->location = g_build_filename (f->folder, "x.safetensors", NULL);
  f->device = test_device (device);
  f->store = grad_parameter_store_new ();
}

static void
teardown (Fixture * f, gconstpointer device)
{
  g_object_unref (f->store);
  g_object_unref (f->device);
  g_unlink (f->location);
  g_assert_cmpint (g_rmdir (f->folder), ==, 0);
  g_free (f->folder);
  g_free (f->location);
}

static GradParameter *
add (Fixture * f, const gchar * name, GradShape shape, GradInit init, gsize fan_in)
{
  g_autoptr (GError) error = NULL;
  GradParameter *parameter = grad_parameter_store_add (f->store, f->device, name,
      init == GRAD_INIT_UNIFORM_FAN_IN ? GRAD_PARAMETER_TRAINABLE : GRAD_PARAMETER_STATISTIC,
      &shape, init, fan_in, &error);

  g_assert_no_error (error);
  return parameter;
}

static GradParameter *
add_counter (Fixture * f, const gchar * name)
{
  g_autoptr (GError) error = NULL;
  GradParameter *parameter = grad_parameter_store_add (f->store, f->device, name,
      GRAD_PARAMETER_COUNTER, NULL, GRAD_INIT_ZEROS, 0, &error);

  g_assert_no_error (error);
  return parameter;
}

static void
add_network (Fixture * f)
{
  add (f, "conv1.weight", GRAD_SHAPE (4, 1, 3, 3), GRAD_INIT_UNIFORM_FAN_IN, 9);
  add (f, "conv1.bias", GRAD_SHAPE (4), GRAD_INIT_UNIFORM_FAN_IN, 9);
  add (f, "bn1.running_mean", GRAD_SHAPE (4), GRAD_INIT_ZEROS, 0);
  add (f, "bn1.running_var", GRAD_SHAPE (4), GRAD_INIT_ONES, 0);
  add_counter (f, "bn1.num_batches_tracked");
}

static void
reset (Fixture * f)
{
  g_object_unref (f->store);
  f->store = grad_parameter_store_new ();
}

static void
assert_refused (gboolean ok, GError ** error, GradError code, const gchar * problem)
{
  g_assert_false (ok);
  g_assert_error (*error, GRAD_ERROR, (gint) code);
  if (!g_pattern_match_simple (problem, (*error)->message))
    g_error ("got \"%s\", expected \"%s\"", (*error)->message, problem);
  g_clear_error (error);
}

static void
test_init (Fixture * f, gconstpointer device)
{
  GradParameter *a, *b;
  g_autofree gfloat *first = NULL, *second = NULL, *ones = NULL, *zeros = NULL, *other = NULL;
  gdouble largest = 0, sum = 0;

  grad_parameter_store_set_seed (f->store, 7);
  a = add (f, "a", GRAD_SHAPE (64, 25), GRAD_INIT_UNIFORM_FAN_IN, 25);
  b = add (f, "b", GRAD_SHAPE (64, 25), GRAD_INIT_UNIFORM_FAN_IN, 25);
  first = test_download (a->value);
  other = test_download (b->value);
  g_assert_cmpint (memcmp (first, other, 1600 * sizeof (gfloat)), !=, 0);
  for (guint i = 0; i < 1600; i++) {
    largest = MAX (largest, fabsf (first[i]));
    sum += first[i];
  }
  g_assert_cmpfloat (largest, <=, 0.2f);
  g_assert_cmpfloat (largest, >, 0.199);
  g_assert_cmpfloat_with_epsilon (sum / 1600, 0, 5 * 0.2 / sqrt (3 * 1600));
  ones = test_download (add (f, "ones", GRAD_SHAPE (2), GRAD_INIT_ONES, 0)->value);
  g_assert_true (ones[0] == 1 && ones[1] == 1);
  zeros = test_download (add (f, "zeros", GRAD_SHAPE (2), GRAD_INIT_ZEROS, 0)->value);
  g_assert_true (zeros[0] == 0 && zeros[1] == 0);
  g_assert_cmpuint (grad_parameter_store_count_values (f->store), ==, 3200);

  reset (f);                    /* another order, the same values */
  grad_parameter_store_set_seed (f->store, 7);
  add (f, "b", GRAD_SHAPE (64, 25), GRAD_INIT_UNIFORM_FAN_IN, 25);
  a = add (f, "a", GRAD_SHAPE (64, 25), GRAD_INIT_UNIFORM_FAN_IN, 25);
  second = test_download (a->value);
  g_assert_cmpmem (first, 1600 * sizeof (gfloat), second, 1600 * sizeof (gfloat));
}

static void
test_list (Fixture * f, gconstpointer device)
{
  GradShape shape = GRAD_SHAPE (4), other = GRAD_SHAPE (2, 2);
  g_autoptr (GError) error = NULL;
  GradParameter *bias;

  add_network (f);
  bias = grad_parameter_store_find (f->store, "conv1.bias");
  g_assert_cmpuint (grad_parameter_store_get_n_parameters (f->store), ==, 5);
  g_assert_true (grad_parameter_store_get_parameter (f->store, 1) == bias);
  g_assert_cmpstr (bias->name, ==, "conv1.bias");
  g_assert_null (grad_parameter_store_find (f->store, "conv2.bias"));
  g_assert_true (add (f, "conv1.bias", shape, GRAD_INIT_UNIFORM_FAN_IN, 9) == bias);
  add_network (f);
  g_assert_cmpuint (grad_parameter_store_get_n_parameters (f->store), ==, 5);

  assert_refused (grad_parameter_store_add (f->store, f->device, "conv1.bias",
          GRAD_PARAMETER_TRAINABLE, &other, GRAD_INIT_ZEROS, 0, &error) != NULL, &error,
      GRAD_ERROR_SHAPE, "*conv1.bias is trainable 4 already, it cannot be trainable 2x2, too*");
  assert_refused (grad_parameter_store_add (f->store, f->device, "conv1.bias",
          GRAD_PARAMETER_STATISTIC, &shape, GRAD_INIT_ZEROS, 0, &error) != NULL, &error,
      GRAD_ERROR_SHAPE, "*is trainable 4 already, it cannot be statistic 4, too*");
  assert_refused (grad_parameter_store_add (f->store, f->device, "conv1.bias",
          GRAD_PARAMETER_COUNTER, NULL, GRAD_INIT_ZEROS, 0, &error) != NULL, &error,
      GRAD_ERROR_SHAPE, "*it cannot be counter, too*");
  assert_refused (grad_parameter_store_add (f->store, f->device, "bn1.num_batches_tracked",
          GRAD_PARAMETER_TRAINABLE, &shape, GRAD_INIT_ZEROS, 0, &error) != NULL, &error,
      GRAD_ERROR_SHAPE, "*is counter already, it cannot be trainable 4, too*");
}

static gpointer
add_many (gpointer data)
{
  Fixture *f = data;

  for (guint i = 0; i < 200; i++) {
    g_autofree gchar *name = g_strdup_printf ("p%u", i);
    GradParameter *parameter = add (f, name, GRAD_SHAPE (3), GRAD_INIT_ZEROS, 0);

    g_assert_true (grad_parameter_store_find (f->store, name) == parameter);
    g_assert_cmpuint (grad_parameter_store_get_n_parameters (f->store), <=, 200);
  }
  return NULL;
}

static void
test_threads (Fixture * f, gconstpointer device)
{
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new (NULL, add_many, f);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (grad_parameter_store_get_n_parameters (f->store), ==, 200);
}

/* odd values included: they come back bit for bit */
static const guint32 odd[4] = { 0x80000000, 0x7f7fffff, 0x00000001, 0xff800000 };

static void
test_round_trip (Fixture * f, gconstpointer device)
{
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;
  g_autoptr (GradSafetensors) file = NULL;
  g_autofree gfloat *before = NULL, *after = NULL, *bias = NULL, *loaded = NULL;
  GradParameter *weight;

  add_network (f);
  weight = grad_parameter_store_get_parameter (f->store, 0);
  before = test_download (weight->value);
  g_assert_true (grad_tensor_upload (grad_parameter_store_get_parameter (f->store, 1)->value, odd,
          sizeof odd, NULL));
  grad_parameter_store_find (f->store, "bn1.num_batches_tracked")->count = G_GINT64_CONSTANT (1000000000000000);
  g_hash_table_insert (metadata, "by", "test");
  g_assert_true (grad_parameter_store_save (f->store, f->location, metadata, &error));
  g_assert_no_error (error);

  file = grad_safetensors_open (f->location, &error);
  g_assert_cmpuint (grad_safetensors_get_n_entries (file), ==, 5);
  for (guint i = 0; i < 5; i++)
    g_assert_cmpstr (grad_safetensors_get_entry (file, i)->name, ==,
        grad_parameter_store_get_parameter (f->store, i)->name);
  g_assert_cmpstr (grad_safetensors_get_entry (file, 4)->dtype, ==, "I64");
  g_assert_cmpuint (grad_safetensors_get_entry (file, 4)->rank, ==, 0);
  g_assert_cmpstr (grad_safetensors_get_metadata (file, "by"), ==, "test");
  g_assert_cmpstr (grad_safetensors_get_metadata (file, "format"), ==, "gradstreamer");
  g_assert_cmpstr (grad_safetensors_get_metadata (file, "format_version"), ==, "1");

  reset (f);                    /* as a source */
  g_assert_null (grad_parameter_store_get_source (f->store));
  g_assert_true (grad_parameter_store_set_source (f->store, f->location, &error));
  g_assert_cmpstr (grad_parameter_store_get_source (f->store), ==, f->location);
  add_network (f);
  bias = test_download (grad_parameter_store_find (f->store, "conv1.bias")->value);
  g_assert_cmpmem (bias, sizeof odd, odd, sizeof odd);
  g_assert_cmpint (grad_parameter_store_find (f->store, "bn1.num_batches_tracked")->count, ==,
      G_GINT64_CONSTANT (1000000000000000));

  reset (f);                    /* loaded over another initialisation */
  grad_parameter_store_set_seed (f->store, 99);
  add_network (f);
  weight = grad_parameter_store_get_parameter (f->store, 0);
  after = test_download (weight->value);
  g_assert_cmpint (memcmp (before, after, 36 * sizeof (gfloat)), !=, 0);
  g_assert_true (grad_parameter_store_load (f->store, f->location, &error));
  g_assert_no_error (error);
  loaded = test_download (weight->value);
  g_assert_cmpmem (before, 36 * sizeof (gfloat), loaded, 36 * sizeof (gfloat));
  g_assert_cmpint (grad_parameter_store_get_parameter (f->store, 4)->count, ==, G_GINT64_CONSTANT (1000000000000000));
}

/* A unit that did not get all of its parameters has none, and asks for them again. */
static void
test_unit_refused (Fixture * f, gconstpointer device)
{
  g_autoptr (GradUnit) unit = grad_conv_unit_new ("conv1", "bn1", 4, 3, 1, 1, FALSE, FALSE,
      TRUE);
  gfloat weight[4 * 9] = { 0 };
  const GradSafetensorsEntry entry = { "conv1.weight", "F32", 4, {4, 1, 3, 3}, weight, sizeof weight };
  g_autoptr (GError) error = NULL;

  g_assert_true (grad_safetensors_write (f->location, &entry, 1, NULL, NULL));
  g_assert_true (grad_parameter_store_set_source (f->store, f->location, NULL));
  for (gint n = 1; n <= 2; n++) {
    GradShape in = GRAD_SHAPE (n, 1, 8, 8), out;

    assert_refused (grad_unit_prepare (unit, f->device, f->store, &in, 1, &out, &error), &error,
        GRAD_ERROR_FILE, "*has no tensor*");
  }
}

static void
test_source_refused (Fixture * f, gconstpointer device)
{
  g_autofree gchar *same = g_build_filename (f->folder, ".", "x.safetensors", NULL);
  GradShape wrong = GRAD_SHAPE (2, 2), huge = GRAD_SHAPE (G_MAXINT, G_MAXINT, 63, 63);
  g_autoptr (GError) error = NULL;

  assert_refused (grad_parameter_store_set_source (f->store, f->location, &error), &error,
      GRAD_ERROR_IO, "cannot read *x.safetensors: No such file or directory");
  add_network (f);
  g_assert_true (grad_parameter_store_save (f->store, f->location, NULL, NULL));
  reset (f);
  g_assert_true (grad_parameter_store_set_source (f->store, f->location, &error));
  g_assert_true (grad_parameter_store_set_source (f->store, same, &error));
  assert_refused (grad_parameter_store_set_source (f->store, "/y", &error), &error,
      GRAD_ERROR_SETTINGS, "*x.safetensors already*/y*");
  assert_refused (grad_parameter_store_add (f->store, f->device, "fc.bias",
          GRAD_PARAMETER_TRAINABLE, &wrong, GRAD_INIT_ZEROS, 0, &error) != NULL, &error,
      GRAD_ERROR_FILE, "*x.safetensors has no tensor fc.bias:*");
  assert_refused (grad_parameter_store_add (f->store, f->device, "optimizer.fc.bias",
          GRAD_PARAMETER_TRAINABLE, &wrong, GRAD_INIT_ZEROS, 0, &error) != NULL, &error,
      GRAD_ERROR_SETTINGS, "*another param-prefix");
  assert_refused (grad_parameter_store_add (f->store, f->device, "conv1.bias",
          GRAD_PARAMETER_TRAINABLE, &wrong, GRAD_INIT_ZEROS, 0, &error) != NULL, &error,
      GRAD_ERROR_FILE, "*tensor conv1.bias is F32 4, expected F32, F64, F16 or BF16 2x2*");
  assert_refused (grad_parameter_store_add (f->store, f->device, "conv1.bias",
          GRAD_PARAMETER_TRAINABLE, &huge, GRAD_INIT_ZEROS, 0, &error) != NULL, &error,
      GRAD_ERROR_FILE, "*conv1.bias is F32 4, expected*2147483647x2147483647x63x63*");
  assert_refused (grad_parameter_store_add (f->store, f->device, "conv1.bias",
          GRAD_PARAMETER_COUNTER, NULL, GRAD_INIT_ZEROS, 0, &error) != NULL, &error,
      GRAD_ERROR_FILE, "*is F32 4, expected I64 without dimensions*");
  assert_refused (grad_parameter_store_add (f->store, f->device, "bn1.num_batches_tracked",
          GRAD_PARAMETER_STATISTIC, &wrong, GRAD_INIT_ZEROS, 0, &error) != NULL, &error,
      GRAD_ERROR_FILE, "*is I64, expected F32, F64, F16 or BF16 2x2*");
  g_assert_cmpint (add_counter (f, "bn2.num_batches_tracked")->count, ==, 0);
  g_assert_cmpuint (grad_parameter_store_get_n_parameters (f->store), ==, 1);
}

static void
test_load_refused (Fixture * f, gconstpointer device)
{
  g_autofree gfloat *before = NULL, *after = NULL;
  g_autoptr (GError) error = NULL;
  GradParameter *a, *counter;

  add (f, "a", GRAD_SHAPE (2), GRAD_INIT_ONES, 0);
  g_assert_true (grad_parameter_store_save (f->store, f->location, NULL, NULL));
  reset (f);
  counter = add_counter (f, "n");
  counter->count = 5;
  a = add (f, "a", GRAD_SHAPE (2), GRAD_INIT_ZEROS, 0);
  add (f, "b", GRAD_SHAPE (2), GRAD_INIT_ZEROS, 0);
  before = test_download (a->value);
  assert_refused (grad_parameter_store_load (f->store, f->location, &error), &error,
      GRAD_ERROR_FILE, "*x.safetensors has no tensor b:*");
  for (guint i = 0; i < 4; i++) {
    /* what is not a number, last, in each type */
    static const guint8 values[][16] = {
      {0, 0, 0x80, 0xff, 1, 0, 0x80, 0xff}, {[14] = 0xf8,[15] = 0x7f}, {0, 0x7c, 1, 0x7c}, {0x80, 0xff, 0xc0, 0x7f}
    };
    static const gchar *const types[] = { "F32", "F64", "F16", "BF16" };
    static const gsize sizes[] = { 8, 16, 4, 4 };
    const GradSafetensorsEntry entries[] = {
      {"a", types[i], 1, {2}, values[i], sizes[i]}, {"b", types[i], 1, {2}, values[i], sizes[i]}
    };

    g_assert_true (grad_safetensors_write (f->location, entries, 2, NULL, NULL));
    assert_refused (grad_parameter_store_load (f->store, f->location, &error), &error,
        GRAD_ERROR_FILE, "*x.safetensors: tensor a has values that are not a number*");
  }
  after = test_download (a->value);
  g_assert_cmpmem (before, 2 * sizeof (gfloat), after, 2 * sizeof (gfloat));
  g_assert_cmpint (counter->count, ==, 5);
  assert_refused (grad_parameter_store_load (f->store, f->folder, &error), &error,
      GRAD_ERROR_IO, "*Is a directory");
  assert_refused (grad_parameter_store_save (f->store, f->folder, NULL, &error), &error,
      GRAD_ERROR_IO, "*choose another location");
}

/* the same nine numbers in every type that can be read; F64 lies unaligned */
static void
test_types (Fixture * f, gconstpointer device)
{
  static const guint16 half[9] =
      { 0x3c00, 0xc000, 0x0000, 0x8000, 0x0001, 0x03ff, 0x7bff, 0x7c00, 0xfc00 };
  static const gfloat half_values[9] =
      { 1, -2, 0, -0.0f, 0x1p-24f, 0x3ffp-24f, 65504, INFINITY, -INFINITY };
  static const guint16 brain[9] =
      { 0x3f80, 0xc000, 0x0000, 0x8000, 0x0001, 0x007f, 0x7f7f, 0x7f80, 0xff80 };
  static const gfloat brain_values[9] =
      { 1, -2, 0, -0.0f, 0x1p-133f, 0x7fp-133f, 0x1.fep127f, INFINITY, -INFINITY };
  gdouble doubles[9];
  const GradSafetensorsEntry entries[] = {
    {"half", "F16", 1, {9}, half, sizeof half},
    {"brain", "BF16", 1, {9}, brain, sizeof brain},
    {"odd", "U8", 1, {1}, "", 1},
    {"double", "F64", 1, {9}, doubles, sizeof doubles},
  };
  static const gfloat *const expected[] = { half_values, brain_values, NULL, half_values };
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 9; i++)
    doubles[i] = half_values[i];
  g_assert_true (grad_safetensors_write (f->location, entries, G_N_ELEMENTS (entries), NULL,
          &error));
  g_assert_true (grad_parameter_store_set_source (f->store, f->location, &error));
  for (guint i = 0; i < G_N_ELEMENTS (entries); i++) {
    g_autofree gfloat *got = NULL;

    if (expected[i] == NULL)
      continue;
    got = test_download (add (f, entries[i].name, GRAD_SHAPE (9), GRAD_INIT_ZEROS, 0)->value);
    g_assert_cmpmem (got, sizeof half_values, expected[i], sizeof half_values);
  }
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const gchar *name;
    void (*func) (Fixture *, gconstpointer);
  } tests[] = {
    {"init", test_init}, {"list", test_list}, {"threads", test_threads},
    {"round-trip", test_round_trip}, {"unit-refused", test_unit_refused}, {"source-refused", test_source_refused},
    {"load-refused", test_load_refused}, {"types", test_types},
  };

  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  for (const gchar * const *device = test_devices (); *device; device++)
    for (guint i = 0; i < G_N_ELEMENTS (tests); i++) {
      g_autofree gchar *path = g_strdup_printf ("/parameter/%s/%s", *device, tests[i].name);

      g_test_add (path, Fixture, *device, setup, tests[i].func, teardown);
    }
  return g_test_run ();
}
