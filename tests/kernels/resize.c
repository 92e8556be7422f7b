/* Tests of kernels/resize: bit for bit what Pillow does, on every device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernelutil.h"
#include "tests/data/kernel-goldens.h"

/* picture() of tests/data/make-kernel-goldens.py */
static void
draw (guint8 * pixels, gint h, gint w, gboolean noise, guint32 seed)
{
  guint32 state = seed;

  for (gint y = 0; y < h; y++)
    for (gint x = 0; x < w; x++)
      if (noise)
        *pixels++ = lcg_bits (&state) & 255;
      else
        *pixels++ = 4 * x >= w && 4 * x < 3 * w && 8 * y >= h
            ? (40 + 200 * y / h + 3 * x) & 255 : 0;
}

static guint64
fnv (const guint8 * data, gsize size)
{
  guint64 hash = 0xcbf29ce484222325u;

  for (gsize i = 0; i < size; i++)
    hash = (hash ^ data[i]) * 0x100000001b3u;
  return hash;
}

/* (N, C, OH, OW) */
static GradTensor *
resize_tensor (GradDevice * device, const GradResizeDesc * d, const guint8 * pixels)
{
  const GradResizeOps *ops = grad_device_kernels (device)->resize;
  GradShape in = GRAD_SHAPE (d->n, d->c, d->ih, d->iw);
  g_autoptr (GradTensor) x = grad_tensor_new (device, GRAD_DTYPE_UINT8, &in, NULL);
  GradTensor *y = test_new (device, GRAD_SHAPE (d->n, d->c, d->oh, d->ow));
  g_autoptr (GError) error = NULL;
  GradPlan *plan = ops->plan (device, d, &error);

  g_assert_no_error (error);
  g_assert_true (grad_tensor_upload (x, pixels, grad_shape_n_elements (&in), NULL));
  for (guint i = 0; i < 2; i++) /* a plan can be used again */
    g_assert_true (ops->run (plan, x, y, 0, &error));
  grad_plan_free (plan);
  return y;
}

/* Its values */
static gfloat *
resize (GradDevice * device, const GradResizeDesc * d, const guint8 * pixels)
{
  g_autoptr (GradTensor) y = resize_tensor (device, d, pixels);

  return test_download (y);
}

static void
test_golden (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < G_N_ELEMENTS (golden_resize); i++) {
      gint oh = golden_resize[i].oh, ow = golden_resize[i].ow, size = oh * ow;
      GradResizeDesc desc = {.n = 1,.c = 1,.ih = golden_resize[i].ih,.iw = golden_resize[i].iw,
        .oh = oh,.ow = ow,.std = {1}
      };
      g_autofree guint8 *pixels = g_new (guint8, desc.ih * desc.iw), *got = g_new (guint8, size);
      g_autoptr (GradTensor) y = NULL;
      g_autofree gfloat *values = NULL;

      draw (pixels, desc.ih, desc.iw, golden_resize[i].noise, 4);
      y = resize_tensor (device, &desc, pixels);
      values = test_download (y);
      for (gint k = 0; k < size; k++) {
        got[k] = lrintf (values[k] * 255);      /* bfloat16 tells all 256 apart */
        g_assert_cmpfloat (values[k], ==, test_stored (y, got[k] / 255.f));
      }
      for (gint k = 0; k < MIN (ow, 8); k++)
        g_assert_cmpuint (got[oh / 2 * ow + k], ==, golden_resize[i].first[k]);
      g_assert_cmphex (fnv (got, size), ==, golden_resize[i].hash);
    }
  }
}

/* several samples and channels, each with its mean and standard deviation, in the device's layout:
 * every plane is what it is alone */
static void
test_channels (void)
{
  static const gint channels[] = { 1, 3, 5, 16, 32 };
  const gdouble rounding = 1.0 / 256;   /* of bfloat16, of the largest value */

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < G_N_ELEMENTS (channels); i++) {
      gint c = channels[i], plane = 9 * 13;
      GradResizeDesc desc = {.n = 2,.c = c,.ih = 7,.iw = 11,.oh = 9,.ow = 13,
        .mean = {0.5, 0.25, 0.125, 1},.std = {0.5, 0.25, 2, 0.125}
      };
      g_autoptr (GradTensor) stored = test_new (device, GRAD_SHAPE (1, c, 1, 1));
      g_autofree guint8 *pixels = g_new (guint8, 2 * c * 77);
      g_autofree gfloat *values = NULL;

      for (gint p = 0; p < 2 * c; p++)
        draw (pixels + p * 77, 7, 11, TRUE, p);
      values = resize (device, &desc, pixels);
      for (gint p = 0; p < 2 * c; p++) {
        GradResizeDesc one = desc;
        gint k = MIN (p % c, 3);
        g_autofree gfloat *alone = NULL;

        one.n = one.c = 1;
        one.mean[0] = desc.mean[k];
        one.std[0] = desc.std[k];
        alone = resize (device, &one, pixels + p * 77);
        for (gint i = 0; i < plane; i++)
          g_assert_cmpfloat (values[p * plane + i], ==, test_stored (stored, alone[i]));
        g_assert_cmpfloat (fabs (alone[0] * one.std[0] + one.mean[0]), <=, 1 + rounding);
      }
    }
  }
}

