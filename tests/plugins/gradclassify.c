/* GradStreamer tests: classifying the frames of a video
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <gst/video/video.h>
#include <string.h>

#define N 64
#define BODY " ! gradconvstem channels=4 kernel-size=3 stride=1 ! gradglobalpool ! gradfc units=2 ! gradloss ! "
#define DATA "idxsrc location=shades labels=shade-labels batch-size=16 epochs=12 class-names=\"%s\""
#define OPTIMIZER "gradadamsink name=sink learning-rate=0.05 "
#define TRAIN DATA " ! gradresize" BODY OPTIMIZER
#define VIDEO "videotestsrc name=video num-buffers=%u pattern=%s ! video/x-raw,format=%s,width=64,height=48,framerate=30/1 ! "

/* 12x12 pictures that are dark, which is class 0, or bright */
static void
write_shades (void)
{
  g_autofree guint8 *pictures = g_malloc (N * 144), *labels = g_malloc (N);

  for (guint i = 0; i < N; i++) {
    labels[i] = i % 2;
    for (guint k = 0; k < 144; k++)
      pictures[i * 144 + k] = (labels[i] ? 190 : 5) + (i * 7 + k * 13) % 60;
  }
  test_write_idx ("shades", 3, (guint32[]) { N, 12, 12 }, pictures);
  test_write_idx ("shade-labels", 1, (guint32[]) { N }, labels);
}

static void
train (const gchar * location, const gchar * class_names)
{
  g_autoptr (TestResult) result = NULL;

  write_shades ();
  result = test_train (TRAIN "location=%s", class_names, location);
  g_remove ("shades");
  g_remove ("shade-labels");
}

/* What came out: a classification and a checksum for each frame */
typedef struct
{
  GMutex lock;
  GPtrArray *classifications;   /* NULL where a frame has none */
  GPtrArray *checksums;
  GArray *pts;
} Frames;

static GstPadProbeReturn
watch (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Frames *frames = data;
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  GradClassification *c = grad_buffer_get_classification (buffer);
  GstMapInfo map;

  g_mutex_lock (&frames->lock);
  g_ptr_array_add (frames->classifications, c ? grad_classification_ref (c) : NULL);
  g_array_append_val (frames->pts, GST_BUFFER_PTS (buffer));
  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
  g_ptr_array_add (frames->checksums, g_compute_checksum_for_data (G_CHECKSUM_MD5, map.data,
          map.size));
  gst_buffer_unmap (buffer, &map);
  g_mutex_unlock (&frames->lock);
  return GST_PAD_PROBE_OK;
}

static void
unref_classification (gpointer c)
{
  if (c != NULL)
    grad_classification_unref (c);
}

static Frames *
watch_frames (GstElement * pipeline)
{
  Frames *frames = g_new0 (Frames, 1);
  g_autoptr (GstElement) sink = gst_bin_get_by_name (GST_BIN (pipeline), "out");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (sink, "sink");

  g_mutex_init (&frames->lock);
  frames->classifications = g_ptr_array_new_with_free_func (unref_classification);
  frames->checksums = g_ptr_array_new_with_free_func (g_free);
  frames->pts = g_array_new (FALSE, FALSE, sizeof (GstClockTime));
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, watch, frames, NULL);
  return frames;
}

static void
frames_free (Frames * frames)
{
  g_ptr_array_unref (frames->classifications);
  g_ptr_array_unref (frames->checksums);
  g_array_unref (frames->pts);
  g_mutex_clear (&frames->lock);
  g_free (frames);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Frames, frames_free)

static Frames *
run (const gchar * pattern, const gchar * format, guint n, const gchar * classify)
{
  g_autoptr (GstElement) pipeline =
      test_launch (VIDEO "%s ! fakesink name=out", n, pattern, format, classify);
  g_autoptr (Frames) frames = watch_frames (pipeline);
  g_autoptr (TestResult) result = test_play (pipeline);

  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_cmpuint (result->warnings->len, ==, 0);
  g_assert_cmpuint (frames->classifications->len, ==, n);
  return g_steal_pointer (&frames);
}

#define CLASSIFY "gradclassify name=classify location=model.safetensors "

