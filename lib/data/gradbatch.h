/* GradStreamer: the samples of a batch
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "graddataset.h"
#include "../tensor/gradtensor.h"

G_BEGIN_DECLS

/**
 * GradBatch:
 * @set: where the samples are
 * @phase: what they are for
 * @epoch: from 1
 * @batch: number in the pass, from 1
 * @n_batches: batches of the pass
 * @first: number of the first sample in the pass, from 0
 * @n: samples
 * @indices: (array length=n): their numbers in @set, valid until the next batch
 * @last: whether the pass ends with this batch
 *
 * What to read next.
 */
typedef struct
{
  GradDataset *set;
  GradPhase phase;
  guint epoch, batch, n_batches, first, n;
  const guint32 *indices;
  gboolean last;
} GradBatch;

GRAD_API GradTensor *grad_batch_read (const GradBatch * batch, GradDevice * device,
    GError ** error);
GRAD_API GBytes *grad_batch_get_labels (const GradBatch * batch);

G_END_DECLS
