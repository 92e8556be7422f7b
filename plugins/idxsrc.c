/* GradStreamer: batches of pictures from IDX files
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-idxsrc
 * @title: idxsrc
 * @short_description: reads IDX files, as MNIST and Fashion-MNIST come in
 *
 * Reads pictures (rank 3, uint8) and labels (rank 1, uint8), plain or gzip, and makes batches (N, 1, H, W) uint8.
 * For training, every epoch is one pass over the shuffled training set and one over the test set; without an
 * optimizer in the pipeline, one pass over `location` in the order of the file.
 *
 * The last batch of a pass is smaller when the set is no multiple of `batch-size`. Timestamps count samples, 1 ms each.
 *
 * ## Example
 * |[
 * gst-launch-1.0 -v idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz batch-size=100 ! fakesink
 * ]|
 */
#include "config.h"
#include "lib/autograd/gradsamplemeta.h"
#include "lib/base/gradelement.h"
#include "lib/data/gradsampler.h"
#include "gradstreamerelements.h"

#include <gst/base/gstpushsrc.h>
#include <string.h>

typedef enum
{
  SOURCE_AUTO,
  SOURCE_TRAIN,
  SOURCE_EVALUATE,
  SOURCE_INFER
} SourcePhase;

#define GRAD_TYPE_IDX_SRC (grad_idx_src_get_type ())
G_DECLARE_FINAL_TYPE (GradIdxSrc, grad_idx_src, GRAD, IDX_SRC, GstPushSrc)

struct _GradIdxSrc
{
  GstPushSrc parent;

  /* properties, object lock */
  gchar *location, *labels, *test_location, *test_labels, *class_names, *model_name;
  guint batch_size, epochs;
  SourcePhase phase;
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
};

enum
{
  PROP_0,
  PROP_LOCATION,
  PROP_LABELS,
  PROP_TEST_LOCATION,
  PROP_TEST_LABELS,
  PROP_CLASS_NAMES,
  PROP_MODEL_NAME,
  PROP_BATCH_SIZE,
  PROP_EPOCHS,
  PROP_PHASE,
  PROP_SHUFFLE,
  PROP_SEED,
  PROP_DROP_LAST
};

#define DEFAULT_BATCH_SIZE 256
#define DEFAULT_EPOCHS 1
#define DEFAULT_PHASE SOURCE_AUTO
#define DEFAULT_SHUFFLE TRUE
#define DEFAULT_SEED 0
#define DEFAULT_DROP_LAST FALSE
#define DEFAULT_MODEL_NAME "main"

static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("uint8")));

G_DEFINE_FINAL_TYPE (GradIdxSrc, grad_idx_src, GST_TYPE_PUSH_SRC);
GST_ELEMENT_REGISTER_DEFINE (idxsrc, "idxsrc", GST_RANK_NONE, GRAD_TYPE_IDX_SRC);

#define GRAD_TYPE_IDX_SRC_PHASE (grad_idx_src_phase_get_type ())
static GType
grad_idx_src_phase_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {SOURCE_AUTO, "Train if there is an optimizer, else evaluate", "auto"},
    {SOURCE_TRAIN, "Train, and evaluate after each epoch", "train"},
    {SOURCE_EVALUATE, "Measure loss and accuracy", "evaluate"},
    {SOURCE_INFER, "Classify", "infer"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradIdxSrcPhase", values));
  return type;
}

static gboolean
fail (GradIdxSrc * self, GError * error)
{
  grad_element_post_error (GST_ELEMENT (self), error);
  g_error_free (error);
  return FALSE;
}

/* What the passes over `location` are for. */
static gboolean
choose_phase (GradIdxSrc * self, SourcePhase asked, gboolean has_labels, GError ** error)
{
  g_autoptr (GradNetwork) network = grad_bus_get_network (self->bus, self->model_name);
  gboolean optimizer = grad_network_has_optimizer (network);

  if (asked == SOURCE_AUTO)
    asked = optimizer ? SOURCE_TRAIN : has_labels ? SOURCE_EVALUATE : SOURCE_INFER;
  self->options.phase = asked == SOURCE_TRAIN ? GRAD_PHASE_TRAIN
      : asked == SOURCE_EVALUATE ? GRAD_PHASE_EVALUATE : GRAD_PHASE_INFER;
  if (asked == SOURCE_TRAIN && !optimizer) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "phase=train, but network \"%s\" has no "
        "optimizer: end the pipeline with gradadamsink, or use phase=evaluate or infer",
        grad_network_get_name (network));
    return FALSE;
  }
  if (asked != SOURCE_INFER && !has_labels) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "to %s, set labels to the file with the labels of location",
        grad_phase_to_string (self->options.phase));
    return FALSE;
  }
  return TRUE;
}

