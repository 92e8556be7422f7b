/* GradStreamer: base class of sources that make batches of a data set
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Owns the order of the samples, phases and epochs, and what travels with a batch. A subclass opens the data. */
#include "gradsource.h"
#include "gradsourcephase-private.h"
#include "../autograd/gradsamplemeta.h"

typedef struct
{
  /* properties, object lock */
  gchar *class_names, *model_name;
  guint batch_size, epochs;
  GradSourcePhase phase;
  gboolean shuffle, drop_last;
  guint64 seed;

  /* from NULL to READY on */
  GradBus *bus;
  /* while PAUSED or PLAYING */
  GradDevice *device;
  GradSamplerOptions options;   /* in use */
  GradSampler *sampler;
  gint width, height;
  /* streaming thread */
  guint64 samples_done;
  guint caps_n;                 /* batch size that the caps say */
  gboolean told;
  /* never reset: steps are told apart by them */
  guint64 source, sequence;
} GradSourcePrivate;

static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("uint8")));

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (GradSource, grad_source, GST_TYPE_PUSH_SRC);
#define PRIV(s) ((GradSourcePrivate *) grad_source_get_instance_private (GRAD_SOURCE (s)))

static void
begin_at (GradSourcePrivate * priv, GradPosition start)
{
  guint64 train = grad_sampler_get_pass_size (priv->sampler, FALSE);
  guint64 epoch = train + grad_sampler_get_pass_size (priv->sampler, TRUE);

  grad_sampler_seek (priv->sampler, start.epoch, start.testing, start.samples);
  priv->samples_done = MIN (start.epoch - 1, priv->options.epochs) * epoch
      + (start.testing ? train : 0) + start.samples;
}

static gboolean
open_data (GradSource * self, GError ** error)
{
  GradSourcePrivate *priv = PRIV (self);
  GradSourceClass *klass = GRAD_SOURCE_GET_CLASS (self);
  g_autoptr (GradNetwork) network = grad_bus_get_network (priv->bus, priv->model_name);
  g_autoptr (GradDataset) train = NULL, test = NULL;
  GradSourcePhase phase;

  GST_OBJECT_LOCK (self);
  phase = priv->phase;
  priv->options = (GradSamplerOptions) {
    .batch_size = priv->batch_size,.epochs = priv->epochs,.shuffle = priv->shuffle,
    .drop_last = priv->drop_last,.seed = grad_bus_get_seed (priv->bus)
  };
  GST_OBJECT_UNLOCK (self);

  if (!grad_source_phase_choose (phase, network, klass->has_labels (self), &priv->options.phase,
          error)
      || !klass->open (self, priv->options.phase == GRAD_PHASE_TRAIN, &train, &test, error))
    return FALSE;
  priv->width = grad_dataset_get_width (train);
  priv->height = grad_dataset_get_height (train);
  if (test != NULL && (grad_dataset_get_width (test) != priv->width
          || grad_dataset_get_height (test) != priv->height)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "the pictures of location are %dx%d, those of "
        "test-location %dx%d: name two sets of one size", priv->width, priv->height, grad_dataset_get_width (test),
        grad_dataset_get_height (test));
    return FALSE;
  }
  priv->sampler = grad_sampler_new (train, test, &priv->options, error);
  if (priv->sampler == NULL)
    return FALSE;
  begin_at (priv, priv->options.phase == GRAD_PHASE_TRAIN ? grad_network_get_start (network)
      : (GradPosition) {
      1});
  return TRUE;
}

static gboolean
grad_source_stop (GstBaseSrc * src)
{
  GradSource *self = GRAD_SOURCE (src);
  GradSourcePrivate *priv = PRIV (self);

  GradSampler *sampler;

  GST_OBJECT_LOCK (self);       /* which queries take */
  sampler = g_steal_pointer (&priv->sampler);
  GST_OBJECT_UNLOCK (self);
  g_clear_pointer (&sampler, grad_sampler_free);
  g_clear_object (&priv->device);
  return TRUE;
}

/* Not GstBaseSrc's start(), which adds an error of its own when it fails. */
static gboolean
start (GradSource * self)
{
  GradSourcePrivate *priv = PRIV (self);
  GError *error = NULL;

  if (!open_data (self, &error)
      || !(priv->device = grad_element_open_device (GST_ELEMENT (self), priv->bus, &error))) {
    grad_source_stop (GST_BASE_SRC (self));
    return grad_element_fail (self, error);
  }
  priv->caps_n = 0;
  priv->told = FALSE;
  return TRUE;
}

