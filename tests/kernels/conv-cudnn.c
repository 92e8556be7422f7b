/* Tests of kernels/conv/conv-cudnn.c: on a GPU, or with tests/cuda/cudnn in the place of cuDNN
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All values have few bits, so that bfloat16 rounds nothing but results: these are as exact as
 * their type. */
#include "../testutil.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

typedef struct
{
  gint n, ic, ih, iw, oc, kernel, stride, padding;
  gboolean bias, add, relu;
} Case;

static const Case trained[] = {
  {4, 16, 9, 7, 24, 3, 1, 1, TRUE},
  {2, 8, 6, 6, 16, 1, 2, 0, FALSE},
  {3, 64, 5, 5, 32, 3, 2, 1, TRUE},
  {1, 16, 13, 11, 8, 7, 2, 3, FALSE},
  {1, 8, 1, 1, 8, 3, 1, 1, TRUE},
};

/* one convolution on one device; [0] is the reference */
typedef struct
{
  GradDevice *device;
  const GradConvOps *ops;
  GradPlan *plan;
  GradTensor *x, *w, *b, *residual, *y, *dy, *dx, *dw, *db;
} Conv;

static GradTensor *
simple (GradDevice * device, GradShape shape, gboolean plain, guint seed)
{
  gsize n = grad_shape_n_elements (&shape);
  g_autofree gfloat *values = g_new (gfloat, n);
  GradTensor *tensor = plain ? test_new_parameter (device, shape) : test_new (device, shape);
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);

  for (gsize i = 0; i < n; i++)
    values[i] = g_rand_int_range (random, -4, 5) / 4.0;
  g_assert_true (grad_tensor_upload (tensor, values, n * sizeof (gfloat), NULL));
  return tensor;
}

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

static void
conv_open (Conv * self, GradDevice * device, const Case * c)
{
  GradConvDesc d = conv_desc (c);
  GradShape x = GRAD_SHAPE (d.n, d.ic, d.ih, d.iw), y = GRAD_SHAPE (d.n, d.oc, d.oh, d.ow);
  GradShape w = GRAD_SHAPE (d.oc, d.ic, d.kernel, d.kernel), b = GRAD_SHAPE (d.oc);

  *self = (Conv) {.device = device,.ops = grad_device_kernels (device)->conv};
  TEST_RUN (device, (self->plan = self->ops->plan (device, &d, &error)) != NULL);
  self->x = simple (device, x, FALSE, 1);
  self->w = simple (device, w, TRUE, 2);
  self->b = d.bias ? simple (device, b, TRUE, 3) : NULL;
  self->residual = d.add ? simple (device, y, FALSE, 4) : NULL;
  self->y = simple (device, y, FALSE, 5);
  self->dy = simple (device, y, FALSE, 6);
  self->dx = simple (device, x, FALSE, 7);
  self->dw = simple (device, w, TRUE, 8);
  self->db = d.bias ? simple (device, b, TRUE, 9) : NULL;
}

static void
conv_close (Conv * self)
{
  GradTensor **tensors[] = { &self->x, &self->w, &self->b, &self->residual, &self->y, &self->dy,
    &self->dx, &self->dw, &self->db
  };

  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
    g_clear_pointer (tensors[i], grad_tensor_unref);
  grad_plan_free (self->plan);
}

static void
forward (Conv * s)
{
  TEST_RUN (s->device, s->ops->forward (s->plan, s->x, s->w, s->b, s->residual, s->y, &error));
}

static void
backward (Conv * s, gboolean accumulate)
{
  TEST_RUN (s->device, s->ops->backward_data (s->plan, s->dy, s->w, s->dx, &error));
  TEST_RUN (s->device, s->ops->backward_weights (s->plan, s->x, s->dy, s->dw, s->db, accumulate,
          &error));
}

/* What is stored in bf16 was rounded once, by 2^-8 of it at most, or of what was there before it
 * was added to something up to 1; sums of floats are near. */
static void
assert_near (GradTensor * got, GradTensor * expected)
{
  gsize n = grad_shape_n_elements (grad_tensor_get_shape (expected));
  g_autofree gfloat *a = test_download (got), *b = test_download (expected);
  gdouble relative =
      grad_device_get_precision (got->device) == GRAD_PRECISION_F32 ? 1e-4 : ldexp (1, -8);

  for (gsize i = 0; i < n; i++)
    if (!(fabs (a[i] - b[i]) <= relative * (fabs (b[i]) + 1)))
      g_error ("element %" G_GSIZE_FORMAT " is %.9g, not %.9g", i, a[i], b[i]);
}

