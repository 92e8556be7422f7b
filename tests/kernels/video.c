/* Tests of kernels/video: what the formulas say, on every device, from frames of every format laid out any way
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernelutil.h"
#include "lib/data/gradvideo.h"

/* What lies in memory, byte by byte, and in how many pixels across and down there is one sample of chroma. */
static const struct
{
  const gchar *planes[3];
  gint across, down;
} layouts[GRAD_VIDEO_N_FORMATS] = {
  [GRAD_VIDEO_GRAY8] = {{"Y"}, 1, 1},
  [GRAD_VIDEO_RGB] = {{"RGB"}, 1, 1},
  [GRAD_VIDEO_BGR] = {{"BGR"}, 1, 1},
  [GRAD_VIDEO_RGBX] = {{"RGBx"}, 1, 1},
  [GRAD_VIDEO_BGRX] = {{"BGRx"}, 1, 1},
  [GRAD_VIDEO_XRGB] = {{"xRGB"}, 1, 1},
  [GRAD_VIDEO_XBGR] = {{"xBGR"}, 1, 1},
  [GRAD_VIDEO_I420] = {{"Y", "U", "V"}, 2, 2},
  [GRAD_VIDEO_YV12] = {{"Y", "V", "U"}, 2, 2},
  [GRAD_VIDEO_NV12] = {{"Y", "UV"}, 2, 2},
  [GRAD_VIDEO_NV21] = {{"Y", "VU"}, 2, 2},
  [GRAD_VIDEO_YUY2] = {{"YUYV"}, 2, 1},
  [GRAD_VIDEO_UYVY] = {{"UYVY"}, 2, 1},
};

static GPtrArray *devices;

static gboolean
is_yuv (GradVideoFormat format)
{
  return layouts[format].across == 2;
}

/* A picture: every component of every pixel, at full size, and frames made of it */
typedef struct
{
  GradVideoFrame frame;         /* planes in host memory */
  guint8 *components[3];        /* R G B, Y U V or Y; (height, width) */
  guint8 *memory[3];            /* of the planes: exactly what they need */
  gsize size[3];
  gsize first[3];               /* where the first row begins in it */
} Picture;

static guint8
component (const Picture * p, gchar name, gint x, gint y)
{
  const gchar *c = strchr ("RYGUBV", name);

  return c ? p->components[(c - "RYGUBV") / 2][(gsize) MIN (y, p->frame.height - 1)
          * p->frame.width + MIN (x, p->frame.width - 1)] : 0xee;
}

/* padding: bytes between rows; with `upwards` the last row lies first */
static void
lay_out (Picture * p, gint padding, gboolean upwards)
{
  gint across = layouts[p->frame.format].across, down = layouts[p->frame.format].down;

  for (guint i = 0; i < 3 && layouts[p->frame.format].planes[i]; i++) {
    const gchar *names = layouts[p->frame.format].planes[i];
    gint n = strlen (names);
    /* pixels that a row of names is for: chroma planes and macropixels have fewer */
    gint dx = strchr (names, 'Y') ? n == 4 ? 2 : 1 : across, dy = strchr (names, 'Y') ? 1 : down;
    gint columns = (p->frame.width + dx - 1) / dx, rows = (p->frame.height + dy - 1) / dy;
    gint row_bytes = columns * n, stride = row_bytes + padding;

    p->size[i] = (gsize) (rows - 1) * stride + row_bytes;
    p->memory[i] = g_malloc (p->size[i]);
    memset (p->memory[i], 0xdd, p->size[i]);
    p->first[i] = upwards ? (gsize) (rows - 1) * stride : 0;
    p->frame.strides[i] = upwards ? -stride : stride;
    p->frame.planes[i] = p->memory[i] + p->first[i];
    for (gint y = 0; y < rows; y++)
      for (gint x = 0; x < row_bytes; x++) {
        /* the second Y of a macropixel */
        gint more = n == 4 && dx == 2 && names[x % n] == 'Y' ? x % n / 2 : 0;

        p->memory[i][p->first[i] + y * p->frame.strides[i] + x] =
            component (p, names[x % n], x / n * dx + more, y * dy);
      }
  }
}

static Picture *
picture_new (GradVideoFormat format, gint width, gint height, guint32 seed)
{
  Picture *p = g_new0 (Picture, 1);
  guint32 state = seed;

  p->frame = (GradVideoFrame) {.format = format,.width = width,.height = height,
    .crop_width = width,.crop_height = height
  };
  for (gint c = 0; c < 3; c++) {
    gint across = c ? layouts[format].across : 1, down = c ? layouts[format].down : 1;

    p->components[c] = g_malloc ((gsize) width * height);
    for (gint y = 0; y < height; y++)
      for (gint x = 0; x < width; x++)
        p->components[c][(gsize) y * width + x] = x % across || y % down
            ? p->components[c][(gsize) (y - y % down) * width + x - x % across]
            : lcg_bits (&state) >> 7;
  }
  return p;
}

