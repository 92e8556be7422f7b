/* Tests of kernels/norm: against PyTorch, finite differences and the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernelutil.h"
#include "tests/data/kernel-goldens.h"

/* Everything that one normalisation reads and writes, on one device. */
typedef struct
{
  GradDevice *device;
  const GradNormOps *ops;
  GradPlan *plan;
  GradNormDesc desc;
  GradTensor *x, *residual, *dy;        /* (N, C, H, W) */
  GradTensor *gamma, *beta, *offset, *running_mean, *running_var;       /* (C) */
  GradTensor *mean, *var, *y, *dx, *dresidual, *dgamma, *dbeta;
} Norm;

static Norm *
norm_new (GradDevice * device, const GradNormDesc * d, gfloat low, gfloat high)
{
  GradShape shape = GRAD_SHAPE (d->n, d->c, d->h, d->w), c = GRAD_SHAPE (d->c);
  Norm *self = g_new0 (Norm, 1);

  self->device = g_object_ref (device);
  self->ops = grad_device_kernels (device)->norm;
  self->desc = *d;
  g_assert_true (self->ops->supports (device, d));
  TEST_RUN (device, (self->plan = self->ops->plan (device, d, &error)) != NULL);
  self->x = test_random (device, shape, 1, low, high);
  self->residual = test_random (device, shape, 2, -1, 1);
  self->dy = test_random (device, shape, 3, -1, 1);
  self->gamma = test_random_parameter (device, c, 4, -1, 1);
  self->beta = test_random_parameter (device, c, 5, -1, 1);
  self->offset = test_random_parameter (device, c, 6, -1, 1);
  self->running_mean = test_random_parameter (device, c, 7, low, high);
  self->running_var = test_random_parameter (device, c, 8, 0.5, 2);
  self->mean = test_new_parameter (device, c);
  self->var = test_new_parameter (device, c);
  self->y = test_new (device, shape);
  self->dx = test_new (device, shape);
  self->dresidual = test_new (device, shape);
  self->dgamma = test_random_parameter (device, c, 9, -1, 1);
  self->dbeta = test_random_parameter (device, c, 10, -1, 1);
  return self;
}

static void
norm_free (Norm * self)
{
  for (GradTensor ** t = &self->x; t <= &self->dbeta; t++)
    grad_tensor_unref (*t);
  grad_plan_free (self->plan);
  g_object_unref (self->device);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Norm, norm_free);

static void
forward_to (Norm * s, GradTensor * y)
{
  TEST_RUN (s->device, s->ops->forward_train (s->plan, s->x, s->desc.add ? s->residual : NULL,
          s->gamma, s->beta, s->mean, s->var, y, &error));
}

static void
infer_to (Norm * s, gboolean with_offset, GradTensor * y)
{
  TEST_RUN (s->device, s->ops->forward_infer (s->plan, s->x, s->desc.add ? s->residual : NULL,
          s->gamma, s->beta, s->running_mean, s->running_var, with_offset ? s->offset : NULL, y,
          &error));
}

static void
backward_to (Norm * s, GradTensor * dx, GradTensor * dresidual, gboolean accumulate)
{
  TEST_RUN (s->device, s->ops->backward (s->plan, s->x, s->desc.relu ? s->y : NULL, s->dy,
          s->gamma, s->mean, s->var, dx, dresidual, s->dgamma, s->dbeta, accumulate, &error));
}

static void
update (Norm * s, gboolean with_offset)
{
  GradNormRunning r = { s->mean, s->var, with_offset ? s->offset : NULL, s->running_mean, s->running_var,
    (gdouble) s->desc.n * s->desc.h * s->desc.w, 0.125
  };

  TEST_RUN (s->device, s->ops->update_running (s->device, &r, 1, NULL, &error));
}

static void
fill_values (GradTensor * tensor, gdouble value)
{
  gdouble *to = grad_tensor_data (tensor);

  for (gsize i = 0; i < grad_shape_n_elements (grad_tensor_get_shape (tensor)); i++)
    to[i] = value;
}

static void
replace (GradTensor ** tensor, GradTensor * with)
{
  grad_tensor_unref (*tensor);
  *tensor = with;
}