/* The set to evaluate with after each epoch, which must be of the same kind; *test stays NULL when there is none to
 * be used. */
static gboolean
open_test (GradIdxSrc * self, const gchar * location, const gchar * labels, GradDataset * train,
    GradDataset ** test, GError ** error)
{
  if (location == NULL || self->options.phase != GRAD_PHASE_TRAIN)
    return TRUE;
  if (labels == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "set test-labels to the file with the labels of test-location");
    return FALSE;
  }
  *test = grad_dataset_open_idx (location, labels, error);
  if (*test == NULL || (grad_dataset_get_width (*test) == grad_dataset_get_width (train)
          && grad_dataset_get_height (*test) == grad_dataset_get_height (train)))
    return *test != NULL;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "the pictures of location are %dx%d, those of "
      "test-location %dx%d", grad_dataset_get_width (train), grad_dataset_get_height (train),
      grad_dataset_get_width (*test), grad_dataset_get_height (*test));
  return FALSE;
}

static gboolean
open_files (GradIdxSrc * self, GError ** error)
{
  g_autofree gchar *location = NULL, *labels = NULL, *test_location = NULL, *test_labels = NULL;
  g_autoptr (GradDataset) train = NULL, test = NULL;
  SourcePhase phase;

  GST_OBJECT_LOCK (self);
  location = g_strdup (self->location);
  labels = g_strdup (self->labels);
  test_location = g_strdup (self->test_location);
  test_labels = g_strdup (self->test_labels);
  phase = self->phase;
  self->options = (GradSamplerOptions) {
    .batch_size = self->batch_size,.epochs = self->epochs,.shuffle = self->shuffle,
    .drop_last = self->drop_last,.seed = self->seed
  };
  GST_OBJECT_UNLOCK (self);

  if (location == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "set location to an IDX file with pictures");
    return FALSE;
  }
  if (!choose_phase (self, phase, labels != NULL, error)
      || !(train = grad_dataset_open_idx (location, labels, error))
      || !open_test (self, test_location, test_labels, train, &test, error))
    return FALSE;
  self->width = grad_dataset_get_width (train);
  self->height = grad_dataset_get_height (train);
  self->sampler = grad_sampler_new (train, test, &self->options, error);
  return self->sampler != NULL;
}

static gboolean
grad_idx_src_stop (GstBaseSrc * src)
{
  GradIdxSrc *self = GRAD_IDX_SRC (src);

  g_clear_pointer (&self->sampler, grad_sampler_free);
  g_clear_object (&self->device);
  return TRUE;
}

/* Not GstBaseSrc's start(), which adds an error of its own when it fails. */
static gboolean
start (GradIdxSrc * self)
{
  GError *error = NULL;

  if (!open_files (self, &error)
      || !(self->device = grad_element_open_device (GST_ELEMENT (self), self->bus, &error))) {
    grad_idx_src_stop (GST_BASE_SRC (self));
    return fail (self, error);
  }
  self->samples_done = 0;
  self->caps_n = 0;
  self->told = FALSE;
  return TRUE;
}

/* Tells downstream what it must know. */
static void
push_dataset (GradIdxSrc * self)
{
  GradSampler *sampler = self->sampler;
  GstStructure *s = gst_structure_new (GRAD_DATASET_EVENT,
      "train-samples", G_TYPE_UINT, grad_sampler_get_pass_size (sampler, FALSE),
      "test-samples", G_TYPE_UINT, grad_sampler_get_pass_size (sampler, TRUE),
      "train-batches", G_TYPE_UINT, grad_sampler_get_n_batches (sampler, FALSE),
      "test-batches", G_TYPE_UINT, grad_sampler_get_n_batches (sampler, TRUE),
      "epochs", G_TYPE_UINT, self->options.epochs,
      "batch-size", G_TYPE_UINT, self->options.batch_size,
      "width", G_TYPE_INT, self->width, "height", G_TYPE_INT, self->height, NULL);

  GST_OBJECT_LOCK (self);
  gst_structure_set (s, "class-names", G_TYPE_STRING, self->class_names ? self->class_names : "",
      NULL);
  GST_OBJECT_UNLOCK (self);
  gst_pad_push_event (GST_BASE_SRC_PAD (self),
      gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, s));
  self->told = TRUE;
}

