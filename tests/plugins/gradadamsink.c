/* GradStreamer tests: gradadamsink: what it tells about a training
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <math.h>
#include <string.h>

/* Lines of flat JSON objects, all of them well-formed */
static GPtrArray *
read_log (const gchar * name)
{
  const gchar *pair = "\"[a-z_]+\":(\"[a-z-]+\"|-?[0-9]+(\\.[0-9]+)?(e[+-]?[0-9]+)?|null)";
  g_autofree gchar *object = g_strdup_printf ("^\\{%s(,%s)*\\}$", pair, pair), *text = NULL;
  GPtrArray *lines = g_ptr_array_new_with_free_func (g_free);

  g_assert_true (g_file_get_contents (name, &text, NULL, NULL));
  g_assert_true (g_str_has_suffix (text, "\n"));
  for (gchar * line = text, *end; (end = strchr (line, '\n')) != NULL; line = end + 1) {
    *end = '\0';
    if (!g_regex_match_simple (object, line, 0, 0))
      g_error ("no JSON: %s", line);
    g_ptr_array_add (lines, g_strdup (line));
  }
  return lines;
}

static const gchar *
member (const gchar * line, const gchar * name)
{
  g_autofree gchar *key = g_strdup_printf ("\"%s\":", name);
  const gchar *found = strstr (line, key);

  g_assert_nonnull (found);
  return found + strlen (key);
}

static gdouble
number (const gchar * line, const gchar * name)
{
  return g_ascii_strtod (member (line, name), NULL);
}

static void
assert_phase (const gchar * line, const gchar * phase)
{
  g_autofree gchar *value = g_strdup_printf ("\"%s\"", phase);

  g_assert_true (g_str_has_prefix (member (line, "phase"), value));
}

/* One line per step and per pass; a pass is the mean over its samples, not over its batches. */
static void
test_log (void)
{
  g_autoptr (TestResult) result = test_train ("idxsrc epochs=2 " TEST_DATA TEST_EVALUATION
      TEST_NETWORK ("") "gradadamsink name=sink log-location=log.jsonl learning-rate=0.01");
  g_autoptr (GPtrArray) lines = read_log ("log.jsonl");
  guint step = 0;

  g_assert_cmpuint (lines->len, ==, 2 * (TEST_STEPS + 2));
  for (guint e = 1; e <= 2; e++) {
    gdouble loss = 0, accuracy = 0;
    const gchar *line, **next = (const gchar **) &lines->pdata[(e - 1) * (TEST_STEPS + 2)];

    for (guint i = 0; i < TEST_STEPS; i++) {
      guint n = i + 1 < TEST_STEPS ? TEST_BATCH : TEST_TRAIN_SAMPLES % TEST_BATCH;

      line = *next++;
      assert_phase (line, "train");
      g_assert_cmpfloat (number (line, "epoch"), ==, e);
      g_assert_cmpfloat (number (line, "step"), ==, ++step);
      g_assert_cmpfloat (number (line, "samples"), ==, n);
      g_assert_cmpfloat (number (line, "learning_rate"), ==, 0.01);
      g_assert_cmpfloat (number (line, "images_per_second"), >, 0);
      loss += n * number (line, "loss");
      accuracy += n * number (line, "accuracy");
    }
    line = *next++;
    assert_phase (line, "train-epoch");
    g_assert_cmpfloat (number (line, "epoch"), ==, e);
    g_assert_cmpfloat (number (line, "samples"), ==, TEST_TRAIN_SAMPLES);
    g_assert_cmpfloat_with_epsilon (number (line, "loss"), loss / TEST_TRAIN_SAMPLES, 1e-6);
    g_assert_cmpfloat_with_epsilon (number (line, "accuracy"), accuracy / TEST_TRAIN_SAMPLES,
        1e-6);
    g_assert_cmpfloat (number (line, "seconds"), >, 0);
    line = *next++;
    assert_phase (line, "evaluate");
    g_assert_cmpfloat (number (line, "samples"), ==, TEST_TEST_SAMPLES);
  }
  test_assert_files ("log.jsonl", NULL);
}

static void
test_messages (void)
{
  g_autoptr (TestResult) result = test_train ("idxsrc epochs=3 " TEST_DATA TEST_EVALUATION
      TEST_NETWORK ("") "gradadamsink location=model.safetensors");
  const GstStructure *s;
  guint64 step;
  const gchar *location;

  g_assert_true (g_str_has_prefix (result->progress->str, "S"));
  g_assert_true (g_str_has_suffix (result->progress->str, "O"));
  g_assert_null (strpbrk (result->progress->str, "AE"));
  g_assert_cmpuint (result->steps->len, >, 0);  /* limited by time */
  for (guint i = 0; i < result->steps->len; i++)
    g_assert_true (gst_structure_has_field_typed (result->steps->pdata[i], "loss",
            G_TYPE_DOUBLE));
  g_assert_cmpuint (result->epochs->len, ==, 6);
  for (guint i = 0; i < 6; i++) {
    guint epoch;

    s = result->epochs->pdata[i];
    g_assert_cmpstr (gst_structure_get_string (s, "phase"), ==,
        i % 2 ? "evaluate" : "train-epoch");
    g_assert_true (gst_structure_get_uint (s, "epoch", &epoch));
    g_assert_cmpuint (epoch, ==, i / 2 + 1);
  }
  g_assert_cmpuint (result->saved->len, ==, 3);
  g_assert_true (gst_structure_get (result->saved->pdata[2], "location", G_TYPE_STRING, &location,
          "step", G_TYPE_UINT64, &step, NULL));
  g_assert_cmpstr (location, ==, "model.safetensors");
  g_assert_cmpuint (step, ==, 3 * TEST_STEPS);
  g_free ((gchar *) location);
  test_assert_files ("model.safetensors", NULL);
}

