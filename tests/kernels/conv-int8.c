/* Tests of kernels/conv/conv-int8: exact where values are integers, else near the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/conv/conv-int8.h"
#include "tests/testutil.h"

#include <math.h>

typedef struct
{
  gint n, ic, h, w, oc, kernel, stride, padding;
  gboolean bias, add, relu;
} Case;

static const Case cases[] = {
  /* n ic h w oc kernel stride padding  bias add relu */
  {1, 16, 3, 3, 16, 3, 1, 1},
  {1, 1, 20, 20, 16, 7, 2, 3, TRUE, FALSE, TRUE},       /* a stem: plain pictures, 7 bytes in a row of the kernel */
  {2, 3, 15, 13, 32, 7, 2, 3, TRUE},
  {3, 32, 6, 6, 48, 3, 1, 1, TRUE, TRUE, TRUE},
  {2, 32, 12, 12, 64, 3, 2, 1, TRUE, FALSE, TRUE},
  {2, 32, 12, 12, 64, 1, 2, 0, TRUE},
  {5, 16, 7, 5, 16, 3, 1, 1, FALSE, TRUE},      /* groups beyond a row's end */
  {1, 48, 4, 11, 16, 5, 3, 2, TRUE, FALSE, TRUE},
  {7, 20, 4, 4, 16, 3, 1, 1, FALSE, FALSE, TRUE},       /* inputs are no multiple of a block */
  {1, 512, 3, 3, 96, 3, 1, 1, TRUE, TRUE, TRUE},
  {40, 16, 9, 9, 80, 3, 1, 0, TRUE},
  {2, 2, 1, 1, 16, 1, 1, 0},
};

typedef struct
{
  GradTensor *x, *w, *b, *residual, *y;
} Tensors;

static GradConvDesc
describe (const Case * c)
{
  return (GradConvDesc) {
    .n = c->n,.ic = c->ic,.ih = c->h,.iw = c->w,.oc = c->oc,
    .oh = (c->h + 2 * c->padding - c->kernel) / c->stride + 1,
    .ow = (c->w + 2 * c->padding - c->kernel) / c->stride + 1,
    .kernel = c->kernel,.stride = c->stride,.padding = c->padding,
    .bias = c->bias,.add = c->add,.relu = c->relu
  };
}

/* Weights reach far enough for a bias of that size to matter. */
static Tensors
fill (GradDevice * device, const GradConvDesc * d)
{
  GradShape y = GRAD_SHAPE (d->n, d->oc, d->oh, d->ow), b = GRAD_SHAPE (d->oc);

  return (Tensors) {
    .x = test_random (device, GRAD_SHAPE (d->n, d->ic, d->ih, d->iw), 1, -0.5, 1),
    .w = test_random_parameter (device, GRAD_SHAPE (d->oc, d->ic, d->kernel, d->kernel), 2, -1, 1),
    .b = d->bias ? test_random_parameter (device, b, 3, -1, 1) : NULL,
    .residual = d->add ? test_random (device, y, 4, -1, 1) : NULL,
    .y = test_new (device, y)
  };
}

static void
clear (Tensors * t)
{
  GradTensor **tensors[] = { &t->x, &t->w, &t->b, &t->residual, &t->y };

  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
    g_clear_pointer (tensors[i], grad_tensor_unref);
}

static GradDevice *
open_int8 (guint threads)
{
  GradDeviceSettings settings = {.name = "cpu",.precision = GRAD_PRECISION_INT8,.threads = threads };
  g_autoptr (GError) error = NULL;
  GradDevice *device = grad_device_open (&settings, &error);

  if (grad_conv_int8_available ())
    g_assert_no_error (error);
  else {
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED);
    g_assert_nonnull (strstr (error->message, "VNNI"));
    g_test_skip ("this processor has no VNNI");
  }
  return device;
}

/* as GradConvOps of the device do it, which must be the kernel under test */
static void
convolve (GradDevice * device, const GradConvDesc * d, const Tensors * t, guint times)
{
  const GradConvOps *ops = grad_device_kernels (device)->conv;
  GradPlan *plan;

  TEST_RUN (device, (plan = ops->plan (device, d, &error)) != NULL);
  for (guint i = 0; i < times; i++)
    TEST_RUN (device, ops->forward (plan, t->x, t->w, t->b, t->residual, t->y, &error));
  grad_plan_free (plan);
}

/* whole numbers from low to high */
static void
make_whole (GradTensor * tensor, gint low, gint high)
{
  g_autofree gfloat *values = tensor ? test_download (tensor) : NULL;
  gsize n = tensor ? grad_shape_n_elements (&tensor->shape) : 0;

  for (gsize i = 0; i < n; i++)
    values[i] = rint (low + (high - low) * fabs (values[i]));
  if (tensor != NULL)
    g_assert_true (grad_tensor_upload (tensor, values, n * sizeof (gfloat), NULL));
}

