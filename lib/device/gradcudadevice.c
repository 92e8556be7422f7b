/* GradStreamer: the cuda device: NVIDIA GPUs through the CUDA runtime, cuDNN and kernels of our own
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A module of its own, loaded by gradbackend.c. */
#include "config.h"
#include "gradcudarecording.h"
#include "gradcudaside.h"
#include "gradcudastaging.h"
#include "kernels/kernels.h"
#ifdef HAVE_CUDNN
#include "kernels/cudnn.h"
#endif
#ifdef HAVE_GSTCUDA
#include "gradgstcuda.h"
#endif

#include <stdlib.h>
#include <string.h>

GST_DEBUG_CATEGORY_STATIC (grad_cuda_debug);
#define GST_CAT_DEFAULT grad_cuda_debug

#define GRAD_TYPE_CUDA_DEVICE (grad_cuda_device_get_type ())
G_DECLARE_FINAL_TYPE (GradCudaDevice, grad_cuda_device, GRAD, CUDA_DEVICE, GradDevice)

struct _GradCudaDevice
{
  GradDevice parent;

  gint index;
  guint n_multiprocessors;
  cudaStream_t stream;
  GradCudaStaging *staging;
  gboolean serial;              /* one stream only */
  GradCudaSide *side;           /* NULL until somebody wants it, as cudnn */
#ifdef HAVE_CUDNN
  GradCudnn *cudnn;
#endif
};

G_DEFINE_FINAL_TYPE (GradCudaDevice, grad_cuda_device, GRAD_TYPE_DEVICE);

static const GradKernels cuda_kernels = {
#ifdef HAVE_CUDNN
  .conv = &grad_conv_cudnn_ops,
#else
  .conv = &grad_conv_cuda_ops,
#endif
  .norm = &grad_norm_cuda_ops,
  .pool = &grad_pool_cuda_ops,
  .linear = &grad_linear_cuda_ops,
  .loss = &grad_loss_cuda_ops,
  .optim = &grad_optim_cuda_ops,
  .resize = &grad_resize_cuda_ops,
  .elementwise = &grad_elementwise_cuda_ops,
  .video = &grad_video_cuda_ops,
  .augment = &grad_augment_cuda_ops,
};

static _Thread_local cudaStream_t used; /* see grad_cuda_device_use_stream() */

/* Every thread has a current GPU of its own, and some launch from streaming threads. */
cudaStream_t
grad_cuda_device_stream (GradDevice * device)
{
  cudaSetDevice (GRAD_CUDA_DEVICE (device)->index);
  return used ? used : GRAD_CUDA_DEVICE (device)->stream;
}

guint
grad_cuda_device_n_multiprocessors (GradDevice * device)
{
  return GRAD_CUDA_DEVICE (device)->n_multiprocessors;
}

#ifdef HAVE_CUDNN
GradCudnn *
grad_cuda_device_cudnn (GradDevice * device, GError ** error)
{
  GradCudaDevice *self = GRAD_CUDA_DEVICE (device);
  struct cudaDeviceProp prop;

  if (self->cudnn == NULL && grad_cuda_check (device, cudaGetDeviceProperties (&prop, self->index),
          "asking for properties", error))
    self->cudnn = grad_cudnn_new (device, self->stream, prop.name, error);
  return self->cudnn;
}
#endif

gboolean
grad_cuda_device_use_stream (GradDevice * device, cudaStream_t stream, GError ** error)
{
  used = stream;
#ifdef HAVE_CUDNN
  GradCudnn *cudnn = GRAD_CUDA_DEVICE (device)->cudnn;

  return cudnn == NULL || grad_cudnn_check (cudnnSetStream (cudnn->handle, grad_cuda_device_stream (device)),
      "cudnnSetStream", error);
#else
  return TRUE;
#endif
}

gboolean
grad_cuda_device_has_aside (GradDevice * device)
{
  return !GRAD_CUDA_DEVICE (device)->serial;
}

gboolean
grad_cuda_device_begin_aside (GradDevice * device, GError ** error)
{
  GradCudaDevice *self = GRAD_CUDA_DEVICE (device);

  if (self->side == NULL)
    self->side = grad_cuda_side_new (device, self->stream, error);
  return self->side != NULL && grad_cuda_side_begin (self->side, error);
}

