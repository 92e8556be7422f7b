/* GradStreamer tests: small data sets, small networks, and what running them gives
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "pipelineutil.h"

#include <gmodule.h>
#include <string.h>

static gchar *folder;

static void
write_set (const gchar * images, const gchar * labels, guint n, guint32 seed)
{
  const guint32 dims[] = { n, 12, 12 };
  g_autofree guint8 *pixels = g_new (guint8, n * 144), *classes = g_new (guint8, n);
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);

  for (guint i = 0; i < n; i++) {
    classes[i] = g_rand_int_range (random, 0, TEST_CLASSES);
    for (guint p = 0; p < 144; p++)
      pixels[i * 144 + p] = (p / 12 / 2 == classes[i] ? 150 : 0) + g_rand_int_range (random, 0, 100);
  }
  test_write_idx (images, 3, dims, pixels);
  test_write_idx (labels, 1, dims, classes);
}

void
test_init (int *argc, char ***argv)
{
  g_autoptr (GError) error = NULL;

  g_test_init (argc, argv, NULL);
  gst_init (argc, argv);
  folder = g_dir_make_tmp ("grad-test-XXXXXX", &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_chdir (folder), ==, 0);
  write_set ("train-images", "train-labels", TEST_TRAIN_SAMPLES, 1);
  write_set ("test-images", "test-labels", TEST_TEST_SAMPLES, 2);
}

int
test_run_all (void)
{
  static const gchar *const sets[] =
      { "train-images", "train-labels", "test-images", "test-labels" };
  int status = g_test_run ();

  for (guint i = 0; i < G_N_ELEMENTS (sets); i++)
    g_unlink (sets[i]);
  g_assert_cmpint (g_chdir ("/"), ==, 0);
  if (g_rmdir (folder) < 0 && status == 0)
    g_error ("%s: something was left there", folder);
  g_free (folder);
  return status;
}

/* ---- files */

void
test_write (const gchar * name, gconstpointer data, gsize size)
{
  g_assert_true (g_file_set_contents (name, data, size, NULL));
}

void
test_write_idx (const gchar * name, guint rank, const guint32 * dims, const guint8 * values)
{
  g_autoptr (GByteArray) file = g_byte_array_new ();
  const guint8 magic[] = { 0, 0, 8, rank };
  gsize n = 1;

  g_byte_array_append (file, magic, 4);
  for (guint i = 0; i < rank; i++) {
    guint32 dim = GUINT32_TO_BE (dims[i]);

    g_byte_array_append (file, (const guint8 *) &dim, 4);
    n *= dims[i];
  }
  g_byte_array_append (file, values, n);
  test_write (name, file->data, file->len);
}

void
test_assert_files (const gchar * name, ...)
{
  g_autoptr (GDir) dir = g_dir_open (".", 0, NULL);
  g_autoptr (GHashTable) expected = g_hash_table_new (g_str_hash, g_str_equal);
  const gchar *found;
  va_list args;

  va_start (args, name);
  for (; name != NULL; name = va_arg (args, const gchar *)) {
    g_hash_table_add (expected, (gpointer) name);
    if (!g_file_test (name, G_FILE_TEST_IS_REGULAR))
      g_error ("%s is missing", name);
  }
  va_end (args);
  while ((found = g_dir_read_name (dir)) != NULL) {
    if (g_hash_table_contains (expected, found))
      g_unlink (found);
    else if (!g_str_has_prefix (found, "train-") && !g_str_has_prefix (found, "test-"))
      g_error ("%s was left behind", found);
  }
}

gchar *
test_read_log (void)
{
  g_autoptr (GRegex) times = g_regex_new (",\"(images_per_second|seconds)\":[^,}]*", 0, 0, NULL);
  g_autofree gchar *text = NULL;

  g_assert_true (g_file_get_contents ("log.jsonl", &text, NULL, NULL));
  return g_regex_replace_literal (times, text, -1, 0, "", 0, NULL);
}

