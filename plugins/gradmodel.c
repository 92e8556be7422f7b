/* GradStreamer: a trained network as one element
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradmodel
 * @title: gradmodel
 * @short_description: all layers of a model file
 *
 * Makes the layers that a model file describes, with its weights, and probabilities of what they make (softmax):
 * (N, C, H, W) to (N, K), p(n,k) = exp (y(n,k)) / sum over j of exp (y(n,j)). Pictures have to come resized and
 * normalised as in training.
 *
 * It is a bin, whose layers are there from READY on. Several with the same file in one pipeline share the weights.
 *
 * ## Example
 * <!-- run: s|^|gst-launch-1.0 idxsrc location=$D/train-images-idx3-ubyte.gz labels=$D/train-labels-idx1-ubyte.gz ! gradresize ! gradconvstem channels=2 ! gradglobalpool ! gradfc ! gradloss ! gradadamsink location=model.safetensors \&\& | -->
 * |[
 * gst-launch-1.0 -v idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz phase=infer ! gradresize ! gradmodel location=model.safetensors ! fakesink num-buffers=1
 * ]|
 */
#include "config.h"
#include "lib/base/gradattachment.h"
#include "lib/base/gradtransform.h"
#include "lib/model/gradclassifier.h"
#include "gradstreamerelements.h"

typedef enum
{
  OUTPUT_LOGITS,
  OUTPUT_PROBABILITIES
} Output;

#define GRAD_TYPE_MODEL_OUTPUT (grad_model_output_get_type ())

static GType
grad_model_output_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {OUTPUT_LOGITS, "What the last layer makes", "logits"},
    {OUTPUT_PROBABILITIES, "Probabilities of the classes", "probabilities"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradModelOutput", values));
  return type;
}

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("float32")));

/* ---- the last element of the bin: logits to what is asked for */

#define GRAD_TYPE_MODEL_TAIL (grad_model_tail_get_type ())
G_DECLARE_FINAL_TYPE (GradModelTail, grad_model_tail, GRAD, MODEL_TAIL, GradTransform)

struct _GradModelTail
{
  GradTransform parent;

  Output output;                /* object lock */
};

G_DEFINE_FINAL_TYPE (GradModelTail, grad_model_tail, GRAD_TYPE_TRANSFORM);

static gboolean
grad_model_tail_infer_shape (GradTransform * trans, const GradShape * input, GradShape * output,
    GError ** error)
{
  *output = *input;
  return TRUE;
}

static GradTensor *
softmax (GradTensor * logits, GError ** error)
{
  const GradShape *shape = grad_tensor_get_shape (logits);
  gsize size = grad_shape_n_elements (shape) * sizeof (gfloat);
  g_autofree gfloat *values = g_malloc (size);
  g_autoptr (GradTensor) output = grad_tensor_new (grad_tensor_get_device (logits),
      GRAD_DTYPE_FLOAT32, shape, error);

  if (output == NULL || !grad_tensor_download (logits, values, size, error))
    return NULL;
  grad_softmax (values, shape->dims[0], shape->dims[1], values);
  return grad_tensor_upload (output, values, size, error) ? g_steal_pointer (&output) : NULL;
}

static gboolean
grad_model_tail_process (GradTransform * trans, GradTensor * input, GstBuffer * in,
    GstBuffer * out, GError ** error)
{
  GradTensor *output;
  Output wanted;

  GST_OBJECT_LOCK (trans);
  wanted = GRAD_MODEL_TAIL (trans)->output;
  GST_OBJECT_UNLOCK (trans);
  output = wanted == OUTPUT_LOGITS ? grad_tensor_ref (input) : softmax (input, error);
  if (output != NULL)
    gst_buffer_append_memory (out, GST_MEMORY_CAST (output));
  return output != NULL;
}

static void
install_output (GObjectClass * klass, guint id)
{
  g_object_class_install_property (klass, id,
      g_param_spec_enum ("output", "Output", "What to make of each picture: a logit or a "
          "probability for each class", GRAD_TYPE_MODEL_OUTPUT, OUTPUT_PROBABILITIES,
          GRAD_PARAM_STATIC));
}

static void
grad_model_tail_class_init (GradModelTailClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GradTransformClass *transform_class = GRAD_TRANSFORM_CLASS (klass);

  grad_element_class_init_properties (object_class);
  install_output (object_class, G_STRUCT_OFFSET (GradModelTail, output));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Output of a model", "Filter/Tensor",
      "Makes probabilities of logits", PACKAGE_AUTHOR);
  transform_class->input_rank = 2;
  transform_class->infer_shape = grad_model_tail_infer_shape;
  transform_class->process = grad_model_tail_process;
}

static void
grad_model_tail_init (GradModelTail * self)
{
}

/* ---- the bin */

#define GRAD_TYPE_MODEL_BIN (grad_model_bin_get_type ())
G_DECLARE_FINAL_TYPE (GradModelBin, grad_model_bin, GRAD, MODEL_BIN, GstBin)

struct _GradModelBin
{
  GstBin parent;

  GstPad *sinkpad;              /* without a target below READY */
  GradModelTail *tail;          /* always there: has the other properties; owned */
  GPtrArray *layers;            /* from NULL to READY on */

  /* properties, object lock */
  gchar *location, *model_name;
};

/* behind the fields: properties of the tail */
enum
{
  PROP_OUTPUT = sizeof (GradModelBin),
  PROP_ATTACHMENT
};

G_DEFINE_FINAL_TYPE (GradModelBin, grad_model_bin, GST_TYPE_BIN);
GST_ELEMENT_REGISTER_DEFINE (gradmodel, "gradmodel", GST_RANK_NONE, GRAD_TYPE_MODEL_BIN);

