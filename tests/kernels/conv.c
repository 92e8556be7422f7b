/* Tests of kernels/conv: by hand, by finite differences, and every device against the reference; of
 * the cuda device also our own kernels, which it has beside cuDNN
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "gradient.h"

#include <math.h>
#include <string.h>

typedef struct
{
  gint n, ic, ih, iw, oc, kernel, stride, padding;
  gboolean bias, accumulate, add, relu;
} Case;

/* all that one convolution has, on one device */
typedef struct
{
  GradDevice *device;
  const GradConvOps *ops;
  GradConvDesc desc;
  GradPlan *plan;
  GradTensor *x, *w, *b, *residual, *y, *dy, *dx, *dw, *db;
} Conv;

static GradConvDesc
conv_desc (const Case * c)
{
  return (GradConvDesc) {
    .n = c->n,.ic = c->ic,.ih = c->ih,.iw = c->iw,.oc = c->oc,
    .oh = (c->ih + 2 * c->padding - c->kernel) / c->stride + 1,
    .ow = (c->iw + 2 * c->padding - c->kernel) / c->stride + 1,
    .kernel = c->kernel,.stride = c->stride,.padding = c->padding,
    .bias = c->bias,.add = c->add,.relu = c->relu,.training = !c->add && !c->relu,
  };
}

static gboolean
is_cuda (GradDevice * device)
{
  return g_str_has_prefix (grad_device_get_name (device), "cuda");
}

static void
conv_clear (Conv * self)
{
  GradTensor **tensors[] = { &self->x, &self->w, &self->b, &self->residual, &self->y, &self->dy,
    &self->dx, &self->dw, &self->db
  };

  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
    g_clear_pointer (tensors[i], grad_tensor_unref);
}

static GradTensor *
plain_values (GradDevice * device, GradShape shape, const gfloat * values)
{
  GradTensor *tensor = test_new_parameter (device, shape);

  g_assert_true (grad_tensor_upload (tensor, values,
          grad_shape_n_elements (&shape) * sizeof (gfloat), NULL));
  return tensor;
}

/* as the other one stores it, which may be rounded */
static void
copy_values (GradTensor * to, GradTensor * from)
{
  g_autofree gfloat *values = test_download (from);

  g_assert_true (grad_tensor_upload (to, values,
          grad_shape_n_elements (&to->shape) * sizeof (gfloat), NULL));
}

/* fresh values; gradients hold what accumulate adds to */
static void
conv_fill (Conv * self, guint64 seed)
{
  GradConvDesc *d = &self->desc;
  GradShape x = GRAD_SHAPE (d->n, d->ic, d->ih, d->iw), y = GRAD_SHAPE (d->n, d->oc, d->oh, d->ow);
  GradShape w = GRAD_SHAPE (d->oc, d->ic, d->kernel, d->kernel), b = GRAD_SHAPE (d->oc);

  conv_clear (self);
  self->x = test_random (self->device, x, seed + 1, -1, 1);
  self->w = test_random_parameter (self->device, w, seed + 2, -1, 1);
  self->b = d->bias ? test_random_parameter (self->device, b, seed + 3, -1, 1) : NULL;
  self->residual = d->add ? test_random (self->device, y, seed + 4, -1, 1) : NULL;
  self->y = test_random (self->device, y, seed + 5, -1, 1);
  self->dy = test_random (self->device, y, seed + 6, -1, 1);
  self->dx = test_random (self->device, x, seed + 7, -1, 1);
  self->dw = test_random_parameter (self->device, w, seed + 8, -1, 1);
  self->db = d->bias ? test_random_parameter (self->device, b, seed + 9, -1, 1) : NULL;
}

static void
conv_open (Conv * self, GradDevice * device, const GradConvOps * ops, const Case * c)
{
  *self = (Conv) {.device = device,.ops = ops,.desc = conv_desc (c)};
  g_assert_true (self->ops->supports (device, &self->desc));
  TEST_RUN (device, (self->plan = self->ops->plan (device, &self->desc, &error)) != NULL);
}

static void
conv_close (Conv * self)
{
  conv_clear (self);
  grad_plan_free (self->plan);
}

static void
conv_forward (gpointer data)
{
  Conv *s = data;

  TEST_RUN (s->device, s->ops->forward (s->plan, s->x, s->w, s->b, s->residual, s->y, &error));
}

