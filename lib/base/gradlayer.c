/* GradStreamer: base class of the elements that are stages of a network
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A layer is a graph of units. In phase train, with an optimizer on the network, it waits for its turn, records its
 * units on the tape and attaches the tape to its output. */
#include "gradlayer.h"
#include "../autograd/gradgraph-private.h"
#include "../autograd/gradnetwork-private.h"
#include "../autograd/gradtapemeta-private.h"
#include "../tensor/gradtensor-private.h"

GST_DEBUG_CATEGORY_STATIC (grad_layer_debug);
#define GST_CAT_DEFAULT grad_layer_debug

typedef struct
{
  /* properties, object lock */
  gchar *model_name;
  gchar *model;
  gchar *param_prefix;
  gboolean frozen;
  gdouble learning_rate_scale;

  /* from NULL to READY on */
  GradNetwork *network;
  /* from READY to PAUSED on */
  GradGraph *graph;
  gchar *prefix;                /* that is used: kept until NULL, so that PAUSED can be left and entered */
  gboolean flushing;            /* network's lock */
  gint stopped;                 /* atomic: not PAUSED or PLAYING */
} GradLayerPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (GradLayer, grad_layer, GRAD_TYPE_TRANSFORM);
#define PRIV(l) ((GradLayerPrivate *) grad_layer_get_instance_private (GRAD_LAYER (l)))
#define KLASS(l) GRAD_LAYER_GET_CLASS (l)

/**
 * grad_layer_peek_network: (skip)
 * @layer: an element that is at least READY
 *
 * Returns: (transfer none): the network that it belongs to
 */
GradNetwork *
grad_layer_peek_network (GradLayer * layer)
{
  return PRIV (layer)->network;
}

static gboolean
grad_layer_attach (GradTransform * trans, GError ** error)
{
  GradLayer *self = GRAD_LAYER (trans);
  GradLayerPrivate *priv = PRIV (self);
  GradBus *bus = grad_transform_peek_bus (trans);
  g_autofree gchar *name = NULL, *model = NULL;
  GradParameterStore *store;

  GST_OBJECT_LOCK (self);
  name = g_strdup (priv->model_name);
  model = g_strdup (priv->model);
  GST_OBJECT_UNLOCK (self);
  g_set_object (&priv->network, NULL);
  priv->network = grad_bus_get_network (bus, name);
  store = grad_network_get_store (priv->network);
  /* an optimizer that has set where training starts comes first */
  if (model == NULL || *model == '\0'
      || (grad_network_has_optimizer (priv->network) && grad_parameter_store_get_source (store)))
    return TRUE;
  return grad_parameter_store_set_source (store, model, error);
}

/**
 * grad_layer_new_graph: (skip)
 * @layer: a layer, in a pipeline or not
 * @network: (nullable): gives out prefixes to layers that have no param-prefix of their own
 * @prefix: (inout): the layer's prefix; set when it is %NULL
 *
 * Builds the units of a layer. Default prefixes are numbered in the order of the calls.
 *
 * Returns: (transfer full): a graph, which must not outlive @layer
 */
GradGraph *
grad_layer_new_graph (GradLayer * layer, GradNetwork * network, gchar ** prefix)
{
  GradLayerPrivate *priv = PRIV (layer);
  GradGraph *graph = grad_graph_new ();

  if (*prefix == NULL && KLASS (layer)->prefix_kind != NULL) {
    GST_OBJECT_LOCK (layer);
    *prefix = g_strdup (priv->param_prefix);
    GST_OBJECT_UNLOCK (layer);
    if (*prefix == NULL)
      *prefix = grad_network_next_prefix (network, KLASS (layer)->prefix_kind);
  }
  KLASS (layer)->build (layer, graph, *prefix);
  grad_graph_set_owner (graph, layer);
  return graph;
}

/* The graph is made when it is first needed, in the streaming thread: default prefixes then come in topological
 * order, whatever the order of state changes. */
static GradGraph *
ensure_graph (GradLayer * self)
{
  GradLayerPrivate *priv = PRIV (self);

  if (priv->graph == NULL)
    priv->graph = grad_layer_new_graph (self, priv->network, &priv->prefix);
  return priv->graph;
}

static void
grad_layer_stop (GradTransform * trans)
{
  g_clear_object (&PRIV (trans)->graph);
}

static gboolean
grad_layer_infer_shape (GradTransform * trans, const GradShape * input, GradShape * output,
    GError ** error)
{
  GradLayer *self = GRAD_LAYER (trans);

  return (KLASS (self)->check == NULL || KLASS (self)->check (self, input, error))
      && grad_graph_infer_shape (ensure_graph (self), input, output, error);
}

