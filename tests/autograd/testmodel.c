/* GradStreamer tests: a unit or graph between inputs and an output whose gradients can be looked at
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testmodel.h"
#include "lib/autograd/gradnetwork-private.h"
#include "lib/autograd/gradunit-private.h"

#include <string.h>

#define TEST_TYPE_LEAF (test_leaf_get_type ())
G_DECLARE_FINAL_TYPE (TestLeaf, test_leaf, TEST, LEAF, GradUnit)

struct _TestLeaf
{
  GradUnit parent;
  GradTensor *gradient;
};

G_DEFINE_FINAL_TYPE (TestLeaf, test_leaf, GRAD_TYPE_UNIT);

static gboolean
test_leaf_infer_shape (GradUnit * unit, const GradShape * in, GradShape * out, GError ** error)
{
  *out = *in;
  return TRUE;
}

static gboolean
test_leaf_forward (GradUnit * unit, gpointer plan, GradTensor ** in, GradTensor * y,
    GradNode * node, GError ** error)
{
  return TRUE;
}

static gboolean
test_leaf_backward (GradUnit * unit, GradNode * node, GradTensor * dy, GradTensor ** dx,
    const gboolean * wanted, gboolean accumulate, GError ** error)
{
  TestLeaf *self = TEST_LEAF (unit);

  g_clear_pointer (&self->gradient, grad_tensor_unref);
  self->gradient = grad_tensor_ref (dy);
  return TRUE;
}

static void
test_leaf_finalize (GObject * object)
{
  g_clear_pointer (&TEST_LEAF (object)->gradient, grad_tensor_unref);
  G_OBJECT_CLASS (test_leaf_parent_class)->finalize (object);
}

static void
test_leaf_class_init (TestLeafClass * klass)
{
  GradUnitClass *unit_class = GRAD_UNIT_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = test_leaf_finalize;
  unit_class->passthrough = TRUE;
  unit_class->infer_shape = test_leaf_infer_shape;
  unit_class->forward = test_leaf_forward;
  unit_class->backward = test_leaf_backward;
}

static void
test_leaf_init (TestLeaf * self)
{
}

GradUnit *
test_leaf_new (void)
{
  return g_object_new (TEST_TYPE_LEAF, NULL);
}

GradTensor *
test_leaf_get_gradient (GradUnit * leaf)
{
  return TEST_LEAF (leaf)->gradient;
}

void
test_copy (GradTensor * to, GradTensor * from)
{
  gsize n = grad_shape_n_elements (&from->shape);
  g_autofree gfloat *values = NULL;

  if (g_str_equal (grad_device_get_name (from->device), "ref")) {       /* keep the doubles */
    memcpy (grad_tensor_data (to), grad_tensor_data (from), n * sizeof (gdouble));
    return;
  }
  values = test_download (from);
  g_assert_true (grad_tensor_upload (to, values, n * sizeof (gfloat), NULL));
}

GradTensor *
test_duplicate (GradTensor * tensor)
{
  GradTensor *copy = grad_tensor_new_full (tensor->device, GRAD_DTYPE_FLOAT32, &tensor->shape,
      tensor->layout, NULL);

  test_copy (copy, tensor);
  return copy;
}

void
test_assert_same (GradTensor * a, GradTensor * b)
{
  gsize n = grad_shape_n_elements (&a->shape);
  g_autofree gfloat *x = test_download (a), *y = test_download (b);

  g_assert_true (grad_shape_equal (&a->shape, &b->shape));
  g_assert_cmpmem (x, n * sizeof (gfloat), y, n * sizeof (gfloat));
}

GPtrArray *
test_live_parameters (GradNetwork * network)
{
  GPtrArray *live = g_ptr_array_new ();

  for (guint i = 0; i < grad_parameter_store_get_n_parameters (network->store); i++) {
    GradParameter *p = grad_parameter_store_get_parameter (network->store, i);

    if (p->kind == GRAD_PARAMETER_TRAINABLE && !p->dead)
      g_ptr_array_add (live, p);
  }
  return live;
}

void
test_fill_parameters (GradNetwork * network, guint64 seed)
{
  for (guint i = 0; i < grad_parameter_store_get_n_parameters (network->store); i++) {
    GradParameter *p = grad_parameter_store_get_parameter (network->store, i);
    gboolean positive = g_str_has_suffix (p->name, "running_var");

    if (p->value != NULL) {
      g_autoptr (GradTensor) values = test_random_parameter (grad_tensor_get_device (p->value),
          p->shape, seed + i, positive ? 0.5 : -1, positive ? 1.5 : 1);
      test_copy (p->value, values);
    }
  }
}

static gboolean
is_loss (TestModel * model)
{
  return model->unit && g_str_equal (G_OBJECT_TYPE_NAME (model->unit), "GradLossUnit");
}

