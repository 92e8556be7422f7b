/* Tests of graphs: gradients of residual blocks, of values and units that are used several times
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testmodel.h"
#include "lib/autograd/gradnetwork-private.h"
#include "tests/kernels/gradient.h"

typedef struct
{
  const gchar *name;
  void (*build) (GradGraph * graph);
  GradShape input;
} Case;

static void
build_identity (GradGraph * g)
{
  grad_graph_add_residual (g, GRAD_GRAPH_INPUT, "r", 3, 1, FALSE, GRAD_BLOCK_BASIC,
      GRAD_SHORTCUT_CONV, TRUE);
}

static void
build_basic (GradGraph * g)
{
  grad_graph_add_residual (g, GRAD_GRAPH_INPUT, "r", 4, 2, TRUE, GRAD_BLOCK_BASIC,
      GRAD_SHORTCUT_CONV, TRUE);
}

static void
build_basic_norm (GradGraph * g)
{
  grad_graph_add_residual (g, GRAD_GRAPH_INPUT, "r", 4, 2, TRUE, GRAD_BLOCK_BASIC,
      GRAD_SHORTCUT_CONV_NORM, FALSE);
}

static void
build_bottleneck (GradGraph * g)
{
  grad_graph_add_residual (g, GRAD_GRAPH_INPUT, "r", 8, 2, TRUE, GRAD_BLOCK_BOTTLENECK,
      GRAD_SHORTCUT_CONV, TRUE);
}

static void
build_bottleneck_norm (GradGraph * g)
{
  grad_graph_add_residual (g, GRAD_GRAPH_INPUT, "r", 8, 1, TRUE, GRAD_BLOCK_BOTTLENECK,
      GRAD_SHORTCUT_CONV_NORM, FALSE);
}

static void
build_blocks (GradGraph * g)
{
  guint x = grad_graph_add_stem (g, GRAD_GRAPH_INPUT, "", 4, 3, 1, TRUE, TRUE);

  x = grad_graph_add_residual (g, x, "a", 4, 1, FALSE, GRAD_BLOCK_BASIC, GRAD_SHORTCUT_CONV, TRUE);
  x = grad_graph_add_residual (g, x, "b", 4, 2, TRUE, GRAD_BLOCK_BASIC, GRAD_SHORTCUT_CONV, TRUE);
  x = grad_graph_add (g, grad_global_pool_unit_new (), x);
  grad_graph_add (g, grad_linear_unit_new ("fc", 3, TRUE), x);
}

static void
build_twice_the_same (GradGraph * g)
{
  grad_graph_add2 (g, grad_add_unit_new (), GRAD_GRAPH_INPUT, GRAD_GRAPH_INPUT);
}

static GradUnit *
conv (const gchar * name, gboolean norm, gboolean add, gboolean relu)
{
  return grad_conv_unit_new (name, norm ? "bn" : NULL, 3, 3, 1, 1, TRUE, add, relu);
}

/* The gradient of sum is one tensor for both of its inputs, one of which goes on to compute in
 * place; x and c have three consumers each. */
static void
build_many_consumers (GradGraph * g)
{
  guint x = GRAD_GRAPH_INPUT;
  guint c = grad_graph_add (g, conv ("c", FALSE, FALSE, TRUE), x);
  guint sum = grad_graph_add2 (g, grad_add_unit_new (), c, x);
  guint d = grad_graph_add2 (g, conv ("d", TRUE, TRUE, TRUE), c, sum);
  guint e = grad_graph_add2 (g, conv ("e", FALSE, TRUE, FALSE), c, d);
  guint f = grad_graph_add2 (g, grad_add_unit_new (), sum, e);

  grad_graph_add2 (g, conv ("h", FALSE, TRUE, TRUE), f, x);
}

static void
build_chain_of_sums (GradGraph * g)
{
  guint c = grad_graph_add (g, conv ("c", FALSE, FALSE, TRUE), GRAD_GRAPH_INPUT);
  guint twice = grad_graph_add2 (g, grad_add_unit_new (), c, c);
  guint thrice = grad_graph_add2 (g, grad_add_unit_new (), twice, c);

  grad_graph_add2 (g, grad_add_unit_new (), thrice, twice);
}

static void
build_shared_weights (GradGraph * g)
{
  GradUnit *unit = conv ("c", FALSE, FALSE, TRUE);
  guint x = grad_graph_add (g, g_object_ref (unit), GRAD_GRAPH_INPUT);

  x = grad_graph_add (g, unit, x);
  /* another unit with the same parameters, but for the bias */
  x = grad_graph_add (g, grad_conv_unit_new ("c", NULL, 3, 3, 1, 1, FALSE, FALSE, FALSE), x);
  grad_graph_add2 (g, grad_add_unit_new (), x, GRAD_GRAPH_INPUT);
}

static const Case cases[] = {
  {"identity", build_identity, GRAD_SHAPE (2, 3, 4, 5)},
  {"basic", build_basic, GRAD_SHAPE (3, 2, 5, 4)},
  {"basic-norm", build_basic_norm, GRAD_SHAPE (3, 2, 4, 4)},
  {"bottleneck", build_bottleneck, GRAD_SHAPE (3, 4, 5, 5)},
  {"bottleneck-norm", build_bottleneck_norm, GRAD_SHAPE (3, 4, 3, 3)},
  {"network", build_blocks, GRAD_SHAPE (3, 1, 8, 8)},
  {"twice-the-same", build_twice_the_same, GRAD_SHAPE (2, 3, 4)},
  {"many-consumers", build_many_consumers, GRAD_SHAPE (2, 3, 4, 4)},
  {"chain-of-sums", build_chain_of_sums, GRAD_SHAPE (2, 3, 4, 4)},
  {"shared-weights", build_shared_weights, GRAD_SHAPE (2, 3, 4, 4)},
};