static void
conv_backward (Conv * s, gboolean accumulate)
{
  TEST_RUN (s->device, s->ops->backward_data (s->plan, s->dy, s->w, s->dx, &error));
  TEST_RUN (s->device, s->ops->backward_weights (s->plan, s->x, s->dy, s->dw, s->db, accumulate,
          &error));
}

/* what cannot be computed backward says so */
static void
assert_no_backward (Conv * s)
{
  g_autoptr (GError) data_error = NULL, weights_error = NULL;
  gboolean call (gpointer unused, GError ** error)
  {
    g_assert_false (s->ops->backward_data (s->plan, s->dy, s->w, s->dx, &data_error));
    g_assert_false (s->ops->backward_weights (s->plan, s->x, s->dy, s->dw, s->db, FALSE,
            &weights_error));
    return TRUE;
  }

  grad_device_call (s->device, FALSE, call, NULL, NULL);
  g_assert_error (data_error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED);
  g_assert_error (weights_error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED);
}

static void
test_by_hand (void)
{
  Case c = {.n = 1,.ic = 1,.ih = 3,.iw = 3,.oc = 1,.kernel = 2,.stride = 1,.bias = TRUE };

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    g_autoptr (GradTensor) y = test_values (device, GRAD_SHAPE (1, 1, 2, 2),
        (gfloat[]) { 47, 57, 77, 87 });
    g_autoptr (GradTensor) dx = test_values (device, GRAD_SHAPE (1, 1, 3, 3),
        (gfloat[]) { 1, 2, 0, 3, 6, 4, 0, 6, 8 });
    g_autoptr (GradTensor) dw = plain_values (device, GRAD_SHAPE (1, 1, 2, 2),
        (gfloat[]) { 11, 14, 20, 23 });
    g_autoptr (GradTensor) db = test_values (device, GRAD_SHAPE (1), (gfloat[]) { 3 });
    Conv conv;

    conv_open (&conv, device, grad_device_kernels (device)->conv, &c);
    conv.x = test_values (device, GRAD_SHAPE (1, 1, 3, 3),
        (gfloat[]) { 1, 2, 3, 4, 5, 6, 7, 8, 9 });
    conv.w = plain_values (device, GRAD_SHAPE (1, 1, 2, 2), (gfloat[]) { 1, 2, 3, 4 });
    conv.b = test_values (device, GRAD_SHAPE (1), (gfloat[]) { 10 });
    conv.dy = test_values (device, GRAD_SHAPE (1, 1, 2, 2), (gfloat[]) { 1, 0, 0, 2 });
    conv.y = test_new (device, GRAD_SHAPE (1, 1, 2, 2));
    conv.dx = test_new (device, GRAD_SHAPE (1, 1, 3, 3));
    conv.dw = test_new_parameter (device, GRAD_SHAPE (1, 1, 2, 2));
    conv.db = test_new (device, GRAD_SHAPE (1));
    conv_forward (&conv);
    conv_backward (&conv, FALSE);
    test_assert_close (conv.y, y, 1e-6);
    test_assert_close (conv.dx, dx, 1e-6);
    test_assert_close (conv.dw, dw, 1e-6);
    test_assert_close (conv.db, db, 1e-6);
    conv_close (&conv);
  }
}

static void
test_differences (void)
{
  static const Case cases[] = {
    {2, 3, 5, 4, 2, 3, 1, 1, TRUE},
    {1, 2, 7, 6, 3, 3, 2, 1, TRUE},
    {2, 1, 9, 8, 2, 7, 2, 3, TRUE},
    {3, 2, 4, 5, 3, 1, 2, 0, TRUE},
  };
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    Conv conv;

    conv_open (&conv, ref, &grad_conv_ref_ops, &cases[i]);
    conv_fill (&conv, 100 * i);
    conv_forward (&conv);
    conv_backward (&conv, FALSE);
    test_assert_gradient (conv.dx, conv.x, conv.y, conv.dy, conv_forward, &conv, 1e-3, 1e-10);
    test_assert_gradient (conv.dw, conv.w, conv.y, conv.dy, conv_forward, &conv, 1e-3, 1e-10);
    test_assert_gradient (conv.db, conv.b, conv.y, conv.dy, conv_forward, &conv, 1e-3, 1e-10);
    conv_close (&conv);
  }
}

