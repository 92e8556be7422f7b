/* GradStreamer kernels: updates of one element
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/body.h"
#include "kernels/kernels.h"

#include <float.h>

/* What of the arguments is the same for all elements of a tensor. Until it is known, scale is 1. */
typedef struct
{
  GRAD_REAL scale;              /* of the gradient */
  GRAD_REAL step_size;          /* learning_rate / (1 - beta1^number) */
  GRAD_REAL shrink;             /* learning_rate weight_decay, decoupled */
  GRAD_REAL v_scale;            /* 1 / sqrt (1 - beta2^number) */
  GRAD_REAL one_minus_beta1, beta2, one_minus_beta2, epsilon, weight_decay;
} GradAdamStep;

typedef struct
{
  GRAD_REAL scale, step_size, momentum, weight_decay;
  gboolean nesterov;
} GradSgdStep;

static inline GradAdamStep
grad_adam_step (const GradAdamArgs * args, const GradOptimStep * step, guint64 number)
{
  GradAdamStep s;

  s.scale = 1;
  s.step_size = step->learning_rate / (1 - pow (args->beta1, (gdouble) number));
  s.shrink = args->decoupled ? step->learning_rate * args->weight_decay : 0;
  s.v_scale = 1 / sqrt (1 - pow (args->beta2, (gdouble) number));
  s.one_minus_beta1 = 1 - args->beta1;
  s.beta2 = args->beta2;
  s.one_minus_beta2 = 1 - args->beta2;
  s.epsilon = args->epsilon;
  s.weight_decay = args->decoupled ? 0 : args->weight_decay;
  return s;
}

static inline GradSgdStep
grad_sgd_step (const GradSgdArgs * args, const GradOptimStep * step)
{
  GradSgdStep s;

  s.scale = 1;
  s.step_size = step->learning_rate;
  s.momentum = args->momentum;
  s.weight_decay = args->weight_decay;
  s.nesterov = args->nesterov;
  return s;
}

GRAD_BODY void
grad_adam_rescale (GradAdamStep * s, gdouble scale, gdouble rate_scale)
{
  s->scale = (GRAD_REAL) scale;
  s->step_size *= (GRAD_REAL) rate_scale;
  s->shrink *= (GRAD_REAL) rate_scale;
}

GRAD_BODY void
grad_sgd_rescale (GradSgdStep * s, gdouble scale, gdouble rate_scale)
{
  s->scale = (GRAD_REAL) scale;
  s->step_size *= (GRAD_REAL) rate_scale;
}

GRAD_BODY void
grad_adam_element (GRAD_REAL * value, GRAD_REAL * m, GRAD_REAL * v, GRAD_REAL grad,
    const GradAdamStep * s)
{
  GRAD_REAL g = s->scale * grad + s->weight_decay * *value;

  *value -= s->shrink * *value;
  *m += s->one_minus_beta1 * (g - *m);
  *v = s->beta2 * *v + s->one_minus_beta2 * g * g;
  *value -= s->step_size * *m / (sqrt (*v) * s->v_scale + s->epsilon);
}

GRAD_BODY void
grad_sgd_element (GRAD_REAL * value, GRAD_REAL * m, GRAD_REAL grad, const GradSgdStep * s)
{
  GRAD_REAL g = s->scale * grad + s->weight_decay * *value;

  *m = s->momentum * *m + g;
  *value -= s->step_size * (s->nesterov ? g + s->momentum * *m : *m);
}

/* with decay 0, the value itself */
GRAD_BODY void
grad_average_element (GRAD_REAL * average, GRAD_REAL value, GRAD_REAL decay)
{
  *average = decay * *average + (1 - decay) * value;
}

GRAD_BODY gboolean
grad_is_finite (gdouble value)
{
  return fabs (value) <= DBL_MAX;
}

/* sum: of the squares of all elements; bad: number of the last tensor whose sum is not finite, or 0. No sum of floats' squares
 * is too large for a double. */
GRAD_BODY void
grad_measure_result (gdouble sum, guint bad, gdouble mean, gdouble max_norm,
    const gdouble * before, gdouble * result)
{
  gdouble norm = mean * sqrt (sum), clip = max_norm / (norm + 1e-6);

  result[0] = norm;
  result[1] = mean * (max_norm > 0 && clip < 1 ? clip : 1);
  result[2] = bad;
  if (bad != 0 || (before != NULL && !grad_is_finite (before[1])))
    result[1] = NAN;
}
