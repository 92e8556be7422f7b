/* GradStreamer tests: gradloss
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <gst/check/gstharness.h>
#include <math.h>
#include <string.h>

static const gfloat logits[] = { 1, 2, 0.5, -1, 0, 3, 0, 0, 0 };
static const gint32 labels[] = { 1, 0, 2 };

static GstBuffer *
measure (const gchar * element, GradPhase phase, gboolean labelled, GstFlowReturn expected)
{
  GstHarness *harness = gst_harness_new_parse (element);
  GstBuffer *in = gst_buffer_new_memdup (logits, sizeof logits), *out = NULL;
  GradSampleMeta *meta = grad_buffer_add_sample_meta (in);

  meta->phase = phase;
  meta->source = grad_sample_meta_new_source ();
  meta->sequence = meta->epoch = 1;
  meta->n_samples = 3;
  if (labelled)
    meta->labels = g_bytes_new_static (labels, sizeof labels);
  gst_harness_set_src_caps_str (harness, "other/tensors,format=static,num_tensors=1,"
      "types=float32,dimensions=(string)3:3,framerate=0/1");
  g_assert_cmpint (gst_harness_push (harness, in), ==, expected);
  if (expected == GST_FLOW_OK) {
    GstMapInfo map;

    out = gst_harness_pull (harness);
    g_assert_true (gst_buffer_map (out, &map, GST_MAP_READ));
    g_assert_cmpmem (map.data, map.size, logits, sizeof logits);        /* they pass through */
    gst_buffer_unmap (out, &map);
  }
  gst_harness_teardown (harness);
  return out;
}

/* The definition, spelled out */
static gdouble
loss_sum (gdouble smoothing)
{
  gdouble sum = 0;

  for (guint n = 0; n < 3; n++) {
    gdouble z = 0;

    for (guint k = 0; k < 3; k++)
      z += exp (logits[3 * n + k]);
    for (guint k = 0; k < 3; k++)
      sum -= ((k == (guint) labels[n]) * (1 - smoothing) + smoothing / 3)
          * (logits[3 * n + k] - log (z));
  }
  return sum;
}

static void
test_values (void)
{
  static const struct
  {
    const gchar *element;
    gdouble smoothing;
  } runs[] = {
    {"gradloss", 0}, {"gradloss device=ref precision=f32", 0}, {"gradloss label-smoothing=0.1", 0.1}
  };

  for (guint i = 0; i < G_N_ELEMENTS (runs); i++) {
    g_autoptr (GstBuffer) out =
        measure (runs[i].element, GRAD_PHASE_EVALUATE, TRUE, GST_FLOW_OK);
    GradLossMeta *meta = grad_buffer_get_loss_meta (out);

    gdouble sum;
    guint correct;

    g_assert_nonnull (meta);
    grad_loss_result_read (meta->result, &sum, &correct);
    g_assert_cmpuint (meta->n_samples, ==, 3);
    g_assert_cmpuint (correct, ==, 1);
    g_assert_cmpfloat_with_epsilon (sum, loss_sum (runs[i].smoothing), 1e-5);
  }
}

static void
test_infer (void)
{
  g_autoptr (GstBuffer) out = measure ("gradloss", GRAD_PHASE_INFER, TRUE, GST_FLOW_OK);

  g_assert_null (grad_buffer_get_loss_meta (out));
}

static void
test_refused (void)
{
  g_assert_null (measure ("gradloss", GRAD_PHASE_EVALUATE, FALSE, GST_FLOW_ERROR));
  g_assert_null (measure ("gradloss", GRAD_PHASE_TRAIN, TRUE, GST_FLOW_ERROR));
}

static gdouble
number (GPtrArray * structures, guint i, const gchar * field)
{
  gdouble value;

  g_assert_true (gst_structure_get_double (structures->pdata[i], field, &value));
  return value;
}

/* Without an optimizer it says itself what the optimizer's evaluation said. */
static void
test_evaluation (void)
{
  g_autoptr (TestResult) trained = test_train ("idxsrc " TEST_DATA TEST_EVALUATION
      TEST_NETWORK ("") "gradadamsink location=model.safetensors");
  g_autoptr (TestResult) evaluated = test_train ("idxsrc location=test-images labels=test-labels "
      "batch-size=8" TEST_HEAD ("") TEST_BODY ("")
      " ! gradloss model=model.safetensors ! fakesink");

  g_assert_cmpuint (trained->epochs->len, ==, 2);
  g_assert_cmpuint (evaluated->epochs->len, ==, 1);
  g_assert_cmpstr (evaluated->progress->str, ==, "");
  g_assert_cmpstr (gst_structure_get_string (evaluated->epochs->pdata[0], "phase"), ==,
      "evaluate");
  g_assert_cmpfloat (number (evaluated->epochs, 0, "loss"), ==,
      number (trained->epochs, 1, "loss"));
  g_assert_cmpfloat (number (evaluated->epochs, 0, "accuracy"), ==,
      number (trained->epochs, 1, "accuracy"));
  test_assert_files ("model.safetensors", NULL);
}

/* Labels from 0 to 4, but fewer units */
static void
test_label_out_of_range (void)
{
  const gchar *tail = "! gradresize ! gradconvstem channels=4 ! gradglobalpool ! gradfc units=4 "
      "! gradloss name=loss ! ";
  g_autofree gchar *train = g_strconcat ("idxsrc " TEST_DATA, tail,
      "gradadamsink location=model.safetensors", NULL);
  g_autofree gchar *evaluate = g_strconcat ("idxsrc " TEST_DATA, tail, "fakesink", NULL);

  test_assert_error (train, "loss", "label 4", "units", NULL);
  test_assert_error (evaluate, "loss", "label 4", "units", NULL);
  g_unlink ("model.safetensors");       /* of the steps before, if there were any */
  test_assert_files (NULL, NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradloss/values", test_values);
  g_test_add_func ("/gradloss/infer", test_infer);
  g_test_add_func ("/gradloss/evaluation", test_evaluation);
  g_test_add_func ("/gradloss/refused", test_refused);
  g_test_add_func ("/gradloss/label-out-of-range", test_label_out_of_range);
  return test_run_all ();
}
