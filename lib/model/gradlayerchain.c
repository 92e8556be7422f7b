/* GradStreamer: layers one behind the other, without a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Where a device can record what is asked of it, small batches are: in the first run of a shape kernels are planned and weights
 * packed, the second one is recorded, and all others repeat it. */
#include "gradlayerchain-private.h"
#include "../autograd/gradgraph-private.h"
#include "../autograd/gradjob-private.h"
#include "../base/gradlayer.h"
#include "../device/gradrecording.h"
#include "kernels/kernels.h"

/* Samples that are recorded: more of them take a GPU longer to compute than the host to ask for */
#define MAX_RECORDED 32

#define MAX_SHAPES 8            /* that are remembered */
#define MAX_FAILURES 2          /* each may cost what lies in the device's pool */

/* A shape that has been run with these parameters */
typedef struct
{
  GradShape shape;              /* of the input */
  guint failures;               /* to record it */
  GradRecording *recording;     /* from one tensor to the other; NULL: there is none yet */
  GradTensor *input, *output;
} Run;

struct _GradLayerChain
{
  GPtrArray *layers;            /* of GradLayer */
  GPtrArray *graphs;            /* of GradGraph, one of each layer */
  GradDevice *device;
  GradParameterStore *store;

  GradShape prepared;           /* of the input */
  GArray *runs;                 /* of Run, that of the oldest shape first */
  GradDevicePool *storage;      /* of all recordings: they are played one after the other */
};

static void
forget_recording (Run * run)
{
  g_clear_pointer (&run->input, grad_tensor_unref);
  g_clear_pointer (&run->output, grad_tensor_unref);
  g_clear_pointer (&run->recording, grad_recording_free);
}

GradLayerChain *
grad_layer_chain_new (GPtrArray * layers, GradDevice * device, GradParameterStore * store)
{
  GradLayerChain *self = g_new0 (GradLayerChain, 1);

  self->layers = layers;
  self->graphs = g_ptr_array_new_with_free_func (g_object_unref);
  self->device = device;
  self->store = store;
  self->runs = g_array_new (FALSE, FALSE, sizeof (Run));
  g_array_set_clear_func (self->runs, (GDestroyNotify) forget_recording);
  self->storage = grad_device_pool_new ();
  return self;
}

void
grad_layer_chain_parameters_changed (GradLayerChain * chain)
{
  g_array_set_size (chain->runs, 0);
}

void
grad_layer_chain_free (GradLayerChain * chain)
{
  if (chain == NULL)
    return;
  g_array_unref (chain->runs);
  grad_device_pool_merge (chain->device, chain->storage);
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

static Run *
find_run (GradLayerChain * self, const GradShape * shape)
{
  for (guint i = 0; i < self->runs->len; i++) {
    Run *run = &g_array_index (self->runs, Run, i);

    if (grad_shape_equal (&run->shape, shape))
      return run;
  }
  return NULL;
}

static void
add_run (GradLayerChain * self, const GradShape * shape)
{
  if (shape->dims[0] > MAX_RECORDED)
    return;
  if (self->runs->len == MAX_SHAPES)
    g_array_remove_index (self->runs, 0);
  g_array_append_val (self->runs, ((Run) {.shape = *shape}));
}

typedef struct
{
  GradLayerChain *self;
  Run *run;
} Recording;

static gboolean
record_layers (gpointer data, GError ** error)
{
  Recording *r = data;

  r->run->output = run_layers (r->self, r->run->input, error);
  return r->run->output != NULL;
}

static gboolean
record (GradLayerChain * self, Run * run, GError ** error)
{
  Recording r = { self, run };

  run->input = grad_tensor_new (self->device, GRAD_DTYPE_FLOAT32, &run->shape, error);
  return run->input && (run->recording = grad_recording_new (self->device, self->storage,
          record_layers, &r, error));
}

static GradTensor *
repeat (GradLayerChain * self, Run * run, GradTensor * input, GError ** error)
{
  const GradElementwiseOps *ops = grad_device_kernels (self->device)->elementwise;
  g_autoptr (GradTensor) output =
      grad_tensor_new (self->device, GRAD_DTYPE_FLOAT32, grad_tensor_get_shape (run->output), error);

  return output != NULL && ops->copy (self->device, input, run->input, error)
      && grad_recording_play (run->recording, error)
      && ops->copy (self->device, run->output, output, error) ? g_steal_pointer (&output) : NULL;
}

/* NULL: it is to be run. What listens to jobs is to hear of each layer. */
static GradTensor *
run_recorded (GradLayerChain * self, Run * run, GradTensor * input)
{
  g_autoptr (GError) why = NULL;
  GradTensor *output = NULL;

  if (run->failures == MAX_FAILURES || grad_job_is_heard () || !grad_recording_is_supported (self->device))
    return NULL;
  if (run->recording != NULL || record (self, run, &why))
    output = repeat (self, run, input, &why);
  if (output == NULL) {
    GST_INFO ("layers are not recorded: %s", why->message);
    forget_recording (run);
    run->failures++;
  }
  return output;
}

GradTensor *
grad_layer_chain_run (GradLayerChain * chain, GradTensor * input, GError ** error)
{
  const GradShape *shape = grad_tensor_get_shape (input);
  Run *run = find_run (chain, shape);
  GradTensor *output = run ? run_recorded (chain, run, input) : NULL;
  GradShape unused;

  if (output != NULL)
    return output;
  if (!grad_shape_equal (shape, &chain->prepared) && !grad_layer_chain_prepare (chain, shape, &unused, error))
    return NULL;
  output = run_layers (chain, input, error);
  if (output != NULL && run == NULL)
    add_run (chain, shape);
  return output;
}
