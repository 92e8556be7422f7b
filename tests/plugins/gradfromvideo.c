/* GradStreamer tests: gradfromvideo
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <gst/check/gstharness.h>
#include <gst/video/video.h>

#define GRAY(size) "video/x-raw,format=GRAY8," size ",framerate=25/1"
#define SQUARE GRAY ("width=4,height=4")
#define FRAME (40 * GST_MSECOND)
#define SMALL "gradfromvideo width=2 height=2 channels=1 "

/* Frame i of a stream is all of value i + 1. */
static GstBuffer *
frame (guint i, guint size)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, size, NULL);

  gst_buffer_memset (buffer, 0, i + 1, size);
  GST_BUFFER_PTS (buffer) = i * FRAME;
  GST_BUFFER_DURATION (buffer) = FRAME;
  return buffer;
}

static void
push (GstHarness * h, guint first, guint n)
{
  for (guint i = first; i < first + n; i++)
    g_assert_cmpint (gst_harness_push (h, frame (i, 16)), ==, GST_FLOW_OK);
}

/* "N: values of first pixels @ start + duration", times in frames; pads, too, when there are two */
static gchar *
describe (GstBuffer * buffer)
{
  GString *s = g_string_new (NULL);
  GradFramesMeta *meta = grad_buffer_get_frames_meta (buffer);
  GstMapInfo map;

  g_assert_nonnull (meta);
  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
  g_assert_cmpuint (map.size, ==, meta->n_frames * 4 * sizeof (gfloat));
  g_string_append_printf (s, "%u:", meta->n_frames);
  for (guint i = 0; i < meta->n_frames; i++) {
    const gfloat *values = (const gfloat *) map.data + i * 4;

    for (guint k = 1; k < 4; k++)
      g_assert_cmpfloat (values[k], ==, values[0]);
    g_string_append_printf (s, " %g", values[0] * 255);
    g_assert_cmpuint (meta->frames[i].duration, ==, FRAME);
    if (!g_str_equal (meta->frames[i].pad, "sink"))
      g_string_append_printf (s, "/%s@%g", meta->frames[i].pad, meta->frames[i].pts / (gdouble) FRAME);
  }
  gst_buffer_unmap (buffer, &map);
  g_string_append_printf (s, " @ %g + %g", GST_BUFFER_PTS (buffer) / (gdouble) FRAME,
      GST_BUFFER_DURATION (buffer) / (gdouble) FRAME);
  return g_string_free (s, FALSE);
}

static void
assert_next (GstHarness * h, const gchar * expected)
{
  g_autoptr (GstBuffer) buffer = gst_harness_pull (h);
  g_autofree gchar *got = NULL;

  g_assert_nonnull (buffer);
  got = describe (buffer);
  g_assert_cmpstr (got, ==, expected);
}

static void
assert_none (GstHarness * h)
{
  g_assert_null (gst_harness_try_pull (h));
}

static void
assert_dimensions (GstHarness * h, const gchar * dimensions, gint fps_n, gint fps_d)
{
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (h->sinkpad);
  const GstStructure *s = gst_caps_get_structure (caps, 0);
  gint n, d;

  g_assert_cmpstr (gst_structure_get_string (s, "dimensions"), ==, dimensions);
  g_assert_true (gst_structure_get_fraction (s, "framerate", &n, &d));
  g_assert_cmpint (n, ==, fps_n);
  g_assert_cmpint (d, ==, fps_d);
}

static void
test_single (void)
{
  GstHarness *h = gst_harness_new_parse (SMALL);

  gst_harness_set_src_caps_str (h, SQUARE);
  push (h, 0, 2);
  assert_next (h, "1: 1 @ 0 + 1");
  assert_dimensions (h, "2:2:1:1", 25, 1);
  assert_next (h, "1: 2 @ 1 + 1");
  gst_harness_teardown (h);
}