static const Case cases[] = {
  /* n ic ih iw oc k s p  bias accumulate add relu */
  {1, 1, 1, 1, 1, 1, 1, 0, FALSE},
  {5, 1, 29, 31, 16, 7, 2, 3, TRUE},
  {1, 1, 96, 96, 64, 7, 2, 3, FALSE},
  {96, 1, 12, 12, 16, 7, 2, 3, TRUE, TRUE},
  {2, 3, 13, 11, 6, 3, 1, 1, TRUE},
  {5, 6, 9, 9, 3, 3, 2, 1, TRUE, TRUE},
  {3, 3, 15, 14, 32, 7, 2, 3, FALSE, TRUE},
  {2, 16, 8, 8, 10, 3, 1, 1, TRUE},
  {2, 10, 8, 8, 16, 3, 1, 1, TRUE, TRUE},
  {2, 24, 7, 7, 24, 3, 1, 1, TRUE},
  {1, 16, 9, 7, 16, 3, 1, 1, TRUE},
  {5, 32, 13, 13, 16, 3, 1, 1, FALSE},
  {5, 16, 7, 6, 32, 3, 2, 1, TRUE, TRUE},
  {5, 64, 24, 24, 64, 3, 1, 1, FALSE},
  {1, 16, 5, 5, 16, 3, 1, 0, TRUE},
  {1, 16, 6, 6, 16, 3, 1, 2, TRUE},
  {3, 16, 6, 6, 64, 7, 1, 3, TRUE},
  /* Winograd, where a device has it */
  {8, 16, 12, 12, 16, 3, 1, 1, TRUE, TRUE},
  {8, 64, 24, 24, 64, 3, 1, 1, FALSE},
  {9, 64, 7, 9, 32, 3, 1, 1, TRUE},
  {96, 32, 6, 6, 32, 3, 1, 1, FALSE, TRUE},
  {16, 128, 3, 3, 64, 3, 1, 1, TRUE},
  {11, 16, 3, 3, 16, 3, 1, 0, FALSE},
  {96, 16, 1, 1, 16, 3, 1, 1, TRUE},
  {9, 24, 12, 12, 32, 3, 1, 1, TRUE, TRUE},
  {9, 32, 13, 12, 24, 3, 1, 1, TRUE},
  {8, 32, 24, 24, 48, 3, 2, 1, FALSE, TRUE},
  {40, 64, 12, 12, 32, 3, 2, 1, TRUE, TRUE},
  {96, 16, 6, 6, 64, 3, 2, 1, FALSE},
  {7, 48, 22, 17, 16, 3, 2, 0, TRUE},
  {5, 16, 21, 30, 80, 3, 2, 2, FALSE, TRUE},
  /* shortcuts */
  {5, 16, 12, 12, 32, 1, 2, 0, TRUE},
  {96, 32, 6, 6, 64, 1, 2, 0, TRUE, TRUE},
  {5, 64, 3, 3, 64, 1, 1, 0, FALSE, TRUE},
  {3, 6, 5, 7, 3, 1, 2, 0, TRUE},
  /* a small gradient of many positions */
  {20, 2, 16, 15, 4, 3, 1, 1, TRUE, TRUE},
  /* stems of all kinds, and what looks like one */
  {5, 2, 35, 33, 64, 7, 2, 3, TRUE, TRUE},
  {1, 4, 20, 41, 72, 7, 2, 0, TRUE},
  {3, 3, 15, 40, 24, 7, 2, 6, FALSE, TRUE},
  {1, 1, 40, 23, 70, 7, 2, 3, TRUE},
  /* strides beyond the kernel, steps beyond the picture, much padding */
  {2, 8, 11, 10, 8, 2, 3, 1, TRUE, TRUE},
  {2, 8, 9, 7, 16, 1, 4, 0, TRUE},
  {1, 12, 8, 5, 20, 5, 5, 4, TRUE},
  {2, 5, 3, 17, 18, 3, 2, 2, FALSE, TRUE},
  {1, 16, 1, 200, 8, 3, 1, 1, TRUE},
  {1, 72, 5, 5, 8, 3, 1, 1, TRUE, TRUE},
  /* inference */
  {3, 1, 31, 28, 64, 7, 2, 3, TRUE, FALSE, FALSE, TRUE},
  {1, 3, 20, 20, 40, 7, 2, 3, TRUE, FALSE, TRUE, TRUE},
  {1, 5, 7, 9, 70, 3, 1, 1, TRUE, FALSE, TRUE, TRUE},
  {1, 1, 28, 28, 16, 7, 2, 3, TRUE, FALSE, FALSE, TRUE},
  {1, 16, 12, 12, 16, 3, 1, 1, TRUE, FALSE, TRUE, TRUE},
  {1, 64, 6, 6, 64, 3, 1, 1, TRUE, FALSE, TRUE, FALSE},
  {9, 32, 12, 11, 32, 3, 1, 1, TRUE, FALSE, TRUE, TRUE},
  {9, 32, 12, 11, 32, 3, 1, 1, FALSE, FALSE, TRUE, TRUE},
  {9, 32, 12, 11, 32, 3, 1, 1, TRUE, FALSE, FALSE, TRUE},
  {5, 16, 12, 12, 32, 3, 2, 1, TRUE, FALSE, TRUE, TRUE},
  {5, 16, 12, 12, 32, 1, 2, 0, FALSE, FALSE, TRUE, FALSE},
  {2, 3, 9, 9, 6, 3, 1, 1, TRUE, FALSE, TRUE, TRUE},
  {2, 24, 9, 9, 16, 3, 1, 1, TRUE, FALSE, TRUE, TRUE},
  {2, 16, 9, 9, 24, 3, 1, 1, TRUE, FALSE, TRUE, TRUE},
};