static void
test_golden (void)
{
  g_autoptr (GradDevice) device = test_device ("ref");
  GradNormDesc desc = {.n = 2,.c = 3,.h = 2,.w = 3,.add = TRUE,.relu = TRUE,.eps = 1 / 1024.f };
  g_autoptr (Norm) s = norm_new (device, &desc, -1, 1);
  GradShape shape = GRAD_SHAPE (2, 3, 2, 3);
  guint32 state = 1;

  replace (&s->x, lcg_tensor (device, shape, &state, -1, 1));
  replace (&s->residual, lcg_tensor (device, shape, &state, -1, 1));
  replace (&s->gamma, lcg_tensor (device, GRAD_SHAPE (3), &state, -1, 1));
  replace (&s->beta, lcg_tensor (device, GRAD_SHAPE (3), &state, -1, 1));
  replace (&s->dy, lcg_tensor (device, shape, &state, -1, 1));
  fill_values (s->running_mean, 0);
  fill_values (s->running_var, 1);
  forward_to (s, s->y);
  backward_to (s, s->dx, s->dresidual, FALSE);
  update (s, FALSE);
  assert_golden (s->y, golden_norm_y, 1e-13);
  assert_golden (s->dx, golden_norm_dx, 1e-13);
  assert_golden (s->dresidual, golden_norm_dresidual, 1e-13);
  assert_golden (s->dgamma, golden_norm_dgamma, 1e-13);
  assert_golden (s->dbeta, golden_norm_dbeta, 1e-13);
  assert_golden (s->running_mean, golden_norm_running_mean, 1e-13);
  assert_golden (s->running_var, golden_norm_running_var, 1e-13);
  infer_to (s, FALSE, s->y);
  assert_golden (s->y, golden_norm_infer_y, 1e-13);
}

/* f = sum of y dy */
static gdouble
weighted_sum (gpointer data)
{
  Norm *s = data;
  g_autoptr (GradTensor) y = test_new (s->device, *grad_tensor_get_shape (s->x));
  const gdouble *ys = grad_tensor_data (y), *dys = grad_tensor_data (s->dy);
  gdouble sum = 0;

  forward_to (s, y);
  for (gsize i = 0; i < grad_shape_n_elements (grad_tensor_get_shape (y)); i++)
    sum += ys[i] * dys[i];
  return sum;
}

static void
test_gradient (void)
{
  g_autoptr (GradDevice) device = test_device ("ref");

  for (guint i = 0; i < 4; i++) {
    GradNormDesc desc = {.n = 3,.c = 2,.h = 2,.w = 3,.add = i & 1,.relu = i >> 1,.eps = 1e-5f };
    g_autoptr (Norm) s = norm_new (device, &desc, -1, 1);

    forward_to (s, s->y);
    backward_to (s, s->dx, s->dresidual, FALSE);
    assert_gradient (s->x, s->dx, weighted_sum, s);
    assert_gradient (s->gamma, s->dgamma, weighted_sum, s);
    assert_gradient (s->beta, s->dbeta, weighted_sum, s);
    if (desc.add)
      assert_gradient (s->residual, s->dresidual, weighted_sum, s);
  }
}

static const struct
{
  gint n, c, h, w;
  gfloat low, high;
  gfloat first;                 /* the first value of every channel, unless 0 */
} cases[] = {
  {2, 3, 4, 5, -1, 1},
  {3, 32, 5, 7, -1, 1},
  {1, 16, 3, 3, -1, 1},
  {1, 5, 1, 7, -1, 1},
  {4, 16, 1, 1, -1, 1},
  {3, 5, 1, 1, -1, 1},
  {5, 40, 6, 6, -1, 1},
  {2, 144, 3, 3, -3, 1},
  {1, 264, 3, 5, -1, 1},
  {9, 512, 3, 3, -1, 1},        /* samples in two parts */
  {1, 1, 37, 41, -1, 1},
  {1, 2, 300, 40, -1, 1},       /* a plane of several spans */
  {2, 16, 30, 41, -1, 1},
  {1, 64, 40, 41, -1, 1},
  {4, 16, 13, 9, 99.98, 100.02},        /* ill-conditioned: the mean is 10^4 standard deviations */
  {4, 3, 13, 9, 99.98, 100.02},
  {4, 16, 13, 9, 98, 102},      /* of whose values bfloat16 has several */
  {1, 3, 120, 100, 0, 1, 128}, /* one that has nothing to do with the others */
  {1, 16, 120, 20, 0, 1, 128},
};

static void
replace_first (Norm * s, gfloat value)
{
  g_autofree gfloat *values = test_download (s->x);
  gsize n = grad_shape_n_elements (grad_tensor_get_shape (s->x));

  for (gint c = 0; c < s->desc.c; c++)
    values[(gsize) c * s->desc.h * s->desc.w] = value;
  g_assert_true (grad_tensor_upload (s->x, values, n * sizeof (gfloat), NULL));
}

