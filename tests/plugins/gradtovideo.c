/* GradStreamer tests: gradtovideo
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <gst/check/gstharness.h>
#include <math.h>
#include <string.h>

static void
set_caps (GstHarness * harness, const gchar * type, const gchar * dimensions, gint fps)
{
  gst_harness_set_src_caps (harness, gst_caps_new_simple ("other/tensors", "format", G_TYPE_STRING,
          "static", "num_tensors", G_TYPE_INT, 1, "types", G_TYPE_STRING, type, "dimensions",
          G_TYPE_STRING, dimensions, "framerate", GST_TYPE_FRACTION, fps, 1, NULL));
}

/* "GRAY8 28x28 0/1" of what came out last */
static gchar *
describe (GstHarness * harness)
{
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (harness->sinkpad);
  const GstStructure *s = gst_caps_get_structure (caps, 0);
  gint width, height, n, d;

  g_assert_true (gst_structure_get (s, "width", G_TYPE_INT, &width, "height", G_TYPE_INT, &height,
          "framerate", GST_TYPE_FRACTION, &n, &d, NULL));
  return g_strdup_printf ("%s %dx%d %d/%d", gst_structure_get_string (s, "format"), width, height,
      n, d);
}

static void
push (GstHarness * harness, gconstpointer values, gsize size)
{
  g_assert_cmpint (gst_harness_push (harness, gst_buffer_new_memdup (values, size)), ==,
      GST_FLOW_OK);
}

/* A tensor of zeros in those caps; returns what video became of it */
static gchar *
show (GstHarness * harness, const gchar * type, const gchar * dimensions, gint fps)
{
  g_auto (GStrv) sizes = g_strsplit (dimensions, ":", -1);
  gsize n = g_str_equal (type, "float32") ? 4 : 1;
  g_autofree guint8 *zeros = NULL;

  for (guint d = 0; sizes[d] != NULL; d++)
    n *= atoi (sizes[d]);
  zeros = g_malloc0 (n);
  set_caps (harness, type, dimensions, fps);
  push (harness, zeros, n);
  return describe (harness);
}

/* Asserts size and pixels of the next frame. */
static void
assert_frame (GstHarness * harness, const guint8 * pixels, gsize size)
{
  g_autoptr (GstBuffer) out = gst_harness_pull (harness);
  GstMapInfo map;

  g_assert_nonnull (out);
  g_assert_true (gst_buffer_map (out, &map, GST_MAP_READ));
  g_assert_cmpmem (map.data, map.size, pixels, size);
  gst_buffer_unmap (out, &map);
}

static const struct
{
  const gchar *element, *type, *dimensions, *video;
  gint fps;
} shapes[] = {
  {"scale=1", "uint8", "28:28:1:1", "GRAY8 28x28 0/1"},
  {"scale=1", "uint8", "28:28", "GRAY8 28x28 0/1"},
  {"scale=1", "float32", "28:28:3:1", "RGB 28x28 0/1"},
  {"scale=1", "uint8", "28:28:1:256", "GRAY8 231x231 0/1"},
  {"scale=1 max-tiles=100", "uint8", "28:28:1:256", "GRAY8 289x289 0/1"},
  {"scale=1", "float32", "7:7:512:2", "RGB 63x63 0/1"},
  {"scale=1", "float32", "7:7:10:2", "RGB 39x31 0/1"},
  {"scale=1 columns=7", "float32", "7:7:10:2", "RGB 55x23 0/1"},
  {"scale=3 columns=99", "float32", "7:7:5:1", "RGB 109x21 0/1"},
  {"scale=1 color-map=gray", "float32", "7:7:3:2", "GRAY8 23x15 0/1"},
  {"scale=1 color-map=signed", "uint8", "7:7:1:1", "RGB 7x7 0/1"},
  {"scale=1", "float32", "28:4:1:3", "GRAY8 28x14 0/1"},
  {"scale=1", "float32", "4:28:1:3", "GRAY8 14x28 0/1"},
  {"scale=1", "float32", "10:256", "RGB 10x256 0/1"},
  {"", "float32", "10:256", "RGB 20x512 0/1"},
  {"", "uint8", "28:28:1:1", "GRAY8 336x336 0/1"},
  {"", "uint8", "640:480:1:1", "GRAY8 640x480 0/1"},
  {"mode=frames", "uint8", "28:28:1:1", "GRAY8 336x336 0/1"},
  {"mode=frames scale=1", "uint8", "28:28:1:2", "GRAY8 28x28 50/1", 25},
  {"mode=frames scale=1", "float32", "7:7:64:2", "RGB 63x63 0/1"},
  {"mode=frames scale=1", "float32", "10:4", "RGB 10x1 0/1"},
  {"scale=1 framerate=30/1", "uint8", "28:28:1:2", "GRAY8 57x28 25/1", 25},
  {"scale=1 framerate=30/15", "uint8", "28:28:1:2", "GRAY8 57x28 2/1"},
};

