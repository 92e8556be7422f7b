/* GradStreamer tests: gradclassify under everything that an application may do to it, in random order
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * TEST_OPERATIONS: how many (default 3000); TEST_SEED: of their order (default 1). The long tests do 10,000, and a million frames. */
#include "config.h"
#include "tests/pipelineutil.h"

#include <stdio.h>
#include <unistd.h>

#define TRAIN "idxsrc " TEST_DATA "! gradresize ! gradconvstem channels=4 kernel-size=3 stride=1 ! gradglobalpool " \
  "! gradfc units=5 ! gradloss ! gradadamsink location=%s"

static guint
number (const gchar * name, guint fallback)
{
  const gchar *text = g_getenv (name);

  return text ? g_ascii_strtoull (text, NULL, 10) : fallback;
}

static gint
pick (GRand * random, gint n)
{
  return g_rand_int_range (random, 0, n);
}

static void
change_caps (GRand * random, GstElement * filter)
{
  static const gchar *const formats[] = { "I420", "NV12", "YUY2", "UYVY", "RGB", "BGRA", "GRAY8" };
  g_autoptr (GstCaps) caps = gst_caps_new_simple ("video/x-raw", "format", G_TYPE_STRING,
      formats[pick (random, G_N_ELEMENTS (formats))], "width", G_TYPE_INT, 1 + pick (random, 100),
      "height", G_TYPE_INT, 1 + pick (random, 100), "framerate", GST_TYPE_FRACTION,
      1 + pick (random, 200), 1, NULL);

  g_object_set (filter, "caps", caps, NULL);
}

static void
change_property (GRand * random, GstElement * classify)
{
  switch (pick (random, 8)) {
    case 0:
      g_object_set (classify, "location", pick (random, 2) ? "a.safetensors" : "b.safetensors", NULL);
      break;
    case 1:
      g_object_set (classify, "sync", pick (random, 2), NULL);
      break;
    case 2:
      g_object_set (classify, "interval", 1 + pick (random, 3), NULL);
      break;
    case 3:
      g_object_set (classify, "region", pick (random, 3), NULL);
      break;
    case 4:
      g_object_set (classify, "class-names", pick (random, 2) ? "a,b,c,d,e" : NULL, NULL);
      break;
    case 5:
      g_object_set (classify, "smoothing", pick (random, 2) * 0.5, NULL);
      break;
    case 6:
      g_object_set (classify, "max-lag", (guint64) pick (random, 2) * GST_MSECOND, NULL);
      break;
    default:
      g_object_set (classify, "top-k", 1 + pick (random, 6), NULL);
  }
}

static void
change_state (GRand * random, GstElement * pipeline)
{
  static const GstState states[] =
      { GST_STATE_NULL, GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_PLAYING, GST_STATE_PLAYING };

  gst_element_set_state (pipeline, states[pick (random, G_N_ELEMENTS (states))]);
  /* one change at a time: GStreamer 1.22 loses the second of two in quick succession */
  gst_element_get_state (pipeline, NULL, NULL, 5 * GST_SECOND);
}

static void
seek (GRand * random, GstElement * pipeline)
{
  gst_element_seek (pipeline, pick (random, 4) ? 1.0 : 2.0, GST_FORMAT_TIME,
      GST_SEEK_FLAG_FLUSH | (pick (random, 2) ? GST_SEEK_FLAG_ACCURATE : 0), GST_SEEK_TYPE_SET,
      pick (random, 1000) * GST_SECOND, GST_SEEK_TYPE_NONE, 0);
}

static gboolean
is_ours (GstMessage * message)
{
  g_autofree gchar *name = GST_MESSAGE_SRC (message) ? gst_object_get_name (GST_MESSAGE_SRC (message)) : NULL;

  return g_strcmp0 (name, "classify") == 0;
}

static void
drain (GstElement * pipeline)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  GstMessage *message;

  while ((message = gst_bus_pop (bus))) {
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR && is_ours (message)) {
      g_autoptr (GError) error = NULL;

      gst_message_parse_error (message, &error, NULL);
      g_error ("classify: %s", error->message);
    }
    gst_message_unref (message);
  }
}

static void
operate (GRand * random, GstElement * pipeline, GstElement * filter, GstElement * classify)
{
  switch (pick (random, 10)) {
    case 0:
      change_caps (random, filter);
      break;
    case 1:
    case 2:
      change_property (random, classify);
      break;
    case 3:
    case 4:
      change_state (random, pipeline);
      break;
    case 5:
    case 6:
    case 7:
      seek (random, pipeline);
      break;
    case 8:
      /* in PAUSED, a source that waits for the queue would keep it waiting */
      if (pick (random, 5) == 0 && GST_STATE (pipeline) == GST_STATE_PLAYING)
        gst_element_send_event (pipeline, gst_event_new_eos ());
      break;
    default:
      g_usleep (pick (random, 3000));
  }
}

