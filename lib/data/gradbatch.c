/* GradStreamer: the samples of a batch
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradbatch.h"
#include "graddataset-private.h"
#include "kernels/kernels.h"

#include <string.h>

/**
 * grad_batch_read:
 * @batch: what to read
 * @device: where it goes
 * @error: location of a #GError
 *
 * Returns: (transfer full) (nullable): the pictures, uint8 (N, 1, H, W), or %NULL as grad_tensor_new()
 */
GradTensor *
grad_batch_read (const GradBatch * batch, GradDevice * device, GError ** error)
{
  gint width = grad_dataset_get_width (batch->set), height = grad_dataset_get_height (batch->set);
  gsize size = (gsize) width * height;
  g_autoptr (GradTensor) tensor = grad_tensor_new (device, GRAD_DTYPE_UINT8,
      &GRAD_SHAPE (batch->n, 1, height, width), error);
  GradTensor *set = grad_dataset_peek_on_device (batch->set, device);
  GstMapInfo map;

  if (tensor == NULL)
    return NULL;
  if (set != NULL)
    return grad_device_kernels (device)->gather->samples (device, set, batch->indices, tensor, error)
        ? g_steal_pointer (&tensor) : NULL;
  if (!gst_memory_map (GST_MEMORY_CAST (tensor), &map, GST_MAP_WRITE)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_NO_MEMORY, "cannot write a batch of %u pictures: "
        "lower batch-size", batch->n);
    return NULL;
  }
  for (guint i = 0; i < batch->n; i++)
    memcpy (map.data + i * size, grad_dataset_get_image (batch->set, batch->indices[i]), size);
  gst_memory_unmap (GST_MEMORY_CAST (tensor), &map);
  return g_steal_pointer (&tensor);
}

/**
 * grad_batch_get_labels:
 * @batch: a batch
 *
 * Returns: (transfer full) (nullable): a class number (gint32) for each sample, or %NULL when the set has none
 */
GBytes *
grad_batch_get_labels (const GradBatch * batch)
{
  gint32 *labels;

  if (!grad_dataset_has_labels (batch->set))
    return NULL;
  labels = g_new (gint32, batch->n);
  for (guint i = 0; i < batch->n; i++)
    labels[i] = grad_dataset_get_label (batch->set, batch->indices[i]);
  return g_bytes_new_take (labels, batch->n * sizeof *labels);
}
