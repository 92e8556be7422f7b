/* Tests of the units: gradients by finite differences, every device against the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testmodel.h"
#include "lib/autograd/gradjob-private.h"
#include "lib/autograd/gradunit-private.h"
#include "tests/kernels/gradient.h"

typedef enum
{ CONV, MAX_POOL, GLOBAL_POOL, LINEAR, ADD, LOSS } Kind;

typedef struct
{
  const gchar *name;
  Kind kind;
  GradShape input;
  gint channels, kernel, stride, padding;
  gboolean norm, bias, add, relu, pool;
  gdouble label_smoothing;
  gboolean large;               /* too large for differences */
} Case;

#define X(...) .input = GRAD_SHAPE (__VA_ARGS__)

static const Case cases[] = {
  {"conv", CONV, X (2, 3, 6, 5), 4, 3, 1, 1,.bias = TRUE},
  {"conv/relu", CONV, X (2, 2, 7, 6), 3, 3, 2, 1,.relu = TRUE},
  {"conv/add", CONV, X (2, 3, 4, 4), 3, 3, 1, 1,.bias = TRUE,.add = TRUE},
  {"conv/add-relu", CONV, X (3, 4, 5, 5), 3, 1, 2, 0,.bias = TRUE,.add = TRUE,.relu = TRUE},
  {"conv-norm", CONV, X (3, 2, 5, 4), 3, 3, 1, 1,.norm = TRUE},
  {"conv-norm/dead-bias", CONV, X (3, 2, 5, 4), 3, 1, 1, 0,.norm = TRUE,.bias = TRUE},
  {"conv-norm/relu", CONV, X (2, 1, 9, 9), 3, 7, 2, 3,.norm = TRUE,.bias = TRUE,.relu = TRUE},
  {"conv-norm/add", CONV, X (2, 3, 4, 4), 3, 3, 1, 1,.norm = TRUE,.add = TRUE},
  {"conv-norm/add-relu", CONV, X (3, 3, 5, 5), 4, 3, 2, 1,.norm = TRUE,.bias = TRUE,.add = TRUE,
      .relu = TRUE},
  {"conv/pool", CONV, X (2, 2, 7, 6), 3, 3, 1, 1,.bias = TRUE,.pool = TRUE},
  {"conv/add-relu-pool", CONV, X (2, 3, 6, 5), 3, 3, 1, 1,.bias = TRUE,.add = TRUE,.relu = TRUE,
      .pool = TRUE},
  {"conv-norm/pool", CONV, X (2, 2, 7, 6), 3, 3, 1, 1,.norm = TRUE,.pool = TRUE},
  {"conv-norm/relu-pool", CONV, X (2, 1, 9, 9), 3, 3, 1, 1,.norm = TRUE,.bias = TRUE,.relu = TRUE,
      .pool = TRUE},
  {"max-pool", MAX_POOL, X (2, 3, 7, 6), 0, 3, 2, 1},
  {"global-pool", GLOBAL_POOL, X (3, 4, 3, 5)},
  {"linear", LINEAR, X (3, 6), 4,.bias = TRUE},
  {"linear/no-bias", LINEAR, X (1, 5), 3},
  {"add", ADD, X (2, 3, 4, 5)},
  {"loss", LOSS, X (4, 5)},
  {"loss/label-smoothing", LOSS, X (7, 4),.label_smoothing = 0.1},
  /* channels in blocks, sizes of real stages */
  {"large/conv", CONV, X (2, 16, 13, 12), 32, 3, 1, 1,.bias = TRUE,.relu = TRUE,.large = TRUE},
  {"large/conv-norm", CONV, X (3, 32, 14, 14), 64, 3, 2, 1,.norm = TRUE,.bias = TRUE,.add = TRUE,
      .relu = TRUE,.large = TRUE},
  {"large/shortcut", CONV, X (4, 64, 8, 8), 128, 1, 2, 0,.bias = TRUE,.large = TRUE},
  {"large/stem", CONV, X (4, 1, 28, 28), 64, 7, 2, 3,.norm = TRUE,.bias = TRUE,.relu = TRUE,
      .large = TRUE},
  {"large/stem-pool", CONV, X (4, 1, 28, 28), 64, 7, 2, 3,.norm = TRUE,.bias = TRUE,.relu = TRUE,
      .pool = TRUE,.large = TRUE},
  {"large/max-pool", MAX_POOL, X (3, 64, 14, 14), 0, 3, 2, 1,.large = TRUE},
  {"large/global-pool", GLOBAL_POOL, X (5, 64, 3, 3),.large = TRUE},
  {"large/linear", LINEAR, X (33, 512), 10,.bias = TRUE,.large = TRUE},
  {"large/add", ADD, X (3, 64, 7, 7),.large = TRUE},
};

