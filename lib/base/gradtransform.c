/* GradStreamer: base class of elements that make one tensor from one tensor
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Owns the bus, the device, and what caps and buffers have to do with tensors. */
#include "gradattachment.h"
#include "gradtransform.h"

GST_DEBUG_CATEGORY_STATIC (grad_transform_debug);
#define GST_CAT_DEFAULT grad_transform_debug

typedef struct
{
  GradAttachment attachment;
  /* from READY to PAUSED on */
  GradDevice *device;
  /* streaming thread */
  GradDType dtype;
  GradShape input;
  GstCaps *refused;             /* they come again with the next event, and one error is enough */
} GradTransformPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (GradTransform, grad_transform, GST_TYPE_BASE_TRANSFORM);
#define PRIV(t) ((GradTransformPrivate *) grad_transform_get_instance_private (GRAD_TRANSFORM (t)))
#define KLASS(t) GRAD_TRANSFORM_GET_CLASS (t)

/**
 * grad_transform_peek_bus: (skip)
 * @transform: an element that is at least READY
 *
 * Returns: (transfer none): its bus
 */
GradBus *
grad_transform_peek_bus (GradTransform * transform)
{
  return PRIV (transform)->attachment.bus;
}

/**
 * grad_transform_peek_device: (skip)
 * @transform: an element that is at least PAUSED
 *
 * Returns: (transfer none): its device
 */
GradDevice *
grad_transform_peek_device (GradTransform * transform)
{
  return PRIV (transform)->device;
}

static void
copy_framerate (const GstCaps * from, GstCaps * to)
{
  const GValue *rate = gst_structure_get_value (gst_caps_get_structure (from, 0), "framerate");

  if (rate != NULL)
    gst_caps_set_value (to, "framerate", rate);
}

/* Only what both sides share: shapes are judged in set_caps(), where an error can say what is wrong. */
static GstCaps *
grad_transform_transform_caps (GstBaseTransform * trans, GstPadDirection direction,
    GstCaps * caps, GstCaps * filter)
{
  GstPad *other = direction == GST_PAD_SINK ? trans->srcpad : trans->sinkpad;
  GstCaps *result = gst_caps_copy (GST_PAD_TEMPLATE_CAPS (GST_PAD_PAD_TEMPLATE (other)));

  if (!gst_caps_is_empty (caps) && !gst_caps_is_any (caps))
    copy_framerate (caps, result);
  if (filter != NULL) {
    GstCaps *intersection = gst_caps_intersect_full (filter, result, GST_CAPS_INTERSECT_FIRST);

    gst_caps_unref (result);
    result = intersection;
  }
  return result;
}

static gboolean
output_caps (GradTransform * self, GstCaps * caps, GradDType * dtype, GradShape * input,
    GstCaps ** out, GError ** error)
{
  GradShape output;

  if (!grad_caps_parse (caps, KLASS (self)->input_rank, dtype, input, error)
      || !KLASS (self)->infer_shape (self, input, &output, error))
    return FALSE;
  *out = grad_caps_new (KLASS (self)->output_dtype, &output, 0, 1);
  copy_framerate (caps, *out);
  return TRUE;
}

static GstCaps *
grad_transform_fixate_caps (GstBaseTransform * trans, GstPadDirection direction, GstCaps * caps,
    GstCaps * othercaps)
{
  g_autoptr (GstCaps) inferred = NULL;
  GradDType dtype;
  GradShape input;
  GstStructure *s;

  if (direction == GST_PAD_SINK
      && output_caps (GRAD_TRANSFORM (trans), caps, &dtype, &input, &inferred, NULL)) {
    g_autoptr (GstCaps) peer = gst_pad_peer_query_caps (trans->srcpad, othercaps);

    if (peer == NULL || gst_caps_is_empty (peer) || gst_caps_can_intersect (inferred, peer)) {
      gst_caps_unref (othercaps);
      return g_steal_pointer (&inferred);
    }
    /* a caps filter behind that asks for something else keeps its word: set_caps() tells */
    gst_caps_take (&othercaps, g_steal_pointer (&peer));
  }
  othercaps = gst_caps_truncate (gst_caps_make_writable (othercaps));
  s = gst_caps_get_structure (othercaps, 0);
  if (!gst_structure_has_field (s, "dimensions"))
    gst_structure_set (s, "dimensions", G_TYPE_STRING, "1", NULL);
  if (!gst_structure_has_field (s, "framerate"))
    gst_structure_set (s, "framerate", GST_TYPE_FRACTION, 0, 1, NULL);
  return gst_caps_fixate (othercaps);
}

static gboolean
grad_transform_set_caps (GstBaseTransform * trans, GstCaps * incaps, GstCaps * outcaps)
{
  GradTransform *self = GRAD_TRANSFORM (trans);
  GradTransformPrivate *priv = PRIV (self);
  g_autoptr (GstCaps) inferred = NULL;
  GError *error = NULL;
  GradShape input, expected, asked;
  GradDType got, dtype;

  if (priv->refused != NULL && gst_caps_is_equal (incaps, priv->refused))
    return FALSE;
  gst_caps_replace (&priv->refused, incaps);
  if (!output_caps (self, incaps, &got, &input, &inferred, &error))
    return grad_element_fail (self, error);
  if (grad_caps_parse (inferred, GRAD_MAX_RANK, &dtype, &expected, NULL)
      && (!grad_caps_parse (outcaps, GRAD_MAX_RANK, &dtype, &asked, NULL)
          || !grad_shape_equal (&asked, &expected))) {
    g_set_error (&error, GRAD_ERROR, GRAD_ERROR_SHAPE, "makes dimensions=%s, but the caps filter "
        "behind it asks for %s: leave it out, or alter one of them", gst_structure_get_string (gst_caps_get_structure (inferred, 0),
            "dimensions"), gst_structure_get_string (gst_caps_get_structure (outcaps, 0),
            "dimensions"));
    return grad_element_fail (self, error);
  }
  if (KLASS (self)->prepare && !KLASS (self)->prepare (self, &input, &error))
    return grad_element_fail (self, error);
  priv->dtype = got;            /* what is refused changes nothing */
  priv->input = input;
  gst_clear_caps (&priv->refused);
  return TRUE;
}