/* Each frame has its own result, and is the frame that came in. */
static void
test_sync (void)
{
  static const gchar *const formats[] = { "I420", "NV12", "YUY2", "RGB", "BGRx", "GRAY8" };

  train ("model.safetensors", "dark,bright");
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    for (guint bright = 0; bright < 2; bright++) {
      const gchar *pattern = bright ? "white" : "black";
      g_autoptr (Frames) frames = run (pattern, formats[i], 3, CLASSIFY "sync=true");
      g_autoptr (Frames) plain = run (pattern, formats[i], 3, "identity");

      for (guint n = 0; n < 3; n++) {
        GradClassification *c = frames->classifications->pdata[n];

        g_assert_nonnull (c);
        g_assert_cmpuint (grad_classification_get_n_results (c), ==, 2);
        g_assert_cmpstr (grad_classification_get_label (c, 0), ==, bright ? "bright" : "dark");
        g_assert_cmpfloat (grad_classification_get_probability (c, 0), >, 0.6);
        g_assert_cmpfloat_with_epsilon (grad_classification_get_probability (c, 0)
            + grad_classification_get_probability (c, 1), 1, 1e-6);
        g_assert_cmpuint (grad_classification_get_pts (c), ==, g_array_index (frames->pts,
                GstClockTime, n));
        g_assert_cmpuint (grad_classification_get_version (c), ==, 48);
        g_assert_cmpstr (frames->checksums->pdata[n], ==, plain->checksums->pdata[n]);
      }
    }
  test_assert_files ("model.safetensors", NULL);
}

/* Frames pass at once; later ones carry what was seen in earlier ones. */
static void
test_async (void)
{
  g_autoptr (Frames) frames = NULL;
  guint n_with = 0;

  train ("model.safetensors", "dark,bright");
  frames = run ("white", "I420", 40, CLASSIFY "! identity sleep-time=33000");
  for (guint n = 0; n < 40; n++) {
    GradClassification *c = frames->classifications->pdata[n];

    if (c == NULL)
      continue;
    n_with++;
    g_assert_cmpstr (grad_classification_get_label (c, 0), ==, "bright");
    g_assert_cmpuint (grad_classification_get_pts (c), <, g_array_index (frames->pts,
            GstClockTime, n));
  }
  g_assert_cmpuint (n_with, >, 0);
  g_assert_null (frames->classifications->pdata[0]);
  test_assert_files ("model.safetensors", NULL);
}

static guint
count_distinct (Frames * frames)
{
  g_autoptr (GHashTable) set = g_hash_table_new (NULL, NULL);

  for (guint n = 0; n < frames->classifications->len; n++)
    g_hash_table_add (set, frames->classifications->pdata[n]);
  return g_hash_table_size (set);
}

static void
test_choices (void)
{
  train ("model.safetensors", "dark,bright");
  {
    g_autoptr (Frames) frames = run ("white", "GRAY8", 2, CLASSIFY "sync=true top-k=1 "
        "class-names=\"off,on\"");
    GradClassification *c = frames->classifications->pdata[0];

    g_assert_cmpuint (grad_classification_get_n_results (c), ==, 1);
    g_assert_cmpstr (grad_classification_get_label (c, 0), ==, "on");
  }
  {
    g_autoptr (Frames) frames = run ("white", "GRAY8", 2, CLASSIFY "sync=true threshold=0.5");

    g_assert_cmpuint (grad_classification_get_n_results (frames->classifications->pdata[0]), ==, 1);
  }
  {
    g_autoptr (Frames) frames = run ("white", "GRAY8", 12, CLASSIFY "sync=true interval=4");

    g_assert_cmpuint (count_distinct (frames), ==, 3);
  }
  {
    /* frames are 33 ms apart: the first one's result is too old from the fourth on */
    g_autoptr (Frames) frames = run ("white", "GRAY8", 8, CLASSIFY "sync=true interval=100 "
        "max-lag=100000000");

    for (guint n = 0; n < 8; n++)
      g_assert_true ((frames->classifications->pdata[n] != NULL) == (n <= 3));
  }
  test_assert_files ("model.safetensors", NULL);
}

/* From dark to bright: with smoothing the probability follows slowly, to the same end. */
static void
test_smoothing (void)
{
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (Frames) frames = NULL;
  g_autoptr (TestResult) result = NULL;
  gfloat last = 1, start = 0;

  train ("model.safetensors", "dark,bright");
  /* blink: white and black by turns */
  pipeline = test_launch (VIDEO CLASSIFY "sync=true smoothing=0.9 ! fakesink name=out", 20, "blink",
      "GRAY8");
  frames = watch_frames (pipeline);
  result = test_play (pipeline);
  g_assert_true (result->eos);
  for (guint n = 0; n < 20; n++) {
    GradClassification *c = frames->classifications->pdata[n];
    gfloat dark = grad_classification_get_probability (c,
        grad_classification_get_index (c, 0) == 0 ? 0 : 1);

    if (n == 0)
      start = dark;
    else
      g_assert_cmpfloat (ABS (dark - last), <, 0.1);
    last = dark;
  }
  g_assert_true (start > 0.6 || start < 0.4);
  g_assert_cmpfloat (last, >, 0.2);
  g_assert_cmpfloat (last, <, 0.8);
  test_assert_files ("model.safetensors", NULL);
}