static void
picture_free (Picture * p)
{
  for (gint c = 0; c < 3; c++) {
    g_free (p->components[c]);
    g_free (p->memory[c]);
  }
  g_free (p);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Picture, picture_free)

/* In real numbers */
static void
exact (const GradVideoFrame * f, gint channels, const guint8 in[3], gdouble out[3])
{
  static const gdouble of_red[] = { 0.299, 0.2126, 0.2627, 0.212, 0.3 };
  static const gdouble of_blue[] = { 0.114, 0.0722, 0.0593, 0.087, 0.11 };
  gdouble kr = of_red[f->matrix], kb = of_blue[f->matrix], kg = 1 - kr - kb;
  gboolean limited = is_yuv (f->format) && !f->full_range;
  gdouble y = limited ? (in[0] - 16) * 255. / 219 : in[0];
  gdouble u = (in[1] - 128) * (limited ? 255. / 224 : 1), v = (in[2] - 128) * (limited ? 255. / 224 : 1);

  if (!is_yuv (f->format) && f->format != GRAD_VIDEO_GRAY8) {
    for (gint c = 0; c < 3; c++)
      out[c] = channels == 3 ? in[c]
          : ((19595 * in[0] + 38470 * in[1] + 7471 * in[2] + 0x8000) >> 16);
    return;
  }
  if (f->format == GRAD_VIDEO_GRAY8 || channels == 1)
    u = v = 0;
  out[0] = CLAMP (y + 2 * (1 - kr) * v, 0, 255);
  out[1] = CLAMP (y - 2 * (1 - kb) * kb / kg * u - 2 * (1 - kr) * kr / kg * v, 0, 255);
  out[2] = CLAMP (y + 2 * (1 - kb) * u, 0, 255);
}

/* picture: (C, H, W) of p's crop: as near to the real numbers as integers are */
static void
assert_exact (const Picture * p, gint channels, const guint8 * picture)
{
  const GradVideoFrame *f = &p->frame;

  for (gint y = 0; y < f->crop_height; y++)
    for (gint x = 0; x < f->crop_width; x++) {
      gint column = f->x + x, row = f->y + y;
      gboolean inside = column >= 0 && column < f->width && row >= 0 && row < f->height;
      gsize at = inside ? (gsize) row * f->width + column : 0;
      guint8 in[3] = { p->components[0][at], p->components[1][at], p->components[2][at] };
      gdouble out[3] = { 0 };

      if (inside)
        exact (f, channels, in, out);
      for (gint c = 0; c < channels; c++) {
        guint8 got = picture[((gsize) c * f->crop_height + y) * f->crop_width + x];

        if (!(fabs (got - out[c]) <= 0.505))
          g_error ("format %d, %dx%d at %d,%d of %dx%d: channel %d of (%d, %d) is %d, not %g", f->format,
              f->crop_width, f->crop_height, f->x, f->y, f->width, f->height, c, x, y, got, out[c]);
      }
    }
}

/* The frame as sample n of N, which leaves the others alone: (C, H, W); by the kernel from planes on the device, or as whole
 * frames come in from the host */
