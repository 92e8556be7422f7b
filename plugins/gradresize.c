/* GradStreamer: resize pictures to float tensors
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradresize
 * @title: gradresize
 * @short_description: resize, scale and normalise pictures
 *
 * Resizes uint8 pictures bilinearly with antialiasing, bit for bit like torchvision's `Resize` on a PIL image,
 * scales them to 0 … 1 (`ToTensor`) and normalises: y = (v / 255 - mean) / std. (N, C, H, W) uint8 to
 * (N, C, height, width) float32. Runs ahead of the network behind a queue.
 *
 * ## Example
 * |[
 * gst-launch-1.0 -v idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz phase=infer ! gradresize width=96 height=96 ! fakesink num-buffers=1
 * ]|
 */
#include "config.h"
#include "lib/base/gradtransform.h"
#include "lib/data/gradresizer.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_RESIZE (grad_resize_get_type ())
G_DECLARE_FINAL_TYPE (GradResize, grad_resize, GRAD, RESIZE, GradTransform)

struct _GradResize
{
  GradTransform parent;

  /* properties, object lock */
  gint width, height;           /* 0: as it comes */
  gchar *mean, *std;
  /* streaming thread */
  GradResizer *resizer;
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("uint8")));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));

G_DEFINE_FINAL_TYPE (GradResize, grad_resize, GRAD_TYPE_TRANSFORM);
GST_ELEMENT_REGISTER_DEFINE (gradresize, "gradresize", GST_RANK_NONE, GRAD_TYPE_RESIZE);

static gboolean
grad_resize_infer_shape (GradTransform * trans, const GradShape * input, GradShape * output,
    GError ** error)
{
  GradResize *self = GRAD_RESIZE (trans);

  GST_OBJECT_LOCK (self);
  *output = GRAD_SHAPE (input->dims[0], input->dims[1],
      self->height ? self->height : input->dims[2], self->width ? self->width : input->dims[3]);
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

static gboolean
grad_resize_start (GradTransform * trans, GError ** error)
{
  GradResize *self = GRAD_RESIZE (trans);
  gfloat mean[GRAD_RESIZER_CHANNELS], std[GRAD_RESIZER_CHANNELS];
  gboolean ok;

  GST_OBJECT_LOCK (self);
  ok = grad_resizer_parse ("mean", self->mean, mean, FALSE, error)
      && grad_resizer_parse ("std", self->std, std, TRUE, error);
  GST_OBJECT_UNLOCK (self);
  if (ok)
    self->resizer = grad_resizer_new (grad_transform_peek_device (trans), mean, std);
  return ok;
}

static void
grad_resize_stop (GradTransform * trans)
{
  g_clear_pointer (&GRAD_RESIZE (trans)->resizer, grad_resizer_free);
}

static gboolean
grad_resize_process (GradTransform * trans, GradTensor * input, GstBuffer * in, GstBuffer * out,
    GError ** error)
{
  GradShape shape;
  GradTensor *output;

  grad_resize_infer_shape (trans, grad_tensor_get_shape (input), &shape, NULL);
  output = grad_resizer_run (GRAD_RESIZE (trans)->resizer, input, shape.dims[3], shape.dims[2],
      error);
  if (output != NULL)
    gst_buffer_append_memory (out, GST_MEMORY_CAST (output));
  return output != NULL;
}

/* What the network gets to see is part of the model. */
static gboolean
grad_resize_sink_event (GstBaseTransform * trans, GstEvent * event)
{
  GradResize *self = GRAD_RESIZE (trans);
  const GstStructure *dataset = grad_event_parse_dataset (event);

  if (dataset != NULL) {
    GstStructure *s = gst_structure_copy (dataset);
    gint width = 0, height = 0;

    gst_structure_get (s, "width", G_TYPE_INT, &width, "height", G_TYPE_INT, &height, NULL);
    GST_OBJECT_LOCK (self);
    gst_structure_set (s, "input-width", G_TYPE_INT, self->width ? self->width : width,
        "input-height", G_TYPE_INT, self->height ? self->height : height,
        "mean", G_TYPE_STRING, self->mean, "std", G_TYPE_STRING, self->std, NULL);
    GST_OBJECT_UNLOCK (self);
    gst_event_unref (event);
    event = gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, s);
  }
  return GST_BASE_TRANSFORM_CLASS (grad_resize_parent_class)->sink_event (trans, event);
}

static void
grad_resize_finalize (GObject * object)
{
  g_free (GRAD_RESIZE (object)->mean);
  g_free (GRAD_RESIZE (object)->std);
  G_OBJECT_CLASS (grad_resize_parent_class)->finalize (object);
}

static void
grad_resize_class_init (GradResizeClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GradTransformClass *transform_class = GRAD_TRANSFORM_CLASS (klass);

  grad_element_class_init_properties (object_class);
  object_class->finalize = grad_resize_finalize;
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradResize, width),
      g_param_spec_int ("width", "Width", "Columns to make, 0 for as many as come in", 0, 32767,
          0, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradResize, height),
      g_param_spec_int ("height", "Height", "Rows to make, 0 for as many as come in", 0, 32767,
          0, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradResize, mean),
      g_param_spec_string ("mean", "Mean", "Number to subtract from pixels of 0 to 1, or one per "
          "channel separated by commas", "0", GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradResize, std),
      g_param_spec_string ("std", "Standard deviation", "Number to divide by after the mean is "
          "subtracted, or one per channel separated by commas", "1", GRAD_PARAM_STATIC));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Picture resizer", "Filter/Tensor",
      "Resizes, scales and normalises batches of uint8 pictures, as torchvision does",
      PACKAGE_AUTHOR);
  GST_BASE_TRANSFORM_CLASS (klass)->sink_event = GST_DEBUG_FUNCPTR (grad_resize_sink_event);
  transform_class->input_rank = 4;
  transform_class->start = grad_resize_start;
  transform_class->stop = grad_resize_stop;
  transform_class->infer_shape = grad_resize_infer_shape;
  transform_class->process = grad_resize_process;
}

static void
grad_resize_init (GradResize * self)
{
}
