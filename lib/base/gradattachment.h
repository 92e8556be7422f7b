/* GradStreamer: which device an element asks for, and its bus
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradelement.h"

G_BEGIN_DECLS

/**
 * GradAttachment: (skip)
 * @device: name of the device, "auto" for any
 * @precision: number format
 * @threads: compute threads, 0 for one per processor
 * @deterministic: whether no choice may depend on timing
 * @bus: the bus, from NULL to READY on
 *
 * What elements that compute have in common: four properties, guarded by the object lock, and the bus.
 */
typedef struct
{
  gchar *device;
  GradPrecision precision;
  guint threads;
  gboolean deterministic;
  GradBus *bus;
} GradAttachment;

GRAD_API void grad_attachment_install_properties (GObjectClass * klass, guint offset);
GRAD_API void grad_attachment_clear (GradAttachment * self);
GRAD_API gboolean grad_attachment_attach (GradAttachment * self, GstElement * element,
    GError ** error);
GRAD_API void grad_attachment_detach (GradAttachment * self);
GRAD_API GstStateChangeReturn grad_attachment_change_state (GradAttachment * self,
    GstElement * element, GstStateChange transition, gpointer parent_class,
    gboolean (*start) (GstElement * element, GError ** error), void (*stop) (GstElement * element));

G_END_DECLS
