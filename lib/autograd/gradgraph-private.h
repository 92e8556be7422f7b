/* GradStreamer: what layers and classifiers set on their graphs
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../device/gradruns.h"
#include "gradgraph.h"
#include "gradnode-private.h"

G_BEGIN_DECLS

typedef struct
{
  GradUnit *unit;               /* owned */
  guint n_inputs, inputs[2];    /* numbers of values */
} GradWire;

struct _GradGraph
{
  GObject parent;
  GArray *wires;                /* of GradWire; the i-th one makes value i + 1 */
  gboolean varies;              /* one of the units does */
  gsize limit;                  /* elements of a value per sample, 0: none */
  GradRuns *runs;               /* of training; NULL until the first one */
};

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

/* What grad_graph_forward() is asked for */
typedef struct
{
  GradGraph *graph;
  GradStep *step;
  gboolean urgent;
  const GradValue *input;
  GradValue *output;
  GPtrArray *nodes;             /* where those of all units go; NULL: nowhere */
} GradForward;

/* Runs all units; a GradDeviceFunc. */
gboolean grad_graph_run (gpointer forward, GError ** error);
/* With a step: repeats what was recorded when the same was asked for before, records it in the second time. FALSE: it is to
 * be run. */
gboolean grad_graph_repeat (GradForward * f);

G_END_DECLS
