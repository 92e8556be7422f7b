/* GradStreamer: the backward pass over the tape
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradbackward-private.h"
#include "gradunit-private.h"

/* Appends to order every node that node depends on, then node itself: depth first, over inputs
 * in pad order, so that the order of gradient sums, and with it every bit, is the same in every
 * run. Marks each with the length of the order so far. */
static void
visit (GradNode * root, GPtrArray * order)
{
  typedef struct
  {
    GradNode *node;
    guint next;
  } Frame;
  g_autoptr (GArray) stack = g_array_new (FALSE, FALSE, sizeof (Frame));

  root->mark = G_MAXUINT;
  g_array_append_val (stack, ((Frame) { root, 0 }));
  while (stack->len > 0) {
    Frame *top = &g_array_index (stack, Frame, stack->len - 1);

    if (top->next == top->node->n_inputs) {
      g_ptr_array_add (order, grad_node_ref (top->node));
      top->node->mark = order->len;
      g_array_set_size (stack, stack->len - 1);
    } else {
      GradNode *input = top->node->inputs[top->next++];

      if (input != NULL && input->wanted && !input->mark) {
        input->mark = G_MAXUINT;
        g_array_append_val (stack, ((Frame) { input, 0 }));
      }
    }
  }
}

/* One node's turn */
typedef struct
{
  GradNetwork *network;
  GradNode *node;
} Turn;

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

/* Whether the unit is to add to the gradients of its parameters: when this step has some from
 * before, from another micro-batch or from another unit with the same parameters. Those that it
 * has not start at zero. */
static gboolean
begin_gradients (GradNetwork * network, GradUnit * unit, gboolean frozen, gboolean * accumulate,
    GError ** error)
{
  GradDevice *device = grad_unit_get_device (unit);
  guint n = grad_unit_get_n_parameters (unit);

  *accumulate = FALSE;
  if (frozen)
    return TRUE;
  for (guint i = 0; i < n; i++)
    *accumulate |= g_hash_table_contains (network->graded, grad_unit_get_parameter (unit, i));
  for (guint i = 0; i < n; i++) {
    GradParameter *p = grad_unit_get_parameter (unit, i);

    if (grad_parameter_has_gradient (p) && g_hash_table_add (network->graded, p) && *accumulate
        && (!grad_unit_ensure_grad (unit, p, error)
            || !grad_device_kernels (device)->elementwise->zero (device, p->grad, error)))
      return FALSE;
  }
  return TRUE;
}

/* One unit: its gradients, handed on to its inputs. */
static gboolean
backward_job (gpointer data, GError ** error)
{
  Turn *turn = data;
  GradNode *node = turn->node;
  GradDevice *device = grad_unit_get_device (node->unit);
  GradTensor *dx[GRAD_UNIT_MAX_INPUTS] = { NULL };
  gboolean wanted[GRAD_UNIT_MAX_INPUTS] = { FALSE }, accumulate, ok;
  g_autoptr (GradTensor) dy = g_steal_pointer (&node->grad);
  GradJob job;

  for (guint i = 0; i < node->n_inputs; i++)
    wanted[i] = node->inputs[i] != NULL && node->inputs[i]->wanted;
  grad_unit_use_values (node->unit, TRUE);
  grad_job_begin_backward (&job, node, dy, wanted[0]);
  ok = begin_gradients (turn->network, node->unit, node->frozen, &accumulate, error)
      && GRAD_UNIT_GET_CLASS (node->unit)->backward (node->unit, node, dy, dx, wanted,
      accumulate, error);
  for (guint i = 0; dy != NULL && i < node->n_inputs; i++)
    grad_job_add (&job, dx[i], 1);
  g_clear_pointer (&dy, grad_tensor_unref);     /* so that dx may be the only holder */
  for (guint i = 0; i < node->n_inputs; i++) {
    if (ok && dx[i] != NULL)
      ok = add_gradient (device, node->inputs[i], dx[i], error);
    g_clear_pointer (&dx[i], grad_tensor_unref);
  }
  return ok && grad_job_end (&job, error);
}

static gpointer
ref_node (gconstpointer node, gpointer unused)
{
  return grad_node_ref ((GradNode *) node);
}

