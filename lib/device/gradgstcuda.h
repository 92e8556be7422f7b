/* GradStreamer: the cuda device and GStreamer's own CUDA elements
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "graddevice-private.h"

G_BEGIN_DECLS

/* Sets what the class of the cuda device has for sharing. */
void grad_gst_cuda_class_init (GradDeviceClass * klass);

G_END_DECLS