static void
open_case (TestModel * m, const gchar * device, const Case * c)
{
  GradUnit *unit = c->kind == CONV ? grad_conv_unit_new ("conv", c->norm ? "bn" : NULL,
      c->channels, c->kernel, c->stride, c->padding, c->bias, c->add, c->relu)
      : c->kind == MAX_POOL ? grad_max_pool_unit_new (c->kernel, c->stride, c->padding)
      : c->kind == GLOBAL_POOL ? grad_global_pool_unit_new ()
      : c->kind == LINEAR ? grad_linear_unit_new ("fc", c->channels, c->bias)
      : c->kind == ADD ? grad_add_unit_new () : grad_loss_unit_new (c->label_smoothing);
  GradShape shapes[2] = { c->input, c->input };

  if (c->pool)
    grad_conv_unit_set_pool (unit, 3, 2, 1);
  if (c->add)
    shapes[1] = GRAD_SHAPE (c->input.dims[0], c->channels,
        (c->input.dims[2] + 2 * c->padding - c->kernel) / c->stride + 1,
        (c->input.dims[3] + 2 * c->padding - c->kernel) / c->stride + 1);
  test_model_init (m, test_device (device), unit, NULL, c->add || c->kind == ADD ? 2 : 1,
      shapes, 7);
}

static void
test_differences (gconstpointer data)
{
  TestModel m;
  g_autoptr (GPtrArray) live = NULL;
  GradParameter *bias;

  open_case (&m, "ref", data);
  test_model_backward (&m, FALSE, FALSE);
  test_model_commit (&m);
  for (guint i = 0; i < m.n_inputs; i++)
    test_assert_gradient (test_model_input_gradient (&m, i), m.inputs[i], m.output, m.d_output,
        test_model_forward, &m, 1e-6, 1e-7);
  live = test_live_parameters (m.network);
  for (guint i = 0; i < live->len; i++) {
    GradParameter *p = live->pdata[i];

    test_assert_gradient (p->grad, p->value, m.output, m.d_output, test_model_forward, &m, 1e-6,
        1e-7);
  }

  bias = grad_parameter_store_find (grad_network_get_store (m.network), "conv.bias");
  if (bias != NULL && bias->dead) {     /* moves nothing */
    g_autoptr (GradTensor) before = NULL;

    test_model_forward (&m);
    before = test_duplicate (m.output);
    ((gdouble *) grad_tensor_data (bias->value))[0] += 1;
    test_model_forward (&m);
    test_assert_same (m.output, before);
    g_assert_null (bias->grad);
  }
  test_model_clear (&m);
}

/* Outputs and gradients are those of the reference. */
static void
assert_close (TestModel * m, TestModel * ref, gdouble factor)
{
  g_autoptr (GPtrArray) live = test_live_parameters (m->network);
  g_autoptr (GPtrArray) expected = test_live_parameters (ref->network);

  g_assert_cmpuint (live->len, ==, expected->len);
  test_assert_close (m->output, ref->output, 2e-6);
  for (guint i = 0; i < m->n_inputs; i++)
    test_assert_close (test_model_input_gradient (m, i), test_model_input_gradient (ref, i), 5e-6);
  for (guint i = 0; i < live->len; i++) {
    GradTensor *grad = ((GradParameter *) expected->pdata[i])->grad;
    g_autoptr (GradTensor) scaled = test_duplicate (grad);

    for (gsize k = 0; k < grad_shape_n_elements (&grad->shape); k++)
      ((gdouble *) grad_tensor_data (scaled))[k] *= factor;
    test_assert_close (((GradParameter *) live->pdata[i])->grad, scaled, 5e-6);
  }
}

