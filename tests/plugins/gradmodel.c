/* GradStreamer tests: gradmodel
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <math.h>
#include <string.h>

#define MODEL "model.safetensors"
#define INFER "idxsrc phase=infer " TEST_DATA TEST_HEAD ("")
#define N_BYTES (TEST_TRAIN_SAMPLES * TEST_CLASSES * sizeof (gfloat))

static void
train (void)
{
  g_autoptr (TestResult) result = test_train (TEST_TRAINING "learning-rate=0.02 location=" MODEL);
}

/* What comes out of a pipeline that ends with "! fakesink name=tap" */
static TestTap *
play (GstElement * pipeline)
{
  TestTap *tap = test_tap (pipeline, "tap");
  g_autoptr (TestResult) result = test_play (pipeline);

  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len + result->warnings->len, ==, 0);
  return tap;
}

static TestTap *
run (const gchar * launch)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", launch);

  return play (pipeline);
}

static void
assert_same (TestTap * a, TestTap * b)
{
  g_assert_cmpuint (a->bytes->len, ==, N_BYTES);
  g_assert_cmpmem (a->bytes->data, a->bytes->len, b->bytes->data, b->bytes->len);
}

/* The same as the layers written out, and their softmax */
static void
test_output (void)
{
  g_autoptr (TestTap) layers = NULL, logits = NULL, probabilities = NULL;
  gdouble least = 1;

  train ();
  layers = run (INFER TEST_BODY ("") " model=" MODEL " ! fakesink name=tap");
  logits = run (INFER " ! gradmodel output=logits location=" MODEL " ! fakesink name=tap");
  probabilities = run (INFER " ! queue ! gradmodel location=" MODEL " ! queue ! fakesink name=tap");
  assert_same (layers, logits);
  g_assert_cmpuint (probabilities->bytes->len, ==, N_BYTES);
  g_assert_cmpstr (probabilities->dimensions->pdata[0], ==, "5:8");
  g_assert_cmpstr (probabilities->dimensions->pdata[4], ==, "5:5");
  for (guint i = 0; i < TEST_TRAIN_SAMPLES; i++) {
    const gfloat *x = (const gfloat *) logits->bytes->data + i * TEST_CLASSES;
    const gfloat *p = (const gfloat *) probabilities->bytes->data + i * TEST_CLASSES;
    gdouble sum = 0;

    for (guint k = 0; k < TEST_CLASSES; k++)
      sum += exp (x[k]);
    for (guint k = 0; k < TEST_CLASSES; k++) {
      g_assert_cmpfloat_with_epsilon (p[k], exp (x[k]) / sum, 1e-6);
      least = MIN (least, p[k]);
    }
  }
  g_assert_cmpfloat (least, <, 0.19);   /* 0.2 is to know nothing */
  test_assert_files (MODEL, NULL);
}

static void
test_shapes (void)
{
  g_autofree gchar *right = NULL, *channels = NULL, *vectors = NULL;

  train ();
  right = test_output_dimensions ("gradmodel location=" MODEL, "float32", "20:12:1:4");
  channels = test_output_dimensions ("gradmodel location=" MODEL, "float32", "12:12:3:4");
  vectors = test_output_dimensions ("gradmodel location=" MODEL, "float32", "12:x");
  g_assert_cmpstr (right, ==, "5:4");
  g_assert_cmpstr (channels, ==, "");
  g_assert_cmpstr (vectors, ==, "");
  test_assert_files (MODEL, NULL);
}