static void
test_shapes (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autofree gchar *launch = g_strdup_printf ("gradtovideo %s", shapes[i].element);
  GstHarness *harness = gst_harness_new_parse (launch);
  g_autofree gchar *video = show (harness, shapes[i].type, shapes[i].dimensions, shapes[i].fps);

  g_assert_cmpstr (video, ==, shapes[i].video);
  gst_harness_teardown (harness);
}

/* A picture is what it was, to the bit. */
static void
test_picture (void)
{
  GstHarness *harness = gst_harness_new_parse ("gradtovideo scale=1");
  guint8 pixels[28 * 28];

  for (guint i = 0; i < sizeof pixels; i++)
    pixels[i] = i * 7;          /* all 256 values */
  set_caps (harness, "uint8", "28:28:1:1", 0);
  push (harness, pixels, sizeof pixels);
  assert_frame (harness, pixels, sizeof pixels);
  gst_harness_teardown (harness);
}

#define VIOLET 68, 1, 84
#define YELLOW 253, 231, 37
#define BLUE 5, 48, 97
#define WHITE 255, 255, 255
#define RED 103, 0, 31
#define BLACK 0, 0, 0
#define GREY(level) level, level, level

/* Four values in a row, two channels of two where colours are per tile */
static const struct
{
  const gchar *name, *element;
  gfloat values[4];
  guint8 row[15];               /* two pixels, a gap, two pixels */
} colors[] = {
  {"unsigned", "", {0, 1, 5, 0}, {VIOLET, YELLOW, BLACK, YELLOW, VIOLET}},
  {"signed", "", {-2, 0, 5, -5}, {BLUE, WHITE, BLACK, RED, BLUE}},
  {"signed-asked", "color-map=signed", {0, 3, 5, 0}, {WHITE, RED, BLACK, RED, WHITE}},
  {"unsigned-asked", "color-map=unsigned", {-1, 1, 0, 2}, {VIOLET, YELLOW, BLACK, VIOLET, YELLOW}},
  {"unsigned-fixed", "minimum=1 maximum=2", {1, 2, -9, 9}, {VIOLET, YELLOW, BLACK, VIOLET, YELLOW}},
  {"signed-fixed", "minimum=-1 maximum=1", {0, 1, -9, 9}, {WHITE, RED, BLACK, BLUE, RED}},
  {"dead", "", {0, 0, 0, 1}, {VIOLET, VIOLET, BLACK, VIOLET, YELLOW}},
  {"not-a-number", "", {NAN, NAN, 1, NAN}, {BLACK, BLACK, BLACK, YELLOW, BLACK}},
  {"infinite", "", {INFINITY, 1, -INFINITY, -1}, {RED, RED, BLACK, BLUE, BLUE}},
  {"huge", "", {-3e38, 3e38, 0, 3e38}, {BLUE, RED, BLACK, WHITE, RED}},
};

