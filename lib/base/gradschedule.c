/* GradStreamer: course of the learning rate
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradschedule.h"

#include <math.h>

GType
grad_schedule_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GRAD_SCHEDULE_CONSTANT, "The same in every step", "constant"},
    {GRAD_SCHEDULE_LINEAR, "In a straight line to 0", "linear"},
    {GRAD_SCHEDULE_COSINE, "Along half a cosine wave to 0", "cosine"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradSchedule", values));
  return type;
}

/**
 * grad_schedule_factor:
 * @schedule: a course
 * @step: number of the step, from 0
 * @n_steps: steps of the run
 *
 * Returns: what the learning rate is multiplied with in that step, 0 to 1
 */
gdouble
grad_schedule_factor (GradSchedule schedule, guint64 step, guint64 n_steps)
{
  gdouble t = n_steps ? MIN (1, step / (gdouble) n_steps) : 0;

  switch (schedule) {
    case GRAD_SCHEDULE_LINEAR:
      return 1 - t;
    case GRAD_SCHEDULE_COSINE:
      return 0.5 * (1 + cos (G_PI * t));
    default:
      return 1;
  }
}
