/* GradStreamer: layers one behind the other, without a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Where a device can record what is asked of it, small batches are: in the first run of a shape kernels are planned and weights
 * packed, the second one is recorded, and all others repeat it. */
#include "gradlayerchain-private.h"
#include "../autograd/gradgraph-private.h"
#include "../autograd/gradjob-private.h"
#include "../base/gradlayer.h"
#include "../device/gradruns.h"
#include "kernels/kernels.h"

/* Samples that are recorded: more of them take a GPU longer to compute than the host to ask for */
#define MAX_RECORDED 32

#define MAX_SHAPES 8            /* that are remembered */

/* Where a recording begins and ends */
typedef struct
{
  GradTensor *input, *output;
} Ends;

struct _GradLayerChain
{
  GPtrArray *layers;            /* of GradLayer */
  GPtrArray *graphs;            /* of GradGraph, one of each layer */
  GradDevice *device;
  GradParameterStore *store;

  GradShape prepared;           /* of the input */
  GradRuns *runs;               /* with these parameters, by shape */
};

static void
free_ends (gpointer data)
{
  Ends *ends = data;

  g_clear_pointer (&ends->input, grad_tensor_unref);
  g_clear_pointer (&ends->output, grad_tensor_unref);
  g_free (ends);
}

GradLayerChain *
grad_layer_chain_new (GPtrArray * layers, GradDevice * device, GradParameterStore * store)
{
  GradLayerChain *self = g_new0 (GradLayerChain, 1);

  self->layers = layers;
  self->graphs = g_ptr_array_new_with_free_func (g_object_unref);
  self->device = device;
  self->store = store;
  self->runs = grad_runs_new (MAX_SHAPES, free_ends, TRUE);
  return self;
}

void
grad_layer_chain_parameters_changed (GradLayerChain * chain)
{
  grad_runs_forget (chain->runs);
}

void
grad_layer_chain_free (GradLayerChain * chain)
{
  if (chain == NULL)
    return;
  grad_runs_free (chain->runs);
  g_ptr_array_unref (chain->graphs);
  g_ptr_array_unref (chain->layers);
  g_free (chain);
}

/* Makes the graph of a layer, unless it is there. */
static GradGraph *
ensure_graph (GradLayerChain * self, guint i)
{
  if (i == self->graphs->len) {
    g_autofree gchar *prefix = NULL;
    GradGraph *graph = grad_layer_new_graph (self->layers->pdata[i], NULL, &prefix);

    grad_graph_set_limit (graph, GRAD_LAYER_CHAIN_MAX_ELEMENTS);
    g_ptr_array_add (self->graphs, graph);
  }
  return self->graphs->pdata[i];
}

gboolean
grad_layer_chain_prepare (GradLayerChain * chain, const GradShape * input, GradShape * output, GError ** error)
{
  chain->prepared = (GradShape) { 0 };
  *output = *input;
  for (guint i = 0; i < chain->layers->len; i++) {
    GradLayer *layer = chain->layers->pdata[i];
    GradLayerClass *klass = GRAD_LAYER_GET_CLASS (layer);
    GradShape in = *output;

    if ((klass->check && !klass->check (layer, &in, error))
        || !grad_graph_prepare (ensure_graph (chain, i), chain->device, chain->store, &in, output, error)) {
      g_prefix_error (error, "layer %u, %s: ", i + 1,
          GST_OBJECT_NAME (gst_element_get_factory (GST_ELEMENT (layer))));
      return FALSE;
    }
  }
  chain->prepared = *input;
  return TRUE;
}

static GradTensor *
run_layers (GradLayerChain * self, GradTensor * input, GError ** error)
{
  g_autoptr (GradTensor) x = grad_tensor_ref (input);

  for (guint i = 0; i < self->graphs->len; i++) {
    GradValue in = { x, NULL }, out;

    if (!grad_graph_forward (self->graphs->pdata[i], NULL, TRUE, &in, &out, error))
      return NULL;
    grad_tensor_unref (x);
    x = out.tensor;
  }
  return g_steal_pointer (&x);
}

typedef struct
{
  GradLayerChain *self;
  Ends *ends;
} Recording;

static gboolean
record_layers (gpointer data, GError ** error)
{
  Recording *r = data;

  r->ends->output = run_layers (r->self, r->ends->input, error);
  return r->ends->output != NULL;
}

static gboolean
record (GradLayerChain * self, GradRun * run, const GradShape * shape, GError ** error)
{
  Ends *ends = run->made = g_new0 (Ends, 1);
  Recording r = { self, ends };

  ends->input = grad_tensor_new (self->device, GRAD_DTYPE_FLOAT32, shape, error);
  return ends->input && grad_runs_record (self->runs, run, record_layers, &r, error);
}

static GradTensor *
repeat (GradLayerChain * self, GradRun * run, GradTensor * input, GError ** error)
{
  const GradElementwiseOps *ops = grad_device_kernels (self->device)->elementwise;
  Ends *ends = run->made;
  g_autoptr (GradTensor) output =
      grad_tensor_new (self->device, GRAD_DTYPE_FLOAT32, grad_tensor_get_shape (ends->output), error);

  return output != NULL && ops->copy (self->device, input, ends->input, error)
      && grad_recording_play (run->recording, error)
      && ops->copy (self->device, ends->output, output, error) ? g_steal_pointer (&output) : NULL;
}

/* NULL: it is to be run. What listens to jobs is to hear of each layer. */
static GradTensor *
run_recorded (GradLayerChain * self, GradTensor * input)
{
  const GradShape *shape = grad_tensor_get_shape (input);
  g_autoptr (GArray) key = grad_key_new ();
  g_autoptr (GError) why = NULL;
  GradTensor *output = NULL;
  GradRun *run;

  if (shape->dims[0] > MAX_RECORDED || grad_job_is_heard () || !grad_recording_is_supported (self->device))
    return NULL;
  grad_key_add_shape (key, shape);
  run = grad_runs_take (self->runs, self->device, key, key->len);
  if (run == NULL)
    return NULL;
  if (run->recording != NULL || record (self, run, shape, &why))
    output = repeat (self, run, input, &why);
  grad_runs_give_back (self->runs, run, why);
  return output;
}

GradTensor *
grad_layer_chain_run (GradLayerChain * chain, GradTensor * input, GError ** error)
{
  const GradShape *shape = grad_tensor_get_shape (input);
  GradTensor *output = run_recorded (chain, input);
  GradShape unused;

  if (output != NULL)
    return output;
  if (!grad_shape_equal (shape, &chain->prepared) && !grad_layer_chain_prepare (chain, shape, &unused, error))
    return NULL;
  return run_layers (chain, input, error);
}
