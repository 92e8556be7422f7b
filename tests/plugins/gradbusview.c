/* GradStreamer tests: gradbusview
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <string.h>

#define FRAME(frame, x, y) ((frame) + (y) * 640 * 3 + (x) * 3)

/* Whether a pixel has the colour of a value, or its side of white when it is neither the largest nor nearly 0 */
static gboolean
has_color (const guint8 * pixel, gfloat value, gfloat largest)
{
  if (value == largest)
    return memcmp (pixel, (guint8[]) {103, 0, 31}, 3) == 0;
  if (value == -largest)
    return memcmp (pixel, (guint8[]) {5, 48, 97}, 3) == 0;
  return ABS (value) < largest / 100 || (pixel[0] > pixel[2]) == (value > 0);
}

typedef struct
{
  GPtrArray *steps;             /* GArray of floats: gradients of fc.weight */
} Gradients;

static void
keep_gradient (GradBus * bus, const gchar * model, const gchar * name, GradTensor * gradient,
    Gradients * kept)
{
  GstMapInfo map;

  if (!g_str_equal (name, "fc.weight"))
    return;
  g_assert_true (gst_memory_map (GST_MEMORY_CAST (gradient), &map, GST_MAP_READ));
  g_ptr_array_add (kept->steps, g_memdup2 (map.data, map.size));
  gst_memory_unmap (GST_MEMORY_CAST (gradient), &map);
}

/* fc.weight has 5 rows of 8: magnified 72 times in 640x360, with 32 black columns at both sides */
static gboolean
shows (const guint8 * frame, const gfloat * gradient)
{
  gfloat largest = 0;

  for (guint i = 0; i < 40; i++)
    largest = MAX (largest, ABS (gradient[i]));
  for (guint i = 0; i < 40; i++)
    if (!has_color (FRAME (frame, 32 + i % 8 * 72 + 36, i / 8 * 72 + 36), gradient[i], largest))
      return FALSE;
  return TRUE;
}

/* What is shown is a gradient of one of the steps, in its place and colours. */
static void
test_values (void)
{
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc " TEST_DATA "! identity sleep-time=200000"
      TEST_NETWORK ("") "gradadamsink gradbusview parameter=fc.weight framerate=100/1 ! fakesink name=video");
  g_autoptr (TestVideo) video = test_video (pipeline, "video");
  g_autoptr (TestResult) result = NULL;
  Gradients kept = { g_ptr_array_new_with_free_func (g_free) };
  guint n_shown = 0;

  g_signal_connect (bus, "parameter-gradient", G_CALLBACK (keep_gradient), &kept);
  gst_element_set_context (pipeline, context);
  result = test_play (pipeline);
  g_assert_true (result->eos);
  g_assert_cmpuint (kept.steps->len, ==, TEST_STEPS);
  g_assert_nonnull (strstr (video->caps, "format=(string)RGB, width=(int)640, height=(int)360"));
  g_assert_cmpuint (video->frames->len, >=, 2);
  for (guint f = 0; f < video->frames->len; f++) {
    GstMapInfo map;
    guint k = 0;

    g_assert_true (gst_buffer_map (video->frames->pdata[f], &map, GST_MAP_READ));
    g_assert_cmpmem (FRAME (map.data, 31, 180), 3, ((guint8[]) { 0, 0, 0}), 3);
    while (k < kept.steps->len && !shows (map.data, kept.steps->pdata[k]))
      k++;
    n_shown += k < kept.steps->len;
    /* none but the first ones are black all over */
    g_assert_true (k < kept.steps->len || (n_shown == 0
            && !memcmp (FRAME (map.data, 320, 180), (guint8[]) { 0, 0, 0}, 3)));
    gst_buffer_unmap (video->frames->pdata[f], &map);
  }
  g_assert_cmpuint (n_shown, >, 0);
  g_ptr_array_unref (kept.steps);
}

