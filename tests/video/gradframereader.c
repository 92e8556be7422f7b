/* Tests of lib/video: which part of a frame a network sees, and that it is the same however the frame lies in memory
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/kernels/kernelutil.h"
#include "lib/data/gradresizer.h"
#include "lib/data/gradvideo.h"
#include "lib/data/gradvideoinfo.h"
#include "lib/video/gradframereader.h"

static GPtrArray *devices;      /* the reference first */

static GstVideoInfo
video_info (GstVideoFormat format, gint width, gint height, gint par_n, gint par_d)
{
  GstVideoInfo info;

  gst_video_info_set_format (&info, format, width, height);
  info.par_n = par_n;
  info.par_d = par_d;
  return info;
}

/* Random bytes; with padding, rows and planes lie further apart than the info says, and a GstVideoMeta says how */
static GstBuffer *
random_frame (const GstVideoInfo * info, gint padding, guint32 seed)
{
  gsize offset[GST_VIDEO_MAX_PLANES], size = padding;
  gint stride[GST_VIDEO_MAX_PLANES];
  GstBuffer *buffer;
  GstMapInfo map;

  for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES (info); p++) {
    gint component[GST_VIDEO_MAX_COMPONENTS];

    gst_video_format_info_component (info->finfo, p, component);
    stride[p] = GST_VIDEO_INFO_PLANE_STRIDE (info, p) + padding;
    offset[p] = size;
    size += stride[p] * GST_VIDEO_INFO_COMP_HEIGHT (info, component[0]) + padding;
  }
  buffer = gst_buffer_new_allocate (NULL, padding ? size : GST_VIDEO_INFO_SIZE (info), NULL);
  gst_buffer_map (buffer, &map, GST_MAP_WRITE);
  for (gsize i = 0; i < map.size; i++)
    map.data[i] = lcg_bits (&seed) >> 7;
  gst_buffer_unmap (buffer, &map);
  if (padding)
    gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT (info),
        GST_VIDEO_INFO_WIDTH (info), GST_VIDEO_INFO_HEIGHT (info), GST_VIDEO_INFO_N_PLANES (info), offset, stride);
  return buffer;
}

/* (C, h, w) of the whole frame */
static guint8 *
whole_picture (GstBuffer * buffer, const GstVideoInfo * info, gint channels)
{
  gint width = GST_VIDEO_INFO_WIDTH (info), height = GST_VIDEO_INFO_HEIGHT (info);
  GradDevice *ref = devices->pdata[0];
  g_autoptr (GradTensor) picture = grad_tensor_new (ref, GRAD_DTYPE_UINT8, &GRAD_SHAPE (1, channels, height,
          width), NULL);
  GstVideoFrame mapped;
  GradVideoFrame frame;

  g_assert_true (grad_video_frame_describe (&frame, info, NULL));
  g_assert_true (gst_video_frame_map (&mapped, info, buffer, GST_MAP_READ));
  for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES (info); p++) {
    frame.planes[p] = GST_VIDEO_FRAME_PLANE_DATA (&mapped, p);
    frame.strides[p] = GST_VIDEO_FRAME_PLANE_STRIDE (&mapped, p);
  }
  g_assert_true (grad_video_convert (ref, &frame, picture, 0, NULL));
  gst_video_frame_unmap (&mapped);
  return g_memdup2 (grad_tensor_data (picture), (gsize) channels * width * height);
}

/* The whole frame, cut or put between bars pixel by pixel, resized: (C, H, W) */
static gfloat *
reference (GstBuffer * buffer, const GstVideoInfo * info, const GradModelInput * input,
    GradRegion region)
{
  GradDevice *ref = devices->pdata[0];
  gint fw = GST_VIDEO_INFO_WIDTH (info), fh = GST_VIDEO_INFO_HEIGHT (info), w = fw, h = fh, left, top;
  /* the region's aspect ratio is across / down */
  gint64 across = (gint64) input->width * info->par_d, down = (gint64) input->height * info->par_n;
  gboolean wide = fw * down > fh * across;
  g_autofree guint8 *whole = whole_picture (buffer, info, input->channels), *part = NULL;
  g_autoptr (GradResizer) resizer = grad_resizer_new (ref, input->mean, input->std);
  g_autoptr (GradTensor) x = NULL, y = NULL;

  if (region != GRAD_REGION_STRETCH && wide == (region == GRAD_REGION_CENTER))
    w = MAX ((2 * fh * across + down) / (2 * down), 1);
  else if (region != GRAD_REGION_STRETCH)
    h = MAX ((2 * fw * down + across) / (2 * across), 1);
  left = (fw - w) / 2;
  top = (fh - h) / 2;
  part = g_malloc ((gsize) input->channels * w * h);
  for (gint c = 0; c < input->channels; c++)
    for (gint row = 0; row < h; row++)
      for (gint column = 0; column < w; column++) {
        gint i = top + row, j = left + column;

        part[(c * h + row) * w + column] = i < 0 || j < 0 || i >= fh || j >= fw ? 0
            : whole[(c * fh + i) * fw + j];
      }
  x = grad_tensor_new (ref, GRAD_DTYPE_UINT8, &GRAD_SHAPE (1, input->channels, h, w), NULL);
  g_assert_true (grad_tensor_upload (x, part, (gsize) input->channels * w * h, NULL));
  y = grad_resizer_run (resizer, x, input->width, input->height, NULL);
  return test_download (y);
}

