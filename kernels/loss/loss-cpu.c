/* GradStreamer kernels: softmax cross-entropy, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * logits, dlogits: (N, K) float. All outputs =; deterministic: rows are computed in any order and added
 * in theirs. */
#define GRAD_REAL gfloat
#include "loss-body.h"
#include "kernels/cpu.h"

#define ROWS 8                  /* that one thread works on at a time */
#define BATCH (64 * ROWS)       /* rows between two additions */

typedef struct
{
  const gfloat *logits;         /* (N, K) */
  gfloat *dlogits;              /* (N, K) or NULL */
  const gint32 *labels;
  gint first, n, k;
  gdouble smoothing, scale;
  gdouble loss[BATCH];
  gboolean correct[BATCH];
} Job;

static void
loss_rows (gsize i, gpointer data)
{
  Job *job = data;
  gint from = i * ROWS, to = MIN (from + ROWS, job->n);

  for (gint r = from; r < to; r++) {
    gsize row = (gsize) (job->first + r) * job->k;

    job->loss[r] = grad_cross_entropy_row (job->logits + row, job->k, job->labels[job->first + r],
        job->smoothing, job->scale, job->dlogits ? job->dlogits + row : NULL, &job->correct[r]);
  }
}

static gboolean
softmax_cross_entropy (GradDevice * device, const GradTensor * logits, const gint32 * labels,
    gdouble label_smoothing, GradTensor * dlogits, gdouble * loss_sum, guint * correct,
    GError ** error)
{
  gint n = logits->shape.dims[0];
  Job job = {
    .logits = grad_tensor_data (logits),
    .dlogits = dlogits ? grad_tensor_data (dlogits) : NULL,
    .labels = labels,
    .k = logits->shape.dims[1],
    .smoothing = label_smoothing,
    .scale = 1.0 / n,
  };

  if (!grad_check_labels (labels, n, job.k, error))
    return FALSE;
  *loss_sum = 0;
  *correct = 0;
  for (; job.first < n; job.first += BATCH) {
    job.n = MIN (BATCH, n - job.first);
    grad_parallel_for ((job.n + ROWS - 1) / ROWS, loss_rows, &job);
    for (gint i = 0; i < job.n; i++) {
      *loss_sum += job.loss[i];
      *correct += job.correct[i];
    }
  }
  return TRUE;
}

const GradLossOps grad_loss_cpu_ops = {
  .softmax_cross_entropy = softmax_cross_entropy,
};
