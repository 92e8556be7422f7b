/* GradStreamer: what layers and classifiers set on their graphs
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradgraph.h"

G_BEGIN_DECLS

/* The element that the graph is part of: grad_unit_get_owner() of its units. */
void grad_graph_set_owner (GradGraph * graph, gpointer owner);

/* From the next forward on: whether its parameters and statistics stay as they are, and what the learning rate is multiplied with. */
void grad_graph_set_training (GradGraph * graph, gboolean frozen, gdouble rate_scale);

/* Elements that a unit may make of each sample, as many as memory holds by default: for networks that come from strangers. */
void grad_graph_set_limit (GradGraph * graph, gsize elements);

/* What it would make of an input, and the FLOPs of that: nothing is computed, and parameters that are added to the store have
 * no values. Errors as grad_graph_prepare(). */
gboolean grad_graph_describe (GradGraph * graph, GradParameterStore * store,
    const GradShape * input, GradShape * output, gdouble * flops, GError ** error);

G_END_DECLS