static void
test_batches (void)
{
  GstHarness *h = gst_harness_new_parse (SMALL "batch-size=3");

  gst_harness_set_src_caps_str (h, SQUARE);
  push (h, 0, 7);
  assert_next (h, "3: 1 2 3 @ 0 + 3");
  assert_dimensions (h, "2:2:1:3", 25, 3);
  assert_next (h, "3: 4 5 6 @ 3 + 3");
  assert_none (h);
  /* other caps end a batch, in which frames have one size */
  gst_harness_set_src_caps_str (h, GRAY ("width=4,height=2"));
  for (guint i = 7; i < 10; i++)
    gst_harness_push (h, frame (i, 8));
  assert_next (h, "1: 7 @ 6 + 1");
  assert_next (h, "3: 8 9 10 @ 7 + 3");
  /* so does the end */
  gst_harness_push (h, frame (10, 8));
  gst_harness_push (h, frame (11, 8));
  assert_none (h);
  gst_harness_push_event (h, gst_event_new_eos ());
  assert_next (h, "2: 11 12 @ 10 + 2");
  assert_dimensions (h, "2:2:1:2", 25, 2);
  assert_none (h);
  gst_harness_teardown (h);
}

/* A flush drops a batch, a gap ends it */
static void
test_flush (void)
{
  GstHarness *h = gst_harness_new_parse (SMALL "batch-size=3");
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_set_src_caps_str (h, SQUARE);
  push (h, 0, 2);
  gst_harness_push_event (h, gst_event_new_flush_start ());
  g_assert_cmpint (gst_harness_push (h, frame (2, 16)), ==, GST_FLOW_FLUSHING);
  gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  gst_harness_push_event (h, gst_event_new_segment (&segment));
  push (h, 5, 3);
  assert_next (h, "3: 6 7 8 @ 5 + 3");
  push (h, 8, 2);
  gst_harness_push_event (h, gst_event_new_gap (10 * FRAME, FRAME));
  assert_next (h, "2: 9 10 @ 8 + 2");
  push (h, 11, 1);
  segment.base = 20 * FRAME;
  gst_harness_push_event (h, gst_event_new_segment (&segment));
  push (h, 12, 3);
  assert_next (h, "1: 12 @ 11 + 1");
  assert_next (h, "3: 13 14 15 @ 12 + 3");
  gst_harness_teardown (h);
}

static void
test_timeout (void)
{
  GstHarness *h = gst_harness_new_parse (SMALL "batch-size=3 batch-timeout=300000000");
  gint64 before;

  gst_harness_set_src_caps_str (h, SQUARE);
  for (guint i = 0; i < 2; i++) {
    before = g_get_monotonic_time ();
    push (h, i * 4, 1);
    assert_next (h, i ? "1: 5 @ 4 + 1" : "1: 1 @ 0 + 1");
    g_assert_cmpint (g_get_monotonic_time () - before, >=, 300000);
  }
  gst_harness_teardown (h);

  h = gst_harness_new_parse (SMALL "batch-size=3 batch-timeout=3600000000000");
  gst_harness_set_src_caps_str (h, SQUARE);
  push (h, 8, 3);               /* which need not wait */
  assert_next (h, "3: 9 10 11 @ 8 + 3");
  gst_harness_teardown (h);

  /* none at all, and stopping does not wait for it */
  h = gst_harness_new_parse (SMALL "batch-size=3 batch-timeout=18446744073709551615");
  gst_harness_set_src_caps_str (h, SQUARE);
  push (h, 0, 2);
  g_usleep (100000);
  assert_none (h);
  gst_harness_teardown (h);
}