static gboolean
same_file (const gchar * a, const gchar * b)
{
  g_autofree gchar *x = NULL, *y = NULL;
  gsize m, n;

  g_assert_true (g_file_get_contents (a, &x, &m, NULL));
  g_assert_true (g_file_get_contents (b, &y, &n, NULL));
  return m == n && memcmp (x, y, n) == 0;
}

void
test_assert_same_file (const gchar * a, const gchar * b)
{
  if (!same_file (a, b))
    g_error ("%s and %s differ", a, b);
}

void
test_assert_other_file (const gchar * a, const gchar * b)
{
  if (same_file (a, b))
    g_error ("%s and %s are the same", a, b);
}

/* ---- running */

GstElement *
test_launch (const gchar * format, ...)
{
  g_autofree gchar *launch = NULL;
  g_autoptr (GError) error = NULL;
  GstElement *pipeline;
  va_list args;

  va_start (args, format);
  launch = g_strdup_vprintf (format, args);
  va_end (args);
  pipeline = gst_parse_launch_full (launch, NULL, GST_PARSE_FLAG_FATAL_ERRORS, &error);
  g_assert_no_error (error);
  if (!GST_IS_PIPELINE (pipeline)) {    /* a lone element */
    GstElement *element = pipeline;

    pipeline = gst_pipeline_new (NULL);
    gst_bin_add (GST_BIN (pipeline), element);
  }
  gst_object_ref_sink (pipeline);
  return pipeline;
}

TestResult *
test_result_new (void)
{
  TestResult *result = g_new0 (TestResult, 1);

  result->errors = g_ptr_array_new_with_free_func (g_free);
  result->warnings = g_ptr_array_new_with_free_func (g_free);
  result->progress = g_string_new (NULL);
  result->steps = g_ptr_array_new_with_free_func ((GDestroyNotify) gst_structure_free);
  result->epochs = g_ptr_array_new_with_free_func ((GDestroyNotify) gst_structure_free);
  result->saved = g_ptr_array_new_with_free_func ((GDestroyNotify) gst_structure_free);
  return result;
}

void
test_result_free (TestResult * result)
{
  g_ptr_array_unref (result->errors);
  g_ptr_array_unref (result->warnings);
  g_string_free (result->progress, TRUE);
  g_ptr_array_unref (result->steps);
  g_ptr_array_unref (result->epochs);
  g_ptr_array_unref (result->saved);
  g_free (result);
}

static void
note (TestResult * result, GstMessage * message)
{
  const GstStructure *s = gst_message_get_structure (message);
  g_autoptr (GError) error = NULL;
  g_autofree gchar *debug = NULL;
  GstProgressType type;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_ERROR:
      gst_message_parse_error (message, &error, &debug);
      g_test_message ("%s: %s", error->message, debug);
      g_ptr_array_add (result->errors, g_strdup_printf ("%s: %s", GST_MESSAGE_SRC_NAME (message),
              error->message));
      break;
    case GST_MESSAGE_WARNING:
      gst_message_parse_warning (message, &error, NULL);
      g_ptr_array_add (result->warnings, g_strdup_printf ("%s: %s",
              GST_MESSAGE_SRC_NAME (message), error->message));
      break;
    case GST_MESSAGE_PROGRESS:
      gst_message_parse_progress (message, &type, NULL, NULL);
      g_string_append_c (result->progress, "SCOAE"[type]);
      break;
    case GST_MESSAGE_EOS:
      result->eos = TRUE;
      break;
    case GST_MESSAGE_ELEMENT:
      if (gst_structure_has_name (s, "grad-step"))
        g_ptr_array_add (result->steps, gst_structure_copy (s));
      else if (gst_structure_has_name (s, "grad-epoch"))
        g_ptr_array_add (result->epochs, gst_structure_copy (s));
      else if (gst_structure_has_name (s, "grad-saved"))
        g_ptr_array_add (result->saved, gst_structure_copy (s));
      break;
    default:
      break;
  }
}

