/* GradStreamer kernels: batch normalisation backwards, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#define GRAD_REAL gfloat
#include "norm-body.h"
#include "norm-cpu.h"

static void
add_sums (const GradNormJob * job, const GradNormPlace * at)
{
  grad_norm_plane_sums (grad_norm_job_plane (job, job->x, at->plane),
      grad_norm_job_plane (job, job->y_in, at->plane),
      grad_norm_job_plane (job, job->dy, at->plane),
      grad_norm_job_plane (job, job->dresidual, at->plane), job->plane, job->bf16, job->block,
      job->mean + at->channel, at->sums[0], at->sums[1]);
}

static void
add_pool_sums (const GradNormJob * job, const GradNormPlace * at)
{
  grad_norm_plane_pool_sums (grad_norm_job_plane (job, job->x, at->plane),
      job->places + at->plane * job->pooled, grad_norm_job_pooled (job, job->dy, at->plane),
      &job->self->pool, job->bf16, job->block, job->mean + at->channel, at->sums[0], at->sums[1]);
}

/* dgamma and dbeta, and what gradient_at() wants */
static void
sums (GradNormJob * job, GradNormFunc func, const GradTensor * gamma, const GradTensor * mean,
    const GradTensor * var, GradTensor * dgamma, GradTensor * dbeta, gboolean accumulate)
{
  GradNormCpuPlan *self = job->self;
  const GradNormDesc *d = &self->desc;
  const gfloat *gammas = grad_tensor_data (gamma), *vars = grad_tensor_data (var);
  gfloat *dgammas = grad_tensor_data (dgamma), *dbetas = grad_tensor_data (dbeta);
  gdouble count = (gdouble) d->n * d->h * d->w;

  job->mean = grad_tensor_data (mean);
  grad_norm_job_add_up (job, func);
  for (gint c = 0; c < d->c; c++)
    grad_norm_gradient (self->total[0][c], self->total[1][c], count, vars[c], d->eps, gammas[c],
        accumulate, dgammas + c, dbetas + c, self->scale + c, self->slope + c, self->shift + c);
}

static GradNormGradient
gradient_at (const GradNormJob * job, const GradNormPlace * at)
{
  const GradNormCpuPlan *self = job->self;

  return (GradNormGradient) {
    job->mean + at->channel, self->scale + at->channel, self->slope + at->channel,
        self->shift + at->channel};
}

static void
set_gradient (const GradNormJob * job, const GradNormPlace * at)
{
  gboolean masked = job->dresidual != NULL;     /* it is dz already */
  GradNormGradient gradient = gradient_at (job, at);

  grad_norm_plane_backward (grad_norm_job_plane (job, job->x, at->plane),
      masked ? NULL : grad_norm_job_plane (job, job->y_in, at->plane),
      grad_norm_job_plane (job, masked ? job->dresidual : job->dy, at->plane),
      grad_norm_job_plane (job, job->dx, at->plane), job->plane, job->bf16, job->block, &gradient);
}

static void
set_pool_gradient (const GradNormJob * job, const GradNormPlace * at)
{
  GradNormGradient gradient = gradient_at (job, at);

  grad_norm_plane_pool_backward (grad_norm_job_plane (job, job->x, at->plane),
      job->places + at->plane * job->pooled, grad_norm_job_pooled (job, job->dy, at->plane),
      grad_norm_job_plane (job, job->dx, at->plane), &job->self->pool, job->bf16, job->block,
      &gradient);
}

gboolean
grad_norm_cpu_backward (GradPlan * plan, const GradTensor * x, const GradTensor * y,
    const GradTensor * dy, const GradTensor * gamma, const GradTensor * mean,
    const GradTensor * var, GradTensor * dx, GradTensor * dresidual, GradTensor * dgamma,
    GradTensor * dbeta, gboolean accumulate, GError ** error)
{
  GradNormJob job = grad_norm_job (plan, x);

  job.y_in = job.self->desc.relu ? grad_tensor_data (y) : NULL;
  job.dy = grad_tensor_data (dy);
  job.dx = grad_tensor_data (dx);
  job.dresidual = dresidual ? grad_tensor_data (dresidual) : NULL;
  sums (&job, add_sums, gamma, mean, var, dgamma, dbeta, accumulate);
  grad_norm_job_run (&job, set_gradient);
  return TRUE;
}

gboolean
grad_norm_cpu_backward_pool (GradPlan * plan, const GradTensor * x, const GradTensor * places,
    const GradTensor * dy, const GradTensor * gamma, const GradTensor * mean,
    const GradTensor * var, GradTensor * dx, GradTensor * dgamma, GradTensor * dbeta,
    gboolean accumulate, GError ** error)
{
  GradNormJob job = grad_norm_job (plan, x);

  job.places = grad_tensor_data (places);
  job.dy = grad_tensor_data (dy);
  job.dx = grad_tensor_data (dx);
  sums (&job, add_pool_sums, gamma, mean, var, dgamma, dbeta, accumulate);
  grad_norm_job_run (&job, set_pool_gradient);
  return TRUE;
}