static gboolean
grad_layer_prepare (GradTransform * trans, const GradShape * input, GError ** error)
{
  GradLayerPrivate *priv = PRIV (trans);
  GradShape output;

  return grad_graph_prepare (ensure_graph (GRAD_LAYER (trans)), grad_transform_peek_device (trans),
      grad_network_get_store (priv->network), input, &output, error);
}

/* Random weights are what training starts with, and seldom what inference wants. */
static void
warn_of_random_weights (GradLayer * self)
{
  GradLayerPrivate *priv = PRIV (self);
  GradParameterStore *store = grad_network_get_store (priv->network);

  if (priv->prefix == NULL || grad_parameter_store_get_source (store)
      || grad_network_get_n_updates (priv->network) > 0
      || grad_network_has_optimizer (priv->network)
      || !g_atomic_int_compare_and_exchange (&priv->network->warned, FALSE, TRUE))
    return;
  GST_ELEMENT_WARNING (self, RESOURCE, SETTINGS,
      ("The weights of network \"%s\" are random: set model=FILE on one of its layers.",
          grad_network_get_name (priv->network)), (NULL));
}

/* The tape of the input, when its memory is still the one that the layer before made. */
static gboolean
input_node (GradLayer * self, GradTensor * input, GstBuffer * in, GradNode ** node,
    GError ** error)
{
  *node = grad_buffer_get_node (in);
  if (*node == NULL
      || ((*node)->output == input && (*node)->output_writes == input->n_writes))
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "an element in front of %s has changed "
      "the output of the layer before it: no gradient can flow back; move it out of the training "
      "branch", GST_OBJECT_NAME (self));
  return FALSE;
}

/* What the properties say counts for a whole step. */
static void
set_training (GradLayerPrivate * priv, GradLayer * self)
{
  gboolean frozen;
  gdouble scale;

  GST_OBJECT_LOCK (self);
  frozen = priv->frozen;
  scale = priv->learning_rate_scale;
  GST_OBJECT_UNLOCK (self);
  grad_graph_set_training (priv->graph, frozen, scale);
}

static gboolean
compute (GradLayer * self, GradSampleMeta * sample, GradStep * step, GradTensor * input,
    GstBuffer * in, GstBuffer * out, GError ** error)
{
  GradLayerPrivate *priv = PRIV (self);
  GradPhase phase = sample ? sample->phase : GRAD_PHASE_INFER;
  GradValue value = { input, NULL }, output;
  gboolean wanted = TRUE;

  if (KLASS (self)->before && !KLASS (self)->before (self, sample, &wanted, error))
    return FALSE;
  if (!wanted) {
    gst_buffer_append_memory (out, GST_MEMORY_CAST (grad_tensor_ref (input)));
    return TRUE;
  }
  if (step != NULL)
    set_training (priv, self);
  if (step != NULL && !input_node (self, input, in, &value.node, error))
    return FALSE;
  if (!grad_graph_forward (priv->graph, step, phase == GRAD_PHASE_INFER, &value, &output, error))
    return FALSE;
  gst_buffer_append_memory (out, GST_MEMORY_CAST (g_steal_pointer (&output.tensor)));
  if (output.node != NULL)
    grad_buffer_add_tape_meta (out, output.node);
  grad_value_clear (&output);
  if (KLASS (self)->after)
    KLASS (self)->after (self, out);
  return TRUE;
}

static gboolean
grad_layer_process (GradTransform * trans, GradTensor * input, GstBuffer * in, GstBuffer * out,
    GError ** error)
{
  GradLayer *self = GRAD_LAYER (trans);
  GradLayerPrivate *priv = PRIV (self);
  GradSampleMeta *sample = grad_buffer_get_sample_meta (in);
  GradStep *step = NULL;
  gboolean ok;

  if (GST_BUFFER_PTS_IS_VALID (in))
    gst_object_sync_values (GST_OBJECT (self), GST_BUFFER_PTS (in));
  if (sample != NULL && !grad_network_enter (priv->network, sample->phase, sample->source,
          sample->sequence, &priv->flushing, &step)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_ABORTED, "flushing");
    return FALSE;
  }
  if (sample != NULL && sample->phase == GRAD_PHASE_TRAIN
      && !grad_network_has_optimizer (priv->network)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "got a batch to train with, but network "
        "\"%s\" has no optimizer: end the pipeline with gradadamsink, or use phase=evaluate",
        grad_network_get_name (priv->network));
    ok = FALSE;
  } else {
    warn_of_random_weights (self);
    ok = compute (self, sample, step, input, in, out, error);
  }
  g_clear_pointer (&step, grad_step_unref);
  return ok;
}

