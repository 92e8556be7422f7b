/* GradStreamer kernels: softmax cross-entropy
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

typedef struct
{
  /* With p = softmax (logits(n,:)) and target q = (1 - s) onehot (labels(n)) + s / K, s the label smoothing:
   *   result[0] = sum over n of -sum over k of q(k) log p(k)
   *   result[1] = number of n whose largest logit (the first of equals) is labels(n)
   *   dlogits(n,k) = (p(k) - q(k)) / divisor, unless NULL; may be logits itself, in place. Where the loss of n is
   *     not finite, neither is dlogits(n,:).
   * logits: (N, K); labels: N values in host memory, each 0 … K-1, else GRAD_ERROR_LABEL.
   * result: two doubles in a plain uint8 tensor (16), so that nobody has to wait for them. */
  gboolean (*softmax_cross_entropy) (GradDevice * device, const GradTensor * logits,
      const gint32 * labels, gdouble label_smoothing, gdouble divisor, GradTensor * dlogits,
      GradTensor * result, GError ** error);
} GradLossOps;

/* GRAD_ERROR_LABEL unless all are 0 … k-1; in loss-ref.c, for all backends. */
GRAD_API gboolean grad_loss_check_labels (const gint32 * labels, gint n, gint k, GError ** error);

extern const GradLossOps grad_loss_ref_ops;
extern const GradLossOps grad_loss_cpu_ops;
extern const GradLossOps grad_loss_cuda_ops;
