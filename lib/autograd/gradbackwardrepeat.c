/* GradStreamer: the backward pass over the tape, recorded and repeated
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * When all that the tape has saved lies where a recording of the forward pass has put it, each step asks for the same but for the gradients
 * that the root has handed on: these are copied to where they were when it was recorded. */
#include "../tensor/gradtensor-private.h"
#include "gradbackward-private.h"
#include "gradjob-private.h"
#include "gradunit-private.h"

#define MAX_RUNS 8              /* that are remembered: batches of two sizes, the first of a step or not, seen and recorded */

/* What is known of a node, by its number */
typedef struct
{
  GradNode *pattern;            /* holds the plan */
  GradTensor *grad;             /* owned; where its gradient is to be; NULL: others in here make it */
  guint kept;                   /* bit i: slot i is still saved in the end */
} Part;

static void
clear_part (gpointer data)
{
  Part *part = data;

  grad_node_unref (part->pattern);
  g_clear_pointer (&part->grad, grad_tensor_unref);
}

static gboolean
add_part (GArray * parts, GradNode * node, GError ** error)
{
  GradTensor *grad = node->grad;
  Part part = { grad_node_new_like (node, NULL, NULL), NULL, 0 };

  if (grad != NULL)
    part.grad = grad_tensor_new_full (grad->device, grad->dtype, &grad->shape, grad->layout, error);
  g_array_append_val (parts, part);
  return grad == NULL || part.grad != NULL;
}

/* The same tape again, to be recorded with */
static GradNode *
copy_node (GradNode * node, const Part * part, GPtrArray * copies)
{
  GradNode *inputs[G_N_ELEMENTS (node->inputs)] = { NULL }, *copy;

  for (guint i = 0; i < node->n_inputs; i++)
    if (node->inputs[i] != NULL && node->inputs[i]->mark != 0)
      inputs[i] = copies->pdata[node->inputs[i]->mark - 1];
  copy = grad_node_new_like (node, node->step, inputs);
  for (guint i = 0; i < GRAD_NODE_MAX_SAVED; i++)
    if (node->saved[i] != NULL)
      grad_node_save (copy, i, node->saved[i]);
  if (part->grad != NULL)
    copy->grad = grad_tensor_ref (part->grad);
  return copy;
}

static gboolean
walk (gpointer backward, GError ** error)
{
  GradBackward *b = backward;

  return grad_backward_walk (b, b->order->len, 0, error);
}

/* Runs once while it is recorded; what comes of it is only the pattern. */
static gboolean
record (GradBackward * b, GradRun * run, GError ** error)
{
  g_autoptr (GPtrArray) copies = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_node_unref);
  GHashTable *graded = b->network->graded;
  GradBackward once = { b->network, copies, NULL, FALSE, NULL, NULL };
  GArray *parts = run->made = g_array_new (FALSE, FALSE, sizeof (Part));
  gboolean ok = TRUE;

  g_array_set_clear_func (parts, clear_part);
  for (guint i = 0; i < b->order->len - 1 && ok; i++) {
    GradNode *node = b->order->pdata[i];

    ok = add_part (parts, node, error);
    grad_unit_hold_parameters (node->unit, run);
    g_ptr_array_add (copies, copy_node (node, &g_array_index (parts, Part, i), copies));
  }
  b->network->graded = g_hash_table_new (NULL, NULL);
  for (GList * l = g_hash_table_get_keys (graded); l != NULL; l = g_list_delete_link (l, l))
    g_hash_table_add (b->network->graded, l->data);
  ok = ok && grad_runs_record (b->network->runs, run, walk, &once, error);
  g_hash_table_unref (b->network->graded);
  b->network->graded = graded;
  for (guint i = 0; i < copies->len; i++)
    for (guint k = 0; k < GRAD_NODE_MAX_SAVED; k++)
      if (((GradNode *) copies->pdata[i])->saved[k] != NULL)
        g_array_index (parts, Part, i).kept |= 1 << k;
  return ok;
}