/* Each kind of parameter, by the beginning of its name, as it can be asked for */
static void
test_same_weights (void)
{
  g_autoptr (TestResult) plain = test_train ("idxsrc epochs=3 " TEST_DATA TEST_EVALUATION
      TEST_NETWORK ("") "gradadamsink location=plain.safetensors");
  g_autoptr (TestResult) seen = test_train ("idxsrc epochs=3 " TEST_DATA TEST_EVALUATION
      TEST_NETWORK ("") "gradadamsink location=seen.safetensors "
      "gradbusview parameter=conv1.weight framerate=1000/1 ! fakesink "
      "gradbusview parameter=layer1 columns=3 ! fakesink "
      "gradbusview parameter=fc.bias color-map=gray scale=2 ! fakesink "
      "gradbusview parameter=bn1 color-map=auto minimum=-1 maximum=1 ! fakesink "
      "gradbusview max-tiles=3 ! video/x-raw,width=321,height=123 ! fakesink");

  test_assert_same_file ("plain.safetensors", "seen.safetensors");
  test_assert_files ("plain.safetensors", "seen.safetensors", NULL);
}

/* It ends when the training is stopped, and can begin again. */
static void
test_stopped (void)
{
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  g_autoptr (GstElement) training = test_launch ("idxsrc epochs=100000 " TEST_DATA
      TEST_NETWORK ("") "gradadamsink");
  g_autoptr (GstElement) viewer =
      test_launch ("gradbusview framerate=50/1 ! fakesink name=video");

  for (guint i = 0; i < 2; i++) {
    g_autoptr (TestVideo) video = test_video (viewer, "video");
    g_autoptr (TestResult) result = test_result_new ();

    test_watchdog (60);
    gst_element_set_context (training, context);        /* which bins forget in NULL */
    gst_element_set_context (viewer, context);
    gst_element_set_state (training, GST_STATE_PLAYING);
    gst_element_set_state (viewer, GST_STATE_PLAYING);
    test_video_await (video, 5);
    gst_element_set_state (training, GST_STATE_NULL);
    test_collect (result, viewer, GST_MESSAGE_EOS | GST_MESSAGE_ERROR, 30 * GST_SECOND);
    g_assert_true (result->eos);
    gst_element_set_state (viewer, GST_STATE_NULL);
    test_watchdog (0);
  }
}

static const struct
{
  const gchar *properties, *text1, *text2;
} refused[] = {
  {"parameter=stem", "\"stem\"", "conv1.weight"},
  {"minimum=2 maximum=1", "minimum=2", "swap"},
  {"model-name=other", "\"other\"", "model-name"},
};

static void
test_refused (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autofree gchar *launch = g_strdup_printf ("idxsrc epochs=100 " TEST_DATA TEST_NETWORK ("")
      "gradadamsink gradbusview name=view %s ! fakesink", refused[i].properties);

  test_assert_error (launch, "view", refused[i].text1, refused[i].text2, NULL);
}

/* What does not fit into the frame is not shown, and the training goes on. */
static void
test_too_large (gconstpointer properties)
{
  g_autoptr (GstElement) pipeline = test_launch (TEST_TRAINING "gradbusview name=view parameter=conv1 %s "
      "! fakesink name=video", (const gchar *) properties);
  g_autoptr (TestVideo) video = test_video (pipeline, "video");
  g_autoptr (TestResult) result = test_play (pipeline);

  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_cmpuint (result->warnings->len, ==, 1);
  g_assert_nonnull (strstr (result->warnings->pdata[0], "max-tiles"));
  g_assert_nonnull (strstr (result->warnings->pdata[0], "raise width and height"));
  g_assert_nonnull (strstr (result->warnings->pdata[0], "it is not shown"));
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradbusview/values", test_values);
  g_test_add_func ("/gradbusview/same-weights", test_same_weights);
  g_test_add_func ("/gradbusview/stopped", test_stopped);
  g_test_add_data_func ("/gradbusview/too-large/frame", "width=6 height=6", test_too_large);
  g_test_add_data_func ("/gradbusview/too-large/scale", "scale=200", test_too_large);
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++) {
    g_autofree gchar *path = g_strdup_printf ("/gradbusview/refused/%u", i);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_refused);
  }
  return test_run_all ();
}
