/* GradStreamer kernels: 2D convolution on the cpu device, by oneDNN and by Winograd's algorithm
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, I, IH, IW), y, dy, residual: (N, O, OH, OW), in the device's layout
 *   w, dw: (O, I, kernel, kernel), b, db: (O)
 *   y =, dx =, dw = or +=, db = or +=
 *
 * Results are the same each time for a given number of threads: on it depends the order in which
 * gradients of weights and biases are summed. */
#include "conv-way.h"

typedef struct
{
  GradPlan base;
  GradConvWay ways[GRAD_CONV_N_DIRECTIONS];     /* backward ones may be empty */
} Plan;

static void
conv_free (GradPlan * base)
{
  Plan *plan = (Plan *) base;

  for (gint i = 0; i < GRAD_CONV_N_DIRECTIONS; i++)
    grad_conv_way_clear (&plan->ways[i]);
  g_free (plan);
}

static gboolean
conv_supports (GradDevice * device, const GradConvDesc * d)
{
  return grad_conv_desc_check (d, NULL);
}

static GradPlan *
conv_plan (GradDevice * device, const GradConvDesc * d, GError ** error)
{
  GradConvHints hints = { NULL };
  gboolean ok;
  Plan *plan;

  if (!grad_conv_desc_check (d, error))
    return NULL;
  plan = g_new0 (Plan, 1);
  plan->base = (GradPlan) {.device = device,.free = conv_free };
  ok = grad_conv_way_choose (device, d, GRAD_CONV_FORWARD, hints, &plan->ways[GRAD_CONV_FORWARD],
      error);
  if (ok && grad_conv_desc_has_backward (d)) {
    ok = grad_conv_hints_init (device, d, hints, error);
    for (gint i = GRAD_CONV_BACKWARD_DATA; i < GRAD_CONV_N_DIRECTIONS && ok; i++)
      ok = grad_conv_way_choose (device, d, i, hints, &plan->ways[i], error);
    grad_conv_hints_clear (hints);
  }
  if (!ok) {
    conv_free (&plan->base);
    return NULL;
  }
  return &plan->base;
}

static gboolean
conv_forward (GradPlan * base, const GradTensor * x, const GradTensor * w, const GradTensor * b,
    const GradTensor * residual, GradTensor * y, GError ** error)
{
  return grad_conv_way_run (&((Plan *) base)->ways[GRAD_CONV_FORWARD], GRAD_CONV_FORWARD, x, w, b,
      residual, y, FALSE, error);
}

static gboolean
run_backward (GradPlan * base, GradConvDirection direction, const GradTensor * x,
    const GradTensor * w, const GradTensor * b, const GradTensor * y, gboolean accumulate,
    GError ** error)
{
  GradConvWay *way = &((Plan *) base)->ways[direction];

  return grad_conv_check_backward (grad_conv_way_is_set (way), error)
      && grad_conv_way_run (way, direction, x, w, b, NULL, y, accumulate, error);
}

static gboolean
conv_backward_data (GradPlan * base, const GradTensor * dy, const GradTensor * w, GradTensor * dx,
    GError ** error)
{
  return run_backward (base, GRAD_CONV_BACKWARD_DATA, dx, w, NULL, dy, FALSE, error);
}

static gboolean
conv_backward_weights (GradPlan * base, const GradTensor * x, const GradTensor * dy,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  return run_backward (base, GRAD_CONV_BACKWARD_WEIGHTS, x, dw, db, dy, accumulate, error);
}

const GradConvOps grad_conv_cpu_ops = {
  .supports = conv_supports,
  .plan = conv_plan,
  .forward = conv_forward,
  .backward_data = conv_backward_data,
  .backward_weights = conv_backward_weights,
};
