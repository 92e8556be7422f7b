/* GradStreamer: the reference device: plain C, double precision, dense row-major storage
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The oracle that every other device is tested against, and the cpu device of builds without oneDNN. */
#include "graddevice-private.h"
#include "kernels/kernels.h"

#include <string.h>

#define GRAD_TYPE_REF_DEVICE (grad_ref_device_get_type ())
G_DECLARE_FINAL_TYPE (GradRefDevice, grad_ref_device, GRAD, REF_DEVICE, GradDevice)

struct _GradRefDevice
{
  GradDevice parent;
};

G_DEFINE_FINAL_TYPE (GradRefDevice, grad_ref_device, GRAD_TYPE_DEVICE);

static const GradKernels ref_kernels = {
  .conv = &grad_conv_ref_ops,
  .norm = &grad_norm_ref_ops,
  .pool = &grad_pool_ref_ops,
  .linear = &grad_linear_ref_ops,
  .loss = &grad_loss_ref_ops,
  .optim = &grad_optim_ref_ops,
  .resize = &grad_resize_ref_ops,
  .elementwise = &grad_elementwise_ref_ops,
  .video = &grad_video_ref_ops,
  .augment = &grad_augment_ref_ops,
};

static gboolean
grad_ref_device_open (GradDevice * device, GError ** error)
{
  if (grad_device_settings (device)->precision > GRAD_PRECISION_F32) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED,
        "the reference device computes in double precision: leave precision at auto");
    return FALSE;
  }
  grad_device_set_threads (device, 1);
  return TRUE;
}

static gpointer
grad_ref_device_alloc (GradDevice * device, gsize size, GError ** error)
{
  gpointer data = g_try_malloc (size);

  if (data == NULL)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_NO_MEMORY,
        "out of memory on ref: %" G_GSIZE_FORMAT " bytes", size);
  return data;
}

static void
grad_ref_device_free (GradDevice * device, gpointer data, gsize size)
{
  g_free (data);
}

static gsize
grad_ref_device_storage_size (GradDevice * device, GradDType dtype, const GradShape * shape,
    guint layout)
{
  return grad_shape_n_elements (shape) * (dtype == GRAD_DTYPE_UINT8 ? 1 : sizeof (gdouble));
}

static gboolean
grad_ref_device_is_host (GradDevice * device, GradDType dtype, guint layout)
{
  return dtype == GRAD_DTYPE_UINT8;
}

static gboolean
grad_ref_device_upload (GradTensor * tensor, gconstpointer dense, GError ** error)
{
  gsize n = grad_shape_n_elements (&tensor->shape);
  const gfloat *from = dense;
  gdouble *to = tensor->data;

  if (tensor->dtype == GRAD_DTYPE_UINT8)
    memcpy (tensor->data, dense, n);
  else
    for (gsize i = 0; i < n; i++)
      to[i] = from[i];
  return TRUE;
}

static gboolean
grad_ref_device_download (const GradTensor * tensor, gpointer dense, GError ** error)
{
  gsize n = grad_shape_n_elements (&tensor->shape);
  const gdouble *from = tensor->data;
  gfloat *to = dense;

  if (tensor->dtype == GRAD_DTYPE_UINT8)
    memcpy (dense, tensor->data, n);
  else
    for (gsize i = 0; i < n; i++)
      to[i] = from[i];
  return TRUE;
}

static const gchar *
grad_ref_device_layout_name (GradDType dtype, guint layout)
{
  return dtype == GRAD_DTYPE_UINT8 ? "plain" : "f64";
}

static void
grad_ref_device_class_init (GradRefDeviceClass * klass)
{
  GradDeviceClass *device_class = GRAD_DEVICE_CLASS (klass);

  device_class->kernels = &ref_kernels;
  device_class->open = grad_ref_device_open;
  device_class->alloc = grad_ref_device_alloc;
  device_class->free = grad_ref_device_free;
  device_class->storage_size = grad_ref_device_storage_size;
  device_class->is_host = grad_ref_device_is_host;
  device_class->upload = grad_ref_device_upload;
  device_class->download = grad_ref_device_download;
  device_class->layout_name = grad_ref_device_layout_name;
}

static void
grad_ref_device_init (GradRefDevice * self)
{
}
