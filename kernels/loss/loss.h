/* GradStreamer kernels: softmax cross-entropy
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

typedef struct
{
  /* With p = softmax (logits(n,:)) and target q = (1 - s) onehot (labels(n)) + s / K, s the label smoothing:
   *   *loss_sum = sum over n of -sum over k of q(k) log p(k)
   *   *correct  = number of n whose largest logit (the first of equals) is labels(n)
   *   dlogits(n,k) = (p(k) - q(k)) / N, unless NULL; may be logits itself, in place
   * logits: (N, K); labels: N values in host memory, each 0 … K-1, else GRAD_ERROR_LABEL. */
  gboolean (*softmax_cross_entropy) (GradDevice * device, const GradTensor * logits,
      const gint32 * labels, gdouble label_smoothing, GradTensor * dlogits, gdouble * loss_sum,
      guint * correct, GError ** error);
} GradLossOps;

extern const GradLossOps grad_loss_ref_ops;
extern const GradLossOps grad_loss_cpu_ops;