static void
test_against_ref (gconstpointer data)
{
  TestModel ref;

  open_case (&ref, "ref", data);
  test_model_backward (&ref, FALSE, FALSE);
  test_model_commit (&ref);
  for (const gchar * const *device = test_devices () + 1; *device; device++) {
    TestModel m;

    open_case (&m, *device, data);
    test_model_backward (&m, FALSE, FALSE);     /* may compute in place */
    assert_close (&m, &ref, 1);
    test_model_commit (&m);
    test_model_backward (&m, TRUE, FALSE);      /* may not; = */
    assert_close (&m, &ref, 1);
    test_model_commit (&m);
    test_model_backward (&m, FALSE, TRUE);      /* += */
    assert_close (&m, &ref, 2);
    test_model_commit (&m);
    test_model_clear (&m);
  }
  test_model_clear (&ref);
}

static void
test_evaluation (gconstpointer data)
{
  TestModel ref;

  open_case (&ref, "ref", data);
  test_model_evaluate (&ref);
  for (const gchar * const *device = test_devices () + 1; *device; device++) {
    TestModel m;

    open_case (&m, *device, data);
    test_model_evaluate (&m);
    test_assert_close (m.output, ref.output, 2e-6);
    test_model_clear (&m);
  }
  test_model_clear (&ref);
}

static void
assert_untouched (TestModel * m)
{
  GradParameterStore *store = grad_network_get_store (m->network);

  for (guint i = 0; i < grad_parameter_store_get_n_parameters (store); i++) {
    GradParameter *p = grad_parameter_store_get_parameter (store, i);

    g_assert_null (p->grad);
    g_assert_cmpint (p->count, ==, 0);
  }
}

/* A frozen unit computes as in evaluation, hands the gradient on, and keeps its parameters and statistics. */
static void
test_frozen (gconstpointer data)
{
  const Case *c = data;
  TestModel ref;

  open_case (&ref, "ref", data);
  grad_unit_set_frozen (ref.unit, TRUE);
  test_model_backward (&ref, FALSE, FALSE);
  test_model_commit (&ref);
  assert_untouched (&ref);
  for (guint i = 0; i < ref.n_inputs && !c->large; i++)
    test_assert_gradient (test_model_input_gradient (&ref, i), ref.inputs[i], ref.output,
        ref.d_output, test_model_forward, &ref, 1e-6, 1e-7);
  for (const gchar * const *device = test_devices (); *device; device++) {
    TestModel m;

    open_case (&m, *device, data);
    test_model_evaluate (&m);
    test_assert_close (m.output, ref.output, 2e-6);
    grad_unit_set_frozen (m.unit, TRUE);
    for (guint shared = 0; shared < 2; shared++) {
      test_model_backward (&m, shared, FALSE);
      test_assert_close (m.output, ref.output, 2e-6);
      for (guint i = 0; i < m.n_inputs; i++)
        test_assert_close (test_model_input_gradient (&m, i), test_model_input_gradient (&ref, i),
            5e-6);
      test_model_commit (&m);
      assert_untouched (&m);
    }
    test_model_clear (&m);
  }
  test_model_clear (&ref);
}

/* Two inputs, of which one wants no gradient. */
static void
test_not_wanted (void)
{
  GradShape shapes[2] = { GRAD_SHAPE (2, 3, 4, 4), GRAD_SHAPE (2, 3, 4, 4) };

  for (const gchar * const *device = test_devices (); *device; device++)
    for (guint unwanted = 0; unwanted < 2; unwanted++) {
      TestModel full, part;

      test_model_init (&full, test_device (*device),
          grad_conv_unit_new ("conv", "bn", 3, 3, 1, 1, FALSE, TRUE, TRUE), NULL, 2, shapes, 3);
      test_model_init (&part, test_device (*device),
          grad_conv_unit_new ("conv", "bn", 3, 3, 1, 1, FALSE, TRUE, TRUE), NULL, 2, shapes, 3);
      part.unwanted[unwanted] = TRUE;
      test_model_backward (&full, FALSE, FALSE);
      test_model_backward (&part, FALSE, FALSE);
      g_assert_null (test_model_input_gradient (&part, unwanted));
      test_assert_same (test_model_input_gradient (&part, !unwanted),
          test_model_input_gradient (&full, !unwanted));
      test_assert_same (grad_parameter_store_find (grad_network_get_store (part.network),
              "conv.weight")->grad, grad_parameter_store_find (grad_network_get_store
              (full.network), "conv.weight")->grad);
      test_model_clear (&full);
      test_model_clear (&part);
    }
}

