/* GradStreamer: the gradient bus, shared by the elements of a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradnetwork.h"

G_BEGIN_DECLS

/**
 * GRAD_BUS_CONTEXT_TYPE:
 *
 * Type of the #GstContext that carries the bus, in the field "bus" of its structure.
 */
#define GRAD_BUS_CONTEXT_TYPE "grad.bus"

#define GRAD_TYPE_BUS (grad_bus_get_type ())
GRAD_API G_DECLARE_FINAL_TYPE (GradBus, grad_bus, GRAD, BUS, GObject)

GRAD_API GradBus *grad_bus_new (void);
GRAD_API GstContext *grad_bus_to_context (GradBus * bus);
GRAD_API GradBus *grad_bus_from_context (GstContext * context);

GRAD_API GradNetwork *grad_bus_get_network (GradBus * bus, const gchar * model_name);
GRAD_API gboolean grad_bus_set_seed (GradBus * bus, guint64 seed, GError ** error);
GRAD_API guint64 grad_bus_get_seed (GradBus * bus);
GRAD_API gboolean grad_bus_add_settings (GradBus * bus, const GradDeviceSettings * settings,
    GError ** error);
GRAD_API GradDevice *grad_bus_get_device (GradBus * bus, GError ** error);

G_END_DECLS
