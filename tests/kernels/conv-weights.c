/* Tests of kernels/conv/conv-weights.h, which only the cuda device has: exact, on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../testutil.h"
#include "kernels/conv/conv-weights.h"

#include <math.h>

static guint
layout_of (GradDevice * device)
{
  GradShape shape = GRAD_SHAPE (1, 8, 1, 1);

  return GRAD_DEVICE_GET_CLASS (device)->activation_layout (device, GRAD_DTYPE_FLOAT32, &shape);
}

static gint
vector_width (GradDevice * device)
{
  return grad_device_get_precision (device) == GRAD_PRECISION_BF16 ? 8 : 4;
}

static void
assert_same (GradTensor * tensor, const gfloat * expected)
{
  gsize n = grad_shape_n_elements (grad_tensor_get_shape (tensor));
  g_autofree gfloat *got = test_download (tensor);

  for (gsize i = 0; i < n; i++)
    if (got[i] != expected[i] && !(isnan (got[i]) && isnan (expected[i])))
      g_error ("element %" G_GSIZE_FORMAT " is %.9g, not %.9g", i, got[i], expected[i]);
}

/* A packed filter lies as a picture (O, I, k, k) does, so it is made and read as one. */
static void
test_pack (gconstpointer name)
{
  static const gint cases[][3] = {      /* O, I, k */
    {1, 16, 1}, {8, 8, 3}, {16, 24, 3}, {3, 264, 3}, {2, 520, 3}, {4, 8, 7}, {2, 100, 5},
    {2, 2304, 1}, {1, 2312, 1}, {1, 8, 48}, {5, 3, 2}, {1, 1, 1},
  };
  g_autoptr (GradDevice) device = test_device (name);
  const GradConvWeightsOps *ops = test_cuda_symbol ("grad_conv_weights_ops");
  guint layout = layout_of (device);

  g_assert_true (ops->supports (48));
  g_assert_false (ops->supports (49));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const gint *c = cases[i];
    GradShape shape = GRAD_SHAPE (c[0], c[1], c[2], c[2]);
    gsize n = grad_shape_n_elements (&shape);
    g_autoptr (GradTensor) w = test_random_parameter (device, shape, i, -1, 1);
    g_autoptr (GradTensor) packed = test_new (device, shape);
    g_autoptr (GradTensor) dw = test_random_parameter (device, shape, i + 1, -1, 1);
    g_autofree gfloat *values = test_download (w), *before = test_download (dw);
    g_autofree gfloat *sums = g_new (gfloat, n);

    g_test_message ("%d from %d, %dx%d", c[0], c[1], c[2], c[2]);
    TEST_RUN (device, ops->pack (device, layout, c[0], c[1], c[2], grad_tensor_data (w),
            grad_tensor_data (packed), &error));
    for (gsize k = 0; k < n; k++) {
      values[k] = test_stored (packed, values[k]);
      sums[k] = before[k] + values[k];
    }
    assert_same (packed, values);
    TEST_RUN (device, ops->unpack (device, layout, c[0], c[1], c[2], grad_tensor_data (packed),
            grad_tensor_data (dw), TRUE, &error));
    assert_same (dw, sums);
    TEST_RUN (device, ops->unpack (device, layout, c[0], c[1], c[2], grad_tensor_data (packed),
            grad_tensor_data (dw), FALSE, &error));
    assert_same (dw, values);
  }
}

static const gint pictures[][4] = {
  {1, 8, 1, 1}, {2, 64, 5, 7}, {1, 72, 33, 1}, {5, 136, 3, 3}, {1, 512, 6, 6}, {3, 16, 31, 17},
  {1, 12, 9, 2},
};

static void
test_sum_rows (gconstpointer name)
{
  g_autoptr (GradDevice) device = test_device (name);
  const GradConvWeightsOps *ops = test_cuda_symbol ("grad_conv_weights_ops");

  for (guint i = 0; i < 2 * G_N_ELEMENTS (pictures); i++) {
    const gint *p = pictures[i / 2];
    gboolean accumulate = i % 2;
    gint rows = p[0] * p[2] * p[3], plane = p[2] * p[3];
    g_autoptr (GradTensor) dy = test_random (device, GRAD_SHAPE (p[0], p[1], p[2], p[3]), i, -1, 1);
    g_autoptr (GradTensor) db = test_random_parameter (device, GRAD_SHAPE (p[1]), i + 1, -1, 1);
    g_autofree gfloat *values = test_download (dy), *before = test_download (db), *got = NULL;

    if (p[1] % vector_width (device) != 0)
      continue;
    TEST_RUN (device, ops->sum_rows (device, layout_of (device), rows, p[1], grad_tensor_data (dy),
            grad_tensor_data (db), accumulate, &error));
    got = test_download (db);
    for (gint c = 0; c < p[1]; c++) {
      gdouble sum = accumulate ? before[c] : 0;

      for (gint k = 0; k < rows; k++)
        sum += values[((gsize) (k / plane) * p[1] + c) * plane + k % plane];
      g_assert_cmpfloat_with_epsilon (got[c], sum, 1e-6 * rows);
    }
  }
}

static void
test_finish (gconstpointer name)
{
  g_autoptr (GradDevice) device = test_device (name);
  const GradConvWeightsOps *ops = test_cuda_symbol ("grad_conv_weights_ops");

  for (guint i = 0; i < 8 * G_N_ELEMENTS (pictures); i++) {
    const gint *p = pictures[i / 8];
    gboolean has_b = i & 1, has_residual = i & 2, relu = i & 4;
    GradShape shape = GRAD_SHAPE (p[0], p[1], p[2], p[3]);
    gsize n = grad_shape_n_elements (&shape), plane = p[2] * p[3];
    g_autoptr (GradTensor) y = test_random (device, shape, i, -1, 1);
    g_autoptr (GradTensor) residual = test_random (device, shape, i + 1, -1, 1);
    g_autoptr (GradTensor) b = test_random_parameter (device, GRAD_SHAPE (p[1]), i + 2, -1, 1);
    g_autofree gfloat *expected = test_download (y), *more = test_download (residual);
    g_autofree gfloat *bias = test_download (b);

    if (p[1] % vector_width (device) != 0)
      continue;
    expected[n / 2] = NAN;
    g_assert_true (grad_tensor_upload (y, expected, n * sizeof (gfloat), NULL));
    TEST_RUN (device, ops->finish (device, layout_of (device), n / p[1], p[1],
            has_b ? grad_tensor_data (b) : NULL, has_residual ? grad_tensor_data (residual) : NULL,
            relu, grad_tensor_data (y), &error));
    for (gsize k = 0; k < n; k++) {
      if (has_residual)
        expected[k] += more[k];
      if (has_b)
        expected[k] += bias[k / plane % p[1]];
      if (relu && expected[k] < 0)
        expected[k] = 0;
      expected[k] = test_stored (y, expected[k]);
    }
    assert_same (y, expected);
  }
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const gchar *name;
    GTestDataFunc func;
  } tests[] = {
    {"pack", test_pack}, {"sum-rows", test_sum_rows}, {"finish", test_finish}
  };

  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  for (const gchar * const *name = test_devices (); *name; name++)
    for (guint i = 0; g_str_has_prefix (*name, "cuda") && i < G_N_ELEMENTS (tests); i++) {
      g_autofree gchar *path =
          g_strdup_printf ("/kernels/conv-weights/%s/%s", *name, tests[i].name);

      g_test_add_data_func (path, *name, tests[i].func);
    }
  return g_test_run ();
}
