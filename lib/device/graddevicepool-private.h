/* GradStreamer: a device's pool of storage
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "graddevice-private.h"

G_BEGIN_DECLS

typedef struct _GradDevicePool GradDevicePool;

GRAD_API GradDevicePool *grad_device_pool_new (void);
/* What is got from it stays where it is: for recordings. It gets what it lacks from the device's own pool. */
GradDevicePool *grad_device_pool_new_fixed (void);
/* What belongs to a pool, for work that may be done at the same time */
GRAD_API GradDevicePool *grad_device_pool_get_aside (GradDevicePool * pool);
GRAD_API void grad_device_pool_free (GradDevicePool * self);
/* in graddevice.c */
GradDevicePool *grad_device_peek_pool (GradDevice * device);
/* From now on what this thread gives back to the device's pool goes to `kept` instead, and is all of a pool that this
 * thread gets something from; NULL ends that. */
GRAD_API void grad_device_pool_keep (GradDevice * device, GradDevicePool * kept);
/* The pool that this thread keeps, NULL: none */
GRAD_API GradDevicePool *grad_device_pool_peek_kept (GradDevice * device);
/* Puts what lies in another pool into the device's own, and frees the other. */
GRAD_API void grad_device_pool_merge (GradDevice * device, GradDevicePool * other);
/* Gives the device back what lies in the pool. */
void grad_device_pool_clear (GradDevice * device);

G_END_DECLS