static void
compare (GradDevice * ref, GradDevice * device, const GradNormDesc * desc, gfloat low, gfloat high,
    gfloat first)
{
  g_autoptr (Norm) a = norm_new (device, desc, low, high), b = norm_new (ref, desc, low, high);
  gboolean hard = low > 10;
  gfloat tolerance = hard ? 1e-3 : 1e-5;        /* mean is handed to backward as a float */

  if (first != 0)
    replace_first (a, first);
  copy_stored (b->x, a->x);
  copy_stored (b->residual, a->residual);
  copy_stored (b->dy, a->dy);

  forward_to (a, a->y);
  forward_to (b, b->y);
  assert_close_stored (a->y, b->y, 1e-5);
  test_assert_close_f32 (a->mean, b->mean, 1e-6);
  test_assert_close_f32 (a->var, b->var, 1e-5);

  backward_to (a, a->dx, a->dresidual, FALSE);
  copy_stored (b->y, a->y);     /* lest one that is nearly 0 be masked differently */
  backward_to (b, b->dx, b->dresidual, FALSE);
  test_assert_close_f32 (a->dresidual, b->dresidual, 0);
  test_assert_close_f32 (a->dgamma, b->dgamma, tolerance);
  test_assert_close_f32 (a->dbeta, b->dbeta, 1e-5);
  if ((gint64) desc->n * desc->h * desc->w > 1)
    assert_close_stored (a->dx, b->dx, tolerance);

  for (guint with_offset = 0; with_offset < 2; with_offset++) {
    infer_to (a, with_offset, a->y);
    infer_to (b, with_offset, b->y);
    assert_close_stored (a->y, b->y, 1e-5);
    update (a, with_offset);
    update (b, with_offset);
    test_assert_close_f32 (a->running_mean, b->running_mean, 1e-6);
    test_assert_close_f32 (a->running_var, b->running_var, 1e-5);
  }
}

static void
test_devices_agree (void)
{
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < 4 * G_N_ELEMENTS (cases); i++) {
      guint k = i / 4;
      gboolean slow = g_getenv ("TEST_SLOWDOWN") && strstr (*name, "cuda");
      GradNormDesc desc = {.n = cases[k].n,.c = cases[k].c,.h = cases[k].h,.w = cases[k].w,
        .add = i & 1,.relu = (i >> 1) & 1,.eps = 1e-5f
      };

      if (slow && desc.add != desc.relu)        /* emulated, under a sanitizer: both or none will do */
        continue;
      g_test_message ("%s, case %u, add %d, relu %d", *name, k, desc.add, desc.relu);
      compare (ref, device, &desc, cases[k].low, cases[k].high, cases[k].first);
    }
  }
}

/* as many partial sums as a large GPU makes */
static void
test_many_parts (void)
{
  g_autoptr (GradDevice) ref = test_device ("ref");
  GradNormDesc desc = {.n = 1,.c = 2,.h = 200,.w = 200,.relu = TRUE,.eps = 1e-5f };

  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autoptr (GradDevice) device = NULL;

    g_setenv ("EMULATED_GPU_MULTIPROCESSORS", "132", TRUE);
    device = test_device (*name);
    g_unsetenv ("EMULATED_GPU_MULTIPROCESSORS");
    compare (ref, device, &desc, 0, 1, 0);
  }
}

/* a network that diverged must not look well */
static void
test_not_a_number (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    GradNormDesc desc = {.n = 1,.c = 16,.h = 2,.w = 2,.relu = TRUE,.eps = 1e-5f };
    g_autoptr (Norm) s = norm_new (device, &desc, -1, 1);
    g_autofree gfloat *x = test_download (s->x), *y = NULL;

    x[5] = NAN;                 /* in channel 1 */
    g_assert_true (grad_tensor_upload (s->x, x, 64 * sizeof (gfloat), NULL));
    forward_to (s, s->y);
    y = test_download (s->y);
    for (guint i = 0; i < 64; i++)
      g_assert_cmpint (isnan (y[i]) != 0, ==, i / 4 == 1);
  }
}

