/* Tests of kernels/loss: against PyTorch, finite differences and the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernelutil.h"
#include "tests/data/kernel-goldens.h"

static GradTensor *
new_result (GradDevice * device)
{
  GradTensor *result = grad_tensor_new_plain (device, GRAD_DTYPE_UINT8,
      &GRAD_SHAPE (2 * sizeof (gdouble)), NULL);

  g_assert_true (grad_tensor_upload (result, (gdouble[2]) { 42, 42 }, 2 * sizeof (gdouble), NULL));
  return result;
}

static gdouble
loss (GradTensor * logits, const gint32 * labels, gdouble smoothing, GradTensor * dlogits,
    guint * correct)
{
  GradDevice *device = grad_tensor_get_device (logits);
  g_autoptr (GradTensor) result = new_result (device);
  gdouble sum;

  TEST_RUN (device, grad_device_kernels (device)->loss->softmax_cross_entropy (device, logits,
          labels, smoothing, logits->shape.dims[0], dlogits, result, &error));
  grad_loss_result_read (result, &sum, correct);
  return sum;
}

static void
test_golden (void)
{
  static const gint32 labels[] = { 0, 4, 2, 2 };
  g_autoptr (GradDevice) device = test_device ("ref");

  for (guint smooth = 0; smooth < 2; smooth++) {
    guint32 state = 2;
    g_autoptr (GradTensor) x = lcg_tensor (device, GRAD_SHAPE (4, 5), &state, -3, 3);
    guint correct;

    g_assert_cmpfloat_with_epsilon (loss (x, labels, smooth ? 0.125 : 0, x, &correct),
        smooth ? golden_loss_smooth[0] : golden_loss_plain[0], 1e-13);
    assert_golden (x, smooth ? golden_dlogits_smooth : golden_dlogits_plain, 1e-14);
  }
}

static const gint32 gradient_labels[] = { 3, 0, 1 };

static gdouble
mean_loss (gpointer logits)
{
  guint correct;

  return loss (logits, gradient_labels, 0.1, NULL, &correct) / 3;
}

static void
test_gradient (void)
{
  g_autoptr (GradDevice) device = test_device ("ref");
  g_autoptr (GradTensor) x = test_random (device, GRAD_SHAPE (3, 4), 1, -2, 2);
  g_autoptr (GradTensor) dx = test_new (device, GRAD_SHAPE (3, 4));
  guint correct;

  loss (x, gradient_labels, 0.1, dx, &correct);
  assert_gradient (x, dx, mean_loss, x);
}

static const struct
{
  gint n, k;
  gfloat low, high;
  gdouble smoothing;
} cases[] = {
  {4, 5, -1, 1, 0},
  {256, 10, -10, 10, 0},
  {1100, 10, -10, 10, 0.1},     /* more samples than classes */
  {3, 1000, -5, 5, 0.1},
  {7, 10, -3e4, 3e4, 0},        /* exp() of these overflows */
  {5, 1, -1, 1, 0},
  {9, 17, -5, 5, 0.1},
};

static void
test_devices_agree (void)
{
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
      GradShape shape = GRAD_SHAPE (cases[i].n, cases[i].k);
      g_autoptr (GradTensor) x = test_random (device, shape, i, cases[i].low, cases[i].high);
      g_autoptr (GradTensor) y = test_random (ref, shape, i, cases[i].low, cases[i].high);
      g_autoptr (GradTensor) dx = test_new (device, shape), dy = test_new (ref, shape);
      g_autofree gint32 *labels = g_new (gint32, cases[i].n);
      gdouble a, b;
      guint correct_a, correct_b;

      for (gint n = 0; n < cases[i].n; n++)
        labels[n] = (n * 7 + n / 10) % cases[i].k;
      a = loss (x, labels, cases[i].smoothing, dx, &correct_a);
      b = loss (y, labels, cases[i].smoothing, dy, &correct_b);
      g_assert_cmpfloat_with_epsilon (a, b, 1e-6 * b + 1e-12);
      g_assert_cmpuint (correct_a, ==, correct_b);
      test_assert_close_f32 (dx, dy, 1e-5);
      g_assert_cmpfloat (loss (x, labels, cases[i].smoothing, NULL, &correct_a), ==, a);
      loss (x, labels, cases[i].smoothing, x, &correct_a);
      assert_same_bits (x, dx);
    }
  }
}

