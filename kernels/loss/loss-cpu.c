/* GradStreamer kernels: softmax cross-entropy, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * logits, dlogits: (N, K) float. All outputs =; deterministic.
 * One thread: (256, 10) takes less time than waking a second one. */
#define GRAD_REAL gfloat
#include "loss-body.h"

static gboolean
softmax_cross_entropy (GradDevice * device, const GradTensor * logits, const gint32 * labels,
    gdouble label_smoothing, gdouble divisor, GradTensor * dlogits, GradTensor * result,
    GError ** error)
{
  return grad_cross_entropy (grad_tensor_data (logits), labels, logits->shape.dims[0],
      logits->shape.dims[1], label_smoothing, divisor, dlogits ? grad_tensor_data (dlogits) : NULL,
      grad_tensor_data (result), error);
}

const GradLossOps grad_loss_cpu_ops = {
  .softmax_cross_entropy = softmax_cross_entropy,
};
