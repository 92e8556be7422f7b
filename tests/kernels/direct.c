/* Tests of kernels/conv/direct: against the reference, whatever is the faster way
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/conv/conv-way.h"
#include "kernels/cpu.h"
#include "lib/device/gradcpudevice-private.h"
#include "convutil.h"

#define N_RANDOM 60

/* Floats are multiplied, from and to floats or bfloat16, or pairs of bfloat16. */
enum
{ F32, BF16, PAIRS, N_WAYS };

typedef struct
{
  const gchar *name, *device;
  gboolean pairs;
} Way;

static const Way ways[N_WAYS] = { {"f32", "cpu"}, {"bf16", "cpu/bf16"}, {"pairs", "cpu/bf16", TRUE} };

typedef struct
{
  const Way *way;
  const ConvCase *c;
} Run;

static const ConvCase cases[] = {
  /* n ic ih iw oc kernel stride padding  bias add relu */
  {1, 16, 1, 1, 16, 1, 1, 0},
  {1, 1, 24, 24, 64, 7, 2, 3, TRUE, FALSE, TRUE},       /* stems: plain pictures */
  {6, 3, 25, 30, 48, 7, 2, 3},
  {2, 20, 9, 9, 32, 3, 1, 1, TRUE},
  {1, 64, 12, 12, 128, 1, 2, 0, TRUE},  /* shortcuts */
  {9, 32, 7, 6, 48, 1, 2, 0},
  {1, 512, 3, 3, 512, 3, 1, 1, TRUE, TRUE, TRUE},       /* jobs of outputs */
  {1, 64, 24, 24, 64, 3, 1, 1, TRUE, TRUE, TRUE},       /* jobs of rows */
  {70, 32, 3, 3, 48, 3, 1, 1, TRUE, TRUE, TRUE},        /* jobs of several pictures, the last one shorter */
  {2, 256, 10, 300, 16, 3, 1, 1},       /* a row is more than a buffer */
  {1, 16, 5, 5, 16, 2, 3, 0},   /* rows and columns that no tap meets */
  {2, 16, 2, 2, 32, 5, 1, 4, TRUE},     /* more padding than picture */
};

/* Where pairs are multiplied weights are rounded: to numbers that both have, then */
static void
round_weights (GradTensor * w)
{
  g_autofree gfloat *values = test_download (w);
  gsize n = grad_shape_n_elements (&w->shape);

  for (gsize i = 0; i < n; i++) {
    guint16 rounded;

    grad_store (&rounded, 0, values[i], TRUE);
    values[i] = grad_load (&rounded, 0, TRUE);
  }
  g_assert_true (grad_tensor_upload (w, values, n * sizeof (gfloat), NULL));
}

static GradDirect *
direct_new (GradDevice * device, const GradConvDesc * d, gboolean pairs)
{
  GradDirect *self;

  g_assert_true (grad_direct_supports (device, d, pairs));
  TEST_RUN (device, (self = grad_direct_new (device, d, pairs, &error)) != NULL);
  return self;
}

static void
convolve (GradDirect * self, const ConvTensors * t, GradTensor * y)
{
  TEST_RUN (y->device, grad_direct_convolve (self, t->x, t->w, t->b, t->residual, y, &error));
}

/* whether it can be tested here; says why not */
static gboolean
is_supported (const Way * way, const ConvCase * c)
{
  g_autoptr (GradDevice) device = test_device (way->device);
  GradConvDesc d = conv_describe (c, FALSE);

  if (grad_direct_supports (device, &d, way->pairs))
    return TRUE;
  g_assert_true (way->pairs);
  g_test_skip (grad_cpu_multiplies_bf16 () ? "a plain picture" : "no AVX512-BF16");
  return FALSE;
}

static void
forward_on (const Way * way, const ConvCase * c, gboolean training)
{
  g_autoptr (GradDevice) cpu = test_device (way->device), ref = test_device ("ref");
  GradConvDesc d = conv_describe (c, training);
  ConvTensors got = conv_fill (cpu, &d, -1), expected;
  GradDirect *direct;
  GradPlan *plan;

  if (way->pairs)
    round_weights (got.w);
  expected = conv_fill_expected (ref, &d, -1, &got);
  TEST_RUN (ref, (plan = grad_conv_ref_ops.plan (ref, &d, &error)) != NULL);
  TEST_RUN (ref, grad_conv_ref_ops.forward (plan, expected.x, expected.w, expected.b,
          expected.residual, expected.y, &error));
  direct = direct_new (cpu, &d, way->pairs);
  convolve (direct, &got, got.y);
  test_assert_close (got.y, expected.y, 5e-6);
  if (d.add) {                  /* in place */
    convolve (direct, &got, got.residual);
    test_assert_close (got.residual, expected.y, 5e-6);
  }
  grad_direct_free (direct);
  grad_plan_free (plan);
  conv_clear (&got);
  conv_clear (&expected);
}

static void
test_forward (gconstpointer data)
{
  const Run *run = data;

  if (is_supported (run->way, run->c)) {
    forward_on (run->way, run->c, FALSE);
    forward_on (run->way, run->c, TRUE);
  }
}

static void
test_random_shapes (gconstpointer way)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);

  for (gint i = 0; i < N_RANDOM && is_supported (way, &cases[0]); i++) {
    ConvCase c = {
      .n = g_rand_int_range (rand, 1, 6),
      .ic = g_rand_boolean (rand) ? g_rand_int_range (rand, 1, 40) : 16 * g_rand_int_range (rand, 1, 9),
      .ih = g_rand_int_range (rand, 1, 30),.iw = g_rand_int_range (rand, 1, 30),
      .oc = 16 * g_rand_int_range (rand, 1, 9),.kernel = g_rand_int_range (rand, 1, 8),
      .stride = g_rand_int_range (rand, 1, 4),.bias = g_rand_boolean (rand),
      .add = g_rand_boolean (rand),.relu = g_rand_boolean (rand)
    };

    if (((const Way *) way)->pairs)
      c.ic = (c.ic + 15) & ~15;
    c.padding = g_rand_int_range (rand, 0, c.kernel);
    conv_fit (&c);
    forward_on (way, &c, i % 2);
  }
}