gboolean
grad_cuda_device_end_aside (GradDevice * device, const GradTensor * a, const GradTensor * b, GError ** error)
{
  return grad_cuda_side_end (GRAD_CUDA_DEVICE (device)->side, a, b, error);
}

static gboolean
grad_cuda_device_settle (GradDevice * device, GError ** error)
{
  GradCudaDevice *self = GRAD_CUDA_DEVICE (device);

  return self->side == NULL || grad_cuda_side_settle (self->side, error);
}

gboolean
grad_cuda_check (GradDevice * device, cudaError_t status, const gchar * what, GError ** error)
{
  if (status == cudaSuccess)
    return TRUE;
  g_set_error (error, GRAD_ERROR,
      status == cudaErrorMemoryAllocation ? GRAD_ERROR_NO_MEMORY : GRAD_ERROR_FAILED,
      "%s failed on %s: %s", what, grad_device_get_name (device), cudaGetErrorString (status));
  return FALSE;
}

/* The number behind "cuda:", 0 without */
static gboolean
parse_index (const gchar * name, gint * index, GError ** error)
{
  const gchar *colon = strchr (name, ':');
  guint64 value = 0;

  if (colon != NULL && !g_ascii_string_to_unsigned (colon + 1, 10, 0, 1024, &value, NULL)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "device=%s: use cuda, or cuda:0, cuda:1 … for a certain GPU", name);
    return FALSE;
  }
  *index = value;
  return TRUE;
}

static gboolean
find_gpu (GradCudaDevice * self, const gchar * name, struct cudaDeviceProp *prop, GError ** error)
{
  gint count = 0;
  cudaError_t status = cudaGetDeviceCount (&count);

  if (status != cudaSuccess || count == 0)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_DEVICE, "no GPU can be used: %s: install NVIDIA's driver, "
        "or use device=cpu", status ? cudaGetErrorString (status) : "there is none");
  else if (self->index >= count)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_DEVICE, "there is no %s: this machine's GPUs are cuda:0 "
        "to cuda:%d", name, count - 1);
  else
    return grad_cuda_check (GRAD_DEVICE (self), cudaGetDeviceProperties (prop, self->index),
        "asking for properties", error);
  return FALSE;
}

static gboolean
enter (GradCudaDevice * self, GError ** error)
{
  return grad_cuda_check (GRAD_DEVICE (self), cudaSetDevice (self->index), "choosing the GPU",
      error);
}

static gboolean
grad_cuda_device_open (GradDevice * device, GError ** error)
{
  GradCudaDevice *self = GRAD_CUDA_DEVICE (device);
  const GradDeviceSettings *settings = grad_device_settings (device);
  struct cudaDeviceProp prop;
  gint priority;

  if (!parse_index (settings->name, &self->index, error)
      || !find_gpu (self, settings->name, &prop, error))
    return FALSE;
  if (prop.major < 8) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_DEVICE, "%s (%s) has compute capability %d.%d; 8.0 "
        "(Ampere) or newer is needed: use device=cpu", settings->name, prop.name, prop.major,
        prop.minor);
    return FALSE;
  }
  if (settings->precision == GRAD_PRECISION_INT8) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED,
        "precision=int8 is for device=cpu: use bf16, tf32, f32 or auto with %s", settings->name);
    return FALSE;
  }
  if (settings->precision <= GRAD_PRECISION_AUTO)
    grad_device_set_precision (device, GRAD_PRECISION_BF16);
  self->serial = g_getenv ("GRAD_CUDA_SERIAL") != NULL;
  self->n_multiprocessors = prop.multiProcessorCount;
  if (!enter (self, error)
      || !grad_cuda_check (device, cudaDeviceGetStreamPriorityRange (NULL, &priority), "asking for priorities", error)
      || !grad_cuda_check (device, cudaStreamCreateWithPriority (&self->stream, cudaStreamNonBlocking, priority),
          "creating a stream", error))
    return FALSE;
  self->staging = grad_cuda_staging_new (device, self->stream);
  GST_INFO_OBJECT (NULL, "%s is %s, %" G_GSIZE_FORMAT " MB", settings->name, prop.name,
      (gsize) prop.totalGlobalMem >> 20);
  return TRUE;
}