static gdouble
n_products (const Case * c)
{
  GradConvDesc d = conv_desc (c);

  return (gdouble) d.n * d.oc * d.oh * d.ow * d.ic * d.kernel * d.kernel;
}

/* which kernels, of which device */
typedef struct
{
  const gchar *device;
  gboolean own;                 /* not the device's, but our own for CUDA */
} Which;

/* NULL if they are the device's, which are tested anyway */
static const GradConvOps *
find_ops (GradDevice * device, const Which * which)
{
  const GradConvOps *ops = grad_device_kernels (device)->conv;

  if (which->own && ops == test_cuda_symbol ("grad_conv_cuda_ops")) {
    g_test_skip ("this device has no others");
    return NULL;
  }
  return which->own ? test_cuda_symbol ("grad_conv_cuda_ops") : ops;
}

/* Our own CUDA kernels round nothing but activations, when they store them. */
static void
assert_close (const gchar * what, Conv * conv, GradTensor * got, GradTensor * expected,
    gdouble tolerance)
{
  g_autofree gfloat *a = NULL, *b = NULL;
  gsize n = grad_shape_n_elements (&expected->shape);
  gdouble scale = 0;

  if (!is_cuda (conv->device) || conv->ops != test_cuda_symbol ("grad_conv_cuda_ops")) {
    test_assert_close_full (what, got, expected, tolerance);
    return;
  }
  a = test_download (got);
  b = test_download (expected);
  for (gsize i = 0; i < n; i++)
    scale = MAX (scale, fabs (b[i]));
  for (gsize i = 0; i < n; i++) {
    gdouble allowed = 1e-5 * scale + (got->layout == GRAD_LAYOUT_PLAIN
        || grad_device_get_precision (conv->device) != GRAD_PRECISION_BF16 ? 0 : fabs (b[i]) / 256);

    if (!(fabs ((gdouble) a[i] - b[i]) <= allowed))
      g_error ("%s: element %" G_GSIZE_FORMAT " is %g, expected %g +- %g; the largest is %g", what,
          i, a[i], b[i], allowed, scale);
  }
}

