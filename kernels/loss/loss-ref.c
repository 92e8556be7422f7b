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
  gint n = logits->shape.dims[0], k = logits->shape.dims[1];
  const gdouble *x = grad_tensor_data (logits);
  gdouble *dx = dlogits ? grad_tensor_data (dlogits) : NULL;

  if (!grad_check_labels (labels, n, k, error))
    return FALSE;
  *loss_sum = 0;
  *correct = 0;
  for (gint i = 0; i < n; i++) {
    gsize row = (gsize) i * k;
    gboolean right;

    *loss_sum += grad_cross_entropy_row (x + row, k, labels[i], label_smoothing, 1.0 / n,
        dx ? dx + row : NULL, &right);
    *correct += right;
  }
  return TRUE;
}

const GradLossOps grad_loss_ref_ops = {
  .softmax_cross_entropy = softmax_cross_entropy,
};