static void
attach_samples (GradIdxSrc * self, GstBuffer * buffer, const GradBatch * batch)
{
  GradSampleMeta *meta = grad_buffer_add_sample_meta (buffer);

  meta->phase = batch->phase;
  meta->source = self->source;
  meta->sequence = ++self->sequence;
  meta->epoch = batch->epoch;
  meta->epochs = self->options.epochs;
  meta->batch = batch->batch;
  meta->batches = batch->n_batches;
  meta->index = batch->first;
  meta->n_samples = batch->n;
  meta->last = batch->last;
  meta->indices = g_bytes_new (batch->indices, batch->n * sizeof (guint32));
  if (grad_dataset_has_labels (batch->set)) {
    gint32 *labels = g_new (gint32, batch->n);

    for (guint i = 0; i < batch->n; i++)
      labels[i] = grad_dataset_get_label (batch->set, batch->indices[i]);
    meta->labels = g_bytes_new_take (labels, batch->n * sizeof (gint32));
  }
}

/* (N, 1, H, W) uint8 */
static GstBuffer *
read_batch (GradIdxSrc * self, const GradBatch * batch, GError ** error)
{
  gsize size = (gsize) self->width * self->height;
  GradTensor *tensor = grad_tensor_new (self->device, GRAD_DTYPE_UINT8,
      &GRAD_SHAPE (batch->n, 1, self->height, self->width), error);
  GstBuffer *buffer;
  GstMapInfo map;

  if (tensor == NULL)
    return NULL;
  gst_memory_map (GST_MEMORY_CAST (tensor), &map, GST_MAP_WRITE);
  for (guint i = 0; i < batch->n; i++)
    memcpy (map.data + i * size, grad_dataset_get_image (batch->set, batch->indices[i]), size);
  gst_memory_unmap (GST_MEMORY_CAST (tensor), &map);

  buffer = gst_buffer_new ();
  gst_buffer_append_memory (buffer, GST_MEMORY_CAST (tensor));
  GST_BUFFER_PTS (buffer) = self->samples_done * GST_MSECOND;
  GST_BUFFER_DURATION (buffer) = batch->n * GST_MSECOND;
  GST_BUFFER_OFFSET (buffer) = self->samples_done;
  self->samples_done += batch->n;
  GST_BUFFER_OFFSET_END (buffer) = self->samples_done;
  attach_samples (self, buffer, batch);
  return buffer;
}

static gboolean
set_batch_size (GradIdxSrc * self, guint n)
{
  g_autoptr (GstCaps) caps =
      grad_caps_new (GRAD_DTYPE_UINT8, &GRAD_SHAPE (n, 1, self->height, self->width), 0, 1);

  /* a flush makes it fail, too; once more, as that may be over by now */
  if (!gst_base_src_set_caps (GST_BASE_SRC (self), caps)
      && !gst_base_src_set_caps (GST_BASE_SRC (self), caps))
    return FALSE;
  self->caps_n = n;
  return TRUE;
}

static GstFlowReturn
grad_idx_src_create (GstPushSrc * src, GstBuffer ** buffer)
{
  GradIdxSrc *self = GRAD_IDX_SRC (src);
  GError *error = NULL;
  GradBatch batch;

  if (!grad_sampler_next (self->sampler, &batch))
    return GST_FLOW_EOS;
  if (batch.n != self->caps_n && !set_batch_size (self, batch.n))
    return GST_PAD_IS_FLUSHING (GST_BASE_SRC_PAD (self)) ? GST_FLOW_FLUSHING
        : GST_FLOW_NOT_NEGOTIATED;
  if (!self->told)
    push_dataset (self);
  *buffer = read_batch (self, &batch, &error);
  if (*buffer != NULL)
    return GST_FLOW_OK;
  fail (self, error);
  return GST_FLOW_ERROR;
}