static void
test_colors (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autofree gchar *launch = g_strdup_printf ("gradtovideo scale=1 columns=2 %s",
      colors[i].element);
  GstHarness *harness = gst_harness_new_parse (launch);
  g_autoptr (GstBuffer) frame = NULL;

  set_caps (harness, "float32", "2:1:2:1", 0);
  push (harness, colors[i].values, sizeof colors[i].values);
  frame = gst_harness_pull (harness);
  g_assert_cmpint (gst_buffer_memcmp (frame, 0, colors[i].row, sizeof colors[i].row), ==, 0);
  g_clear_pointer (&frame, gst_buffer_unref);
  gst_harness_teardown (harness);
}

/* Floats in grey and in colour: the range is that of the sample. */
static void
test_float_pictures (void)
{
  GstHarness *gray = gst_harness_new_parse ("gradtovideo scale=1");
  GstHarness *rgb = gst_harness_new_parse ("gradtovideo scale=1");
  const gfloat x[] = { -1, 0, 0, 1, 2, 2, 2, 12 }, y[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
  const guint8 gray_rows[] = { 0, 128, 128, 255, 0, 0, 0, 0, 0, 0, 0, 255 };
  const guint8 colored[] = { 0, 93, 185, 23, 116, 209, 46, 139, 232, 70, 162, 255 };

  set_caps (gray, "float32", "4:1:1:2", 0);     /* one above the other, a gap between */
  push (gray, x, sizeof x);
  assert_frame (gray, gray_rows, sizeof gray_rows);
  gst_harness_teardown (gray);
  set_caps (rgb, "float32", "4:1:3:1", 0);
  push (rgb, y, sizeof y);
  assert_frame (rgb, colored, sizeof colored);
  gst_harness_teardown (rgb);
}

/* Three pictures of 2x2, magnified by 2, in two columns; then one, in the same grid */
static void
test_grid (void)
{
  static const guint8 pictures[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
  static const guint8 full[9][12] = {
    {1, 1, 2, 2, 0, 5, 5, 6, 6}, {1, 1, 2, 2, 0, 5, 5, 6, 6},
    {3, 3, 4, 4, 0, 7, 7, 8, 8}, {3, 3, 4, 4, 0, 7, 7, 8, 8}, {0},
    {9, 9, 10, 10}, {9, 9, 10, 10}, {11, 11, 12, 12}, {11, 11, 12, 12}
  }, few[9][12] = {
    {1, 1, 2, 2}, {1, 1, 2, 2}, {3, 3, 4, 4}, {3, 3, 4, 4}
  };
  GstHarness *harness = gst_harness_new_parse ("gradtovideo scale=2");

  for (guint batch = 0; batch < 2; batch++) {
    g_autoptr (GstBuffer) out = NULL;

    set_caps (harness, "uint8", batch == 0 ? "2:2:1:3" : "2:2:1:1", 0);
    push (harness, pictures, batch == 0 ? 12 : 4);
    out = gst_harness_pull (harness);
    g_assert_cmpuint (gst_buffer_get_size (out), ==, sizeof full);
    for (guint y = 0; y < 9; y++)       /* rows of video are padded */
      g_assert_cmpint (gst_buffer_memcmp (out, y * 12, batch == 0 ? full[y] : few[y], 9), ==, 0);
  }
  gst_harness_teardown (harness);
}

/* What the size of the video does when shapes change */
static void
test_changes (void)
{
  static const struct
  {
    const gchar *type, *dimensions, *video;
  } steps[] = {
    {"uint8", "7:7:1:16", "GRAY8 31x31 0/1"},
    {"uint8", "7:7:1:1", "GRAY8 31x31 0/1"},
    {"uint8", "7:7:1:16", "GRAY8 31x31 0/1"},
    {"uint8", "7:7:1:17", "GRAY8 39x31 0/1"},
    {"uint8", "7:7:1:1", "GRAY8 39x31 0/1"},
    {"uint8", "7:8:1:1", "GRAY8 7x8 0/1"},
    {"float32", "7:8:2:1", "RGB 15x8 0/1"},
    {"float32", "10:5", "RGB 10x5 0/1"},
    {"float32", "10:3", "RGB 10x5 0/1"},
    {"float32", "10:6", "RGB 10x6 0/1"},
    {"float32", "9:6", "RGB 9x6 0/1"},
  };
  GstHarness *harness = gst_harness_new_parse ("gradtovideo scale=1");

  for (guint i = 0; i < G_N_ELEMENTS (steps); i++) {
    g_autofree gchar *video = show (harness, steps[i].type, steps[i].dimensions, 0);

    g_assert_cmpstr (video, ==, steps[i].video);
  }
  gst_harness_teardown (harness);
}

/* ---- frames */

/* Samples 40 to 43 in a batch, with labels 0, 10, 20, 30 and numbers 7, 6, 5, 4 */
static GstBuffer *
labelled_batch (void)
{
  static const guint8 pixels[] = { 1, 2, 3, 4 };
  static const gint32 labels[] = { 0, 10, 20, 30 };
  static const guint32 indices[] = { 7, 6, 5, 4 };
  GstBuffer *buffer = gst_buffer_new_memdup (pixels, sizeof pixels);
  GradSampleMeta *meta = grad_buffer_add_sample_meta (buffer);

  meta->phase = GRAD_PHASE_TRAIN;
  meta->source = meta->sequence = 1;
  meta->index = 40;
  meta->n_samples = 4;
  meta->labels = g_bytes_new_static (labels, sizeof labels);
  meta->indices = g_bytes_new_static (indices, sizeof indices);
  GST_BUFFER_PTS (buffer) = 1000;
  GST_BUFFER_DURATION (buffer) = 10;
  return buffer;
}

static gint32
label_of (GstBuffer * frame)
{
  GradSampleMeta *meta = grad_buffer_get_sample_meta (frame);

  g_assert_nonnull (meta);
  g_assert_cmpuint (meta->n_samples, ==, 1);
  g_assert_cmpuint (g_bytes_get_size (meta->labels), ==, 4);
  return *(const gint32 *) g_bytes_get_data (meta->labels, NULL);
}

static void
test_frames (gconstpointer framerate)
{
  static const GstClockTime times[] = { 1000, 1002, 1005, 1007, 1010 };
  g_autofree gchar *launch = g_strdup_printf ("gradtovideo mode=frames scale=1 framerate=%s",
      (const gchar *) framerate);
  GstHarness *harness = gst_harness_new_parse (launch);
  gboolean timed = !g_str_equal (framerate, "0/1");

  set_caps (harness, "uint8", "1:1:1:4", 0);
  for (guint batch = 0; batch < 2; batch++) {
    g_assert_cmpint (gst_harness_push (harness, labelled_batch ()), ==, GST_FLOW_OK);
    g_assert_cmpuint (gst_harness_buffers_in_queue (harness), ==, 4);
    for (guint i = 0; i < 4; i++) {
      g_autoptr (GstBuffer) frame = gst_harness_pull (harness);
      GradSampleMeta *meta = grad_buffer_get_sample_meta (frame);
      guint number = batch * 4 + i;
      GstClockTime start = timed ? number * GST_SECOND / 3 : times[i];
      GstClockTime end = timed ? (number + 1) * GST_SECOND / 3 : times[i + 1];

      g_assert_cmpuint (GST_BUFFER_PTS (frame), ==, start);
      g_assert_cmpuint (GST_BUFFER_DURATION (frame), ==, end - start);
      g_assert_cmpuint (GST_BUFFER_OFFSET (frame), ==, number);
      g_assert_cmpint (label_of (frame), ==, i * 10);
      g_assert_cmpint (meta->phase, ==, GRAD_PHASE_INFER);
      g_assert_cmpuint (meta->index, ==, 40 + i);
      g_assert_cmpuint (*(const guint32 *) g_bytes_get_data (meta->indices, NULL), ==, 7 - i);
      g_assert_cmpint (gst_buffer_memcmp (frame, 0, &(guint8) { i + 1 }, 1), ==, 0);
    }
  }
  gst_harness_teardown (harness);
}

/* Downstream that wants no more gets no more. */
static void
test_frames_end (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc phase=infer " TEST_DATA
      "! gradtovideo name=video mode=frames ! identity eos-after=3 ! fakesink name=sink");
  g_autoptr (TestResult) result = test_play (pipeline);

  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len, ==, 0);
}

