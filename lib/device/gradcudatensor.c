/* GradStreamer: how tensors lie on a GPU, how they get there and back
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradcudatensor.h"
#include "gradcudastaging.h"

static guint
activation_layout (GradDevice * device, GradDType dtype, const GradShape * shape)
{
  if (dtype != GRAD_DTYPE_FLOAT32 || shape->rank != 4)
    return GRAD_LAYOUT_PLAIN;
  return grad_device_get_precision (device) == GRAD_PRECISION_BF16
      ? GRAD_CUDA_NHWC_BF16 : GRAD_CUDA_NHWC_F32;
}

static guint
parameter_layout (GradDevice * device, const GradShape * shape)
{
  return shape->rank == 4 ? GRAD_CUDA_NHWC_F32 : GRAD_LAYOUT_PLAIN;
}

static const gchar *
layout_name (GradDType dtype, guint layout)
{
  return layout == GRAD_CUDA_NHWC_BF16 ? "nhwc-bf16"
      : layout == GRAD_CUDA_NHWC_F32 ? "nhwc-f32" : "plain";
}

static gsize
storage_size (GradDevice * device, GradDType dtype, const GradShape * shape, guint layout)
{
  return grad_shape_n_elements (shape)
      * (layout == GRAD_CUDA_NHWC_BF16 ? 2 : grad_dtype_size (dtype));
}

static gboolean
is_host (GradDevice * device, GradDType dtype, guint layout)
{
  return FALSE;
}

/* Another layout's dense floats are in scratch memory on the way. */
static gboolean
upload (GradTensor * tensor, gconstpointer dense, GError ** error)
{
  GradDevice *device = tensor->device;
  GradCudaStaging *staging = grad_cuda_device_staging (device);
  gsize size = tensor->memory.maxsize, capacity;
  gpointer scratch;
  gboolean ok;

  grad_cuda_device_enter (device);
  if (tensor->layout == GRAD_LAYOUT_PLAIN)
    return grad_cuda_staging_upload (staging, tensor->data, dense, size, error);
  scratch = grad_device_pool_get (device, size, &capacity, error);
  if (scratch == NULL)
    return FALSE;
  ok = grad_cuda_staging_upload (staging, scratch, dense, size, error)
      && grad_cuda_to_layout (device, &tensor->shape, tensor->layout, scratch, tensor->data, error);
  grad_device_pool_put (device, scratch, capacity);
  return ok;
}

static gboolean
copy_to_host (GradDevice * device, gconstpointer from, gpointer to, gsize size, GError ** error)
{
  GradCudaStaging *staging = grad_cuda_device_staging (device);
  GradCudaFetch *fetch = grad_cuda_staging_fetch (staging, from, size, error);

  return fetch && grad_cuda_staging_end_fetch (staging, fetch, to, size, error);
}

/* Without scratch memory on the device: what was learnt can be saved when there is none left. */
static gboolean
download_by_host (const GradTensor * tensor, gfloat * dense, GError ** error)
{
  const gint *dims = tensor->shape.dims;
  gsize size = storage_size (tensor->device, tensor->dtype, &tensor->shape, tensor->layout);
  gsize c = dims[1], hw = (gsize) dims[2] * dims[3];
  g_autofree gpointer data = g_try_malloc (size);
  gboolean bf16 = tensor->layout == GRAD_CUDA_NHWC_BF16;

  if (data == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_NO_MEMORY, "out of memory");
    return FALSE;
  }
  if (!copy_to_host (tensor->device, tensor->data, data, size, error))
    return FALSE;
  for (gsize n = 0; n < (gsize) dims[0]; n++)
    for (gsize k = 0; k < c; k++)
      for (gsize p = 0; p < hw; p++, dense++) {
        gsize from = (n * hw + p) * c + k;
        union
        {
          guint32 bits;
          gfloat value;
        } wide = {.bits = bf16 ? (guint32) ((guint16 *) data)[from] << 16 : 0 };

        *dense = bf16 ? wide.value : ((gfloat *) data)[from];
      }
  return TRUE;
}

static gboolean
download (const GradTensor * tensor, gpointer dense, GError ** error)
{
  GradDevice *device = tensor->device;
  gsize size = tensor->memory.maxsize, capacity;
  gpointer scratch;
  gboolean ok;

  grad_cuda_device_enter (device);
  if (tensor->layout == GRAD_LAYOUT_PLAIN)
    return copy_to_host (device, tensor->data, dense, size, error);
  scratch = grad_device_pool_get (device, size, &capacity, NULL);
  if (scratch == NULL)
    return download_by_host (tensor, dense, error);
  ok = grad_cuda_from_layout (device, &tensor->shape, tensor->layout, tensor->data, scratch, error)
      && copy_to_host (device, scratch, dense, size, error);
  grad_device_pool_put (device, scratch, capacity);
  return ok;
}

static gpointer
fetch (const GradTensor * tensor, GError ** error)
{
  GradDevice *device = tensor->device;
  GradCudaStaging *staging = grad_cuda_device_staging (device);
  gsize size = tensor->memory.maxsize, capacity;
  GradCudaFetch *fetch = NULL;
  gpointer scratch;

  grad_cuda_device_enter (device);
  if (tensor->layout == GRAD_LAYOUT_PLAIN)
    return grad_cuda_staging_fetch (staging, tensor->data, size, error);
  scratch = grad_device_pool_get (device, size, &capacity, error);
  if (scratch == NULL)
    return NULL;
  if (grad_cuda_from_layout (device, &tensor->shape, tensor->layout, tensor->data, scratch, error))
    fetch = grad_cuda_staging_fetch (staging, scratch, size, error);
  grad_device_pool_put (device, scratch, capacity);
  return fetch;
}

static gboolean
is_fetched (const GradTensor * tensor, gpointer fetch)
{
  return grad_cuda_fetch_is_done (fetch);
}

static gboolean
end_fetch (const GradTensor * tensor, gpointer fetch, gpointer dense, GError ** error)
{
  grad_cuda_device_enter (tensor->device);
  return grad_cuda_staging_end_fetch (grad_cuda_device_staging (tensor->device), fetch, dense, tensor->memory.maxsize,
      error);
}

void
grad_cuda_tensor_class_init (GradDeviceClass * klass)
{
  klass->activation_layout = activation_layout;
  klass->parameter_layout = parameter_layout;
  klass->layout_name = layout_name;
  klass->storage_size = storage_size;
  klass->is_host = is_host;
  klass->upload = upload;
  klass->download = download;
  klass->fetch = fetch;
  klass->is_fetched = is_fetched;
  klass->end_fetch = end_fetch;
}
