/* Tests of kernels/conv/winograd, pixelwise: each direction against the reference, whatever is the faster way
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/conv/conv-way.h"
#include "convutil.h"
#include "lib/device/gradcpudevice-private.h"

#define N_RANDOM 30

typedef struct
{
  GradConvWayKind way;
  ConvCase c;
} Case;

#define WINOGRAD GRAD_CONV_WINOGRAD
#define PIXELWISE GRAD_CONV_PIXELWISE

static const Case cases[] = {
  /* way n ic ih iw oc kernel stride padding  bias add relu accumulate */
  {WINOGRAD, {1, 16, 3, 3, 16, 3, 1, 1}},      /* one tile of 3x3 */
  {WINOGRAD, {1, 16, 4, 4, 16, 3, 1, 1}},      /* one of 4x4 */
  {WINOGRAD, {1, 16, 2, 5, 16, 3, 1, 1}},
  {WINOGRAD, {1, 16, 4, 6, 16, 3, 1, 0, FALSE, FALSE, FALSE, TRUE}},
  {WINOGRAD, {2, 16, 5, 7, 32, 3, 1, 2}},
  {WINOGRAD, {3, 48, 13, 9, 16, 3, 1, 1, FALSE, FALSE, FALSE, TRUE}},       /* tiles beyond the picture; an odd number of blocks */
  {WINOGRAD, {2, 16, 10, 11, 80, 3, 1, 1, TRUE, TRUE, TRUE}},
  {WINOGRAD, {5, 160, 6, 6, 32, 3, 1, 1, TRUE, FALSE, FALSE, TRUE}}, /* more inputs than are multiplied at a time */
  {WINOGRAD, {40, 32, 12, 12, 48, 3, 1, 1, FALSE, TRUE, FALSE, TRUE}},        /* several chunks, the last one shorter */
  {WINOGRAD, {33, 144, 3, 3, 176, 3, 1, 1, TRUE, FALSE, TRUE}},
  {WINOGRAD, {7, 64, 24, 24, 64, 3, 1, 1}},
  {WINOGRAD, {1, 16, 6, 6, 16, 3, 2, 1}},      /* one tile of 3x3 */
  {WINOGRAD, {1, 16, 8, 8, 16, 3, 2, 1, FALSE, FALSE, FALSE, TRUE}},        /* one of 4x4 */
  {WINOGRAD, {1, 16, 7, 7, 16, 3, 2, 0, FALSE, FALSE, FALSE, TRUE}},
  {WINOGRAD, {1, 16, 8, 6, 16, 3, 2, 0}},      /* the last row and column meet no tap */
  {WINOGRAD, {2, 16, 3, 3, 16, 3, 2, 2}},
  {WINOGRAD, {2, 32, 5, 12, 16, 3, 2, 2, TRUE, TRUE, TRUE, TRUE}},
  {WINOGRAD, {3, 48, 13, 17, 16, 3, 2, 1, FALSE, FALSE, FALSE, TRUE}},
  {WINOGRAD, {2, 16, 19, 10, 80, 3, 2, 1, TRUE, TRUE, TRUE}},
  {WINOGRAD, {3, 16, 20, 21, 48, 3, 2, 0, FALSE, FALSE, TRUE}},
  {WINOGRAD, {2, 16, 22, 9, 32, 3, 2, 2}},
  {WINOGRAD, {5, 160, 11, 12, 32, 3, 2, 1, TRUE, FALSE, FALSE, TRUE}},
  {WINOGRAD, {11, 32, 24, 24, 48, 3, 2, 1, FALSE, TRUE, FALSE, TRUE}},
  {WINOGRAD, {33, 144, 6, 6, 176, 3, 2, 1, TRUE, FALSE, TRUE}},
  {PIXELWISE, {1, 16, 1, 1, 16, 3, 1, 1, TRUE}},   /* most taps meet padding alone */
  {PIXELWISE, {2, 16, 1, 1, 16, 3, 1, 1, FALSE, FALSE, FALSE, TRUE}},
  {PIXELWISE, {9, 16, 2, 2, 32, 3, 1, 1}},
  {PIXELWISE, {70, 160, 2, 2, 48, 3, 1, 1, TRUE, TRUE, TRUE, TRUE}},      /* several chunks, more inputs than are multiplied at a time */
  {PIXELWISE, {33, 48, 3, 4, 80, 3, 1, 1, FALSE, TRUE}},   /* an odd number of blocks */
  {PIXELWISE, {5, 32, 4, 4, 64, 3, 2, 1, TRUE, FALSE, TRUE}},
  {PIXELWISE, {17, 32, 4, 4, 64, 1, 2, 0, TRUE, FALSE, FALSE, TRUE}},   /* pixels that nothing sees */
  {PIXELWISE, {3, 16, 7, 7, 16, 7, 2, 3}},
  {PIXELWISE, {3, 16, 2, 3, 16, 3, 3, 2, TRUE}},
  {PIXELWISE, {600, 256, 4, 2, 16, 2, 1, 0}},      /* several chunks of the gradient */
};

