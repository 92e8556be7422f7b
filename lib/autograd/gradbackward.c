/* GradStreamer: the backward pass over the tape, and the update
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradnetwork-private.h"
#include "gradunit-private.h"

/* Appends to order every node that node depends on, then node itself: depth first, over inputs in pad order, so
 * that the order of gradient sums, and with it every bit, is the same in every run. */
static void
visit (GradNode * root, GPtrArray * order)
{
  typedef struct
  {
    GradNode *node;
    guint next;
  } Frame;
  g_autoptr (GArray) stack = g_array_new (FALSE, FALSE, sizeof (Frame));

  root->mark = TRUE;
  g_array_append_val (stack, ((Frame) { root, 0 }));
  while (stack->len > 0) {
    Frame *top = &g_array_index (stack, Frame, stack->len - 1);

    if (top->next == top->node->n_inputs) {
      g_ptr_array_add (order, grad_node_ref (top->node));
      g_array_set_size (stack, stack->len - 1);
    } else {
      GradNode *input = top->node->inputs[top->next++];

      if (input != NULL && !input->mark) {
        input->mark = TRUE;
        g_array_append_val (stack, ((Frame) { input, 0 }));
      }
    }
  }
}

typedef struct
{
  GradNode *node;
  gboolean accumulate;
} Backward;

static gboolean
add_gradient (GradDevice * device, GradNode * node, GradTensor * grad, GError ** error)
{
  const GradElementwiseOps *ops = grad_device_kernels (device)->elementwise;
  g_autoptr (GradTensor) sum = NULL;

  if (node->grad == NULL) {
    node->grad = grad_tensor_ref (grad);
    return TRUE;
  }
  if (grad_tensor_is_exclusive (node->grad))
    return ops->add (device, node->grad, grad, node->grad, error);
  sum = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, grad_tensor_get_shape (grad), error);
  if (sum == NULL || !ops->add (device, node->grad, grad, sum, error))
    return FALSE;
  grad_tensor_unref (node->grad);
  node->grad = g_steal_pointer (&sum);
  return TRUE;
}

/* One unit: its gradients, handed on to its inputs. */
static gboolean
backward_job (gpointer data, GError ** error)
{
  Backward *b = data;
  GradNode *node = b->node;
  GradDevice *device = grad_unit_get_device (node->unit);
  GradTensor *dx[GRAD_UNIT_MAX_INPUTS] = { NULL };
  gboolean wanted[GRAD_UNIT_MAX_INPUTS] = { FALSE }, ok;
  g_autoptr (GradTensor) dy = g_steal_pointer (&node->grad);

  for (guint i = 0; i < node->n_inputs; i++)
    wanted[i] = node->inputs[i] != NULL;
  ok = GRAD_UNIT_GET_CLASS (node->unit)->backward (node->unit, node, dy, dx, wanted,
      b->accumulate, error);
  g_clear_pointer (&dy, grad_tensor_unref);     /* so that dx may be the only holder */
  for (guint i = 0; i < node->n_inputs; i++) {
    if (ok && dx[i] != NULL)
      ok = add_gradient (device, node->inputs[i], dx[i], error);
    g_clear_pointer (&dx[i], grad_tensor_unref);
  }
  return ok;
}

/**
 * grad_network_backward: (skip)
 * @network: a network
 * @root: where the gradient starts: the loss's node
 * @accumulate: whether parameter gradients are added to those of the last backward
 * @interrupted: (nullable): asked between two units; stops when it is %TRUE
 * @data: for @interrupted
 * @error: location of a #GError
 *
 * Walks the tape from @root in reverse, sums the gradients where a value was used several times, and leaves the
 * parameters' gradients in the store. Each one is announced on the bus as soon as it is final. Nodes let
 * go of what they saved right after their turn.
 *
 * Returns: %FALSE with %GRAD_ERROR_ABORTED, or the device's error; then nothing is to be updated
 */
