/* GradStreamer: a GPU's second stream, for what nobody waits for yet
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradcudadevice-private.h"

G_BEGIN_DECLS

typedef struct _GradCudaSide GradCudaSide;

/* stream: the main one */
GradCudaSide *grad_cuda_side_new (GradDevice * device, cudaStream_t stream, GError ** error);
/* See grad_cuda_device_begin_aside(). */
gboolean grad_cuda_side_begin (GradCudaSide * self, GError ** error);
gboolean grad_cuda_side_end (GradCudaSide * self, const GradTensor * a, const GradTensor * b, GError ** error);
/* What the main stream is asked for from now on comes after all that was asked for aside. */
gboolean grad_cuda_side_settle (GradCudaSide * self, GError ** error);
/* Settled, and not between begin and end: its scratch memory goes to the device's pool. */
void grad_cuda_side_trim (GradCudaSide * self);
void grad_cuda_side_free (GradCudaSide * self);

G_END_DECLS
