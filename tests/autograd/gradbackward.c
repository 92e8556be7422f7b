/* Tests of backward, update and commit: what a step changes, an aborted one does not
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testmodel.h"
#include "lib/autograd/gradnetwork-private.h"

#include <math.h>

static const GradAdamOptions adam = GRAD_ADAM_DEFAULTS;

/* stem, identity block, halving block, pool, fc: (4, 1, 9, 9) to (4, 3) */
static void
open_network (TestModel * m, const gchar * device)
{
  GradGraph *g = grad_graph_new ();
  guint x = grad_graph_add_stem (g, GRAD_GRAPH_INPUT, "", 4, 3, 1, TRUE, TRUE);

  x = grad_graph_add_residual (g, x, "a", 4, 1, FALSE, GRAD_BLOCK_BASIC, GRAD_SHORTCUT_CONV, TRUE);
  x = grad_graph_add_residual (g, x, "b", 6, 2, TRUE, GRAD_BLOCK_BASIC, GRAD_SHORTCUT_CONV, TRUE);
  x = grad_graph_add (g, grad_global_pool_unit_new (), x);
  grad_graph_add (g, grad_linear_unit_new ("fc", 3, TRUE), x);
  test_model_init (m, test_device (device), NULL, g, 1, &GRAD_SHAPE (4, 1, 9, 9), 5);
}

/* Everything that training changes: values, moments, counters. */
static GPtrArray *
take_state (GradNetwork * network)
{
  GPtrArray *state = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < grad_parameter_store_get_n_parameters (network->store); i++) {
    GradParameter *p = grad_parameter_store_get_parameter (network->store, i);

    g_ptr_array_add (state, p->value ? test_download (p->value) : NULL);
    g_ptr_array_add (state, p->m ? test_download (p->m) : NULL);
    g_ptr_array_add (state, p->v ? test_download (p->v) : NULL);
    g_ptr_array_add (state, g_memdup2 (&p->count, sizeof p->count));
  }
  return state;
}

static void
assert_state (GradNetwork * network, GPtrArray * expected)
{
  g_autoptr (GPtrArray) state = take_state (network);

  for (guint i = 0; i < state->len; i++) {
    GradParameter *p = grad_parameter_store_get_parameter (network->store, i / 4);
    gsize size = i % 4 == 3 ? sizeof p->count
        : state->pdata[i] ? grad_shape_n_elements (&p->shape) * sizeof (gfloat) : 0;

    g_assert_true ((state->pdata[i] == NULL) == (expected->pdata[i] == NULL));
    g_assert_cmpmem (state->pdata[i], size, expected->pdata[i], size);
  }
}

static gfloat *
values_of (TestModel * m, const gchar * name)
{
  return test_download (grad_parameter_store_find (m->network->store, name)->value);
}

/* Running statistics are PyTorch's, and are taken at commit: momentum 0.1, mean with the bias
 * that is otherwise left out, unbiased variance. Evaluation uses them. */
