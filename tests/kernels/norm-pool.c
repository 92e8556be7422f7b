/* Tests of norm, ReLU and max pooling in one: against the three, one after the other
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernelutil.h"

typedef struct
{
  gint n, c, h, w, kernel, stride, padding;
} Case;

/* Everything that it reads and writes, on one device */
typedef struct
{
  GradDevice *device;
  const GradNormOps *ops;
  GradPlan *plan;
  GradTensor *x, *dx;           /* (N, C, H, W) */
  GradTensor *y, *dy;           /* (N, C, OH, OW) */
  GradTensor *gamma, *beta, *mean, *var, *dgamma, *dbeta;       /* (C) */
  GradTensor *places;
} Fused;

static GradNormDesc
norm_desc (const Case * c)
{
  return (GradNormDesc) {
    .n = c->n,.c = c->c,.h = c->h,.w = c->w,.relu = TRUE,.eps = 1e-5f,
    .pool = {c->kernel, c->stride, c->padding}
  };
}

static GradPoolDesc
pool_desc (const Case * c)
{
  return (GradPoolDesc) {
    .n = c->n,.c = c->c,.ih = c->h,.iw = c->w,
    .oh = (c->h + 2 * c->padding - c->kernel) / c->stride + 1,
    .ow = (c->w + 2 * c->padding - c->kernel) / c->stride + 1,
    .kernel = c->kernel,.stride = c->stride,.padding = c->padding
  };
}

/* x: as random values are, or many that are equal */
static Fused *
fused_new (GradDevice * device, const Case * c, gboolean ties)
{
  GradNormDesc d = norm_desc (c);
  GradPoolDesc p = pool_desc (c);
  GradShape in = GRAD_SHAPE (c->n, c->c, c->h, c->w), out = GRAD_SHAPE (c->n, c->c, p.oh, p.ow);
  GradShape channels = GRAD_SHAPE (c->c), bytes = GRAD_SHAPE (grad_shape_n_elements (&out));
  Fused *self = g_new0 (Fused, 1);

  self->device = device;
  self->ops = grad_device_kernels (device)->norm;
  g_assert_true (self->ops->supports (device, &d));
  TEST_RUN (device, (self->plan = self->ops->plan (device, &d, &error)) != NULL);
  self->x = test_random (device, in, 1, -2, 2);
  if (ties) {
    g_autofree gfloat *values = test_download (self->x);

    for (gsize i = 0; i < grad_shape_n_elements (&in); i++)
      values[i] = roundf (values[i]);
    g_assert_true (grad_tensor_upload (self->x, values, self->x->memory.maxsize, NULL));
  }
  self->dx = test_new (device, in);
  self->y = test_new (device, out);
  self->dy = test_random (device, out, 2, -1, 1);
  self->gamma = test_random_parameter (device, channels, 3, -1, 1);
  self->beta = test_random_parameter (device, channels, 4, -1, 1);
  self->mean = test_new_parameter (device, channels);
  self->var = test_new_parameter (device, channels);
  self->dgamma = test_random_parameter (device, channels, 5, -1, 1);
  self->dbeta = test_random_parameter (device, channels, 6, -1, 1);
  self->places = grad_tensor_new_plain (device, GRAD_DTYPE_UINT8, &bytes, NULL);
  g_assert_nonnull (self->places);
  return self;
}

static void
fused_free (Fused * self)
{
  for (GradTensor ** t = &self->x; t <= &self->places; t++)
    grad_tensor_unref (*t);
  grad_plan_free (self->plan);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fused, fused_free);

static void
forward (Fused * s)
{
  TEST_RUN (s->device, s->ops->forward_pool (s->plan, s->x, s->gamma, s->beta, s->mean, s->var,
          s->y, s->places, &error));
}

static void
backward_to (Fused * s, GradTensor * dx, gboolean accumulate)
{
  TEST_RUN (s->device, s->ops->backward_pool (s->plan, s->x, s->places, s->dy, s->gamma, s->mean,
          s->var, dx, s->dgamma, s->dbeta, accumulate, &error));
}

/* Same values, and NaN at the same places */
static void
assert_equal (GradTensor * a, GradTensor * b)
{
  g_autofree gfloat *as = test_download (a), *bs = test_download (b);

  for (gsize i = 0; i < grad_shape_n_elements (&a->shape); i++)
    g_assert_true (as[i] == bs[i] || (isnan (as[i]) && isnan (bs[i])));
}

static GradTensor *
copy_to (GradDevice * device, GradTensor * tensor, gboolean parameter)
{
  GradTensor *copy = parameter ? test_new_parameter (device, tensor->shape)
      : test_new (device, tensor->shape);

  copy_stored (copy, tensor);
  return copy;
}