static gboolean
grad_layer_sink_event (GstBaseTransform * trans, GstEvent * event)
{
  GradLayerPrivate *priv = PRIV (trans);

  /* before chaining up: the streaming thread may be waiting for its turn */
  if (GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_START && priv->network)
    grad_network_set_flushing (priv->network, &priv->flushing, TRUE);
  else if (GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_STOP && priv->network) {
    grad_network_set_flushing (priv->network, &priv->flushing, FALSE);
    if (g_atomic_int_get (&priv->stopped))      /* at the same time, by another thread */
      grad_network_set_flushing (priv->network, &priv->flushing, TRUE);
  }
  return GST_BASE_TRANSFORM_CLASS (grad_layer_parent_class)->sink_event (trans, event);
}

static GstStateChangeReturn
grad_layer_change_state (GstElement * element, GstStateChange transition)
{
  GradLayerPrivate *priv = PRIV (element);
  GstStateChangeReturn ret;

  /* before chaining up, or the pads could not be deactivated */
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED
      || transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    gboolean stop = transition == GST_STATE_CHANGE_PAUSED_TO_READY;

    g_atomic_int_set (&priv->stopped, stop);
    grad_network_set_flushing (priv->network, &priv->flushing, stop);
  }
  ret = GST_ELEMENT_CLASS (grad_layer_parent_class)->change_state (element, transition);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL
      || (transition == GST_STATE_CHANGE_NULL_TO_READY && ret == GST_STATE_CHANGE_FAILURE)) {
    g_clear_object (&priv->network);
    g_clear_pointer (&priv->prefix, g_free);
  }
  return ret;
}

static void
grad_layer_get_property (GObject * object, guint id, GValue * value, GParamSpec * pspec)
{
  gboolean numbered = id == (guint) G_PRIVATE_OFFSET (GradLayer, param_prefix) && PRIV (object)->prefix;

  grad_element_get_property (object, numbered ? G_PRIVATE_OFFSET (GradLayer, prefix) : id, value, pspec);
}

static void
grad_layer_finalize (GObject * object)
{
  GradLayerPrivate *priv = PRIV (object);

  g_free (priv->model_name);
  g_free (priv->model);
  g_free (priv->param_prefix);
  g_free (priv->prefix);
  g_clear_object (&priv->network);
  g_clear_object (&priv->graph);
  G_OBJECT_CLASS (grad_layer_parent_class)->finalize (object);
}

static void
grad_layer_class_init (GradLayerClass * klass)
{
  const GParamFlags controlled = GRAD_PARAM_PLAYING | GST_PARAM_CONTROLLABLE;
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GradTransformClass *transform_class = GRAD_TRANSFORM_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_layer_debug, "gradlayer", 0, "GradStreamer layers");
  grad_element_class_init_properties (object_class);
  object_class->get_property = grad_layer_get_property;
  object_class->finalize = grad_layer_finalize;

  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradLayer, model_name),
      g_param_spec_string ("model-name", "Model name", "Name of the network that this element "
          "belongs to; networks of different names train independently", "main",
          GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradLayer, model),
      g_param_spec_string ("model", "Model file", "Safetensors file with the weights of the "
          "whole network; enough on one of its layers", NULL, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradLayer, param_prefix),
      g_param_spec_string ("param-prefix", "Parameter prefix", "Prefix of this layer's parameter "
          "names in model files; by default numbered in the order of the network", NULL,
          GRAD_PARAM_STATIC | GRAD_PARAM_STRUCTURAL));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradLayer, frozen),
      g_param_spec_boolean ("frozen", "Frozen", "Whether training leaves this layer's parameters and "
          "running statistics as they are, and only hands the gradient on", FALSE, controlled));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradLayer, learning_rate_scale),
      g_param_spec_double ("learning-rate-scale", "Learning rate scale", "What the learning rate is "
          "multiplied with for this layer's parameters", 0, G_MAXDOUBLE, 1, controlled));

  GST_ELEMENT_CLASS (klass)->change_state = GST_DEBUG_FUNCPTR (grad_layer_change_state);
  GST_BASE_TRANSFORM_CLASS (klass)->sink_event = GST_DEBUG_FUNCPTR (grad_layer_sink_event);
  transform_class->input_rank = 4;
  transform_class->attach = grad_layer_attach;
  transform_class->stop = grad_layer_stop;
  transform_class->infer_shape = grad_layer_infer_shape;
  transform_class->prepare = grad_layer_prepare;
  transform_class->process = grad_layer_process;

  gst_type_mark_as_plugin_api (GRAD_TYPE_LAYER, 0);
}

static void
grad_layer_init (GradLayer * self)
{
}
