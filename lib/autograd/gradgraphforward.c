/* GradStreamer: units wired together: the forward pass
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradgraph-private.h"

/* Whether a unit after the i-th one takes the value. */
static gboolean
needed_after (GradGraph * self, guint value, guint i)
{
  for (i++; i < self->wires->len; i++) {
    GradWire *w = &g_array_index (self->wires, GradWire, i);

    if (w->inputs[0] == value || (w->n_inputs == 2 && w->inputs[1] == value))
      return TRUE;
  }
  return FALSE;
}

gboolean
grad_graph_run (gpointer data, GError ** error)
{
  const GradForward *f = data;
  GradGraph *graph = f->graph;
  guint n = graph->wires->len;
  g_autofree GradValue *values = g_new0 (GradValue, n + 1);
  gboolean ok = TRUE;

  values[GRAD_GRAPH_INPUT] = *f->input;
  for (guint i = 0; i < n && ok; i++) {
    GradWire *w = &g_array_index (graph->wires, GradWire, i);
    GradValue in[2] = { values[w->inputs[0]], values[w->inputs[1]] };

    ok = grad_unit_forward (w->unit, f->step, f->urgent, in, w->n_inputs, &values[i + 1], error);
    if (ok && f->nodes != NULL)
      g_ptr_array_add (f->nodes, grad_node_ref (values[i + 1].node));
    for (guint k = 0; k < w->n_inputs; k++)
      if (w->inputs[k] != GRAD_GRAPH_INPUT && !needed_after (graph, w->inputs[k], i))
        grad_value_clear (&values[w->inputs[k]]);
  }
  if (ok)
    *f->output = values[n];
  for (guint i = 1; i < n + (ok ? 0 : 1); i++)
    grad_value_clear (&values[i]);
  return ok;
}

/**
 * grad_graph_forward:
 * @graph: a prepared graph
 * @step: (nullable): the step to record on
 * @urgent: whether this goes before training
 * @input: its input
 * @output: (out caller-allocates): where the output goes
 * @error: location of a #GError
 *
 * Runs all units, as grad_unit_forward(). Values are let go of as soon as no unit takes them any more. Urgent
 * ones run in one go; between others somebody else's urgent ones get their turn. Where the device can, what comes again in
 * training is recorded and repeated.
 *
 * Returns: %FALSE with the error of the unit that failed
 */
gboolean
grad_graph_forward (GradGraph * graph, GradStep * step, gboolean urgent, const GradValue * input,
    GradValue * output, GError ** error)
{
  GradForward f = { graph, step, urgent, input, output, NULL };

  if (step != NULL && grad_graph_repeat (&f))
    return TRUE;
  return urgent ? grad_device_call (grad_tensor_get_device (input->tensor), TRUE, grad_graph_run, &f, error)
      : grad_graph_run (&f, error);
}