/* whoever trains has biases added elsewhere */
static GradConvDesc
describe (const ConvCase * c, gboolean training)
{
  GradConvDesc d = conv_describe (c, training);

  d.bias &= !training;
  return d;
}

static void
way_new (GradDevice * device, const GradConvDesc * d, GradConvWayKind kind,
    GradConvDirection direction, GradConvWay * way)
{
  *way = (GradConvWay) { kind, NULL };
  if (kind == WINOGRAD) {
    g_assert_true (grad_winograd_supports (device, d, direction));
    TEST_RUN (device, (way->self = grad_winograd_new (device, d, direction, &error)) != NULL);
  } else {
    g_assert_true (grad_pixelwise_supports (device, d, direction));
    TEST_RUN (device, (way->self = grad_pixelwise_new (device, d, direction, &error)) != NULL);
  }
}

static void
forward_on (const gchar * name, const Case * c)
{
  g_autoptr (GradDevice) cpu = test_device (name), ref = test_device ("ref");

  for (guint training = 0; training < 2; training++) {
    GradConvDesc d = describe (&c->c, training);
    ConvTensors got = conv_fill (cpu, &d, -1), expected = conv_fill_expected (ref, &d, -1, &got);
    GradConvWay way;
    GradPlan *plan;

    way_new (cpu, &d, c->way, GRAD_CONV_FORWARD, &way);
    TEST_RUN (ref, (plan = grad_conv_ref_ops.plan (ref, &d, &error)) != NULL);
    TEST_RUN (ref, grad_conv_ref_ops.forward (plan, expected.x, expected.w, expected.b,
            expected.residual, expected.y, &error));
    /* twice, the second time from weights that are transformed already if it does not train */
    for (guint i = 0; i < 2; i++) {
      TEST_RUN (cpu, grad_conv_way_run (&way, GRAD_CONV_FORWARD, got.x, got.w, got.b, got.residual, got.y,
              FALSE, &error));
      test_assert_close (got.y, expected.y, 5e-6);
    }
    if (d.add) {                /* in place */
      TEST_RUN (cpu, grad_conv_way_run (&way, GRAD_CONV_FORWARD, got.x, got.w, got.b, got.residual,
              got.residual, FALSE, &error));
      test_assert_close (got.residual, expected.y, 5e-6);
    }
    grad_conv_way_clear (&way);
    grad_plan_free (plan);
    conv_clear (&got);
    conv_clear (&expected);
  }
}

static void
test_forward (gconstpointer data)
{
  forward_on ("cpu", data);
  forward_on ("cpu/bf16", data);
}

