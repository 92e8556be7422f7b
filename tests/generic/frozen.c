/* GradStreamer tests: what training leaves as it is, and properties that change while it goes on
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <gst/controller/gstdirectcontrolbinding.h>
#include <gst/controller/gstinterpolationcontrolsource.h>
#include <string.h>

/* frozen elements are named like this: what the tensors of each are called */
static const struct
{
  const gchar *element, *prefix;
} layers[] = {
  {"stem", "conv1."}, {"stem", "bn1."}, {"stage1", "layer1."}, {"stage2", "layer2."}, {"fc", "fc."}
};

/* Asserts that the network's tensors in two files are the same where a layer is frozen, and only there. */
static void
compare (const gchar * before, const gchar * after, const gchar * const *frozen)
{
  g_autoptr (GradSafetensors) a = grad_safetensors_open (before, NULL);
  g_autoptr (GradSafetensors) b = grad_safetensors_open (after, NULL);

  for (guint i = 0; i < grad_safetensors_get_n_entries (a); i++) {
    const GradSafetensorsEntry *x = grad_safetensors_get_entry (a, i), *y;
    gboolean same;

    if (g_str_has_prefix (x->name, "optimizer."))
      continue;
    y = grad_safetensors_find (b, x->name);
    same = memcmp (x->data, y->data, x->size) == 0;
    for (guint k = 0; k < G_N_ELEMENTS (layers); k++)
      if (g_str_has_prefix (x->name, layers[k].prefix)) {
        gboolean expected = g_strv_contains (frozen, layers[k].element);

        if (same != expected && !(same && g_str_has_suffix (x->name, ".bias")))      /* a dead one */
          g_error ("%s: %s", x->name, same ? "the same" : "changed");
      }
  }
}

#define RUN "idxsrc name=source epochs=2 " TEST_DATA TEST_NETWORK ("") "gradadamsink name=sink " \
  "learning-rate=0.01 location=after init-location=before"

static void
test_layers (void)
{
  static const gchar *const cases[][6] = {
    {NULL},                     /* none */
    {"stem", NULL},             /* no gradient goes so far */
    {"stem", "stage1", "stage2", NULL},
    {"stage1", NULL},           /* it goes through */
    {"stage2", "fc", NULL},
    {"stem", "stage1", "stage2", "fc", NULL},
    {"stem", "stage1", "stage2", "fc", "loss", NULL},
  };
  g_autoptr (TestResult) before = test_train (TEST_TRAINING "location=before");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GstElement) pipeline = test_launch (RUN);
    g_autoptr (TestResult) result = NULL;

    for (const gchar * const *name = cases[i]; *name; name++) {
      g_autoptr (GstElement) layer = test_get (pipeline, *name);

      g_object_set (layer, "frozen", TRUE, NULL);
    }
    result = test_play (pipeline);
    g_assert_cmpuint (result->errors->len, ==, 0);
    g_assert_true (result->eos);
    compare ("before", "after", cases[i]);
  }
  test_assert_files ("before", "after", NULL);
}

/* From a point in time on: the property's values at 0 and at that time */
static void
control (GstElement * element, const gchar * property, GstClockTime time, gdouble first,
    gdouble then)
{
  GstControlSource *source = gst_interpolation_control_source_new ();
  GstTimedValueControlSource *values = GST_TIMED_VALUE_CONTROL_SOURCE (source);

  g_object_set (source, "mode", GST_INTERPOLATION_MODE_NONE, NULL);
  gst_timed_value_control_source_set (values, 0, first);
  gst_timed_value_control_source_set (values, time, then);
  g_assert_true (gst_object_add_control_binding (GST_OBJECT (element),
          gst_direct_control_binding_new_absolute (GST_OBJECT (element), property, source)));
  gst_object_unref (source);
}

