/* GradStreamer: layers one behind the other, without a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Where a device can record what is asked of it, small batches are: in their first run kernels are planned and weights packed, the
 * second one is recorded, and all others repeat it. */
#include "gradlayerchain-private.h"
#include "../autograd/gradgraph-private.h"
#include "../autograd/gradjob-private.h"
#include "../base/gradlayer.h"
#include "../device/gradrecording.h"
#include "kernels/kernels.h"

/* Samples that are recorded: more of them take a GPU longer to compute than the host to ask for */
#define MAX_RECORDED 32

struct _GradLayerChain
{
  GPtrArray *layers;            /* of GradLayer */
  GPtrArray *graphs;            /* of GradGraph, one of each layer */
  GradDevice *device;
  GradParameterStore *store;

  GradShape prepared;           /* of the input */
  gboolean ran;                 /* with these parameters and this shape */
  gboolean unrecordable;
  GradRecording *recording;     /* from one tensor to the other */
  GradTensor *recorded_input, *recorded_output;
};

GradLayerChain *
grad_layer_chain_new (GPtrArray * layers, GradDevice * device, GradParameterStore * store)
{
  GradLayerChain *self = g_new0 (GradLayerChain, 1);

  self->layers = layers;
  self->graphs = g_ptr_array_new_with_free_func (g_object_unref);
  self->device = device;
  self->store = store;
  return self;
}

void
grad_layer_chain_parameters_changed (GradLayerChain * chain)
{
  g_clear_pointer (&chain->recorded_input, grad_tensor_unref);
  g_clear_pointer (&chain->recorded_output, grad_tensor_unref);
  g_clear_pointer (&chain->recording, grad_recording_free);
  chain->ran = FALSE;
}

void
grad_layer_chain_free (GradLayerChain * chain)
{
  if (chain == NULL)
    return;
  grad_layer_chain_parameters_changed (chain);
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
  if (!grad_shape_equal (input, &chain->prepared))
    grad_layer_chain_parameters_changed (chain);
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

/* What listens to jobs is to hear of each layer. */
static gboolean
can_record (GradLayerChain * self)
{
  return self->prepared.dims[0] <= MAX_RECORDED && !self->unrecordable && !grad_job_is_heard ()
      && grad_recording_is_supported (self->device);
}

static gboolean
record_layers (gpointer chain, GError ** error)
{
  GradLayerChain *self = chain;

  self->recorded_output = run_layers (self, self->recorded_input, error);
  return self->recorded_output != NULL;
}

/* Without a recording all goes on as before. */
static void
record (GradLayerChain * self)
{
  g_autoptr (GError) why = NULL;

  self->recorded_input = grad_tensor_new (self->device, GRAD_DTYPE_FLOAT32, &self->prepared, &why);
  if (self->recorded_input != NULL)
    self->recording = grad_recording_new (self->device, record_layers, self, &why);
  if (self->recording != NULL)
    return;
  GST_INFO ("layers are not recorded: %s", why->message);
  grad_layer_chain_parameters_changed (self);
  self->unrecordable = TRUE;
}

static GradTensor *
repeat (GradLayerChain * self, GradTensor * input, GError ** error)
{
  const GradElementwiseOps *ops = grad_device_kernels (self->device)->elementwise;
  g_autoptr (GradTensor) output =
      grad_tensor_new (self->device, GRAD_DTYPE_FLOAT32, grad_tensor_get_shape (self->recorded_output), error);

  return output != NULL && ops->copy (self->device, input, self->recorded_input, error)
      && grad_recording_play (self->recording, error)
      && ops->copy (self->device, self->recorded_output, output, error) ? g_steal_pointer (&output) : NULL;
}

GradTensor *
grad_layer_chain_run (GradLayerChain * chain, GradTensor * input, GError ** error)
{
  const GradShape *shape = grad_tensor_get_shape (input);
  GradTensor *output;
  GradShape unused;

  if (!grad_shape_equal (shape, &chain->prepared) && !grad_layer_chain_prepare (chain, shape, &unused, error))
    return NULL;
  if (chain->ran && chain->recording == NULL && can_record (chain))
    record (chain);
  if (chain->recording != NULL && can_record (chain))
    return repeat (chain, input, error);
  output = run_layers (chain, input, error);
  chain->ran = output != NULL;
  return output;
}
