/* GradStreamer: course of the learning rate
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../gradtypes.h"

G_BEGIN_DECLS

/**
 * GradSchedule:
 * @GRAD_SCHEDULE_CONSTANT: the same in every step
 * @GRAD_SCHEDULE_LINEAR: in a straight line to 0 at the end of the run
 * @GRAD_SCHEDULE_COSINE: along half a cosine wave to 0 at the end of the run
 * @GRAD_SCHEDULE_STEP: multiplied with a factor every so many epochs
 * @GRAD_SCHEDULE_ONE_CYCLE: along half a cosine wave up to the learning rate, then along another to nearly 0
 *
 * Course of the learning rate.
 */
typedef enum
{
  GRAD_SCHEDULE_CONSTANT,
  GRAD_SCHEDULE_LINEAR,
  GRAD_SCHEDULE_COSINE,
  GRAD_SCHEDULE_STEP,
  GRAD_SCHEDULE_ONE_CYCLE
} GradSchedule;

#define GRAD_TYPE_SCHEDULE (grad_schedule_get_type ())
GRAD_API GType grad_schedule_get_type (void);

/**
 * GradScheduleOptions:
 * @schedule: course after the warm-up
 * @warmup_steps: steps of the warm-up
 * @step_size: epochs after which the learning rate is multiplied, for %GRAD_SCHEDULE_STEP
 * @gamma: what it is multiplied with
 */
typedef struct
{
  GradSchedule schedule;
  guint warmup_steps, step_size;
  gdouble gamma;
} GradScheduleOptions;

GRAD_API gdouble grad_schedule_factor (const GradScheduleOptions * options, guint64 step,
    guint steps_per_epoch, guint epochs);

G_END_DECLS
