/* GradStreamer: what is asked of a GPU, recorded as a CUDA graph
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradcudadevice-private.h"

G_BEGIN_DECLS

/* Sets begin_recording and so on. */
void grad_cuda_recording_class_init (GradDeviceClass * klass);

G_END_DECLS
