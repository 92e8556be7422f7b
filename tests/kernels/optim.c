/* Tests of kernels/optim: against PyTorch and the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernelutil.h"
#include "tests/data/kernel-goldens.h"

#define ADAM(...) .adam = {.beta1 = 0.9,.beta2 = 0.999,.epsilon = 1e-8, __VA_ARGS__}

static const struct
{
  const gchar *name;
  const gdouble *golden, *average;
  gboolean is_sgd;
  GradAdamArgs adam;
  GradSgdArgs sgd;
} rules[] = {
  {"adam", golden_adam, golden_adam_average, ADAM ()},
  {"adam-decay", golden_adam_decay, golden_adam_decay_average, ADAM (.weight_decay = 0.01)},
  {"adam-decoupled", golden_adam_decoupled, golden_adam_decoupled_average,
      ADAM (.weight_decay = 0.1,.decoupled = TRUE)},
  {"sgd", golden_sgd, golden_sgd_average, TRUE},
  {"sgd-decay", golden_sgd_decay, golden_sgd_decay_average, TRUE,.sgd = {.weight_decay = 0.01}},
  {"sgd-momentum", golden_sgd_momentum, golden_sgd_momentum_average, TRUE,.sgd = {.momentum = 0.9}},
  {"sgd-nesterov", golden_sgd_nesterov, golden_sgd_nesterov_average, TRUE,
      .sgd = {.momentum = 0.9,.nesterov = TRUE}},
};

#define N_RULES G_N_ELEMENTS (rules)

static void
update (GradDevice * device, GradOptimTensor * tensors, guint n_tensors, guint rule,
    guint64 number, const GradTensor * measured)
{
  const GradOptimOps *ops = grad_device_kernels (device)->optim;
  GradOptimStep step = {.learning_rate = 0.01,.decay = number > 1 ? 0.75 : 0,.measured = measured };

  for (guint t = 0; t < n_tensors; t++)  /* some joined ten updates later, or in the first one that there is */
    tensors[t].number = t % 3 == 2 ? MAX (number, 11) - 10 : number;

  TEST_RUN (device, rules[rule].is_sgd
      ? ops->sgd (device, tensors, n_tensors, &rules[rule].sgd, &step, &error)
      : ops->adam (device, tensors, n_tensors, &rules[rule].adam, &step, &error));
}

static GradTensor *
measure (GradDevice * device, const GradOptimTensor * tensors, guint n_tensors, gdouble mean,
    gdouble max_norm, const GradTensor * before)
{
  GradMeasureArgs args = {.mean = mean,.max_norm = max_norm,.before = before };
  GradTensor *result = grad_tensor_new_plain (device, GRAD_DTYPE_UINT8,
      &GRAD_SHAPE (GRAD_MEASURE_SIZE), NULL);

  TEST_RUN (device, grad_device_kernels (device)->optim->measure (device, tensors, n_tensors, &args,
          result, &error));
  return result;
}

static void
assert_measured (GradTensor * measured, gdouble norm, gdouble scale, guint bad)
{
  gdouble values[3];

  g_assert_true (grad_tensor_download (measured, values, sizeof values, NULL));
  if (bad == 0)
    g_assert_cmpfloat_with_epsilon (values[0], norm, 1e-12 * norm + 1e-300);
  else
    g_assert_false (isfinite (values[0]));
  if (isnan (scale))
    g_assert_true (isnan (values[1]));
  else
    g_assert_cmpfloat_with_epsilon (values[1], scale, 1e-12);
  g_assert_cmpfloat (values[2], ==, bad);
}

static GradTensor *
zeros (GradDevice * device, GradShape shape)
{
  return test_random_parameter (device, shape, 0, 0, 0);
}

