/* GradStreamer kernels: fully connected layer, the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, C), w, dw: (K, C), b, db: (K), y, dy: (N, K)
 *   y =, dx =, dw = or +=, db = or +=
 *
 * Dense doubles, one thread, deterministic. */
#include "kernels/kernels.h"

#include <string.h>

gboolean
grad_linear_desc_check (const GradLinearDesc * d, GError ** error)
{
  if (d->n >= 1 && d->c >= 1 && d->k >= 1)
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "no fully connected layer takes (%d,%d) to "
      "(%d,%d)", d->n, d->c, d->n, d->k);
  return FALSE;
}

gboolean
grad_linear_plan_supports (GradDevice * device, const GradLinearDesc * d)
{
  return grad_linear_desc_check (d, NULL);
}

GradPlan *
grad_linear_plan_new (GradDevice * device, const GradLinearDesc * d, GError ** error)
{
  GradLinearPlan *plan;

  if (!grad_linear_desc_check (d, error))
    return NULL;
  plan = g_new (GradLinearPlan, 1);
  *plan = (GradLinearPlan) { {.device = device}, *d};
  return &plan->base;
}

static gboolean
linear_forward (GradPlan * base, const GradTensor * x, const GradTensor * w, const GradTensor * b,
    GradTensor * y, GError ** error)
{
  const GradLinearDesc *d = &((GradLinearPlan *) base)->desc;
  gsize N = d->n, C = d->c, K = d->k;
  const gdouble *xp = grad_tensor_data (x), *wp = grad_tensor_data (w);
  const gdouble *bp = d->bias ? grad_tensor_data (b) : NULL;
  gdouble *yp = grad_tensor_data (y);

  for (gsize n = 0; n < N; n++)
    for (gsize k = 0; k < K; k++) {
      gdouble sum = d->bias ? bp[k] : 0;

      for (gsize c = 0; c < C; c++)
        sum += wp[k * C + c] * xp[n * C + c];
      yp[n * K + k] = sum;
    }
  return TRUE;
}

static gboolean
linear_backward_data (GradPlan * base, const GradTensor * dy, const GradTensor * w,
    GradTensor * dx, GError ** error)
{
  const GradLinearDesc *d = &((GradLinearPlan *) base)->desc;
  gsize N = d->n, C = d->c, K = d->k;
  const gdouble *dyp = grad_tensor_data (dy), *wp = grad_tensor_data (w);
  gdouble *dxp = grad_tensor_data (dx);

  memset (dxp, 0, N * C * sizeof (gdouble));
  for (gsize n = 0; n < N; n++)
    for (gsize k = 0; k < K; k++)
      for (gsize c = 0; c < C; c++)
        dxp[n * C + c] += wp[k * C + c] * dyp[n * K + k];
  return TRUE;
}

static gboolean
linear_backward_weights (GradPlan * base, const GradTensor * x, const GradTensor * dy,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  const GradLinearDesc *d = &((GradLinearPlan *) base)->desc;
  gsize N = d->n, C = d->c, K = d->k;
  const gdouble *xp = grad_tensor_data (x), *dyp = grad_tensor_data (dy);
  gdouble *dwp = grad_tensor_data (dw), *dbp = d->bias ? grad_tensor_data (db) : NULL;

  if (!accumulate)
    memset (dwp, 0, K * C * sizeof (gdouble));
  if (!accumulate && d->bias)
    memset (dbp, 0, K * sizeof (gdouble));
  for (gsize n = 0; n < N; n++)
    for (gsize k = 0; k < K; k++) {
      gdouble g = dyp[n * K + k];

      if (d->bias)
        dbp[k] += g;
      for (gsize c = 0; c < C; c++)
        dwp[k * C + c] += g * xp[n * C + c];
    }
  return TRUE;
}

const GradLinearOps grad_linear_ref_ops = {
  .supports = grad_linear_plan_supports,
  .plan = grad_linear_plan_new,
  .forward = linear_forward,
  .backward_data = linear_backward_data,
  .backward_weights = linear_backward_weights,
};
