/* Tests of kernels/conv/winograd: each direction against the reference, whatever is the faster way
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/conv/winograd.h"
#include "tests/testutil.h"

typedef struct
{
  gint n, ic, h, w, oc, padding, stride;
  gboolean accumulate, bias, add, relu;
} Case;

static const Case cases[] = {
  /* n ic h w oc padding stride  accumulate bias add relu */
  {1, 16, 3, 3, 16, 1, 1},      /* one tile of 3x3 */
  {1, 16, 4, 4, 16, 1, 1},      /* one of 4x4 */
  {1, 16, 2, 5, 16, 1, 1},
  {1, 16, 4, 6, 16, 0, 1, TRUE},
  {2, 16, 5, 7, 32, 2, 1},
  {3, 48, 13, 9, 16, 1, 1, TRUE},       /* tiles beyond the picture; an odd number of blocks */
  {2, 16, 10, 11, 80, 1, 1, FALSE, TRUE, TRUE, TRUE},
  {5, 160, 6, 6, 32, 1, 1, TRUE, TRUE}, /* more inputs than are multiplied at a time */
  {40, 32, 12, 12, 48, 1, 1, TRUE, FALSE, TRUE},        /* several chunks, the last one shorter */
  {33, 144, 3, 3, 176, 1, 1, FALSE, TRUE, FALSE, TRUE},
  {7, 64, 24, 24, 64, 1, 1},
  {1, 16, 6, 6, 16, 1, 2},      /* one tile of 3x3 */
  {1, 16, 8, 8, 16, 1, 2, TRUE},        /* one of 4x4 */
  {1, 16, 7, 7, 16, 0, 2, TRUE},
  {1, 16, 8, 6, 16, 0, 2},      /* the last row and column meet no tap */
  {2, 16, 3, 3, 16, 2, 2},
  {2, 32, 5, 12, 16, 2, 2, TRUE, TRUE, TRUE, TRUE},
  {3, 48, 13, 17, 16, 1, 2, TRUE},
  {2, 16, 19, 10, 80, 1, 2, FALSE, TRUE, TRUE, TRUE},
  {3, 16, 20, 21, 48, 0, 2, FALSE, FALSE, FALSE, TRUE},
  {2, 16, 22, 9, 32, 2, 2},
  {5, 160, 11, 12, 32, 1, 2, TRUE, TRUE},
  {11, 32, 24, 24, 48, 1, 2, TRUE, FALSE, TRUE},
  {33, 144, 6, 6, 176, 1, 2, FALSE, TRUE, FALSE, TRUE},
};

typedef struct
{
  GradTensor *x, *w, *b, *residual, *y, *dy, *dx, *dw;
} Tensors;

static GradConvDesc
describe (const Case * c, gboolean training)
{
  return (GradConvDesc) {
    .n = c->n,.ic = c->ic,.ih = c->h,.iw = c->w,.oc = c->oc,
    .oh = (c->h + 2 * c->padding - 3) / c->stride + 1,
    .ow = (c->w + 2 * c->padding - 3) / c->stride + 1,
    .kernel = 3,.stride = c->stride,.padding = c->padding,.training = training,
    .bias = !training && c->bias,.add = !training && c->add,.relu = !training && c->relu,
  };
}

static Tensors
fill (GradDevice * device, const GradConvDesc * d, guint64 seed)
{
  GradShape x = GRAD_SHAPE (d->n, d->ic, d->ih, d->iw), y = GRAD_SHAPE (d->n, d->oc, d->oh, d->ow);
  GradShape w = GRAD_SHAPE (d->oc, d->ic, 3, 3), b = GRAD_SHAPE (d->oc);

  return (Tensors) {
    .x = test_random (device, x, seed, -1, 1),
    .w = test_random_parameter (device, w, seed + 1, -1, 1),
    .b = d->bias ? test_random_parameter (device, b, seed + 2, -1, 1) : NULL,
    .residual = d->add ? test_random (device, y, seed + 3, -1, 1) : NULL,
    .y = test_new (device, y),
    .dy = test_random (device, y, seed + 4, -1, 1),
    .dx = test_new (device, x),
    .dw = test_random_parameter (device, w, seed + 5, -1, 1),
  };
}

/* as the other one stores it, which may be rounded */
static void
copy_values (GradTensor * to, GradTensor * from)
{
  if (from != NULL) {
    g_autofree gfloat *values = test_download (from);

    g_assert_true (grad_tensor_upload (to, values,
            grad_shape_n_elements (&to->shape) * sizeof (gfloat), NULL));
  }
}

static Tensors
fill_expected (GradDevice * ref, const GradConvDesc * d, guint64 seed, const Tensors * got)
{
  Tensors t = fill (ref, d, seed);

  copy_values (t.x, got->x);
  copy_values (t.dy, got->dy);
  copy_values (t.residual, got->residual);
  return t;
}