static void
test_extremes (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    gfloat values[] = { 0, -INFINITY, 0, 3e38, -3e38, 0, 5, 5, 5 };
    gint32 labels[] = { 0, 0, 0 };
    g_autoptr (GradTensor) x = test_values (device, GRAD_SHAPE (3, 3), values);
    g_autoptr (GradTensor) dx = test_new (device, GRAD_SHAPE (3, 3));
    g_autofree gfloat *got = NULL;
    guint correct;

    /* log 2 + 0 + log 3; all three are right, the first of equals counts */
    g_assert_cmpfloat_with_epsilon (loss (x, labels, 0, dx, &correct), log (6), 1e-6);
    g_assert_cmpuint (correct, ==, 3);
    got = test_download (dx);
    g_assert_cmpfloat_with_epsilon (got[0], -0.5 / 3, 1e-7);
    g_assert_cmpfloat (got[1], ==, 0);
    g_assert_cmpfloat (got[3], ==, 0);
    g_assert_cmpfloat_with_epsilon (got[8], 1 / 9., 1e-7);
    labels[2] = 1;
    loss (x, labels, 0, NULL, &correct);
    g_assert_cmpuint (correct, ==, 2);
    labels[0] = 1;
    g_assert_cmpfloat (loss (x, labels, 0, NULL, &correct), ==, INFINITY);
  }
}

/* Of equals the first counts, wherever the two are. */
static void
test_equals (void)
{
  enum { K = 70 };

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    gfloat values[K] = { 0 };

    for (gint first = 0; first < 12; first++) {
      gint second = 69 - first * 5;
      GradShape shape = GRAD_SHAPE (1, second + 1);
      g_autoptr (GradTensor) x = NULL;
      guint correct;

      values[first] = values[second] = 1;
      x = test_values (device, shape, values);
      loss (x, &first, 0, NULL, &correct);
      g_assert_cmpuint (correct, ==, 1);
      loss (x, &second, 0, NULL, &correct);
      g_assert_cmpuint (correct, ==, 0);
      values[first] = values[second] = 0;
    }
  }
}

static void
test_label_out_of_range (void)
{
  static const gint32 bad[] = { 10, -1, G_MAXINT32, G_MININT32 };

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    const GradLossOps *ops = grad_device_kernels (device)->loss;

    for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
      g_autoptr (GradTensor) x = test_random (device, GRAD_SHAPE (5, 10), 1, -1, 1);
      g_autofree gfloat *before = test_download (x), *after = NULL;
      g_autofree gchar *beginning = g_strdup_printf ("label %d of sample 3 is out of range: "
          "the network has 10 classes (0 to 9)", bad[i]);
      gint32 labels[] = { 0, 1, 2, bad[i], 4 };
      g_autoptr (GError) error = NULL;
      g_autoptr (GradTensor) result = new_result (device);
      gdouble sum;
      guint correct;

      g_assert_false (ops->softmax_cross_entropy (device, x, labels, 0, 5, x, result, &error));
      g_assert_error (error, GRAD_ERROR, GRAD_ERROR_LABEL);
      g_assert_true (g_str_has_prefix (error->message, beginning));
      grad_loss_result_read (result, &sum, &correct);
      g_assert_cmpfloat (sum, ==, 42);
      g_assert_cmpuint (correct, ==, 42);
      after = test_download (x);
      g_assert_cmpmem (after, 50 * sizeof (gfloat), before, 50 * sizeof (gfloat));
    }
  }
}

static void
test_threads (void)
{
  g_autoptr (GradDevice) one = device_with_threads (1), two = device_with_threads (2);
  g_autofree gint32 *labels = g_new0 (gint32, 1000);
  g_autoptr (GradTensor) a = NULL, b = NULL;
  guint correct;

  if (one == NULL) {
    g_test_skip ("no cpu device");
    return;
  }
  a = test_random (one, GRAD_SHAPE (1000, 10), 1, -5, 5);
  b = test_random (two, GRAD_SHAPE (1000, 10), 1, -5, 5);
  g_assert_cmpfloat (loss (a, labels, 0.1, a, &correct), ==, loss (b, labels, 0.1, b, &correct));
  assert_same_bits (a, b);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/loss/golden", test_golden);
  g_test_add_func ("/loss/gradient", test_gradient);
  g_test_add_func ("/loss/devices-agree", test_devices_agree);
  g_test_add_func ("/loss/extremes", test_extremes);
  g_test_add_func ("/loss/equals", test_equals);
  g_test_add_func ("/loss/label-out-of-range", test_label_out_of_range);
  g_test_add_func ("/loss/threads", test_threads);
  return g_test_run ();
}