void
test_model_init (TestModel * model, GradDevice * device, GradUnit * unit, GradGraph * graph,
    guint n_inputs, const GradShape * shapes, guint64 seed)
{
  static const gint32 labels[] = { 1, 0, 3, 2, 1, 2, 0, 3 };
  g_autoptr (GError) error = NULL;
  GradShape output;

  *model = (TestModel) {.device = device,.unit = unit,.graph = graph,.n_inputs = n_inputs };
  model->network = grad_network_new ("test");
  g_assert_true (grad_network_register_optimizer (model->network, model, NULL));
  for (guint i = 0; i < n_inputs; i++) {
    model->inputs[i] = test_random (model->device, shapes[i], seed + 1000 + i, -1, 1);
    model->leaves[i] = test_leaf_new ();
    grad_unit_prepare (model->leaves[i], model->device, model->network->store, &shapes[i], 1,
        &output, &error);
    g_assert_no_error (error);
  }
  if (unit)
    grad_unit_prepare (unit, model->device, model->network->store, shapes, n_inputs, &output,
        &error);
  else
    grad_graph_prepare (graph, model->device, model->network->store, shapes, &output, &error);
  g_assert_no_error (error);
  test_fill_parameters (model->network, seed);

  if (is_loss (model)) {
    grad_loss_unit_set_labels (unit, labels, shapes[0].dims[0]);
    model->output = test_new_parameter (model->device, GRAD_SHAPE (1));
    model->d_output = test_random_parameter (model->device, GRAD_SHAPE (1), 0, 1, 1);
  } else {
    model->output = test_new (model->device, output);
    model->d_output = test_random (model->device, output, seed + 2000, -1, 1);
  }
}

void
test_model_clear (TestModel * model)
{
  grad_network_discard (model->network);        /* a tape that was not committed holds the network */
  g_clear_object (&model->network);
  g_clear_object (&model->unit);
  g_clear_object (&model->graph);
  for (guint i = 0; i < model->n_inputs; i++) {
    g_clear_object (&model->leaves[i]);
    g_clear_pointer (&model->inputs[i], grad_tensor_unref);
  }
  g_clear_pointer (&model->output, grad_tensor_unref);
  g_clear_pointer (&model->d_output, grad_tensor_unref);
  g_clear_object (&model->device);
}

/* Returns the root of the tape, NULL without a step. */
static GradNode *
run (TestModel * model, GradStep * step)
{
  GradValue leaves[2] = { {NULL, NULL}, {NULL, NULL} }, output = { NULL, NULL };
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < model->n_inputs; i++) {
    GradValue input = { model->inputs[i], NULL };

    grad_unit_forward (model->leaves[i], model->unwanted[i] ? NULL : step, FALSE, &input, 1,
        &leaves[i], &error);
    g_assert_no_error (error);
  }
  if (model->unit)
    grad_unit_forward (model->unit, step, FALSE, leaves, model->n_inputs, &output, &error);
  else
    grad_graph_forward (model->graph, step, FALSE, leaves, &output, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < model->n_inputs; i++)
    grad_value_clear (&leaves[i]);

  if (is_loss (model)) {
    gdouble loss;
    gfloat value;
    guint correct;

    grad_loss_result_read (grad_loss_unit_get_result (model->unit), &loss, &correct);
    loss /= model->inputs[0]->shape.dims[0];
    value = loss;
    g_assert_true (grad_tensor_upload (model->output, &value, sizeof value, NULL));
    if (g_str_equal (grad_device_get_name (model->device), "ref"))
      *(gdouble *) grad_tensor_data (model->output) = loss;
  } else
    test_copy (model->output, output.tensor);
  g_clear_pointer (&output.tensor, grad_tensor_unref);
  return output.node;
}

static GradStep *
enter (TestModel * model)
{
  static const gboolean never = FALSE;
  GradStep *step;

  g_assert_true (grad_network_enter (model->network, GRAD_PHASE_TRAIN, 1, ++model->sequence,
          &never, &step));
  g_assert_nonnull (step);
  return step;
}

void
test_model_forward (gpointer data)
{
  GradStep *step = enter (data);

  grad_node_unref (run (data, step));
  grad_step_unref (step);
}

void
test_model_evaluate (TestModel * model)
{
  g_assert_null (run (model, NULL));
}

GradNode *
test_model_record (TestModel * model)
{
  GradStep *step = enter (model);
  GradNode *root = run (model, step);

  grad_step_unref (step);
  if (!is_loss (model))
    root->grad = test_duplicate (model->d_output);
  return root;
}

void
test_model_backward (TestModel * model, gboolean shared, gboolean accumulate)
{
  g_autoptr (GradNode) root = test_model_record (model);
  g_autoptr (GError) error = NULL;

  if (shared && root->grad != NULL) {
    grad_tensor_unref (root->grad);
    root->grad = grad_tensor_ref (model->d_output);
  }
  grad_network_backward (model->network, root, accumulate, TRUE, NULL, NULL, &error);
  g_assert_no_error (error);
}

void
test_model_commit (TestModel * model)
{
  g_autoptr (GError) error = NULL;

  grad_network_commit (model->network, &error);
  g_assert_no_error (error);
}

GradTensor *
test_model_input_gradient (TestModel * model, guint i)
{
  return test_leaf_get_gradient (model->leaves[i]);
}
