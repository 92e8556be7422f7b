/* GradStreamer kernels: batch normalisation (+ add) (+ ReLU), reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x, residual, y and their gradients: (N, C, H, W), the rest (C); dense doubles.
 * dgamma and dbeta = or +=, all other outputs =; deterministic. */
#define GRAD_REAL gdouble
#include "norm-body.h"
#include "kernels/elementwise/elementwise-body.h"
#include "kernels/kernels.h"
#include "norm-host.h"

gboolean
grad_norm_desc_pool (const GradNormDesc * d, GradPoolDesc * pool, GError ** error)
{
  gint kernel = d->pool.kernel, stride = d->pool.stride, padding = d->pool.padding;

  *pool = (GradPoolDesc) {
    .n = d->n,.c = d->c,.ih = d->h,.iw = d->w,
    .oh = stride ? (d->h + 2 * padding - kernel) / stride + 1 : 0,
    .ow = stride ? (d->w + 2 * padding - kernel) / stride + 1 : 0,
    .kernel = kernel,.stride = stride,.padding = padding
  };
  if (kernel == 0 || (d->relu && !d->add && kernel <= GRAD_NORM_POOL_MAX_KERNEL
          && grad_pool_desc_check (pool, NULL)))
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "no norm with %dx%d max pooling of %dx%d "
      "pictures", kernel, kernel, d->h, d->w);
  return FALSE;
}

typedef struct
{
  GradPlan plan;
  GradNormDesc desc;
} RefPlan;

static gboolean
supports (GradDevice * device, const GradNormDesc * desc)
{
  return desc->pool.kernel == 0;
}

static GradPlan *
plan_new (GradDevice * device, const GradNormDesc * desc, GError ** error)
{
  RefPlan *self = g_new (RefPlan, 1);

  self->plan = (GradPlan) {.device = device };
  self->desc = *desc;
  return &self->plan;
}

/* y = gamma (x - mean) / sqrt (var + eps) + beta [+ residual], ReLU */
static void
normalise (const GradNormDesc * d, const gdouble * x, const gdouble * residual,
    const gdouble * gamma, const gdouble * beta, const gdouble * mean, const gdouble * var,
    const gdouble * offset, gdouble * y)
{
  gsize hw = (gsize) d->h * d->w;

  for (gint n = 0; n < d->n; n++)
    for (gint c = 0; c < d->c; c++)
      for (gsize i = ((gsize) n * d->c + c) * hw, end = i + hw; i < end; i++) {
        gdouble centred = x[i] + (offset ? offset[c] : 0) - mean[c];
        gdouble z = gamma[c] * centred / sqrt (var[c] + d->eps) + beta[c];

        if (residual != NULL)
          z += residual[i];
        y[i] = d->relu ? grad_relu (z) : z;
      }
}

static gboolean
forward_train (GradPlan * plan, const GradTensor * x, const GradTensor * residual,
    const GradTensor * gamma, const GradTensor * beta, GradTensor * mean, GradTensor * var,
    GradTensor * y, GError ** error)
{
  const GradNormDesc *d = &((RefPlan *) plan)->desc;
  const gdouble *xs = grad_tensor_data (x);
  gdouble *means = grad_tensor_data (mean), *vars = grad_tensor_data (var);
  gsize hw = (gsize) d->h * d->w, count = d->n * hw;

  for (gint c = 0; c < d->c; c++) {
    gdouble sum = 0, squares = 0;

    for (gint n = 0; n < d->n; n++)
      for (gsize i = ((gsize) n * d->c + c) * hw, end = i + hw; i < end; i++)
        sum += xs[i];
    means[c] = sum / count;
    for (gint n = 0; n < d->n; n++)
      for (gsize i = ((gsize) n * d->c + c) * hw, end = i + hw; i < end; i++)
        squares += (xs[i] - means[c]) * (xs[i] - means[c]);
    vars[c] = squares / count;
  }
  normalise (d, xs, residual ? grad_tensor_data (residual) : NULL, grad_tensor_data (gamma),
      grad_tensor_data (beta), means, vars, NULL, grad_tensor_data (y));
  return TRUE;
}

static gboolean
forward_infer (GradPlan * plan, const GradTensor * x, const GradTensor * residual,
    const GradTensor * gamma, const GradTensor * beta, const GradTensor * running_mean,
    const GradTensor * running_var, const GradTensor * offset, GradTensor * y, GError ** error)
{
  normalise (&((RefPlan *) plan)->desc, grad_tensor_data (x),
      residual ? grad_tensor_data (residual) : NULL, grad_tensor_data (gamma),
      grad_tensor_data (beta), grad_tensor_data (running_mean), grad_tensor_data (running_var),
      offset ? grad_tensor_data (offset) : NULL, grad_tensor_data (y));
  return TRUE;
}

static gboolean
backward (GradPlan * plan, const GradTensor * x, const GradTensor * y, const GradTensor * dy,
    const GradTensor * gamma, const GradTensor * mean, const GradTensor * var, GradTensor * dx,
    GradTensor * dresidual, GradTensor * dgamma, GradTensor * dbeta, gboolean accumulate,
    GError ** error)
{
  const GradNormDesc *d = &((RefPlan *) plan)->desc;
  const gdouble *xs = grad_tensor_data (x), *ys = y ? grad_tensor_data (y) : NULL;
  const gdouble *gammas = grad_tensor_data (gamma);
  const gdouble *means = grad_tensor_data (mean), *vars = grad_tensor_data (var);
  gdouble *dxs = grad_tensor_data (dx);
  gdouble *dgammas = grad_tensor_data (dgamma), *dbetas = grad_tensor_data (dbeta);
  gsize hw = (gsize) d->h * d->w, count = d->n * hw;
  g_autofree gdouble *own_dz = dresidual ? NULL : g_new (gdouble, count * d->c);
  gdouble *dz = dresidual ? grad_tensor_data (dresidual) : own_dz;
  const gdouble *dys = grad_tensor_data (dy);

  for (gsize i = 0; i < count * d->c; i++)
    dz[i] = d->relu ? grad_relu_backward (ys[i], dys[i]) : dys[i];

  for (gint c = 0; c < d->c; c++) {
    gdouble inv = 1 / sqrt (vars[c] + d->eps), sum_dz = 0, sum_dz_xhat = 0;

    for (gint n = 0; n < d->n; n++)
      for (gsize i = ((gsize) n * d->c + c) * hw, end = i + hw; i < end; i++) {
        sum_dz += dz[i];
        sum_dz_xhat += dz[i] * (xs[i] - means[c]) * inv;
      }
    for (gint n = 0; n < d->n; n++)
      for (gsize i = ((gsize) n * d->c + c) * hw, end = i + hw; i < end; i++) {
        gdouble xhat = (xs[i] - means[c]) * inv;

        dxs[i] = gammas[c] * inv * (dz[i] - sum_dz / count - xhat * sum_dz_xhat / count);
      }
    dgammas[c] = sum_dz_xhat + (accumulate ? dgammas[c] : 0);
    dbetas[c] = sum_dz + (accumulate ? dbetas[c] : 0);
  }
  return TRUE;
}

const GradNormOps grad_norm_ref_ops = {
  .supports = supports,
  .plan = plan_new,
  .forward_train = forward_train,
  .forward_infer = forward_infer,
  .backward = backward,
  .update_running = grad_norm_host_update_running,
  .fold = grad_norm_host_fold,
};
