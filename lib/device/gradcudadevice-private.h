/* GradStreamer: what kernels see of the cuda device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "graddevice-private.h"

#include <cuda_runtime_api.h>

G_BEGIN_DECLS

/* Layouts. Pictures (N, C, H, W) lie as (N, H, W, C), in bfloat16 or in float; filters (O, I, H, W), their gradients and moments
 * as (O, H, W, I), in float. All else is plain: vectors (N, K), other parameters, statistics as floats, uint8 as it is. */
enum
{
  GRAD_CUDA_NHWC_F32 = 1,
  GRAD_CUDA_NHWC_BF16 = 2
};

/* Makes it the thread's current GPU: each thread has one of its own. */
void grad_cuda_device_enter (GradDevice * device);

/* Where the thread's work is enqueued; enters. Mostly all is on one stream, in order: storage that goes back to the pool may be
 * handed out at once, for whatever comes next. So a kernel gets scratch memory with grad_device_pool_get() and gives it back right
 * after the launch. */
cudaStream_t grad_cuda_device_stream (GradDevice * device);
guint grad_cuda_device_n_multiprocessors (GradDevice * device);

#ifdef HAVE_CUDNN
/* The device's cuDNN (kernels/cudnn.h), made by the first call; only in jobs */
struct _GradCudnn *grad_cuda_device_cudnn (GradDevice * device, GError ** error);
#endif

/* In a job: the stream that the calling thread's work goes to from now on, instead of the device's own one; NULL ends that. */
gboolean grad_cuda_device_use_stream (GradDevice * device, cudaStream_t stream, GError ** error);

/* In a job: what the calling thread asks for between the next two is done aside, on a second stream, behind all that was asked for
 * before. It may read a and b, and write what nobody looks at before GradDeviceClass.settle(), which has to come, also after a
 * failure: the stream holds a and b, and these the device. With GRAD_CUDA_SERIAL in the environment there is no second stream. */
gboolean grad_cuda_device_has_aside (GradDevice * device);
GRAD_API gboolean grad_cuda_device_begin_aside (GradDevice * device, GError ** error);  /* exported for a test, as the next one */
GRAD_API gboolean grad_cuda_device_end_aside (GradDevice * device, const GradTensor * a, const GradTensor * b, GError ** error);

/* FALSE, and an error that says what failed on which device, unless status is success. */
gboolean grad_cuda_check (GradDevice * device, cudaError_t status, const gchar * what,
    GError ** error);

/* A layout's values from and to dense floats (N, C, H, W), both on the device; kernels/layout.cu */
gboolean grad_cuda_to_layout (GradDevice * device, const GradShape * shape, guint layout,
    const gfloat * dense, gpointer data, GError ** error);
gboolean grad_cuda_from_layout (GradDevice * device, const GradShape * shape, guint layout,
    gconstpointer data, gfloat * dense, GError ** error);

GType grad_cuda_device_get_type (void);

G_END_DECLS
