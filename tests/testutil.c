/* GradStreamer tests: tensors with known values, and comparing them
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "testutil.h"

#include <gmodule.h>
#include <math.h>
#include <string.h>

const gchar *const *
test_devices (void)
{
#ifdef HAVE_ONEDNN
  const gchar *all = "ref,cpu,cpu/bf16";
#else
  const gchar *all = "ref";
#endif
  static gchar **names;

  if (names == NULL)
    names = g_strsplit (g_getenv ("TEST_DEVICES") ? g_getenv ("TEST_DEVICES") : all, ",", -1);
  return (const gchar * const *) names;
}

GradDevice *
test_device (const gchar * name)
{
  return test_device_with_threads (name, 0);
}

GradDevice *
test_device_with_threads (const gchar * name, guint threads)
{
  g_auto (GStrv) parts = g_strsplit (name, "/", 2);
  GradDeviceSettings settings = {.name = parts[0],.threads = threads,
    .precision = g_strcmp0 (parts[1], "bf16") == 0 ? GRAD_PRECISION_BF16
        : g_strcmp0 (parts[1], "tf32") == 0 ? GRAD_PRECISION_TF32 : parts[1] ? GRAD_PRECISION_F32 : GRAD_PRECISION_DEFAULT
  };
  g_autoptr (GError) error = NULL;
  GradDevice *device = grad_device_open (&settings, &error);

  g_assert_no_error (error);
  return device;
}

gpointer
test_cuda_symbol (const gchar * name)
{
  const gchar *dir = g_getenv ("GRAD_BACKEND_PATH");
  g_autofree gchar *path = g_build_filename (dir ? dir : BACKEND_DIR,
      "libgradcuda." G_MODULE_SUFFIX, NULL);
  GModule *module = g_module_open (path, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  gpointer symbol = NULL;

  g_assert_nonnull (module);
  g_module_symbol (module, name, &symbol);
  g_module_close (module);      /* the device's keeps it loaded */
  return symbol;
}

/* TEST_SEED in the environment: other values than those of all other runs */
static guint64
test_seed (void)
{
  const gchar *seed = g_getenv ("TEST_SEED");

  return seed ? g_ascii_strtoull (seed, NULL, 10) << 32 : 0;
}

static GradTensor *
filled (GradTensor * tensor, guint64 seed, gfloat low, gfloat high)
{
  gsize n = grad_shape_n_elements (grad_tensor_get_shape (tensor));
  g_autofree gfloat *values = g_new (gfloat, n);
  guint64 state = (seed ^ test_seed ()) * 0x9e3779b97f4a7c15u + 1;

  for (gsize i = 0; i < n; i++) {       /* splitmix64: independent of what is tested */
    guint64 z = (state += 0x9e3779b97f4a7c15u);
    volatile gfloat above;      /* rounded by itself, as the script of the goldens does, and not fused with the addition */

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    above = (high - low) * (gfloat) ((z >> 40) / 16777216.0);
    values[i] = low + above;
  }
  g_assert_true (grad_tensor_upload (tensor, values, n * sizeof (gfloat), NULL));
  return tensor;
}

GradTensor *
test_new (GradDevice * device, GradShape shape)
{
  GradTensor *tensor = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &shape, NULL);

  g_assert_nonnull (tensor);
  return tensor;
}

GradTensor *
test_new_parameter (GradDevice * device, GradShape shape)
{
  GradTensor *tensor = grad_tensor_new_parameter (device, &shape, NULL);

  g_assert_nonnull (tensor);
  return tensor;
}

GradTensor *
test_random (GradDevice * device, GradShape shape, guint64 seed, gfloat low, gfloat high)
{
  return filled (test_new (device, shape), seed, low, high);
}

GradTensor *
test_random_parameter (GradDevice * device, GradShape shape, guint64 seed, gfloat low, gfloat high)
{
  return filled (test_new_parameter (device, shape), seed, low, high);
}

GradTensor *
test_values (GradDevice * device, GradShape shape, const gfloat * values)
{
  GradTensor *tensor = test_new (device, shape);

  g_assert_true (grad_tensor_upload (tensor, values,
          grad_shape_n_elements (&shape) * sizeof (gfloat), NULL));
  return tensor;
}

gfloat *
test_download (GradTensor * tensor)
{
  gsize n = grad_shape_n_elements (grad_tensor_get_shape (tensor));
  gfloat *values = g_new (gfloat, n);

  g_assert_true (grad_tensor_download (tensor, values, n * sizeof (gfloat), NULL));
  return values;
}

gfloat
test_stored (GradTensor * tensor, gfloat value)
{
  guint32 bits;

  if (grad_device_get_precision (tensor->device) != GRAD_PRECISION_BF16
      || tensor->layout == GRAD_LAYOUT_PLAIN || !isfinite (value))
    return value;
  memcpy (&bits, &value, sizeof bits);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;       /* to nearest even */
  memcpy (&value, &bits, sizeof value);
  return value;
}

void
test_assert_close_full (const gchar * what, GradTensor * got, GradTensor * expected,
    gdouble tolerance)
{
  if (grad_device_get_precision (got->device) == GRAD_PRECISION_BF16)
    tolerance = MAX (tolerance, TEST_BF16_TOLERANCE);
  if (grad_device_get_precision (got->device) == GRAD_PRECISION_TF32)
    tolerance = MAX (tolerance, TEST_TF32_TOLERANCE);
  test_assert_close_f32_full (what, got, expected, tolerance);
}

void
test_assert_close_f32_full (const gchar * what, GradTensor * got, GradTensor * expected,
    gdouble tolerance)
{
  gsize n = grad_shape_n_elements (grad_tensor_get_shape (expected)), worst = 0;
  g_autofree gfloat *a = NULL, *b = NULL;
  gdouble scale = 0, error = 0;

  g_assert_true (grad_shape_equal (grad_tensor_get_shape (got),
          grad_tensor_get_shape (expected)));
  a = test_download (got);
  b = test_download (expected);
  for (gsize i = 0; i < n; i++)
    scale = MAX (scale, fabs (b[i]));
  for (gsize i = 0; i < n; i++) {
    gdouble e = fabs ((gdouble) a[i] - b[i]);

    if (!(e <= error)) {        /* NaN counts */
      error = e;
      worst = i;
    }
  }
  if (!(error <= tolerance * scale))
    g_error ("%s: element %" G_GSIZE_FORMAT " is %g, expected %g; off by %g of the largest value %g, "
        "allowed %g", what, worst, a[worst], b[worst], error / scale, scale, tolerance);
}