static void
open_case (TestModel * m, GradDevice * device, const Case * c)
{
  GradGraph *graph = grad_graph_new ();

  c->build (graph);
  test_model_init (m, device, NULL, graph, 1, &c->input, 11);
}

static void
test_differences (gconstpointer data)
{
  for (guint shared = 0; shared < 2; shared++) {
    g_autoptr (GPtrArray) live = NULL;
    TestModel m;

    open_case (&m, test_device ("ref"), data);
    test_model_backward (&m, shared, FALSE);
    test_model_commit (&m);
    test_assert_gradient (test_model_input_gradient (&m, 0), m.inputs[0], m.output, m.d_output,
        test_model_forward, &m, 1e-6, 1e-6);
    live = test_live_parameters (m.network);
    for (guint i = 0; i < live->len; i++) {
      GradParameter *p = live->pdata[i];

      test_assert_gradient (p->grad, p->value, m.output, m.d_output, test_model_forward, &m, 1e-6,
          1e-6);
    }
    test_model_clear (&m);
  }
}

static void
test_against_ref (gconstpointer data)
{
  g_autoptr (GPtrArray) expected = NULL;
  TestModel ref;

  open_case (&ref, test_device ("ref"), data);
  test_model_backward (&ref, FALSE, FALSE);
  test_model_commit (&ref);
  expected = test_live_parameters (ref.network);
  for (const gchar * const *device = test_devices () + 1; *device; device++) {
    g_autoptr (GPtrArray) live = NULL;
    TestModel m;

    open_case (&m, test_device (*device), data);
    test_model_backward (&m, FALSE, FALSE);
    test_assert_close (m.output, ref.output, 1e-5);
    test_assert_close (test_model_input_gradient (&m, 0), test_model_input_gradient (&ref, 0),
        2e-5);
    live = test_live_parameters (m.network);
    for (guint i = 0; i < live->len; i++)
      test_assert_close (((GradParameter *) live->pdata[i])->grad,
          ((GradParameter *) expected->pdata[i])->grad, 2e-5);
    test_model_commit (&m);
    test_model_clear (&m);
  }
  test_model_clear (&ref);
}

/* y = x + x: the gradient is twice the one that came, to the bit, and that one is left alone. */
static void
test_sum (void)
{
  for (const gchar * const *device = test_devices (); *device; device++) {
    g_autoptr (GradTensor) before = NULL;
    g_autofree gfloat *dx = NULL, *dy = NULL;
    TestModel m;

    open_case (&m, test_device (*device), &cases[6]);
    before = test_duplicate (m.d_output);
    test_model_backward (&m, TRUE, FALSE);
    test_assert_same (m.d_output, before);
    dx = test_download (test_model_input_gradient (&m, 0));
    dy = test_download (m.d_output);
    for (guint i = 0; i < 2 * 3 * 4; i++)
      g_assert_cmpfloat (dx[i], ==, 2 * dy[i]);
    test_model_clear (&m);
  }
}

/* Three steps, with how far the gradients of the first are from those of expected, when that is
 * not NULL. */
static void
train (TestModel * m, TestModel * expected)
{
  static const GradAdamOptions options = GRAD_ADAM_DEFAULTS;

  for (guint step = 0; step < 3; step++) {
    test_model_backward (m, FALSE, FALSE);
    if (step == 0 && expected != NULL)
      test_assert_close (test_model_input_gradient (m, 0),
          test_model_input_gradient (expected, 0), 2e-6);
    g_assert_true (grad_network_update_adam (m->network, &options, NULL));
    test_model_commit (m);
  }
}

/* The same bits twice; with another number of threads, sums over samples are taken in other
 * parts. Not with more threads than processors: there, weight gradients of oneDNN 3.7 were seen to
 * differ in the last bit from run to run, for convolutions of 4 channels. */
static void
test_bits (void)
{
  const Case network = { "", build_blocks, GRAD_SHAPE (17, 1, 20, 20) };

  for (const gchar * const *device = test_devices (); *device; device++) {
    TestModel first;

    open_case (&first, test_device (*device), &network);
    test_model_backward (&first, FALSE, FALSE);
    test_model_commit (&first);
    for (guint threads = 1; threads <= MIN (3, g_get_num_processors ()); threads++) {
      TestModel a, b;

      open_case (&a, test_device_with_threads (*device, threads), &network);
      open_case (&b, test_device_with_threads (*device, threads), &network);
      train (&a, &first);
      train (&b, &first);
      test_assert_same (a.output, b.output);
      test_assert_same (test_model_input_gradient (&a, 0), test_model_input_gradient (&b, 0));
      for (guint i = 0; i < grad_parameter_store_get_n_parameters (a.network->store); i++) {
        GradParameter *p = grad_parameter_store_get_parameter (a.network->store, i);
        GradParameter *q = grad_parameter_store_get_parameter (b.network->store, i);

        g_assert_cmpint (p->count, ==, q->count);
        if (p->value)
          test_assert_same (p->value, q->value);
      }
      test_model_clear (&a);
      test_model_clear (&b);
    }
    test_model_clear (&first);
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *differences = g_strconcat ("/gradgraph/differences/", cases[i].name, NULL);
    g_autofree gchar *against_ref = g_strconcat ("/gradgraph/against-ref/", cases[i].name, NULL);

    g_test_add_data_func (differences, &cases[i], test_differences);
    g_test_add_data_func (against_ref, &cases[i], test_against_ref);
  }
  g_test_add_func ("/gradgraph/sum", test_sum);
  g_test_add_func ("/gradgraph/bits", test_bits);
  return g_test_run ();
}