static gfloat *
read_tensor (const gchar * location, const gchar * name, gsize * n)
{
  g_autoptr (GradSafetensors) file = grad_safetensors_open (location, NULL);
  const GradSafetensorsEntry *entry = grad_safetensors_find (file, name);

  *n = entry->size / sizeof (gfloat);
  return g_memdup2 (entry->data, entry->size);
}

/* After one step of SGD each parameter has moved as far as the scale of its layer says. */
static void
test_scale (void)
{
#define ONE_STEP "idxsrc location=train-images labels=train-labels batch-size=37 " TEST_NETWORK ("") \
  "gradsgdsink learning-rate=0.125 momentum=0 init-location=before "
  static const gchar *const names[] = { "conv1.weight", "layer1.0.conv1.weight", "fc.weight" };
  static const gdouble scales[] = { 0.5, 0, 1 };
  g_autoptr (TestResult) before = test_train (TEST_TRAINING "location=before");
  g_autoptr (TestResult) plain = test_train (ONE_STEP "location=plain");
  g_autoptr (GstElement) pipeline = test_launch (ONE_STEP "location=scaled");
  g_autoptr (GstElement) stem = test_get (pipeline, "stem"), stage1 = test_get (pipeline, "stage1");
  g_autoptr (TestResult) result = NULL;

  g_object_set (stem, "learning-rate-scale", 0.5, NULL);
  g_object_set (stage1, "learning-rate-scale", 0., NULL);
  result = test_play (pipeline);
  g_assert_cmpuint (result->errors->len, ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    gsize n;
    g_autofree gfloat *from = read_tensor ("before", names[i], &n);
    g_autofree gfloat *full = read_tensor ("plain", names[i], &n);
    g_autofree gfloat *scaled = read_tensor ("scaled", names[i], &n);

    for (gsize k = 0; k < n; k++)
      g_assert_cmpfloat_with_epsilon (scaled[k] - from[k], scales[i] * (full[k] - from[k]), 1e-7);
  }
  test_assert_files ("before", "plain", "scaled", NULL);
}

static gint64
read_count (GradSafetensors * file, const gchar * name)
{
  gint64 count;

  memcpy (&count, grad_safetensors_find (file, name)->data, sizeof count);
  return count;
}

/* A sample is a millisecond: after two batches the stem is frozen, and the learning rate is another one. */
static void
test_controlled (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc " TEST_DATA TEST_NETWORK ("")
      "gradadamsink name=sink location=after log-location=log");
  g_autoptr (GstElement) stem = test_get (pipeline, "stem"), sink = test_get (pipeline, "sink");
  g_autoptr (GradSafetensors) file = NULL;
  g_autoptr (TestResult) result = NULL;
  g_autofree gchar *log = NULL;
  g_auto (GStrv) lines = NULL;

  control (stem, "frozen", 2 * TEST_BATCH * GST_MSECOND, FALSE, TRUE);
  control (sink, "learning-rate", 2 * TEST_BATCH * GST_MSECOND, 0.25, 0.125);
  result = test_play (pipeline);
  g_assert_cmpuint (result->errors->len, ==, 0);
  file = grad_safetensors_open ("after", NULL);
  g_assert_cmpint (read_count (file, "bn1.num_batches_tracked"), ==, 2);
  g_assert_cmpint (read_count (file, "layer1.0.bn1.num_batches_tracked"), ==, TEST_STEPS);
  g_assert_true (g_file_get_contents ("log", &log, NULL, NULL));
  lines = g_strsplit (log, "\n", -1);
  for (guint i = 0; i < TEST_STEPS; i++)
    g_assert_nonnull (strstr (lines[i], i < 2 ? "\"learning_rate\":0.25," : "\"learning_rate\":0.125,"));
  test_assert_files ("after", "log", NULL);
}