/* where the reference has zeros: pixels that no window reads, taps that nothing meets */
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
  GradConvDesc d = describe (&c->c, TRUE);
  ConvTensors got = conv_fill (cpu, &d, -1), expected = conv_fill_expected (ref, &d, -1, &got);
  GradConvWay to_x, to_w;
  GradPlan *plan;

  way_new (cpu, &d, c->way, GRAD_CONV_BACKWARD_DATA, &to_x);
  way_new (cpu, &d, c->way, GRAD_CONV_BACKWARD_WEIGHTS, &to_w);
  TEST_RUN (ref, (plan = grad_conv_ref_ops.plan (ref, &d, &error)) != NULL);
  TEST_RUN (ref, grad_conv_ref_ops.backward_data (plan, expected.dy, expected.w, expected.dx,
          &error));
  TEST_RUN (ref, grad_conv_ref_ops.backward_weights (plan, expected.x, expected.dy, expected.dw,
          NULL, c->c.accumulate, &error));
  TEST_RUN (cpu, grad_conv_way_run (&to_x, GRAD_CONV_BACKWARD_DATA, got.dx, got.w, NULL, NULL, got.dy,
          FALSE, &error));
  TEST_RUN (cpu, grad_conv_way_run (&to_w, GRAD_CONV_BACKWARD_WEIGHTS, got.x, got.dw, NULL, NULL,
          got.dy, c->c.accumulate, &error));
  test_assert_close (got.dx, expected.dx, 5e-6);
  assert_same_zeros (got.dx, expected.dx);
  test_assert_close (got.dw, expected.dw, 5e-6);
  assert_same_zeros (got.dw, expected.dw);
  grad_conv_way_clear (&to_x);
  grad_conv_way_clear (&to_w);
  grad_plan_free (plan);
  conv_clear (&got);
  conv_clear (&expected);
}

static void
test_backward (gconstpointer data)
{
  backward_on ("cpu", data);
  backward_on ("cpu/bf16", data);
}

static void
test_random_shapes (void)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);

  for (gint i = 0; i < N_RANDOM; i++) {
    Case random = { PIXELWISE, {
            .n = g_rand_int_range (rand, 1, 80),.ic = 16 * g_rand_int_range (rand, 1, 10),
            .ih = g_rand_int_range (rand, 1, 5),.iw = g_rand_int_range (rand, 1, 5),
            .oc = 16 * g_rand_int_range (rand, 1, 6),.kernel = g_rand_int_range (rand, 1, 6),
            .stride = g_rand_int_range (rand, 1, 4),.accumulate = g_rand_boolean (rand),
            .bias = g_rand_boolean (rand),.add = g_rand_boolean (rand),.relu = g_rand_boolean (rand)
        }
    };

    random.c.padding = g_rand_int_range (rand, 0, MIN (random.c.kernel, 3));
    conv_fit (&random.c);
    test_forward (&random);
    test_backward (&random);
  }
}

/* The weights have changed: what was made of the old ones must not be used again. */
static void
test_changed_weights (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (GradDevice) cpu = test_device ("cpu");
  GradConvDesc d = describe (&c->c, FALSE);
  ConvTensors t = conv_fill (cpu, &d, -1);
  gsize n = grad_shape_n_elements (&t.w->shape);
  g_autofree gfloat *zeros = g_new0 (gfloat, n), *y = NULL;
  GradConvWay way;

  way_new (cpu, &d, c->way, GRAD_CONV_FORWARD, &way);
  TEST_RUN (cpu, grad_conv_way_run (&way, GRAD_CONV_FORWARD, t.x, t.w, NULL, NULL, t.y, FALSE,
          &error));
  g_assert_true (grad_tensor_upload (t.w, zeros, n * sizeof (gfloat), NULL));
  TEST_RUN (cpu, grad_conv_way_run (&way, GRAD_CONV_FORWARD, t.x, t.w, NULL, NULL, t.y, FALSE,
          &error));
  y = test_download (t.y);
  for (gsize i = 0; i < grad_shape_n_elements (&t.y->shape); i++)
    g_assert_cmpfloat (y[i], ==, 0);
  grad_conv_way_clear (&way);
  conv_clear (&t);
}

