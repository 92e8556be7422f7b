/* GradStreamer: course of the learning rate
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradschedule.h"

#include <math.h>

/* of one-cycle, PyTorch's defaults */
#define RISE 0.3                /* part of the run */
#define START 25                /* it begins with 1 / START */
#define END 1e4                 /* and ends with 1 / (START END) */

GType
grad_schedule_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GRAD_SCHEDULE_CONSTANT, "The same in every step", "constant"},
    {GRAD_SCHEDULE_LINEAR, "In a straight line to 0", "linear"},
    {GRAD_SCHEDULE_COSINE, "Along half a cosine wave to 0", "cosine"},
    {GRAD_SCHEDULE_STEP, "Multiplied every so many epochs", "step"},
    {GRAD_SCHEDULE_ONE_CYCLE, "Up along half a cosine wave, down along another", "one-cycle"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradSchedule", values));
  return type;
}

/* From one value to another along half a cosine wave, t from 0 to 1 */
static gdouble
anneal (gdouble from, gdouble to, gdouble t)
{
  return to + (from - to) / 2 * (1 + cos (G_PI * t));
}

static gdouble
one_cycle (gdouble step, gdouble n_steps)
{
  gdouble peak = RISE * n_steps - 1, last = n_steps - 1;

  if (step <= peak)
    return anneal (1. / START, 1, step / peak);
  return anneal (1, 1 / (START * END), MIN (1, (step - peak) / (last - peak)));
}

/**
 * grad_schedule_factor:
 * @options: a course
 * @step: number of the step, from 0
 * @steps_per_epoch: steps of each epoch, at least 1, unless the course is constant
 * @epochs: epochs of the run, at least 1, unless the course is constant
 *
 * With w the warm-up's steps, s = @step - w, n the run's steps after the warm-up, and t = s / n, at most 1:
 *
 *  - in the warm-up: 1/w + (1 - 1/w) @step / w, as PyTorch's LinearLR (start_factor=1/w, total_iters=w) in a
 *    SequentialLR with milestones=[w];
 *  - linear: 1 - t, as LinearLR (start_factor=1, end_factor=0, total_iters=n);
 *  - cosine: (1 + cos πt) / 2, as CosineAnnealingLR (T_max=n);
 *  - step: gamma to the power of the whole part of s / (step_size @steps_per_epoch), as StepLR;
 *  - one-cycle: as OneCycleLR (total_steps=n, cycle_momentum=False): from 1/25 to 1 in the first 0.3 n - 1 steps, then to
 *    1/250000 in the last one, each along half a cosine wave.
 *
 * Returns: what the learning rate is multiplied with in that step, 0 to 1; for gamma above 1 more
 */
gdouble
grad_schedule_factor (const GradScheduleOptions * options, guint64 step, guint steps_per_epoch,
    guint epochs)
{
  gdouble warmup = options->warmup_steps, s = step - warmup;
  gdouble n = MAX (1, (gdouble) steps_per_epoch * epochs - warmup), t = MIN (1, s / n);

  if (step < options->warmup_steps)
    return 1 / warmup + (1 - 1 / warmup) * step / warmup;
  switch (options->schedule) {
    case GRAD_SCHEDULE_LINEAR:
      return 1 - t;
    case GRAD_SCHEDULE_COSINE:
      return anneal (1, 0, t);
    case GRAD_SCHEDULE_STEP:
      return pow (options->gamma, floor (s / options->step_size / steps_per_epoch));
    case GRAD_SCHEDULE_ONE_CYCLE:
      return one_cycle (s, n);
    default:
      return 1;
  }
}