/* What the walk leaves behind of a node */
static void
finish (GradNetwork * network, GradNode * node, const Part * part)
{
  for (guint i = 0; i < grad_unit_get_n_parameters (node->unit) && !node->frozen; i++) {
    GradParameter *p = grad_unit_get_parameter (node->unit, i);

    if (grad_parameter_has_gradient (p))
      g_hash_table_add (network->graded, p);
  }
  for (guint i = 0; i < GRAD_NODE_MAX_SAVED; i++)
    if (!(part->kept & 1 << i))
      grad_node_drop_saved (node, i);
  g_clear_pointer (&node->grad, grad_tensor_unref);
  grad_node_forget (node);
}

static gboolean
play (GradBackward * b, const GradRun * run, GError ** error)
{
  const GArray *parts = run->made;

  for (guint i = 0; i < parts->len; i++) {
    GradTensor *from = ((GradNode *) b->order->pdata[i])->grad, *to = g_array_index (parts, Part, i).grad;

    if (to != NULL && !grad_device_kernels (to->device)->elementwise->copy (to->device, from, to, error))
      return FALSE;
  }
  if (!grad_recording_play (run->recording, error))
    return FALSE;
  for (guint i = 0; i < parts->len; i++)
    finish (b->network, b->order->pdata[i], &g_array_index (parts, Part, i));
  return TRUE;
}

/* What is planned, and which parameters have a gradient already */
static GArray *
make_key (const GradBackward * b)
{
  GArray *key = grad_key_new ();

  for (guint i = 0; i < b->order->len - 1; i++) {
    GradNode *node = b->order->pdata[i];

    grad_unit_use_values (node->unit, TRUE);
    grad_key_add (key, (gsize) node->plan);
    grad_key_add (key, node->frozen);
    grad_key_add (key, node->grad != NULL);
    for (guint k = 0; k < node->n_inputs; k++)
      grad_key_add (key, node->inputs[k] ? node->inputs[k]->mark : 0);
    grad_unit_add_to_key (node->unit, key);
    for (guint k = 0; k < grad_unit_get_n_parameters (node->unit); k++)
      grad_key_add (key, g_hash_table_contains (b->network->graded, grad_unit_get_parameter (node->unit, k)));
  }
  return key;
}

/* Where it lies; FALSE: not all of it comes there again. */
static gboolean
add_saved (const GradBackward * b, GArray * key)
{
  for (guint i = 0; i < b->order->len - 1; i++) {
    GradNode *node = b->order->pdata[i];

    for (guint k = 0; k < GRAD_NODE_MAX_SAVED; k++) {
      if (node->saved[k] != NULL && !node->saved[k]->fixed)
        return FALSE;
      grad_key_add (key, node->saved[k] ? (gsize) node->saved[k]->data : 0);
    }
  }
  return TRUE;
}

static gboolean
repeat (gpointer data, GError ** error)
{
  GradBackward *b = data;
  GradNetwork *network = b->network;
  g_autoptr (GArray) key = make_key (b);
  g_autoptr (GError) why = NULL;
  guint known = key->len;
  gboolean fixed = add_saved (b, key), done;
  GradRun *run;

  if (!fixed)
    g_array_set_size (key, known);
  if (network->runs == NULL)
    network->runs = grad_runs_new (MAX_RUNS, (GDestroyNotify) g_array_unref, FALSE);
  run = grad_runs_take (network->runs, grad_device_peek_current (), key, known);
  if (run == NULL)
    return FALSE;
  done = fixed && (run->recording || record (b, run, &why)) && play (b, run, &why);
  grad_runs_give_back (network->runs, run, why);
  return done;
}

void
grad_network_forget_runs (GradNetwork * network)
{
  if (network->runs != NULL)
    grad_runs_forget (network->runs);
}

gboolean
grad_backward_repeat (GradBackward * b)
{
  GradNode *root = b->order->pdata[b->order->len - 1];
  GradDevice *device = grad_unit_get_device (root->unit);

  if (b->order->len == 1 || grad_job_is_heard () || !grad_recording_is_supported (device)
      || (b->network->bus && grad_bus_is_heard (b->network->bus)) || (b->interrupted && b->interrupted (b->data)))
    return FALSE;
  for (guint i = 0; i < b->order->len - 1; i++)
    if (GRAD_UNIT_GET_CLASS (((GradNode *) b->order->pdata[i])->unit)->varies)
      return FALSE;
  return grad_device_call (device, FALSE, repeat, b, NULL);
}