static void
test_device_against_ref (gconstpointer data)
{
  const Which *which = data;
  g_autoptr (GradDevice) ref = test_device ("ref"), device = test_device (which->device);
  const GradConvOps *ops = find_ops (device, which);

  for (guint i = 0; ops != NULL && i < G_N_ELEMENTS (cases); i++) {
    const gdouble t = 1e-5;
    guint64 n_allocations;
    Conv expected, got;

    /* emulated, a device has no others than our own, and is slow; more so under a sanitizer */
    if (is_cuda (device) && grad_device_kernels (device)->conv == test_cuda_symbol ("grad_conv_cuda_ops")
        && n_products (&cases[i]) > (g_getenv ("TEST_SLOWDOWN") ? 8e6 : 35e6))
      continue;
    g_test_message ("case %u", i);
    conv_open (&expected, ref, &grad_conv_ref_ops, &cases[i]);
    conv_open (&got, device, ops, &cases[i]);
    for (guint round = 0; round < 2; round++) { /* the plan keeps nothing of the first one */
      conv_fill (&expected, 1000 * i + 100 * round);
      conv_fill (&got, 1000 * i + 100 * round);
      copy_values (expected.x, got.x);
      copy_values (expected.dy, got.dy);
      if (got.residual)
        copy_values (expected.residual, got.residual);
      n_allocations = grad_device_get_n_allocations (device);
      conv_forward (&expected);
      conv_forward (&got);
      assert_close ("y", &got, got.y, expected.y, t);
      if (expected.desc.training) {
        conv_backward (&expected, cases[i].accumulate);
        conv_backward (&got, cases[i].accumulate);
        assert_close ("dx", &got, got.dx, expected.dx, t);
        assert_close ("dw", &got, got.dw, expected.dw, t);
        if (cases[i].bias)
          assert_close ("db", &got, got.db, expected.db, t);
      } else {
        assert_no_backward (&expected);
        assert_no_backward (&got);
      }
      /* scratch memory from the pool, and what is kept with weights: the next call finds them there */
      if (is_cuda (device) || !got.desc.training) {
        n_allocations = grad_device_get_n_allocations (device);
        conv_forward (&got);
        if (got.desc.training)
          conv_backward (&got, FALSE);
      }
      g_assert_cmpuint (grad_device_get_n_allocations (device), ==, n_allocations);
    }
    conv_close (&expected);
    conv_close (&got);
  }
}

/* twice the same gives the same bits */
static void
test_repeatable (gconstpointer data)
{
  const Which *which = data;
  Case c = { 16, 32, 13, 13, 32, 3, 1, 1, TRUE };
  g_autoptr (GradDevice) device = test_device (which->device);
  const GradConvOps *ops = find_ops (device, which);
  g_autofree gfloat *y[2] = { NULL }, *dx[2] = { NULL }, *dw[2] = { NULL };
  Conv conv;

  if (ops == NULL)
    return;
  conv_open (&conv, device, ops, &c);
  for (guint i = 0; i < 2; i++) {
    conv_fill (&conv, 1);
    conv_forward (&conv);
    conv_backward (&conv, FALSE);
    y[i] = test_download (conv.y);
    dx[i] = test_download (conv.dx);
    dw[i] = test_download (conv.dw);
  }
  g_assert_cmpmem (y[0], conv.y->memory.maxsize, y[1], conv.y->memory.maxsize);
  g_assert_cmpmem (dx[0], conv.dx->memory.maxsize, dx[1], conv.dx->memory.maxsize);
  g_assert_cmpmem (dw[0], conv.dw->memory.maxsize, dw[1], conv.dw->memory.maxsize);
  g_free (y[1]);
  g_free (dx[1]);
  g_free (dw[1]);
  conv_close (&conv);
}

static void
test_refused (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    static const Case fits = { 2, 3, 8, 8, 4, 3, 1, 1 };
    g_autoptr (GradDevice) device = test_device (*name);
    const GradConvOps *ops = grad_device_kernels (device)->conv;
    GradConvDesc wrong[5];

    for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
      g_autoptr (GError) error = NULL;

      wrong[i] = conv_desc (&fits);
      *(gint *[]) {&wrong[i].oh, &wrong[i].n, &wrong[i].stride, &wrong[i].iw, &wrong[i].oc}[i] = 0;
      g_assert_false (ops->supports (device, &wrong[i]));
      g_assert_null (ops->plan (device, &wrong[i], &error));
      g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
    }
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/kernels/conv/by-hand", test_by_hand);
  g_test_add_func ("/kernels/conv/differences", test_differences);
  g_test_add_func ("/kernels/conv/refused", test_refused);
  for (const gchar * const *name = test_devices () + 1; *name; name++)
    for (gint own = 0; own <= g_str_has_prefix (*name, "cuda"); own++) {
      const gchar *of = own ? "-own" : "";
      g_autofree gchar *against = g_strdup_printf ("/kernels/conv/%s%s/against-ref", *name, of);
      g_autofree gchar *repeatable = g_strdup_printf ("/kernels/conv/%s%s/repeatable", *name, of);
      Which which = { *name, own };

      g_test_add_data_func_full (against, g_memdup2 (&which, sizeof which), test_device_against_ref,
          g_free);
      g_test_add_data_func_full (repeatable, g_memdup2 (&which, sizeof which), test_repeatable,
          g_free);
    }
  return g_test_run ();
}
