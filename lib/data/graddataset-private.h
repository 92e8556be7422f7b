/* GradStreamer: an IDX data set on a device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "graddataset.h"
#include "../tensor/gradtensor.h"

G_BEGIN_DECLS

/* All images, uint8 (N, 1, H, W), on the device that was asked for last; NULL when they are to be read from the host. In one
 * thread at a time, while there is the device */
GradTensor *grad_dataset_peek_on_device (GradDataset * dataset, GradDevice * device);

G_END_DECLS
