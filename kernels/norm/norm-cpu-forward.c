/* GradStreamer kernels: batch normalisation forwards, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#define GRAD_REAL gfloat
#include "norm-body.h"
#include "norm-cpu.h"

static void
add_moments (const GradNormJob * job, const GradNormPlace * at)
{
  grad_norm_plane_moments (grad_norm_job_plane (job, job->x, at->plane), job->plane, job->bf16,
      job->block, at->sums[0], at->sums[1]);
}

static void
set_affine (GradNormCpuPlan * self, gint c, gdouble mean, gdouble var, gfloat gamma, gfloat beta)
{
  grad_norm_affine (mean, var, self->desc.eps, gamma, beta, self->mean + c, self->scale + c,
      self->shift + c);
}

/* mean and var of x, and what they make of gamma and beta */
static void
statistics (GradNormJob * job, const GradTensor * gamma, const GradTensor * beta,
    GradTensor * mean, GradTensor * var)
{
  GradNormCpuPlan *self = job->self;
  const GradNormDesc *d = &self->desc;
  const gfloat *gammas = grad_tensor_data (gamma), *betas = grad_tensor_data (beta);
  gfloat *means = grad_tensor_data (mean), *vars = grad_tensor_data (var);
  gdouble count = (gdouble) d->n * d->h * d->w;

  grad_norm_job_add_up (job, add_moments);
  for (gint c = 0; c < d->c; c++) {
    gdouble m = self->total[0][c] / count, v = self->total[1][c] / count - m * m;

    v = v <= G_MAXFLOAT ? MAX (v, 0) : NAN;     /* not silently y = beta, and running statistics lost */
    means[c] = m;
    vars[c] = v;
    set_affine (self, c, m, v, gammas[c], betas[c]);
  }
}

static GradNormAffine
affine_at (const GradNormJob * job, const GradNormPlace * at)
{
  const GradNormCpuPlan *self = job->self;

  return (GradNormAffine) {
    self->mean + at->channel, self->scale + at->channel, self->shift + at->channel
  };
}

static void
normalise (const GradNormJob * job, const GradNormPlace * at)
{
  GradNormAffine affine = affine_at (job, at);

  grad_norm_plane_forward (grad_norm_job_plane (job, job->x, at->plane),
      grad_norm_job_plane (job, job->residual, at->plane),
      grad_norm_job_plane (job, job->y, at->plane), job->plane, job->bf16, job->block, &affine,
      job->self->desc.relu);
}

gboolean
grad_norm_cpu_forward_train (GradPlan * plan, const GradTensor * x, const GradTensor * residual,
    const GradTensor * gamma, const GradTensor * beta, GradTensor * mean, GradTensor * var,
    GradTensor * y, GError ** error)
{
  GradNormJob job = grad_norm_job (plan, x);

  job.residual = residual ? grad_tensor_data (residual) : NULL;
  job.y = grad_tensor_data (y);
  statistics (&job, gamma, beta, mean, var);
  grad_norm_job_run (&job, normalise);
  return TRUE;
}

gboolean
grad_norm_cpu_forward_infer (GradPlan * plan, const GradTensor * x, const GradTensor * residual,
    const GradTensor * gamma, const GradTensor * beta, const GradTensor * running_mean,
    const GradTensor * running_var, const GradTensor * offset, GradTensor * y, GError ** error)
{
  GradNormJob job = grad_norm_job (plan, x);
  const gfloat *gammas = grad_tensor_data (gamma), *betas = grad_tensor_data (beta);
  const gfloat *means = grad_tensor_data (running_mean), *vars = grad_tensor_data (running_var);
  const gfloat *offsets = offset ? grad_tensor_data (offset) : NULL;

  job.residual = residual ? grad_tensor_data (residual) : NULL;
  job.y = grad_tensor_data (y);
  for (gint c = 0; c < job.self->desc.c; c++)
    set_affine (job.self, c, (gdouble) means[c] - (offsets ? offsets[c] : 0), vars[c], gammas[c],
        betas[c]);
  grad_norm_job_run (&job, normalise);
  return TRUE;
}

static void
normalise_and_pool (const GradNormJob * job, const GradNormPlace * at)
{
  const GradPoolDesc *pool = &job->self->pool;
  GradNormAffine affine = affine_at (job, at);

  grad_norm_plane_pool (grad_norm_job_plane (job, job->x, at->plane), pool, job->bf16, job->block,
      &affine, job->scratch + at->worker * grad_norm_pool_scratch (pool),
      grad_norm_job_pooled (job, job->y, at->plane), job->places + at->plane * job->pooled);
}

gboolean
grad_norm_cpu_forward_pool (GradPlan * plan, const GradTensor * x, const GradTensor * gamma,
    const GradTensor * beta, GradTensor * mean, GradTensor * var, GradTensor * y,
    GradTensor * places, GError ** error)
{
  GradNormJob job = grad_norm_job (plan, x);

  job.y = grad_tensor_data (y);
  job.places = grad_tensor_data (places);
  job.scratch = grad_norm_scratch (job.self, error);
  if (job.scratch == NULL)
    return FALSE;
  statistics (&job, gamma, beta, mean, var);
  grad_norm_job_run (&job, normalise_and_pool);
  return TRUE;
}