static void
test_fold (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < 4; i++) {
      gboolean with_bias = i % 2;
      gint n_out = i < 2 ? 5 : 48, n_in = i < 2 ? 31 : 32;  /* plain, and as a device likes it */
      GradShape shape = GRAD_SHAPE (n_out, n_in, 3, 3);
      GradNormDesc desc = {.n = 1,.c = n_out,.h = 1,.w = 1 };
      g_autoptr (Norm) s = norm_new (device, &desc, -1, 1);
      g_autoptr (GradTensor) w = test_random_parameter (device, shape, 1, -1, 1);
      g_autoptr (GradTensor) folded = test_new_parameter (device, shape);
      GradNormFold fold = { w, with_bias ? s->offset : NULL, s->gamma, s->beta, s->running_mean,
        s->running_var, folded, s->mean, 1e-5f
      };
      g_autofree gfloat *weights = test_download (w), *gamma = test_download (s->gamma);
      g_autofree gfloat *beta = test_download (s->beta), *mean = test_download (s->running_mean);
      g_autofree gfloat *var = test_download (s->running_var), *bias = test_download (s->offset);
      g_autofree gfloat *got = NULL, *got_bias = NULL;

      TEST_RUN (device, s->ops->fold (device, &fold, &error));
      got = test_download (folded);
      got_bias = test_download (s->mean);
      for (gint k = 0; k < n_out * n_in * 9; k++) {
        gint c = k / (n_in * 9);
        gdouble scale = gamma[c] / sqrt (var[c] + 1e-5);

        g_assert_cmpfloat_with_epsilon (got[k], scale * weights[k], 1e-6);
        g_assert_cmpfloat_with_epsilon (got_bias[c],
            beta[c] + scale * ((with_bias ? bias[c] : 0) - mean[c]), 1e-6);
      }
    }
  }
}

/* one sample of one pixel says nothing of a variance: running statistics stay as they are */
static void
test_single_value (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    GradNormDesc desc = {.n = 1,.c = 16,.h = 1,.w = 1,.eps = 1e-5f };
    g_autoptr (Norm) s = norm_new (device, &desc, -1, 1);
    g_autofree gfloat *before = test_download (s->running_var), *after = NULL;
    g_autofree gfloat *y = NULL, *beta = test_download (s->beta);

    forward_to (s, s->y);
    update (s, FALSE);
    y = test_download (s->y);
    after = test_download (s->running_var);
    for (guint c = 0; c < 16; c++) {
      g_assert_cmpfloat_with_epsilon (y[c], test_stored (s->y, beta[c]), 1e-6);
      g_assert_cmpfloat (after[c], ==, before[c]);
    }
  }
}

/* whatever may share storage gives the same bits as when it does not */
static void
test_in_place (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < 8; i++) {
      GradNormDesc desc = {.n = 3,.c = i >> 2 ? 32 : 5,.h = 7,.w = 5,.add = i & 1,
        .relu = (i >> 1) & 1,.eps = 1e-5f
      };
      g_autoptr (Norm) a = norm_new (device, &desc, -1, 1), b = norm_new (device, &desc, -1, 1);
      g_autoptr (Norm) c = norm_new (device, &desc, -1, 1);

      infer_to (a, TRUE, a->y);
      infer_to (b, TRUE, b->x);
      assert_same_bits (a->y, b->x);
      if (desc.add) {
        infer_to (c, TRUE, c->residual);
        assert_same_bits (a->y, c->residual);
        replace (&c->residual, test_random (device, c->x->shape, 2, -1, 1));
      }
      forward_to (a, a->y);
      forward_to (c, c->y);
      if (desc.add) {
        forward_to (c, c->residual);
        assert_same_bits (a->y, c->residual);
      }

      backward_to (a, a->dx, a->dresidual, FALSE);
      backward_to (c, c->x, c->dy, FALSE);
      assert_same_bits (a->dx, c->x);
      assert_same_bits (a->dresidual, c->dy);
      assert_same_bits (a->dgamma, c->dgamma);
      backward_to (a, a->dx, NULL, FALSE);
      assert_same_bits (a->dx, c->x);
      assert_same_bits (a->dbeta, c->dbeta);
    }
  }
}

static void
test_accumulate (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    GradNormDesc desc = {.n = 3,.c = 32,.h = 3,.w = 5,.relu = TRUE,.eps = 1e-5f };
    g_autoptr (Norm) s = norm_new (device, &desc, -1, 1);
    g_autofree gfloat *dgamma = NULL, *dbeta = NULL, *dgamma2 = NULL, *dbeta2 = NULL;

    forward_to (s, s->y);
    backward_to (s, s->dx, NULL, FALSE);
    dgamma = test_download (s->dgamma);
    dbeta = test_download (s->dbeta);
    backward_to (s, s->dx, NULL, TRUE);
    dgamma2 = test_download (s->dgamma);
    dbeta2 = test_download (s->dbeta);
    for (guint c = 0; c < 32; c++) {
      g_assert_cmpfloat_with_epsilon (dgamma2[c], 2 * dgamma[c], 1e-5);
      g_assert_cmpfloat_with_epsilon (dbeta2[c], 2 * dbeta[c], 1e-5);
    }
  }
}

