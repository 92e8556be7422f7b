/* GradStreamer kernels: fully connected layer, the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, C), w, dw: (K, C), b, db: (K), y, dy: (N, K)
 *   y =, dx =, dw = or +=, db = or +=
 *
 * Dense doubles, one thread, deterministic. */
#include "kernels/kernels.h"

#include <string.h>

typedef struct
{
  GradPlan base;
  GradLinearDesc desc;
} Plan;

static void
linear_free (GradPlan * plan)
{
  g_free (plan);
}

static gboolean
linear_supports (GradDevice * device, const GradLinearDesc * d)
{
  return d->n >= 1 && d->c >= 1 && d->k >= 1;
}

static GradPlan *
linear_plan (GradDevice * device, const GradLinearDesc * d, GError ** error)
{
  Plan *plan;

  if (!linear_supports (device, d)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "no fully connected layer takes (%d,%d) to "
        "(%d,%d)", d->n, d->c, d->n, d->k);
    return NULL;
  }
  plan = g_new0 (Plan, 1);
  plan->base = (GradPlan) {.device = device,.free = linear_free };
  plan->desc = *d;
  return &plan->base;
}

static gboolean
linear_forward (GradPlan * base, const GradTensor * x, const GradTensor * w, const GradTensor * b,
    GradTensor * y, GError ** error)
{
  const GradLinearDesc *d = &((Plan *) base)->desc;
  const gdouble *xp = grad_tensor_data (x), *wp = grad_tensor_data (w);
  const gdouble *bp = d->bias ? grad_tensor_data (b) : NULL;
  gdouble *yp = grad_tensor_data (y);

  for (gsize n = 0; n < d->n; n++)
    for (gsize k = 0; k < d->k; k++) {
      gdouble sum = d->bias ? bp[k] : 0;

      for (gsize c = 0; c < d->c; c++)
        sum += wp[k * d->c + c] * xp[n * d->c + c];
      yp[n * d->k + k] = sum;
    }
  return TRUE;
}

static gboolean
linear_backward_data (GradPlan * base, const GradTensor * dy, const GradTensor * w,
    GradTensor * dx, GError ** error)
{
  const GradLinearDesc *d = &((Plan *) base)->desc;
  const gdouble *dyp = grad_tensor_data (dy), *wp = grad_tensor_data (w);
  gdouble *dxp = grad_tensor_data (dx);

  memset (dxp, 0, (gsize) d->n * d->c * sizeof (gdouble));
  for (gsize n = 0; n < d->n; n++)
    for (gsize k = 0; k < d->k; k++)
      for (gsize c = 0; c < d->c; c++)
        dxp[n * d->c + c] += wp[k * d->c + c] * dyp[n * d->k + k];
  return TRUE;
}

static gboolean
linear_backward_weights (GradPlan * base, const GradTensor * x, const GradTensor * dy,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  const GradLinearDesc *d = &((Plan *) base)->desc;
  const gdouble *xp = grad_tensor_data (x), *dyp = grad_tensor_data (dy);
  gdouble *dwp = grad_tensor_data (dw), *dbp = d->bias ? grad_tensor_data (db) : NULL;

  if (!accumulate)
    memset (dwp, 0, (gsize) d->k * d->c * sizeof (gdouble));
  if (!accumulate && d->bias)
    memset (dbp, 0, d->k * sizeof (gdouble));
  for (gsize n = 0; n < d->n; n++)
    for (gsize k = 0; k < d->k; k++) {
      gdouble g = dyp[n * d->k + k];

      if (d->bias)
        dbp[k] += g;
      for (gsize c = 0; c < d->c; c++)
        dwp[k * d->c + c] += g * xp[n * d->c + c];
    }
  return TRUE;
}

const GradLinearOps grad_linear_ref_ops = {
  .supports = linear_supports,
  .plan = linear_plan,
  .forward = linear_forward,
  .backward_data = linear_backward_data,
  .backward_weights = linear_backward_weights,
};
