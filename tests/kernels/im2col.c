/* Tests of kernels/conv/im2col: against the reference, whatever is the faster way
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/conv/im2col.h"
#include "convutil.h"

#define N_RANDOM 80

static const ConvCase cases[] = {
  /* n ic ih iw oc kernel stride padding  bias add relu accumulate */
  {1, 1, 1, 1, 16, 1, 1, 0},
  {9, 1, 28, 28, 64, 7, 2, 3, TRUE},    /* stems */
  {3, 3, 45, 50, 48, 7, 2, 3, FALSE, FALSE, FALSE, TRUE},
  {2, 4, 21, 31, 80, 7, 2, 3, TRUE, FALSE, FALSE, TRUE},
  {2, 3, 12, 13, 16, 3, 1, 1, TRUE},
  {70, 1, 6, 5, 16, 3, 1, 1},   /* several chunks to a part */
  {2, 20, 9, 9, 32, 3, 1, 1, TRUE},     /* more channels than a stem's */
  {9, 24, 12, 12, 32, 3, 1, 1, TRUE},   /* plain where blocks are of 16 */
  {3, 2, 9, 11, 8, 5, 2, 2, TRUE},      /* a single vector of outputs, or three of them, where those are 8 */
  {3, 2, 9, 11, 24, 5, 2, 2, TRUE, FALSE, FALSE, TRUE},
  {1, 1, 3, 1200, 16, 3, 1, 1}, /* a row is more than a chunk */
  {2, 2, 17, 15, 32, 11, 3, 5, TRUE},   /* a tap's row is more than a vector */
  {1, 1, 5, 5, 16, 2, 3, 0},    /* rows and columns that no tap meets */
  {2, 3, 2, 2, 32, 5, 1, 4, TRUE},      /* more padding than picture */
  {2, 255, 4, 3, 16, 1, 2, 0, TRUE, FALSE, FALSE, TRUE},      /* as many columns as there may be */
};

/* FALSE where tensors lie otherwise */
static gboolean
is_supported (GradDevice * device, const GradConvDesc * d, const ConvTensors * t)
{
  gboolean supported = t->x->layout == GRAD_LAYOUT_PLAIN && t->dw->layout == GRAD_LAYOUT_PLAIN
      && t->dy->layout != GRAD_LAYOUT_PLAIN;

  g_assert_cmpint (grad_im2col_supports (device, d), ==, supported);
  if (!supported)
    g_test_skip ("tensors lie otherwise");
  return supported;
}

static void
compute (GradDevice * device, const GradConvDesc * d, const ConvTensors * t, gboolean accumulate)
{
  GradIm2col *im2col;

  TEST_RUN (device, (im2col = grad_im2col_new (device, d, &error)) != NULL);
  TEST_RUN (device, grad_im2col_gradient (im2col, t->x, t->dy, t->dw, t->db, accumulate, &error));
  g_free (im2col);
}

/* values from `low` to 1 */
static void
gradient_on (const gchar * name, const ConvCase * c, gfloat low, gdouble tolerance)
{
  g_autoptr (GradDevice) cpu = test_device (name), ref = test_device ("ref");
  GradConvDesc d = conv_describe (c, TRUE);
  ConvTensors got = conv_fill (cpu, &d, low), expected = conv_fill_expected (ref, &d, low, &got);
  GradPlan *plan;

  if (is_supported (cpu, &d, &got)) {
    TEST_RUN (ref, (plan = grad_conv_ref_ops.plan (ref, &d, &error)) != NULL);
    TEST_RUN (ref, grad_conv_ref_ops.backward_weights (plan, expected.x, expected.dy, expected.dw,
            expected.db, c->accumulate, &error));
    compute (cpu, &d, &got, c->accumulate);
    test_assert_close_f32 (got.dw, expected.dw, tolerance);
    if (d.bias)
      test_assert_close_f32 (got.db, expected.db, tolerance);
    grad_plan_free (plan);
  }
  conv_clear (&got);
  conv_clear (&expected);
}

static void
test_gradient (gconstpointer data)
{
  gradient_on ("cpu", data, -1, 2e-6);
  gradient_on ("cpu/bf16", data, -1, 2e-6);
}