/* Labels stay with the frames through what shows and converts video. */
static void
test_labels (void)
{
  static const gchar *const needed[] = { "videorate", "videoconvert", "videoscale", "videobox" };
  GstHarness *harness;
  guint n;

  for (guint i = 0; i < G_N_ELEMENTS (needed); i++) {
    g_autoptr (GstElementFactory) factory = gst_element_factory_find (needed[i]);

    if (factory == NULL) {
      g_test_skip ("no element of the name");
      return;
    }
  }
  harness = gst_harness_new_parse ("gradtovideo mode=frames framerate=2/1 scale=8 ! videorate "
      "! video/x-raw,framerate=30/1 ! videoconvert ! video/x-raw,format=I420 ! videoscale "
      "! video/x-raw,width=40,height=30 ! videobox border-alpha=0 left=-12 right=-12 top=-9 bottom=-9");
  set_caps (harness, "uint8", "1:1:1:4", 0);
  for (guint batch = 0; batch < 2; batch++)
    g_assert_cmpint (gst_harness_push (harness, labelled_batch ()), ==, GST_FLOW_OK);
  g_assert_true (gst_harness_push_event (harness, gst_event_new_eos ()));
  n = gst_harness_buffers_in_queue (harness);
  g_assert_cmpuint (n, >, 7 * 15 - 8);
  for (guint i = 0; i < n; i++) {
    g_autoptr (GstBuffer) frame = gst_harness_pull (harness);
    guint sample = (i + 7) / 15;        /* videorate takes the nearest frame */

    g_assert_cmpuint (GST_BUFFER_PTS (frame), ==, i * GST_SECOND / 30);
    g_assert_cmpuint (gst_buffer_get_size (frame), ==, 64 * 48 * 3 / 2);
    g_assert_cmpint (label_of (frame), ==, MIN (sample, 7) % 4 * 10);
  }
  gst_harness_teardown (harness);
}

