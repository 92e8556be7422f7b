/* Tests of kernels/linear: by hand, by finite differences, and every device against the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradient.h"

typedef struct
{
  GradLinearDesc desc;
  gboolean accumulate;
} Case;

typedef struct
{
  GradDevice *device;
  const GradLinearOps *ops;
  GradPlan *plan;
  GradTensor *x, *w, *b, *y, *dy, *dx, *dw, *db;
} Linear;

static void
linear_open (Linear * s, GradDevice * device, const GradLinearDesc * d, guint64 seed)
{
  GradShape x = GRAD_SHAPE (d->n, d->c), w = GRAD_SHAPE (d->k, d->c), b = GRAD_SHAPE (d->k);
  GradShape y = GRAD_SHAPE (d->n, d->k);

  *s = (Linear) {.device = device,.ops = grad_device_kernels (device)->linear };
  g_assert_true (s->ops->supports (device, d));
  TEST_RUN (device, (s->plan = s->ops->plan (device, d, &error)) != NULL);
  s->x = test_random (device, x, seed + 1, -1, 1);
  s->w = test_random_parameter (device, w, seed + 2, -1, 1);
  s->b = d->bias ? test_random_parameter (device, b, seed + 3, -1, 1) : NULL;
  s->dy = test_random (device, y, seed + 4, -1, 1);
  s->y = test_random (device, y, seed + 5, -1, 1);
  s->dx = test_random (device, x, seed + 6, -1, 1);
  s->dw = test_random_parameter (device, w, seed + 7, -1, 1);
  s->db = d->bias ? test_random_parameter (device, b, seed + 8, -1, 1) : NULL;
}

static void
linear_close (Linear * s)
{
  GradTensor *tensors[] = { s->x, s->w, s->b, s->y, s->dy, s->dx, s->dw, s->db };

  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
    g_clear_pointer (&tensors[i], grad_tensor_unref);
  grad_plan_free (s->plan);
}

static void
linear_forward (gpointer data)
{
  Linear *s = data;

  TEST_RUN (s->device, s->ops->forward (s->plan, s->x, s->w, s->b, s->y, &error));
}

static void
linear_backward (Linear * s, gboolean accumulate)
{
  TEST_RUN (s->device, s->ops->backward_data (s->plan, s->dy, s->w, s->dx, &error));
  TEST_RUN (s->device, s->ops->backward_weights (s->plan, s->x, s->dy, s->dw, s->db, accumulate,
          &error));
}

static void
upload (GradTensor * tensor, const gfloat * values)
{
  g_assert_true (grad_tensor_upload (tensor, values, tensor->memory.maxsize, NULL));
}

static void
test_by_hand (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    g_autoptr (GradTensor) y = test_values (device, GRAD_SHAPE (2, 2),
        (gfloat[]) { 14, 31, 2, 1 });
    g_autoptr (GradTensor) dx = test_values (device, GRAD_SHAPE (2, 3),
        (gfloat[]) { 9, 12, 15, -1, -2, -3 });
    g_autoptr (GradTensor) dw = test_values (device, GRAD_SHAPE (2, 3),
        (gfloat[]) { 2, 2, 2, 2, 4, 6 });
    g_autoptr (GradTensor) db = test_values (device, GRAD_SHAPE (2), (gfloat[]) { 0, 2 });
    Linear s;

    linear_open (&s, device, &(GradLinearDesc) {2, 3, 2, TRUE}, 1);
    upload (s.x, (gfloat[]) { 1, 2, 3, -1, 0, 1 });
    upload (s.w, (gfloat[]) { 1, 2, 3, 4, 5, 6 });
    upload (s.b, (gfloat[]) { 0, -1 });
    upload (s.dy, (gfloat[]) { 1, 2, -1, 0 });
    linear_forward (&s);
    linear_backward (&s, FALSE);
    test_assert_close_f32 (s.y, y, 1e-6);
    test_assert_close_f32 (s.dx, dx, 1e-6);
    test_assert_close_f32 (s.dw, dw, 1e-6);
    test_assert_close_f32 (s.db, db, 1e-6);
    linear_close (&s);
  }
}

static void
test_differences (void)
{
  g_autoptr (GradDevice) ref = test_device ("ref");
  Linear s;

  linear_open (&s, ref, &(GradLinearDesc) {3, 7, 5, TRUE}, 1);
  linear_forward (&s);
  linear_backward (&s, FALSE);
  test_assert_gradient (s.dx, s.x, s.y, s.dy, linear_forward, &s, 1e-3, 1e-10);
  test_assert_gradient (s.dw, s.w, s.y, s.dy, linear_forward, &s, 1e-3, 1e-10);
  test_assert_gradient (s.db, s.b, s.y, s.dy, linear_forward, &s, 1e-3, 1e-10);
  linear_close (&s);
}

static void
test_device_against_ref (gconstpointer name)
{
  static const Case cases[] = {
    {{1, 1, 1, TRUE}},
    {{1, 512, 10, TRUE}},
    {{5, 33, 7, FALSE}, TRUE},
    {{96, 512, 10, TRUE}, TRUE},
    {{256, 512, 10, TRUE}},
    {{5, 16, 1, TRUE}, TRUE},
    {{17, 64, 48, FALSE}},
    {{70, 131, 67, TRUE}, TRUE},
    {{1, 260, 100, TRUE}},
    {{200, 20, 30, TRUE}},
    {{20, 140, 30, TRUE}, TRUE},
    {{300, 200, 100, TRUE}, TRUE},       /* large */
    {{3, 2000, 900, TRUE}, TRUE},
  };
  g_autoptr (GradDevice) ref = test_device ("ref"), device = test_device (name);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    Linear expected, got;

    g_test_message ("case %u", i);
    linear_open (&expected, ref, &cases[i].desc, 100 * i);
    linear_open (&got, device, &cases[i].desc, 100 * i);
    linear_forward (&expected);
    linear_forward (&got);
    linear_backward (&expected, cases[i].accumulate);
    linear_backward (&got, cases[i].accumulate);
    test_assert_close_f32 (got.y, expected.y, 1e-5);
    test_assert_close_f32 (got.dx, expected.dx, 1e-5);
    test_assert_close_f32 (got.dw, expected.dw, 1e-5);
    if (cases[i].desc.bias)
      test_assert_close_f32 (got.db, expected.db, 1e-5);
    linear_close (&expected);
    linear_close (&got);
  }
}

static void
test_refused (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    const GradLinearOps *ops = grad_device_kernels (device)->linear;
    GradLinearDesc wrong = { 2, 0, 3, TRUE };
    g_autoptr (GError) error = NULL;

    g_assert_false (ops->supports (device, &wrong));
    g_assert_null (ops->plan (device, &wrong, &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/kernels/linear/by-hand", test_by_hand);
  g_test_add_func ("/kernels/linear/differences", test_differences);
  g_test_add_func ("/kernels/linear/refused", test_refused);
  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autofree gchar *against = g_strdup_printf ("/kernels/linear/%s/against-ref", *name);

    g_test_add_data_func (against, *name, test_device_against_ref);
  }
  return g_test_run ();
}
