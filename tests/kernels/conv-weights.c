/* Tests of kernels/conv/conv-weights.h, which only the cuda device has: exact, on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../testutil.h"
#include "kernels/conv/conv-weights.h"
#include "kernels/kept.h"

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

static const gint filters[][3] = {      /* O, I, k */
  {1, 16, 1}, {8, 8, 3}, {16, 24, 3}, {3, 264, 3}, {4, 8, 7}, {2, 100, 2}, {1, 8, 48}, {40, 512, 1},
};

/* Values that have been rounded, and on the way to it those in the type of activations */
static void
test_add (gconstpointer name)
{
  g_autoptr (GradDevice) device = test_device (name);
  const GradConvWeightsOps *ops = test_cuda_symbol ("grad_conv_weights_ops");

  for (guint i = 0; i < G_N_ELEMENTS (filters); i++) {
    const gint *c = filters[i];
    GradShape shape = GRAD_SHAPE (c[0], c[1], c[2], c[2]);
    gsize n = grad_shape_n_elements (&shape);
    g_autoptr (GradTensor) from = test_random (device, shape, i, -1, 1);        /* it lies as a filter does */
    g_autoptr (GradTensor) dw = test_random_parameter (device, shape, i + 1, -1, 1);
    g_autofree gfloat *values = test_download (from), *sums = test_download (dw);

    for (gsize k = 0; k < n; k++)
      sums[k] += values[k];
    TEST_RUN (device, ops->add (device, layout_of (device), grad_tensor_data (from), n, grad_tensor_data (dw), TRUE,
            &error));
    assert_same (dw, sums);
    TEST_RUN (device, ops->add (device, layout_of (device), grad_tensor_data (from), n, grad_tensor_data (dw), FALSE,
            &error));
    assert_same (dw, values);
  }
}

/* What is kept of w, which is rounded, is w + 0 when it is added to nothing. */
static void
assert_rounded (GradTensor * w, gpointer kept)
{
  const GradConvWeightsOps *ops = test_cuda_symbol ("grad_conv_weights_ops");
  GradDevice *device = grad_tensor_get_device (w);
  gsize n = grad_shape_n_elements (grad_tensor_get_shape (w));
  g_autoptr (GradTensor) got = test_new_parameter (device, *grad_tensor_get_shape (w));
  g_autoptr (GradTensor) bf16 = test_new (device, GRAD_SHAPE (1, 8, 1, 1));
  g_autofree gfloat *values = test_download (w);

  for (gsize k = 0; k < n; k++)
    values[k] = test_stored (bf16, values[k]);
  TEST_RUN (device, ops->add (device, layout_of (device), kept, n, grad_tensor_data (got), FALSE, &error));
  assert_same (got, values);
}

static gpointer
rounded (GradTensor * w)
{
  const GradConvWeightsOps *ops = test_cuda_symbol ("grad_conv_weights_ops");
  gpointer kept;

  TEST_RUN (grad_tensor_get_device (w), (kept = ops->rounded (w, &error)) != NULL);
  return kept;
}

/* It follows what is written to w, and is written by an update that finds it up to date. */
static void
test_rounded (gconstpointer name)
{
  g_autoptr (GradDevice) device = test_device (name);
  const GradOptimOps *ops = grad_device_kernels (device)->optim;
  GQuark form = g_quark_from_static_string (GRAD_CONV_ROUNDED);

  if (vector_width (device) != 8)
    return;                     /* floats are not rounded */
  for (guint i = 0; i < 2 * G_N_ELEMENTS (filters); i++) {
    const gint *c = filters[i / 2];
    GradShape shape = GRAD_SHAPE (c[0], c[1], c[2], c[2]);
    gsize n = grad_shape_n_elements (&shape);
    g_autoptr (GradTensor) w = test_random_parameter (device, shape, i, -1, 1);
    g_autoptr (GradTensor) m = test_random_parameter (device, shape, i + 1, -1, 1);
    g_autoptr (GradTensor) v = test_random_parameter (device, shape, i + 2, 0, 1);
    g_autoptr (GradTensor) grad = test_random_parameter (device, shape, i + 3, -1, 1);
    g_autoptr (GradTensor) vector = test_random_parameter (device, GRAD_SHAPE (8), i, -1, 1);
    g_autofree gfloat *values = test_download (grad);
    GradOptimTensor tensors[] = { {vector, vector, NULL, NULL, vector, 1, 1, 0}, {w, m, v, NULL, grad, 1, 1, 0} };
    gpointer kept = rounded (w);

    assert_rounded (w, kept);
    g_assert_true (grad_tensor_upload (w, values, n * sizeof (gfloat), NULL));
    g_assert_null (grad_kept_find (w, form));
    if (i % 2) {
      g_assert_true (rounded (w) == kept);
      assert_rounded (w, kept);
    }
    TEST_RUN (device, ops->sgd (device, tensors, 2, &(GradSgdArgs) {.momentum = 0.5 },
            &(GradOptimStep) {.learning_rate = 0.1 }, &error));
    g_assert_cmpuint (tensors[0].kept, ==, 0);
    g_assert_cmpuint (tensors[1].kept, ==, i % 2 ? form : 0);
    grad_tensor_touch (w);
    g_assert_null (grad_kept_find (w, form));
    if (i % 2)
      grad_kept_follow (w, form);
    g_assert_true (rounded (w) == kept);
    assert_rounded (w, kept);
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
    {"add", test_add}, {"rounded", test_rounded}, {"sum-rows", test_sum_rows}, {"finish", test_finish}
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