static gboolean
grad_transform_decide_allocation (GstBaseTransform * trans, GstQuery * query)
{
  return TRUE;                  /* tensors come from the device's pool */
}

static GstFlowReturn
grad_transform_prepare_output_buffer (GstBaseTransform * trans, GstBuffer * in, GstBuffer ** out)
{
  *out = gst_buffer_new ();
  GST_BASE_TRANSFORM_GET_CLASS (trans)->copy_metadata (trans, in, *out);
  return GST_FLOW_OK;
}

static GstFlowReturn
grad_transform_transform (GstBaseTransform * trans, GstBuffer * in, GstBuffer * out)
{
  GradTransform *self = GRAD_TRANSFORM (trans);
  GradTransformPrivate *priv = PRIV (self);
  GError *error = NULL;
  g_autoptr (GradTensor) input =
      grad_tensor_from_buffer (in, priv->device, priv->dtype, &priv->input, &error);

  if (input != NULL && KLASS (self)->process (self, input, in, out, &error))
    return GST_FLOW_OK;
  if (g_error_matches (error, GRAD_ERROR, GRAD_ERROR_ABORTED)) {
    g_error_free (error);
    return GST_FLOW_FLUSHING;
  }
  grad_element_fail (self, error);
  return GST_FLOW_ERROR;
}

static gboolean
attach (GradTransform * self)
{
  GError *error = NULL;

  return (grad_attachment_attach (&PRIV (self)->attachment, GST_ELEMENT (self), &error)
      && (KLASS (self)->attach == NULL || KLASS (self)->attach (self, &error)))
      || grad_element_fail (self, error);
}

static gboolean
grad_transform_start (GstBaseTransform * trans)
{
  GradTransform *self = GRAD_TRANSFORM (trans);
  GradTransformPrivate *priv = PRIV (self);
  GError *error = NULL;

  priv->device = grad_element_open_device (GST_ELEMENT (self), priv->attachment.bus, &error);
  if (priv->device == NULL || (KLASS (self)->start && !KLASS (self)->start (self, &error))) {
    g_clear_object (&priv->device);
    return grad_element_fail (self, error);
  }
  return TRUE;
}

static gboolean
grad_transform_stop (GstBaseTransform * trans)
{
  GradTransform *self = GRAD_TRANSFORM (trans);

  if (KLASS (self)->stop)
    KLASS (self)->stop (self);
  gst_clear_caps (&PRIV (self)->refused);
  g_clear_object (&PRIV (self)->device);
  return TRUE;
}

static GstStateChangeReturn
grad_transform_change_state (GstElement * element, GstStateChange transition)
{
  GstStateChangeReturn ret;

  if (transition == GST_STATE_CHANGE_NULL_TO_READY && !attach (GRAD_TRANSFORM (element))) {
    grad_attachment_detach (&PRIV (element)->attachment);
    return GST_STATE_CHANGE_FAILURE;
  }
  ret = GST_ELEMENT_CLASS (grad_transform_parent_class)->change_state (element, transition);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL)
    grad_attachment_detach (&PRIV (element)->attachment);
  return ret;
}

static gboolean
grad_transform_query (GstBaseTransform * trans, GstPadDirection direction, GstQuery * query)
{
  return grad_element_query_context (GST_ELEMENT (trans), query,
      PRIV (trans)->attachment.bus)
      || GST_BASE_TRANSFORM_CLASS (grad_transform_parent_class)->query (trans, direction, query);
}

static void
grad_transform_finalize (GObject * object)
{
  grad_attachment_clear (&PRIV (object)->attachment);
  G_OBJECT_CLASS (grad_transform_parent_class)->finalize (object);
}

static void
grad_transform_class_init (GradTransformClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_transform_debug, "gradtransform", 0, "GradStreamer transforms");
  grad_element_class_init_properties (object_class);
  object_class->finalize = grad_transform_finalize;

  grad_attachment_install_properties (object_class, G_PRIVATE_OFFSET (GradTransform, attachment));

  element_class->change_state = GST_DEBUG_FUNCPTR (grad_transform_change_state);
  trans_class->transform_caps = GST_DEBUG_FUNCPTR (grad_transform_transform_caps);
  trans_class->fixate_caps = GST_DEBUG_FUNCPTR (grad_transform_fixate_caps);
  trans_class->set_caps = GST_DEBUG_FUNCPTR (grad_transform_set_caps);
  trans_class->decide_allocation = GST_DEBUG_FUNCPTR (grad_transform_decide_allocation);
  trans_class->prepare_output_buffer = GST_DEBUG_FUNCPTR (grad_transform_prepare_output_buffer);
  trans_class->transform = GST_DEBUG_FUNCPTR (grad_transform_transform);
  trans_class->start = GST_DEBUG_FUNCPTR (grad_transform_start);
  trans_class->stop = GST_DEBUG_FUNCPTR (grad_transform_stop);
  trans_class->query = GST_DEBUG_FUNCPTR (grad_transform_query);
  klass->output_dtype = GRAD_DTYPE_FLOAT32;

  gst_type_mark_as_plugin_api (GRAD_TYPE_TRANSFORM, 0);
  gst_type_mark_as_plugin_api (GRAD_TYPE_PRECISION, 0);
}

static void
grad_transform_init (GradTransform * self)
{
}
