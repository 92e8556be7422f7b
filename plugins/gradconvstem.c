/* GradStreamer: 2D convolution stem
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradconvstem
 * @title: gradconvstem
 * @short_description: what a residual network begins with
 *
 * Convolution, batch norm, ReLU and 3x3 max pooling of stride 2: (N, C, H, W) to (N, channels, H/4, W/4) with the
 * defaults, after He et al., "Deep residual learning for image recognition", 2015. Without `pool` to
 * (N, channels, H/2, W/2).
 *
 * Parameters: `conv1.weight` (channels, C, kernel-size, kernel-size), `conv1.bias`, `bn1.weight`, `bn1.bias`,
 * `bn1.running_mean`, `bn1.running_var` (channels), `bn1.num_batches_tracked`.
 *
 * ## Example
 * |[
 * gst-launch-1.0 -v idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz phase=infer ! gradresize width=96 height=96 ! gradconvstem channels=64 ! fakesink num-buffers=1
 * ]|
 */
#include "config.h"
#include "lib/base/gradlayer.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_CONV_STEM (grad_conv_stem_get_type ())
G_DECLARE_FINAL_TYPE (GradConvStem, grad_conv_stem, GRAD, CONV_STEM, GradLayer)

struct _GradConvStem
{
  GradLayer parent;

  /* properties, object lock */
  gint channels, kernel_size, stride;
  gboolean bias, pool;
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));

G_DEFINE_FINAL_TYPE (GradConvStem, grad_conv_stem, GRAD_TYPE_LAYER);
GST_ELEMENT_REGISTER_DEFINE (gradconvstem, "gradconvstem", GST_RANK_NONE, GRAD_TYPE_CONV_STEM);

static gboolean
grad_conv_stem_check (GradLayer * layer, const GradShape * input, GError ** error)
{
  GradConvStem *self = GRAD_CONV_STEM (layer);

  if (self->kernel_size % 2 == 1)
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
      "kernel-size=%d is even: use an odd one, such as 7 or 3", self->kernel_size);
  return FALSE;
}

static void
grad_conv_stem_build (GradLayer * layer, GradGraph * graph, const gchar * prefix)
{
  GradConvStem *self = GRAD_CONV_STEM (layer);

  GST_OBJECT_LOCK (self);
  grad_graph_add_stem (graph, GRAD_GRAPH_INPUT, prefix, self->channels, self->kernel_size,
      self->stride, self->bias, self->pool);
  GST_OBJECT_UNLOCK (self);
}

static void
grad_conv_stem_class_init (GradConvStemClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  const GParamFlags flags = GRAD_PARAM_STATIC | GRAD_PARAM_STRUCTURAL;

  grad_element_class_init_properties (object_class);
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradConvStem, channels),
      g_param_spec_int ("channels", "Channels", "Number of output channels", 1, 65536,
          64, flags));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradConvStem, kernel_size),
      g_param_spec_int ("kernel-size", "Kernel size", "Rows and columns of the convolution's "
          "kernel, an odd number", 1, 63, 7, flags));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradConvStem, stride),
      g_param_spec_int ("stride", "Stride", "Pixels by which the convolution advances, in both "
          "directions", 1, 16, 2, flags));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradConvStem, bias),
      g_param_spec_boolean ("bias", "Bias", "Whether the convolution has a bias", TRUE,
          flags));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradConvStem, pool),
      g_param_spec_boolean ("pool", "Max pooling", "Whether a 3x3 max pooling of stride 2 "
          "follows", TRUE, flags));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "2D convolution stem", "Filter/Tensor",
      "First stage of a residual network: convolution, batch norm, ReLU, max pooling",
      PACKAGE_AUTHOR);
  GRAD_LAYER_CLASS (klass)->prefix_kind = "";
  GRAD_LAYER_CLASS (klass)->check = grad_conv_stem_check;
  GRAD_LAYER_CLASS (klass)->build = grad_conv_stem_build;
}

static void
grad_conv_stem_init (GradConvStem * self)
{
}