static void
clear (Tensors * t)
{
  GradTensor **tensors[] = { &t->x, &t->w, &t->b, &t->residual, &t->y, &t->dy, &t->dx, &t->dw };

  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
    g_clear_pointer (tensors[i], grad_tensor_unref);
}

/* NULL, and the test skipped, on processors for which there are no loops */
static GradWinograd *
winograd_new (GradDevice * device, const GradConvDesc * d, GradConvDirection direction)
{
  GradWinograd *self = NULL;

  if (grad_winograd_supports (device, d, direction))
    TEST_RUN (device, (self = grad_winograd_new (device, d, direction, &error)) != NULL);
  else
    g_test_skip ("neither AVX-512 nor AVX2");
  return self;
}

static void
forward_on (const gchar * name, const Case * c)
{
  g_autoptr (GradDevice) cpu = test_device (name), ref = test_device ("ref");

  for (guint training = 0; training < 2; training++) {
    GradConvDesc d = describe (c, training);
    Tensors got = fill (cpu, &d, 1), expected = fill_expected (ref, &d, 1, &got);
    GradWinograd *winograd = winograd_new (cpu, &d, GRAD_CONV_FORWARD);
    GradPlan *plan;

    TEST_RUN (ref, (plan = grad_conv_ref_ops.plan (ref, &d, &error)) != NULL);
    TEST_RUN (ref, grad_conv_ref_ops.forward (plan, expected.x, expected.w, expected.b,
            expected.residual, expected.y, &error));
    /* twice, the second time from weights that are transformed already if it does not train */
    for (guint i = 0; i < 2 && winograd; i++) {
      TEST_RUN (cpu, grad_winograd_convolve (winograd, got.x, got.w, got.b, got.residual, got.y,
              &error));
      test_assert_close (got.y, expected.y, 5e-6);
    }
    if (winograd && d.add) {    /* in place */
      TEST_RUN (cpu, grad_winograd_convolve (winograd, got.x, got.w, got.b, got.residual,
              got.residual, &error));
      test_assert_close (got.residual, expected.y, 5e-6);
    }
    grad_winograd_free (winograd);
    grad_plan_free (plan);
    clear (&got);
    clear (&expected);
  }
}

static void
test_forward (gconstpointer data)
{
  forward_on ("cpu", data);
  forward_on ("cpu/bf16", data);
}

/* where the reference has zeros: pixels that no window reads */
static void
assert_same_zeros (GradTensor * got, GradTensor * expected)
{
  g_autofree gfloat *values = test_download (got), *zeros = test_download (expected);

  for (gsize i = 0; i < grad_shape_n_elements (&got->shape); i++)
    if (zeros[i] == 0)
      g_assert_cmpfloat (values[i], ==, 0);
}

static void
backward_on (const gchar * name, const Case * c)
{
  g_autoptr (GradDevice) cpu = test_device (name), ref = test_device ("ref");
  GradConvDesc d = describe (c, TRUE);
  Tensors got = fill (cpu, &d, 1), expected = fill_expected (ref, &d, 1, &got);
  GradWinograd *to_x = winograd_new (cpu, &d, GRAD_CONV_BACKWARD_DATA);
  GradWinograd *to_w = winograd_new (cpu, &d, GRAD_CONV_BACKWARD_WEIGHTS);
  GradPlan *plan;

  TEST_RUN (ref, (plan = grad_conv_ref_ops.plan (ref, &d, &error)) != NULL);
  TEST_RUN (ref, grad_conv_ref_ops.backward_data (plan, expected.dy, expected.w, expected.dx,
          &error));
  TEST_RUN (ref, grad_conv_ref_ops.backward_weights (plan, expected.x, expected.dy, expected.dw,
          NULL, c->accumulate, &error));
  if (to_x != NULL) {
    TEST_RUN (cpu, grad_winograd_convolve (to_x, got.dy, got.w, NULL, NULL, got.dx, &error));
    TEST_RUN (cpu, grad_winograd_gradient (to_w, got.x, got.dy, got.dw, c->accumulate, &error));
    test_assert_close (got.dx, expected.dx, 5e-6);
    assert_same_zeros (got.dx, expected.dx);
    test_assert_close (got.dw, expected.dw, 5e-6);
  }
  grad_winograd_free (to_x);
  grad_winograd_free (to_w);
  grad_plan_free (plan);
  clear (&got);
  clear (&expected);
}

static void
test_backward (gconstpointer data)
{
  backward_on ("cpu", data);
  backward_on ("cpu/bf16", data);
}