/* Frames of all kinds, many in a batch, on every device */
static void
assert_reads (GstBuffer ** frames, const GstVideoInfo * infos, guint n,
    const GradModelInput * input, GradRegion region)
{
  gsize size = (gsize) input->channels * input->height * input->width;

  for (guint d = 0; d < devices->len; d++) {
    g_autoptr (GradFrameReader) reader = grad_frame_reader_new (devices->pdata[d], input, region);
    g_autoptr (GError) error = NULL;
    g_autoptr (GradTensor) batch = grad_frame_reader_read (reader, frames, infos, n, &error);
    g_autofree gfloat *got = NULL;

    g_assert_no_error (error);
    g_assert_true (grad_shape_equal (grad_tensor_get_shape (batch), &GRAD_SHAPE (n, input->channels, input->height,
                input->width)));
    got = test_download (batch);
    for (guint i = 0; i < n; i++) {
      g_autofree gfloat *expected = reference (frames[i], &infos[i], input, region);

      for (gsize k = 0; k < size; k++)
        if (!(fabs (got[i * size + k] - test_stored (batch, expected[k])) <= 1e-6))
          g_error ("%s: frame %u, %s of %dx%d, region %d: value %" G_GSIZE_FORMAT " is %g, not %g",
              grad_device_get_name (devices->pdata[d]), i,
              GST_VIDEO_INFO_NAME (&infos[i]), infos[i].width, infos[i].height, region, k, got[i * size + k],
              expected[k]);
    }
  }
}

#define N_FRAMES 5

/* Each format, in sizes and aspect ratios that go into nothing without a remainder */
static void
test_formats (gconstpointer data)
{
  GstVideoFormat format = gst_video_format_from_string (data);
  guint32 state = format;
#define RANDOM(n) ((gint) (lcg_bits (&state) >> 4) % (n))

  for (gint i = 0; i < 12; i++) {
    GradModelInput input = {.width = 1 + RANDOM (12),.height = 1 + RANDOM (12),.channels = i % 2 ? 3 : 1,
      .mean = {0.5, 0.25, 0.125},.std = {0.5, 1, 2}
    };
    GstBuffer *frames[N_FRAMES];
    GstVideoInfo infos[N_FRAMES];

    for (guint k = 0; k < N_FRAMES; k++) {      /* batches of frames of one size, and of several */
      infos[k] = k && i < 6 ? infos[0] : video_info (format, 1 + RANDOM (30), 1 + RANDOM (30), 1 + RANDOM (4),
          1 + RANDOM (4));
      frames[k] = random_frame (&infos[k], k % 3 * 7, RANDOM (1000));
    }
    assert_reads (frames, infos, N_FRAMES, &input, i % 3);
    for (guint k = 0; k < N_FRAMES; k++)
      gst_buffer_unref (frames[k]);
  }
}

