/* GradStreamer kernels: softmax cross-entropy, reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * logits, dlogits: (N, K) dense doubles. All outputs =; deterministic. */
#define GRAD_REAL gdouble
#include "loss-body.h"

gboolean
grad_loss_check_labels (const gint32 * labels, gint n, gint k, GError ** error)
{
  for (gint i = 0; i < n; i++)
    if (labels[i] < 0 || labels[i] >= k) {
      g_set_error (error, GRAD_ERROR, GRAD_ERROR_LABEL,
          "label %d of sample %d is out of range: the network has %d classes (0 to %d); "
          "set units on gradfc", labels[i], i, k, k - 1);
      return FALSE;
    }
  return TRUE;
}

static gboolean
softmax_cross_entropy (GradDevice * device, const GradTensor * logits, const gint32 * labels,
    gdouble label_smoothing, gdouble divisor, GradTensor * dlogits, GradTensor * result,
    GError ** error)
{
  return grad_cross_entropy (grad_tensor_data (logits), labels, logits->shape.dims[0],
      logits->shape.dims[1], label_smoothing, divisor, dlogits ? grad_tensor_data (dlogits) : NULL,
      grad_tensor_data (result), error);
}

const GradLossOps grad_loss_ref_ops = {
  .softmax_cross_entropy = softmax_cross_entropy,
};