/* The properties have what the last line of the log has, and messages the gradient's norm. */
static void
test_latest (void)
{
  static const gchar *const names[][2] = {
    {"loss", "loss"}, {"accuracy", "accuracy"}, {"gradient-norm", "gradient_norm"},
    {"current-learning-rate", "learning_rate"}, {"images-per-second", "images_per_second"},
  };
  g_autoptr (GstElement) pipeline = test_launch (TEST_TRAINING "accumulate=2 schedule=linear "
      "learning-rate=0.5 log-location=log.jsonl");
  g_autoptr (GstElement) sink = test_get (pipeline, "sink");
  g_autoptr (TestResult) result = test_play (pipeline);
  g_autoptr (GPtrArray) lines = read_log ("log.jsonl");
  const gchar *line = lines->pdata[lines->len - 2];
  gdouble norm;

  g_assert_cmpuint (lines->len, ==, 4);
  assert_phase (line, "train");
  g_assert_cmpfloat (number (line, "samples"), ==, TEST_TRAIN_SAMPLES - 4 * TEST_BATCH);
  g_assert_cmpfloat (number (lines->pdata[0], "samples"), ==, 2 * TEST_BATCH);
  g_assert_cmpfloat (number (line, "step"), ==, 3);
  g_assert_cmpfloat (number (line, "gradient_norm"), >, 0);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    gdouble value;

    g_object_get (sink, names[i][0], &value, NULL);
    g_assert_cmpfloat_with_epsilon (value, number (line, names[i][1]), 1e-8 * fabs (value) + 1e-300);
  }
  g_assert_true (gst_structure_get_double (result->steps->pdata[0], "gradient-norm", &norm));
  g_assert_cmpfloat_with_epsilon (norm, number (lines->pdata[0], "gradient_norm"), 1e-8 * norm);
  test_assert_files ("log.jsonl", NULL);
}

/* gst-launch-1.0 would wait for the end of a progress that starts before PLAYING; each progress ends. */
static void
test_progress (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc epochs=1000000 " TEST_DATA TEST_NETWORK
      ("") "gradadamsink");
  g_autoptr (TestResult) result = test_result_new ();
  gint64 start;

  test_watchdog (60);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  gst_element_get_state (pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
  test_collect (result, pipeline, 0, 0);
  g_assert_cmpstr (result->progress->str, ==, "");
  start = g_get_monotonic_time ();
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  test_collect (result, pipeline, GST_MESSAGE_PROGRESS, 10 * GST_SECOND);
  g_assert_cmpstr (result->progress->str, ==, "S");
  test_collect (result, pipeline, 0, 1300 * GST_MSECOND);
  g_assert_cmpuint (result->progress->len, >=, 2);
  /* once a second at most */
  g_assert_cmpuint (result->progress->len, <=, 3 + (g_get_monotonic_time () - start) / G_TIME_SPAN_SECOND);
  gst_element_set_state (pipeline, GST_STATE_READY);
  test_collect (result, pipeline, 0, 0);
  g_assert_true (g_str_has_suffix (result->progress->str, "CA"));
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
}

/* The learning rate of each step as the schedule says */
static void
test_schedule (void)
{
  static const struct
  {
    const gchar *name;
    gdouble factor[TEST_STEPS];
  } schedules[] = {
    {"constant", {1, 1, 1, 1, 1}},
    {"linear", {1, 0.8, 0.6, 0.4, 0.2}},
    {"cosine", {1, 0.904508497, 0.654508497, 0.345491503, 0.095491503}},
  };

  for (guint i = 0; i < G_N_ELEMENTS (schedules); i++) {
    g_autoptr (TestResult) result = test_train (TEST_TRAINING "learning-rate=0.5 schedule=%s "
        "log-location=log.jsonl", schedules[i].name);
    g_autoptr (GPtrArray) lines = read_log ("log.jsonl");

    for (guint s = 0; s < TEST_STEPS; s++)
      g_assert_cmpfloat_with_epsilon (number (lines->pdata[s], "learning_rate"),
          0.5 * schedules[i].factor[s], 1e-8);
  }
  test_assert_files ("log.jsonl", NULL);
}

/* It learns: the pictures are easy. */
static void
test_learns (void)
{
  g_autoptr (TestResult) result = test_train ("idxsrc epochs=40 " TEST_DATA TEST_EVALUATION
      TEST_NETWORK ("") "gradadamsink learning-rate=0.01");
  gdouble accuracy;

  g_assert_true (gst_structure_get_double (result->epochs->pdata[result->epochs->len - 2],
          "accuracy", &accuracy));
  g_assert_cmpfloat (accuracy, >, 0.8);
}

static void
test_refused (void)
{
  test_assert_error ("idxsrc " TEST_DATA TEST_HEAD ("") TEST_BODY ("") " ! gradadamsink name=sink",
      "sink", "no loss", "gradloss", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradadamsink/log", test_log);
  g_test_add_func ("/gradadamsink/messages", test_messages);
  g_test_add_func ("/gradadamsink/latest", test_latest);
  g_test_add_func ("/gradadamsink/progress", test_progress);
  g_test_add_func ("/gradadamsink/schedule", test_schedule);
  g_test_add_func ("/gradadamsink/learns", test_learns);
  g_test_add_func ("/gradadamsink/refused", test_refused);
  return test_run_all ();
}