static void
test_errors (void)
{
  train ("model.safetensors", "dark,bright");
  test_write ("garbage", "garbage", 7);
  test_assert_error ("videotestsrc ! gradclassify name=c ! fakesink", "c", "location", "model-name",
      NULL);
  test_assert_error ("videotestsrc ! gradclassify name=c location=model.safetensors class-names=a,b,c ! fakesink", "c",
      "class-names has 3 names", "2 classes", NULL);
  test_assert_error ("videotestsrc ! gradclassify name=c location=missing ! fakesink", "c",
      "missing", NULL);
  test_assert_error ("videotestsrc ! gradclassify name=c location=garbage ! fakesink", "c",
      "garbage", NULL);
  test_assert_error ("videotestsrc ! gradclassify name=c location=model.safetensors "
      "class-names=\",,\" ! fakesink", "c", "class", NULL);
  test_assert_error ("videotestsrc ! capssetter caps=video/x-raw,interlace-mode=interleaved "
      "! gradclassify name=c location=model.safetensors ! fakesink", "c", "deinterlace", NULL);
  test_assert_files ("model.safetensors", "garbage", NULL);
}

/* Waits until frames carry a label, or the watchdog ends the test. */
static void
wait_for_label (Frames * frames, const gchar * label)
{
  for (gboolean found = FALSE; !found; g_usleep (10000)) {
    g_mutex_lock (&frames->lock);
    if (frames->classifications->len > 0) {
      GradClassification *c = frames->classifications->pdata[frames->classifications->len - 1];

      found = c && g_str_equal (grad_classification_get_label (c, 0), label);
    }
    g_mutex_unlock (&frames->lock);
  }
}

/* The model is replaced while the video plays: by one with other names, by garbage, by setting another. */
static void
test_reload (void)
{
  for (guint sync = 0; sync < 2; sync++) {
    g_autoptr (GstElement) pipeline = NULL, classify = NULL;
    g_autoptr (Frames) frames = NULL;
    g_autoptr (TestResult) result = test_result_new ();

    train ("model.safetensors", "dark,bright");
    train ("other.safetensors", "night,day");
    train ("third.safetensors", "low,high");
    pipeline = test_launch ("videotestsrc is-live=true pattern=white ! video/x-raw,framerate=100/1 ! "
        CLASSIFY "sync=%u ! fakesink name=out", sync);
    classify = test_get (pipeline, "classify");
    frames = watch_frames (pipeline);
    test_watchdog (60);
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    wait_for_label (frames, "bright");
    g_assert_cmpint (g_rename ("other.safetensors", "model.safetensors"), ==, 0);
    wait_for_label (frames, "day");
    g_object_set (classify, "location", "third.safetensors", NULL);
    wait_for_label (frames, "high");
    g_object_set (classify, "class-names", "x,y", NULL);
    wait_for_label (frames, "y");
    test_write ("third.safetensors", "garbage", 7);
    test_collect (result, pipeline, GST_MESSAGE_WARNING, 10 * GST_SECOND);
    g_assert_cmpuint (result->warnings->len, ==, 1);
    g_assert_nonnull (strstr (result->warnings->pdata[0], "third.safetensors"));
    g_mutex_lock (&frames->lock);
    g_ptr_array_set_size (frames->classifications, 0);
    g_mutex_unlock (&frames->lock);
    wait_for_label (frames, "y");
    test_collect (result, pipeline, 0, 0);        /* a bus that was emptied may be waited for in vain */
    gst_element_set_state (pipeline, GST_STATE_NULL);
    test_watchdog (0);
    g_assert_cmpuint (result->errors->len, ==, 0);
    test_assert_files ("model.safetensors", "third.safetensors", NULL);
  }
}

