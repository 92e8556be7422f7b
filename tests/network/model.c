/* GradStreamer tests: the book's network, narrow, with made weights, trained on made pictures
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model.h"

#include <math.h>

#define N_BATCHES 4

static const gint batch_sizes[N_BATCHES] = { 6, 6, 6, 4 };

/* The book's network, narrow. */
static void
build (GradGraph * g, const gint channels[4])
{
  guint x = grad_graph_add_stem (g, GRAD_GRAPH_INPUT, "", channels[0], 7, 2, TRUE, TRUE);

  for (gint i = 0; i < 4; i++)
    for (gint k = 0; k < 2; k++) {
      g_autofree gchar *prefix = g_strdup_printf ("layer%d.%d", i + 1, k);
      gboolean halve = i > 0 && k == 0;

      x = grad_graph_add_residual (g, x, prefix, channels[i], halve ? 2 : 1, halve,
          GRAD_BLOCK_BASIC, GRAD_SHORTCUT_CONV, TRUE);
    }
  x = grad_graph_add (g, grad_global_pool_unit_new (), x);
  grad_graph_add (g, grad_linear_unit_new ("fc", 10, TRUE), x);
}

GPtrArray *
model_list_trainable (Model * m)
{
  GPtrArray *list = g_ptr_array_new ();

  for (guint i = 0; i < grad_parameter_store_get_n_parameters (m->network->store); i++) {
    GradParameter *p = grad_parameter_store_get_parameter (m->network->store, i);

    if (p->kind == GRAD_PARAMETER_TRAINABLE)
      g_ptr_array_add (list, p);
  }
  return list;
}

static void
fill (GradTensor * tensor, guint64 seed, gfloat low, gfloat high)
{
  g_autoptr (GradTensor) values = test_random_parameter (tensor->device, tensor->shape, seed, low,
      high);
  g_autofree gfloat *dense = test_download (values);

  g_assert_true (grad_tensor_upload (tensor, dense, tensor->memory.maxsize, NULL));
}

void
model_prepare (Model * m, const gchar * device, const gint channels[4], GradShape input)
{
  GradShape logits, out;
  g_autoptr (GError) error = NULL;

  *m = (Model) {.size = input.dims[2] };
  m->device = test_device (device);
  m->network = grad_network_new ("test");
  m->graph = grad_graph_new ();
  m->loss = grad_loss_unit_new (0);
  g_assert_true (grad_network_register_optimizer (m->network, m, NULL));
  build (m->graph, channels);
  grad_graph_prepare (m->graph, m->device, m->network->store, &input, &logits, &error);
  g_assert_no_error (error);
  grad_unit_prepare (m->loss, m->device, m->network->store, &logits, 1, &out, &error);
  g_assert_no_error (error);
}

void
model_init (Model * m, const gchar * device, const gint channels[4], gint size)
{
  g_autoptr (GPtrArray) list = NULL;

  model_prepare (m, device, channels, GRAD_SHAPE (batch_sizes[0], 1, size, size));
  for (guint i = 0; i < N_PROJECTIONS; i++)
    m->projections[i] = test_random_parameter (m->device, GRAD_SHAPE (MAX_VALUES), 300 + i, -1, 1);

  list = model_list_trainable (m);
  for (guint i = 0; i < list->len; i++) {
    GradParameter *p = list->pdata[i];
    gsize fan_in = grad_shape_n_elements (&p->shape) / p->shape.dims[0];
    gfloat bound = 1 / sqrt (fan_in);

    if (g_str_has_suffix (p->name, ".bias"))
      fill (p->value, i, -0.1, 0.1);
    else if (p->shape.rank == 1)
      fill (p->value, i, 0.5, 1.5);
    else
      fill (p->value, i, -bound, bound);
  }
}

void
model_clear (Model * m)
{
  for (guint i = 0; i < N_PROJECTIONS; i++)
    g_clear_pointer (&m->projections[i], grad_tensor_unref);
  g_object_unref (m->loss);
  g_object_unref (m->graph);
  g_object_unref (m->network);
  g_object_unref (m->device);
}

gdouble
model_compute (Model * m, GradTensor * x, const gint * labels, GradNode ** root)
{
  static const gboolean never = FALSE;
  gint n = x->shape.dims[0];
  GradValue input = { x, NULL }, logits, output;
  g_autoptr (GError) error = NULL;
  GradStep *step = NULL;
  gdouble loss;
  guint correct;

  grad_loss_unit_set_labels (m->loss, labels, n);
  if (root != NULL)
    g_assert_true (grad_network_enter (m->network, GRAD_PHASE_TRAIN, 1, ++m->sequence, &never,
            &step));
  grad_graph_forward (m->graph, step, FALSE, &input, &logits, &error);
  g_assert_no_error (error);
  grad_unit_forward (m->loss, step, FALSE, &logits, 1, &output, &error);
  g_assert_no_error (error);
  grad_loss_result_read (grad_loss_unit_get_result (m->loss), &loss, &correct);
  if (root != NULL)
    *root = g_steal_pointer (&output.node);
  grad_value_clear (&logits);
  grad_value_clear (&output);
  g_clear_pointer (&step, grad_step_unref);
  return loss / n;
}

void
model_update (Model * m, GradNode * root, gdouble learning_rate)
{
  GradAdamOptions options = GRAD_ADAM_DEFAULTS;
  g_autoptr (GError) error = NULL;

  options.learning_rate = learning_rate;
  if (!grad_network_backward (m->network, root, FALSE, TRUE, NULL, NULL, &error)
      || !grad_network_measure (m->network, NULL, 0, &error)
      || !grad_network_update_adam (m->network, &options, &error)
      || !grad_network_commit (m->network, &error))
    g_assert_no_error (error);
}

gdouble
model_forward (Model * m, guint number, GradNode ** root)
{
  guint b = number % N_BATCHES;
  gint n = batch_sizes[b], labels[8];
  g_autoptr (GradTensor) x = test_random (m->device, GRAD_SHAPE (n, 1, m->size, m->size),
      1000 + b, 0, 1);

  for (gint i = 0; i < n; i++)
    labels[i] = (7 * i + 3 * b) % 10;
  return model_compute (m, x, labels, root);
}

gdouble
model_train (Model * m, guint number, gdouble learning_rate)
{
  g_autoptr (GradNode) root = NULL;
  gdouble loss = model_forward (m, number, &root);

  model_update (m, root, learning_rate);
  return loss;
}
