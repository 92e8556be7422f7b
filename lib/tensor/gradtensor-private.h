/* GradStreamer: what kernels and devices see of a tensor
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradtensor.h"

G_BEGIN_DECLS

/* Physical layouts. A device numbers its own ones from 1; 0 is dense row-major on every device. */
#define GRAD_LAYOUT_PLAIN 0

struct _GradTensor
{
  GstMemory memory;

  GradDevice *device;           /* owned */
  GradDType dtype;
  GradShape shape;
  guint layout;                 /* GRAD_LAYOUT_PLAIN or one of the device's */
  gpointer data;                /* device storage: touch through grad_tensor_data() */
  gsize capacity;               /* bytes of storage, may be more than needed */
  gboolean pooled;              /* it is from the device's pool */
  gboolean fixed;               /* a recording makes it: its values come there again */

  GMutex lock;                  /* guards the rest */
  gpointer host;                /* dense copy of the logical type, made by the first map */
  gboolean host_newer;          /* a write map made the host copy the true one */
  guint n_writes;               /* times it was mapped for writing */
  guint64 version;              /* of its values, see grad_tensor_touch() */
  gpointer fetch;               /* the device's, see grad_tensor_fetch() */
};

/* The allocator's, in gradtensormap.c: dense values of the logical type, or with GRAD_MAP_DEVICE the storage */
gpointer grad_tensor_map (GstMemory * memory, GstMapInfo * info, gsize maxsize);

/* As grad_tensor_new_plain(), but with storage of its own, see grad_device_storage_new() */
GradTensor *grad_tensor_new_lasting (GradDevice * device, GradDType dtype, const GradShape * shape, GError ** error);
GRAD_API GradTensor *grad_tensor_new_full (GradDevice * device, GradDType dtype,
    const GradShape * shape, guint layout, GError ** error);

/* Device storage, up to date: the only way by which kernels reach data.
 * On the cpu device f32 values lie in `layout`; on the reference device they are dense doubles. */
GRAD_API gpointer grad_tensor_data (const GradTensor * tensor);

/* Says that values were changed: by an upload, a map, an optimizer. A version is given out only once in a process,
 * so that a kernel which keeps a converted copy of weights knows by it whether the copy is still good. */
GRAD_API void grad_tensor_touch (GradTensor * tensor);

/* Its values are about to be made anew: forgets what else there was. */
void grad_tensor_renew (GradTensor * tensor);

/* Has the device copy the values of a small plain tensor to the host in its own time, for the next grad_tensor_download(). Until
 * then they must not change. Whether they have come: that download does not wait; so it is on devices where none does. */
void grad_tensor_fetch (GradTensor * tensor);
gboolean grad_tensor_is_fetched (GradTensor * tensor);

/* grad_tensor_download() in two parts: in between the tensor may change, as long as it is there. begin: NULL when the device does not
 * have that, or no memory for it, or the host has the values. end: without data it only forgets */
gpointer grad_tensor_begin_download (GradTensor * tensor);
gboolean grad_tensor_end_download (GradTensor * tensor, gpointer download, gpointer data, GError ** error);

/* Keeps the tensor from being overwritten in place by other elements while the tape needs it:
 * a reference plus an exclusive lock (a plain reference does not protect a GstMemory). */
GRAD_API GradTensor *grad_tensor_hold (GradTensor * tensor);
GRAD_API void grad_tensor_release (GradTensor * tensor);

/* Whether the caller's reference is the only one, so that it may overwrite the tensor. */
static inline gboolean
grad_tensor_is_exclusive (GradTensor * tensor)
{
  return GST_MINI_OBJECT_REFCOUNT_VALUE (tensor) == 1;
}

G_END_DECLS
