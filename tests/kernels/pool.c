/* Tests of kernels/pool: by hand, by finite differences, and every device against the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradient.h"
#include "kernelutil.h"

typedef struct
{
  gint n, c, ih, iw, kernel, stride, padding;
} Case;

/* one pooling on one device; without a plan a global one */
typedef struct
{
  GradDevice *device;
  const GradPoolOps *ops;
  GradPlan *plan;
  GradTensor *x, *y, *workspace, *dy, *dx;
} Pool;

static GradPoolDesc
pool_desc (const Case * c)
{
  return (GradPoolDesc) {
    .n = c->n,.c = c->c,.ih = c->ih,.iw = c->iw,
    .oh = (c->ih + 2 * c->padding - c->kernel) / c->stride + 1,
    .ow = (c->iw + 2 * c->padding - c->kernel) / c->stride + 1,
    .kernel = c->kernel,.stride = c->stride,.padding = c->padding,
  };
}

/* values in [low, high), whole ones (many of them equal) with `ties` */
static void
pool_open (Pool * s, GradDevice * device, const Case * c, guint64 seed, gboolean global,
    gfloat low, gfloat high, gboolean ties)
{
  GradShape x = GRAD_SHAPE (c->n, c->c, c->ih, c->iw), y = GRAD_SHAPE (c->n, c->c);

  *s = (Pool) {.device = device,.ops = grad_device_kernels (device)->pool };
  if (!global) {
    GradPoolDesc d = pool_desc (c);
    GradShape bytes = GRAD_SHAPE (0);

    y = GRAD_SHAPE (c->n, c->c, d.oh, d.ow);
    g_assert_true (s->ops->supports (device, &d));
    TEST_RUN (device, (s->plan = s->ops->plan (device, &d, &error)) != NULL);
    bytes.dims[0] = s->ops->workspace_size (s->plan);
    s->workspace = grad_tensor_new_plain (device, GRAD_DTYPE_UINT8, &bytes, NULL);
    g_assert_nonnull (s->workspace);
  }
  s->x = test_random (device, x, seed + 1, low, high);
  if (ties) {
    g_autofree gfloat *values = test_download (s->x);

    for (gsize i = 0; i < grad_shape_n_elements (&x); i++)
      values[i] = roundf (values[i]);
    g_assert_true (grad_tensor_upload (s->x, values, s->x->memory.maxsize, NULL));
  }
  s->y = test_random (device, y, seed + 2, -1, 1);
  s->dy = test_random (device, y, seed + 3, -1, 1);
  s->dx = test_random (device, x, seed + 4, -1, 1);
}

static void
pool_close (Pool * s)
{
  GradTensor *tensors[] = { s->x, s->y, s->workspace, s->dy, s->dx };

  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
    g_clear_pointer (&tensors[i], grad_tensor_unref);
  grad_plan_free (s->plan);
}

static void
pool_forward (gpointer data)
{
  Pool *s = data;

  if (s->plan != NULL)
    TEST_RUN (s->device, s->ops->forward (s->plan, s->x, s->y, s->workspace, &error));
  else
    TEST_RUN (s->device, s->ops->global_forward (s->device, s->x, s->y, &error));
}

static void
pool_backward (Pool * s)
{
  if (s->plan != NULL)
    TEST_RUN (s->device, s->ops->backward (s->plan, s->dy, s->workspace, s->dx, &error));
  else
    TEST_RUN (s->device, s->ops->global_backward (s->device, s->dy, s->dx, &error));
}

static void
upload (GradTensor * tensor, const gfloat * values)
{
  g_assert_true (grad_tensor_upload (tensor, values, tensor->memory.maxsize, NULL));
}

/* 3x3/2 with padding 1 on a 3x3 picture: of equal values the first one wins, padding never does,
 * not even where all values are negative */
static void
test_max_by_hand (void)
{
  static const Case c = { 1, 1, 3, 3, 3, 2, 1 };

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    g_autoptr (GradTensor) y = test_values (device, GRAD_SHAPE (1, 1, 2, 2),
        (gfloat[]) { -1, -2, -1, -2 });
    g_autoptr (GradTensor) dx = test_values (device, GRAD_SHAPE (1, 1, 3, 3),
        (gfloat[]) { 0, 2, 0, 5, 0, 8, 0, 0, 0 });
    Pool s;

    pool_open (&s, device, &c, 1, FALSE, -1, 1, FALSE);
    upload (s.x, (gfloat[]) { -7, -2, -2, -1, -3, -2, -1, -4, -3 });
    upload (s.dy, (gfloat[]) { 1, 2, 4, 8 });
    /* windows: {-7 -2 -1 -3}, {-2 -2 -3 -2}, {-1 -3 -1 -4}, {-3 -2 -4 -3} */
    pool_forward (&s);
    pool_backward (&s);
    test_assert_close (s.y, y, 0);
    test_assert_close (s.dx, dx, 0);
    pool_close (&s);
  }
}