/* Compares with this device's norm and, from there on, the reference's pooling and norm: of equal values, and of what
 * rounding has made equal, the same one wins. Run before anything else has accumulated. */
static void
assert_as_separate (Fused * s, GradDevice * ref, const Case * c)
{
  GradNormDesc d = norm_desc (c);
  GradPoolDesc p = pool_desc (c);
  const GradNormOps *norm = grad_device_kernels (ref)->norm;
  const GradPoolOps *pool = grad_device_kernels (ref)->pool;
  g_autoptr (GradTensor) own_y = test_new (s->device, s->x->shape);
  g_autoptr (GradTensor) own_mean = test_new_parameter (s->device, s->gamma->shape);
  g_autoptr (GradTensor) own_var = test_new_parameter (s->device, s->gamma->shape);
  g_autoptr (GradTensor) x = copy_to (ref, s->x, FALSE), dy = copy_to (ref, s->dy, FALSE);
  g_autoptr (GradTensor) gamma = copy_to (ref, s->gamma, TRUE), dz = test_new (ref, s->x->shape);
  g_autoptr (GradTensor) full = NULL, mean = NULL, var = NULL, dx = test_new (ref, s->x->shape);
  g_autoptr (GradTensor) y = test_new (ref, s->y->shape), places = NULL;
  g_autoptr (GradTensor) dgamma = test_new_parameter (ref, gamma->shape);
  g_autoptr (GradTensor) dbeta = test_new_parameter (ref, gamma->shape);
  GradPlan *own_plan, *norm_plan, *pool_plan;

  d.pool.kernel = 0;
  TEST_RUN (s->device, (own_plan = s->ops->plan (s->device, &d, &error)) != NULL);
  TEST_RUN (ref, (norm_plan = norm->plan (ref, &d, &error)) != NULL);
  TEST_RUN (ref, (pool_plan = pool->plan (ref, &p, &error)) != NULL);
  places = grad_tensor_new_plain (ref, GRAD_DTYPE_UINT8,
      &GRAD_SHAPE (pool->workspace_size (pool_plan)), NULL);

  TEST_RUN (s->device, s->ops->forward_train (own_plan, s->x, NULL, s->gamma, s->beta, own_mean,
          own_var, own_y, &error));
  full = copy_to (ref, own_y, FALSE);
  TEST_RUN (ref, pool->forward (pool_plan, full, y, places, &error));
  assert_equal (s->y, y);
  assert_equal (s->mean, own_mean);
  assert_equal (s->var, own_var);

  mean = copy_to (ref, own_mean, TRUE);
  var = copy_to (ref, own_var, TRUE);
  TEST_RUN (ref, pool->backward (pool_plan, dy, places, dz, &error));
  TEST_RUN (ref, norm->backward (norm_plan, x, full, dz, gamma, mean, var, dx, NULL, dgamma, dbeta,
          FALSE, &error));
  test_assert_close_f32 (s->dgamma, dgamma, 1e-5);
  test_assert_close_f32 (s->dbeta, dbeta, 1e-5);
  assert_close_stored (s->dx, dx, 1e-5);
  grad_plan_free (own_plan);
  grad_plan_free (norm_plan);
  grad_plan_free (pool_plan);
}

static void
test_against_separate (gconstpointer name)
{
  static const Case cases[] = {
    {2, 3, 13, 12, 3, 2, 1},
    {1, 1, 5, 1, 1, 1, 0},
    {1, 16, 1, 9, 3, 2, 1},
    {1, 16, 9, 7, 3, 2, 1},
    {5, 16, 48, 48, 3, 2, 1},
    {2, 64, 24, 24, 3, 2, 1},
    {3, 24, 11, 5, 3, 1, 1},
    {2, 40, 8, 8, 2, 2, 0},
    {2, 16, 14, 15, 5, 3, 2},
    {3, 32, 9, 31, 3, 2, 0},    /* rows and columns at the end that no window has */
    {2, 8, 11, 13, 2, 3, 0},    /* gaps between windows */
    {2, 16, 10, 11, 1, 2, 0},
    {1, 16, 20, 23, 15, 2, 7},  /* places up to 224 */
    {1, 3, 20, 23, 15, 4, 7},
    {2, 12, 11, 14, 3, 2, 0},   /* 4 channels at a time, or none of the sizes that vectors have */
    {5, 24, 1, 1, 3, 2, 1},
    {3, 9, 18, 2, 3, 2, 1},
    {1, 520, 10, 5, 3, 2, 1},   /* more than a row of threads has */
  };
  g_autoptr (GradDevice) ref = test_device ("ref"), device = test_device (name);

  for (guint i = 0; i < 2 * G_N_ELEMENTS (cases); i++) {
    const Case *c = &cases[i / 2];
    g_autoptr (Fused) s = fused_new (device, c, i % 2);

    g_test_message ("case %u, ties %u", i / 2, i % 2);
    forward (s);
    backward_to (s, s->dx, FALSE);
    assert_as_separate (s, ref, c);
  }
}

