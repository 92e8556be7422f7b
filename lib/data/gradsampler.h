/* GradStreamer: which samples come in which batch
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradbatch.h"

G_BEGIN_DECLS

typedef struct _GradSampler GradSampler;

/**
 * GradSamplerOptions:
 * @phase: what passes over the training set are for
 * @batch_size: samples in a batch
 * @epochs: passes over the training set
 * @shuffle: whether each pass of phase train has an order of its own
 * @drop_last: whether a smaller last batch is left out of passes of phase train
 * @seed: seed of the run
 *
 * How to go through a data set.
 */
typedef struct
{
  GradPhase phase;
  guint batch_size, epochs;
  gboolean shuffle, drop_last;
  guint64 seed;
} GradSamplerOptions;

GRAD_API GradSampler *grad_sampler_new (GradDataset * train, GradDataset * test,
    const GradSamplerOptions * options, GError ** error);
GRAD_API void grad_sampler_free (GradSampler * sampler);
GRAD_API void grad_sampler_seek (GradSampler * sampler, guint epoch, gboolean testing,
    guint samples);
GRAD_API gboolean grad_sampler_next (GradSampler * sampler, GradBatch * batch);
GRAD_API guint grad_sampler_get_pass_size (GradSampler * sampler, gboolean test);
GRAD_API guint grad_sampler_get_n_batches (GradSampler * sampler, gboolean test);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradSampler, grad_sampler_free)

G_END_DECLS
