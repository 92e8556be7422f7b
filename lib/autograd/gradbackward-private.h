/* GradStreamer: the backward pass over the tape
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradnetwork-private.h"

G_BEGIN_DECLS

typedef struct
{
  GradNetwork *network;
  GPtrArray *order;             /* of GradNode: inputs first; the root, where it begins, is the last */
  GHashTable *uses;             /* parameter -> how many of the nodes that are still to come use it */
  gboolean last;                /* gradients are final with this one */
  GradInterruptFunc interrupted;
  gpointer data;
} GradBackward;

/* Nodes number n - 1 to `first`, in this order, and what is asked of the device aside. */
gboolean grad_backward_walk (const GradBackward * b, guint n, guint first, GError ** error);
/* All nodes but the root, whose gradients have been handed on: repeats what was recorded when the same was asked for before, records it
 * in the second time. FALSE: it is to be done. */
gboolean grad_backward_repeat (GradBackward * b);

static inline gboolean
grad_parameter_has_gradient (const GradParameter * parameter)
{
  return parameter->kind == GRAD_PARAMETER_TRAINABLE && !parameter->dead;
}

G_END_DECLS