static void
test_training (gconstpointer name)
{
  g_autoptr (GradDevice) ref = test_device ("ref"), device = test_device (name);

  for (guint i = 0; i < 2 * G_N_ELEMENTS (trained); i++) {
    const Case *c = &trained[i / 2];
    guint64 n_allocations = 0;
    Conv expected, got;

    conv_open (&expected, ref, c);
    conv_open (&got, device, c);
    for (guint round = 0; round < 3; round++) {
      if (round == 2)
        n_allocations = grad_device_get_n_allocations (device);
      forward (&expected);
      forward (&got);
      backward (&expected, i % 2 && round == 0);
      backward (&got, i % 2 && round == 0);
      if (round == 2)
        g_assert_cmpuint (grad_device_get_n_allocations (device), ==, n_allocations);
      assert_near (got.y, expected.y);
      assert_near (got.dx, expected.dx);
      assert_near (got.dw, expected.dw);
      if (c->bias)
        assert_near (got.db, expected.db);
    }
    conv_close (&expected);
    conv_close (&got);
  }
}

static void
run_inference (const gchar * name)
{
  g_autoptr (GradDevice) ref = test_device ("ref"), device = test_device (name);

  for (guint i = 0; i < 16; i++) {
    Case c = {.n = 1 + 2 * (i >> 3),.ic = 16,.ih = 7,.iw = 6,.oc = 24,.kernel = 3,
      .stride = 1 + i / 8,.padding = 1,.bias = i & 1,.add = i >> 1 & 1,.relu = i >> 2 & 1
    };
    Conv expected, got;

    conv_open (&expected, ref, &c);
    conv_open (&got, device, &c);
    forward (&expected);
    forward (&got);
    assert_near (got.y, expected.y);
    if (c.add) {                /* in place */
      g_clear_pointer (&got.y, grad_tensor_unref);
      got.y = grad_tensor_ref (got.residual);
      forward (&got);
      assert_near (got.y, expected.y);
    }
    conv_close (&expected);
    conv_close (&got);
  }
}

static void
test_inference (gconstpointer name)
{
  run_inference (name);
}

/* where cuDNN has no plan for all at once, or none at all */
static void
test_refused (gconstpointer name)
{
  g_setenv ("EMULATED_CUDNN_REFUSES", "fused", TRUE);
  run_inference (name);
  g_setenv ("EMULATED_CUDNN_REFUSES", "all", TRUE);
  run_inference (name);
  g_setenv ("EMULATED_CUDNN_REFUSES", "execution", TRUE);
  run_inference (name);
  g_unsetenv ("EMULATED_CUDNN_REFUSES");
}

/* Weights and bias are packed again when they were changed, in whatever way. */
static void
test_changed_weights (gconstpointer name)
{
  g_autoptr (GradDevice) ref = test_device ("ref"), device = test_device (name);
  Conv expected, got;

  conv_open (&expected, ref, &trained[0]);
  conv_open (&got, device, &trained[0]);
  for (guint i = 0; i < 3; i++) {
    forward (&expected);
    forward (&got);
    backward (&expected, FALSE);
    backward (&got, FALSE);
    assert_near (got.y, expected.y);
    assert_near (got.dx, expected.dx);
    if (i == 0) {               /* uploaded */
      g_autoptr (GradTensor) w = simple (ref, got.w->shape, TRUE, 99);
      g_autofree gfloat *values = test_download (w);

      g_assert_true (grad_tensor_upload (got.w, values, got.w->memory.maxsize, NULL));
      g_assert_true (grad_tensor_upload (expected.w, values, got.w->memory.maxsize, NULL));
    } else                      /* mapped */
      for (guint k = 0; k < 2; k++) {
        GstMapInfo map;

        g_assert_true (gst_memory_map ((GstMemory *) (k ? got.b : expected.b), &map,
                GST_MAP_READWRITE));
        ((gfloat *) map.data)[3] += 2;
        gst_memory_unmap ((GstMemory *) (k ? got.b : expected.b), &map);
      }
  }
  conv_close (&expected);
  conv_close (&got);
}

static gchar *
choices_path (void)
{
  return g_build_filename (g_get_user_cache_dir (), "gradstreamer", "choices", NULL);
}

static gchar *
read_choices (void)
{
  g_autofree gchar *path = choices_path ();
  gchar *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? text : g_strdup ("");
}