/* Tells downstream what it must know. */
static void
push_dataset (GradSource * self)
{
  GradSourcePrivate *priv = PRIV (self);
  GradSampler *sampler = priv->sampler;
  GstStructure *s = gst_structure_new (GRAD_DATASET_EVENT,
      "train-samples", G_TYPE_UINT, grad_sampler_get_pass_size (sampler, FALSE),
      "test-samples", G_TYPE_UINT, grad_sampler_get_pass_size (sampler, TRUE),
      "train-batches", G_TYPE_UINT, grad_sampler_get_n_batches (sampler, FALSE),
      "test-batches", G_TYPE_UINT, grad_sampler_get_n_batches (sampler, TRUE),
      "epochs", G_TYPE_UINT, priv->options.epochs,
      "batch-size", G_TYPE_UINT, priv->options.batch_size,
      "shuffle", G_TYPE_BOOLEAN, priv->options.shuffle,
      "source", G_TYPE_UINT64, priv->source, "trains", G_TYPE_BOOLEAN, priv->options.phase == GRAD_PHASE_TRAIN,
      "width", G_TYPE_INT, priv->width, "height", G_TYPE_INT, priv->height, NULL);

  GST_OBJECT_LOCK (self);
  gst_structure_set (s, "class-names", G_TYPE_STRING, priv->class_names ? priv->class_names : "",
      NULL);
  GST_OBJECT_UNLOCK (self);
  gst_pad_push_event (GST_BASE_SRC_PAD (self),
      gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, s));
  priv->told = TRUE;
}

static void
attach_samples (GradSource * self, GstBuffer * buffer, const GradBatch * batch)
{
  GradSourcePrivate *priv = PRIV (self);
  GradSampleMeta *meta = grad_buffer_add_sample_meta (buffer);

  meta->phase = batch->phase;
  meta->source = priv->source;
  meta->sequence = ++priv->sequence;
  meta->epoch = batch->epoch;
  meta->epochs = priv->options.epochs;
  meta->batch = batch->batch;
  meta->batches = batch->n_batches;
  meta->index = batch->first;
  meta->n_samples = batch->n;
  meta->last = batch->last;
  meta->indices = g_bytes_new (batch->indices, batch->n * sizeof (guint32));
  meta->labels = grad_batch_get_labels (batch);
}

static GstBuffer *
read_batch (GradSource * self, const GradBatch * batch, GError ** error)
{
  GradSourcePrivate *priv = PRIV (self);
  GradTensor *tensor = grad_batch_read (batch, priv->device, error);
  GstBuffer *buffer;

  if (tensor == NULL)
    return NULL;
  buffer = gst_buffer_new ();
  gst_buffer_append_memory (buffer, GST_MEMORY_CAST (tensor));
  GST_BUFFER_PTS (buffer) = priv->samples_done * GST_MSECOND;
  GST_BUFFER_DURATION (buffer) = batch->n * GST_MSECOND;
  GST_BUFFER_OFFSET (buffer) = priv->samples_done;
  priv->samples_done += batch->n;
  GST_BUFFER_OFFSET_END (buffer) = priv->samples_done;
  attach_samples (self, buffer, batch);
  return buffer;
}

static gboolean
set_batch_size (GradSource * self, guint n)
{
  GradSourcePrivate *priv = PRIV (self);
  g_autoptr (GstCaps) caps =
      grad_caps_new (GRAD_DTYPE_UINT8, &GRAD_SHAPE (n, 1, priv->height, priv->width), 0, 1);

  /* a flush makes it fail, too; once more, as that may be over by now */
  if (!gst_base_src_set_caps (GST_BASE_SRC (self), caps)
      && !gst_base_src_set_caps (GST_BASE_SRC (self), caps))
    return FALSE;
  priv->caps_n = n;
  return TRUE;
}

static GstFlowReturn
grad_source_create (GstPushSrc * src, GstBuffer ** buffer)
{
  GradSource *self = GRAD_SOURCE (src);
  GradSourcePrivate *priv = PRIV (self);
  GError *error = NULL;
  GradBatch batch;

  if (!grad_sampler_next (priv->sampler, &batch))
    return GST_FLOW_EOS;
  if (batch.n != priv->caps_n && !set_batch_size (self, batch.n))
    return GST_PAD_IS_FLUSHING (GST_BASE_SRC_PAD (self)) ? GST_FLOW_FLUSHING
        : GST_FLOW_NOT_NEGOTIATED;
  if (!priv->told)
    push_dataset (self);
  *buffer = read_batch (self, &batch, &error);
  if (*buffer != NULL)
    return GST_FLOW_OK;
  grad_element_fail (self, error);
  return GST_FLOW_ERROR;
}

static gboolean
grad_source_query (GstBaseSrc * src, GstQuery * query)
{
  GradSource *self = GRAD_SOURCE (src);
  GradSourcePrivate *priv = PRIV (self);
  GstFormat format;

  if (grad_element_query_context (GST_ELEMENT (self), query, priv->bus))
    return TRUE;
  if (GST_QUERY_TYPE (query) == GST_QUERY_DURATION) {
    guint64 size = 0;

    GST_OBJECT_LOCK (self);
    if (priv->sampler != NULL)
      size = grad_sampler_get_pass_size (priv->sampler, FALSE) + grad_sampler_get_pass_size (priv->sampler, TRUE);
    GST_OBJECT_UNLOCK (self);
    gst_query_parse_duration (query, &format, NULL);
    if (size > 0 && format == GST_FORMAT_TIME && priv->options.epochs <= G_MAXINT64 / GST_MSECOND / size) {
      gst_query_set_duration (query, format, priv->options.epochs * size * GST_MSECOND);
      return TRUE;
    }
  }
  return GST_BASE_SRC_CLASS (grad_source_parent_class)->query (src, query);
}

