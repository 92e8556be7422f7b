/* GradStreamer: a device's pool of storage
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "graddevice-private.h"

G_BEGIN_DECLS

typedef struct _GradDevicePool GradDevicePool;

GradDevicePool *grad_device_pool_new (void);
void grad_device_pool_free (GradDevicePool * self);
/* in graddevice.c */
GradDevicePool *grad_device_peek_pool (GradDevice * device);
/* Gives the device back what lies in the pool. */
void grad_device_pool_clear (GradDevice * device);

G_END_DECLS