static guint8 *
convert (GradDevice * device, const Picture * p, gint channels, gint n, gint samples,
    gboolean from_host)
{
  GradVideoFrame frame = p->frame;
  GradShape shape = GRAD_SHAPE (samples, channels, frame.crop_height, frame.crop_width);
  gsize size = grad_shape_n_elements (&shape), one = size / samples;
  g_autoptr (GradTensor) y = grad_tensor_new (device, GRAD_DTYPE_UINT8, &shape, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *all = g_malloc (size);
  GradTensor *planes[3] = { NULL };

  memset (all, 0xa5, size);
  g_assert_true (grad_tensor_upload (y, all, size, NULL));
  if (from_host)
    grad_video_convert (device, &frame, y, n, &error);
  else {
    for (gint i = 0; i < 3 && p->memory[i]; i++) {
      planes[i] = grad_tensor_new_plain (device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (p->size[i]), NULL);
      g_assert_true (grad_tensor_upload (planes[i], p->memory[i], p->size[i], NULL));
      frame.planes[i] = (const guint8 *) grad_tensor_data (planes[i]) + p->first[i];
    }
    grad_device_kernels (device)->video->convert (device, &frame, y, n, &error);
  }
  g_assert_no_error (error);
  g_assert_true (grad_tensor_download (y, all, size, NULL));
  for (gsize i = 0; i < size; i++)
    if (i / one != (gsize) n)
      g_assert_cmphex (all[i], ==, 0xa5);
  for (gint i = 0; i < 3; i++)
    g_clear_pointer (&planes[i], grad_tensor_unref);
  return g_memdup2 (all + n * one, one);
}

/* Both ways, on all devices: the same bits */
static void
assert_converts (const Picture * p, gint channels, gint n, gint samples)
{
  g_autofree guint8 *expected = NULL;
  gsize size = (gsize) channels * p->frame.crop_width * p->frame.crop_height;

  for (guint i = 0; i < 2 * devices->len; i++) {
    g_autofree guint8 *got = convert (devices->pdata[i / 2], p, channels, n, samples, i % 2);

    if (expected == NULL) {
      expected = g_steal_pointer (&got);
      assert_exact (p, channels, expected);
    } else
      g_assert_cmpmem (got, size, expected, size);
  }
}

/* Worked out by hand */
static void
test_known (void)
{
  static const struct
  {
    GradVideoFormat format;
    GradVideoMatrix matrix;
    gboolean full_range;
    guint8 in[3], rgb[3], luma;
  } cases[] = {
    {GRAD_VIDEO_GRAY8, 0, FALSE, {16}, {16, 16, 16}, 16},       /* never stretched */
    {GRAD_VIDEO_RGB, 0, FALSE, {255, 0, 0}, {255, 0, 0}, 76},
    {GRAD_VIDEO_RGB, 0, FALSE, {0, 255, 0}, {0, 255, 0}, 150},
    {GRAD_VIDEO_RGB, 0, FALSE, {0, 0, 255}, {0, 0, 255}, 29},
    {GRAD_VIDEO_RGB, 0, FALSE, {255, 255, 255}, {255, 255, 255}, 255},
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT601, FALSE, {16, 128, 128}, {0, 0, 0}, 0},
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT601, FALSE, {235, 128, 128}, {255, 255, 255}, 255},
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT601, FALSE, {0, 128, 128}, {0, 0, 0}, 0},
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT601, FALSE, {255, 128, 128}, {255, 255, 255}, 255},
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT601, FALSE, {126, 128, 128}, {128, 128, 128}, 128},
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT601, FALSE, {81, 90, 240}, {254, 0, 0}, 76}, /* red, green, blue */
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT601, FALSE, {145, 54, 34}, {0, 255, 1}, 150},
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT601, FALSE, {41, 240, 110}, {0, 0, 255}, 29},
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT709, FALSE, {63, 102, 240}, {255, 1, 0}, 55},
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT601, TRUE, {16, 128, 128}, {16, 16, 16}, 16},
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT601, TRUE, {76, 85, 255}, {254, 0, 0}, 76},
    {GRAD_VIDEO_I420, GRAD_VIDEO_BT709, TRUE, {54, 99, 255}, {254, 0, 0}, 54},
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Picture) p = picture_new (cases[i].format, 1, 1, 1);
    g_autofree guint8 *rgb = NULL, *luma = NULL;

    for (gint c = 0; c < 3; c++)
      p->components[c][0] = cases[i].in[c];
    p->frame.matrix = cases[i].matrix;
    p->frame.full_range = cases[i].full_range;
    lay_out (p, 0, FALSE);
    rgb = convert (devices->pdata[0], p, 3, 0, 1, FALSE);
    luma = convert (devices->pdata[0], p, 1, 0, 1, FALSE);
    g_assert_cmpmem (rgb, 3, cases[i].rgb, 3);
    g_assert_cmpuint (luma[0], ==, cases[i].luma);
  }
}

/* Every luma with every chroma */
static void
test_all_values (void)
{
  static const gint others[] = { 0, 128, 255 };

  for (gint i = 0; i < 2 * GRAD_VIDEO_N_MATRICES * (gint) G_N_ELEMENTS (others); i++) {
    g_autoptr (Picture) p = picture_new (GRAD_VIDEO_YUY2, 512, 256, 1);

    p->frame.matrix = i / 2 % GRAD_VIDEO_N_MATRICES;
    p->frame.full_range = i % 2;
    for (gint y = 0; y < 256; y++)
      for (gint x = 0; x < 512; x++) {
        p->components[0][y * 512 + x] = y;
        p->components[1][y * 512 + x] = x / 2;
        p->components[2][y * 512 + x] = y & 1 ? others[i / 2 / GRAD_VIDEO_N_MATRICES] : 255 - x / 2;
      }
    lay_out (p, 0, FALSE);
    assert_converts (p, 3, 0, 1);
  }
}