/* The same bits, however many threads there are. */
static void
test_threads (gconstpointer data)
{
  const Run *run = data;
  GradConvDesc d = conv_describe (run->c, FALSE);
  ConvTensors expected = { NULL };

  for (guint threads = 1; threads <= 5 && is_supported (run->way, run->c); threads++) {
    g_autoptr (GradDevice) cpu = test_device_with_threads (run->way->device, threads);
    ConvTensors got = conv_fill (cpu, &d, -1);
    GradDirect *direct = direct_new (cpu, &d, run->way->pairs);

    convolve (direct, &got, got.y);
    grad_direct_free (direct);
    if (threads == 1)
      expected = got;
    else {
      assert_same_bits (got.y, expected.y);
      conv_clear (&got);
    }
  }
  conv_clear (&expected);
}

/* Packed weights are kept for inference, until they change; not in training. */
static void
packed_weights (const Way * way, const ConvCase * c)
{
  g_autoptr (GradDevice) cpu = test_device (way->device);

  for (guint training = 0; training < 2; training++) {
    GradConvDesc d = conv_describe (c, training);
    ConvTensors t = conv_fill (cpu, &d, -1);
    gsize n = grad_shape_n_elements (&t.w->shape);
    g_autofree gfloat *zeros = g_new0 (gfloat, n), *y = NULL;
    guint before = grad_cpu_reorders.parameters;
    GradDirect *direct = direct_new (cpu, &d, way->pairs);

    convolve (direct, &t, t.y);
    convolve (direct, &t, t.y);
    g_assert_cmpuint (grad_cpu_reorders.parameters - before, ==, training ? 2 : 1);
    g_assert_true (grad_tensor_upload (t.w, zeros, n * sizeof (gfloat), NULL));
    convolve (direct, &t, t.y);
    y = test_download (t.y);
    for (gsize i = 0; i < grad_shape_n_elements (&t.y->shape); i++)
      g_assert_cmpfloat (y[i], ==, 0);
    grad_direct_free (direct);
    conv_clear (&t);
  }
}

static void
test_packed_weights (void)
{
  packed_weights (&ways[F32], &cases[2]);
  if (is_supported (&ways[PAIRS], &cases[5]))
    packed_weights (&ways[PAIRS], &cases[5]);
}

/* so many in a job that products of their numbers want 64 bits */
static void
test_many_pixels (void)
{
  static const ConvCase many = { 1, 1, 1400, 1000, 16, 1, 1, 0 };

  test_forward (&(Run) { &ways[F32], &many });
}

/* With `deterministic` this is the way that a single picture goes. */
static void
test_rule (void)
{
  for (gint i = GRAD_PRECISION_F32; i <= GRAD_PRECISION_BF16; i++) {
    GradDeviceSettings settings = {.name = "cpu",.precision = i,.deterministic = TRUE };
    g_autoptr (GradDevice) cpu = grad_device_open (&settings, NULL);
    GradConvDesc d = conv_describe (&cases[6], FALSE);
    GradConvHints hints = { NULL };
    GradConvWay way;

    TEST_RUN (cpu, grad_conv_way_choose (cpu, &d, GRAD_CONV_FORWARD, hints, &way, &error));
    g_assert_cmpint (way.kind, ==, grad_direct_supports (cpu, &d, TRUE) ? GRAD_CONV_DIRECT_BF16
        : GRAD_CONV_DIRECT);
    grad_conv_way_clear (&way);
  }
}

static void
test_refused (void)
{
  g_autoptr (GradDevice) cpu = test_device ("cpu"), bf16 = test_device ("cpu/bf16");
  GradConvDesc d = conv_describe (&(ConvCase) { 1, 16, 8, 8, 10, 3, 1, 1 }, FALSE);

  g_assert_false (grad_direct_supports (cpu, &d, FALSE));
  g_assert_false (grad_direct_supports (cpu, &d, TRUE));
  d = conv_describe (&cases[0], FALSE);
  g_assert_false (grad_direct_supports (cpu, &d, TRUE));        /* floats */
  d = conv_describe (&cases[1], FALSE);
  g_assert_false (grad_direct_supports (bf16, &d, TRUE));       /* a plain picture */
}

static void
add (const Way * way, const gchar * name, GTestDataFunc func)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *path = g_strdup_printf ("/kernels/direct/%s/%s/%u", way->name, name, i);
    Run *run = g_new (Run, 1);

    *run = (Run) { way, &cases[i] };
    g_test_add_data_func_full (path, run, func, g_free);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gint i = 0; i < N_WAYS; i++) {
    g_autofree gchar *random = g_strdup_printf ("/kernels/direct/%s/random-shapes", ways[i].name);

    add (&ways[i], "forward", test_forward);
    add (&ways[i], "threads", test_threads);
    g_test_add_data_func (random, &ways[i], test_random_shapes);
  }
  g_test_add_func ("/kernels/direct/many-pixels", test_many_pixels);
  g_test_add_func ("/kernels/direct/packed-weights", test_packed_weights);
  g_test_add_func ("/kernels/direct/rule", test_rule);
  g_test_add_func ("/kernels/direct/refused", test_refused);
  return g_test_run ();
}