/* The picture's label improves while the network trains, in one launch string. */
static void
test_learning (void)
{
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (Frames) frames = NULL;
  g_autoptr (TestResult) result = NULL;
  GradClassification *last;
  guint64 version = 0;
  guint n_versions = 0;

  write_shades ();
  pipeline = test_launch (DATA " ! identity sleep-time=20000 ! gradresize" BODY OPTIMIZER
      "videotestsrc is-live=true pattern=white ! "
      "video/x-raw,framerate=100/1 ! gradclassify model-name=main refresh-interval=0 "
      "! fakesink name=out", "dark,bright");
  g_object_set (test_get (pipeline, "sink"), "learning-rate", 0.01, NULL);
  frames = watch_frames (pipeline);
  test_watchdog (60);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  wait_for_label (frames, "bright");
  for (gboolean done = FALSE; !done; g_usleep (10000)) {
    g_mutex_lock (&frames->lock);
    last = frames->classifications->pdata[frames->classifications->len - 1];
    done = last && grad_classification_get_version (last) == 48;
    g_mutex_unlock (&frames->lock);
  }
  result = test_result_new ();
  test_collect (result, pipeline, 0, 0);        /* a bus that was emptied may be waited for in vain */
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  for (guint n = 0; n < frames->classifications->len; n++) {
    GradClassification *c = frames->classifications->pdata[n];

    if (c == NULL)
      continue;
    g_assert_cmpuint (grad_classification_get_version (c), >=, version);
    n_versions += grad_classification_get_version (c) > version;
    version = grad_classification_get_version (c);
  }
  g_assert_cmpuint (version, ==, 48);
  g_assert_cmpuint (n_versions, >=, 2);
  last = frames->classifications->pdata[frames->classifications->len - 1];
  g_assert_cmpstr (grad_classification_get_label (last, 0), ==, "bright");
  g_remove ("shades");
  g_remove ("shade-labels");
  g_assert_cmpuint (result->errors->len, ==, 0);
  test_assert_files (NULL, NULL);
}

/* Two pipelines with one bus, in two threads of control: one trains, one looks. */
static void
test_shared_bus (void)
{
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  g_autoptr (GstElement) training = NULL, video = NULL;
  g_autoptr (Frames) frames = NULL;
  g_autoptr (TestResult) result = NULL;

  write_shades ();
  training = test_launch (TRAIN, "dark,bright");
  video = test_launch ("videotestsrc is-live=true pattern=black ! video/x-raw,framerate=100/1 "
      "! gradclassify model-name=main refresh-interval=0 ! fakesink name=out");
  gst_element_set_context (training, context);
  gst_element_set_context (video, context);
  frames = watch_frames (video);
  gst_element_set_state (video, GST_STATE_PLAYING);
  result = test_play (training);
  g_assert_true (result->eos);
  test_watchdog (60);
  wait_for_label (frames, "dark");
  test_watchdog (0);
  gst_element_set_state (video, GST_STATE_NULL);
  g_remove ("shades");
  g_remove ("shade-labels");
  test_assert_files (NULL, NULL);
}

/* From a file's weights to those of a network on the bus, and back, while the video plays */
static void
test_other_source (void)
{
  for (guint sync = 0; sync < 2; sync++) {
    g_autoptr (GradBus) bus = grad_bus_new ();
    g_autoptr (GstContext) context = grad_bus_to_context (bus);
    g_autoptr (GstElement) training = NULL, video = NULL, classify = NULL;
    g_autoptr (Frames) frames = NULL;
    g_autoptr (TestResult) result = NULL, played = test_result_new ();

    train ("model.safetensors", "night,day");
    write_shades ();
    training = test_launch (TRAIN, "dark,bright");
    video = test_launch ("videotestsrc is-live=true pattern=black ! video/x-raw,framerate=100/1 ! " CLASSIFY
        "model-name=main refresh-interval=0 sync=%u ! fakesink name=out", sync);
    classify = test_get (video, "classify");
    gst_element_set_context (training, context);
    gst_element_set_context (video, context);
    frames = watch_frames (video);
    test_watchdog (60);
    gst_element_set_state (video, GST_STATE_PLAYING);
    result = test_play (training);
    g_assert_true (result->eos);
    wait_for_label (frames, "night");
    g_object_set (classify, "location", NULL, NULL);
    wait_for_label (frames, "dark");
    g_object_set (classify, "location", "model.safetensors", NULL);
    wait_for_label (frames, "night");
    test_collect (played, video, 0, 0);
    gst_element_set_state (video, GST_STATE_NULL);
    test_watchdog (0);
    g_assert_cmpuint (played->errors->len + played->warnings->len, ==, 0);
    g_remove ("shades");
    g_remove ("shade-labels");
  }
  test_assert_files ("model.safetensors", NULL);
}