/* With everything that a rule can have: momentum and average, zero. */
static GradOptimTensor
new_tensor (GradDevice * device, GradShape shape, guint rule, GradTensor * value)
{
  return (GradOptimTensor) {
    .value = value,
    .m = rules[rule].is_sgd && rules[rule].sgd.momentum == 0 ? NULL : zeros (device, shape),
    .v = rules[rule].is_sgd ? NULL : zeros (device, shape),
    .average = zeros (device, shape),
    .rate_scale = 1,
  };
}

static void
clear_tensor (GradOptimTensor * t)
{
  grad_tensor_unref (t->value);
  g_clear_pointer (&t->m, grad_tensor_unref);
  g_clear_pointer (&t->v, grad_tensor_unref);
  grad_tensor_unref (t->average);
}

static void
test_golden (void)
{
  g_autoptr (GradDevice) device = test_device ("ref");
  GradShape shape = GRAD_SHAPE (6);

  for (guint rule = 0; rule < N_RULES; rule++) {
    guint32 state = 3;
    GradOptimTensor t = new_tensor (device, shape, rule, lcg_tensor (device, shape, &state, -1, 1));

    for (guint i = 1; i <= 50; i++) {
      g_autoptr (GradTensor) grad = lcg_tensor (device, shape, &state, -1, 1), measured = NULL;

      t.grad = grad;
      measured = measure (device, &t, 1, 1, 1, NULL);
      update (device, &t, 1, rule, i, measured);
    }
    assert_golden (t.value, rules[rule].golden, 1e-13);
    assert_golden (t.average, rules[rule].average, 1e-13);
    clear_tensor (&t);
  }
}

static const GradShape shapes[] = {
  {4, {64, 32, 3, 3}},          /* two chunks */
  {1, {1}},
  {1, {64}},
  {2, {10, 512}},
  {1, {16384}},                 /* exactly one chunk */
  {1, {16385}},
};

#define N_TENSORS G_N_ELEMENTS (shapes)

static void
set_gradients (GradDevice * device, GradOptimTensor * tensors, guint64 seed)
{
  for (guint t = 0; t < N_TENSORS; t++)
    tensors[t].grad = test_random_parameter (device, shapes[t], 100 * seed + t, -1, 1);
}

static void
clear_gradients (GradOptimTensor * tensors)
{
  for (guint t = 0; t < N_TENSORS; t++)
    grad_tensor_unref ((GradTensor *) tensors[t].grad);
}

static void
start (GradDevice * device, guint rule, GradOptimTensor * tensors)
{
  for (guint t = 0; t < N_TENSORS; t++) {
    tensors[t] = new_tensor (device, shapes[t], rule,
        test_random_parameter (device, shapes[t], t, -1, 1));
    tensors[t].rate_scale = t == 3 ? 0.5 : 1;
  }
}

/* fifty steps on all shapes at once */
static void
train (GradDevice * device, guint rule, GradOptimTensor * tensors)
{
  start (device, rule, tensors);
  for (guint i = 1; i <= 50; i++) {
    g_autoptr (GradTensor) measured = NULL;

    set_gradients (device, tensors, i);
    measured = measure (device, tensors, N_TENSORS, 0.5, i % 2 ? 0 : 20, NULL);
    update (device, tensors, N_TENSORS, rule, i, measured);
    clear_gradients (tensors);
  }
}

static void
clear (GradOptimTensor * tensors)
{
  for (guint t = 0; t < N_TENSORS; t++)
    clear_tensor (&tensors[t]);
}

static void
test_devices_agree (void)
{
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint rule = 0; rule < N_RULES; rule++) {
      GradOptimTensor a[N_TENSORS], b[N_TENSORS];

      train (device, rule, a);
      train (ref, rule, b);
      for (guint t = 0; t < N_TENSORS; t++) {
        test_assert_close_f32 (a[t].value, b[t].value, 1e-5);
        test_assert_close_f32 (a[t].average, b[t].average, 1e-5);
        if (a[t].m != NULL)
          test_assert_close_f32 (a[t].m, b[t].m, 1e-5);
        if (a[t].v != NULL)
          test_assert_close_f32 (a[t].v, b[t].v, 1e-5);
      }
      clear (a);
      clear (b);
    }
  }
}