/* as few partial sums as there can be, and as many as a large GPU makes */
static void
test_multiprocessors (gconstpointer name)
{
  static const gchar *const numbers[] = { "1", "3", "132" };
  static const Case cases[] = { {2, 64, 24, 24, 3, 2, 1}, {1, 520, 10, 5, 3, 2, 1}, {2, 12, 14, 15, 5, 3, 2} };
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++) {
    g_autoptr (GradDevice) device = NULL;

    g_setenv ("EMULATED_GPU_MULTIPROCESSORS", numbers[i], TRUE);
    device = test_device (name);
    g_unsetenv ("EMULATED_GPU_MULTIPROCESSORS");
    for (guint k = 0; k < G_N_ELEMENTS (cases); k++) {
      g_autoptr (Fused) s = fused_new (device, &cases[k], FALSE);

      forward (s);
      backward_to (s, s->dx, FALSE);
      assert_as_separate (s, ref, &cases[k]);
    }
  }
}

/* in a channel that has a value which is not a number, nothing is; the others go on */
static void
test_not_a_number (gconstpointer name)
{
  static const Case c = { 2, 16, 6, 6, 3, 2, 1 };
  g_autoptr (GradDevice) ref = test_device ("ref"), device = test_device (name);
  g_autoptr (Fused) s = fused_new (device, &c, FALSE);
  g_autofree gfloat *x = test_download (s->x), *y = NULL, *dx = NULL;

  x[3 * 36 + 8] = NAN;
  g_assert_true (grad_tensor_upload (s->x, x, s->x->memory.maxsize, NULL));
  forward (s);
  backward_to (s, s->dx, FALSE);
  y = test_download (s->y);
  dx = test_download (s->dx);
  for (guint i = 0; i < 2 * 16 * 9; i++)
    g_assert_cmpint (isnan (y[i]) != 0, ==, i / 9 % 16 == 3);
  for (guint i = 0; i < 2 * 16 * 36; i++)
    g_assert_cmpint (isnan (dx[i]) != 0, ==, i / 36 % 16 == 3);
}

/* Where some values are not a number, the first one of a window stays so. gamma and what rounding the mean loses make them. */
static void
test_some_not_a_number (gconstpointer name)
{
  static const Case cases[] = { {2, 8, 9, 11, 3, 2, 1}, {2, 3, 7, 9, 3, 2, 0}, {2, 8, 7, 9, 2, 2, 1} };
  g_autoptr (GradDevice) ref = test_device ("ref"), device = test_device (name);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const Case *c = &cases[i];
    GradNormDesc d = norm_desc (c);
    GradPoolDesc p = pool_desc (c);
    const GradPoolOps *pool = grad_device_kernels (ref)->pool;
    g_autoptr (Fused) s = fused_new (device, c, TRUE);
    g_autoptr (GradTensor) z = test_new (device, s->x->shape), y = test_new (ref, s->y->shape), full = NULL;
    gfloat gamma[] = { INFINITY, -INFINITY, 1, INFINITY, -INFINITY, 1, INFINITY, 1 };
    g_autofree gfloat *values = NULL;
    guint n_not = 0, n_numbers = 0;
    GradPlan *norm_plan, *pool_plan;

    d.pool.kernel = 0;
    TEST_RUN (device, (norm_plan = s->ops->plan (device, &d, &error)) != NULL);
    TEST_RUN (ref, (pool_plan = pool->plan (ref, &p, &error)) != NULL);
    g_assert_true (grad_tensor_upload (s->gamma, gamma, c->c * sizeof (gfloat), NULL));
    TEST_RUN (device, s->ops->forward_train (norm_plan, s->x, NULL, s->gamma, s->beta, s->mean, s->var, z,
            &error));
    full = copy_to (ref, z, FALSE);
    TEST_RUN (ref, pool->forward (pool_plan, full, y, NULL, &error));
    forward (s);
    assert_equal (s->y, y);
    values = test_download (y);
    for (gsize k = 0; k < grad_shape_n_elements (&y->shape); k++)
      isnan (values[k]) ? n_not++ : n_numbers++;
    g_assert_cmpuint (MIN (n_not, n_numbers), >, 0);
    grad_plan_free (norm_plan);
    grad_plan_free (pool_plan);
  }
}

