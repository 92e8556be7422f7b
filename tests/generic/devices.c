/* GradStreamer tests: a model is the same on cpu and cuda, and goes from one to the other
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <string.h>

static TestResult *
run (const gchar * device, const gchar * precision, const gchar * launch)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", launch);
  g_autoptr (GstElement) resize = test_get (pipeline, "resize");
  TestResult *result;

  g_object_set (resize, "device", device, NULL);
  gst_util_set_object_arg (G_OBJECT (resize), "precision", precision);
  result = test_play (pipeline);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_true (result->eos);
  return result;
}

static void
evaluate (const gchar * device, const gchar * precision, gdouble * loss, gdouble * accuracy)
{
  g_autoptr (TestResult) result = run (device, precision, "idxsrc phase=evaluate " TEST_DATA TEST_NETWORK ("")
      "gradadamsink init-location=model.safetensors");

  g_assert_true (gst_structure_get (result->epochs->pdata[0], "loss", G_TYPE_DOUBLE, loss, "accuracy", G_TYPE_DOUBLE,
          accuracy, NULL));
}

/* Trained on one of them, evaluated on both */
static void
test_agree (gconstpointer trained_on)
{
  g_autoptr (TestResult) result = run (trained_on, "f32", "idxsrc epochs=6 " TEST_DATA TEST_NETWORK ("")
      "gradadamsink learning-rate=0.01 location=model.safetensors");
  gdouble loss, accuracy, cuda_loss, cuda_accuracy;

  evaluate ("cpu", "f32", &loss, &accuracy);
  evaluate ("cuda", "f32", &cuda_loss, &cuda_accuracy);
  g_test_message ("f32: %.9g, %.9g", loss, cuda_loss);
  g_assert_cmpfloat_with_epsilon (cuda_loss, loss, 1e-4 * loss);
  g_assert_cmpfloat (cuda_accuracy, ==, accuracy);
  evaluate ("cuda", "bf16", &cuda_loss, &cuda_accuracy);
  g_test_message ("bf16: %.9g", cuda_loss);
  g_assert_cmpfloat_with_epsilon (cuda_loss, loss, 0.05 * loss);
  test_assert_files ("model.safetensors", NULL);
}

/* So many epochs of a long training, from where its file has come to */
static TestResult *
train_on (const gchar * device, guint n)
{
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc epochs=100000 " TEST_DATA TEST_NETWORK ("")
      "gradadamsink learning-rate=0.01 location=model.safetensors resume=true");
  g_autoptr (GstElement) resize = test_get (pipeline, "resize");
  TestResult *result = test_result_new ();

  g_object_set (resize, "device", device, NULL);
  gst_util_set_object_arg (G_OBJECT (resize), "precision", "f32");
  test_watchdog (120);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  while (result->epochs->len < n && result->errors->len == 0)
    test_collect (result, pipeline, GST_MESSAGE_ELEMENT | GST_MESSAGE_ERROR, GST_SECOND);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  g_assert_cmpuint (result->errors->len, ==, 0);
  return result;
}

static gdouble
get_loss (TestResult * result, guint i)
{
  gdouble loss;

  g_assert_true (gst_structure_get_double (result->epochs->pdata[i], "loss", &loss));
  return loss;
}

/* What began on one goes on on the other, which is worth a warning, and learns on. */
static void
test_goes_on (gconstpointer began_on)
{
  g_autoptr (TestResult) began = train_on (began_on, 2);
  g_autoptr (TestResult) result = train_on (g_str_equal (began_on, "cpu") ? "cuda" : "cpu", 5);

  g_assert_cmpuint (began->warnings->len, ==, 0);
  g_assert_cmpuint (result->warnings->len, ==, 1);
  g_assert_nonnull (strstr (result->warnings->pdata[0], "Goes on with f32 on "));
  g_test_message ("loss %.9g, then %.9g and %.9g", get_loss (began, 0), get_loss (result, 0), get_loss (result, 4));
  g_assert_cmpfloat (get_loss (result, 0), <, get_loss (began, 0));
  g_assert_cmpfloat (get_loss (result, 4), <, 0.8 * get_loss (began, 0));
  test_assert_files ("model.safetensors", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_data_func ("/devices/agree/cpu", "cpu", test_agree);
  g_test_add_data_func ("/devices/agree/cuda", "cuda", test_agree);
  g_test_add_data_func ("/devices/goes-on/cpu", "cpu", test_goes_on);
  g_test_add_data_func ("/devices/goes-on/cuda", "cuda", test_goes_on);
  return test_run_all ();
}