/* Each number of threads splits the work in another way; what Winograd's weight gradient sums up depends on it. */
static void
test_threads (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (GradDevice) one = test_device_with_threads ("cpu", 1);
  GradConvDesc d = describe (&c->c, TRUE);
  ConvTensors expected = conv_fill (one, &d, -1);

  for (guint threads = 1; threads <= 6; threads++) {
    g_autoptr (GradDevice) cpu = test_device_with_threads ("cpu", threads);
    ConvTensors new = conv_fill (cpu, &d, -1), *got = threads == 1 ? &expected : &new;

    for (gint direction = 0; direction < GRAD_CONV_N_DIRECTIONS; direction++) {
      GradTensor *x = direction == GRAD_CONV_BACKWARD_DATA ? got->dx : got->x;
      GradTensor *w = direction == GRAD_CONV_BACKWARD_WEIGHTS ? got->dw : got->w;
      GradTensor *y = direction == GRAD_CONV_FORWARD ? got->y : got->dy;
      GradConvWay way;

      way_new (got->x->device, &d, c->way, direction, &way);
      TEST_RUN (got->x->device, grad_conv_way_run (&way, direction, x, w, NULL, NULL, y, FALSE,
              &error));
      grad_conv_way_clear (&way);
    }
    if (threads > 1) {
      assert_same_bits (got->y, expected.y);
      assert_same_bits (got->dx, expected.dx);
      if (c->way == WINOGRAD)
        test_assert_close (got->dw, expected.dw, 5e-6);
      else
        assert_same_bits (got->dw, expected.dw);
    }
    conv_clear (&new);
  }
  conv_clear (&expected);
}

/* With `deterministic` this is the way that small pictures of a batch go. */
static void
test_rule (void)
{
  GradDeviceSettings settings = {.name = "cpu",.deterministic = TRUE };
  g_autoptr (GradDevice) cpu = grad_device_open (&settings, NULL);
  GradConvDesc d = describe (&(ConvCase) { 32, 16, 2, 2, 16, 3, 1, 1 }, TRUE);

  for (gint direction = 0; direction < GRAD_CONV_N_DIRECTIONS; direction++) {
    GradConvHints hints = { NULL };
    GradConvWay way;

    TEST_RUN (cpu, grad_conv_way_choose (cpu, &d, direction, hints, &way, &error));
    g_assert_cmpint (way.kind, ==, GRAD_CONV_PIXELWISE);
    grad_conv_way_clear (&way);
    grad_conv_hints_clear (hints);
  }
}

/* Whatever the times are, activations stay in their layout where that can be: oneDNN's reordering ones are not taken. */
static void
test_reorders (void)
{
  static const ConvCase odd[] = {
    {4, 1, 24, 24, 64, 7, 2, 3}, {4, 12, 16, 16, 32, 3, 1, 1}, {4, 24, 16, 16, 32, 3, 1, 1}
  };
  static const GradConvDirection directions[] = { GRAD_CONV_FORWARD, GRAD_CONV_BACKWARD_WEIGHTS };
  g_autoptr (GradDevice) cpu = test_device ("cpu");

  for (guint i = 0; i < G_N_ELEMENTS (odd); i++) {
    GradConvDesc d = describe (&odd[i], TRUE);
    ConvTensors t = conv_fill (cpu, &d, -1);

    for (guint k = 0; k < G_N_ELEMENTS (directions); k++) {
      gboolean forward = directions[k] == GRAD_CONV_FORWARD;
      gint before = grad_cpu_reorders.activations;
      GradConvHints hints = { NULL };
      GradConvWay way;

      TEST_RUN (cpu, grad_conv_way_choose (cpu, &d, directions[k], hints, &way, &error));
      TEST_RUN (cpu, grad_conv_way_run (&way, directions[k], t.x, forward ? t.w : t.dw, NULL, NULL,
              forward ? t.y : t.dy, FALSE, &error));
      g_assert_cmpint (grad_cpu_reorders.activations, ==, before);
      grad_conv_way_clear (&way);
      grad_conv_hints_clear (hints);
    }
    conv_clear (&t);
  }
}

