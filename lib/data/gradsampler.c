/* GradStreamer: which samples come in which batch
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradsampler.h"

struct _GradSampler
{
  GradDataset *train, *test;    /* owned; test is NULL without */
  GradSamplerOptions options;
  guint32 *order;               /* of the pass */
  guint epoch;                  /* from 1 */
  gboolean testing;
  guint position;               /* in the pass */
};

/**
 * grad_sampler_get_pass_size: (skip)
 * @sampler: a sampler
 * @test: of the test set, instead of the training set
 *
 * Returns: samples that a pass over the set gives, 0 without a set
 */
guint
grad_sampler_get_pass_size (GradSampler * sampler, gboolean test)
{
  const GradSamplerOptions *o = &sampler->options;
  GradDataset *set = test ? sampler->test : sampler->train;
  guint n = set ? grad_dataset_get_n_samples (set) : 0;

  return o->drop_last && !test && o->phase == GRAD_PHASE_TRAIN ? n - n % o->batch_size : n;
}

/**
 * grad_sampler_get_n_batches: (skip)
 * @sampler: a sampler
 * @test: of the test set, instead of the training set
 *
 * Returns: batches of a pass over the set
 */
guint
grad_sampler_get_n_batches (GradSampler * sampler, gboolean test)
{
  guint n = grad_sampler_get_pass_size (sampler, test);

  return n / sampler->options.batch_size + (n % sampler->options.batch_size > 0);
}

static void
begin_pass (GradSampler * self)
{
  const GradSamplerOptions *o = &self->options;

  self->position = 0;
  grad_dataset_fill_order (self->testing ? self->test : self->train,
      o->shuffle && !self->testing && o->phase == GRAD_PHASE_TRAIN, o->seed, self->epoch,
      self->order);
}

/**
 * grad_sampler_new: (skip)
 * @train: the set to go through
 * @test: (nullable): set to go through after each epoch, for evaluation
 * @options: how
 * @error: location of a #GError
 *
 * Returns: (transfer full) (nullable): a new sampler, or %NULL with %GRAD_ERROR_SETTINGS when it would give nothing
 */
GradSampler *
grad_sampler_new (GradDataset * train, GradDataset * test, const GradSamplerOptions * options,
    GError ** error)
{
  GradSampler *self = g_new0 (GradSampler, 1);

  self->train = g_object_ref (train);
  self->test = test ? g_object_ref (test) : NULL;
  self->options = *options;
  if (grad_sampler_get_pass_size (self, FALSE) == 0) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "drop-last=true leaves nothing of %u "
        "samples, fewer than batch-size=%u", grad_dataset_get_n_samples (train),
        options->batch_size);
    grad_sampler_free (self);
    return NULL;
  }
  self->order = g_new (guint32, MAX (grad_dataset_get_n_samples (train),
          test ? grad_dataset_get_n_samples (test) : 0));
  self->epoch = 1;
  begin_pass (self);
  return self;
}

/**
 * grad_sampler_free: (skip)
 * @sampler: (transfer full): a sampler
 */
void
grad_sampler_free (GradSampler * sampler)
{
  g_clear_object (&sampler->train);
  g_clear_object (&sampler->test);
  g_free (sampler->order);
  g_free (sampler);
}

/* To the next pass, when this one is over; FALSE after the last. */
static gboolean
advance (GradSampler * self)
{
  if (self->position < grad_sampler_get_pass_size (self, self->testing))
    return TRUE;
  if (!self->testing && self->test != NULL) {
    self->testing = TRUE;
  } else {
    if (self->epoch == self->options.epochs)
      return FALSE;
    self->testing = FALSE;
    self->epoch++;
  }
  begin_pass (self);
  return TRUE;
}

/**
 * grad_sampler_seek: (skip)
 * @sampler: a sampler
 * @epoch: from 1; beyond the last one there is nothing more
 * @testing: the pass over the test set after the epoch, instead of that over the training set
 * @samples: how many of the pass are done
 *
 * Goes to where another sampler with the same options has been, in the same order.
 */
void
grad_sampler_seek (GradSampler * sampler, guint epoch, gboolean testing, guint samples)
{
  gboolean beyond = epoch > sampler->options.epochs;

  sampler->epoch = MIN (epoch, sampler->options.epochs);
  sampler->testing = sampler->test != NULL && (testing || beyond);
  begin_pass (sampler);
  sampler->position = beyond ? G_MAXUINT
      : MIN (samples, grad_sampler_get_pass_size (sampler, sampler->testing));
}

/**
 * grad_sampler_next: (skip)
 * @sampler: a sampler
 * @batch: (out caller-allocates): what to read
 *
 * Returns: %FALSE after the last batch of the last epoch
 */
gboolean
grad_sampler_next (GradSampler * sampler, GradBatch * batch)
{
  guint size;

  if (!advance (sampler))
    return FALSE;
  size = grad_sampler_get_pass_size (sampler, sampler->testing);
  *batch = (GradBatch) {
    .set = sampler->testing ? sampler->test : sampler->train,
    .phase = sampler->testing ? GRAD_PHASE_EVALUATE : sampler->options.phase,
    .epoch = sampler->epoch,
    .batch = sampler->position / sampler->options.batch_size + 1,
    .n_batches = grad_sampler_get_n_batches (sampler, sampler->testing),
    .first = sampler->position,
    .n = MIN (sampler->options.batch_size, size - sampler->position),
    .indices = sampler->order + sampler->position,
  };
  sampler->position += batch->n;
  batch->last = sampler->position == size;
  return TRUE;
}
