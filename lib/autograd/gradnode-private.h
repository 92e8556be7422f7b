/* GradStreamer: nodes of the tape
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradunit.h"

G_BEGIN_DECLS

#define GRAD_NODE_MAX_SAVED 6

/* One unit applied once: which unit, from which nodes, what it saved. The step is open as long as a node
 * of it lives. */
struct _GradNode
{
  gint ref_count;               /* atomic */
  GradUnit *unit;               /* owned */
  gpointer plan;                /* the unit's entry: see grad_node_get_plan() */
  GradStep *step;               /* owned; NULL if it is only a pattern */
  gboolean frozen;              /* the unit's parameters and statistics stay as they are */
  gboolean wanted;              /* a gradient is; else it is here to keep the step open */
  guint n_inputs;
  GradNode *inputs[2];          /* owned, NULL where no gradient is wanted */
  GradTensor *saved[GRAD_NODE_MAX_SAVED];       /* held (grad_tensor_hold) */
  gpointer output;              /* address of the output memory, to tell whether a buffer still holds it; never followed */
  guint output_writes;          /* times that it had been mapped for writing */

  /* during backward */
  GradTensor *grad;             /* sum of the gradients that have arrived */
  guint mark;                   /* 0: not met yet; its number in the order, from 1 on */
};

GradNode *grad_node_new (GradUnit * unit, gpointer plan, GradStep * step, GradNode * const *inputs,
    guint n_inputs);
/* Of the same unit and plan; nothing is saved in it yet. step: (nullable) */
GradNode *grad_node_new_like (const GradNode * node, GradStep * step, GradNode * const *inputs);
GradNode *grad_node_ref (GradNode * node);
void grad_node_unref (GradNode * node);
void grad_node_save (GradNode * node, guint slot, GradTensor * tensor);
void grad_node_drop_saved (GradNode * node, guint slot);
/* drops the inputs: called right after backward; what commit() needs stays saved */
void grad_node_forget (GradNode * node);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradNode, grad_node_unref)

G_END_DECLS