static void
test_threads (gconstpointer name)
{
  g_autoptr (GradDevice) one = test_device_with_threads (name, 1);
  g_autoptr (GradDevice) two = test_device_with_threads (name, 2);

  for (guint i = 0; i < 2; i++) {
    GradNormDesc desc = {.n = 100,.c = i ? 80 : 7,.h = 11,.w = 6,.add = TRUE,.relu = TRUE,
      .eps = 1e-5f
    };
    g_autoptr (Norm) a = norm_new (one, &desc, -1, 1), b = norm_new (two, &desc, -1, 1);

    forward_to (a, a->y);
    forward_to (b, b->y);
    backward_to (a, a->dx, a->dresidual, TRUE);
    backward_to (b, b->dx, b->dresidual, TRUE);
    for (GradTensor ** t = &a->mean, **u = &b->mean; t <= &a->dbeta; t++, u++)
      assert_same_bits (*t, *u);
  }
}

#define N_RUNNING 70

/* Many in one call, some of them several times: the same as one after the other on the reference. */
static void
test_running (void)
{
  g_autoptr (GradDevice) ref = test_device ("ref");

  for (const gchar * const *name = test_devices () + 1; *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    g_autoptr (GPtrArray) tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_tensor_unref);
    GradNormRunning list[N_RUNNING] = { 0 }, expected[N_RUNNING] = { 0 };

    for (guint i = 0; i < N_RUNNING; i++) {
      guint of = i % 10 == 9 ? i - 1 : i;       /* whose statistics */
      GradShape c = GRAD_SHAPE (1 + of * 37 % 300);

      for (guint k = 0; k < 2; k++) {
        GradDevice *where = k ? ref : device;
        GradNormRunning *lists = k ? expected : list, *r = &lists[i];

#define MAKE(seed, low) test_random_parameter (where, c, 10 * i + seed, low, 1)
        r->mean = MAKE (0, -1);
        r->var = MAKE (1, 0);
        r->offset = i % 3 ? MAKE (2, -1) : NULL;
        r->running_mean = of == i ? MAKE (3, -1) : grad_tensor_ref (lists[of].running_mean);
        r->running_var = of == i ? MAKE (4, 0) : grad_tensor_ref (lists[of].running_var);
        r->count = 2 + i;
        r->momentum = 1 / (2.f + i % 5);
        for (const GradTensor ** t = &r->mean; t <= &r->offset; t++)
          if (*t != NULL)
            g_ptr_array_add (tensors, (gpointer) * t);
        g_ptr_array_add (tensors, r->running_mean);
        g_ptr_array_add (tensors, r->running_var);
      }
    }
    TEST_RUN (device, grad_device_kernels (device)->norm->update_running (device, list, N_RUNNING, NULL, &error));
    for (guint i = 0; i < N_RUNNING; i++)
      TEST_RUN (ref, grad_device_kernels (ref)->norm->update_running (ref, &expected[i], 1, NULL, &error));
    for (guint i = 0; i < N_RUNNING; i++) {
      test_assert_close_f32 (list[i].running_mean, expected[i].running_mean, 1e-6);
      test_assert_close_f32 (list[i].running_var, expected[i].running_var, 1e-6);
    }
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/norm/golden", test_golden);
  g_test_add_func ("/norm/gradient", test_gradient);
  g_test_add_func ("/norm/devices-agree", test_devices_agree);
  g_test_add_func ("/norm/many-parts", test_many_parts);
  g_test_add_func ("/norm/not-a-number", test_not_a_number);
  g_test_add_func ("/norm/fold", test_fold);
  g_test_add_func ("/norm/single-value", test_single_value);
  g_test_add_func ("/norm/running", test_running);
  g_test_add_func ("/norm/in-place", test_in_place);
  g_test_add_func ("/norm/accumulate", test_accumulate);
  for (const gchar * const *name = test_devices (); *name; name++)
    if (g_str_has_prefix (*name, "cpu")) {
      g_autofree gchar *path = g_strdup_printf ("/norm/%s/threads", *name);

      g_test_add_data_func (path, *name, test_threads);
    }
  return g_test_run ();
}