static gboolean
add_layers (GradModelBin * self, GError ** error)
{
  g_autoptr (GradModel) model = NULL;
  g_autofree gchar *location = NULL, *name = NULL;
  g_autoptr (GstPad) first = NULL;
  GstElement *behind = GST_ELEMENT (self->tail);

  GST_OBJECT_LOCK (self);
  location = g_strdup (self->location);
  name = g_strdup (self->model_name);
  GST_OBJECT_UNLOCK (self);
  if (location == NULL || *location == '\0') {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "no model: set location to a file that gradadamsink has saved");
    return FALSE;
  }
  if (name == NULL)             /* no other network has it */
    name = g_canonicalize_filename (location, NULL);
  model = grad_model_open (location, error);
  self->layers = model ? grad_model_create_layers (model, error) : NULL;
  if (self->layers == NULL)
    return FALSE;

  for (guint i = self->layers->len; i > 0; i--) {
    GstElement *layer = self->layers->pdata[i - 1];

    g_object_set (layer, "model-name", name, "model", location, NULL);
    gst_bin_add (GST_BIN (self), layer);
    gst_element_link_pads_full (layer, "src", behind, "sink", GST_PAD_LINK_CHECK_NOTHING);
    behind = layer;
  }
  first = gst_element_get_static_pad (behind, "sink");
  return gst_ghost_pad_set_target (GST_GHOST_PAD (self->sinkpad), first);
}

static void
remove_layers (GradModelBin * self)
{
  gst_ghost_pad_set_target (GST_GHOST_PAD (self->sinkpad), NULL);
  for (guint i = 0; self->layers && i < self->layers->len; i++) {
    gst_element_set_state (self->layers->pdata[i], GST_STATE_NULL);
    gst_bin_remove (GST_BIN (self), self->layers->pdata[i]);
  }
  g_clear_pointer (&self->layers, g_ptr_array_unref);
}

static GstStateChangeReturn
grad_model_bin_change_state (GstElement * element, GstStateChange transition)
{
  GradModelBin *self = GRAD_MODEL_BIN (element);
  GstStateChangeReturn ret = GST_STATE_CHANGE_FAILURE;
  GError *error = NULL;

  if (transition != GST_STATE_CHANGE_NULL_TO_READY || add_layers (self, &error))
    ret = GST_ELEMENT_CLASS (grad_model_bin_parent_class)->change_state (element, transition);
  else
    grad_element_fail (element, error);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL
      || (transition == GST_STATE_CHANGE_NULL_TO_READY && ret == GST_STATE_CHANGE_FAILURE))
    remove_layers (self);
  return ret;
}

static void
grad_model_bin_set_property (GObject * object, guint id, const GValue * value, GParamSpec * pspec)
{
  if (id >= PROP_OUTPUT)
    g_object_set_property (G_OBJECT (GRAD_MODEL_BIN (object)->tail), pspec->name, value);
  else
    grad_element_set_property (object, id, value, pspec);
}

static void
grad_model_bin_get_property (GObject * object, guint id, GValue * value, GParamSpec * pspec)
{
  if (id >= PROP_OUTPUT)
    g_object_get_property (G_OBJECT (GRAD_MODEL_BIN (object)->tail), pspec->name, value);
  else
    grad_element_get_property (object, id, value, pspec);
}

static void
grad_model_bin_finalize (GObject * object)
{
  GradModelBin *self = GRAD_MODEL_BIN (object);

  g_object_unref (self->tail);
  g_free (self->location);
  g_free (self->model_name);
  G_OBJECT_CLASS (grad_model_bin_parent_class)->finalize (object);
}

static void
grad_model_bin_class_init (GradModelBinClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  grad_element_class_init_properties (object_class);
  object_class->set_property = grad_model_bin_set_property;
  object_class->get_property = grad_model_bin_get_property;
  object_class->finalize = grad_model_bin_finalize;
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradModelBin, location),
      g_param_spec_string ("location", "Location", "Model file with the network and its weights, "
          "as gradadamsink saves it", NULL, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradModelBin, model_name),
      g_param_spec_string ("model-name", "Model name", "Name of the network; by default the full "
          "name of the file, so that it is never one that is being trained", NULL,
          GRAD_PARAM_STATIC));
  install_output (object_class, PROP_OUTPUT);
  grad_attachment_install_properties (object_class, PROP_ATTACHMENT);

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Trained network", "Filter/Tensor",
      "Classifies pictures with the network of a model file", PACKAGE_AUTHOR);
  element_class->change_state = GST_DEBUG_FUNCPTR (grad_model_bin_change_state);
  gst_type_mark_as_plugin_api (GRAD_TYPE_MODEL_OUTPUT, 0);
}

static void
grad_model_bin_init (GradModelBin * self)
{
  GstPadTemplate *sink = gst_element_get_pad_template (GST_ELEMENT (self), "sink");
  GstPadTemplate *src = gst_element_get_pad_template (GST_ELEMENT (self), "src");
  g_autoptr (GstPad) last = NULL;

  self->tail = gst_object_ref_sink (g_object_new (GRAD_TYPE_MODEL_TAIL, "name", "tail", NULL));
  gst_bin_add (GST_BIN (self), GST_ELEMENT (self->tail));
  last = gst_element_get_static_pad (GST_ELEMENT (self->tail), "src");
  self->sinkpad = gst_ghost_pad_new_no_target_from_template ("sink", sink);
  gst_element_add_pad (GST_ELEMENT (self), self->sinkpad);
  gst_element_add_pad (GST_ELEMENT (self), gst_ghost_pad_new_from_template ("src", last, src));
}
