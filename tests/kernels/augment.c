/* Tests of kernels/augment: what torchvision does, and the same bits on every device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernelutil.h"
#include "lib/data/gradaugmentation.h"
#include "tests/data/kernel-goldens.h"

#define ONE (G_GINT64_CONSTANT (1) << 32)

static guint8 *
noise (GradShape shape, guint32 seed)
{
  gsize n = grad_shape_n_elements (&shape);
  guint8 *pixels = g_new (guint8, n);

  for (gsize i = 0; i < n; i++)
    pixels[i] = lcg_bits (&seed) & 255;
  return pixels;
}

/* (N, C, H, W) */
static guint8 *
run (GradDevice * device, GradShape shape, const guint8 * pixels, const GradAugmentMap * maps)
{
  gsize n = grad_shape_n_elements (&shape);
  g_autoptr (GradTensor) x = grad_tensor_new (device, GRAD_DTYPE_UINT8, &shape, NULL);
  g_autoptr (GradTensor) y = grad_tensor_new (device, GRAD_DTYPE_UINT8, &shape, NULL);
  g_autoptr (GError) error = NULL;
  guint8 *out = g_malloc (n);

  g_assert_true (grad_tensor_upload (x, pixels, n, NULL));
  grad_device_kernels (device)->augment->run (device, x, maps, y, &error);
  g_assert_no_error (error);
  g_assert_true (grad_tensor_download (y, out, n, NULL));
  return out;
}

/* One channel of one sample as the formula has it */
static gdouble
exact (const guint8 * x, gint h, gint w, gdouble u, gdouble v)
{
  gdouble sum = 0;

  for (gint row = 0; row < h; row++)
    for (gint column = 0; column < w; column++)
      sum += MAX (1 - fabs (u - column), 0) * MAX (1 - fabs (v - row), 0) * x[row * w + column];
  return sum;
}

/* torchvision computes in float and rounds half to even: a pixel in a hundred may be one off */
static void
test_golden (void)
{
  const gint h = 9, w = 12, n = G_N_ELEMENTS (golden_augment);
  g_autofree guint8 *pixels = noise (GRAD_SHAPE (1, 1, h, w), 5);
  guint off = 0;

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (gint i = 0; i < n; i++) {
      GradAugmentation a = {.crop_x = golden_augment[i].crop_x,.crop_y = golden_augment[i].crop_y,
        .flip = golden_augment[i].flip,.angle = golden_augment[i].angle,
        .shift_x = golden_augment[i].shift_x,.shift_y = golden_augment[i].shift_y
      };
      g_autofree guint8 *got = NULL;
      GradAugmentMap map;

      grad_augmentation_get_map (&a, w, h, &map);
      got = run (device, GRAD_SHAPE (1, 1, h, w), pixels, &map);
      for (gint k = 0; k < h * w; k++) {
        g_assert_cmpint (ABS (got[k] - golden_augment[i].pixels[k]), <=, a.angle != 0);
        off += got[k] != golden_augment[i].pixels[k];
      }
    }
    g_assert_cmpuint (off, <=, n * h * w / 100);
    off = 0;
  }
}

/* Whole pixels are copied, and the box is black, in each channel of each sample by the map of that sample. */
static void
test_whole_pixels (void)
{
  const GradShape shape = GRAD_SHAPE (3, 2, 7, 10);
  const GradAugmentMap maps[3] = {
    {.u = {ONE},.v = {0, ONE}},
    {.u = {-ONE, 0, 9 * ONE},.v = {0, ONE, -2 * ONE},.left = 2,.top = 1,.right = 5,.bottom = 7},
    {.u = {ONE, 0, 4 * ONE},.v = {0, -ONE, 6 * ONE},.left = 0,.top = 0,.right = 10,.bottom = 1},
  };
  g_autofree guint8 *pixels = noise (shape, 1);

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    g_autofree guint8 *got = run (device, shape, pixels, maps);

    for (gint i = 0; i < 3 * 2 * 7 * 10; i++) {
      gint n = i / 140, row = i / 10 % 7, column = i % 10;
      const GradAugmentMap *m = maps + n;
      gint from_row = n == 0 ? row : n == 1 ? row - 2 : 6 - row;
      gint from = n == 0 ? column : n == 1 ? 9 - column : column + 4;
      gboolean black = from < 0 || from >= 10 || from_row < 0 || from_row >= 7
          || (column >= m->left && column < m->right && row >= m->top && row < m->bottom);

      g_assert_cmpuint (got[i], ==, black ? 0 : pixels[i / 70 * 70 + from_row * 10 + from]);
    }
  }
}

/* Coefficients of any kind: shrunk, sheared, turned, far away */
static void
draw_maps (GradAugmentMap * maps, gint n, gint h, gint w, guint32 seed)
{
  for (gint i = 0; i < n; i++) {
    gint64 values[6];
    gint box[4];

    for (guint k = 0; k < 6; k++)
      values[k] = ((gint64) lcg_bits (&seed) - (1 << 23)) * (k % 3 == 2 ? 1 << 14 : 1 << 10);
    for (guint k = 0; k < 4; k++)
      box[k] = lcg_bits (&seed) % ((k % 2 ? h : w) + 1);
    maps[i] = (GradAugmentMap) {
      .u = {values[0], values[1], values[2]},.v = {values[3], values[4], values[5]},
      .left = MIN (box[0], box[2]),.right = MAX (box[0], box[2]),
      .top = MIN (box[1], box[3]),.bottom = MAX (box[1], box[3]),
    };
  }
}

/* The reference is what the formula says to half a level and what fractions of 16 bits leave out; the others are the
 * reference bit for bit. */
static void
test_any_map (void)
{
  static const GradShape shapes[] =
      { {4, {5, 1, 28, 28}}, {4, {3, 3, 17, 40}}, {4, {4, 1, 1, 1}}, {4, {2, 5, 1, 9}},
  {4, {2, 2, 33, 1}}
  };
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
    const gint *dims = shapes[i].dims, h = dims[2], w = dims[3], plane = h * w;
    g_autofree guint8 *pixels = noise (shapes[i], i), *expected = NULL;
    GradAugmentMap maps[5];

    draw_maps (maps, dims[0], h, w, i);
    expected = run (ref, shapes[i], pixels, maps);
    for (gint k = 0; k < dims[0] * dims[1] * plane; k++) {
      const GradAugmentMap *m = maps + k / plane / dims[1];
      gint row = k / w % h, column = k % w;
      gdouble u = (m->u[0] * column + m->u[1] * row + m->u[2]) * 0x1p-32;
      gdouble v = (m->v[0] * column + m->v[1] * row + m->v[2]) * 0x1p-32;

      if (column >= m->left && column < m->right && row >= m->top && row < m->bottom)
        g_assert_cmpuint (expected[k], ==, 0);
      else
        g_assert_cmpfloat_with_epsilon (expected[k], exact (pixels + k / plane * plane, h, w, u, v), 0.51);
    }
    for (const gchar * const *name = test_devices () + 1; *name; name++) {
      g_autoptr (GradDevice) device = test_device (*name);
      g_autofree guint8 *got = run (device, shapes[i], pixels, maps);

      g_assert_cmpmem (got, dims[0] * dims[1] * plane, expected, dims[0] * dims[1] * plane);
    }
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/augment/golden", test_golden);
  g_test_add_func ("/augment/whole-pixels", test_whole_pixels);
  g_test_add_func ("/augment/any-map", test_any_map);
  return g_test_run ();
}
