/* GradStreamer: residual stage
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradresstage
 * @title: gradresstage
 * @short_description: residual blocks
 *
 * A row of residual blocks y = ReLU (norm (conv (ReLU (norm (conv (x))))) + shortcut (x)): (N, C, H, W) to
 * (N, channels, H/stride, W/stride), after He et al., "Deep residual learning for image recognition", 2015.
 *
 * The first block of a stage halves the size and changes the number of channels through a 1x1 convolution on its
 * shortcut. With `first-block` nothing changes, and the shortcut is the input itself.
 *
 * Parameters, for block i: `i.conv1.weight` (channels, C, 3, 3), `i.conv1.bias`, `i.bn1.*`, `i.conv2.*`, `i.bn2.*`,
 * and where the shortcut is a convolution `i.downsample.0.weight` (channels, C, 1, 1), `i.downsample.0.bias`.
 *
 * ## Example
 * |[
 * gst-launch-1.0 -v idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz phase=infer ! gradresize ! gradconvstem channels=16 ! gradresstage channels=16 first-block=true ! gradresstage channels=32 ! fakesink num-buffers=1
 * ]|
 */
#include "config.h"
#include "lib/base/gradlayer.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_RES_STAGE (grad_res_stage_get_type ())
G_DECLARE_FINAL_TYPE (GradResStage, grad_res_stage, GRAD, RES_STAGE, GradLayer)

struct _GradResStage
{
  GradLayer parent;

  /* properties, object lock */
  gint channels, blocks, stride;        /* stride 0: 1 with first_block, else 2 */
  gboolean first_block;
  GradBlock block;
  GradShortcut shortcut;
  gboolean bias;
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));

G_DEFINE_FINAL_TYPE (GradResStage, grad_res_stage, GRAD_TYPE_LAYER);
GST_ELEMENT_REGISTER_DEFINE (gradresstage, "gradresstage", GST_RANK_NONE, GRAD_TYPE_RES_STAGE);

static gboolean
grad_res_stage_check (GradLayer * layer, const GradShape * input, GError ** error)
{
  GradResStage *self = GRAD_RES_STAGE (layer);

  if (self->first_block && input->dims[1] != self->channels)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "first-block=true adds the input itself: got "
        "%d channels, but channels=%d; make them equal, or leave first-block out",
        input->dims[1], self->channels);
  else if (self->first_block && self->stride > 1)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "first-block=true adds the input itself: stride=%d would change its size; leave one of them out",
        self->stride);
  else if (self->block == GRAD_BLOCK_BOTTLENECK && self->channels % 4 != 0)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "block=bottleneck needs channels that are a multiple of 4, got channels=%d",
        self->channels);
  else
    return TRUE;
  return FALSE;
}

static void
grad_res_stage_build (GradLayer * layer, GradGraph * graph, const gchar * prefix)
{
  GradResStage *self = GRAD_RES_STAGE (layer);
  guint x = GRAD_GRAPH_INPUT;

  GST_OBJECT_LOCK (self);
  for (gint i = 0; i < self->blocks; i++) {
    gboolean project = i == 0 && !self->first_block;
    g_autofree gchar *name = g_strdup_printf ("%s%s%d", prefix, *prefix ? "." : "", i);

    x = grad_graph_add_residual (graph, x, name, self->channels,
        project ? (self->stride ? self->stride : 2) : 1, project, self->block, self->shortcut,
        self->bias);
  }
  GST_OBJECT_UNLOCK (self);
}

static void
grad_res_stage_class_init (GradResStageClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  const GParamFlags flags = GRAD_PARAM_STATIC | GRAD_PARAM_STRUCTURAL;

  grad_element_class_init_properties (object_class);
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradResStage, channels),
      g_param_spec_int ("channels", "Channels", "Number of output channels", 1, 65536, 64,
          flags));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradResStage, blocks),
      g_param_spec_int ("blocks", "Blocks", "Number of residual blocks", 1, 1000, 2, flags));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradResStage, stride),
      g_param_spec_int ("stride", "Stride", "Pixels by which the first block advances; 0 means 1 "
          "with first-block, else 2", 0, 16, 0, flags));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradResStage, first_block),
      g_param_spec_boolean ("first-block", "First stage", "Whether size and channels stay as they "
          "are, as in the first stage of a network", FALSE, flags));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradResStage, block),
      g_param_spec_enum ("block", "Kind of block", "What convolutions a block consists of",
          GRAD_TYPE_BLOCK, GRAD_BLOCK_BASIC, flags));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradResStage, shortcut),
      g_param_spec_enum ("shortcut", "Kind of shortcut", "What the shortcut does where size or "
          "channels change", GRAD_TYPE_SHORTCUT, GRAD_SHORTCUT_CONV, flags));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradResStage, bias),
      g_param_spec_boolean ("bias", "Bias", "Whether convolutions have a bias", TRUE, flags));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Residual stage", "Filter/Tensor",
      "Residual blocks: convolutions with batch norm and ReLU around which a shortcut leads",
      PACKAGE_AUTHOR);
  gst_type_mark_as_plugin_api (GRAD_TYPE_BLOCK, 0);
  gst_type_mark_as_plugin_api (GRAD_TYPE_SHORTCUT, 0);
  GRAD_LAYER_CLASS (klass)->prefix_kind = "layer";
  GRAD_LAYER_CLASS (klass)->check = grad_res_stage_check;
  GRAD_LAYER_CLASS (klass)->build = grad_res_stage_build;
}

static void
grad_res_stage_init (GradResStage * self)
{
}
