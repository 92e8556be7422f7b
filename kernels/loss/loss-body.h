/* GradStreamer kernels: softmax cross-entropy of one sample
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/body.h"
#include "kernels/kernels.h"

/* With M the largest logit and L = log of the sum of exp (logits(k) - M), log p(k) = logits(k) - M - L:
 * nothing overflows. Sums are made in double. These two are of a row whose sums are known:
 * sum over exp (logits(k) - M), sum_logits over logits(k) - M. */
GRAD_BODY gdouble
grad_cross_entropy_loss (gdouble label_logit, gdouble max, gdouble sum, gdouble sum_logits, gint k,
    gdouble smoothing)
{
  gdouble log_sum = log (sum), loss = log_sum - (label_logit - max);

  if (smoothing > 0)
    loss = (1 - smoothing) * loss + smoothing * (log_sum - sum_logits / k);
  return loss;
}

/* A loss that is not finite has no gradient: it is not to look as if it had one. */
GRAD_BODY gdouble
grad_cross_entropy_scale (gdouble loss, gdouble scale)
{
  return isfinite (loss) ? scale : NAN;
}

/* e = exp (logits(i) - M) */
GRAD_BODY GRAD_REAL
grad_cross_entropy_gradient (GRAD_REAL e, gdouble sum, gint k, gboolean is_label,
    gdouble smoothing, gdouble scale)
{
  return (GRAD_REAL) (scale * (e / sum - smoothing / k - (is_label ? 1 - smoothing : 0)));
}

#ifndef __cplusplus
/* logits, dlogits: (K).
 * Returns the loss; without smoothing a logit of -inf is fine unless it is the label's: inf. */
static inline gdouble
grad_cross_entropy_row (const GRAD_REAL * logits, gint k, gint label, gdouble smoothing,
    gdouble scale, GRAD_REAL * dlogits, gboolean * correct)
{
  gdouble max = logits[0], label_logit = logits[label], sum = 0, sum_logits = 0, loss;
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
  loss = grad_cross_entropy_loss (label_logit, max, sum, sum_logits, k, smoothing);
  scale = grad_cross_entropy_scale (loss, scale);
  if (dlogits != NULL)
    for (gint i = 0; i < k; i++)
      dlogits[i] = grad_cross_entropy_gradient (dlogits[i], sum, k, i == label, smoothing, scale);
  *correct = argmax == label;
  return loss;
}

/* logits, dlogits: (N, K), labels: (N) */
static inline gboolean
grad_cross_entropy (const GRAD_REAL * logits, const gint32 * labels, gint n, gint k,
    gdouble smoothing, gdouble divisor, GRAD_REAL * dlogits, gdouble result[2], GError ** error)
{
  if (!grad_loss_check_labels (labels, n, k, error))
    return FALSE;
  result[0] = result[1] = 0;
  for (gint i = 0; i < n; i++) {
    gsize row = (gsize) i * k;
    gboolean right;

    result[0] += grad_cross_entropy_row (logits + row, k, labels[i], smoothing, 1 / divisor,
        dlogits ? dlogits + row : NULL, &right);
    result[1] += right;
  }
  return TRUE;
}
#endif
