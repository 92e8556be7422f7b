/* GradStreamer: fully connected layer
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradfc
 * @title: gradfc
 * @short_description: fully connected layer
 *
 * y(n,k) = b(k) + sum over c of w(k,c) x(n,c): (N, C) to (N, units). At the end of a classifier its outputs are the logits.
 *
 * Parameters: `weight` (units, C), `bias` (units), both uniform in ±1/sqrt(C) at the start, as in PyTorch.
 *
 * ## Example
 * |[
 * gst-launch-1.0 -v idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz phase=infer ! gradresize ! gradconvstem ! gradglobalpool ! gradfc units=10 ! fakesink num-buffers=1
 * ]|
 */
#include "config.h"
#include "lib/base/gradlayer.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_FC (grad_fc_get_type ())
G_DECLARE_FINAL_TYPE (GradFc, grad_fc, GRAD, FC, GradLayer)

struct _GradFc
{
  GradLayer parent;

  /* properties, object lock */
  gint units;
  gboolean bias;
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));

G_DEFINE_FINAL_TYPE (GradFc, grad_fc, GRAD_TYPE_LAYER);
GST_ELEMENT_REGISTER_DEFINE (gradfc, "gradfc", GST_RANK_NONE, GRAD_TYPE_FC);

static void
grad_fc_build (GradLayer * layer, GradGraph * graph, const gchar * prefix)
{
  GradFc *self = GRAD_FC (layer);

  GST_OBJECT_LOCK (self);
  grad_graph_add (graph, grad_linear_unit_new (prefix, self->units, self->bias),
      GRAD_GRAPH_INPUT);
  GST_OBJECT_UNLOCK (self);
}

static void
grad_fc_class_init (GradFcClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  grad_element_class_init_properties (object_class);
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradFc, units),
      g_param_spec_int ("units", "Units", "Number of outputs: of classes, in the last layer",
          1, G_MAXINT, 10, GRAD_PARAM_STATIC | GRAD_PARAM_STRUCTURAL));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradFc, bias),
      g_param_spec_boolean ("bias", "Bias", "Whether a learned constant is added to each output",
          TRUE, GRAD_PARAM_STATIC | GRAD_PARAM_STRUCTURAL));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Fully connected layer",
      "Filter/Tensor", "Multiplies each vector with a matrix of learned weights", PACKAGE_AUTHOR);
  GRAD_TRANSFORM_CLASS (klass)->input_rank = 2;
  GRAD_LAYER_CLASS (klass)->prefix_kind = "fc";
  GRAD_LAYER_CLASS (klass)->build = grad_fc_build;
}

static void
grad_fc_init (GradFc * self)
{
}