gboolean
grad_network_backward (GradNetwork * network, GradNode * root, gboolean accumulate,
    GradInterruptFunc interrupted, gpointer data, GError ** error)
{
  g_autoptr (GPtrArray) order = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_node_unref);
  gboolean ok = TRUE;

  visit (root, order);
  for (guint i = order->len; i-- > 0 && ok;) {
    Backward b = { order->pdata[i], accumulate };
    GradUnit *unit = b.node->unit;

    if (interrupted != NULL && interrupted (data)) {
      g_set_error (error, GRAD_ERROR, GRAD_ERROR_ABORTED, "the step was interrupted");
      ok = FALSE;
    } else if (b.node != root && b.node->grad == NULL) {
      grad_node_forget (b.node);        /* nothing downstream of it wanted a gradient */
    } else if ((ok = grad_device_call (grad_unit_get_device (unit), FALSE, backward_job, &b,
                error))) {
      for (guint p = 0; network->bus && p < grad_unit_get_n_parameters (unit); p++)
        grad_bus_announce (network->bus, network, grad_unit_get_parameter (unit, p));
      grad_node_forget (b.node);
    }
  }
  for (guint i = 0; i < order->len; i++)
    ((GradNode *) order->pdata[i])->mark = FALSE;
  g_ptr_array_set_size (network->tape, 0);
  if (ok)
    for (guint i = order->len; i-- > 0;)
      g_ptr_array_add (network->tape, grad_node_ref (order->pdata[i]));
  return ok;
}

static gboolean
commit_job (gpointer data, GError ** error)
{
  GradNode *node = data;

  return GRAD_UNIT_GET_CLASS (node->unit)->commit (node->unit, node, error);
}

gboolean
grad_node_commit (GradNode * node, GError ** error)
{
  return GRAD_UNIT_GET_CLASS (node->unit)->commit == NULL
      || grad_device_call (grad_unit_get_device (node->unit), FALSE, commit_job, node, error);
}

typedef struct
{
  GradDevice *device;
  GArray *tensors;              /* GradAdamTensor */
  GradAdamArgs args;
} Update;

static gboolean
update_job (gpointer data, GError ** error)
{
  Update *u = data;

  return grad_device_kernels (u->device)->optim->adam (u->device,
      (GradAdamTensor *) u->tensors->data, u->tensors->len, &u->args, error);
}

/* Both moments of a parameter, zero at the start. */
static gboolean
ensure_moments (GradDevice * device, GradParameter * parameter, GError ** error)
{
  GradTensor **moments[] = { &parameter->m, &parameter->v };

  for (guint i = 0; i < 2; i++) {
    if (*moments[i] != NULL)
      continue;
    *moments[i] = grad_tensor_new_plain (device, GRAD_DTYPE_FLOAT32, &parameter->shape, error);
    if (*moments[i] == NULL
        || !grad_device_kernels (device)->elementwise->zero (device, *moments[i], error))
      return FALSE;
  }
  return TRUE;
}

/**
 * grad_network_update_adam:
 * @network: a network
 * @options: what to update with
 * @error: location of a #GError
 *
 * Updates every parameter that has a gradient with Adam, all in one pass. A parameter whose gradient is zero by
 * construction (a bias in front of a batch norm) stays as it is.
 *
 * Returns: %FALSE with the device's error
 */
gboolean
grad_network_update_adam (GradNetwork * network, const GradAdamOptions * options, GError ** error)
{
  g_autoptr (GArray) tensors = g_array_new (FALSE, FALSE, sizeof (GradAdamTensor));
  Update u = {.tensors = tensors };

  for (guint i = 0; i < grad_parameter_store_get_n_parameters (network->store); i++) {
    GradParameter *p = grad_parameter_store_get_parameter (network->store, i);

    if (p->grad == NULL || p->dead)
      continue;
    u.device = grad_tensor_get_device (p->value);
    if (!ensure_moments (u.device, p, error))
      return FALSE;
    g_array_append_val (tensors, ((GradAdamTensor) {
              .value = p->value,.m = p->m,.v = p->v,.grad = p->grad}));
  }
  u.args = (GradAdamArgs) {
  options->learning_rate, options->beta1, options->beta2, options->epsilon,
        options->weight_decay, network->n_updates + 1};
  if (tensors->len > 0 && !grad_device_call (u.device, FALSE, update_job, &u, error))
    return FALSE;
  network->n_updates++;
  return TRUE;
}