/* ---- what it must not do */

static GstPadProbeReturn
count_frame (GstPad * pad, GstPadProbeInfo * info, gpointer count)
{
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  gpointer state = NULL;
  GstMeta *meta;

  g_assert_nonnull (grad_buffer_get_sample_meta (buffer));
  while ((meta = gst_buffer_iterate_meta (buffer, &state)) != NULL)
    g_assert_cmpstr (g_type_name (meta->info->api), !=, "GradTapeMetaAPI");
  (*(guint *) count)++;
  return GST_PAD_PROBE_OK;
}

#define SAVE "gradloss ! gradadamsink learning-rate=0.01 location=model.safetensors"
#define VIEW(properties) "! gradtovideo " properties " ! fakesink async=false sync=false "

/* Looking at every stage of a training, and at its curves, changes not a bit of what is learned, tape or no tape, queue or no queue. */
static void
test_training (gconstpointer queue)
{
  g_autoptr (TestResult) plain = test_train ("idxsrc epochs=3 " TEST_DATA TEST_EVALUATION
      TEST_HEAD ("") TEST_BODY ("") " ! " SAVE);
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (TestResult) result = NULL;
  guint n = 0;

  g_assert_true (plain->eos);
  g_assert_cmpint (g_rename ("model.safetensors", "plain.safetensors"), ==, 0);
  pipeline = test_launch ("idxsrc epochs=3 " TEST_DATA TEST_EVALUATION
      " ! tee name=a" TEST_HEAD ("") " ! tee name=b ! gradconvstem name=stem channels=4 kernel-size=3 stride=1 ! tee name=c "
      " ! gradresstage name=stage1 channels=4 blocks=1 first-block=true ! tee name=d "
      " ! gradresstage name=stage2 channels=8 blocks=1 ! gradglobalpool name=pool ! tee name=e "
      " ! gradfc name=fc units=5 ! tee name=f ! gradloss ! tee name=g ! gradadamsink learning-rate=0.01 "
      "location=model.safetensors a. %s" VIEW ("") "b. %s" VIEW ("mode=frames framerate=5/1")
      "c. %s" VIEW ("") "d. %s" VIEW ("color-map=signed") "e. %s" VIEW ("mode=frames") "f. %s"
      VIEW ("") "g. %s ! gradtovideo name=last ! fakesink async=false sync=false "
      "gradplotsrc framerate=10/1 width=160 height=90 ! fakesink", (const gchar *) queue,
      (const gchar *) queue, (const gchar *) queue, (const gchar *) queue, (const gchar *) queue,
      (const gchar *) queue, (const gchar *) queue);
  {
    g_autoptr (GstElement) last = test_get (pipeline, "last");
    g_autoptr (GstPad) pad = gst_element_get_static_pad (last, "src");

    gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, count_frame, &n, NULL);
  }
  result = test_play (pipeline);
  for (guint i = 0; i < result->errors->len; i++)
    g_error ("%s", (gchar *) result->errors->pdata[i]);
  g_assert_true (result->eos);
  g_assert_cmpuint (n, ==, 3 * (TEST_STEPS + (TEST_TEST_SAMPLES + TEST_BATCH - 1) / TEST_BATCH));
  test_assert_same_file ("plain.safetensors", "model.safetensors");
  test_assert_files ("plain.safetensors", "model.safetensors", NULL);
}

