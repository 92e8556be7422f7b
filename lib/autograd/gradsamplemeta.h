/* GradStreamer: which samples a buffer carries, and what they are for
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../tensor/gradtensor.h"

G_BEGIN_DECLS

#define GRAD_SAMPLE_META_API_TYPE (grad_sample_meta_api_get_type ())
GRAD_API GType grad_sample_meta_api_get_type (void);

/**
 * GradSampleMeta:
 * @meta: parent
 * @phase: what the batch is for
 * @source: id of the source, unique in the process
 * @sequence: number of the batch at its source, from 1, never reset while it plays
 * @epoch: epoch, from 1
 * @epochs: epochs in all, 0 when unknown
 * @batch: number of the batch in its pass, from 1
 * @batches: batches in the pass, 0 when unknown
 * @index: number of the first sample in the pass, from 0
 * @n_samples: samples in the batch
 * @last: whether the pass ends with this batch
 * @labels: (nullable): @n_samples class numbers (gint32)
 * @indices: (nullable): @n_samples numbers of the samples in the data set (guint32)
 *
 * Attached by sources; plain data that travels with any buffer made from the batch. A buffer without it
 * is for inference.
 */
typedef struct
{
  GstMeta meta;

  GradPhase phase;
  guint64 source;
  guint64 sequence;
  guint epoch, epochs;
  guint batch, batches;
  guint64 index;
  guint n_samples;
  gboolean last;
  GBytes *labels;
  GBytes *indices;
} GradSampleMeta;

GRAD_API GradSampleMeta *grad_buffer_add_sample_meta (GstBuffer * buffer);
GRAD_API GradSampleMeta *grad_buffer_get_sample_meta (GstBuffer * buffer);
GRAD_API void grad_sample_meta_select (GradSampleMeta * meta, guint i);
GRAD_API void grad_sample_meta_append (GradSampleMeta * meta, const GradSampleMeta * more);
GRAD_API guint64 grad_sample_meta_new_source (void);

/* What gradloss found out about a batch. */
#define GRAD_LOSS_META_API_TYPE (grad_loss_meta_api_get_type ())
GRAD_API GType grad_loss_meta_api_get_type (void);

/**
 * GradLossMeta:
 * @meta: parent
 * @result: (nullable): loss and number of correct samples, to be read by grad_loss_result_read(); owned
 * @n_samples: samples in the batch
 *
 * Attached by gradloss.
 */
typedef struct
{
  GstMeta meta;

  GradTensor *result;
  guint n_samples;
} GradLossMeta;

GRAD_API GradLossMeta *grad_buffer_add_loss_meta (GstBuffer * buffer);
GRAD_API GradLossMeta *grad_buffer_get_loss_meta (GstBuffer * buffer);

G_END_DECLS