static void
test_global_by_hand (void)
{
  static const Case c = { 1, 2, 2, 2 };

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    g_autoptr (GradTensor) y = test_values (device, GRAD_SHAPE (1, 2), (gfloat[]) { 2.5, -1 });
    g_autoptr (GradTensor) dx = test_values (device, GRAD_SHAPE (1, 2, 2, 2),
        (gfloat[]) { 1, 1, 1, 1, 2, 2, 2, 2 });
    Pool s;

    pool_open (&s, device, &c, 1, TRUE, -1, 1, FALSE);
    upload (s.x, (gfloat[]) { 1, 2, 3, 4, -4, 0, 0, 0 });
    upload (s.dy, (gfloat[]) { 4, 8 });
    pool_forward (&s);
    pool_backward (&s);
    test_assert_close (s.y, y, 1e-6);
    test_assert_close (s.dx, dx, 1e-6);
    pool_close (&s);
  }
}

static void
test_differences (void)
{
  static const Case cases[] = {
    {2, 3, 7, 6, 3, 2, 1},
    {1, 2, 6, 6, 2, 2, 0},
    {2, 2, 5, 4, 3, 1, 1},
  };
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint global = 0; global < 2; global++) {
      Pool s;

      pool_open (&s, ref, &cases[i], 100 * i, global, -1, 1, FALSE);
      pool_forward (&s);
      pool_backward (&s);
      test_assert_gradient (s.dx, s.x, s.y, s.dy, pool_forward, &s, 1e-7, 1e-7);
      pool_close (&s);
    }
}

static void
upload_zeros (GradTensor * tensor)
{
  g_autofree gfloat *zeros = g_malloc0 (tensor->memory.maxsize);

  upload (tensor, zeros);
}

static void
test_device_against_ref (gconstpointer name)
{
  static const Case cases[] = {
    {1, 1, 1, 1, 1, 1, 0},
    {5, 1, 9, 7, 3, 2, 1},
    {2, 3, 13, 12, 3, 2, 1},
    {1, 6, 8, 8, 2, 2, 0},
    {5, 16, 48, 48, 3, 2, 1},
    {1, 64, 48, 48, 3, 2, 1},
    {96, 32, 7, 9, 3, 2, 1},
    {3, 24, 11, 5, 3, 1, 1},
    {2, 16, 3, 3, 3, 1, 0},
    {2, 16, 14, 15, 5, 3, 2},
    {1, 8, 21, 23, 3, 2, 1},
    {1, 3, 20, 23, 17, 2, 8},   /* places beyond 255 */
    {2, 264, 5, 4, 3, 2, 1},
    {1, 40, 1, 1, 3, 2, 1},
    {1, 10, 9, 9, 5, 1, 2},
    {2, 8, 11, 13, 2, 3, 0},    /* gaps between windows */
    {1, 3, 9, 10, 1, 2, 0},
  };
  static const struct
  {
    gfloat low, high;
    gboolean ties;
  } values[] = { {-1, 1, FALSE}, {-9, -8, FALSE}, {-2, 2, TRUE}, {-0.4, 0.4, TRUE} };
  g_autoptr (GradDevice) ref = test_device ("ref"), device = test_device (name);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint j = 0; j < G_N_ELEMENTS (values); j++)
      for (guint global = 0; global < 2; global++) {
        Pool expected, got;

        g_test_message ("case %u, values %u, global %u", i, j, global);
        pool_open (&expected, ref, &cases[i], 100 * i + 10 * j, global, values[j].low,
            values[j].high, values[j].ties);
        pool_open (&got, device, &cases[i], 100 * i + 10 * j, global, values[j].low,
            values[j].high, values[j].ties);
        copy_stored (expected.x, got.x);
        copy_stored (expected.dy, got.dy);
        pool_forward (&expected);
        pool_backward (&expected);
        pool_forward (&got);
        pool_backward (&got);
        test_assert_close_f32 (got.y, expected.y, global ? 1e-5 : 0);
        assert_close_stored (got.dx, expected.dx, 1e-6);
        /* inference, without a workspace */
        if (!global) {
          g_clear_pointer (&got.workspace, grad_tensor_unref);
          upload_zeros (got.y);
          pool_forward (&got);
          test_assert_close_f32 (got.y, expected.y, 0);
        }
        pool_close (&expected);
        pool_close (&got);
      }
}

