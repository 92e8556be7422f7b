/* GradStreamer: a convolution with the norm behind it folded in
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

/* Starts as zeros. */
typedef struct
{
  GradTensor *weight, *bias;    /* owned; NULL when there are none that are good */
  guint64 versions[6];          /* of what they were made of */
} GradConvFold;

/* Makes weight and bias anew if something in `parts` has changed; what is folded there is not looked
 * at. In a job of the device. */
gboolean grad_conv_fold_update (GradConvFold * self, GradDevice * device,
    const GradNormFold * parts, GError ** error);
void grad_conv_fold_clear (GradConvFold * self);

G_END_DECLS
