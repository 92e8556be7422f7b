/* GradStreamer tests: gradplotsrc
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "lib/autograd/gradhistory-private.h"
#include "tests/pipelineutil.h"

#include <string.h>

#define LONG_TRAINING "idxsrc name=source epochs=100000 " TEST_DATA TEST_NETWORK ("") \
    "gradadamsink name=sink "

static gboolean
same_picture (GstBuffer * a, GstBuffer * b)
{
  GstMapInfo map;
  gboolean same;

  g_assert_true (gst_buffer_map (a, &map, GST_MAP_READ));
  same = gst_buffer_get_size (b) == map.size && gst_buffer_memcmp (b, 0, map.data, map.size) == 0;
  gst_buffer_unmap (a, &map);
  return same;
}

/* A launch string with it ends by itself, twice; the last frame shows what the first one could not. */
static void
test_ends (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc " TEST_DATA "! identity sleep-time=200000"
      TEST_NETWORK ("") "gradadamsink gradplotsrc framerate=50/1 ! fakesink name=video");

  for (guint i = 0; i < 2; i++) {
    g_autoptr (TestVideo) video = test_video (pipeline, "video");
    g_autoptr (TestResult) result = test_play (pipeline);
    GstBuffer **frames = (GstBuffer **) video->frames->pdata;
    guint n = video->frames->len;

    g_assert_true (result->eos);
    g_assert_cmpuint (result->errors->len, ==, 0);
    g_assert_cmpuint (result->epochs->len, ==, 1);
    g_assert_nonnull (strstr (video->caps, "width=(int)640, height=(int)360"));
    g_assert_nonnull (strstr (video->caps, "framerate=(fraction)50/1"));
    g_assert_cmpuint (n, >=, 2);
    g_assert_false (same_picture (frames[0], frames[n - 1]));
    for (guint f = 1; f < n; f++) {
      g_assert_cmpuint (GST_BUFFER_PTS (frames[f]), >=, GST_BUFFER_PTS (frames[f - 1]));
      g_assert_cmpuint (GST_BUFFER_DURATION (frames[f]), ==, 20 * GST_MSECOND);
    }
  }
}

/* Several of them, of any size and rate, leave every bit of the training as it was. */
static void
test_same_weights (void)
{
  g_autoptr (TestResult) plain = test_train ("idxsrc epochs=4 " TEST_DATA TEST_EVALUATION
      TEST_NETWORK ("") "gradadamsink location=plain.safetensors");
  g_autoptr (TestResult) seen = test_train ("idxsrc epochs=4 " TEST_DATA TEST_EVALUATION
      TEST_NETWORK ("") "gradadamsink location=seen.safetensors "
      "gradplotsrc framerate=1000/1 width=99 ! fakesink "
      "gradplotsrc ! video/x-raw,width=1280,height=720,framerate=60/1 ! fakesink");

  test_assert_same_file ("plain.safetensors", "seen.safetensors");
  test_assert_files ("plain.safetensors", "seen.safetensors", NULL);
}

static void
test_caps_filter (void)
{
  g_autoptr (GstElement) pipeline = test_launch (TEST_TRAINING "gradplotsrc width=320 height=200 "
      "! video/x-raw,width=1280,framerate=30/1 ! fakesink name=video");
  g_autoptr (TestVideo) video = test_video (pipeline, "video");
  g_autoptr (TestResult) result = test_play (pipeline);

  g_assert_true (result->eos);
  g_assert_nonnull (strstr (video->caps, "width=(int)1280, height=(int)200"));
  g_assert_nonnull (strstr (video->caps, "framerate=(fraction)30/1"));
}

/* In a pipeline of its own, on a shared bus: it ends when the training is stopped. While the training pauses, the same
 * picture comes again and again, and is not drawn anew. */