static void
grad_cuda_device_enter_thread (GradDevice * device)
{
  cudaSetDevice (GRAD_CUDA_DEVICE (device)->index);
}

static gpointer
grad_cuda_device_alloc (GradDevice * device, gsize size, GError ** error)
{
  GradCudaDevice *self = GRAD_CUDA_DEVICE (device);
  gpointer data = NULL;
  gsize available = 0, total = 0;

  if (!enter (self, error))
    return NULL;
  if (cudaMalloc (&data, size) == cudaSuccess)
    return data;
  cudaGetLastError ();          /* or the next launch would report it */
  cudaMemGetInfo (&available, &total);
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_NO_MEMORY,
      "out of memory on %s: %" G_GSIZE_FORMAT " MB asked for, %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT
      " MB free: lower batch-size on idxsrc or width/height on gradresize",
      grad_device_get_name (device), size >> 20, available >> 20, total >> 20);
  return NULL;
}

static void
grad_cuda_device_free (GradDevice * device, gpointer data, gsize size)
{
  enter (GRAD_CUDA_DEVICE (device), NULL);
  cudaFree (data);
}

static guint
grad_cuda_device_activation_layout (GradDevice * device, GradDType dtype, const GradShape * shape)
{
  if (dtype != GRAD_DTYPE_FLOAT32 || shape->rank != 4)
    return GRAD_LAYOUT_PLAIN;
  return grad_device_get_precision (device) == GRAD_PRECISION_BF16
      ? GRAD_CUDA_NHWC_BF16 : GRAD_CUDA_NHWC_F32;
}

static guint
grad_cuda_device_parameter_layout (GradDevice * device, const GradShape * shape)
{
  return shape->rank == 4 ? GRAD_CUDA_NHWC_F32 : GRAD_LAYOUT_PLAIN;
}

static gsize
grad_cuda_device_storage_size (GradDevice * device, GradDType dtype, const GradShape * shape,
    guint layout)
{
  return grad_shape_n_elements (shape)
      * (layout == GRAD_CUDA_NHWC_BF16 ? 2 : grad_dtype_size (dtype));
}

static gboolean
grad_cuda_device_is_host (GradDevice * device, GradDType dtype, guint layout)
{
  return FALSE;
}

static gboolean
download_dense (GradCudaDevice * self, gconstpointer from, gpointer dense, gsize size,
    GError ** error)
{
  GradCudaFetch *fetch = grad_cuda_staging_fetch (self->staging, from, size, error);

  return fetch && grad_cuda_staging_end_fetch (self->staging, fetch, dense, size, error);
}

/* Runs with the dense floats of a tensor of another layout in scratch memory. */
static gboolean
transfer (const GradTensor * tensor, gpointer dense, gboolean upload, GError ** error)
{
  GradDevice *device = tensor->device;
  GradCudaDevice *self = GRAD_CUDA_DEVICE (device);
  gsize size = tensor->memory.maxsize, capacity = 0;
  gpointer scratch = tensor->data;
  gboolean plain = tensor->layout == GRAD_LAYOUT_PLAIN, ok;

  if (!enter (self, error)
      || (!plain && !(scratch = grad_device_pool_get (device, size, &capacity, error))))
    return FALSE;
  if (upload)
    ok = grad_cuda_staging_upload (self->staging, scratch, dense, size, error)
        && (plain || grad_cuda_to_layout (device, &tensor->shape, tensor->layout, scratch,
            tensor->data, error));
  else
    ok = (plain || grad_cuda_from_layout (device, &tensor->shape, tensor->layout, tensor->data,
            scratch, error))
        && download_dense (self, scratch, dense, size, error);
  if (!plain)
    grad_device_pool_put (device, scratch, capacity);
  return ok;
}

static gboolean
grad_cuda_device_upload (GradTensor * tensor, gconstpointer dense, GError ** error)
{
  return transfer (tensor, (gpointer) dense, TRUE, error);
}

static gboolean
grad_cuda_device_download (const GradTensor * tensor, gpointer dense, GError ** error)
{
  return transfer (tensor, dense, FALSE, error);
}

static gpointer
grad_cuda_device_fetch (const GradTensor * tensor, GError ** error)
{
  GradCudaDevice *self = GRAD_CUDA_DEVICE (tensor->device);

  return enter (self, error)
      ? grad_cuda_staging_fetch (self->staging, tensor->data, tensor->memory.maxsize, error) : NULL;
}