/* A seek, other caps, and the whole once more */
static void
test_flush (void)
{
  g_autoptr (GstElement) pipeline = NULL, filter = NULL;
  g_autoptr (Frames) frames = NULL;
  g_autoptr (TestResult) result = test_result_new ();
  GstClockTime previous;

  train ("model.safetensors", "dark,bright");
  pipeline = test_launch ("videotestsrc pattern=white ! capsfilter name=filter "
      "caps=video/x-raw,format=I420,width=50,height=38,framerate=100/1 ! " CLASSIFY
      "! fakesink name=out sync=true");
  filter = test_get (pipeline, "filter");
  frames = watch_frames (pipeline);
  test_watchdog (60);
  for (guint round = 0; round < 2; round++) {
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    wait_for_label (frames, "bright");
    for (guint i = 0; i < 5; i++) {
      g_autoptr (GstCaps) caps = gst_caps_new_simple ("video/x-raw", "format", G_TYPE_STRING,
          i % 2 ? "YUY2" : "RGB", "width", G_TYPE_INT, 20 + 30 * i, "height", G_TYPE_INT, 24,
          "framerate", GST_TYPE_FRACTION, 100, 1, NULL);

      g_object_set (filter, "caps", caps, NULL);
      g_assert_true (gst_element_seek_simple (pipeline, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH,
              10 * i * GST_SECOND));
      wait_for_label (frames, "bright");
    }
    test_collect (result, pipeline, 0, 0);        /* a bus that was emptied may be waited for in vain */
    gst_element_set_state (pipeline, GST_STATE_NULL);
  }
  test_watchdog (0);
  g_assert_cmpuint (result->errors->len, ==, 0);
  /* nothing is attached that was seen before a seek back */
  previous = 0;
  for (guint n = 0; n < frames->pts->len; n++) {
    GstClockTime pts = g_array_index (frames->pts, GstClockTime, n);
    GradClassification *c = frames->classifications->pdata[n];

    if (pts < previous)
      g_assert_null (c);
    else if (c != NULL)
      g_assert_cmpuint (grad_classification_get_pts (c), <=, pts);
    previous = pts;
  }
  test_assert_files ("model.safetensors", NULL);
}

static void
test_messages (void)
{
  g_autoptr (GstElement) pipeline = NULL, classify = NULL;
  g_autoptr (GstStructure) stats = NULL;
  g_autoptr (GstBus) bus = NULL;
  GstMessage *message;
  guint64 n_frames, n_results, n = 0;

  train ("model.safetensors", "dark,bright");
  pipeline = test_launch (VIDEO CLASSIFY "sync=true ! fakesink", 10, "blink", "GRAY8");
  classify = test_get (pipeline, "classify");
  bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  while ((message = gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND,
              GST_MESSAGE_ELEMENT | GST_MESSAGE_EOS | GST_MESSAGE_ERROR))) {
    GstMessageType type = GST_MESSAGE_TYPE (message);

    if (gst_message_has_name (message, "grad-classification")) {
      const GValue *labels = gst_structure_get_value (gst_message_get_structure (message), "labels");

      g_assert_cmpstr (g_value_get_string (gst_value_array_get_value (labels, 0)), ==,
          n++ % 2 ? "bright" : "dark");
    }
    gst_message_unref (message);
    if (type != GST_MESSAGE_ELEMENT)
      break;
  }
  g_assert_cmpuint (n, ==, 10);
  g_object_get (classify, "stats", &stats, NULL);
  g_assert_true (gst_structure_get (stats, "frames", G_TYPE_UINT64, &n_frames, "results",
          G_TYPE_UINT64, &n_results, NULL));
  g_assert_cmpuint (n_frames, ==, 10);
  g_assert_cmpuint (n_results, ==, 10);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_assert_files ("model.safetensors", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradclassify/sync", test_sync);
  g_test_add_func ("/gradclassify/async", test_async);
  g_test_add_func ("/gradclassify/choices", test_choices);
  g_test_add_func ("/gradclassify/smoothing", test_smoothing);
  g_test_add_func ("/gradclassify/errors", test_errors);
  g_test_add_func ("/gradclassify/reload", test_reload);
  g_test_add_func ("/gradclassify/learning", test_learning);
  g_test_add_func ("/gradclassify/shared-bus", test_shared_bus);
  g_test_add_func ("/gradclassify/other-source", test_other_source);
  g_test_add_func ("/gradclassify/flush", test_flush);
  g_test_add_func ("/gradclassify/messages", test_messages);
  return test_run_all ();
}
