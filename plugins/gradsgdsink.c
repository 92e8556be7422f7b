/* GradStreamer: stochastic gradient descent
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradsgdsink
 * @title: gradsgdsink
 * @short_description: trains the network in front of it by gradient descent
 *
 * As gradadamsink, with stochastic gradient descent as PyTorch defines it: with g the gradient plus weight-decay times
 * the value, m = momentum m + g, and the value goes learning-rate times m down, with nesterov learning-rate times
 * (g + momentum m).
 *
 * ## Example
 * |[
 * gst-launch-1.0 idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz labels=/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz ! gradresize ! gradconvstem channels=8 ! gradglobalpool ! gradfc ! gradloss ! gradsgdsink learning-rate=0.1 momentum=0.9 nesterov=true schedule=one-cycle
 * ]|
 */
#include "config.h"
#include "lib/base/gradtrainsink.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_SGD_SINK (grad_sgd_sink_get_type ())
G_DECLARE_FINAL_TYPE (GradSgdSink, grad_sgd_sink, GRAD, SGD_SINK, GradTrainSink)

struct _GradSgdSink
{
  GradTrainSink parent;

  /* properties, object lock */
  GradSgdOptions options;
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));

G_DEFINE_FINAL_TYPE (GradSgdSink, grad_sgd_sink, GRAD_TYPE_TRAIN_SINK);
GST_ELEMENT_REGISTER_DEFINE (gradsgdsink, "gradsgdsink", GST_RANK_NONE, GRAD_TYPE_SGD_SINK);

static gboolean
grad_sgd_sink_update (GradTrainSink * sink, GradNetwork * network, gdouble learning_rate,
    GError ** error)
{
  GradSgdOptions options;

  GST_OBJECT_LOCK (sink);
  options = GRAD_SGD_SINK (sink)->options;
  GST_OBJECT_UNLOCK (sink);
  options.learning_rate = learning_rate;
  return grad_network_update_sgd (network, &options, error);
}

static void
grad_sgd_sink_class_init (GradSgdSinkClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  grad_element_class_init_properties (object_class);
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradSgdSink, options.momentum),
      g_param_spec_double ("momentum", "Momentum", "How much of a step goes into the next one, "
          "below 1; 0 for nothing", 0, 1, 0, GRAD_PARAM_PLAYING));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradSgdSink, options.nesterov),
      g_param_spec_boolean ("nesterov", "Nesterov", "Whether the gradient counts where momentum "
          "is going to, not where it comes from", FALSE, GRAD_PARAM_PLAYING));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradSgdSink, options.weight_decay),
      g_param_spec_double ("weight-decay", "Weight decay", "Factor of the weights that is added "
          "to their gradients (L2 penalty)", 0, G_MAXDOUBLE, 0, GRAD_PARAM_PLAYING));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_set_static_metadata (element_class, "Gradient descent optimizer",
      "Sink/Tensor", "Trains the network in front of it by stochastic gradient descent, and saves it",
      PACKAGE_AUTHOR);
  GRAD_TRAIN_SINK_CLASS (klass)->optimizer = "sgd";
  GRAD_TRAIN_SINK_CLASS (klass)->update = grad_sgd_sink_update;
}

static void
grad_sgd_sink_init (GradSgdSink * self)
{
}