/* Each picture gets values that are bytes but for an offset, each output's weights are signed bytes */
static void
make_exact (const GradConvDesc * d, Tensors * t)
{
  gsize picture = (gsize) d->ic * d->ih * d->iw, taps = (gsize) d->ic * d->kernel * d->kernel;
  g_autofree gfloat *x = NULL, *w = NULL;

  make_whole (t->x, 0, 155);
  make_whole (t->w, -4, 4);
  make_whole (t->b, -100, 100);
  make_whole (t->residual, -100, 100);
  x = test_download (t->x);
  w = test_download (t->w);
  for (gint n = 0; n < d->n; n++) {     /* the second one and every other has negative values */
    x[n * picture] = n % 2 ? -100 : 0;
    x[n * picture + 1] = n % 2 ? 155 : 255;
  }
  for (gint o = 0; o < d->oc; o++)
    w[o * taps + o % taps] = o % 2 ? -127 : 127;
  g_assert_true (grad_tensor_upload (t->x, x, d->n * picture * sizeof (gfloat), NULL));
  g_assert_true (grad_tensor_upload (t->w, w, d->oc * taps * sizeof (gfloat), NULL));
}

static void
test_exact (gconstpointer data)
{
  g_autoptr (GradDevice) int8 = open_int8 (3), ref = test_device ("ref");
  GradConvDesc d = describe (data);
  Tensors got, expected;

  if (int8 == NULL)
    return;
  got = fill (int8, &d);
  expected = fill (ref, &d);
  make_exact (&d, &got);
  make_exact (&d, &expected);
  convolve (ref, &d, &expected, 1);
  convolve (int8, &d, &got, 2);
  test_assert_close (got.y, expected.y, 0);
  clear (&got);
  clear (&expected);
}

static void
test_near (gconstpointer data)
{
  g_autoptr (GradDevice) int8 = open_int8 (0), ref = test_device ("ref");
  GradConvDesc d = describe (data);
  Tensors got, expected;
  g_autofree gfloat *a = NULL, *b = NULL;
  gdouble error = 0, size = 0;

  if (int8 == NULL)
    return;
  got = fill (int8, &d);
  expected = fill (ref, &d);
  convolve (ref, &d, &expected, 1);
  convolve (int8, &d, &got, 1);
  a = test_download (got.y);
  b = test_download (expected.y);
  for (gsize i = 0; i < grad_shape_n_elements (&got.y->shape); i++) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  g_test_message ("relative error %.2g", sqrt (error / size));
  g_assert_cmpfloat (sqrt (error / size), <, 0.015);
  clear (&got);
  clear (&expected);
}

/* What a picture gives depends neither on its neighbours nor on how many threads there are. */
static void
test_independent (void)
{
  GradConvDesc d = describe (&cases[3]), one = d;
  gsize x_size = (gsize) d.ic * d.ih * d.iw, y_size = (gsize) d.oc * d.oh * d.ow;

  one.n = 1;
  for (guint threads = 1; threads <= 4; threads++) {
    g_autoptr (GradDevice) int8 = open_int8 (threads);
    Tensors all, alone;
    g_autofree gfloat *x = NULL, *y = NULL, *residual = NULL;

    if (int8 == NULL)
      return;
    all = fill (int8, &d);
    alone = fill (int8, &one);
    convolve (int8, &d, &all, 1);
    x = test_download (all.x);
    y = test_download (all.y);
    residual = test_download (all.residual);
    for (gint n = 0; n < d.n; n++) {
      g_autofree gfloat *got = NULL;

      grad_tensor_upload (alone.x, x + n * x_size, x_size * sizeof (gfloat), NULL);
      grad_tensor_upload (alone.residual, residual + n * y_size, y_size * sizeof (gfloat), NULL);
      convolve (int8, &one, &alone, 1);
      got = test_download (alone.y);
      g_assert_cmpmem (got, y_size * sizeof (gfloat), y + n * y_size, y_size * sizeof (gfloat));
    }
    clear (&all);
    clear (&alone);
  }
}

/* Pictures of one value, of none but zeros, and with one that is not finite, beside each other */
static void
test_odd_values (void)
{
  g_autoptr (GradDevice) int8 = open_int8 (0), ref = test_device ("ref");
  GradConvDesc d = describe (&(Case) { 5, 16, 4, 4, 16, 3, 1, 1 });
  gsize picture = 16 * 4 * 4;
  g_autofree gfloat *x = g_new0 (gfloat, 5 * picture), *y = NULL, *expected_y = NULL;
  Tensors got, expected;

  if (int8 == NULL)
    return;
  for (gsize i = 0; i < picture; i++) {
    x[i] = 3.5;
    x[picture + i] = 1e-42;
    x[4 * picture + i] = -0.25;
  }
  x[2 * picture + 17] = NAN;
  x[3 * picture + 255] = -INFINITY;
  got = fill (int8, &d);
  expected = fill (ref, &d);
  grad_tensor_upload (got.x, x, 5 * picture * sizeof (gfloat), NULL);
  grad_tensor_upload (expected.x, x, 5 * picture * sizeof (gfloat), NULL);
  convolve (int8, &d, &got, 1);
  convolve (ref, &d, &expected, 1);
  y = test_download (got.y);
  expected_y = test_download (expected.y);
  for (gsize i = 0; i < picture; i++) {
    g_assert_cmpfloat_with_epsilon (y[i], expected_y[i], 1);
    g_assert_cmpfloat_with_epsilon (y[4 * picture + i], expected_y[4 * picture + i], 0.1);
    g_assert_cmpfloat (y[picture + i], ==, 0);
    g_assert_true (isnan (y[2 * picture + i]) && isnan (y[3 * picture + i]));
  }
  clear (&got);
  clear (&expected);
}

