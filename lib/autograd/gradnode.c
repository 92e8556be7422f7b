/* GradStreamer: nodes of the tape
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradunit-private.h"
#include "gradnetwork.h"

GradNode *
grad_node_new (GradUnit * unit, gpointer plan, GradStep * step, GradNode * const *inputs,
    guint n_inputs)
{
  GradNode *self = g_new0 (GradNode, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->unit = g_object_ref (unit);
  self->plan = plan;
  self->step = step ? grad_step_ref (step) : NULL;
  self->n_inputs = n_inputs;
  for (guint i = 0; i < n_inputs; i++)
    self->inputs[i] = inputs[i] ? grad_node_ref (inputs[i]) : NULL;
  return self;
}

GradNode *
grad_node_new_like (const GradNode * node, GradStep * step, GradNode * const *inputs)
{
  GradNode *self = grad_node_new (node->unit, grad_unit_hold_plan (node->plan), step, inputs, inputs ? node->n_inputs : 0);

  self->frozen = node->frozen;
  self->wanted = node->wanted;
  self->n_inputs = node->n_inputs;
  return self;
}

GradNode *
grad_node_ref (GradNode * node)
{
  g_atomic_ref_count_inc (&node->ref_count);
  return node;
}

void
grad_node_unref (GradNode * node)
{
  if (!g_atomic_ref_count_dec (&node->ref_count))
    return;
  grad_node_forget (node);
  for (guint i = 0; i < GRAD_NODE_MAX_SAVED; i++)
    grad_node_drop_saved (node, i);
  g_clear_pointer (&node->grad, grad_tensor_unref);
  grad_unit_release_plan (node->unit, node->plan);
  g_object_unref (node->unit);
  g_clear_pointer (&node->step, grad_step_unref);
  g_free (node);
}

void
grad_node_save (GradNode * node, guint slot, GradTensor * tensor)
{
  node->saved[slot] = grad_tensor_hold (tensor);
}

void
grad_node_drop_saved (GradNode * node, guint slot)
{
  g_clear_pointer (&node->saved[slot], grad_tensor_release);
}

void
grad_node_forget (GradNode * node)
{
  for (guint i = 0; i < G_N_ELEMENTS (node->inputs); i++)
    g_clear_pointer (&node->inputs[i], grad_node_unref);
}
