/* GradStreamer kernels: Adam's update of one element
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/body.h"
#include "kernels/kernels.h"

/* What of the arguments is the same for all elements of a step. */
typedef struct
{
  GRAD_REAL step_size;          /* learning_rate / (1 - beta1^step) */
  GRAD_REAL v_scale;            /* 1 / sqrt (1 - beta2^step) */
  GRAD_REAL one_minus_beta1, beta2, one_minus_beta2, epsilon, weight_decay;
} GradAdamStep;

static inline GradAdamStep
grad_adam_step (const GradAdamArgs * args)
{
  GradAdamStep s;

  s.step_size = args->learning_rate / (1 - pow (args->beta1, (gdouble) args->step));
  s.v_scale = 1 / sqrt (1 - pow (args->beta2, (gdouble) args->step));
  s.one_minus_beta1 = 1 - args->beta1;
  s.beta2 = args->beta2;
  s.one_minus_beta2 = 1 - args->beta2;
  s.epsilon = args->epsilon;
  s.weight_decay = args->weight_decay;
  return s;
}

GRAD_BODY void
grad_adam_element (GRAD_REAL * value, GRAD_REAL * m, GRAD_REAL * v, GRAD_REAL grad,
    const GradAdamStep * s)
{
  GRAD_REAL g = grad + s->weight_decay * *value;

  *m += s->one_minus_beta1 * (g - *m);
  *v = s->beta2 * *v + s->one_minus_beta2 * g * g;
  *value -= s->step_size * *m / (sqrt (*v) * s->v_scale + s->epsilon);
}
