/* Tests of kernels/video beside GStreamer's videoconvert
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernelutil.h"
#include "lib/data/gradvideo.h"
#include "lib/data/gradvideoinfo.h"

#define WIDTH 95
#define HEIGHT 61

/* How far videoconvert may be off: it has fast loops for YUV to RGB that do with 8 bits, and others to 16 bits per channel, which
 * are nearer to what tests/kernels/video.c shows to be right. */
typedef struct
{
  const gchar *format, *colorimetry;
  gint tolerance;               /* of RGB */
} Conversion;

#define TOLERANCE_16 2          /* of ARGB64 */

static const Conversion conversions[] = {
  {"I420", "bt601", 5},
  {"I420", "bt709", 5},
  {"I420", "1:4:0:0", 5},       /* full range */
  {"I420", "2:6:0:0", 5},       /* BT.2020 */
  {"NV12", "2:5:0:0", 5},       /* SMPTE 240M */
  {"YV12", "bt601", 5},
  {"NV12", "bt709", 5},
  {"NV21", "bt601", 5},
  {"YUY2", "bt601", 5},
  {"UYVY", "bt709", 5},
  {"GRAY8", "1:4:0:0", 0},
  {"RGB", "sRGB", 0},
  {"BGR", "sRGB", 0},
  {"RGBA", "sRGB", 0},
  {"BGRx", "sRGB", 0},
  {"ARGB", "sRGB", 0},
  {"xBGR", "sRGB", 0},
};

typedef struct
{
  GstVideoInfo info;
  GstBuffer *buffer;
} Captured;

static void
capture (GstElement * element, GstBuffer * buffer, Captured * captured)
{
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element, "sink");
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);

  g_assert_true (gst_video_info_from_caps (&captured->info, caps));
  gst_buffer_replace (&captured->buffer, buffer);
}

static void
capture_last (GstElement * element, GstBuffer * buffer, GstPad * pad, Captured * captured)
{
  capture (element, buffer, captured);
}

/* FALSE without the plugins */
static gboolean
run_videoconvert (const Conversion * conversion, const gchar * to, Captured * in, Captured * out)
{
  g_autofree gchar *launch = g_strdup_printf ("videotestsrc num-buffers=1 pattern=smpte ! "
      "video/x-raw,format=%s,width=%d,height=%d,colorimetry=%s ! identity name=in signal-handoffs=true ! "
      "videoconvert chroma-mode=none ! video/x-raw,format=%s,colorimetry=sRGB ! "
      "fakesink name=out signal-handoffs=true", conversion->format, WIDTH, HEIGHT,
      conversion->colorimetry, to);
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (launch, &error);
  g_autoptr (GstElement) first = NULL, last = NULL;
  g_autoptr (GstBus) bus = NULL;
  g_autoptr (GstMessage) message = NULL;

  if (error != NULL) {
    g_test_skip (error->message);
    return FALSE;
  }
  first = gst_bin_get_by_name (GST_BIN (pipeline), "in");
  last = gst_bin_get_by_name (GST_BIN (pipeline), "out");
  g_signal_connect (first, "handoff", G_CALLBACK (capture), in);
  g_signal_connect (last, "handoff", G_CALLBACK (capture_last), out);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  bus = gst_element_get_bus (pipeline);
  message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_EOS);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return TRUE;
}

/* RGB, or the upper 8 bits of R G B in A R G B */
static gint
theirs (const GstVideoFrame * frame, gint row, gint column, gint c)
{
  const guint8 *line = (const guint8 *) GST_VIDEO_FRAME_PLANE_DATA (frame, 0)
      + row * GST_VIDEO_FRAME_PLANE_STRIDE (frame, 0);

  return GST_VIDEO_FRAME_COMP_DEPTH (frame, 0) == 8 ? line[3 * column + c]
      : (((const guint16 *) line)[4 * column + 1 + c] + 128) / 257;
}

static void
compare (const Conversion * conversion, const gchar * format, gint tolerance)
{
  g_autoptr (GradDevice) device = test_device ("ref");
  g_autoptr (GradTensor) y = grad_tensor_new (device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (1, 3, HEIGHT,
          WIDTH), NULL);
  const guint8 *ours = grad_tensor_data (y);
  g_autoptr (GError) error = NULL;
  Captured in = { 0 }, out = { 0 };
  GstVideoFrame from, to;
  GradVideoFrame frame;
  gint worst = 0, sum = 0;

  if (!run_videoconvert (conversion, format, &in, &out))
    return;
  g_assert_true (gst_video_frame_map (&from, &in.info, in.buffer, GST_MAP_READ));
  g_assert_true (gst_video_frame_map (&to, &out.info, out.buffer, GST_MAP_READ));
  grad_video_frame_describe (&frame, &in.info, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (&from); i++) {
    frame.planes[i] = GST_VIDEO_FRAME_PLANE_DATA (&from, i);
    frame.strides[i] = GST_VIDEO_FRAME_PLANE_STRIDE (&from, i);
  }
  grad_video_convert (device, &frame, y, 0, &error);
  g_assert_no_error (error);
  for (gint i = 0; i < 3 * HEIGHT * WIDTH; i++) {
    gint off = ABS (ours[i] - theirs (&to, i / WIDTH % HEIGHT, i % WIDTH, i / (HEIGHT * WIDTH)));

    worst = MAX (worst, off);
    sum += off;
  }
  g_test_message ("%s: off by %d at most, by %.2f on average", format, worst,
      sum / (3. * WIDTH * HEIGHT));
  g_assert_cmpint (worst, <=, tolerance);
  gst_video_frame_unmap (&from);
  gst_video_frame_unmap (&to);
  gst_buffer_replace (&in.buffer, NULL);
  gst_buffer_replace (&out.buffer, NULL);
}

static void
test_videoconvert (gconstpointer data)
{
  const Conversion *conversion = data;

  compare (conversion, "RGB", conversion->tolerance);
  compare (conversion, "ARGB64", TOLERANCE_16);
}

/* What videoconvert is needed for */
static void
test_unsupported (void)
{
  static const gchar *const caps[] = {
    "video/x-raw,format=I420_10LE,width=4,height=4,framerate=1/1",
    "video/x-raw,format=Y444,width=4,height=4,framerate=1/1",
  };

  for (guint i = 0; i < G_N_ELEMENTS (caps); i++) {
    g_autoptr (GstCaps) c = gst_caps_from_string (caps[i]);
    g_autoptr (GError) error = NULL;
    GstVideoInfo info;
    GradVideoFrame frame;

    g_assert_true (gst_video_info_from_caps (&info, c));
    g_assert_false (grad_video_frame_describe (&frame, &info, &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED);
    g_assert_nonnull (strstr (error->message, "put videoconvert"));
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (conversions); i++) {
    g_autofree gchar *path = g_strdup_printf ("/videoconvert/%s-%s", conversions[i].format,
        conversions[i].colorimetry);

    g_test_add_data_func (path, &conversions[i], test_videoconvert);
  }
  g_test_add_func ("/videoconvert/unsupported", test_unsupported);
  return g_test_run ();
}