static void
test_statistics (void)
{
  enum
  { N = 3, C = 4, HW = 5 * 4, COUNT = N * HW };
  GradShape x = GRAD_SHAPE (N, 2, 5, 4);

  for (const gchar * const *device = test_devices (); *device; device++) {
    g_autofree gfloat *z = NULL, *y = NULL, *mean0 = NULL, *var0 = NULL, *mean = NULL, *var = NULL;
    g_autofree gfloat *gamma = NULL, *beta = NULL;
    g_autoptr (GPtrArray) state = NULL;
    GradParameter *count;
    TestModel m, plain;

    test_model_init (&m, test_device (*device), grad_conv_unit_new ("conv", "bn", C, 3, 1, 1,
            TRUE, FALSE, FALSE), NULL, 1, &x, 9);
    test_model_init (&plain, test_device ("ref"), grad_conv_unit_new ("conv", NULL, C, 3, 1, 1,
            TRUE, FALSE, FALSE), NULL, 1, &x, 9);
    test_model_evaluate (&plain);
    z = test_download (plain.output);
    mean0 = values_of (&m, "bn.running_mean");
    var0 = values_of (&m, "bn.running_var");
    gamma = values_of (&m, "bn.weight");
    beta = values_of (&m, "bn.bias");
    count = grad_parameter_store_find (m.network->store, "bn.num_batches_tracked");
    g_assert_cmpint (count->count, ==, 0);

    state = take_state (m.network);
    test_model_forward (&m);
    assert_state (m.network, state);
    test_model_backward (&m, FALSE, FALSE);
    assert_state (m.network, state);
    test_model_commit (&m);
    g_assert_cmpint (count->count, ==, 1);
    mean = values_of (&m, "bn.running_mean");
    var = values_of (&m, "bn.running_var");
    test_model_evaluate (&m);
    y = test_download (m.output);

    for (guint c = 0; c < C; c++) {
      gdouble sum = 0, squares = 0;

      for (guint i = 0; i < COUNT; i++)
        sum += z[(i / HW * C + c) * HW + i % HW];
      for (guint i = 0; i < COUNT; i++)
        squares += pow (z[(i / HW * C + c) * HW + i % HW] - sum / COUNT, 2);
      g_assert_cmpfloat_with_epsilon (mean[c], 0.9 * mean0[c] + 0.1 * sum / COUNT, 1e-6);
      g_assert_cmpfloat_with_epsilon (var[c], 0.9 * var0[c] + 0.1 * squares / (COUNT - 1), 1e-6);
      for (guint i = 0; i < COUNT; i++) {
        guint k = (i / HW * C + c) * HW + i % HW;

        g_assert_cmpfloat_with_epsilon (y[k],
            gamma[c] * (z[k] - mean[c]) / sqrt (var[c] + 1e-5) + beta[c], 1e-5);
      }
    }
    test_model_clear (&m);
    test_model_clear (&plain);
  }
}

typedef struct
{
  TestModel *model;
  GPtrArray *names;
  const gchar *abort_at;
  gint abort;
} Watch;

static void
watch_gradient (GradBus * bus, const gchar * model_name, const gchar * name, GradTensor * gradient,
    Watch * watch)
{
  GradParameterStore *store = watch->model->network->store;

  g_assert_cmpstr (model_name, ==, "test");
  g_assert_true (grad_parameter_store_find (store, name)->grad == gradient);
  if (watch->names->len == 0)   /* earlier layers have not begun */
    g_assert_null (grad_parameter_store_find (store, "b.conv2.weight")->grad);
  g_ptr_array_add (watch->names, g_strdup (name));
  if (g_strcmp0 (name, watch->abort_at) == 0)
    g_atomic_int_set (&watch->abort, TRUE);
}

/* Each live parameter once, in backward order, while backward runs. */
static void
test_announcements (void)
{
  static const gchar *const order[] = { "fc.weight", "fc.bias", "b.conv2.weight", "b.bn2.weight",
    "b.bn2.bias", "b.downsample.0.weight", "b.downsample.0.bias", "b.conv1.weight",
    "b.bn1.weight", "b.bn1.bias", "a.conv2.weight", "a.bn2.weight", "a.bn2.bias",
    "a.conv1.weight", "a.bn1.weight", "a.bn1.bias", "conv1.weight", "bn1.weight", "bn1.bias"
  };
  g_autoptr (GradBus) bus = grad_bus_new ();
  TestModel m;
  Watch watch = { &m, g_ptr_array_new_with_free_func (g_free) };

  open_network (&m, "ref");
  m.network->bus = bus;
  g_signal_connect (bus, "parameter-gradient", G_CALLBACK (watch_gradient), &watch);
  test_model_backward (&m, FALSE, FALSE);
  for (guint i = 0; i < MIN (watch.names->len, G_N_ELEMENTS (order)); i++)
    g_assert_cmpstr (watch.names->pdata[i], ==, order[i]);
  g_assert_cmpuint (watch.names->len, ==, G_N_ELEMENTS (order));
  test_model_commit (&m);
  g_assert_cmpuint (watch.names->len, ==, G_N_ELEMENTS (order));
  g_ptr_array_unref (watch.names);
  m.network->bus = NULL;
  test_model_clear (&m);
}