static GstPadProbeReturn
count_buffer (GstPad * pad, GstPadProbeInfo * info, gpointer count)
{
  (*(guint *) count)++;
  return GST_PAD_PROBE_OK;
}

/* Within an hour, one tensor is shown; a second run shows one, too. */
static void
test_interval (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc epochs=3 phase=infer " TEST_DATA
      "! gradtovideo name=video interval=3600000000000 ! fakesink sync=false");
  g_autoptr (GstElement) video = test_get (pipeline, "video");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (video, "src");
  guint n = 0;

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, count_buffer, &n, NULL);
  for (guint run = 1; run <= 2; run++) {
    g_autoptr (TestResult) result = test_play (pipeline);

    g_assert_true (result->eos);
    g_assert_cmpuint (n, ==, run);
  }
}

/* ---- errors */

static void
test_errors (void)
{
#define SOURCE "idxsrc phase=infer " TEST_DATA "! "
  test_assert_error (SOURCE "gradtovideo name=video minimum=2 maximum=1 ! fakesink", "video",
      "minimum=2", "maximum=1", NULL);
  test_assert_error (SOURCE "gradtovideo name=video scale=256 columns=8 ! fakesink", "video",
      "24583x3072", "lower max-tiles or scale", NULL);
  test_assert_error (SOURCE "gradtovideo name=video scale=1 ! video/x-raw,width=640 ! fakesink",
      "video", "makes GRAY8 of 38x38", "640", "videoscale", NULL);
  test_assert_error (SOURCE "gradtovideo name=video scale=1 ! video/x-raw,framerate=30/1 ! fakesink",
      "video", "at 0/1", "videorate", NULL);
}

/* Plain memory that is not what the caps say, and caps that say nothing sensible */
static void
test_bad_input (void)
{
  static const gchar *const dimensions[] = { "", "0:1:1:1", "1:2:3:4:5", "28:28:1:-1", "x",
    "2147483647:2147483647:1:1", "99999999999:1:1:1", "16385:1:1:1", ":", "3:"
  };
  static const gsize sizes[] = { 0, 1, 783, 785, 4 * 784 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    GstHarness *harness = gst_harness_new_parse ("gradtovideo");

    set_caps (harness, "uint8", "28:28:1:1", 0);
    g_assert_cmpint (gst_harness_push (harness, gst_buffer_new_allocate (NULL, sizes[i], NULL)),
        ==, GST_FLOW_ERROR);
    gst_harness_teardown (harness);
  }
  for (guint i = 0; i < G_N_ELEMENTS (dimensions); i++) {
    GstHarness *harness = gst_harness_new_parse ("gradtovideo");

    set_caps (harness, "uint8", dimensions[i], 0);
    g_assert_cmpint (gst_harness_push (harness, gst_buffer_new_allocate (NULL, 4, NULL)), ==,
        GST_FLOW_NOT_NEGOTIATED);
    gst_harness_teardown (harness);
  }
}