/* Worked out by hand: pixel (x, y) of the frame is 10 x + y + 1 */
static void
test_regions (void)
{
  static const struct
  {
    GradRegion region;
    gint width, height, par_n, par_d, to_width, to_height;
    guint8 values[16];
  } cases[] = {
    {GRAD_REGION_CENTER, 4, 2, 1, 1, 2, 2, {11, 21, 12, 22}},
    {GRAD_REGION_CENTER, 2, 4, 1, 1, 2, 2, {2, 12, 3, 13}},
    {GRAD_REGION_CENTER, 5, 2, 1, 1, 2, 2, {11, 21, 12, 22}},   /* one more is left out to the right */
    {GRAD_REGION_CENTER, 4, 4, 1, 1, 4, 2, {2, 12, 22, 32, 3, 13, 23, 33}},
    {GRAD_REGION_CENTER, 4, 2, 1, 2, 4, 4, {1, 11, 21, 31, 1, 11, 21, 31, 2, 12, 22, 32, 2, 12, 22, 32}},
    {GRAD_REGION_CENTER, 4, 2, 2, 1, 1, 2, {11, 12}},
    {GRAD_REGION_LETTERBOX, 4, 2, 1, 1, 4, 4, {0, 0, 0, 0, 1, 11, 21, 31, 2, 12, 22, 32}},
    {GRAD_REGION_LETTERBOX, 2, 4, 1, 1, 4, 4, {0, 1, 11, 0, 0, 2, 12, 0, 0, 3, 13, 0, 0, 4, 14, 0}},
    {GRAD_REGION_LETTERBOX, 1, 4, 1, 1, 2, 4, {1, 0, 2, 0, 3, 0, 4, 0}},
    {GRAD_REGION_LETTERBOX, 4, 1, 1, 2, 4, 4, {1, 11, 21, 31, 1, 8, 16, 23, 0, 3, 5, 8}},       /* bar: half of it */
    {GRAD_REGION_STRETCH, 4, 2, 1, 1, 4, 2, {1, 11, 21, 31, 2, 12, 22, 32}},
    {GRAD_REGION_STRETCH, 4, 2, 9, 7, 4, 2, {1, 11, 21, 31, 2, 12, 22, 32}},
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    GradModelInput input = {.width = cases[i].to_width,.height = cases[i].to_height,.channels = 1,.std = {1} };
    GstVideoInfo info = video_info (GST_VIDEO_FORMAT_GRAY8, cases[i].width, cases[i].height, cases[i].par_n,
        cases[i].par_d);
    g_autoptr (GradFrameReader) reader = grad_frame_reader_new (devices->pdata[0], &input,
        cases[i].region);
    g_autoptr (GstBuffer) frame = random_frame (&info, 0, 0);
    g_autoptr (GradTensor) batch = NULL;
    g_autofree gfloat *got = NULL;
    GstMapInfo map;

    gst_buffer_map (frame, &map, GST_MAP_WRITE);
    for (gint y = 0; y < cases[i].height; y++)
      for (gint x = 0; x < cases[i].width; x++)
        map.data[y * info.stride[0] + x] = 10 * x + y + 1;
    gst_buffer_unmap (frame, &map);
    batch = grad_frame_reader_read (reader, &frame, &info, 1, NULL);
    got = test_download (batch);
    for (gint k = 0; k < input.width * input.height; k++)
      g_assert_cmpfloat_with_epsilon (got[k] * 255, cases[i].values[k], 1e-4);
  }
}

static void
test_check (void)
{
  static const struct
  {
    const gchar *caps, *text;
  } cases[] = {
    {"video/x-raw,format=I420,width=8,height=8,framerate=25/1", NULL},
    {"video/x-raw,format=I420,width=8,height=8,framerate=25/1,interlace-mode=interleaved", "put deinterlace in front"},
    {"video/x-raw,format=I420,width=8,height=8,framerate=25/1,interlace-mode=mixed", "put deinterlace in front"},
    {"video/x-raw,format=Y444,width=8,height=8,framerate=25/1", "put videoconvert ! video/x-raw,format=RGB in front"},
    {"video/x-raw,format=NV12,width=8,height=8,framerate=25/1,colorimetry=bt2020", NULL},
  };
  GstVideoInfo square = video_info (GST_VIDEO_FORMAT_RGB, 8, 8, 0, 1);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GstCaps) caps = gst_caps_from_string (cases[i].caps);
    g_autoptr (GError) refused = NULL;
    GstVideoInfo info;

    g_assert_true (gst_video_info_from_caps (&info, caps));
    g_assert_true (grad_frame_reader_check (&info, &refused) == (cases[i].text == NULL));
    if (cases[i].text == NULL)
      continue;
    g_assert_error (refused, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED);
    g_assert_nonnull (strstr (refused->message, cases[i].text));
  }
  g_assert_false (grad_frame_reader_check (&square, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED);
}

