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

/* (N, C, OH, OW) values */
static gfloat *
resize (GradDevice * device, const GradResizeDesc * d, const guint8 * pixels)
{
  const GradResizeOps *ops = grad_device_kernels (device)->resize;
  GradShape in = GRAD_SHAPE (d->n, d->c, d->ih, d->iw);
  g_autoptr (GradTensor) x = grad_tensor_new (device, GRAD_DTYPE_UINT8, &in, NULL);
  g_autoptr (GradTensor) y = test_new (device, GRAD_SHAPE (d->n, d->c, d->oh, d->ow));
  g_autoptr (GError) error = NULL;
  GradPlan *plan = ops->plan (device, d, &error);

  g_assert_no_error (error);
  g_assert_true (grad_tensor_upload (x, pixels, grad_shape_n_elements (&in), NULL));
  for (guint i = 0; i < 2; i++) /* a plan can be used again */
    g_assert_true (ops->run (plan, x, y, &error));
  grad_plan_free (plan);
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
      g_autofree gfloat *values = NULL;

      draw (pixels, desc.ih, desc.iw, golden_resize[i].noise, 4);
      values = resize (device, &desc, pixels);
      for (gint k = 0; k < size; k++) {
        got[k] = lrintf (values[k] * 255);
        g_assert_cmpfloat (values[k], ==, got[k] / 255.f);
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

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < G_N_ELEMENTS (channels); i++) {
      gint c = channels[i], plane = 9 * 13;
      GradResizeDesc desc = {.n = 2,.c = c,.ih = 7,.iw = 11,.oh = 9,.ow = 13,
        .mean = {0.5, 0.25, 0.125, 1},.std = {0.5, 0.25, 2, 0.125}
      };
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
        g_assert_cmpmem (values + p * plane, plane * sizeof (gfloat), alone,
            plane * sizeof (gfloat));
        g_assert_cmpfloat (fabs (alone[0] * one.std[0] + one.mean[0]), <=, 1.0001);
      }
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
    g_autofree gfloat *values = NULL;

    for (guint i = 0; i < 256; i++)
      pixels[i] = i;
    values = resize (device, &desc, pixels);
    for (guint i = 0; i < 256; i++)
      g_assert_cmpfloat_with_epsilon (values[i], (i / 255.0 - 0.2860) / 0.3530, 1e-6);
  }
}

/* beyond what Pillow was asked about: cpu and reference share no pass */
static void
test_devices_agree (void)
{
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (gint size = 1; size < 120; size += 3) {
      GradResizeDesc desc = {.n = 1,.c = 1,.ih = 33,.iw = 41,.oh = size,.ow = 121 - size,
        .std = {1}
      };
      guint8 pixels[33 * 41];
      gsize bytes = (gsize) desc.oh * desc.ow * sizeof (gfloat);
      g_autofree gfloat *a = NULL, *b = NULL;

      draw (pixels, 33, 41, TRUE, size);
      a = resize (device, &desc, pixels);
      b = resize (ref, &desc, pixels);
      g_assert_cmpmem (a, bytes, b, bytes);
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
  g_test_add_func ("/resize/normalise", test_normalise);
  g_test_add_func ("/resize/devices-agree", test_devices_agree);
  return g_test_run ();
}
