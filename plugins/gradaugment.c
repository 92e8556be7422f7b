/* GradStreamer: random changes to the pictures that a network is trained on
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradaugment
 * @title: gradaugment
 * @short_description: flip, shift, turn and erase pictures at random
 *
 * Changes uint8 pictures, (N, C, H, W), at random, so that a network does not learn them by heart, and gives them on with the same caps:
 * a crop of the picture with `padding` black pixels around it, a mirror image with the probability `horizontal-flip`, a rotation
 * of at most `rotate` degrees, a shift of at most the fraction `translate` of its size, and, with the probability `erase`, a black
 * box of 2 to 33 % of its area. Distributions are those of torchvision's `RandomCrop`, `RandomHorizontalFlip`, `RandomAffine` and
 * `RandomErasing`. All but the box is one map of pixels, sampled bilinearly once; where it moves whole pixels, they are copied.
 *
 * Only batches of phase train are changed; what is evaluated or inferred passes as it is. What happens to a picture depends on the
 * `seed` of the source, its number in the data set and the epoch alone, not on batch size, order, threads or device. Belongs in
 * front of gradresize, where pictures are small and pixels are bytes, and works ahead of the network as that does. Two of them in a
 * row draw the same numbers.
 *
 * ## Example
 * |[
 * gst-launch-1.0 idxsrc location=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz labels=/usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz ! gradaugment horizontal-flip=0.5 padding=2 ! gradresize ! queue max-size-buffers=2 ! gradconvstem channels=8 ! gradglobalpool ! gradfc ! gradloss ! gradadamsink
 * ]|
 */
#include "config.h"
#include "lib/autograd/gradsamplemeta.h"
#include "lib/base/gradtransform.h"
#include "lib/data/gradaugmentation.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_AUGMENT (grad_augment_get_type ())
G_DECLARE_FINAL_TYPE (GradAugment, grad_augment, GRAD, AUGMENT, GradTransform)

struct _GradAugment
{
  GradTransform parent;

  GradAugmentationOptions options;      /* properties, object lock */
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("uint8")));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("uint8")));

G_DEFINE_FINAL_TYPE (GradAugment, grad_augment, GRAD_TYPE_TRANSFORM);
GST_ELEMENT_REGISTER_DEFINE (gradaugment, "gradaugment", GST_RANK_NONE, GRAD_TYPE_AUGMENT);

static gboolean
grad_augment_infer_shape (GradTransform * trans, const GradShape * input, GradShape * output,
    GError ** error)
{
  *output = *input;
  return TRUE;
}

static GradTensor *
augment (GradAugment * self, GradTensor * input, const GradSampleMeta * meta, GError ** error)
{
  GradTransform *trans = GRAD_TRANSFORM (self);
  GradAugmentationOptions options;
  gsize size = 0;
  const guint32 *samples = meta->indices ? g_bytes_get_data (meta->indices, &size) : NULL;

  if (size != grad_tensor_get_shape (input)->dims[0] * sizeof *samples) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "got %d pictures, and numbers of %"
        G_GSIZE_FORMAT " samples to draw by: the source has to attach as many to its sample meta",
        grad_tensor_get_shape (input)->dims[0], size / sizeof *samples);
    return NULL;
  }
  GST_OBJECT_LOCK (self);
  options = self->options;
  GST_OBJECT_UNLOCK (self);
  return grad_augmentation_run (&options, input, samples,
      grad_bus_get_seed (grad_transform_peek_bus (trans)), meta->epoch, error);
}

static gboolean
grad_augment_process (GradTransform * trans, GradTensor * input, GstBuffer * in, GstBuffer * out,
    GError ** error)
{
  const GradSampleMeta *meta = grad_buffer_get_sample_meta (in);
  GradTensor *output = meta && meta->phase == GRAD_PHASE_TRAIN
      ? augment (GRAD_AUGMENT (trans), input, meta, error) : grad_tensor_ref (input);

  if (output != NULL)
    gst_buffer_append_memory (out, GST_MEMORY_CAST (output));
  return output != NULL;
}

static void
grad_augment_class_init (GradAugmentClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GradTransformClass *transform_class = GRAD_TRANSFORM_CLASS (klass);

  grad_element_class_init_properties (object_class);
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradAugment, options.horizontal_flip),
      g_param_spec_double ("horizontal-flip", "Horizontal flip", "Probability that a picture is "
          "mirrored, left to right", 0, 1, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradAugment, options.padding),
      g_param_spec_int ("padding", "Padding", "Pixels of black around a picture, of which a random "
          "crop of its size is taken", 0, 32767, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradAugment, options.translate),
      g_param_spec_double ("translate", "Translate", "Largest shift in both directions, as a "
          "fraction of width and height", 0, 1, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradAugment, options.rotate),
      g_param_spec_double ("rotate", "Rotate", "Largest angle in degrees by which a picture is "
          "turned around its centre, either way", 0, 180, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradAugment, options.erase),
      g_param_spec_double ("erase", "Erase", "Probability that a box of 2 to 33 % of a picture "
          "becomes black", 0, 1, 0, GRAD_PARAM_STATIC));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Picture augmenter", "Filter/Tensor",
      "Flips, shifts, turns and erases uint8 pictures of phase train at random, as torchvision does",
      PACKAGE_AUTHOR);
  transform_class->input_rank = 4;
  transform_class->output_dtype = GRAD_DTYPE_UINT8;
  transform_class->infer_shape = grad_augment_infer_shape;
  transform_class->process = grad_augment_process;
}

static void
grad_augment_init (GradAugment * self)
{
}