/* A part of the learning rate moves a value by that part, in the first step of any rule. */
static void
test_rate_scale (void)
{
  GradShape shape = GRAD_SHAPE (5);

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint rule = 0; rule < N_RULES; rule++) {
      g_autoptr (GradTensor) grad = test_random_parameter (device, shape, 7, 0.5, 1);
      g_autofree gfloat *was = NULL;
      gfloat *now[2];

      for (guint half = 0; half < 2; half++) {
        GradOptimTensor t = new_tensor (device, shape, rule,
            test_random_parameter (device, shape, 8, 1, 2));

        g_free (was);
        was = test_download (t.value);
        t.grad = grad;
        t.rate_scale = half ? 0.5 : 1;
        update (device, &t, 1, rule, 1, NULL);
        now[half] = test_download (t.value);
        clear_tensor (&t);
      }
      for (guint i = 0; i < 5; i++) {
        g_assert_cmpfloat (now[0][i], <, was[i]);
        g_assert_cmpfloat_with_epsilon (2 * (was[i] - now[1][i]), was[i] - now[0][i], 1e-6);
      }
      g_free (now[0]);
      g_free (now[1]);
    }
  }
}

/* Twice as many as any network of ours has; each is updated with its own gradient, and nothing beside it. */
static void
test_many_tensors (void)
{
  enum { MANY = 200 };

  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    g_autofree GradOptimTensor *tensors = g_new (GradOptimTensor, MANY);
    g_autoptr (GradTensor) measured = NULL;
    gdouble squares = 0;

    for (gint t = 0; t < MANY; t++) {
      GradShape shape = GRAD_SHAPE (1 + t * 31 % 500);

      tensors[t] = new_tensor (device, shape, 0, test_random_parameter (device, shape, t, -1, 1));
      tensors[t].grad = test_random_parameter (device, shape, MANY + t, -1, 1);
    }
    measured = measure (device, tensors, MANY, 1, 0, NULL);
    update (device, tensors, MANY, 0, 1, measured);
    for (gint t = 0; t < MANY; t++) {
      g_autofree gfloat *value = test_download (tensors[t].value);
      g_autofree gfloat *average = test_download (tensors[t].average);
      g_autofree gfloat *grad = test_download ((GradTensor *) tensors[t].grad);
      g_autoptr (GradTensor) before = test_random_parameter (device, tensors[t].value->shape, t, -1, 1);
      g_autofree gfloat *was = test_download (before);

      /* the first step is as long as the learning rate, whatever the gradient's size */
      for (gint i = 0; i < tensors[t].value->shape.dims[0]; i++) {
        g_assert_cmpfloat_with_epsilon (value[i], was[i] - (grad[i] > 0 ? 0.01 : -0.01), 1e-4);
        g_assert_cmpfloat (average[i], ==, value[i]);
        squares += (gdouble) grad[i] * grad[i];
      }
      grad_tensor_unref ((GradTensor *) tensors[t].grad);
      clear_tensor (&tensors[t]);
    }
    assert_measured (measured, sqrt (squares), 1, 0);
  }
}

static void
test_clip (void)
{
  const gfloat values[] = { 3, -4 };

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    g_autoptr (GradTensor) grad = test_new_parameter (device, GRAD_SHAPE (2)), result = NULL;
    GradOptimTensor t = {.grad = grad };
    static const gdouble cases[][4] = {        /* mean, max_norm, norm, scale */
      {1, 0, 5, 1},
      {1, 6, 5, 1},
      {1, 2, 5, 2 / (5 + 1e-6)},
      {0.5, 0, 2.5, 0.5},
      {0.5, 1, 2.5, 0.5 / (2.5 + 1e-6)},
    };

    g_assert_true (grad_tensor_upload (grad, values, sizeof values, NULL));
    for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
      g_clear_pointer (&result, grad_tensor_unref);
      result = measure (device, &t, 1, cases[i][0], cases[i][1], NULL);
      assert_measured (result, cases[i][2], cases[i][3], 0);
    }
  }
}

