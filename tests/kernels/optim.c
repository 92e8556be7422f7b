/* Tests of kernels/optim: against PyTorch and the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernelutil.h"
#include "tests/data/kernel-goldens.h"

static void
step (GradDevice * device, const GradAdamTensor * tensors, guint n_tensors, gdouble weight_decay,
    guint64 number)
{
  GradAdamArgs args = {.learning_rate = 0.01,.beta1 = 0.9,.beta2 = 0.999,.epsilon = 1e-8,
    .weight_decay = weight_decay,.step = number
  };

  TEST_RUN (device, grad_device_kernels (device)->optim->adam (device, tensors, n_tensors, &args,
          &error));
}

static GradTensor *
zeros (GradDevice * device, GradShape shape)
{
  return test_random_parameter (device, shape, 0, 0, 0);
}

static void
test_golden (void)
{
  g_autoptr (GradDevice) device = test_device ("ref");

  for (guint decay = 0; decay < 2; decay++) {
    GradShape shape = GRAD_SHAPE (6);
    guint32 state = 3;
    g_autoptr (GradTensor) value = lcg_tensor (device, shape, &state, -1, 1);
    g_autoptr (GradTensor) m = zeros (device, shape), v = zeros (device, shape);

    for (guint i = 1; i <= 50; i++) {
      g_autoptr (GradTensor) grad = lcg_tensor (device, shape, &state, -1, 1);
      GradAdamTensor tensor = {.value = value,.m = m,.v = v,.grad = grad };

      step (device, &tensor, 1, decay ? 0.01 : 0, i);
    }
    assert_golden (value, decay ? golden_adam_decay : golden_adam_plain, 1e-13);
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

/* fifty steps on all shapes at once */
static void
train (GradDevice * device, gdouble weight_decay, GradAdamTensor * tensors)
{
  for (guint t = 0; t < N_TENSORS; t++)
    tensors[t] = (GradAdamTensor) {
      .value = test_random_parameter (device, shapes[t], t, -1, 1),
      .m = zeros (device, shapes[t]),
      .v = zeros (device, shapes[t]),
    };
  for (guint i = 1; i <= 50; i++) {
    for (guint t = 0; t < N_TENSORS; t++)
      tensors[t].grad = test_random_parameter (device, shapes[t], 100 * i + t, -1, 1);
    step (device, tensors, N_TENSORS, weight_decay, i);
    for (guint t = 0; t < N_TENSORS; t++)
      grad_tensor_unref ((GradTensor *) tensors[t].grad);
  }
}

static void
clear (GradAdamTensor * tensors)
{
  for (guint t = 0; t < N_TENSORS; t++) {
    grad_tensor_unref (tensors[t].value);
    grad_tensor_unref (tensors[t].m);
    grad_tensor_unref (tensors[t].v);
  }
}

static void
test_devices_agree (void)
{
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint decay = 0; decay < 2; decay++) {
      GradAdamTensor a[N_TENSORS], b[N_TENSORS];

      train (device, decay ? 0.01 : 0, a);
      train (ref, decay ? 0.01 : 0, b);
      for (guint t = 0; t < N_TENSORS; t++) {
        test_assert_close_f32 (a[t].value, b[t].value, 1e-5);
        test_assert_close_f32 (a[t].m, b[t].m, 1e-5);
        test_assert_close_f32 (a[t].v, b[t].v, 1e-5);
      }
      clear (a);
      clear (b);
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
    g_autofree GradAdamTensor *tensors = g_new (GradAdamTensor, MANY);

    for (gint t = 0; t < MANY; t++) {
      GradShape shape = GRAD_SHAPE (1 + t * 31 % 500);

      tensors[t] = (GradAdamTensor) {
        .value = test_random_parameter (device, shape, t, -1, 1),
        .m = zeros (device, shape),
        .v = zeros (device, shape),
        .grad = test_random_parameter (device, shape, MANY + t, -1, 1),
      };
    }
    step (device, tensors, MANY, 0, 1);
    for (gint t = 0; t < MANY; t++) {
      g_autofree gfloat *value = test_download (tensors[t].value);
      g_autofree gfloat *grad = test_download ((GradTensor *) tensors[t].grad);
      g_autoptr (GradTensor) before = test_random_parameter (device, tensors[t].value->shape, t, -1, 1);
      g_autofree gfloat *was = test_download (before);

      /* the first step is as long as the learning rate, whatever the gradient's size */
      for (gint i = 0; i < tensors[t].value->shape.dims[0]; i++)
        g_assert_cmpfloat_with_epsilon (value[i], was[i] - (grad[i] > 0 ? 0.01 : -0.01), 1e-4);
      grad_tensor_unref (tensors[t].value);
      grad_tensor_unref (tensors[t].m);
      grad_tensor_unref (tensors[t].v);
      grad_tensor_unref ((GradTensor *) tensors[t].grad);
    }
  }
}

static void
test_nothing_to_do (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    step (device, NULL, 0, 0, 1);
  }
}

static void
test_threads (void)
{
  g_autoptr (GradDevice) one = device_with_threads (1), two = device_with_threads (2);
  GradAdamTensor a[N_TENSORS], b[N_TENSORS];

  if (one == NULL) {
    g_test_skip ("no cpu device");
    return;
  }
  train (one, 0.01, a);
  train (two, 0.01, b);
  for (guint t = 0; t < N_TENSORS; t++)
    assert_same_bits (a[t].value, b[t].value);
  clear (a);
  clear (b);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/optim/golden", test_golden);
  g_test_add_func ("/optim/devices-agree", test_devices_agree);
  g_test_add_func ("/optim/many-tensors", test_many_tensors);
  g_test_add_func ("/optim/nothing-to-do", test_nothing_to_do);
  g_test_add_func ("/optim/threads", test_threads);
  return g_test_run ();
}
