/* GradStreamer: the cuda device: NVIDIA GPUs through the CUDA runtime, cuDNN and kernels of our own
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A module of its own, loaded by gradbackend.c. */
#include "config.h"
#include "gradcudarecording.h"
#include "gradcudaside.h"
#include "gradcudastaging.h"
#include "gradcudatensor.h"
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
  GradCudaSide *side;           /* NULL: one stream only */
#ifdef HAVE_CUDNN
  GradCudnn *cudnn;             /* NULL until somebody wants it */
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
  .gather = &grad_gather_cuda_ops,
};

static _Thread_local cudaStream_t used; /* see grad_cuda_device_use_stream() */

void
grad_cuda_device_enter (GradDevice * device)
{
  cudaSetDevice (GRAD_CUDA_DEVICE (device)->index);
}

cudaStream_t
grad_cuda_device_stream (GradDevice * device)
{
  grad_cuda_device_enter (device);
  return used ? used : GRAD_CUDA_DEVICE (device)->stream;
}

GradCudaStaging *
grad_cuda_device_staging (GradDevice * device)
{
  return GRAD_CUDA_DEVICE (device)->staging;
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
  return GRAD_CUDA_DEVICE (device)->side != NULL;
}

gboolean
grad_cuda_device_begin_aside (GradDevice * device, GError ** error)
{
  return grad_cuda_side_begin (GRAD_CUDA_DEVICE (device)->side, error);
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
  self->n_multiprocessors = prop.multiProcessorCount;
  if (!enter (self, error)
      || !grad_cuda_check (device, cudaDeviceGetStreamPriorityRange (NULL, &priority), "asking for priorities", error)
      || !grad_cuda_check (device, cudaStreamCreateWithPriority (&self->stream, cudaStreamNonBlocking, priority),
          "creating a stream", error))
    return FALSE;
  self->staging = grad_cuda_staging_new (device, self->stream);
  if (!g_getenv ("GRAD_CUDA_SERIAL") && !(self->side = grad_cuda_side_new (device, self->stream, error)))
    return FALSE;
  GST_INFO_OBJECT (NULL, "%s is %s, %" G_GSIZE_FORMAT " MB", settings->name, prop.name,
      (gsize) prop.totalGlobalMem >> 20);
  return TRUE;
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

static gsize
grad_cuda_device_get_data_room (GradDevice * device)
{
  gsize available = 0, total = 0;

  grad_cuda_device_enter (device);
  cudaMemGetInfo (&available, &total);
  return available / 8;
}

static void
grad_cuda_device_free (GradDevice * device, gpointer data, gsize size)
{
  enter (GRAD_CUDA_DEVICE (device), NULL);
  cudaFree (data);
}

static gboolean
grad_cuda_device_finish (GradDevice * device, GError ** error)
{
  GradCudaDevice *self = GRAD_CUDA_DEVICE (device);

  return enter (self, error) && grad_cuda_check (device, cudaStreamSynchronize (self->stream), "computing", error);
}

static void
grad_cuda_device_trim (GradDevice * device)
{
  GradCudaDevice *self = GRAD_CUDA_DEVICE (device);

  if (self->side != NULL)
    grad_cuda_side_trim (self->side);
}

/* The pool is cleared in here. */
static void
grad_cuda_device_dispose (GObject * object)
{
  grad_cuda_device_trim (GRAD_DEVICE (object));
  G_OBJECT_CLASS (grad_cuda_device_parent_class)->dispose (object);
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
  G_OBJECT_CLASS (klass)->dispose = grad_cuda_device_dispose;
  G_OBJECT_CLASS (klass)->finalize = grad_cuda_device_finalize;
  device_class->kernels = &cuda_kernels;
  device_class->get_library = grad_cuda_device_get_library;
  device_class->open = grad_cuda_device_open;
  device_class->alloc = grad_cuda_device_alloc;
  device_class->free = grad_cuda_device_free;
  device_class->get_data_room = grad_cuda_device_get_data_room;
  device_class->finish = grad_cuda_device_finish;
  device_class->enter_thread = grad_cuda_device_enter;
  grad_cuda_tensor_class_init (device_class);
  device_class->trim = grad_cuda_device_trim;
  device_class->settle = grad_cuda_device_settle;
  if (!g_getenv ("GRAD_CUDA_EAGER"))
    grad_cuda_recording_class_init (device_class);
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