/* Interrupted anywhere, a step leaves weights, statistics and moments as they were, and is
 * closed. */
static gboolean
is_aborted (gpointer watch)
{
  return g_atomic_int_get (&((Watch *) watch)->abort);
}

static void
test_abort (void)
{
  static const gchar *const places[] = { "", "fc.bias", "b.conv1.weight", "a.bn2.bias", NULL };

  for (const gchar * const *device = test_devices (); *device; device++)
    for (guint i = 0; i < G_N_ELEMENTS (places); i++) {
      g_autoptr (GradBus) bus = grad_bus_new ();
      g_autoptr (GPtrArray) state = NULL;
      g_autoptr (GError) error = NULL;
      TestModel m, straight;
      Watch watch = { &m, g_ptr_array_new_with_free_func (g_free), places[i] };
      GradNode *root;

      open_network (&m, *device);
      open_network (&straight, *device);
      test_model_backward (&m, FALSE, FALSE);
      g_assert_true (grad_network_update_adam (m.network, &adam, NULL));
      test_model_commit (&m);
      state = take_state (m.network);

      root = test_model_record (&m);
      m.network->bus = bus;
      g_ptr_array_add (watch.names, NULL);
      g_signal_connect (bus, "parameter-gradient", G_CALLBACK (watch_gradient), &watch);
      if (places[i] && *places[i] == '\0')
        watch.abort = TRUE;
      if (places[i]) {
        g_assert_false (grad_network_backward (m.network, root, FALSE, TRUE, is_aborted, &watch, &error));
        g_assert_error (error, GRAD_ERROR, GRAD_ERROR_ABORTED);
      }                         /* else it is lost before backward */
      assert_state (m.network, state);
      g_assert_nonnull (m.network->open);
      grad_node_unref (root);
      g_assert_null (m.network->open);
      m.network->bus = NULL;

      /* what was lost is not missed */
      test_model_backward (&m, FALSE, FALSE);
      g_assert_true (grad_network_update_adam (m.network, &adam, NULL));
      test_model_commit (&m);
      for (guint k = 0; k < 2; k++) {
        test_model_backward (&straight, FALSE, FALSE);
        g_assert_true (grad_network_update_adam (straight.network, &adam, NULL));
        test_model_commit (&straight);
      }
      g_clear_pointer (&state, g_ptr_array_unref);
      state = take_state (straight.network);
      assert_state (m.network, state);
      g_ptr_array_unref (watch.names);
      test_model_clear (&m);
      test_model_clear (&straight);
    }
}

/* A parameter that takes no part in a step is not updated by the gradient of an earlier one. */
static void
test_not_in_step (void)
{
  GradShape shape = GRAD_SHAPE (2, 3), out;
  g_autoptr (GradUnit) other = grad_linear_unit_new ("other", 4, TRUE);
  g_autofree gfloat *before = NULL, *after = NULL;
  GradUnit *unit;
  TestModel m;

  test_model_init (&m, test_device ("ref"), grad_linear_unit_new ("fc", 4, TRUE), NULL, 1, &shape,
      1);
  g_assert_true (grad_unit_prepare (other, m.device, m.network->store, &shape, 1, &out, NULL));
  test_model_backward (&m, FALSE, FALSE);
  g_assert_true (grad_network_update_adam (m.network, &adam, NULL));
  test_model_commit (&m);
  before = values_of (&m, "fc.weight");
  unit = m.unit;
  m.unit = other;
  test_model_backward (&m, FALSE, FALSE);
  g_assert_true (grad_network_update_adam (m.network, &adam, NULL));
  test_model_commit (&m);
  m.unit = unit;
  after = values_of (&m, "fc.weight");
  g_assert_cmpmem (before, 12 * sizeof (gfloat), after, 12 * sizeof (gfloat));
  g_assert_cmpuint (grad_network_get_n_updates (m.network), ==, 2);
  test_model_clear (&m);
}

