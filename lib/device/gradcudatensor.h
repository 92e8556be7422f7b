/* GradStreamer: how tensors lie on a GPU, how they get there and back
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradcudadevice-private.h"

G_BEGIN_DECLS

void grad_cuda_tensor_class_init (GradDeviceClass * klass);

G_END_DECLS