/* Of weights that are no numbers nothing can be made, but for the other outputs; and no sum is too large for 32 bits. */
static void
test_odd_weights (void)
{
  g_autoptr (GradDevice) int8 = open_int8 (0);
  GradConvDesc d = describe (&(Case) { 1, 16, 4, 4, 16, 3, 1, 1 });
  gsize n_w = 16 * 16 * 9, n_y = 16 * 4 * 4;
  g_autofree gfloat *w = NULL, *y = NULL;
  Tensors t;

  if (int8 == NULL)
    return;
  t = fill (int8, &d);
  w = test_download (t.w);
  w[0] = 1000;
  w[1] = NAN;
  w[n_w - 1] = INFINITY;
  g_assert_true (grad_tensor_upload (t.w, w, n_w * sizeof (gfloat), NULL));
  convolve (int8, &d, &t, 1);
  y = test_download (t.y);
  for (gsize i = 0; i < n_y; i++)
    g_assert_cmpint (isnan (y[i]), ==, i < 16 || i >= n_y - 16);
  clear (&t);

  d.ic = 7360;
  g_assert_true (grad_conv_int8_supports (int8, &d));
  d.ic = 7376;                  /* times 9 */
  g_assert_false (grad_conv_int8_supports (int8, &d));
}

/* What was made of old weights must not be used again, nor a residual that y takes the place of be lost. */
static void
test_changed_weights (void)
{
  g_autoptr (GradDevice) int8 = open_int8 (0);
  GradConvDesc d = describe (&cases[3]);
  const GradConvOps *ops;
  g_autofree gfloat *zeros = NULL, *y = NULL, *residual = NULL;
  gsize n_w = (gsize) d.oc * d.ic * 9, n_y = (gsize) d.n * d.oc * d.oh * d.ow;
  GradPlan *plan;
  Tensors t;

  if (int8 == NULL)
    return;
  ops = grad_device_kernels (int8)->conv;
  d.bias = d.relu = FALSE;
  t = fill (int8, &d);
  residual = test_download (t.residual);
  TEST_RUN (int8, (plan = ops->plan (int8, &d, &error)) != NULL);
  TEST_RUN (int8, ops->forward (plan, t.x, t.w, NULL, t.residual, t.y, &error));
  zeros = g_new0 (gfloat, n_w);
  g_assert_true (grad_tensor_upload (t.w, zeros, n_w * sizeof (gfloat), NULL));
  TEST_RUN (int8, ops->forward (plan, t.x, t.w, NULL, t.residual, t.residual, &error));
  y = test_download (t.residual);
  g_assert_cmpmem (y, n_y * sizeof (gfloat), residual, n_y * sizeof (gfloat));
  grad_plan_free (plan);
  clear (&t);
}

static void
test_no_training (void)
{
  g_autoptr (GradDevice) int8 = open_int8 (0);
  GradConvDesc d = describe (&cases[0]);

  gboolean plan (gpointer unused, GError ** unused_error)
  {
    g_autoptr (GError) error = NULL;

    g_assert_null (grad_device_kernels (int8)->conv->plan (int8, &d, &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED);
    g_assert_nonnull (strstr (error->message, "inference"));
    return TRUE;
  }

  if (int8 == NULL)
    return;
  d.training = TRUE;
  g_assert_false (grad_device_kernels (int8)->conv->supports (int8, &d));
  grad_device_call (int8, FALSE, plan, NULL, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *exact = g_strdup_printf ("/kernels/conv-int8/exact/%u", i);
    g_autofree gchar *near = g_strdup_printf ("/kernels/conv-int8/near/%u", i);

    g_test_add_data_func (exact, &cases[i], test_exact);
    g_test_add_data_func (near, &cases[i], test_near);
  }
  g_test_add_func ("/kernels/conv-int8/independent", test_independent);
  g_test_add_func ("/kernels/conv-int8/odd-values", test_odd_values);
  g_test_add_func ("/kernels/conv-int8/odd-weights", test_odd_weights);
  g_test_add_func ("/kernels/conv-int8/changed-weights", test_changed_weights);
  g_test_add_func ("/kernels/conv-int8/no-training", test_no_training);
  return g_test_run ();
}