static void
test_other_pipeline (void)
{
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  g_autoptr (GstElement) training = test_launch (LONG_TRAINING);
  g_autoptr (GstElement) viewer =
      test_launch ("gradplotsrc framerate=50/1 ! fakesink name=video");
  g_autoptr (TestVideo) video = test_video (viewer, "video");
  g_autoptr (TestResult) result = test_result_new ();
  GstMemory *memory[2];

  gst_element_set_context (training, context);
  gst_element_set_context (viewer, context);
  test_watchdog (60);
  gst_element_set_state (training, GST_STATE_PLAYING);
  gst_element_set_state (viewer, GST_STATE_PLAYING);
  test_video_await (video, 3);
  gst_element_set_state (training, GST_STATE_PAUSED);
  gst_element_get_state (training, NULL, NULL, GST_CLOCK_TIME_NONE);
  test_video_forget (video);
  test_video_await (video, 4);
  g_mutex_lock (&video->lock);
  for (guint i = 0; i < 2; i++) /* with the first ones comes the last step */
    memory[i] = gst_buffer_peek_memory (video->frames->pdata[2 + i], 0);
  g_mutex_unlock (&video->lock);
  g_assert_true (memory[0] == memory[1]);
  gst_element_set_state (training, GST_STATE_NULL);
  test_collect (result, viewer, GST_MESSAGE_EOS | GST_MESSAGE_ERROR, 30 * GST_SECOND);
  g_assert_true (result->eos);
  gst_element_set_state (viewer, GST_STATE_NULL);
  test_watchdog (0);
}

/* Ctrl-C with -e and without */
static void
test_interrupted (void)
{
  for (guint eos = 0; eos < 2; eos++) {
    g_autoptr (GstElement) pipeline = test_launch (LONG_TRAINING
        "gradplotsrc framerate=1/100 ! fakesink name=video");
    g_autoptr (TestVideo) video = test_video (pipeline, "video");
    g_autoptr (TestResult) result = test_result_new ();

    test_watchdog (60);
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    gst_element_get_state (pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
    test_video_await (video, 1);
    if (eos) {
      gst_element_send_event (pipeline, gst_event_new_eos ());
      test_collect (result, pipeline, GST_MESSAGE_EOS | GST_MESSAGE_ERROR, 30 * GST_SECOND);
      g_assert_true (result->eos);
    }
    gst_element_set_state (pipeline, GST_STATE_NULL);
    test_watchdog (0);
  }
}

/* The curves of a training that is resumed are those of all of it. */
static void
test_resumed (void)
{
  const gchar *training = TEST_DATA TEST_NETWORK ("") "gradadamsink location=resumed.safetensors "
      "log-location=resumed.jsonl resume=true gradplotsrc ! fakesink";
  g_autofree gchar *first = g_strconcat ("idxsrc epochs=4 num-buffers=5 ", training, NULL);
  g_autofree gchar *second = g_strconcat ("idxsrc epochs=4 ", training, NULL);
  g_autoptr (TestResult) before = test_train (first);
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  g_autoptr (GstElement) pipeline = test_launch (second);
  g_autoptr (TestResult) after = NULL;
  g_autoptr (GradNetwork) network = NULL;
  GradHistory *history;

  gst_element_set_context (pipeline, context);
  after = test_play (pipeline);
  g_assert_true (before->eos && after->eos);
  network = grad_bus_get_network (bus, "main");
  history = grad_network_get_history (network);
  for (guint i = 0; i < 5; i++) {
    g_assert_cmpuint (g_array_index (history->steps, GradHistoryStep, i).step, ==, i + 1);
    g_assert_cmpuint (g_array_index (history->steps, GradHistoryStep, i).n, ==, 1);
  }
  g_assert_cmpuint (g_array_index (history->steps, GradHistoryStep, history->steps->len - 1).step, ==,
      4 * TEST_STEPS);
  g_assert_cmpuint (history->passes->len, ==, 4);
  test_assert_files ("resumed.safetensors", "resumed.jsonl", NULL);
}

static void
test_nothing_trains (void)
{
  test_assert_error ("gradplotsrc name=plot ! fakesink", "plot", "no network \"main\"", "model-name",
      NULL);
  test_assert_error (TEST_TRAINING "gradplotsrc name=plot model-name=other ! fakesink", "plot",
      "no network \"other\"", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradplotsrc/ends", test_ends);
  g_test_add_func ("/gradplotsrc/same-weights", test_same_weights);
  g_test_add_func ("/gradplotsrc/resumed", test_resumed);
  g_test_add_func ("/gradplotsrc/caps-filter", test_caps_filter);
  g_test_add_func ("/gradplotsrc/other-pipeline", test_other_pipeline);
  g_test_add_func ("/gradplotsrc/interrupted", test_interrupted);
  g_test_add_func ("/gradplotsrc/nothing-trains", test_nothing_trains);
  return test_run_all ();
}