/* From a sample on, in a batch of five; the others stay as they are */
static void
test_first (void)
{
  static const gint channels[] = { 1, 3, 16 };

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    const GradResizeOps *ops = grad_device_kernels (device)->resize;

    for (guint i = 0; i < G_N_ELEMENTS (channels); i++) {
      gint c = channels[i], sample = c * 9 * 13;
      GradResizeDesc desc = {.n = 2,.c = c,.ih = 7,.iw = 11,.oh = 9,.ow = 13,.std = {1, 1, 1, 1} };
      g_autoptr (GradTensor) x = grad_tensor_new (device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (2, c, 7, 11), NULL);
      g_autoptr (GradTensor) y = test_random (device, GRAD_SHAPE (5, c, 9, 13), 1, 0, 1);
      g_autofree guint8 *pixels = g_new (guint8, 2 * c * 77);
      g_autofree gfloat *before = test_download (y), *after = NULL, *alone = NULL;
      GradPlan *plan = ops->plan (device, &desc, NULL);

      draw (pixels, 2 * c * 7, 11, TRUE, c);
      g_assert_true (grad_tensor_upload (x, pixels, 2 * c * 77, NULL));
      g_assert_true (ops->run (plan, x, y, 2, NULL));
      grad_plan_free (plan);
      alone = resize (device, &desc, pixels);
      after = test_download (y);
      for (gint k = 0; k < 5 * sample; k++)
        g_assert_cmpfloat (after[k], ==, k / sample == 2 || k / sample == 3 ? alone[k - 2 * sample] : before[k]);
    }
  }
}

/* y = (x / 255 - mean) / std */
static void
test_normalise (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    GradResizeDesc desc = {.n = 1,.c = 1,.ih = 1,.iw = 256,.oh = 1,.ow = 256,.mean = {0.2860f},
      .std = {0.3530f}
    };
    guint8 pixels[256];
    g_autoptr (GradTensor) y = NULL;
    g_autofree gfloat *values = NULL;

    for (guint i = 0; i < 256; i++)
      pixels[i] = i;
    y = resize_tensor (device, &desc, pixels);
    values = test_download (y);
    for (guint i = 0; i < 256; i++) {
      gfloat expected = (i / 255.f - 0.2860f) / 0.3530f;

      g_assert_cmpfloat_with_epsilon (expected, (i / 255.0 - 0.2860) / 0.3530, 1e-6);
      g_assert_cmpfloat_with_epsilon (values[i], test_stored (y, expected), 1e-6);
    }
  }
}

/* What the device makes is what the reference makes, to the last bit of what a tensor can hold. */
static void
compare (GradDevice * device, GradDevice * ref, const GradResizeDesc * d)
{
  g_autofree guint8 *pixels = g_new (guint8, (gsize) d->n * d->c * d->ih * d->iw);
  g_autoptr (GradTensor) y = NULL;
  g_autofree gfloat *a = NULL, *b = NULL;

  draw (pixels, d->n * d->c * d->ih, d->iw, TRUE, d->oh);
  y = resize_tensor (device, d, pixels);
  a = test_download (y);
  b = resize (ref, d, pixels);
  for (gsize i = 0; i < grad_shape_n_elements (grad_tensor_get_shape (y)); i++)
    g_assert_cmpfloat (a[i], ==, test_stored (y, b[i]));
}

/* beyond what Pillow was asked about: cpu and reference share no pass */
static void
test_devices_agree (void)
{
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (gint size = 1; size < 120; size += 3)
      compare (device, ref, &(GradResizeDesc) {.n = 1,.c = 1,.ih = 33,.iw = 41,.oh = size,
            .ow = 121 - size,.std = {1}
          });
  }
}

/* Of a size that a device may have another way for: many samples and channels, much smaller, much larger */
static void
test_large (void)
{
  static const GradResizeDesc cases[] = {
    {.n = 2,.c = 3,.ih = 150,.iw = 200,.oh = 64,.ow = 56},
    {.n = 1,.c = 3,.ih = 600,.iw = 30,.oh = 10,.ow = 48},
    {.n = 2,.c = 7,.ih = 400,.iw = 10,.oh = 9,.ow = 21},
    {.n = 1,.c = 1,.ih = 2,.iw = 3,.oh = 300,.ow = 200},
    {.n = 1,.c = 40,.ih = 9,.iw = 12,.oh = 20,.ow = 300},
    {.n = 1,.c = 2,.ih = 5,.iw = 700,.oh = 4,.ow = 13},
    {.n = 1,.c = 2,.ih = 5,.iw = 97,.oh = 4,.ow = 21},
    {.n = 1,.c = 2,.ih = 5,.iw = 20,.oh = 4,.ow = 1},
    {.n = 40,.c = 1,.ih = 28,.iw = 28,.oh = 33,.ow = 32},
  };
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
      GradResizeDesc d = cases[i];

      for (guint c = 0; c < 4; c++)
        d.std[c] = 1;
      compare (device, ref, &d);
    }
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/resize/golden", test_golden);
  g_test_add_func ("/resize/channels", test_channels);
  g_test_add_func ("/resize/first", test_first);
  g_test_add_func ("/resize/normalise", test_normalise);
  g_test_add_func ("/resize/devices-agree", test_devices_agree);
  g_test_add_func ("/resize/large", test_large);
  return g_test_run ();
}