/* Both streams fill the same batches, whose times are running times. */
static void
test_streams (void)
{
  GstElement *element = gst_parse_launch (SMALL "batch-size=4", NULL);
  GstHarness *a = gst_harness_new_with_element (element, "sink", "src");
  GstHarness *b = gst_harness_new_with_element (element, "sink_%u", NULL);
  GstSegment segment;

  gst_harness_set_src_caps_str (a, SQUARE);
  gst_harness_set_src_caps_str (b, GRAY ("width=4,height=2"));
  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.start = 10 * FRAME;
  gst_harness_push_event (b, gst_event_new_segment (&segment));
  push (a, 0, 1);
  g_assert_cmpint (gst_harness_push (b, frame (9, 8)), ==, GST_FLOW_OK);        /* before its segment: not shown */
  for (guint i = 10; i < 12; i++)
    g_assert_cmpint (gst_harness_push (b, frame (i, 8)), ==, GST_FLOW_OK);
  push (a, 1, 1);
  assert_next (a, "4: 1 11/sink_0@10 12/sink_0@11 2 @ 0 + 2");
  assert_dimensions (a, "2:2:1:4", 0, 1);

  /* a flush of one drops what the other has in the batch, too, but does not stop it */
  g_assert_cmpint (gst_harness_push (b, frame (12, 8)), ==, GST_FLOW_OK);
  gst_harness_push_event (a, gst_event_new_flush_start ());
  for (guint i = 0; i < 4; i++)
    g_assert_cmpint (gst_harness_push (b, frame (12, 8)), ==, GST_FLOW_OK);
  gst_harness_push_event (a, gst_event_new_flush_stop (TRUE));
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (a, gst_event_new_segment (&segment));
  assert_none (a);

  /* the end of one stream is not the end */
  push (a, 2, 2);
  gst_harness_push_event (a, gst_event_new_eos ());
  assert_none (a);
  g_assert_cmpint (gst_harness_push (b, frame (12, 8)), ==, GST_FLOW_OK);
  gst_harness_push_event (b, gst_event_new_eos ());
  assert_next (a, "3: 3 4 13/sink_0@12 @ 2 + 2");
  g_assert_true (GST_PAD_IS_EOS (a->sinkpad));
  gst_harness_teardown (b);
  gst_harness_teardown (a);
  gst_object_unref (element);
}

/* Who is waited for may leave; and a stream that comes later ends what was begun without it */
static void
test_pads_come_and_go (void)
{
  GstElement *element = gst_parse_launch (SMALL "batch-size=4", NULL);
  GstHarness *a = gst_harness_new_with_element (element, "sink", "src"), *b;

  gst_harness_set_src_caps_str (a, SQUARE);
  push (a, 0, 2);
  b = gst_harness_new_with_element (element, "sink_7", NULL);
  gst_harness_set_src_caps_str (b, SQUARE);
  push (b, 5, 1);
  assert_next (a, "2: 1 2 @ 0 + 2");
  push (a, 2, 1);
  gst_harness_push_event (a, gst_event_new_eos ());
  assert_none (a);
  gst_harness_teardown (b);
  test_watchdog (60);
  while (!GST_PAD_IS_EOS (a->sinkpad))
    g_usleep (1000);
  test_watchdog (0);
  assert_next (a, "2: 6/sink_7@5 3 @ 5 + 1");
  gst_harness_teardown (a);
  gst_object_unref (element);
}

static void
test_latency (void)
{
  static const struct
  {
    const gchar *launch;
    GstClockTime latency;
  } cases[] = {
    {SMALL, 0},
    {SMALL "batch-size=5", 4 * FRAME},
    {SMALL "batch-size=5 batch-timeout=100000000", 100 * GST_MSECOND},
    {SMALL "batch-size=2 batch-timeout=100000000", FRAME},
  };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (cases); i++) {
    GstHarness *h = gst_harness_new_parse (cases[i / 2].launch);
    gboolean live = i % 2;

    gst_harness_set_live (h, live);
    gst_harness_set_src_caps_str (h, SQUARE);
    gst_harness_set_upstream_latency (h, 7 * GST_MSECOND);
    g_assert_cmpuint (gst_harness_query_latency (h), ==,
        live ? 7 * GST_MSECOND + cases[i / 2].latency : 0);
    gst_harness_teardown (h);
  }
}

