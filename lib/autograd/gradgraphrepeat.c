/* GradStreamer: units wired together: the forward pass of training, recorded and repeated
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each step asks for the same, of tensors that are elsewhere. So a recording keeps the tensors that it makes, and lends them to
 * the step: output and tape are the same ones again, and the layer behind finds its input where it was. If somebody still has one of them,
 * a branch of the pipeline perhaps, the units run as ever and make others, and so do the layers behind. An input that is not from a layer lies
 * somewhere else each time, and is copied. */
#include "../tensor/gradtensor-private.h"
#include "gradgraph-private.h"
#include "gradjob-private.h"
#include "gradunit-private.h"

#define MAX_RUNS 8              /* that are remembered: batches of two sizes, frozen or not, seen and recorded */

/* What the tape has of a unit */
typedef struct
{
  GradNode *node;               /* a pattern */
  GradTensor *saved[GRAD_NODE_MAX_SAVED];       /* not owned */
  guint inputs;                 /* bit i: slot i has the graph's input */
} Part;

typedef struct
{
  GradTensor *input;            /* where the input's values are to be; NULL: where they are */
  GradTensor *output;           /* not owned */
  GPtrArray *tensors;           /* all that a step is lent */
  GArray *parts;                /* of Part, one of each unit */
} Made;

static void
clear_part (gpointer part)
{
  grad_node_unref (((Part *) part)->node);
}

static Made *
made_new (void)
{
  Made *made = g_new0 (Made, 1);

  made->tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_tensor_unref);
  made->parts = g_array_new (FALSE, FALSE, sizeof (Part));
  g_array_set_clear_func (made->parts, clear_part);
  return made;
}

static void
made_free (gpointer data)
{
  Made *made = data;

  g_array_unref (made->parts);
  g_ptr_array_unref (made->tensors);
  g_free (made);
}

/* Has it kept, once. */
static void
keep (Made * made, GradTensor * tensor)
{
  if (g_ptr_array_find (made->tensors, tensor, NULL))
    return;
  tensor->fixed = TRUE;
  g_ptr_array_add (made->tensors, grad_tensor_ref (tensor));
}

static void
add_part (Made * made, GradNode * node, const GradTensor * input)
{
  Part part = {.node = grad_node_new_like (node, NULL, NULL) };

  for (guint i = 0; i < GRAD_NODE_MAX_SAVED; i++)
    if (node->saved[i] != NULL && node->saved[i] == input)
      part.inputs |= 1 << i;
    else if ((part.saved[i] = node->saved[i]) != NULL)
      keep (made, node->saved[i]);
  g_array_append_val (made->parts, part);
}

/* Runs once while it is recorded; what comes of it is only the pattern. */
static gboolean
record (const GradForward * f, GradRun * run, GError ** error)
{
  g_autoptr (GPtrArray) nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_node_unref);
  Made *made = run->made = made_new ();
  GradTensor *x = f->input->tensor;
  GradValue input = { x, f->input->node }, output = { NULL, NULL };
  GradForward once = { f->graph, f->step, FALSE, &input, &output, nodes };

  if (!x->fixed) {
    made->input = input.tensor = grad_tensor_new_full (x->device, x->dtype, &x->shape, x->layout, error);
    if (made->input == NULL)
      return FALSE;
    g_ptr_array_add (made->tensors, made->input);
    made->input->fixed = TRUE;
  }
  if (!grad_runs_record (f->graph->runs, run, grad_graph_run, &once, error)) {
    grad_value_clear (&output);
    return FALSE;
  }
  for (guint i = 0; i < nodes->len; i++) {
    add_part (made, nodes->pdata[i], input.tensor);
    grad_unit_hold_parameters (((GradNode *) nodes->pdata[i])->unit, run);
  }
  made->output = output.tensor;
  keep (made, output.tensor);
  grad_value_clear (&output);
  return TRUE;
}

static gboolean
is_free (const Made * made)
{
  for (guint i = 0; i < made->tensors->len; i++)
    if (!grad_tensor_is_exclusive (made->tensors->pdata[i]))
      return FALSE;
  return TRUE;
}