/* Whatever the shape, nothing is drawn outside: the sanitizers look on. */
static void
test_random_shapes (void)
{
  static const gchar *const maps[] = { "auto", "gray", "unsigned", "signed" };
  g_autoptr (GRand) random = g_rand_new_with_seed (3);

  for (guint run = 0; run < 200; run++) {
    guint n = g_rand_int_range (random, 1, 9), c = g_rand_int_range (random, 1, 6);
    guint h = g_rand_int_range (random, 1, 9), w = g_rand_int_range (random, 1, 9);
    gboolean bytes = g_rand_boolean (random), per_sample = g_rand_boolean (random);
    g_autofree gchar *launch = g_strdup_printf ("gradtovideo color-map=%s mode=%s scale=%d columns=%d max-tiles=%d",
        maps[g_rand_int_range (random, 0, 4)], per_sample ? "frames" : "grid",
        g_rand_int_range (random, 0, 4), g_rand_int_range (random, 0, 9),
        g_rand_int_range (random, 1, 20));
    g_autofree gchar *dimensions = g_strdup_printf ("%u:%u:%u:%u", w, h, c, n);
    gsize size = n * c * h * w * (bytes ? 1 : 4);
    g_autofree guint8 *values = g_malloc (size);
    GstHarness *harness = gst_harness_new_parse (launch);

    for (gsize i = 0; i < size; i++)
      values[i] = g_rand_int_range (random, 0, 256);    /* all kinds of floats */
    set_caps (harness, bytes ? "uint8" : "float32", dimensions, 0);
    push (harness, values, size);
    g_assert_cmpuint (gst_harness_buffers_received (harness), ==, per_sample ? n : 1);
    gst_harness_teardown (harness);
  }
}

/* Up and down, pausing amid the frames of a batch */
static void
test_states (void)
{
  GstElement *pipeline = test_launch ("idxsrc epochs=99 phase=infer " TEST_DATA
      "! gradtovideo mode=frames framerate=500/1 ! fakesink sync=true");

  test_watchdog (60);
  for (guint i = 0; i < 20; i++) {
    gst_element_set_state (pipeline, i % 4 == 3 ? GST_STATE_NULL : i % 4 == 1 ? GST_STATE_PAUSED
        : GST_STATE_PLAYING);
    gst_element_get_state (pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
    g_usleep (5000);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  gst_object_unref (pipeline);
  test_assert_no_leaks ();
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
    g_autofree gchar *path = g_strdup_printf ("/gradtovideo/shapes/%u", i);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_shapes);
  }
  for (guint i = 0; i < G_N_ELEMENTS (colors); i++) {
    g_autofree gchar *path = g_strconcat ("/gradtovideo/colors/", colors[i].name, NULL);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_colors);
  }
  g_test_add_func ("/gradtovideo/picture", test_picture);
  g_test_add_func ("/gradtovideo/float-pictures", test_float_pictures);
  g_test_add_func ("/gradtovideo/grid", test_grid);
  g_test_add_func ("/gradtovideo/changes", test_changes);
  g_test_add_data_func ("/gradtovideo/frames", "0/1", test_frames);
  g_test_add_data_func ("/gradtovideo/frames-timed", "3/1", test_frames);
  g_test_add_func ("/gradtovideo/frames-end", test_frames_end);
  g_test_add_func ("/gradtovideo/labels", test_labels);
  g_test_add_data_func ("/gradtovideo/training", "", test_training);
  g_test_add_data_func ("/gradtovideo/training-queues", "! queue", test_training);
  g_test_add_func ("/gradtovideo/interval", test_interval);
  g_test_add_func ("/gradtovideo/errors", test_errors);
  g_test_add_func ("/gradtovideo/bad-input", test_bad_input);
  g_test_add_func ("/gradtovideo/random-shapes", test_random_shapes);
  g_test_add_func ("/gradtovideo/states", test_states);
  return test_run_all ();
}
