/* GradStreamer: one training step of a sink
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradtrainstep.h"
#include "../autograd/gradnetwork-private.h"

static GradTrainOptions
get_options (GradTrainStep * self)
{
  GradTrainOptions options;

  GST_OBJECT_LOCK (self->sink);
  options = *self->options;
  GST_OBJECT_UNLOCK (self->sink);
  return options;
}

/* The last step of an epoch has what is left of it. */
static gboolean
learning_rate (GradTrainStep * self, const GradTrainOptions * options,
    const GradSampleMeta * sample, gdouble * rate, GError ** error)
{
  guint steps = sample->batches / options->accumulate + (sample->batches % options->accumulate > 0);

  if (options->schedule.schedule != GRAD_SCHEDULE_CONSTANT && (steps == 0 || sample->epochs == 0)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "this schedule must know how long the "
        "training is, and the source does not say: use schedule=constant");
    return FALSE;
  }
  *rate = options->learning_rate * grad_schedule_factor (&options->schedule,
      grad_network_get_n_updates (self->network) - self->start, steps, sample->epochs);
  return TRUE;
}

/* All batches of the step are there. */
static gboolean
update (GradTrainStep * self, const GradTrainOptions * options, const GradLossMeta * loss,
    gdouble rate, GError ** error)
{
  grad_network_set_average (self->network, options->ema);
  return grad_network_measure (self->network, loss->result, options->clip_norm, error)
      && GRAD_TRAIN_SINK_GET_CLASS (self->sink)->update (self->sink, self->network, rate, error)
      && grad_network_commit (self->network, error);
}

gboolean
grad_train_step_batch (GradTrainStep * self, GradNode * root, const GradSampleMeta * sample,
    const GradLossMeta * loss, GradMetricsStep * told, GError ** error)
{
  GradTrainOptions options = get_options (self);

  told->batch = self->n_batches + 1;
  told->open = told->batch < options.accumulate && !sample->last;
  if (!learning_rate (self, &options, sample, &told->learning_rate, error)
      || !grad_network_backward (self->network, root, self->n_batches > 0, !told->open,
          self->interrupted, self->sink, error)
      || (!told->open && !update (self, &options, loss, told->learning_rate, error))) {
    grad_network_discard (self->network);
    self->n_batches = 0;
    return FALSE;
  }
  if (told->open)
    grad_network_end_batch (self->network);
  else
    told->measured = grad_network_get_measured (self->network);
  told->number = grad_network_get_n_updates (self->network) + told->open;
  self->n_batches = told->open ? told->batch : 0;
  return TRUE;
}

gboolean
grad_train_step_finish (GradTrainStep * self, GError ** error)
{
  grad_network_discard (self->network);
  grad_network_forget_runs (self->network);
  self->n_batches = 0;
  return grad_network_settle (self->network, error);
}
