/* GradStreamer: global average pooling
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradglobalpool
 * @title: gradglobalpool
 * @short_description: mean over rows and columns
 *
 * Makes one number of each channel: (N, C, H, W) to (N, C), y(n,c) = mean over h, w of x(n,c,h,w).
 *
 * ## Example
 * |[
 * gst-launch-1.0 -v idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz phase=infer ! gradresize ! gradconvstem ! gradglobalpool ! fakesink num-buffers=1
 * ]|
 */
#include "config.h"
#include "lib/base/gradlayer.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_GLOBAL_POOL (grad_global_pool_get_type ())
G_DECLARE_FINAL_TYPE (GradGlobalPool, grad_global_pool, GRAD, GLOBAL_POOL, GradLayer)

struct _GradGlobalPool
{
  GradLayer parent;
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));

G_DEFINE_FINAL_TYPE (GradGlobalPool, grad_global_pool, GRAD_TYPE_LAYER);
GST_ELEMENT_REGISTER_DEFINE (gradglobalpool, "gradglobalpool", GST_RANK_NONE,
    GRAD_TYPE_GLOBAL_POOL);

static void
grad_global_pool_build (GradLayer * layer, GradGraph * graph, const gchar * prefix)
{
  grad_graph_add (graph, grad_global_pool_unit_new (), GRAD_GRAPH_INPUT);
}

static void
grad_global_pool_class_init (GradGlobalPoolClass * klass)
{
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Global average pooling",
      "Filter/Tensor", "Averages each channel over rows and columns", PACKAGE_AUTHOR);
  GRAD_LAYER_CLASS (klass)->build = grad_global_pool_build;
}

static void
grad_global_pool_init (GradGlobalPool * self)
{
}