static void
test_random_shapes (void)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);

  for (gint i = 0; i < N_RANDOM; i++) {
    ConvCase c = {
      .n = g_rand_int_range (rand, 1, 6),.ih = g_rand_int_range (rand, 1, 40),
      .iw = g_rand_int_range (rand, 1, 40),.oc = 8 * g_rand_int_range (rand, 1, 19),
      .kernel = g_rand_int_range (rand, 1, 12),.stride = g_rand_int_range (rand, 1, 4),
      .bias = g_rand_boolean (rand),.accumulate = g_rand_boolean (rand)
    };

    c.ic = g_rand_int_range (rand, 1, MIN (7, 255 / (c.kernel * c.kernel)) + 1);
    c.padding = g_rand_int_range (rand, 0, c.kernel);
    conv_fit (&c);
    gradient_on ("cpu", &c, -1, 2e-6);
    gradient_on ("cpu/bf16", &c, -1, 2e-6);
  }
}

/* Of so many values of one sign, added one by one, floats would lose a thousandth. */
static void
test_accuracy (void)
{
  gradient_on ("cpu", &(ConvCase) { 128, 1, 64, 64, 16, 1, 1, 0, TRUE }, 0.5, 1e-6);
}

/* The same bits, however many threads there are. */
static void
test_threads (gconstpointer data)
{
  const ConvCase *c = data;
  GradConvDesc d = conv_describe (c, TRUE);
  g_autoptr (GradDevice) one = test_device_with_threads ("cpu", 1);
  ConvTensors expected = conv_fill (one, &d, -1);

  if (is_supported (one, &d, &expected)) {
    compute (one, &d, &expected, c->accumulate);
    for (guint threads = 2; threads <= 5; threads++) {
      g_autoptr (GradDevice) cpu = test_device_with_threads ("cpu", threads);
      ConvTensors got = conv_fill (cpu, &d, -1);

      compute (cpu, &d, &got, c->accumulate);
      assert_same_bits (got.dw, expected.dw);
      if (d.bias)
        assert_same_bits (got.db, expected.db);
      conv_clear (&got);
    }
  }
  conv_clear (&expected);
}

/* With `deterministic` this is the way that a convolution goes. */
static void
test_rule (void)
{
  GradDeviceSettings settings = {.name = "cpu",.deterministic = TRUE };
  g_autoptr (GradDevice) cpu = grad_device_open (&settings, NULL);
  const GradConvOps *ops = grad_device_kernels (cpu)->conv;
  const ConvCase *c = &cases[1];
  GradConvDesc d = conv_describe (c, TRUE);
  ConvTensors expected = conv_fill (cpu, &d, -1), got = conv_fill (cpu, &d, -1);
  GradPlan *plan;

  if (is_supported (cpu, &d, &got)) {
    for (guint accumulate = 0; accumulate < 2; accumulate++) {
      compute (cpu, &d, &expected, accumulate);
      TEST_RUN (cpu, (plan = ops->plan (cpu, &d, &error)) != NULL);
      TEST_RUN (cpu, ops->backward_weights (plan, got.x, got.dy, got.dw, got.db, accumulate, &error));
      assert_same_bits (got.dw, expected.dw);
      assert_same_bits (got.db, expected.db);
      grad_plan_free (plan);
    }
  }
  conv_clear (&expected);
  conv_clear (&got);
}

static void
test_refused (void)
{
  static const ConvCase no[] = {
    {1, 16, 8, 8, 16, 3, 1, 1}, /* x in blocks */
    {1, 3, 8, 8, 10, 3, 1, 1},  /* y not */
    {1, 29, 8, 8, 16, 3, 1, 1}, /* too many columns */
  };
  g_autoptr (GradDevice) cpu = test_device ("cpu");

  for (guint i = 0; i < G_N_ELEMENTS (no); i++) {
    GradConvDesc d = conv_describe (&no[i], TRUE);

    g_assert_false (grad_im2col_supports (cpu, &d));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *gradient = g_strdup_printf ("/kernels/im2col/gradient/%u", i);
    g_autofree gchar *threads = g_strdup_printf ("/kernels/im2col/threads/%u", i);

    g_test_add_data_func (gradient, &cases[i], test_gradient);
    g_test_add_data_func (threads, &cases[i], test_threads);
  }
  g_test_add_func ("/kernels/im2col/random-shapes", test_random_shapes);
  g_test_add_func ("/kernels/im2col/accuracy", test_accuracy);
  g_test_add_func ("/kernels/im2col/rule", test_rule);
  g_test_add_func ("/kernels/im2col/refused", test_refused);
  return g_test_run ();
}