static void
spoil (GradTensor * tensor, gsize at, gfloat value)
{
  g_autofree gfloat *values = test_download (tensor);

  values[at] = value;
  g_assert_true (grad_tensor_upload (tensor, values,
          grad_shape_n_elements (&tensor->shape) * sizeof *values, NULL));
}

/* One value that is not finite is found wherever it is, and then nothing is changed by this update and the next; the largest
 * floats are finite, and so are their squares. */
static void
test_not_finite (void)
{
  static const gfloat bad[] = { NAN, INFINITY, -INFINITY };

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < N_RULES * N_TENSORS; i++) {
      guint rule = i / N_TENSORS, where = i % N_TENSORS;
      gsize n = grad_shape_n_elements (&shapes[where]);
      g_autoptr (GradTensor) first = NULL, second = NULL;
      GradOptimTensor a[N_TENSORS], b[N_TENSORS];

      start (device, rule, a);
      start (device, rule, b);
      set_gradients (device, a, 1);
      spoil ((GradTensor *) a[where].grad, i * 977 % n, bad[i % 3]);
      first = measure (device, a, N_TENSORS, 1, 3, NULL);
      assert_measured (first, 0, NAN, where + 1);
      update (device, a, N_TENSORS, rule, 1, first);
      spoil ((GradTensor *) a[where].grad, i * 977 % n, 3e38f);
      second = measure (device, a, N_TENSORS, 1, 0, NULL);
      assert_measured (second, 3e38f, 1, 0);
      g_clear_pointer (&second, grad_tensor_unref);
      second = measure (device, a, N_TENSORS, 1, 0, first);
      assert_measured (second, 3e38f, NAN, 0);
      update (device, a, N_TENSORS, rule, 2, second);
      for (guint t = 0; t < N_TENSORS; t++) {
        assert_same_bits (a[t].value, b[t].value);
        assert_same_bits (a[t].average, b[t].average);
        if (a[t].m != NULL)
          assert_same_bits (a[t].m, b[t].m);
        if (a[t].v != NULL)
          assert_same_bits (a[t].v, b[t].v);
      }
      clear_gradients (a);
      clear (a);
      clear (b);
    }
  }
}

static void
test_nothing_to_do (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint rule = 0; rule < N_RULES; rule++) {
      g_autoptr (GradTensor) measured = measure (device, NULL, 0, 1, 1, NULL);

      assert_measured (measured, 0, 1, 0);
      update (device, NULL, 0, rule, 1, measured);
    }
  }
}

static void
test_threads (void)
{
  g_autoptr (GradDevice) one = device_with_threads (1), two = device_with_threads (2);
  GradOptimTensor a[N_TENSORS], b[N_TENSORS];

  if (one == NULL) {
    g_test_skip ("no cpu device");
    return;
  }
  for (guint rule = 0; rule < N_RULES; rule++) {
    train (one, rule, a);
    train (two, rule, b);
    for (guint t = 0; t < N_TENSORS; t++) {
      assert_same_bits (a[t].value, b[t].value);
      assert_same_bits (a[t].average, b[t].average);
    }
    clear (a);
    clear (b);
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/optim/golden", test_golden);
  g_test_add_func ("/optim/devices-agree", test_devices_agree);
  g_test_add_func ("/optim/rate-scale", test_rate_scale);
  g_test_add_func ("/optim/many-tensors", test_many_tensors);
  g_test_add_func ("/optim/clip", test_clip);
  g_test_add_func ("/optim/not-finite", test_not_finite);
  g_test_add_func ("/optim/nothing-to-do", test_nothing_to_do);
  g_test_add_func ("/optim/threads", test_threads);
  return g_test_run ();
}