static gboolean
grad_idx_src_query (GstBaseSrc * src, GstQuery * query)
{
  GradIdxSrc *self = GRAD_IDX_SRC (src);
  GstFormat format;

  if (grad_element_query_context (GST_ELEMENT (self), query, self->bus))
    return TRUE;
  if (GST_QUERY_TYPE (query) == GST_QUERY_DURATION && self->sampler != NULL) {
    gst_query_parse_duration (query, &format, NULL);
    if (format == GST_FORMAT_TIME) {
      gst_query_set_duration (query, format, (guint64) self->options.epochs
          * (grad_sampler_get_pass_size (self->sampler, FALSE)
              + grad_sampler_get_pass_size (self->sampler, TRUE)) * GST_MSECOND);
      return TRUE;
    }
  }
  return GST_BASE_SRC_CLASS (grad_idx_src_parent_class)->query (src, query);
}

static gboolean
grad_idx_src_decide_allocation (GstBaseSrc * src, GstQuery * query)
{
  return TRUE;                  /* tensors come from the device's pool */
}

/* Caps are set batch by batch: the last one of a pass may be smaller. */
static gboolean
grad_idx_src_negotiate (GstBaseSrc * src)
{
  return TRUE;
}

static gboolean
grad_idx_src_is_seekable (GstBaseSrc * src)
{
  return FALSE;
}

static GstStateChangeReturn
grad_idx_src_change_state (GstElement * element, GstStateChange transition)
{
  GradIdxSrc *self = GRAD_IDX_SRC (element);
  GstStateChangeReturn ret;

  if (transition == GST_STATE_CHANGE_NULL_TO_READY) {
    GError *error = NULL;

    grad_element_join_bus (element, &self->bus);
    if (!grad_bus_set_seed (self->bus, self->seed, &error)) {
      grad_element_leave_bus (&self->bus);
      fail (self, error);
      return GST_STATE_CHANGE_FAILURE;
    }
  } else if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !start (self))
    return GST_STATE_CHANGE_FAILURE;
  ret = GST_ELEMENT_CLASS (grad_idx_src_parent_class)->change_state (element, transition);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL)
    grad_element_leave_bus (&self->bus);
  return ret;
}

/* where each property is kept */
static const gsize fields[] = {
  [PROP_LOCATION] = G_STRUCT_OFFSET (GradIdxSrc, location),
  [PROP_LABELS] = G_STRUCT_OFFSET (GradIdxSrc, labels),
  [PROP_TEST_LOCATION] = G_STRUCT_OFFSET (GradIdxSrc, test_location),
  [PROP_TEST_LABELS] = G_STRUCT_OFFSET (GradIdxSrc, test_labels),
  [PROP_CLASS_NAMES] = G_STRUCT_OFFSET (GradIdxSrc, class_names),
  [PROP_MODEL_NAME] = G_STRUCT_OFFSET (GradIdxSrc, model_name),
  [PROP_BATCH_SIZE] = G_STRUCT_OFFSET (GradIdxSrc, batch_size),
  [PROP_EPOCHS] = G_STRUCT_OFFSET (GradIdxSrc, epochs),
  [PROP_PHASE] = G_STRUCT_OFFSET (GradIdxSrc, phase),
  [PROP_SHUFFLE] = G_STRUCT_OFFSET (GradIdxSrc, shuffle),
  [PROP_SEED] = G_STRUCT_OFFSET (GradIdxSrc, seed),
  [PROP_DROP_LAST] = G_STRUCT_OFFSET (GradIdxSrc, drop_last),
};

static void
grad_idx_src_set_property (GObject * object, guint id, const GValue * value, GParamSpec * pspec)
{
  grad_element_set_field (object, G_STRUCT_MEMBER_P (object, fields[id]), value);
}

static void
grad_idx_src_get_property (GObject * object, guint id, GValue * value, GParamSpec * pspec)
{
  grad_element_get_field (object, G_STRUCT_MEMBER_P (object, fields[id]), value);
}

static void
grad_idx_src_finalize (GObject * object)
{
  GradIdxSrc *self = GRAD_IDX_SRC (object);

  for (guint id = PROP_LOCATION; id <= PROP_MODEL_NAME; id++)
    g_free (G_STRUCT_MEMBER (gchar *, self, fields[id]));
  G_OBJECT_CLASS (grad_idx_src_parent_class)->finalize (object);
}

