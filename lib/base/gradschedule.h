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
 *
 * Course of the learning rate.
 */
typedef enum
{
  GRAD_SCHEDULE_CONSTANT,
  GRAD_SCHEDULE_LINEAR,
  GRAD_SCHEDULE_COSINE
} GradSchedule;

#define GRAD_TYPE_SCHEDULE (grad_schedule_get_type ())
GRAD_API GType grad_schedule_get_type (void);
GRAD_API gdouble grad_schedule_factor (GradSchedule schedule, guint64 step, guint64 n_steps);

G_END_DECLS