/* Layers are there from READY on, and gone at NULL. */
static void
test_states (void)
{
  static const GstState course[] = { GST_STATE_READY, GST_STATE_NULL, GST_STATE_READY, GST_STATE_PAUSED,
    GST_STATE_PLAYING, GST_STATE_PAUSED, GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_READY, GST_STATE_NULL
  };
  GstElement *pipeline, *model;

  train ();
  pipeline = test_launch (INFER " ! gradmodel name=model location=" MODEL " ! fakesink");
  model = test_get (pipeline, "model");
  test_watchdog (60);
  for (guint i = 0; i < 2 * G_N_ELEMENTS (course); i++) {
    GstState state = course[i % G_N_ELEMENTS (course)];

    gst_element_set_state (pipeline, state);
    g_assert_cmpint (gst_element_get_state (pipeline, NULL, NULL, GST_CLOCK_TIME_NONE), ==,
        GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (GST_BIN_NUMCHILDREN (model), ==, state == GST_STATE_NULL ? 1 : 6);
  }
  test_watchdog (0);
  gst_object_unref (model);
  gst_object_unref (pipeline);
  test_assert_no_leaks ();
  test_assert_files (MODEL, NULL);
}

/* Each run reads the file again. */
static void
test_twice (void)
{
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (TestTap) tap = NULL;

  train ();
  pipeline = test_launch (INFER " ! gradmodel location=" MODEL " ! fakesink name=tap");
  tap = test_tap (pipeline, "tap");
  for (guint i = 0; i < 3; i++) {
    g_autoptr (TestResult) result = test_play (pipeline);

    g_assert_true (result->eos);
    if (i == 1) {
      g_autoptr (TestResult) other = test_train (TEST_TRAINING "learning-rate=0.05 location=" MODEL);
    }
  }
  g_assert_cmpuint (tap->bytes->len, ==, 3 * N_BYTES);
  g_assert_cmpmem (tap->bytes->data, N_BYTES, tap->bytes->data + N_BYTES, N_BYTES);
  g_assert_cmpint (memcmp (tap->bytes->data, tap->bytes->data + 2 * N_BYTES, N_BYTES), !=, 0);
  test_assert_files (MODEL, NULL);
}

/* Beside a network that is being trained, it says what it says alone; two of them share the weights. */
static void
test_names (void)
{
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (TestTap) alone = NULL, first = NULL, second = NULL;
  g_autoptr (GradNetwork) network = NULL, main_network = NULL, named = NULL;
  g_autofree gchar *path = NULL;
  guint n;

  train ();
  alone = run (INFER " ! gradmodel location=" MODEL " ! fakesink name=tap");
  pipeline = test_launch (TEST_TRAINING "learning-rate=0.5 "
      "idxsrc phase=infer " TEST_DATA "! gradresize ! gradmodel location=" MODEL " ! fakesink name=tap "
      "idxsrc phase=infer " TEST_DATA "! gradresize ! gradmodel location=./" MODEL " ! fakesink name=again "
      "idxsrc phase=infer " TEST_DATA "! gradresize ! gradmodel model-name=x location=" MODEL " ! fakesink");
  gst_element_set_context (pipeline, context);
  second = test_tap (pipeline, "again");
  first = play (pipeline);
  assert_same (first, alone);
  assert_same (second, alone);
  path = g_canonicalize_filename (MODEL, NULL);
  network = grad_bus_get_network (bus, path);
  main_network = grad_bus_get_network (bus, "main");
  named = grad_bus_get_network (bus, "x");
  n = grad_parameter_store_get_n_parameters (grad_network_get_store (main_network));
  g_assert_cmpuint (n, >, 0);
  g_assert_cmpuint (grad_parameter_store_get_n_parameters (grad_network_get_store (network)), ==, n);
  g_assert_cmpuint (grad_parameter_store_get_n_parameters (grad_network_get_store (named)), ==, n);
  g_assert_cmpuint (grad_network_get_n_updates (main_network), ==, TEST_STEPS);
  g_assert_cmpuint (grad_network_get_n_updates (network), ==, 0);
  test_assert_files (MODEL, NULL);
}

/* Settings of the device are those of the pipeline. */
static void
test_device (void)
{
  g_autoptr (GstElement) model = gst_object_ref_sink (gst_element_factory_make ("gradmodel", NULL));
  g_autofree gchar *device = NULL;
  guint threads;

  g_object_set (model, "device", "ref", "threads", 3, NULL);
  g_object_get (model, "device", &device, "threads", &threads, NULL);
  g_assert_cmpstr (device, ==, "ref");
  g_assert_cmpuint (threads, ==, 3);

  train ();
  test_assert_error (INFER " device=ref ! gradmodel name=model device=other location=" MODEL
      " ! fakesink", "resize", "different device", NULL);
  test_assert_error (INFER " ! gradmodel device=other location=" MODEL " ! fakesink", "tail",
      "no device \"other\"", NULL);
  test_assert_files (MODEL, NULL);
}

static void
test_refused (void)
{
  train ();
  test_assert_error (INFER " ! gradmodel name=model ! fakesink", "model", "set location", NULL);
  test_assert_error (INFER " ! gradmodel name=model location=nowhere ! fakesink", "model", "nowhere",
      "No such file", NULL);
  test_assert_error (INFER " ! gradmodel name=model location=test-images ! fakesink", "model",
      "test-images", "no safetensors file", NULL);
  test_assert_files (MODEL, NULL);
  test_assert_no_leaks ();
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradmodel/output", test_output);
  g_test_add_func ("/gradmodel/shapes", test_shapes);
  g_test_add_func ("/gradmodel/states", test_states);
  g_test_add_func ("/gradmodel/twice", test_twice);
  g_test_add_func ("/gradmodel/names", test_names);
  g_test_add_func ("/gradmodel/device", test_device);
  g_test_add_func ("/gradmodel/refused", test_refused);
  return test_run_all ();
}