/* dx in place, and += */
static void
test_in_place (gconstpointer name)
{
  static const Case cases[] = { {2, 32, 9, 7, 3, 2, 1}, {2, 5, 9, 7, 3, 2, 1} };
  g_autoptr (GradDevice) device = test_device (name);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fused) s = fused_new (device, &cases[i], FALSE);
    g_autofree gfloat *dgamma = NULL, *dbeta = NULL, *twice = NULL, *dbeta_twice = NULL;

    forward (s);
    backward_to (s, s->dx, FALSE);
    dgamma = test_download (s->dgamma);
    dbeta = test_download (s->dbeta);
    backward_to (s, s->x, TRUE);
    assert_same_bits (s->x, s->dx);
    twice = test_download (s->dgamma);
    dbeta_twice = test_download (s->dbeta);
    for (gint k = 0; k < cases[i].c; k++) {
      g_assert_cmpfloat_with_epsilon (twice[k], 2 * dgamma[k], 1e-5);
      g_assert_cmpfloat_with_epsilon (dbeta_twice[k], 2 * dbeta[k], 1e-5);
    }
  }
}

/* bit by bit the same from any number of threads */
static void
test_threads (gconstpointer name)
{
  static const Case cases[] = { {100, 80, 11, 6, 3, 2, 1}, {100, 7, 11, 6, 3, 2, 1} };
  g_autoptr (GradDevice) one = test_device_with_threads (name, 1);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Fused) a = fused_new (one, &cases[i], FALSE);

    forward (a);
    backward_to (a, a->dx, TRUE);
    for (guint threads = 2; threads <= 3; threads++) {
      g_autoptr (GradDevice) device = test_device_with_threads (name, threads);
      g_autoptr (Fused) b = fused_new (device, &cases[i], FALSE);

      forward (b);
      backward_to (b, b->dx, TRUE);
      for (GradTensor ** t = &a->x, **u = &b->x; t < &a->places; t++, u++)
        assert_same_bits (*t, *u);
    }
  }
}

static void
test_refused (gconstpointer name)
{
  static const Case good = { 1, 16, 20, 20, 3, 2, 1 };
  g_autoptr (GradDevice) device = test_device (name);
  const GradNormOps *ops = grad_device_kernels (device)->norm;
  GradNormDesc linear = norm_desc (&good), add = linear, wide = linear, outside = linear;

  linear.relu = FALSE;
  add.add = TRUE;
  wide.pool.kernel = 16;        /* more places than a byte has */
  outside.pool.padding = 2;
  for (guint i = 0; i < 4; i++) {
    const GradNormDesc *wrong[] = { &linear, &add, &wide, &outside };
    g_autoptr (GError) error = NULL;

    g_assert_false (ops->supports (device, wrong[i]));
    g_assert_null (ops->plan (device, wrong[i], &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED);
  }
}

/* a device that has none says so */
static void
test_without (gconstpointer name)
{
  static const Case c = { 1, 16, 20, 20, 3, 2, 1 };
  g_autoptr (GradDevice) device = test_device (name);
  GradNormDesc d = norm_desc (&c);

  g_assert_false (grad_device_kernels (device)->norm->supports (device, &d));
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const gchar *name;
    GTestDataFunc func;
    gboolean cuda_only;
  } tests[] = {
    {"against-separate", test_against_separate},
    {"not-a-number", test_not_a_number},
    {"in-place", test_in_place},
    {"threads", test_threads},
    {"refused", test_refused},
    {"multiprocessors", test_multiprocessors, TRUE},
    {"some-not-a-number", test_some_not_a_number, TRUE},
  };

  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  for (const gchar * const *name = test_devices (); *name; name++) {
    gboolean fused = !g_str_equal (*name, "ref"), cuda = g_str_has_prefix (*name, "cuda");

    for (guint i = 0; fused && i < G_N_ELEMENTS (tests); i++) {
      if (tests[i].cuda_only && !cuda)
        continue;
      g_autofree gchar *path = g_strdup_printf ("/norm-pool/%s/%s", *name, tests[i].name);

      g_test_add_data_func (path, *name, tests[i].func);
    }
    if (!fused) {
      g_autofree gchar *path = g_strdup_printf ("/norm-pool/%s/without", *name);

      g_test_add_data_func (path, *name, test_without);
    }
  }
  return g_test_run ();
}
