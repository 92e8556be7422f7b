/* GradStreamer: Adam
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradadamsink
 * @title: gradadamsink
 * @short_description: trains the network in front of it
 *
 * Takes the batches that gradloss has measured, drives the backward pass through all layers over the gradient bus,
 * and updates the parameters with Adam (Kingma and Ba, 2015), as PyTorch defines it, with `decoupled-weight-decay=true` as its
 * AdamW (Loshchilov and Hutter, 2019). A batch of phase evaluate is only counted.
 *
 * The learning rate follows a `schedule` over the run, each as PyTorch's of that name, after `warmup-steps`. A step may have
 * several batches (`accumulate`), a gradient that is too long is made shorter (`clip-norm`), and an average of the weights
 * over the last updates can take their place wherever the network is used but for training (`ema`). A loss or gradient that
 * is not finite is an error which says in what step and where, and that step is not applied.
 *
 * Saves the network to `location` after each epoch, every ten minutes (`save-interval`), at the end and when the pipeline is stopped, with all
 * that is needed to go on: with `resume=true` the same pipeline does so, also after it was killed, and ends with the same bits. After the
 * last epoch the file has the network alone.
 *
 * Posts element messages: `grad-step` for batches, `grad-epoch` after each pass over the data, `grad-saved` when
 * a file was written; and progress messages, which gst-launch-1.0 prints.
 *
 * ## Example
 * |[
 * gst-launch-1.0 idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz labels=/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz ! gradresize ! gradconvstem channels=8 ! gradglobalpool ! gradfc ! gradloss ! gradadamsink learning-rate=0.001 location=model.safetensors
 * ]|
 */
#include "config.h"
#include "lib/base/gradtrainsink.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_ADAM_SINK (grad_adam_sink_get_type ())
G_DECLARE_FINAL_TYPE (GradAdamSink, grad_adam_sink, GRAD, ADAM_SINK, GradTrainSink)

struct _GradAdamSink
{
  GradTrainSink parent;

  /* properties, object lock */
  GradAdamOptions options;
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));

G_DEFINE_FINAL_TYPE (GradAdamSink, grad_adam_sink, GRAD_TYPE_TRAIN_SINK);
GST_ELEMENT_REGISTER_DEFINE (gradadamsink, "gradadamsink", GST_RANK_NONE, GRAD_TYPE_ADAM_SINK);

static gboolean
grad_adam_sink_update (GradTrainSink * sink, GradNetwork * network, gdouble learning_rate,
    GError ** error)
{
  GradAdamOptions options;

  GST_OBJECT_LOCK (sink);
  options = GRAD_ADAM_SINK (sink)->options;
  GST_OBJECT_UNLOCK (sink);
  options.learning_rate = learning_rate;
  return grad_network_update_adam (network, &options, error);
}

static void
grad_adam_sink_class_init (GradAdamSinkClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  const GradAdamOptions defaults = GRAD_ADAM_DEFAULTS;

  grad_element_class_init_properties (object_class);
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradAdamSink, options.beta1),
      g_param_spec_double ("beta1", "Beta 1", "Decay of the running mean of gradients, below 1",
          0, GRAD_BELOW_1, defaults.beta1, GRAD_PARAM_PLAYING));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradAdamSink, options.beta2),
      g_param_spec_double ("beta2", "Beta 2", "Decay of the running mean of squared gradients, "
          "below 1", 0, GRAD_BELOW_1, defaults.beta2, GRAD_PARAM_PLAYING));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradAdamSink, options.epsilon),
      g_param_spec_double ("epsilon", "Epsilon", "Number added to the denominator of the update",
          0, G_MAXDOUBLE, defaults.epsilon, GRAD_PARAM_PLAYING));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradAdamSink, options.weight_decay),
      g_param_spec_double ("weight-decay", "Weight decay", "Factor of the weights that is added "
          "to their gradients (L2 penalty)", 0, G_MAXDOUBLE, defaults.weight_decay, GRAD_PARAM_PLAYING));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradAdamSink, options.decoupled),
      g_param_spec_boolean ("decoupled-weight-decay", "Decoupled weight decay", "Whether weights are "
          "made smaller by learning-rate times weight-decay of themselves, instead of through "
          "their gradients (AdamW)", defaults.decoupled, GRAD_PARAM_PLAYING));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_set_static_metadata (element_class, "Adam optimizer", "Sink/Tensor",
      "Trains the network in front of it with Adam, and saves it", PACKAGE_AUTHOR);
  GRAD_TRAIN_SINK_CLASS (klass)->optimizer = "adam";
  GRAD_TRAIN_SINK_CLASS (klass)->update = grad_adam_sink_update;
}

static void
grad_adam_sink_init (GradAdamSink * self)
{
}