/* Sizes, crops, strides, samples, odd ones too; a third of the crops reach beyond the frame */
static void
test_layouts (gconstpointer data)
{
  GradVideoFormat format = GPOINTER_TO_INT (data);
  guint32 state = format + 1;
#define RANDOM(n) ((gint) (lcg_bits (&state) >> 4) % (n))

  for (gint i = 0; i < 150; i++) {
    g_autoptr (Picture) p = picture_new (format, 1 + RANDOM (i < 75 ? 8 : 50), 1 + RANDOM (i < 75 ? 8 : 20), i);
    gint samples = 1 + RANDOM (3);
    GradVideoFrame *f = &p->frame;

    f->matrix = RANDOM (GRAD_VIDEO_N_MATRICES);
    f->full_range = RANDOM (2);
    if (i % 3 == 2) {
      f->crop_width = 1 + RANDOM (60);
      f->crop_height = 1 + RANDOM (30);
      f->x = 1 - f->crop_width + RANDOM (f->width + f->crop_width - 1);
      f->y = 1 - f->crop_height + RANDOM (f->height + f->crop_height - 1);
    } else if (i % 3) {
      f->crop_width = 1 + RANDOM (f->width);
      f->crop_height = 1 + RANDOM (f->height);
      f->x = RANDOM (f->width - f->crop_width + 1);
      f->y = RANDOM (f->height - f->crop_height + 1);
    }
    lay_out (p, RANDOM (2) * RANDOM (20), i % 4 == 3);
    assert_converts (p, i % 2 ? 3 : 1, RANDOM (samples), samples);
  }
}

static void
test_refused (void)
{
  static const struct
  {
    gint x, y, width, height, n, channels;
  } cases[] = {
    {-4, 0, 4, 4, 0, 3}, {0, -4, 4, 4, 0, 3}, {8, 0, 4, 4, 0, 3}, {0, 6, 4, 4, 0, 3},
    {G_MAXINT, 0, 4, 4, 0, 3}, {0, G_MININT, 4, 4, 0, 3}, {0, 0, 5, 4, 0, 3}, {0, 0, 4, 3, 0, 3}, {0, 0, 4, 4, 2, 3},
    {0, 0, 4, 4, -1, 3}, {0, 0, 4, 4, 0, 2},
  };

  for (guint d = 0; d < devices->len; d++) {
    GradDevice *device = devices->pdata[d];

    for (guint i = 0; i < 2 * G_N_ELEMENTS (cases); i++) {
      g_autoptr (Picture) p = picture_new (GRAD_VIDEO_I420, 8, 6, 1);
      g_autoptr (GradTensor) y = grad_tensor_new (device, GRAD_DTYPE_UINT8,
          &GRAD_SHAPE (2, cases[i / 2].channels, 4, 4), NULL);
      g_autoptr (GError) error = NULL;

      p->frame.x = cases[i / 2].x;
      p->frame.y = cases[i / 2].y;
      p->frame.crop_width = cases[i / 2].width;
      p->frame.crop_height = cases[i / 2].height;
      lay_out (p, 0, FALSE);
      if (i % 2)
        g_assert_false (grad_video_convert (device, &p->frame, y, cases[i / 2].n, &error));
      else
        g_assert_false (grad_device_kernels (device)->video->convert (device, &p->frame, y,
                cases[i / 2].n, &error));
      g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
      g_assert_nonnull (strstr (error->message, "of a video frame of 8x6"));
    }
  }
}

int
main (int argc, char **argv)
{
  gint result;

  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  devices = g_ptr_array_new_with_free_func (g_object_unref);
  for (const gchar * const *name = test_devices (); *name; name++)
    g_ptr_array_add (devices, test_device (*name));
  g_test_add_func ("/video/known", test_known);
  g_test_add_func ("/video/all-values", test_all_values);
  for (gint i = 0; i < GRAD_VIDEO_N_FORMATS; i++) {
    const gchar *const *planes = layouts[i].planes;
    g_autofree gchar *path = g_strdup_printf ("/video/layouts/%s%s%s%s%s", planes[0],
        planes[1] ? "-" : "", planes[1] ? planes[1] : "", planes[2] ? "-" : "", planes[2] ? planes[2] : "");

    g_test_add_data_func (path, GINT_TO_POINTER (i), test_layouts);
  }
  g_test_add_func ("/video/refused", test_refused);
  result = g_test_run ();
  g_ptr_array_unref (devices);
  return result;
}