/* As one unit, norm, ReLU and pooling give what they give as two, and the cpu device keeps neither what is pooled
 * nor its gradient. */
static void
test_pool_memory (void)
{
  GradShape shape = GRAD_SHAPE (4, 1, 96, 96);
  gsize full = 4 * 64 * 48 * 48 * sizeof (gfloat);

  for (const gchar * const *device = test_devices (); *device; device++) {
    GradGraph *separate = grad_graph_new (), *fused = grad_graph_new ();
    guint64 bytes[2];
    TestModel two, one;

    grad_graph_add (separate, grad_max_pool_unit_new (3, 2, 1),
        grad_graph_add_stem (separate, GRAD_GRAPH_INPUT, "", 64, 7, 2, TRUE, FALSE));
    grad_graph_add_stem (fused, GRAD_GRAPH_INPUT, "", 64, 7, 2, TRUE, TRUE);
    test_model_init (&two, test_device (*device), NULL, separate, 1, &shape, 7);
    test_model_init (&one, test_device (*device), NULL, fused, 1, &shape, 7);
    test_model_backward (&two, FALSE, FALSE);
    test_model_backward (&one, FALSE, FALSE);
    test_assert_close (one.output, two.output, 2e-6);
    test_assert_close (test_model_input_gradient (&one, 0), test_model_input_gradient (&two, 0),
        5e-6);
    bytes[0] = grad_device_get_bytes_allocated (two.device);
    bytes[1] = grad_device_get_bytes_allocated (one.device);
    g_test_message ("%s: %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT " in one", *device,
        bytes[0], bytes[1]);
    if (g_str_equal (*device, "cpu"))
      g_assert_cmpuint (bytes[1] + 2 * full, <=, bytes[0]);
    test_model_clear (&two);
    test_model_clear (&one);
  }
}

/* Elements in several threads that share their parameters: the first to have one names it. */
static gpointer
prepare_many (gpointer data)
{
  GradParameterStore *store = data;
  g_autoptr (GradDevice) device = test_device ("ref");
  g_autoptr (GstElement) owner = gst_object_ref_sink (gst_bin_new ("layer"));
  GradShape in = GRAD_SHAPE (1, 3), out;

  for (guint i = 0; i < 300; i++) {
    g_autofree gchar *name = g_strdup_printf ("fc%u", i);
    g_autoptr (GradUnit) unit = grad_linear_unit_new (name, 2, TRUE);

    grad_unit_set_owner (unit, owner);
    g_assert_true (grad_unit_prepare (unit, device, store, &in, 1, &out, NULL));
    g_assert_cmpstr (grad_unit_get_parameter (unit, 0)->layer, ==, "layer");
  }
  return NULL;
}

static void
test_shared (void)
{
  g_autoptr (GradParameterStore) store = grad_parameter_store_new ();
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new (NULL, prepare_many, store);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (grad_parameter_store_get_n_parameters (store), ==, 600);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const Case *c = &cases[i];
    g_autofree gchar *differences = g_strconcat ("/gradunits/differences/", c->name, NULL);
    g_autofree gchar *against_ref = g_strconcat ("/gradunits/against-ref/", c->name, NULL);
    g_autofree gchar *frozen = g_strconcat ("/gradunits/frozen/", c->name, NULL);
    g_autofree gchar *evaluation = g_strconcat ("/gradunits/evaluation/", c->name, NULL);

    if (!c->large)
      g_test_add_data_func (differences, c, test_differences);
    g_test_add_data_func (against_ref, c, test_against_ref);
    g_test_add_data_func (evaluation, c, test_evaluation);
    if (c->kind != LOSS)
      g_test_add_data_func (frozen, c, test_frozen);
  }
  g_test_add_func ("/gradunits/not-wanted", test_not_wanted);
  g_test_add_func ("/gradunits/pool-memory", test_pool_memory);
  g_test_add_func ("/gradunits/shared", test_shared);
  return g_test_run ();
}