/* Counts how often each parameter is used, to know when its gradient is final. */
static GHashTable *
count_uses (GPtrArray * order)
{
  GHashTable *uses = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < order->len; i++) {
    GradUnit *unit = ((GradNode *) order->pdata[i])->unit;

    for (guint k = 0; k < grad_unit_get_n_parameters (unit); k++) {
      GradParameter *p = grad_unit_get_parameter (unit, k);

      g_hash_table_insert (uses, p,
          GUINT_TO_POINTER (GPOINTER_TO_UINT (g_hash_table_lookup (uses, p)) + 1));
    }
  }
  return uses;
}

/* The unit has had its turn: announces the parameters that no other one is still to work on. */
static gboolean
announce (GradNetwork * network, GradUnit * unit, GHashTable * uses, GError ** error)
{
  gboolean heard = network->bus && grad_bus_is_heard (network->bus);

  if (heard && !grad_device_settle (grad_unit_get_device (unit), error))
    return FALSE;
  for (guint i = 0; i < grad_unit_get_n_parameters (unit); i++) {
    GradParameter *p = grad_unit_get_parameter (unit, i);
    guint left = GPOINTER_TO_UINT (g_hash_table_lookup (uses, p)) - 1;

    g_hash_table_insert (uses, p, GUINT_TO_POINTER (left));
    if (left == 0 && heard && g_hash_table_contains (network->graded, p))
      grad_bus_announce (network->bus, network, p);
  }
  return TRUE;
}

static gboolean
take_turn (const GradBackward * b, guint i, GError ** error)
{
  Turn turn = { b->network, b->order->pdata[i] };
  GradNode *node = turn.node;

  if (b->interrupted != NULL && b->interrupted (b->data)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_ABORTED, "the step was interrupted");
    return FALSE;
  }
  /* else nothing downstream of it wanted a gradient */
  if (node->wanted && (i == b->order->len - 1 || node->grad != NULL)
      && !grad_device_call (grad_unit_get_device (node->unit), FALSE, backward_job, &turn, error))
    return FALSE;
  if (b->last && !announce (b->network, node->unit, b->uses, error))
    return FALSE;
  grad_node_forget (node);
  return TRUE;
}

gboolean
grad_backward_walk (const GradBackward * b, guint n, guint first, GError ** error)
{
  GradNode *root = b->order->pdata[b->order->len - 1];
  gboolean ok = TRUE;

  for (guint i = n; i-- > first && ok;)
    ok = take_turn (b, i, error);
  return grad_device_settle (grad_unit_get_device (root->unit), ok ? error : NULL) && ok;
}

/**
 * grad_network_backward: (skip)
 * @network: a network
 * @root: where the gradient starts: the loss's node
 * @accumulate: whether parameter gradients are added to those of the last backward
 * @last: whether they are final with it
 * @interrupted: (nullable): asked between two units, or once before all that is repeated; stops when it is %TRUE
 * @data: for @interrupted
 * @error: location of a #GError
 *
 * Walks the tape from @root in reverse, sums the gradients where a value was used several times,
 * and leaves the parameters' gradients in the store. Each one is announced on the bus as soon as it
 * is final. Nodes let go of what they saved right after their turn.
 *
 * Returns: %FALSE with %GRAD_ERROR_UNSUPPORTED when the batch has been applied already, %GRAD_ERROR_ABORTED, or the device's error; then nothing is to be updated
 */
gboolean
grad_network_backward (GradNetwork * network, GradNode * root, gboolean accumulate,
    gboolean last, GradInterruptFunc interrupted, gpointer data, GError ** error)
{
  g_autoptr (GPtrArray) order = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_node_unref);
  g_autoptr (GHashTable) uses = NULL;
  GradBackward b = { network, order, NULL, last, interrupted, data };
  guint n;
  gboolean ok;

  if (!grad_network_is_open (network, root)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "this batch has been trained with already: a network has "
        "one gradloss, and one way from there to its optimizer");
    return FALSE;
  }
  visit (root, order);
  n = order->len;
  b.uses = uses = count_uses (order);
  if (!accumulate)
    grad_network_discard (network);
  ok = grad_backward_walk (&b, n, n - 1, error)
      && (grad_backward_repeat (&b) || grad_backward_walk (&b, n - 1, 0, error));
  for (guint i = 0; i < n; i++)
    ((GradNode *) order->pdata[i])->mark = 0;
  if (ok) {
    g_ptr_array_extend (network->tape, order, ref_node, NULL);
    network->n_batches++;
  } else
    grad_network_discard (network);
  return ok;
}