/* Labels of the samples are those of the frames. */
static void
test_labels (void)
{
  GstHarness *h = gst_harness_new_parse (SMALL "batch-size=2");
  guint64 sequence = 0;

  gst_harness_set_src_caps_str (h, SQUARE);
  for (guint i = 0; i < 4; i++) {
    static const GradPhase phases[4][2] = {
      {GRAD_PHASE_TRAIN, GRAD_PHASE_TRAIN}, {GRAD_PHASE_EVALUATE, GRAD_PHASE_EVALUATE},
      {GRAD_PHASE_TRAIN, GRAD_PHASE_EVALUATE}, {GRAD_PHASE_TRAIN, GRAD_PHASE_TRAIN},
    };
    g_autoptr (GstBuffer) out = NULL;
    GradSampleMeta *meta;

    for (gint k = 0; k < 2; k++) {
      GstBuffer *buffer = frame (2 * i + k, 16);
      gint32 label = 10 * i + k;

      meta = grad_buffer_add_sample_meta (buffer);
      meta->phase = phases[i][k];
      meta->n_samples = 1;
      meta->index = 2 * i + k;
      meta->labels = i == 3 && k == 1 ? NULL : g_bytes_new (&label, sizeof label);
      g_assert_cmpint (gst_harness_push (h, buffer), ==, GST_FLOW_OK);
    }
    out = gst_harness_pull (h);
    meta = grad_buffer_get_sample_meta (out);
    g_assert_nonnull (meta);
    g_assert_cmpint (meta->phase, ==, i == 2 ? GRAD_PHASE_INFER : phases[i][0]);
    g_assert_cmpuint (meta->n_samples, ==, 2);
    g_assert_cmpuint (meta->index, ==, 2 * i);
    g_assert_cmpuint (meta->sequence, ==, ++sequence);
    if (i == 3) {
      g_assert_null (meta->labels);
      continue;
    }
    g_assert_cmpuint (g_bytes_get_size (meta->labels), ==, 2 * sizeof (gint32));
    for (guint k = 0; k < 2; k++)
      g_assert_cmpint (((const gint32 *) g_bytes_get_data (meta->labels, NULL))[k], ==, 10 * i + k);
  }

  for (guint i = 0; i < 2; i++) {       /* only some have one */
    g_autoptr (GstBuffer) out = NULL;

    for (guint k = 0; k < 2; k++) {
      GstBuffer *buffer = frame (k, 16);

      if (k == i)
        grad_buffer_add_sample_meta (buffer)->n_samples = 1;
      gst_harness_push (h, buffer);
    }
    out = gst_harness_pull (h);
    g_assert_null (grad_buffer_get_sample_meta (out));
  }
  gst_harness_teardown (h);
}

/* The meta goes with the tensor into what elements of others make of it. */
static void
test_frames_meta (void)
{
  GstHarness *h = gst_harness_new_parse (SMALL "batch-size=2 ! identity ! gradglobalpool");
  g_autoptr (GstBuffer) out = NULL;
  GradFramesMeta *meta;

  gst_harness_set_src_caps_str (h, SQUARE);
  push (h, 3, 2);
  out = gst_harness_pull (h);
  meta = grad_buffer_get_frames_meta (out);
  g_assert_nonnull (meta);
  g_assert_cmpuint (meta->n_frames, ==, 2);
  g_assert_cmpstr (meta->frames[1].pad, ==, "sink");
  g_assert_cmpuint (meta->frames[1].pts, ==, 4 * FRAME);
  g_assert_true (grad_frames_meta_get_frame (meta, 1) == &meta->frames[1]);
  g_assert_null (grad_frames_meta_get_frame (meta, 2));
  gst_harness_teardown (h);
}

