/* GradStreamer: which device an element asks for, and its bus
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradattachment.h"

/**
 * grad_attachment_install_properties: (skip)
 * @klass: class of an element
 * @offset: where it has its attachment, as for grad_element_set_property()
 */
void
grad_attachment_install_properties (GObjectClass * klass, guint offset)
{
  g_object_class_install_property (klass, offset + G_STRUCT_OFFSET (GradAttachment, device),
      g_param_spec_string ("device", "Device", "Where to compute: auto, cpu, cuda, cuda:1 …, or ref (slow, in "
          "double precision); one for the whole pipeline", "auto", GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, offset + G_STRUCT_OFFSET (GradAttachment, precision),
      g_param_spec_enum ("precision", "Precision", "Number format to compute in; one for the whole "
          "pipeline", GRAD_TYPE_PRECISION, GRAD_PRECISION_DEFAULT, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, offset + G_STRUCT_OFFSET (GradAttachment, threads),
      g_param_spec_uint ("threads", "Threads", "Number of compute threads, 0 for one per "
          "processor; one for the whole pipeline", 0, 1024, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, offset + G_STRUCT_OFFSET (GradAttachment, deterministic),
      g_param_spec_boolean ("deterministic", "Deterministic", "Let no choice depend on timing, "
          "so that every run gives the same bits", FALSE, GRAD_PARAM_STATIC));
}

/**
 * grad_attachment_clear: (skip)
 * @self: what to free
 */
void
grad_attachment_clear (GradAttachment * self)
{
  grad_attachment_detach (self);
  g_clear_pointer (&self->device, g_free);
}

/**
 * grad_attachment_attach: (skip)
 * @self: the element's attachment
 * @element: an element that goes from NULL to READY
 * @error: location of a #GError
 *
 * Joins the pipeline's bus and tells it which device the element wants.
 *
 * Returns: %FALSE as grad_bus_add_settings()
 */
gboolean
grad_attachment_attach (GradAttachment * self, GstElement * element, GError ** error)
{
  g_autofree gchar *name = NULL;
  GradDeviceSettings settings;

  grad_element_join_bus (element, &self->bus);
  GST_OBJECT_LOCK (element);
  name = g_strcmp0 (self->device, "auto") == 0 ? NULL : g_strdup (self->device);
  settings = (GradDeviceSettings) {
  name, self->precision, self->threads, self->deterministic};
  GST_OBJECT_UNLOCK (element);
  return grad_bus_add_settings (self->bus, &settings, error);
}

/**
 * grad_attachment_detach: (skip)
 * @self: the attachment of an element that goes from READY to NULL, or whose way up failed
 */
void
grad_attachment_detach (GradAttachment * self)
{
  grad_element_leave_bus (&self->bus);
}

/**
 * grad_attachment_change_state: (skip)
 * @self: the element's attachment
 * @element: an element
 * @transition: the change of its state
 * @parent_class: its parent's #GstElementClass
 * @start: what else happens between READY and PAUSED; when it fails, @stop is called all the same
 * @stop: what undoes it
 *
 * A #GstElementClass.change_state() of elements whose parent has no start() and stop(): attached in READY, started in PAUSED.
 * Posts an error message when one of the two fails.
 *
 * Returns: what the parent class returns, or %GST_STATE_CHANGE_FAILURE
 */
GstStateChangeReturn
grad_attachment_change_state (GradAttachment * self, GstElement * element,
    GstStateChange transition, gpointer parent_class,
    gboolean (*start) (GstElement * element, GError ** error), void (*stop) (GstElement * element))
{
  GstStateChangeReturn ret = GST_STATE_CHANGE_FAILURE;
  GError *error = NULL;

  if ((transition == GST_STATE_CHANGE_NULL_TO_READY
          && !grad_attachment_attach (self, element, &error))
      || (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !start (element, &error)))
    grad_element_fail (element, error);
  else
    ret = GST_ELEMENT_CLASS (parent_class)->change_state (element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY
      || (transition == GST_STATE_CHANGE_READY_TO_PAUSED && ret == GST_STATE_CHANGE_FAILURE))
    stop (element);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL
      || (transition == GST_STATE_CHANGE_NULL_TO_READY && ret == GST_STATE_CHANGE_FAILURE))
    grad_attachment_detach (self);
  return ret;
}
