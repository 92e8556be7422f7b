/* GradStreamer: the device that tensors live on
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../tensor/gradtensor.h"

G_BEGIN_DECLS

#define GRAD_TYPE_DEVICE (grad_device_get_type ())
GRAD_API G_DECLARE_DERIVABLE_TYPE (GradDevice, grad_device, GRAD, DEVICE, GObject)

/**
 * GradDeviceSettings:
 * @name: (nullable): "cpu", "ref", "cuda", "cuda:1" … or %NULL or "auto" for the best that works
 * @precision: precision to compute in
 * @threads: compute threads, 0 for one per processor
 * @deterministic: no choice may depend on timing
 *
 * What a device is opened with. Unset fields are taken from GRAD_DEVICE, GRAD_PRECISION and
 * GRAD_THREADS in the environment.
 */
typedef struct
{
  const gchar *name;
  GradPrecision precision;
  guint threads;
  gboolean deterministic;
} GradDeviceSettings;

GRAD_API GradDevice *grad_device_open (const GradDeviceSettings * settings, GError ** error);
GRAD_API const gchar *grad_device_get_name (GradDevice * device);
GRAD_API GradPrecision grad_device_get_precision (GradDevice * device);
GRAD_API guint grad_device_get_threads (GradDevice * device);
GRAD_API guint64 grad_device_get_n_allocations (GradDevice * device);
GRAD_API guint64 grad_device_get_bytes_allocated (GradDevice * device);

G_END_DECLS
