/* GradStreamer: what is asked of a GPU, recorded as a CUDA graph
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradcudadevice-private.h"

G_BEGIN_DECLS

/* GradDeviceClass.begin_recording and so on */
gboolean grad_cuda_begin_recording (GradDevice * device, GError ** error);
gpointer grad_cuda_end_recording (GradDevice * device, gboolean keep, GError ** error);
gboolean grad_cuda_replay (GradDevice * device, gpointer work, GError ** error);
void grad_cuda_free_recording (GradDevice * device, gpointer work);

G_END_DECLS