static void
assert_refused (GstBuffer * frame, const GstVideoInfo * info, GradRegion region, GradError code,
    const gchar * text)
{
  GradModelInput input = {.width = 4,.height = 4,.channels = 3,.std = {1, 1, 1, 1} };

  for (guint d = 0; d < devices->len; d++) {
    g_autoptr (GradFrameReader) reader = grad_frame_reader_new (devices->pdata[d], &input, region);
    g_autoptr (GError) error = NULL;

    g_assert_null (grad_frame_reader_read (reader, &frame, info, 1, &error));
    g_assert_error (error, GRAD_ERROR, (gint) code);
    g_assert_nonnull (strstr (error->message, text));
  }
}

/* What is said of a frame need not be true. */
static void
test_hostile (void)
{
  GstVideoInfo info = video_info (GST_VIDEO_FORMAT_I420, 8, 6, 1, 1), thin, interlaced = info;
  g_autoptr (GstBuffer) shorter = gst_buffer_new_allocate (NULL, info.size - 1, NULL);
  g_autoptr (GstBuffer) empty = gst_buffer_new (), wide = NULL;

  assert_refused (shorter, &info, GRAD_REGION_CENTER, GRAD_ERROR_SHAPE, "71 bytes");
  assert_refused (empty, &info, GRAD_REGION_CENTER, GRAD_ERROR_SHAPE, "0 bytes");
  for (guint i = 0; i < 9; i++) {
    g_autoptr (GstBuffer) frame = random_frame (&info, 4, 1);
    GstVideoMeta *meta = gst_buffer_get_video_meta (frame);

    if (i == 0)
      meta->stride[0] = 1 << 30;
    else if (i == 1)
      meta->stride[0] = -meta->stride[0];
    else if (i == 2)
      meta->offset[1] += 60;
    else if (i == 3)
      meta->width = 7;
    else if (i == 4)
      meta->height = 5;
    else if (i == 5)
      meta->format = GST_VIDEO_FORMAT_NV12;
    else if (i == 6)
      meta->n_planes = 2;
    else if (i == 7)
      meta->stride[0] = G_MININT;
    else
      meta->offset[2] = gst_buffer_get_size (frame);
    assert_refused (frame, &info, GRAD_REGION_CENTER, GRAD_ERROR_SHAPE, "video of 8x6 pixels");
  }

  thin = video_info (GST_VIDEO_FORMAT_GRAY8, 32767, 1, G_MAXINT, 1);
  wide = random_frame (&thin, 0, 1);
  assert_refused (wide, &thin, GRAD_REGION_LETTERBOX, GRAD_ERROR_UNSUPPORTED, "put videoscale in front");
  interlaced.interlace_mode = GST_VIDEO_INTERLACE_MODE_MIXED;
  assert_refused (shorter, &interlaced, GRAD_REGION_CENTER, GRAD_ERROR_UNSUPPORTED, "put deinterlace in front");
}

/* Rows from the last one on, as a flipped picture has them */
static void
test_upwards (void)
{
  GradModelInput input = {.width = 5,.height = 3,.channels = 3,.std = {1, 1, 1, 1} };
  GstVideoInfo info = video_info (GST_VIDEO_FORMAT_RGB, 9, 6, 1, 1);
  g_autoptr (GstBuffer) frame = random_frame (&info, 3, 1);
  GstVideoMeta *meta = gst_buffer_get_video_meta (frame);

  meta->offset[0] += 5 * meta->stride[0];
  meta->stride[0] = -meta->stride[0];
  assert_reads (&frame, &info, 1, &input, GRAD_REGION_CENTER);
}

int
main (int argc, char **argv)
{
  g_auto (GValue) formats = G_VALUE_INIT;
  gint result;

  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  devices = g_ptr_array_new_with_free_func (g_object_unref);
  for (const gchar * const *name = test_devices (); *name; name++)
    g_ptr_array_add (devices, test_device (*name));
  g_value_init (&formats, GST_TYPE_LIST);
  g_assert_true (gst_value_deserialize (&formats, GRAD_FRAME_FORMATS));
  for (guint i = 0; i < gst_value_list_get_size (&formats); i++) {
    const gchar *format = g_value_get_string (gst_value_list_get_value (&formats, i));
    g_autofree gchar *path = g_strconcat ("/frame-reader/formats/", format, NULL);

    g_test_add_data_func (path, format, test_formats);
  }
  g_test_add_func ("/frame-reader/regions", test_regions);
  g_test_add_func ("/frame-reader/check", test_check);
  g_test_add_func ("/frame-reader/hostile", test_hostile);
  g_test_add_func ("/frame-reader/upwards", test_upwards);
  result = g_test_run ();
  g_ptr_array_unref (devices);
  return result;
}
