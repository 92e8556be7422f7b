/* Tests of kernels/elementwise
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernelutil.h"

static const GradShape cases[] = {
  {4, {2, 3, 5, 7}},
  {4, {3, 32, 5, 5}},
  {4, {1, 1, 1, 1}},
  {2, {64, 1000}},              /* several chunks */
  {1, {16385}},
};

/* which: 0 add, 1 relu, 2 relu_backward */
static void
run (GradDevice * device, guint which, GradTensor * a, GradTensor * b, GradTensor * y)
{
  const GradElementwiseOps *ops = grad_device_kernels (device)->elementwise;

  if (which == 0)
    TEST_RUN (device, ops->add (device, a, b, y, &error));
  else if (which == 1)
    TEST_RUN (device, ops->relu (device, a, y, &error));
  else
    TEST_RUN (device, ops->relu_backward (device, a, b, y, &error));
}

static gfloat
expected (guint which, gfloat a, gfloat b)
{
  return which == 0 ? a + b : which == 1 ? MAX (a, 0) : a > 0 ? b : 0;
}

static void
test_values_and_in_place (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < 3 * G_N_ELEMENTS (cases); i++) {
      GradShape shape = cases[i / 3];
      guint which = i % 3;
      g_autoptr (GradTensor) a = test_random (device, shape, 1, -1, 1);
      g_autoptr (GradTensor) b = test_random (device, shape, 2, -1, 1);
      g_autoptr (GradTensor) y = test_new (device, shape);
      g_autofree gfloat *as = test_download (a), *bs = test_download (b), *ys = NULL;

      run (device, which, a, b, y);
      ys = test_download (y);
      for (gsize k = 0; k < grad_shape_n_elements (&shape); k++)
        g_assert_cmpfloat (ys[k], ==, test_stored (y, expected (which, as[k], bs[k])));
      if (which != 1) {
        g_autoptr (GradTensor) b2 = test_random (device, shape, 2, -1, 1);

        run (device, which, a, b2, b2);
        assert_same_bits (b2, y);
      }
      run (device, which, a, b, a);
      assert_same_bits (a, y);
    }
  }
}

/* a network that diverged must not look well */
static void
test_not_a_number (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    gfloat values[] = { -1, NAN, 1, -INFINITY, INFINITY };
    g_autoptr (GradTensor) x = test_values (device, GRAD_SHAPE (5), values);
    g_autofree gfloat *y = NULL;

    run (device, 1, x, NULL, x);
    y = test_download (x);
    g_assert_cmpfloat (y[0], ==, 0);
    g_assert_true (isnan (y[1]));
    g_assert_cmpfloat (y[2], ==, 1);
    g_assert_cmpfloat (y[3], ==, 0);
    g_assert_cmpfloat (y[4], ==, INFINITY);
  }
}

static void
test_copy (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    const GradElementwiseOps *ops = grad_device_kernels (device)->elementwise;

    for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
      g_autoptr (GradTensor) x = test_random (device, cases[i], 1, 1, 2);
      g_autoptr (GradTensor) y = test_random (device, cases[i], 2, 1, 2);
      g_autofree gfloat *xs = test_download (x), *ys = NULL;

      TEST_RUN (device, ops->copy (device, x, y, &error));
      ys = test_download (y);
      g_assert_cmpmem (ys, grad_shape_n_elements (&cases[i]) * sizeof (gfloat), xs,
          grad_shape_n_elements (&cases[i]) * sizeof (gfloat));
    }
  }
}

static void
test_zero (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    const GradElementwiseOps *ops = grad_device_kernels (device)->elementwise;

    for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
      g_autoptr (GradTensor) y = test_random (device, cases[i], 1, 1, 2);
      g_autofree gfloat *ys = NULL;

      TEST_RUN (device, ops->zero (device, y, &error));
      ys = test_download (y);
      for (gsize k = 0; k < grad_shape_n_elements (&cases[i]); k++)
        g_assert_cmpfloat (ys[k], ==, 0);
    }
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/elementwise/values-and-in-place", test_values_and_in_place);
  g_test_add_func ("/elementwise/not-a-number", test_not_a_number);
  g_test_add_func ("/elementwise/copy", test_copy);
  g_test_add_func ("/elementwise/zero", test_zero);
  return g_test_run ();
}
