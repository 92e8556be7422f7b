/* GradStreamer: page-locked host memory, through which data comes from and goes to a GPU at full speed
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradcudadevice-private.h"

G_BEGIN_DECLS

/* A device's; any thread may call, with that GPU as its current one. */
typedef struct _GradCudaStaging GradCudaStaging;
/* A copy to the host that was asked for */
typedef struct _GradCudaFetch GradCudaFetch;

GradCudaStaging *grad_cuda_staging_new (GradDevice * device, cudaStream_t stream);
/* when nothing is left to do on the stream */
/* The device's own; gradcudadevice.c */
GradCudaStaging *grad_cuda_device_staging (GradDevice * device);
void grad_cuda_staging_free (GradCudaStaging * self);

/* Comes back when the data is in page-locked memory: the device takes it from there in its own time. */
gboolean grad_cuda_staging_upload (GradCudaStaging * self, gpointer to, gconstpointer dense,
    gsize size, GError ** error);

/* Enqueues a copy to page-locked memory, for which nobody need wait; NULL with an error */
GradCudaFetch *grad_cuda_staging_fetch (GradCudaStaging * self, gconstpointer from, gsize size,
    GError ** error);
gboolean grad_cuda_fetch_is_done (GradCudaFetch * fetch);
/* Waits for it and for nothing that was asked of the device later; the fetch is gone in any case. Without a dense, it
 * is only forgotten. */
gboolean grad_cuda_staging_end_fetch (GradCudaStaging * self, GradCudaFetch * fetch,
    gpointer dense, gsize size, GError ** error);

G_END_DECLS