static void
install_strings (GObjectClass * klass)
{
  static const struct
  {
    guint id;
    const gchar *name, *nick, *blurb, *value;
  } strings[] = {
    {PROP_LOCATION, "location", "Picture file", "IDX file with the pictures, plain or gzip"},
    {PROP_LABELS, "labels", "Label file", "IDX file with the labels of location"},
    {PROP_TEST_LOCATION, "test-location", "Test picture file",
        "IDX file with pictures to evaluate after each epoch of training"},
    {PROP_TEST_LABELS, "test-labels", "Test label file",
        "IDX file with the labels of test-location"},
    {PROP_CLASS_NAMES, "class-names", "Class names",
        "Names of the classes, from label 0 on, separated by commas; kept in the model file"},
    {PROP_MODEL_NAME, "model-name", "Model name",
          "Network whose optimizer phase=auto looks for", DEFAULT_MODEL_NAME},
  };

  for (guint i = 0; i < G_N_ELEMENTS (strings); i++)
    g_object_class_install_property (klass, strings[i].id,
        g_param_spec_string (strings[i].name, strings[i].nick, strings[i].blurb,
            strings[i].value, GRAD_PARAM_STATIC));
}

static void
grad_idx_src_class_init (GradIdxSrcClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseSrcClass *src_class = GST_BASE_SRC_CLASS (klass);

  object_class->set_property = grad_idx_src_set_property;
  object_class->get_property = grad_idx_src_get_property;
  object_class->finalize = grad_idx_src_finalize;

  install_strings (object_class);
  g_object_class_install_property (object_class, PROP_BATCH_SIZE,
      g_param_spec_uint ("batch-size", "Batch size", "Samples in a batch; lower it when memory "
          "runs out", 1, 1 << 20, DEFAULT_BATCH_SIZE, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, PROP_EPOCHS,
      g_param_spec_uint ("epochs", "Epochs", "Passes over the data", 1, G_MAXUINT,
          DEFAULT_EPOCHS, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, PROP_PHASE,
      g_param_spec_enum ("phase", "Phase", "What the batches are for", GRAD_TYPE_IDX_SRC_PHASE,
          DEFAULT_PHASE, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, PROP_SHUFFLE,
      g_param_spec_boolean ("shuffle", "Shuffle", "Whether each epoch of training has a new "
          "random order", DEFAULT_SHUFFLE, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, PROP_SEED,
      g_param_spec_uint64 ("seed", "Seed", "Seed of everything random in the run: order and "
          "initial weights", 0, G_MAXUINT64, DEFAULT_SEED, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, PROP_DROP_LAST,
      g_param_spec_boolean ("drop-last", "Drop last", "Whether a last batch of fewer samples is "
          "left out of training", DEFAULT_DROP_LAST, GRAD_PARAM_STATIC));

  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "IDX source", "Source/Tensor",
      "Reads batches of pictures and their labels from IDX files (MNIST, Fashion-MNIST)",
      PACKAGE_AUTHOR);
  element_class->change_state = GST_DEBUG_FUNCPTR (grad_idx_src_change_state);
  src_class->stop = GST_DEBUG_FUNCPTR (grad_idx_src_stop);
  src_class->query = GST_DEBUG_FUNCPTR (grad_idx_src_query);
  src_class->negotiate = GST_DEBUG_FUNCPTR (grad_idx_src_negotiate);
  src_class->is_seekable = GST_DEBUG_FUNCPTR (grad_idx_src_is_seekable);
  src_class->decide_allocation = GST_DEBUG_FUNCPTR (grad_idx_src_decide_allocation);
  GST_PUSH_SRC_CLASS (klass)->create = GST_DEBUG_FUNCPTR (grad_idx_src_create);
  gst_type_mark_as_plugin_api (GRAD_TYPE_IDX_SRC_PHASE, 0);
}

static void
grad_idx_src_init (GradIdxSrc * self)
{
  self->batch_size = DEFAULT_BATCH_SIZE;
  self->epochs = DEFAULT_EPOCHS;
  self->shuffle = DEFAULT_SHUFFLE;
  self->model_name = g_strdup (DEFAULT_MODEL_NAME);
  self->source = grad_sample_meta_new_source ();
  gst_base_src_set_format (GST_BASE_SRC (self), GST_FORMAT_TIME);
}
