/* GradStreamer: a tensor's values, in and out
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradtensor-private.h"
#include "../device/graddevice-private.h"

#include <string.h>

static gboolean
check_size (GradTensor * self, gsize size, GError ** error)
{
  if (size == self->memory.maxsize)
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "got %" G_GSIZE_FORMAT
      " bytes, the tensor has %" G_GSIZE_FORMAT, size, self->memory.maxsize);
  return FALSE;
}

/**
 * grad_tensor_upload:
 * @tensor: a tensor
 * @data: (array length=size) (element-type guint8): dense row-major values of the logical type
 * @size: bytes of @data
 * @error: location of a #GError
 *
 * Sets all values.
 *
 * Returns: %FALSE with %GRAD_ERROR_SHAPE when @size is not that of the tensor, or with the device's error
 */
gboolean
grad_tensor_upload (GradTensor * tensor, gconstpointer data, gsize size, GError ** error)
{
  gboolean ok;

  if (!check_size (tensor, size, error))
    return FALSE;
  g_mutex_lock (&tensor->lock);
  ok = GRAD_DEVICE_GET_CLASS (tensor->device)->upload (tensor, data, error);
  tensor->host_newer = FALSE;
  grad_tensor_touch (tensor);
  g_mutex_unlock (&tensor->lock);
  return ok;
}

/**
 * grad_tensor_download: (skip)
 * @tensor: a tensor
 * @data: (array length=size) (element-type guint8): where to put dense row-major values
 * @size: bytes of @data
 * @error: location of a #GError
 *
 * Gets all values.
 *
 * Returns: %FALSE with %GRAD_ERROR_SHAPE when @size is not that of the tensor, or with the device's error
 */
gboolean
grad_tensor_download (GradTensor * tensor, gpointer data, gsize size, GError ** error)
{
  gboolean ok = TRUE;

  if (!check_size (tensor, size, error))
    return FALSE;
  g_mutex_lock (&tensor->lock);
  if (tensor->host_newer)
    memcpy (data, tensor->host, size);
  else if (tensor->fetch != NULL)
    ok = GRAD_DEVICE_GET_CLASS (tensor->device)->end_fetch (tensor,
        g_steal_pointer (&tensor->fetch), data, error);
  else
    ok = GRAD_DEVICE_GET_CLASS (tensor->device)->download (tensor, data, error);
  g_mutex_unlock (&tensor->lock);
  return ok;
}

/**
 * grad_tensor_download_bytes: (rename-to grad_tensor_download)
 * @tensor: a tensor
 * @error: location of a #GError
 *
 * Gets all values, dense and row-major.
 *
 * Returns: (transfer full) (nullable): them, or %NULL with the device's error
 */
GBytes *
grad_tensor_download_bytes (GradTensor * tensor, GError ** error)
{
  gsize size = grad_shape_n_elements (&tensor->shape) * grad_dtype_size (tensor->dtype);
  g_autofree gpointer data = g_malloc (size);

  return grad_tensor_download (tensor, data, size, error) ? g_bytes_new_take (g_steal_pointer (&data), size) : NULL;
}

gpointer
grad_tensor_begin_download (GradTensor * tensor)
{
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (tensor->device);
  gpointer download;

  g_mutex_lock (&tensor->lock);
  download = klass->fetch && !tensor->host_newer ? klass->fetch (tensor, NULL) : NULL;
  g_mutex_unlock (&tensor->lock);
  return download;
}

gboolean
grad_tensor_end_download (GradTensor * tensor, gpointer download, gpointer data, GError ** error)
{
  return GRAD_DEVICE_GET_CLASS (tensor->device)->end_fetch (tensor, download, data, error);
}

void
grad_tensor_fetch (GradTensor * tensor)
{
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (tensor->device);
  g_autoptr (GError) error = NULL;

  g_mutex_lock (&tensor->lock);
  if (klass->fetch != NULL && tensor->fetch == NULL && !tensor->host_newer
      && !(tensor->fetch = klass->fetch (tensor, &error)))
    GST_WARNING ("a tensor is read later, and waited for: %s", error->message);
  g_mutex_unlock (&tensor->lock);
}

gboolean
grad_tensor_is_fetched (GradTensor * tensor)
{
  gboolean is_fetched;

  g_mutex_lock (&tensor->lock);
  is_fetched = tensor->fetch == NULL
      || GRAD_DEVICE_GET_CLASS (tensor->device)->is_fetched (tensor, tensor->fetch);
  g_mutex_unlock (&tensor->lock);
  return is_fetched;
}

/**
 * grad_tensor_from_buffer:
 * @buffer: a buffer with one tensor
 * @device: the device that will compute with it
 * @dtype: type that the caps say
 * @shape: shape that the caps say
 * @error: location of a #GError
 *
 * The tensor in a buffer. Plain memory, or a tensor of another device, is copied to @device; a tensor
 * whose shape is spelled otherwise (rank 2 or 4) is copied, too.
 *
 * Returns: (transfer full) (nullable): the tensor, or %NULL with %GRAD_ERROR_SHAPE when the
 *   buffer has another size than the caps say, or as grad_tensor_new()
 */
GradTensor *
grad_tensor_from_buffer (GstBuffer * buffer, GradDevice * device, GradDType dtype,
    const GradShape * shape, GError ** error)
{
  gsize size = grad_shape_n_elements (shape) * grad_dtype_size (dtype);
  g_autoptr (GradTensor) tensor = NULL;
  GstMapInfo map;
  gboolean ok;

  if (gst_buffer_n_memory (buffer) == 1) {
    GradTensor *t = (GradTensor *) gst_buffer_peek_memory (buffer, 0);

    if (grad_memory_is_tensor ((GstMemory *) t) && t->device == device && t->dtype == dtype
        && grad_shape_equal (&t->shape, shape))
      return grad_tensor_ref (t);
  }
  if (gst_buffer_get_size (buffer) != size) {
    g_autofree gchar *text = grad_shape_to_string (shape);
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "got a buffer of %" G_GSIZE_FORMAT
        " bytes, expected %" G_GSIZE_FORMAT " for %s of %s", gst_buffer_get_size (buffer), size,
        text, grad_dtype_to_string (dtype));
    return NULL;
  }
  tensor = grad_tensor_new (device, dtype, shape, error);
  if (tensor == NULL)
    return NULL;
  if (!gst_buffer_map (buffer, &map, GST_MAP_READ)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FAILED, "cannot read the buffer");
    return NULL;
  }
  ok = grad_tensor_upload (tensor, map.data, map.size, error);
  gst_buffer_unmap (buffer, &map);
  return ok ? g_steal_pointer (&tensor) : NULL;
}