/* The weights have changed: what was made of the old ones must not be used again. */
static void
test_changed_weights (void)
{
  g_autoptr (GradDevice) cpu = test_device ("cpu");
  GradConvDesc d = describe (&cases[5], FALSE);
  Tensors t = fill (cpu, &d, 1);
  GradWinograd *winograd = winograd_new (cpu, &d, GRAD_CONV_FORWARD);
  gsize n = grad_shape_n_elements (&t.w->shape);
  g_autofree gfloat *zeros = g_new0 (gfloat, n), *y = NULL;

  if (winograd != NULL) {
    TEST_RUN (cpu, grad_winograd_convolve (winograd, t.x, t.w, NULL, NULL, t.y, &error));
    g_assert_true (grad_tensor_upload (t.w, zeros, n * sizeof (gfloat), NULL));
    TEST_RUN (cpu, grad_winograd_convolve (winograd, t.x, t.w, NULL, NULL, t.y, &error));
    y = test_download (t.y);
    for (gsize i = 0; i < grad_shape_n_elements (&t.y->shape); i++)
      g_assert_cmpfloat (y[i], ==, 0);
  }
  grad_winograd_free (winograd);
  clear (&t);
}

/* Each number of threads splits the tiles, and outputs, in another way. */
static void
test_threads (void)
{
  g_autoptr (GradDevice) ref = test_device ("ref");
  GradConvDesc d = describe (&cases[8], TRUE), wide = describe (&(Case) {
      2, 512, 4, 4, 512, 1, 1}, TRUE), strided = describe (&(Case) {
      9, 64, 9, 11, 96, 1, 2}, TRUE);
  const GradConvDesc *descs[] = { &d, &wide, &strided };

  for (guint k = 0; k < G_N_ELEMENTS (descs); k++) {
    Tensors expected = fill (ref, descs[k], 1);
    GradPlan *plan;

    TEST_RUN (ref, (plan = grad_conv_ref_ops.plan (ref, descs[k], &error)) != NULL);
    TEST_RUN (ref, grad_conv_ref_ops.backward_weights (plan, expected.x, expected.dy, expected.dw,
            NULL, FALSE, &error));
    for (guint threads = 1; threads <= 6; threads++) {
      g_autoptr (GradDevice) cpu = test_device_with_threads ("cpu", threads);
      Tensors got = fill (cpu, descs[k], 1);
      GradWinograd *winograd = winograd_new (cpu, descs[k], GRAD_CONV_BACKWARD_WEIGHTS);

      if (winograd != NULL) {
        TEST_RUN (cpu, grad_winograd_gradient (winograd, got.x, got.dy, got.dw, FALSE, &error));
        test_assert_close (got.dw, expected.dw, 5e-6);
      }
      grad_winograd_free (winograd);
      clear (&got);
    }
    grad_plan_free (plan);
    clear (&expected);
  }
}

static void
test_refused (void)
{
  static const GradConvDesc no[] = {
    {.n = 1,.ic = 16,.ih = 8,.iw = 8,.oc = 16,.oh = 3,.ow = 3,.kernel = 3,.stride = 3,.padding = 1},
    {.n = 1,.ic = 16,.ih = 1,.iw = 5,.oc = 16,.oh = 1,.ow = 5,.kernel = 3,.stride = 1,.padding = 1},
    {.n = 1,.ic = 16,.ih = 2,.iw = 9,.oc = 16,.oh = 1,.ow = 5,.kernel = 3,.stride = 2,.padding = 1},
    {.n = 1,.ic = 16,.ih = 4,.iw = 4,.oc = 16,.oh = 2,.ow = 2,.kernel = 3,.stride = 2,.padding = 1},
    {.n = 1,.ic = 16,.ih = 8,.iw = 8,.oc = 16,.oh = 8,.ow = 8,.kernel = 1,.stride = 1},
    {.n = 1,.ic = 24,.ih = 8,.iw = 8,.oc = 15,.oh = 8,.ow = 8,.kernel = 3,.stride = 1,.padding = 1},
    {.n = 1,.ic = 3,.ih = 8,.iw = 8,.oc = 16,.oh = 8,.ow = 8,.kernel = 3,.stride = 1,.padding = 1},
    {.n = 1,.ic = 16,.ih = 8,.iw = 8,.oc = 16,.oh = 12,.ow = 12,.kernel = 3,.stride = 1,.padding = 3},
    {.n = 9,.ic = 16,.ih = 2,.iw = 2,.oc = 16,.oh = 2,.ow = 2,.kernel = 3,.stride = 1,.padding = 1},
  };
  g_autoptr (GradDevice) cpu = test_device ("cpu");

  for (guint i = 0; i < G_N_ELEMENTS (no); i++)
    g_assert_false (grad_winograd_supports (cpu, &no[i], GRAD_CONV_FORWARD));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *forward = g_strdup_printf ("/kernels/winograd/forward/%u", i);
    g_autofree gchar *backward = g_strdup_printf ("/kernels/winograd/backward/%u", i);

    g_test_add_data_func (forward, &cases[i], test_forward);
    g_test_add_data_func (backward, &cases[i], test_backward);
  }
  g_test_add_func ("/kernels/winograd/changed-weights", test_changed_weights);
  g_test_add_func ("/kernels/winograd/threads", test_threads);
  g_test_add_func ("/kernels/winograd/refused", test_refused);
  return g_test_run ();
}
