/* GradStreamer kernels: softmax cross-entropy of one sample
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/body.h"
#include "kernels/kernels.h"

/* logits, dlogits: (K). With M the largest logit and L = log of the sum of exp (logits(k) - M),
 * log p(k) = logits(k) - M - L: nothing overflows. Sums are made in double.
 * Returns the loss; without smoothing a logit of -inf is fine unless it is the label's: inf. */
GRAD_BODY gdouble
grad_cross_entropy_row (const GRAD_REAL * logits, gint k, gint label, gdouble smoothing,
    gdouble scale, GRAD_REAL * dlogits, gboolean * correct)
{
  gdouble max = logits[0], label_logit = logits[label], sum = 0, sum_logits = 0, log_sum, loss;
  gint argmax = 0;

  for (gint i = 1; i < k; i++)
    if (logits[i] > max) {
      max = logits[i];
      argmax = i;
    }
  for (gint i = 0; i < k; i++) {
    gdouble e = exp (logits[i] - max);

    sum += e;
    sum_logits += logits[i] - max;
    if (dlogits != NULL)
      dlogits[i] = (GRAD_REAL) e;       /* logits(i) is not read again */
  }
  if (dlogits != NULL)
    for (gint i = 0; i < k; i++)
      dlogits[i] = (GRAD_REAL) (scale * (dlogits[i] / sum - smoothing / k
              - (i == label ? 1 - smoothing : 0)));
  log_sum = log (sum);
  loss = log_sum - (label_logit - max);
  if (smoothing > 0)
    loss = (1 - smoothing) * loss + smoothing * (log_sum - sum_logits / k);
  *correct = argmax == label;
  return loss;
}

#ifndef __cplusplus
/* logits, dlogits: (N, K), labels: (N) */
static inline gboolean
grad_cross_entropy (const GRAD_REAL * logits, const gint32 * labels, gint n, gint k,
    gdouble smoothing, GRAD_REAL * dlogits, gdouble result[2], GError ** error)
{
  if (!grad_loss_check_labels (labels, n, k, error))
    return FALSE;
  result[0] = result[1] = 0;
  for (gint i = 0; i < n; i++) {
    gsize row = (gsize) i * k;
    gboolean right;

    result[0] += grad_cross_entropy_row (logits + row, k, labels[i], smoothing, 1.0 / n,
        dlogits ? dlogits + row : NULL, &right);
    result[1] += right;
  }
  return TRUE;
}
#endif