/* The tape of this step */
static GradNode *
make_nodes (const GradForward * f, const Made * made)
{
  guint n = made->parts->len;
  g_autofree GradNode **nodes = g_new (GradNode *, n + 1);
  GradTensor *x = made->input ? made->input : f->input->tensor;

  nodes[GRAD_GRAPH_INPUT] = f->input->node;
  for (guint i = 0; i < n; i++) {
    const GradWire *w = &g_array_index (f->graph->wires, GradWire, i);
    const Part *part = &g_array_index (made->parts, Part, i);
    GradNode *inputs[] = { nodes[w->inputs[0]], nodes[w->inputs[1]] };

    nodes[i + 1] = grad_node_new_like (part->node, f->step, inputs);
    for (guint k = 0; k < GRAD_NODE_MAX_SAVED; k++)
      if (part->inputs & 1 << k)
        grad_node_save (nodes[i + 1], k, x);
      else if (part->saved[k] != NULL)
        grad_node_save (nodes[i + 1], k, part->saved[k]);
  }
  for (guint i = 1; i < n; i++)
    grad_node_unref (nodes[i]);
  nodes[n]->output = made->output;
  nodes[n]->output_writes = made->output->n_writes;
  return nodes[n];
}

static gboolean
play (const GradForward * f, const GradRun * run, GError ** error)
{
  const Made *made = run->made;
  GradTensor *x = f->input->tensor;

  for (guint i = 0; i < made->tensors->len; i++)
    grad_tensor_renew (made->tensors->pdata[i]);
  grad_tensor_data (x);         /* takes back what the host has written */
  if ((made->input != NULL && !grad_device_kernels (x->device)->elementwise->copy (x->device, x, made->input, error))
      || !grad_recording_play (run->recording, error))
    return FALSE;
  f->output->node = make_nodes (f, made);
  f->output->tensor = grad_tensor_ref (made->output);
  return TRUE;
}

static GArray *
make_key (const GradForward * f)
{
  GArray *key = grad_key_new ();
  const GradValue *input = f->input;

  grad_key_add_shape (key, &input->tensor->shape);
  grad_key_add (key, input->tensor->dtype);
  grad_key_add (key, input->tensor->layout);
  grad_key_add (key, input->node ? 1 + input->node->wanted : 0);
  for (guint i = 0; i < f->graph->wires->len; i++) {
    GradUnit *unit = g_array_index (f->graph->wires, GradWire, i).unit;

    grad_unit_use_values (unit, TRUE);
    grad_key_add (key, grad_unit_is_frozen (unit));
    grad_unit_add_to_key (unit, key);
  }
  grad_key_add (key, input->tensor->fixed ? (gsize) input->tensor->data : 0);
  return key;
}

static gboolean
repeat (gpointer data, GError ** error)
{
  GradForward *f = data;
  const GradValue *input = f->input;
  GradDevice *device = input->tensor->device;
  g_autoptr (GArray) key = make_key (f);
  g_autoptr (GError) why = NULL;
  gboolean done = FALSE, other = input->node != NULL && !input->tensor->fixed;
  GradRun *run;

  if (f->graph->runs == NULL)
    f->graph->runs = grad_runs_new (MAX_RUNS, made_free, FALSE);
  run = grad_runs_take (f->graph->runs, device, key, key->len - 1);
  if (run == NULL)
    return FALSE;
  if (!other && (run->recording ? is_free (run->made) : record (f, run, &why)))
    done = play (f, run, &why);
  grad_runs_give_back (f->graph->runs, run, why);
  return done;
}

gboolean
grad_graph_repeat (GradForward * f)
{
  GradDevice *device = f->input->tensor->device;

  if (f->graph->wires->len == 0 || f->graph->varies || grad_job_is_heard () || !grad_recording_is_supported (device))
    return FALSE;
  return grad_device_call (device, FALSE, repeat, f, NULL);
}
