/* GradStreamer kernels: fully connected layer on the cpu device, by oneDNN
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, C), w, dw: (K, C), b, db: (K), y, dy: (N, K), all plain
 *   y =, dx =, dw = or +=, db = or +=
 *
 * Deterministic for a given number of threads: on it depends the order in which oneDNN sums. */
#include "kernels/onednn.h"

typedef struct
{
  GradPlan base;
  GradOnednn *forward, *backward_data, *backward_weights;
} Plan;

static void
linear_free (GradPlan * base)
{
  Plan *plan = (Plan *) base;

  grad_onednn_free (plan->forward);
  grad_onednn_free (plan->backward_data);
  grad_onednn_free (plan->backward_weights);
  g_free (plan);
}

static GradPlan *
linear_plan (GradDevice * device, const GradLinearDesc * d, GError ** error)
{
  GradOnednnDesc desc = {
    .kind = dnnl_inner_product,
    .direction = dnnl_forward_training,
    .tensors = {
          [GRAD_ONEDNN_SRC] = grad_onednn_activation (device, GRAD_SHAPE (d->n, d->c)),
          [GRAD_ONEDNN_WEIGHTS] = grad_onednn_parameter (device, GRAD_SHAPE (d->k, d->c)),
          [GRAD_ONEDNN_DST] = grad_onednn_activation (device, GRAD_SHAPE (d->n, d->k)),
        },
  };
  Plan *plan;

  if (!grad_linear_desc_check (d, error))
    return NULL;
  if (d->bias)
    desc.tensors[GRAD_ONEDNN_BIAS] = grad_onednn_parameter (device, GRAD_SHAPE (d->k));
  plan = g_new0 (Plan, 1);
  plan->base = (GradPlan) {.device = device,.free = linear_free };
  plan->forward = grad_onednn_new (device, &desc, NULL, error);
  desc.direction = dnnl_backward_weights;
  if (plan->forward != NULL)
    plan->backward_weights = grad_onednn_new (device, &desc, plan->forward, error);
  desc.direction = dnnl_backward_data;
  desc.tensors[GRAD_ONEDNN_BIAS] = (GradOnednnTensor) { 0 };
  if (plan->backward_weights != NULL)
    plan->backward_data = grad_onednn_new (device, &desc, plan->forward, error);
  if (plan->backward_data == NULL) {
    linear_free (&plan->base);
    return NULL;
  }
  return &plan->base;
}

static gboolean
linear_forward (GradPlan * base, const GradTensor * x, const GradTensor * w, const GradTensor * b,
    GradTensor * y, GError ** error)
{
  const GradTensor *tensors[GRAD_ONEDNN_N_SLOTS] = { x, w, b, y };

  return grad_onednn_run (((Plan *) base)->forward, tensors, FALSE, error);
}

static gboolean
linear_backward_data (GradPlan * base, const GradTensor * dy, const GradTensor * w,
    GradTensor * dx, GError ** error)
{
  const GradTensor *tensors[GRAD_ONEDNN_N_SLOTS] = { dx, w, NULL, dy };

  return grad_onednn_run (((Plan *) base)->backward_data, tensors, FALSE, error);
}

static gboolean
linear_backward_weights (GradPlan * base, const GradTensor * x, const GradTensor * dy,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  const GradTensor *tensors[GRAD_ONEDNN_N_SLOTS] = { x, dw, db, dy };

  return grad_onednn_run (((Plan *) base)->backward_weights, tensors, accumulate, error);
}

const GradLinearOps grad_linear_onednn_ops = {
  .supports = grad_linear_plan_supports,
  .plan = linear_plan,
  .forward = linear_forward,
  .backward_data = linear_backward_data,
  .backward_weights = linear_backward_weights,
};