static const GradConvDesc no_winograd[] = {
  {.n = 1,.ic = 16,.ih = 8,.iw = 8,.oc = 16,.oh = 3,.ow = 3,.kernel = 3,.stride = 3,.padding = 1},
  {.n = 1,.ic = 16,.ih = 1,.iw = 5,.oc = 16,.oh = 1,.ow = 5,.kernel = 3,.stride = 1,.padding = 1},
  {.n = 1,.ic = 16,.ih = 2,.iw = 9,.oc = 16,.oh = 1,.ow = 5,.kernel = 3,.stride = 2,.padding = 1},
  {.n = 1,.ic = 16,.ih = 4,.iw = 4,.oc = 16,.oh = 2,.ow = 2,.kernel = 3,.stride = 2,.padding = 1},
  {.n = 1,.ic = 16,.ih = 8,.iw = 8,.oc = 16,.oh = 8,.ow = 8,.kernel = 1,.stride = 1},
  {.n = 1,.ic = 24,.ih = 8,.iw = 8,.oc = 15,.oh = 8,.ow = 8,.kernel = 3,.stride = 1,.padding = 1},
  {.n = 1,.ic = 3,.ih = 8,.iw = 8,.oc = 16,.oh = 8,.ow = 8,.kernel = 3,.stride = 1,.padding = 1},
  {.n = 1,.ic = 16,.ih = 8,.iw = 8,.oc = 16,.oh = 12,.ow = 12,.kernel = 3,.stride = 1,.padding = 3},
  {.n = 9,.ic = 16,.ih = 2,.iw = 2,.oc = 16,.oh = 2,.ow = 2,.kernel = 3,.stride = 1,.padding = 1},
}, no_pixelwise[] = {
  {.n = 9,.ic = 16,.ih = 5,.iw = 4,.oc = 16,.oh = 5,.ow = 4,.kernel = 3,.stride = 1,.padding = 1},
  {.n = 9,.ic = 16,.ih = 8,.iw = 9,.oc = 16,.oh = 4,.ow = 4,.kernel = 3,.stride = 2,.padding = 1},
  {.n = 9,.ic = 3,.ih = 2,.iw = 2,.oc = 16,.oh = 2,.ow = 2,.kernel = 3,.stride = 1,.padding = 1},
  {.n = 9,.ic = 16,.ih = 2,.iw = 2,.oc = 10,.oh = 2,.ow = 2,.kernel = 3,.stride = 1,.padding = 1},
};

static void
test_refused (void)
{
  g_autoptr (GradDevice) cpu = test_device ("cpu");

  for (guint i = 0; i < G_N_ELEMENTS (no_winograd); i++)
    g_assert_false (grad_winograd_supports (cpu, &no_winograd[i], GRAD_CONV_FORWARD));
  for (guint i = 0; i < G_N_ELEMENTS (no_pixelwise); i++)
    g_assert_false (grad_pixelwise_supports (cpu, &no_pixelwise[i], GRAD_CONV_FORWARD));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *forward = g_strdup_printf ("/kernels/conv-ways/forward/%u", i);
    g_autofree gchar *backward = g_strdup_printf ("/kernels/conv-ways/backward/%u", i);
    g_autofree gchar *changed = g_strdup_printf ("/kernels/conv-ways/changed-weights/%u", i);
    g_autofree gchar *threads = g_strdup_printf ("/kernels/conv-ways/threads/%u", i);

    g_test_add_data_func (forward, &cases[i], test_forward);
    g_test_add_data_func (backward, &cases[i], test_backward);
    g_test_add_data_func (changed, &cases[i], test_changed_weights);
    g_test_add_data_func (threads, &cases[i], test_threads);
  }
  g_test_add_func ("/kernels/conv-ways/random-shapes", test_random_shapes);
  g_test_add_func ("/kernels/conv-ways/rule", test_rule);
  g_test_add_func ("/kernels/conv-ways/reorders", test_reorders);
  g_test_add_func ("/kernels/conv-ways/refused", test_refused);
  return g_test_run ();
}