/* A copy of the parameters is one of all of them after the same update. */
static void
test_copy_parameters (void)
{
  static const GradAdamOptions adam = GRAD_ADAM_DEFAULTS;

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradParameterStore) to = grad_parameter_store_new ();
    GradParameterStore *from;
    g_autoptr (GError) error = NULL;
    TestModel model;
    guint64 version = 0;

    test_model_init (&model, test_device (*name),
        grad_conv_unit_new ("conv", "bn", 4, 3, 1, 1, TRUE, FALSE, TRUE), NULL, 1,
        &GRAD_SHAPE (2, 3, 5, 5), 1);
    test_model_evaluate (&model);
    from = grad_network_get_store (model.network);
    for (guint i = 0; i < grad_parameter_store_get_n_parameters (from); i++) {
      GradParameter *p = grad_parameter_store_get_parameter (from, i);

      grad_parameter_store_add (to, model.device, p->name, p->kind, &p->shape, GRAD_INIT_ZEROS, 1,
          &error);
      g_assert_no_error (error);
    }
    for (guint step = 1; step <= 2; step++) {
      g_autoptr (GradTensor) before = NULL;

      before = test_duplicate (grad_parameter_store_find (to, "conv.weight")->value);
      test_model_backward (&model, FALSE, FALSE);
      grad_network_update_adam (model.network, &adam, &error);
      g_assert_no_error (error);
      grad_network_copy_parameters (model.network, to, &version, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (version, ==, step - 1);
      test_assert_same (grad_parameter_store_find (to, "conv.weight")->value, before);

      test_model_commit (&model);
      grad_network_copy_parameters (model.network, to, &version, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (version, ==, step);
      for (guint i = 0; i < grad_parameter_store_get_n_parameters (from); i++) {
        GradParameter *p = grad_parameter_store_get_parameter (from, i);
        GradParameter *copy = grad_parameter_store_find (to, p->name);

        g_assert_cmpint (copy->count, ==, p->count);
        if (p->value != NULL)
          test_assert_same (copy->value, p->value);
      }
      g_assert_cmpint (grad_parameter_store_find (to, "bn.num_batches_tracked")->count, ==, step);
    }
    test_model_clear (&model);
  }
}

/* What does not fit is an error. */
static void
test_copy_other_parameters (void)
{
  static const GradAdamOptions adam = GRAD_ADAM_DEFAULTS;
  g_autoptr (GradParameterStore) to = grad_parameter_store_new ();
  g_autoptr (GError) error = NULL;
  TestModel model;
  guint64 version = 0;

  test_model_init (&model, test_device ("ref"), grad_linear_unit_new ("fc", 3, TRUE), NULL, 1,
      &GRAD_SHAPE (2, 4), 1);
  test_model_backward (&model, FALSE, FALSE);
  g_assert_true (grad_network_update_adam (model.network, &adam, NULL));
  test_model_commit (&model);
  grad_parameter_store_add (to, model.device, "fc.weight", GRAD_PARAMETER_TRAINABLE,
      &GRAD_SHAPE (3, 5), GRAD_INIT_ZEROS, 1, NULL);
  g_assert_false (grad_network_copy_parameters (model.network, to, &version, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
  g_assert_cmpuint (version, ==, 0);
  test_model_clear (&model);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/gradbackward/statistics", test_statistics);
  g_test_add_func ("/gradbackward/announcements", test_announcements);
  g_test_add_func ("/gradbackward/abort", test_abort);
  g_test_add_func ("/gradbackward/not-in-step", test_not_in_step);
  g_test_add_func ("/gradbackward/copy-parameters", test_copy_parameters);
  g_test_add_func ("/gradbackward/copy-other-parameters", test_copy_other_parameters);
  return g_test_run ();
}