/* Sizes, channels, what is subtracted and divided by, from properties and from a model file */
static void
test_settings (void)
{
  static const struct
  {
    const gchar *properties, *dimensions;
    gfloat first, last;         /* values of the picture, from the bytes R = 51, G = 102, B = 204 */
  } cases[] = {
    {"width=3 height=2", "3:2:3:1", 0.2f, 0.8f},
    {"width=6 height=2 region=letterbox", "6:2:3:1", 0, 0},
    {"width=3 height=2 region=stretch mean=0.1,0.2,0.3 std=0.5", "3:2:3:1", 0.2f, 1},
    {"width=1 height=1 channels=1 std=2", "1:1:1:1", 98 / 255.f / 2, 98 / 255.f / 2},
    {"model=model", "12:12:1:1", (98 / 255.f - 0.5f) / 0.25f, (98 / 255.f - 0.5f) / 0.25f},
    {"model=model width=5 channels=3 mean=0 std=1", "5:12:3:1", 0.2f, 0.8f},
  };
  g_autoptr (TestResult) result = test_train ("idxsrc " TEST_DATA "! gradresize mean=0.5 std=0.25 ! gradconvstem channels=2 "
      "! gradglobalpool ! gradfc units=5 ! gradloss ! gradadamsink location=model");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *launch = g_strconcat ("gradfromvideo ", cases[i].properties, NULL);
    GstHarness *h = gst_harness_new_parse (launch);
    GstBuffer *in = gst_buffer_new_allocate (NULL, 8 * 8 * 4, NULL);
    g_autoptr (GstBuffer) out = NULL;
    GstMapInfo map;
    gfloat *values;

    gst_buffer_map (in, &map, GST_MAP_WRITE);
    for (guint k = 0; k < map.size; k++)
      map.data[k] = (guint8[]) { 51, 102, 204, 0 }[k % 4];
    gst_buffer_unmap (in, &map);
    gst_harness_set_src_caps_str (h, "video/x-raw,format=RGBx,width=8,height=8,framerate=25/1");
    out = gst_harness_push_and_pull (h, in);
    assert_dimensions (h, cases[i].dimensions, 25, 1);
    g_assert_true (gst_buffer_map (out, &map, GST_MAP_READ));
    values = (gfloat *) map.data;
    g_assert_cmpfloat_with_epsilon (values[0], cases[i].first, 1e-6);
    g_assert_cmpfloat_with_epsilon (values[map.size / sizeof (gfloat) - 1], cases[i].last, 1e-6);
    gst_buffer_unmap (out, &map);
    g_clear_pointer (&out, gst_buffer_unref);
    gst_harness_teardown (h);
  }
  test_assert_files ("model", NULL);
}

static void
test_refused (void)
{
  static const struct
  {
    const gchar *launch, *text1, *text2;
  } cases[] = {
    {"", "set width and height", "model"},
    {"width=4", "set width and height", "model"},
    {"width=4 height=4 channels=2", "channels", "1 or 3"},
    {"width=4 height=4 mean=a", "mean=\"a\"", "numbers"},
    {"width=4 height=4 std=1,0", "std=\"1,0\"", "positive"},
    {"model=missing", "missing", ""},
    {"model=train-images", "train-images", ""},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *launch = g_strdup_printf ("videotestsrc ! gradfromvideo name=from %s ! fakesink",
        cases[i].launch);

    test_assert_error (launch, "from", cases[i].text1, cases[i].text2, NULL);
  }
}

