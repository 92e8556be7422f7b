/* GradStreamer kernels: 2D convolution on the cpu device, by oneDNN and in loops of our own
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, I, IH, IW), y, dy, residual: (N, O, OH, OW), in the device's layout
 *   w, dw: (O, I, kernel, kernel), b, db: (O)
 *   y =, dx =, dw = or +=, db = or +=
 *
 * With precision int8 convolutions are for inference, and multiply 8-bit integers where the device has the outputs in channel blocks.
 *
 * Results are the same each time for a given number of threads: on it depends the order in which
 * gradients of weights and biases are summed. */
#include "conv-int8.h"
#include "conv-way.h"

typedef struct
{
  GradPlan base;
  GradConvInt8 *int8;           /* forward, with that precision; then there are no ways */
  GradConvWay ways[GRAD_CONV_N_DIRECTIONS];     /* backward ones may be empty */
} Plan;

static void
conv_free (GradPlan * base)
{
  Plan *plan = (Plan *) base;

  g_free (plan->int8);
  for (gint i = 0; i < GRAD_CONV_N_DIRECTIONS; i++)
    grad_conv_way_clear (&plan->ways[i]);
  g_free (plan);
}

/* With precision int8 there is no training. */
static gboolean
check (GradDevice * device, const GradConvDesc * d, GError ** error)
{
  if (!grad_conv_desc_check (d, error))
    return FALSE;
  if (d->training && grad_device_get_precision (device) == GRAD_PRECISION_INT8) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED,
        "precision=int8 is for inference alone: train with f32, bf16 or auto");
    return FALSE;
  }
  return TRUE;
}

static gboolean
conv_supports (GradDevice * device, const GradConvDesc * d)
{
  return check (device, d, NULL);
}

/* The ways of all directions that the plan is for */
static gboolean
choose_ways (Plan * plan, GradDevice * device, const GradConvDesc * d, GError ** error)
{
  gint n = grad_conv_desc_has_backward (d) ? GRAD_CONV_N_DIRECTIONS : GRAD_CONV_FORWARD + 1;
  GradConvHints hints = { NULL };
  gboolean ok = TRUE;

  for (gint i = GRAD_CONV_FORWARD; i < n && ok; i++)
    ok = grad_conv_way_choose (device, d, i, hints, &plan->ways[i], error);
  grad_conv_hints_clear (hints);
  return ok;
}

static GradPlan *
conv_plan (GradDevice * device, const GradConvDesc * d, GError ** error)
{
  gboolean ok;
  Plan *plan;

  if (!check (device, d, error))
    return NULL;
  plan = g_new0 (Plan, 1);
  plan->base = (GradPlan) {.device = device,.free = conv_free };
  if (grad_device_get_precision (device) == GRAD_PRECISION_INT8
      && grad_conv_int8_supports (device, d))
    ok = (plan->int8 = grad_conv_int8_new (device, d, error)) != NULL;
  else
    ok = choose_ways (plan, device, d, error);
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
  Plan *plan = (Plan *) base;

  if (plan->int8 != NULL)
    return grad_conv_int8_run (plan->int8, x, w, b, residual, y, error);
  return grad_conv_way_run (&plan->ways[GRAD_CONV_FORWARD], GRAD_CONV_FORWARD, x, w, b, residual, y,
      FALSE, error);
}

static gboolean
run_backward (GradPlan * base, GradConvDirection direction, const GradTensor * x,
    const GradTensor * w, const GradTensor * b, const GradTensor * y, gboolean accumulate,
    GError ** error)
{
  GradConvWay *way = &((Plan *) base)->ways[direction];

  return grad_conv_check_backward (way->self != NULL, error)
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