/* The first value of a window wins unless a later one is larger: so does NaN, or minus infinity. oneDNN does that otherwise. */
static void
test_not_finite (gconstpointer name)
{
  static const Case cases[] = { {2, 8, 14, 15, 3, 2, 1}, {1, 3, 9, 9, 2, 2, 0}, {1, 8, 9, 9, 5, 3, 2} };
  g_autoptr (GradDevice) ref = test_device ("ref"), device = test_device (name);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    Pool expected, got;
    g_autofree gfloat *x = NULL, *y = NULL, *want = NULL;

    pool_open (&expected, ref, &cases[i], i, FALSE, -2, 2, TRUE);
    pool_open (&got, device, &cases[i], i, FALSE, -2, 2, TRUE);
    x = test_download (got.x);
    for (gsize k = 0; k < grad_shape_n_elements (&got.x->shape); k++)
      x[k] = x[k] < 0 ? -INFINITY : x[k] == 1 ? NAN : x[k] == 2 ? INFINITY : x[k];
    upload (got.x, x);
    upload (expected.x, x);
    copy_stored (expected.dy, got.dy);
    pool_forward (&expected);
    pool_backward (&expected);
    pool_forward (&got);
    pool_backward (&got);
    y = test_download (got.y);
    want = test_download (expected.y);
    for (gsize k = 0; k < grad_shape_n_elements (&got.y->shape); k++)
      g_assert_true (y[k] == want[k] || (isnan (y[k]) && isnan (want[k])));
    assert_close_stored (got.dx, expected.dx, 1e-6);
    pool_close (&expected);
    pool_close (&got);
  }
}

/* bit by bit the same from any number of threads */
static void
test_threads (gconstpointer name)
{
  static const Case c = { 5, 32, 13, 11, 3, 2, 1 };

  for (guint global = 0; global < 2; global++) {
    g_autoptr (GradTensor) y = NULL, dx = NULL;

    for (guint threads = 1; threads <= 3; threads++) {
      g_autoptr (GradDevice) device = test_device_with_threads (name, threads);
      Pool s;

      pool_open (&s, device, &c, 1, global, -1, 1, FALSE);
      pool_forward (&s);
      pool_backward (&s);
      if (y != NULL) {
        test_assert_close (s.y, y, 0);
        test_assert_close (s.dx, dx, 0);
      }
      g_clear_pointer (&y, grad_tensor_unref);
      g_clear_pointer (&dx, grad_tensor_unref);
      y = grad_tensor_ref (s.y);
      dx = grad_tensor_ref (s.dx);
      pool_close (&s);
    }
  }
}

static void
test_refused (void)
{
  static const Case wrong[] = {
    {1, 1, 4, 4, 2, 2, 2},
    {0, 1, 4, 4, 2, 2, 0},
    {1, 1, 2, 2, 5, 1, 1},
  };

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    const GradPoolOps *ops = grad_device_kernels (device)->pool;

    for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
      GradPoolDesc desc = pool_desc (&wrong[i]);
      g_autoptr (GError) error = NULL;

      g_assert_false (ops->supports (device, &desc));
      g_assert_null (ops->plan (device, &desc, &error));
      g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
    }
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/kernels/pool/max-by-hand", test_max_by_hand);
  g_test_add_func ("/kernels/pool/global-by-hand", test_global_by_hand);
  g_test_add_func ("/kernels/pool/differences", test_differences);
  g_test_add_func ("/kernels/pool/refused", test_refused);
  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autofree gchar *against = g_strdup_printf ("/kernels/pool/%s/against-ref", *name);
    g_autofree gchar *threads = g_strdup_printf ("/kernels/pool/%s/threads", *name);
    g_autofree gchar *finite = g_strdup_printf ("/kernels/pool/%s/not-finite", *name);

    g_test_add_data_func (against, *name, test_device_against_ref);
    if (g_str_has_prefix (*name, "cpu"))
      g_test_add_data_func (threads, *name, test_threads);
    else
      g_test_add_data_func (finite, *name, test_not_finite);
  }
  return g_test_run ();
}
