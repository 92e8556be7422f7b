/* GradStreamer: a dense tensor in a GstMemory
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradshape.h"

G_BEGIN_DECLS

#define GRAD_TENSOR_MEMORY_TYPE "GradTensor"

#define GRAD_TYPE_TENSOR (grad_tensor_get_type ())
GRAD_API GType grad_tensor_get_type (void);

/**
 * GradTensor:
 *
 * A dense n-dimensional array that lives on a #GradDevice. It is a #GstMemory: a buffer carries it
 * through a pipeline, and whoever maps it for reading sees plain row-major data of its logical
 * type. Storage comes from the device's pool and goes back there with the last reference.
 */
#define GRAD_TENSOR(obj) ((GradTensor *) (obj))

/**
 * GRAD_MAP_DEVICE:
 *
 * Flag for gst_memory_map() and gst_buffer_map(): gives the tensor's storage on its device, in the device's layout, when all work asked of
 * the device is done: on cuda a pointer into GPU memory, as GST_MAP_CUDA (which is the same flag) does. Whoever writes there has
 * finished when it unmaps.
 */
#define GRAD_MAP_DEVICE (GST_MAP_FLAG_LAST << 1)

GRAD_API GradTensor *grad_tensor_new (GradDevice * device, GradDType dtype,
    const GradShape * shape, GError ** error);
GRAD_API GradTensor *grad_tensor_new_plain (GradDevice * device, GradDType dtype,
    const GradShape * shape, GError ** error);
GRAD_API GradTensor *grad_tensor_new_parameter (GradDevice * device, const GradShape * shape,
    GError ** error);
GRAD_API GradTensor *grad_tensor_ref (GradTensor * tensor);
GRAD_API void grad_tensor_unref (GradTensor * tensor);
GRAD_API void grad_tensor_truncate (GradTensor * tensor, gint n);

GRAD_API gboolean grad_memory_is_tensor (GstMemory * memory);
GRAD_API GradTensor *grad_tensor_from_buffer (GstBuffer * buffer, GradDevice * device,
    GradDType dtype, const GradShape * shape, GError ** error);

GRAD_API GradDevice *grad_tensor_get_device (GradTensor * tensor);
GRAD_API GradDType grad_tensor_get_dtype (GradTensor * tensor);
GRAD_API const GradShape *grad_tensor_get_shape (GradTensor * tensor);
GRAD_API const gchar *grad_tensor_get_layout_name (GradTensor * tensor);

GRAD_API gboolean grad_tensor_upload (GradTensor * tensor, gconstpointer data, gsize size,
    GError ** error);
GRAD_API gboolean grad_tensor_download (GradTensor * tensor, gpointer data, gsize size,
    GError ** error);
GRAD_API GBytes *grad_tensor_download_bytes (GradTensor * tensor, GError ** error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradTensor, grad_tensor_unref)

G_END_DECLS