/* Video that cannot be read, once it comes */
static void
test_bad_video (void)
{
  static const struct
  {
    const gchar *caps;
    guint size;
    const gchar *text;
  } cases[] = {
    {"video/x-raw,format=GRAY8,width=4,height=4,framerate=25/1,interlace-mode=interleaved", 16, "put deinterlace in front"},
    {SQUARE, 15, "15 bytes"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    GstHarness *h = gst_harness_new_parse (SMALL "batch-size=2");
    g_autoptr (GstBus) bus = gst_bus_new ();
    g_autoptr (GstMessage) message = NULL;
    g_autoptr (GError) error = NULL;

    gst_element_set_bus (h->element, bus);
    gst_harness_set_src_caps_str (h, cases[i].caps);
    g_assert_cmpint (gst_harness_push (h, frame (0, cases[i].size)), ==, GST_FLOW_ERROR);
    message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
    g_assert_nonnull (message);
    gst_message_parse_error (message, &error, NULL);
    g_test_message ("%s", error->message);
    g_assert_nonnull (strstr (error->message, cases[i].text));
    gst_element_set_bus (h->element, NULL);
    gst_harness_teardown (h);
  }
}

/* What comes out is the same each time, whoever maps it. */
static void
test_restart (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("videotestsrc num-buffers=7 pattern=ball ! "
      "video/x-raw,width=64,height=48 ! gradfromvideo width=10 height=12 batch-size=3 batch-timeout=3600000000000 ! "
      "appsink name=out sync=false");
  g_autoptr (GstElement) out = test_get (pipeline, "out");
  g_autoptr (GByteArray) first = g_byte_array_new ();

  test_watchdog (60);
  for (guint run = 0; run < 2; run++) {
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    GString *sizes = g_string_new (NULL);
    GstSample *sample;

    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    for (g_signal_emit_by_name (out, "pull-sample", &sample); sample;
        g_signal_emit_by_name (out, "pull-sample", &sample)) {
      GstMapInfo map;

      g_assert_true (gst_buffer_map (gst_sample_get_buffer (sample), &map, GST_MAP_READ));
      g_string_append_printf (sizes, "%" G_GSIZE_FORMAT " ", map.size / (3 * 12 * 10 * sizeof (gfloat)));
      g_byte_array_append (bytes, map.data, map.size);
      gst_buffer_unmap (gst_sample_get_buffer (sample), &map);
      gst_sample_unref (sample);
    }
    g_assert_cmpstr (sizes->str, ==, "3 3 1 ");
    if (run == 0)
      g_byte_array_append (first, bytes->data, bytes->len);
    g_assert_cmpmem (bytes->data, bytes->len, first->data, first->len);
    gst_element_set_state (pipeline, GST_STATE_NULL);
    g_string_free (sizes, TRUE);
  }
  test_watchdog (0);
}

/* A stream that leaves while another one's batch waits in a paused sink, as a program may want it, waits for nobody. */
static void
test_released_paused (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("videotestsrc num-buffers=3 ! video/x-raw,width=8,height=8 ! from.sink_0  "
      "videotestsrc name=other ! video/x-raw,width=8,height=8 ! from.sink_1  "
      "gradfromvideo name=from width=8 height=8 ! fakesink");
  g_autoptr (GstElement) from = test_get (pipeline, "from");
  g_autoptr (TestResult) result = test_result_new ();

  test_watchdog (60);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  gst_element_get_state (pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
  {
    g_autoptr (GstPad) pad = gst_element_get_static_pad (from, "sink_1");

    gst_element_release_request_pad (from, pad);
  }
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  test_collect (result, pipeline, GST_MESSAGE_EOS, 60 * GST_SECOND);
  g_assert_true (result->eos);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
}

/* Live, in several threads, stopped at any moment */
static void
test_stop (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("videotestsrc is-live=true ! video/x-raw,framerate=200/1,width=32,height=32 "
      "! from.sink  videotestsrc is-live=true ! video/x-raw,framerate=70/1,width=48,height=20 ! from.sink_0  "
      "gradfromvideo name=from width=8 height=8 batch-size=3 batch-timeout=7000000 ! fakesink sync=true");

  test_watchdog (60);
  for (guint i = 0; i < 12; i++) {
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    g_usleep (i * 10000);
    gst_element_set_state (pipeline, i % 2 ? GST_STATE_NULL : GST_STATE_READY);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradfromvideo/single", test_single);
  g_test_add_func ("/gradfromvideo/batches", test_batches);
  g_test_add_func ("/gradfromvideo/flush", test_flush);
  g_test_add_func ("/gradfromvideo/timeout", test_timeout);
  g_test_add_func ("/gradfromvideo/streams", test_streams);
  g_test_add_func ("/gradfromvideo/pads-come-and-go", test_pads_come_and_go);
  g_test_add_func ("/gradfromvideo/latency", test_latency);
  g_test_add_func ("/gradfromvideo/labels", test_labels);
  g_test_add_func ("/gradfromvideo/frames-meta", test_frames_meta);
  g_test_add_func ("/gradfromvideo/settings", test_settings);
  g_test_add_func ("/gradfromvideo/refused", test_refused);
  g_test_add_func ("/gradfromvideo/bad-video", test_bad_video);
  g_test_add_func ("/gradfromvideo/restart", test_restart);
  g_test_add_func ("/gradfromvideo/released-paused", test_released_paused);
  g_test_add_func ("/gradfromvideo/stop", test_stop);
  return test_run_all ();
}