static gboolean
grad_source_decide_allocation (GstBaseSrc * src, GstQuery * query)
{
  return TRUE;                  /* tensors come from the device's pool */
}

/* Caps are set batch by batch: the last one of a pass may be smaller. */
static gboolean
grad_source_negotiate (GstBaseSrc * src)
{
  return TRUE;
}

static gboolean
grad_source_is_seekable (GstBaseSrc * src)
{
  return FALSE;
}

static GstStateChangeReturn
grad_source_change_state (GstElement * element, GstStateChange transition)
{
  GradSource *self = GRAD_SOURCE (element);
  GradSourcePrivate *priv = PRIV (self);
  GstStateChangeReturn ret;

  if (transition == GST_STATE_CHANGE_NULL_TO_READY) {
    GError *error = NULL;

    grad_element_join_bus (element, &priv->bus);
    if (!grad_bus_set_seed (priv->bus, priv->seed, &error)) {
      grad_element_leave_bus (&priv->bus);
      grad_element_fail (self, error);
      return GST_STATE_CHANGE_FAILURE;
    }
  } else if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !start (self))
    return GST_STATE_CHANGE_FAILURE;
  ret = GST_ELEMENT_CLASS (grad_source_parent_class)->change_state (element, transition);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL)
    grad_element_leave_bus (&priv->bus);
  return ret;
}

static void
grad_source_finalize (GObject * object)
{
  GradSourcePrivate *priv = PRIV (object);

  g_free (priv->class_names);
  g_free (priv->model_name);
  G_OBJECT_CLASS (grad_source_parent_class)->finalize (object);
}

static void
grad_source_class_init (GradSourceClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseSrcClass *src_class = GST_BASE_SRC_CLASS (klass);

  grad_element_class_init_properties (object_class);
  object_class->finalize = grad_source_finalize;

  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradSource, class_names),
      g_param_spec_string ("class-names", "Class names", "Names of the classes, from label 0 on, "
          "separated by commas; kept in the model file", NULL, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradSource, model_name),
      g_param_spec_string ("model-name", "Model name", "Network whose optimizer phase=auto looks for",
          "main", GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradSource, batch_size),
      g_param_spec_uint ("batch-size", "Batch size", "Samples in a batch; lower it when memory "
          "runs out", 1, 1 << 20, 256, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradSource, epochs),
      g_param_spec_uint ("epochs", "Epochs", "Passes over the data", 1, G_MAXUINT,
          1, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradSource, phase),
      g_param_spec_enum ("phase", "Phase", "What the batches are for", GRAD_TYPE_SOURCE_PHASE,
          GRAD_SOURCE_AUTO, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradSource, shuffle),
      g_param_spec_boolean ("shuffle", "Shuffle", "Whether each epoch of training has a new "
          "random order", TRUE, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradSource, seed),
      g_param_spec_uint64 ("seed", "Seed", "Seed of everything random in the run: order, augmentation, "
          "initial weights", 0, G_MAXUINT64, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradSource, drop_last),
      g_param_spec_boolean ("drop-last", "Drop last", "Whether a last batch of fewer samples is "
          "left out of training", FALSE, GRAD_PARAM_STATIC));

  gst_element_class_add_static_pad_template (element_class, &src_template);
  element_class->change_state = GST_DEBUG_FUNCPTR (grad_source_change_state);
  src_class->stop = GST_DEBUG_FUNCPTR (grad_source_stop);
  src_class->query = GST_DEBUG_FUNCPTR (grad_source_query);
  src_class->negotiate = GST_DEBUG_FUNCPTR (grad_source_negotiate);
  src_class->is_seekable = GST_DEBUG_FUNCPTR (grad_source_is_seekable);
  src_class->decide_allocation = GST_DEBUG_FUNCPTR (grad_source_decide_allocation);
  GST_PUSH_SRC_CLASS (klass)->create = GST_DEBUG_FUNCPTR (grad_source_create);
  gst_type_mark_as_plugin_api (GRAD_TYPE_SOURCE, 0);
  gst_type_mark_as_plugin_api (GRAD_TYPE_SOURCE_PHASE, 0);
}

static void
grad_source_init (GradSource * self)
{
  GradSourcePrivate *priv = PRIV (self);

  priv->source = grad_sample_meta_new_source ();
  gst_base_src_set_format (GST_BASE_SRC (self), GST_FORMAT_TIME);
}
