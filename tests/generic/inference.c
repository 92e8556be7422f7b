/* GradStreamer tests: trained networks at work, and what others see of the data
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <string.h>

#define MODEL " model=model.safetensors"
#define INFER "idxsrc phase=infer " TEST_DATA TEST_HEAD ("") TEST_BODY ("")

static TestTap *
run (const gchar * launch, guint n_warnings)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", launch);
  TestTap *tap = test_tap (pipeline, "tap");
  g_autoptr (TestResult) result = test_play (pipeline);

  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_cmpuint (result->warnings->len, ==, n_warnings);
  return tap;
}

static void
train (void)
{
  g_autoptr (TestResult) result = test_train (TEST_TRAINING "location=model.safetensors");
}

static gdouble
distance (TestTap * a, TestTap * b)
{
  const gfloat *x = (const gfloat *) a->bytes->data, *y = (const gfloat *) b->bytes->data;
  gdouble worst = 0;

  g_assert_cmpuint (a->bytes->len, ==, b->bytes->len);
  for (guint i = 0; i < a->bytes->len / sizeof (gfloat); i++)
    worst = MAX (worst, ABS (x[i] - y[i]));
  return worst;
}

static void
test_logits (void)
{
  g_autoptr (TestTap) infer = NULL, queued = NULL, evaluate = NULL;

  train ();
  infer = run (INFER MODEL " ! fakesink name=tap", 0);
  queued = run ("idxsrc phase=infer " TEST_DATA TEST_HEAD (" ! queue") " ! gradconvstem channels=4 "
      "kernel-size=3 stride=1" MODEL " ! queue ! gradresstage channels=4 blocks=1 first-block=true "
      "! queue ! gradresstage channels=8 blocks=1 ! queue ! gradglobalpool ! queue "
      "! gradfc units=5 ! queue ! fakesink name=tap", 0);
  evaluate = run ("idxsrc phase=evaluate " TEST_DATA TEST_HEAD ("") TEST_BODY ("") MODEL
      " ! gradloss ! fakesink name=tap", 0);
  g_assert_cmpuint (infer->bytes->len, ==, TEST_TRAIN_SAMPLES * TEST_CLASSES * sizeof (gfloat));
  g_assert_cmpstr (infer->dimensions->pdata[0], ==, "5:8");
  g_assert_cmpstr (infer->dimensions->pdata[4], ==, "5:5");
  g_assert_cmpfloat (distance (infer, evaluate), <, 1e-5);
  g_assert_cmpfloat (distance (infer, queued), ==, 0);
  test_assert_files ("model.safetensors", NULL);
}

static void
test_random_weights (void)
{
  g_autoptr (TestTap) tap = run (INFER " ! fakesink name=tap", 1);

  g_assert_cmpuint (tap->n, ==, TEST_STEPS);
}

/* What filesink writes is what a probe sees: dense floats, row by row. */
static void
test_filesink (void)
{
  g_autoptr (TestTap) tap = run ("idxsrc " TEST_DATA TEST_HEAD ("") " ! gradconvstem channels=4 "
      "! filesink name=tap location=activations", 1);
  g_autofree gchar *bytes = NULL;
  gsize size;

  g_assert_true (g_file_get_contents ("activations", &bytes, &size, NULL));
  g_assert_cmpmem (bytes, size, tap->bytes->data, tap->bytes->len);
  g_assert_cmpuint (size, ==, TEST_TRAIN_SAMPLES * 4 * 9 * sizeof (gfloat));
  for (gsize i = 0; i < size / sizeof (gfloat); i++)
    g_assert_cmpfloat (((gfloat *) bytes)[i], >=, 0);   /* behind a ReLU */
  test_assert_files ("activations", NULL);
}

static GstPadProbeReturn
scribble (GstPad * pad, GstPadProbeInfo * info, gpointer unused)
{
  GstBuffer *buffer = gst_buffer_make_writable (GST_PAD_PROBE_INFO_BUFFER (info));
  GstMapInfo map;

  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READWRITE));
  memset (map.data, 0, map.size);
  gst_buffer_unmap (buffer, &map);
  info->data = buffer;
  return GST_PAD_PROBE_OK;
}

/* Between two layers no gradient could flow back through it. */
static void
test_in_place (gconstpointer name)
{
  g_autoptr (GstElement) pipeline = test_launch (TEST_TRAINING);
  g_autoptr (GstElement) element = test_get (pipeline, name);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element, "sink");
  g_autoptr (TestResult) result = NULL;

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, scribble, NULL, NULL);
  result = test_play (pipeline);
  if (g_str_equal (name, "stem")) {     /* in front of the first layer it may */
    g_assert_true (result->eos);
    return;
  }
  g_assert_cmpuint (result->errors->len, >, 0);
  g_assert_true (g_str_has_prefix (result->errors->pdata[0], name));
  g_assert_nonnull (strstr (result->errors->pdata[0], "has changed"));
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/inference/logits", test_logits);
  g_test_add_func ("/inference/random-weights", test_random_weights);
  g_test_add_func ("/inference/filesink", test_filesink);
  g_test_add_data_func ("/inference/in-place/stem", "stem", test_in_place);
  g_test_add_data_func ("/inference/in-place/stage2", "stage2", test_in_place);
  g_test_add_data_func ("/inference/in-place/fc", "fc", test_in_place);
  return test_run_all ();
}
