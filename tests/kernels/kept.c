/* Tests of kernels/kept: weights in another form
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/conv/winograd.h"
#include "kernels/kept.h"
#include "lib/device/gradcpudevice-private.h"
#include "convutil.h"

static gpointer
get (const GradTensor * w, const gchar * form, gsize size, gboolean expected)
{
  gboolean fresh;
  gpointer data;

  TEST_RUN (w->device, (data = grad_kept_get (w, g_quark_from_string (form), size, &fresh, &error)) != NULL);
  g_assert_cmpint (fresh, ==, expected);
  grad_kept_made (w, g_quark_from_string (form));
  return data;
}

/* It stays where it is until the weights go, and says when they have changed. */
static void
test_forms (void)
{
  g_autoptr (GradDevice) cpu = test_device ("cpu");
  guint64 before = grad_device_get_bytes_allocated (cpu);
  GradTensor *w = test_random_parameter (cpu, GRAD_SHAPE (16, 3, 3, 3), 1, -1, 1);
  guint64 alone = grad_device_get_bytes_allocated (cpu);
  gfloat values[16 * 3 * 3 * 3] = { 0 };
  gpointer a = get (w, "a", 1000, FALSE), b = get (w, "b", 500, FALSE);

  g_assert_true (a != b);
  g_assert_cmpuint (grad_device_get_bytes_allocated (cpu), ==, alone + 1500);
  g_assert_true (get (w, "a", 1000, TRUE) == a);
  g_assert_true (grad_tensor_upload (w, values, sizeof values, NULL));
  g_assert_true (get (w, "a", 1000, FALSE) == a);
  g_assert_true (get (w, "b", 500, FALSE) == b);
  g_assert_true (get (w, "a", 1000, TRUE) == a);
  grad_tensor_unref (w);
  g_assert_cmpuint (grad_device_get_bytes_allocated (cpu), ==, before);
}

/* Plans for batches of other sizes find transformed what the first one has transformed. */
static void
test_plans (void)
{
  g_autoptr (GradDevice) cpu = test_device ("cpu");
  GradTensor *w = test_random_parameter (cpu, GRAD_SHAPE (16, 16, 3, 3), 1, -1, 1);
  guint before = grad_cpu_reorders.parameters;

  for (gint n = 1; n <= 4; n++) {
    GradConvDesc d = conv_describe (&(ConvCase) { n, 16, 12, 12, 16, 3, 1, 1 }, FALSE);
    ConvTensors t = conv_fill (cpu, &d, -1);
    GradWinograd *winograd;

    TEST_RUN (cpu, (winograd = grad_winograd_new (cpu, &d, GRAD_CONV_FORWARD, &error)) != NULL);
    TEST_RUN (cpu, grad_winograd_convolve (winograd, t.x, w, NULL, NULL, t.y, &error));
    g_free (winograd);
    conv_clear (&t);
  }
  g_assert_cmpuint (grad_cpu_reorders.parameters - before, ==, 1);
  grad_tensor_unref (w);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/kernels/kept/forms", test_forms);
  g_test_add_func ("/kernels/kept/plans", test_plans);
  return g_test_run ();
}
