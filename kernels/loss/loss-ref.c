/* GradStreamer kernels: softmax cross-entropy, reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * logits, dlogits: (N, K) dense doubles. All outputs =; deterministic. */
#define GRAD_REAL gdouble
#include "loss-body.h"

static gboolean
softmax_cross_entropy (GradDevice * device, const GradTensor * logits, const gint32 * labels,
    gdouble label_smoothing, GradTensor * dlogits, gdouble * loss_sum, guint * correct,
    GError ** error)
{
  return grad_cross_entropy (grad_tensor_data (logits), labels, logits->shape.dims[0],
      logits->shape.dims[1], label_smoothing, dlogits ? grad_tensor_data (dlogits) : NULL, loss_sum,
      correct, error);
}

const GradLossOps grad_loss_ref_ops = {
  .softmax_cross_entropy = softmax_cross_entropy,
};