/* What trains later has as many updates, which Adam's moments are corrected for; also when the training was resumed. */
static void
test_thawed (void)
{
  for (guint resumed = 0; resumed < 2; resumed++) {
    g_autoptr (GstElement) pipeline = test_launch ("idxsrc epochs=4 num-buffers=%u " TEST_DATA TEST_NETWORK ("")
        "gradadamsink location=after resume=true", resumed ? 1 : 4);
    g_autoptr (GstElement) stem = test_get (pipeline, "stem");
    g_autoptr (GradSafetensors) file = NULL;
    g_autoptr (TestResult) result = NULL;

    if (!resumed)
      control (stem, "frozen", 3 * TEST_BATCH * GST_MSECOND, TRUE, FALSE);
    result = test_play (pipeline);
    g_assert_cmpuint (result->errors->len, ==, 0);
    file = grad_safetensors_open ("after", NULL);
    g_assert_cmpint (read_count (file, "optimizer.conv1.weight.step"), ==, 1 + resumed);
    g_assert_cmpint (read_count (file, "optimizer.fc.weight.step"), ==, 4 + resumed);
  }
  test_assert_files ("after", NULL);
}

/* The largest difference between a parameter's average and its values in training */
static gfloat
lag (GradSafetensors * file, const gchar * name)
{
  g_autofree gchar *own = g_strconcat ("optimizer.", name, ".value", NULL);
  const GradSafetensorsEntry *average = grad_safetensors_find (file, name), *value = grad_safetensors_find (file, own);
  gfloat largest = 0;

  g_assert_cmpuint (average->size, ==, value->size);
  for (gsize i = 0; i < average->size / sizeof (gfloat); i++) {
    gfloat a, b;

    memcpy (&a, (const guint8 *) average->data + i * sizeof a, sizeof a);
    memcpy (&b, (const guint8 *) value->data + i * sizeof b, sizeof b);
    largest = MAX (largest, ABS (a - b));
  }
  return largest;
}

/* An average comes to what it is of while the layer is frozen, statistics as well. */
static void
test_average (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc epochs=100 num-buffers=100 " TEST_DATA TEST_NETWORK ("")
      "gradadamsink location=after learning-rate=0.01 ema=0.8");
  g_autoptr (GstElement) stem = test_get (pipeline, "stem");
  g_autoptr (GradSafetensors) file = NULL;
  g_autoptr (TestResult) result = NULL;

  control (stem, "frozen", 5 * TEST_BATCH * GST_MSECOND, FALSE, TRUE);
  result = test_play (pipeline);
  g_assert_cmpuint (result->errors->len, ==, 0);
  file = grad_safetensors_open ("after", NULL);
  g_assert_cmpfloat (lag (file, "conv1.weight"), <, 1e-6);
  g_assert_cmpfloat (lag (file, "bn1.running_mean"), <, 1e-6);
  g_assert_cmpfloat (lag (file, "fc.weight"), >, 1e-4);
  test_assert_files ("after", NULL);
}

/* Turned on and off between batches, by another thread */
static void
test_toggled (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc name=source epochs=1000 " TEST_DATA
      " ! queue" TEST_NETWORK (" ! queue") "gradadamsink name=sink");
  g_autoptr (TestResult) result = test_result_new ();

  test_watchdog (60);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  for (guint i = 0; i < 300; i++) {
    g_autoptr (GstElement) layer = test_get (pipeline, layers[i % 4 + 1].element);

    g_object_set (layer, "frozen", i / 4 % 2 == 0, NULL);
    g_usleep (500);
  }
  test_collect (result, pipeline, 0, 0);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  g_assert_cmpuint (result->errors->len, ==, 0);
  test_assert_files (NULL, NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/frozen/layers", test_layers);
  g_test_add_func ("/frozen/scale", test_scale);
  g_test_add_func ("/frozen/controlled", test_controlled);
  g_test_add_func ("/frozen/thawed", test_thawed);
  g_test_add_func ("/frozen/average", test_average);
  g_test_add_func ("/frozen/toggled", test_toggled);
  return test_run_all ();
}