static gboolean
grad_cuda_device_is_fetched (const GradTensor * tensor, gpointer fetch)
{
  return grad_cuda_fetch_is_done (fetch);
}

static gboolean
grad_cuda_device_end_fetch (const GradTensor * tensor, gpointer fetch, gpointer dense,
    GError ** error)
{
  return grad_cuda_staging_end_fetch (GRAD_CUDA_DEVICE (tensor->device)->staging, fetch, dense,
      tensor->memory.maxsize, error);
}

static const gchar *
grad_cuda_device_layout_name (GradDType dtype, guint layout)
{
  return layout == GRAD_CUDA_NHWC_BF16 ? "nhwc-bf16"
      : layout == GRAD_CUDA_NHWC_F32 ? "nhwc-f32" : "plain";
}

static gboolean
grad_cuda_device_finish (GradDevice * device, GError ** error)
{
  GradCudaDevice *self = GRAD_CUDA_DEVICE (device);

  return enter (self, error)
      && grad_cuda_check (device, cudaStreamSynchronize (self->stream), "computing", error);
}

static void
grad_cuda_device_finalize (GObject * object)
{
  GradCudaDevice *self = GRAD_CUDA_DEVICE (object);

  if (self->stream != NULL) {
    enter (self, NULL);
    cudaStreamSynchronize (self->stream);
    grad_cuda_side_free (self->side);
#ifdef HAVE_CUDNN
    grad_cudnn_free (self->cudnn);
#endif
    grad_cuda_staging_free (self->staging);
    cudaStreamDestroy (self->stream);
  }
  G_OBJECT_CLASS (grad_cuda_device_parent_class)->finalize (object);
}

static gchar *
grad_cuda_device_get_library (GradDevice * device)
{
  struct cudaDeviceProp prop;

  if (cudaGetDeviceProperties (&prop, GRAD_CUDA_DEVICE (device)->index) != cudaSuccess)
    return NULL;
#ifdef HAVE_CUDNN
  return g_strdup_printf ("cuDNN %" G_GSIZE_FORMAT " on %s", cudnnGetVersion (), prop.name);
#else
  return g_strdup (prop.name);
#endif
}

static void
grad_cuda_device_class_init (GradCudaDeviceClass * klass)
{
  GradDeviceClass *device_class = GRAD_DEVICE_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_cuda_debug, "gradcuda", 0, "GradStreamer's cuda device");
  G_OBJECT_CLASS (klass)->finalize = grad_cuda_device_finalize;
  device_class->kernels = &cuda_kernels;
  device_class->get_library = grad_cuda_device_get_library;
  device_class->open = grad_cuda_device_open;
  device_class->alloc = grad_cuda_device_alloc;
  device_class->free = grad_cuda_device_free;
  device_class->activation_layout = grad_cuda_device_activation_layout;
  device_class->parameter_layout = grad_cuda_device_parameter_layout;
  device_class->storage_size = grad_cuda_device_storage_size;
  device_class->is_host = grad_cuda_device_is_host;
  device_class->upload = grad_cuda_device_upload;
  device_class->download = grad_cuda_device_download;
  device_class->fetch = grad_cuda_device_fetch;
  device_class->is_fetched = grad_cuda_device_is_fetched;
  device_class->end_fetch = grad_cuda_device_end_fetch;
  device_class->layout_name = grad_cuda_device_layout_name;
  device_class->finish = grad_cuda_device_finish;
  device_class->enter_thread = grad_cuda_device_enter_thread;
  device_class->settle = grad_cuda_device_settle;
  device_class->begin_recording = grad_cuda_begin_recording;
  device_class->end_recording = grad_cuda_end_recording;
  device_class->replay = grad_cuda_replay;
  device_class->free_recording = grad_cuda_free_recording;
  device_class->any_thread = GRAD_DEVICE_JOBS_ALL;
#ifdef HAVE_GSTCUDA
  grad_gst_cuda_class_init (device_class);
#endif
}

static void
grad_cuda_device_init (GradCudaDevice * self)
{
}

/* What gradbackend.c looks for. */
GRAD_API GType grad_backend_get_type (void);

GType
grad_backend_get_type (void)
{
  return grad_cuda_device_get_type ();
}