/* What was measured is in the file; what is in the file but does not build is measured again. */
static void
test_choices (gconstpointer name)
{
  static const Case c = { 2, 32, 6, 6, 40, 3, 1, 1, FALSE };
  g_autoptr (GradDevice) device = test_device (name);
  g_autofree gchar *path = choices_path (), *before = read_choices (), *text = NULL;
  g_autofree gchar *shape = g_strconcat (strchr (name, '/') + 1, " 1:2x32x6x6 ", NULL);
  g_autoptr (GRegex) any = g_regex_new ("\t.*", G_REGEX_MULTILINE, 0, NULL);
  g_autofree gchar *stale = NULL;
  g_auto (GStrv) lines = NULL;
  guint n_lines = 0;
  Conv conv;

  conv_open (&conv, device, &c);
  forward (&conv);
  conv_close (&conv);
  text = read_choices ();
  lines = g_strsplit (text, "\n", -1);
  for (gchar ** line = lines; *line != NULL; line++)
    if (strstr (*line, shape)) {
      g_assert_null (strstr (*line, "\t999"));
      n_lines++;
    }
  g_assert_cmpuint (n_lines, ==, 3);    /* forward, backward data, backward filter */
  if (g_test_subprocess ())
    return;
  g_assert_null (strstr (before, shape));
  stale = g_regex_replace_literal (any, text, -1, 0, "\t999", 0, NULL);
  g_assert_true (g_file_set_contents (path, stale, -1, NULL));
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

/* Nothing is measured, nothing remembered. */
static void
test_deterministic (gconstpointer name)
{
  static const Case c = { 2, 48, 6, 6, 40, 3, 1, 1, FALSE };
  GradDeviceSettings settings = {.name = "cuda",.deterministic = TRUE,
    .precision = g_str_has_suffix (name, "bf16") ? GRAD_PRECISION_BF16 : GRAD_PRECISION_F32
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (GradDevice) device = grad_device_open (&settings, &error);
  g_autofree gchar *text = NULL;
  Conv conv;

  g_assert_no_error (error);
  conv_open (&conv, device, &c);
  forward (&conv);
  conv_close (&conv);
  text = read_choices ();
  g_assert_null (strstr (text, "2x48x6x6"));
}

/* What is not a number does not become 0 in a ReLU: a network that diverged must not look well. Engines do not promise that. */
static void
test_not_a_number (gconstpointer name)
{
  static const Case c = { 2, 16, 6, 6, 24, 3, 1, 1, TRUE, TRUE, TRUE };
  g_autoptr (GradDevice) device = test_device (name);
  g_autofree gfloat *values = NULL, *got = NULL;
  Conv conv;

  conv_open (&conv, device, &c);
  values = test_download (conv.w);
  for (gint i = 0; i < c.ic * c.kernel * c.kernel; i++)
    values[i] = NAN;            /* to the first output */
  g_assert_true (grad_tensor_upload (conv.w, values, c.oc * c.ic * c.kernel * c.kernel * sizeof (gfloat), NULL));
  forward (&conv);
  got = test_download (conv.y);
  for (gint n = 0; n < c.n; n++)
    for (gint i = 0; i < c.ih * c.iw; i++) {
      g_assert_true (isnan (got[n * c.oc * c.ih * c.iw + i]));
      g_assert_true (isfinite (got[(n * c.oc + 1) * c.ih * c.iw + i]));
    }
  conv_close (&conv);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const gchar *name;
    GTestDataFunc func;
  } tests[] = {
    {"training", test_training}, {"inference", test_inference}, {"refused", test_refused},
    {"not-a-number", test_not_a_number},
    {"changed-weights", test_changed_weights}, {"choices", test_choices},
    {"deterministic", test_deterministic}
  };
  g_autofree gchar *cache = g_strdup (g_getenv ("TEST_CACHE")), *path = NULL, *dir = NULL;
  gboolean own = cache == NULL;
  gint result;

  if (own)
    cache = g_dir_make_tmp ("conv-cudnn-XXXXXX", NULL);
  g_setenv ("TEST_CACHE", cache, TRUE); /* for subprocesses */
  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  g_setenv ("GST_REGISTRY_DISABLE", "yes", TRUE);       /* which would lie there, too */
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  for (const gchar * const *name = test_devices (); *name; name++)
    for (guint i = 0; g_str_has_prefix (*name, "cuda") && i < G_N_ELEMENTS (tests); i++) {
      g_autofree gchar *test = g_strdup_printf ("/kernels/conv-cudnn/%s/%s", *name, tests[i].name);

      g_test_add_data_func (test, *name, tests[i].func);
    }
  result = g_test_run ();
  path = choices_path ();
  dir = g_path_get_dirname (path);
  if (own) {
    g_unlink (path);
    g_rmdir (dir);
    g_rmdir (cache);
  }
  return result;
}
