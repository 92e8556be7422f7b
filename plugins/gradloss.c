/* GradStreamer: softmax cross-entropy
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradloss
 * @title: gradloss
 * @short_description: what is to be made small
 *
 * Softmax cross-entropy of logits (N, K) and the labels that came with the batch, as the mean over the samples:
 * loss = mean over n of -log (exp (x(n,l)) / sum over k of exp (x(n,k))), l the label of n. The logits pass through;
 * loss and number of correct samples are attached as #GradLossMeta. A batch to infer passes untouched.
 *
 * Without an optimizer in the pipeline, posts the element messages `grad-step` for batches and `grad-epoch`, with loss and
 * accuracy, after each pass over the data: grad-launch prints them.
 *
 * ## Example
 * |[
 * gst-launch-1.0 idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz labels=/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz ! gradresize ! gradconvstem channels=8 ! gradglobalpool ! gradfc ! gradloss ! gradadamsink
 * ]|
 */
#include "config.h"
#include "lib/base/gradlayer.h"
#include "lib/base/gradmetrics-private.h"
#include "lib/model/gradparameter-private.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_LOSS (grad_loss_get_type ())
G_DECLARE_FINAL_TYPE (GradLoss, grad_loss, GRAD, LOSS, GradLayer)

struct _GradLoss
{
  GradLayer parent;

  /* properties, object lock */
  gdouble label_smoothing;
  /* streaming thread */
  GradUnit *unit;               /* not owned: the graph's */
  GradSampleMeta *sample;       /* of the batch */
  GradMetrics metrics;          /* where no optimizer measures */
  gboolean looked;              /* for tensors of a file that nobody takes */
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));

G_DEFINE_FINAL_TYPE (GradLoss, grad_loss, GRAD_TYPE_LAYER);
GST_ELEMENT_REGISTER_DEFINE (gradloss, "gradloss", GST_RANK_NONE, GRAD_TYPE_LOSS);

static void
grad_loss_build (GradLayer * layer, GradGraph * graph, const gchar * prefix)
{
  GradLoss *self = GRAD_LOSS (layer);

  GST_OBJECT_LOCK (self);
  self->unit = grad_loss_unit_new (self->label_smoothing);
  GST_OBJECT_UNLOCK (self);
  grad_graph_add (graph, self->unit, GRAD_GRAPH_INPUT);
}

static gboolean
grad_loss_before (GradLayer * layer, GradSampleMeta * sample, gboolean * compute,
    GError ** error)
{
  GradLoss *self = GRAD_LOSS (layer);

  *compute = sample != NULL && sample->phase != GRAD_PHASE_INFER;
  if (!*compute)
    return TRUE;
  if (sample->labels == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_LABEL,
        "the batch has no labels: set labels on idxsrc (and test-labels with test-location)");
    return FALSE;
  }
  self->sample = sample;
  grad_loss_unit_set_labels (self->unit, g_bytes_get_data (sample->labels, NULL),
      g_bytes_get_size (sample->labels) / sizeof (gint32));
  return TRUE;
}

/* By now all layers have made their parameters. */
static void
warn_of_unused (GradLoss * self)
{
  GradParameterStore *store = grad_network_get_store (grad_layer_peek_network (GRAD_LAYER (self)));
  g_autofree gchar *unused = grad_parameter_store_describe_unused (store);

  self->looked = TRUE;
  if (unused != NULL)
    GST_ELEMENT_WARNING (self, LIBRARY, SETTINGS, ("%s", unused), (NULL));
}

static void
grad_loss_after (GradLayer * layer, GstBuffer * out)
{
  GradLoss *self = GRAD_LOSS (layer);
  GradLossMeta *meta = grad_buffer_add_loss_meta (out);

  if (!self->looked)
    warn_of_unused (self);

  meta->n_samples = self->sample->n_samples;
  meta->result = grad_tensor_ref (grad_loss_unit_get_result (self->unit));
  if (!grad_network_has_optimizer (grad_layer_peek_network (layer)))
    grad_metrics_batch (&self->metrics, self->sample, meta, &(GradMetricsStep) { 0 }, FALSE);
}

static gboolean
grad_loss_start (GradTransform * trans, GError ** error)
{
  GRAD_LOSS (trans)->looked = FALSE;
  grad_metrics_start (&GRAD_LOSS (trans)->metrics, GST_ELEMENT (trans), 0, FALSE);
  return TRUE;
}

static void
grad_loss_stop (GradTransform * trans)
{
  grad_metrics_stop (&GRAD_LOSS (trans)->metrics, FALSE);
  GRAD_TRANSFORM_CLASS (grad_loss_parent_class)->stop (trans);
}

static void
grad_loss_class_init (GradLossClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  grad_element_class_init_properties (object_class);
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradLoss, label_smoothing),
      g_param_spec_double ("label-smoothing", "Label smoothing", "Part of the target that is "
          "spread evenly over all classes, 0 to 1", 0, 1, 0,
          GRAD_PARAM_STATIC));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Softmax cross-entropy",
      "Filter/Tensor", "Measures how far logits are from their labels, and starts the gradient",
      PACKAGE_AUTHOR);
  GRAD_TRANSFORM_CLASS (klass)->input_rank = 2;
  GRAD_TRANSFORM_CLASS (klass)->start = grad_loss_start;
  GRAD_TRANSFORM_CLASS (klass)->stop = grad_loss_stop;
  GRAD_LAYER_CLASS (klass)->build = grad_loss_build;
  GRAD_LAYER_CLASS (klass)->before = grad_loss_before;
  GRAD_LAYER_CLASS (klass)->after = grad_loss_after;
}

static void
grad_loss_init (GradLoss * self)
{
}