static guint64
count_results (GstElement * classify)
{
  g_autoptr (GstStructure) stats = NULL;
  guint64 n = 0;

  g_object_get (classify, "stats", &stats, NULL);
  gst_structure_get (stats, "results", G_TYPE_UINT64, &n, NULL);
  return n;
}

static void
test_stress (void)
{
  guint n = number ("TEST_OPERATIONS", 3000), seed = number ("TEST_SEED", 1), busy = 0;
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);
  g_autoptr (GstElement) pipeline = NULL, filter = NULL, classify = NULL;
  gboolean played = FALSE;

  for (guint i = 0; i < 2; i++) {
    g_autoptr (TestResult) result = test_train (TRAIN, i ? "b.safetensors" : "a.safetensors");
  }
  pipeline = test_launch ("videotestsrc ! capsfilter name=filter ! gradclassify name=classify "
      "location=a.safetensors ! queue max-size-buffers=3 ! fakesink sync=false");
  filter = test_get (pipeline, "filter");
  classify = test_get (pipeline, "classify");
  change_caps (random, filter);
  for (guint i = 0; i < n; i++) {
    test_watchdog (60);
    operate (random, pipeline, filter, classify);
    drain (pipeline);
    busy += count_results (classify) > 0;
  }
  g_test_message ("%u operations, seed %u, %u of them while there were results", n, seed, busy);
  g_assert_cmpuint (busy, >, n / 10);

  /* and it still works */
  test_watchdog (60);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_object_set (classify, "sync", TRUE, "interval", 1, NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  while (!played) {
    g_usleep (10000);
    played = count_results (classify) > 0;
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  test_assert_files ("a.safetensors", "b.safetensors", NULL);
}

static gsize
resident_bytes (void)
{
  g_autofree gchar *text = NULL;
  unsigned long pages = 0;

  if (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL))
    sscanf (text, "%*u %lu", &pages);
  return pages * sysconf (_SC_PAGESIZE);
}

static GstPadProbeReturn
count_frame (GstPad * pad, GstPadProbeInfo * info, gpointer n)
{
  g_atomic_int_inc ((gint *) n);
  return GST_PAD_PROBE_OK;
}

/* TEST_FRAMES frames (default 20000), as fast as they come: none is lost, and memory stays as it was after the first tenth. */
static void
test_soak (void)
{
  guint n = number ("TEST_FRAMES", 20000);
  gint seen = 0;
  gsize early = 0, late;
  g_autoptr (GstElement) pipeline = NULL, out = NULL;
  g_autoptr (GstPad) pad = NULL;
  g_autoptr (GstBus) bus = NULL;
  gboolean eos = FALSE;

  {
    g_autoptr (TestResult) result = test_train (TRAIN, "a.safetensors");
  }
  pipeline = test_launch ("videotestsrc num-buffers=%u ! video/x-raw,format=I420,width=64,height=48 ! gradclassify "
      "location=a.safetensors ! fakesink name=out", n);
  out = test_get (pipeline, "out");
  pad = gst_element_get_static_pad (out, "sink");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, count_frame, &seen, NULL);
  bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  while (!eos) {
    g_autoptr (GstMessage) message = gst_bus_timed_pop_filtered (bus, 60 * GST_SECOND,
        GST_MESSAGE_EOS | GST_MESSAGE_ERROR | GST_MESSAGE_ELEMENT);

    g_assert_nonnull (message);
    g_assert_cmpint (GST_MESSAGE_TYPE (message), !=, GST_MESSAGE_ERROR);
    eos = GST_MESSAGE_TYPE (message) == GST_MESSAGE_EOS;
    if (early == 0 && (guint) g_atomic_int_get (&seen) >= n / 10)
      early = resident_bytes ();
  }
  late = resident_bytes ();
  g_test_message ("%d frames; %.1f MB resident after the first tenth, %.1f at the end", seen, early / 1e6,
      late / 1e6);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_assert_cmpint (seen, ==, n);
  g_assert_cmpuint (early, >, 0);
#ifndef __SANITIZE_ADDRESS__    /* which keeps what was freed for a while */
  g_assert_cmpuint (late, <, early + (8 << 20));
#endif
  test_assert_files ("a.safetensors", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/livestress/stress", test_stress);
  g_test_add_func ("/livestress/soak", test_soak);
  return test_run_all ();
}