void
test_collect (TestResult * result, GstElement * pipeline, GstMessageType until,
    GstClockTime timeout)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  const gchar *slow = g_getenv ("TEST_SLOWDOWN");
  gint64 end;
  gboolean done = FALSE;

  if (until != 0 && timeout >= GST_SECOND)      /* for what comes sooner or later, as long as a watchdog waits */
    timeout = MAX (timeout, 60 * GST_SECOND) * (slow ? atoi (slow) : 1);
  end = g_get_monotonic_time () + timeout / 1000;
  while (!done) {
    gint64 left = MAX (0, end - g_get_monotonic_time ());
    g_autoptr (GstMessage) message = gst_bus_timed_pop (bus, left * 1000);

    if (message == NULL)
      return;
    note (result, message);
    done = GST_MESSAGE_TYPE (message) & until;
  }
}

TestResult *
test_play (GstElement * pipeline)
{
  TestResult *result = test_result_new ();

  test_watchdog (60);
  if (gst_element_set_state (pipeline, GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE) {
    test_collect (result, pipeline, GST_MESSAGE_EOS | GST_MESSAGE_ERROR, 120 * GST_SECOND);
    if (!result->eos && result->errors->len == 0)
      g_error ("neither end nor error");
    gst_element_set_state (pipeline, GST_STATE_READY);  /* the bus loses what is posted later */
  }
  test_collect (result, pipeline, 0, 0);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  return result;
}

TestResult *
test_train (const gchar * format, ...)
{
  g_autoptr (GstElement) pipeline = NULL;
  g_autofree gchar *launch = NULL;
  TestResult *result;
  va_list args;

  va_start (args, format);
  launch = g_strdup_vprintf (format, args);
  va_end (args);
  pipeline = test_launch ("%s", launch);
  result = test_play (pipeline);
  if (result->errors->len > 0)
    g_error ("%s", (gchar *) result->errors->pdata[0]);
  g_assert_true (result->eos);
  return result;
}

void
test_assert_error (const gchar * launch, const gchar * element, const gchar * text, ...)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", launch);
  g_autoptr (TestResult) result = test_play (pipeline);
  g_autofree gchar *prefix = g_strconcat (element, ": ", NULL);
  const gchar *first;
  va_list args;

  if (result->errors->len == 0)
    g_error ("%s: no error", launch);
  first = result->errors->pdata[0];
  g_test_message ("%s", first);
  if (!g_str_has_prefix (first, prefix))
    g_error ("the first error comes from elsewhere: %s", first);
  va_start (args, text);
  for (; text != NULL; text = va_arg (args, const gchar *))
    if (strstr (first, text) == NULL)
      g_error ("\"%s\" does not say \"%s\"", first, text);
  va_end (args);
  for (guint i = 1; i < result->errors->len; i++)
    if (g_str_has_prefix (result->errors->pdata[i], prefix)
        && strstr (result->errors->pdata[i], "Internal data stream error") == NULL)
      g_error ("a second error: %s", (gchar *) result->errors->pdata[i]);
}

GstElement *
test_get (GstElement * pipeline, const gchar * name)
{
  GstElement *element = gst_bin_get_by_name (GST_BIN (pipeline), name);

  g_assert_nonnull (element);
  return element;
}

glong
test_count_repeated (void)
{
  g_autofree gchar *path = g_strconcat (g_getenv ("GRAD_BACKEND_PATH") ? g_getenv ("GRAD_BACKEND_PATH") : "",
      "/libgradcuda." G_MODULE_SUFFIX, NULL);
  GModule *module = g_module_open (path, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  gulong (*count) (gint) = NULL;
  glong n = -1;

  if (module == NULL)
    return -1;
  if (g_module_symbol (module, "emulated_count", (gpointer *) & count))
    n = count (3);              /* EMULATED_GRAPH */
  g_module_close (module);
  return n;
}
