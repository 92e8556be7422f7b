/* GradStreamer kernels: batch normalisation (+ add) (+ ReLU), cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x, residual, y and their gradients: (N, C, H, W) plain or (N, C/B, H, W, B), the latter also in
 * bfloat16; the rest (C) and what is computed: float.
 * dgamma and dbeta = or +=, all other outputs =; deterministic: sums are made per plane, in any
 * order, and planes are added in theirs, in double.
 *
 * Memory bound. Training reads x twice; backward reads x, dy and, with ReLU, y twice each; with
 * pooling, x alone is large. The second pass walks backwards, so that it begins with what the first
 * one left in the cache. */
#define GRAD_REAL gfloat
#include "norm-body.h"
#include "norm-fold.h"
#include "norm-pool.h"
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include "kernels/onednn.h"
#include "lib/device/gradcpudevice-private.h"

#define LANES GRAD_NORM_LANES
#define GROUP 64                /* channels that one thread adds up at a time */

typedef struct
{
  GradPlan plan;
  GradNormDesc desc;
  GradPoolDesc pool;            /* behind it, if any */
  /* mean and m2, or sums of dz and dz (x - mean) */
  gdouble *partial[2];          /* (N, C) each: of every plane */
  gdouble *total[2];            /* (C) each */
  gfloat *mean, *scale, *slope, *shift; /* (C) each, see GradNormAffine and GradNormGradient */
} CpuPlan;

/* One call: tensors' storage, and how it falls into planes. */
typedef struct
{
  CpuPlan *self;
  gsize block, n_planes, plane, pooled; /* B; N C/B; elements H W B, OH OW B */
  gboolean bf16;
  gconstpointer x, y_in, residual, dy;
  gpointer y, dx, dresidual;
  guint8 *places;               /* with pooling */
  guint8 *scratch;
  const gfloat *mean;
} Job;

static void
cpu_free (GradPlan * plan)
{
  CpuPlan *self = (CpuPlan *) plan;

  g_free (self->partial[0]);
  g_free (self->mean);
  g_free (self);
}

static GradPoolDesc
pool_desc (const GradNormDesc * d)
{
  gint kernel = d->pool.kernel, stride = d->pool.stride, padding = d->pool.padding;

  return (GradPoolDesc) {
    .n = d->n,.c = d->c,.ih = d->h,.iw = d->w,
    .oh = stride ? (d->h + 2 * padding - kernel) / stride + 1 : 0,
    .ow = stride ? (d->w + 2 * padding - kernel) / stride + 1 : 0,
    .kernel = kernel,.stride = stride,.padding = padding
  };
}

static gboolean
supports (GradDevice * device, const GradNormDesc * desc)
{
  GradPoolDesc pool = pool_desc (desc);

  return desc->pool.kernel == 0 || (desc->relu && !desc->add
      && desc->pool.kernel <= GRAD_NORM_POOL_MAX_KERNEL && grad_pool_desc_check (&pool, NULL));
}

/* what pooling wants for each worker, or NULL with an error */
static guint8 *
scratch (CpuPlan * self, GError ** error)
{
  return grad_onednn_scratch (self->plan.device,
      grad_parallel_n_workers () * grad_norm_pool_scratch (&self->pool), error);
}

static GradPlan *
plan_new (GradDevice * device, const GradNormDesc * desc, GError ** error)
{
  CpuPlan *self;
  gsize c = desc->c, nc = desc->n * c;

  if (!supports (device, desc)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "no norm with %dx%d max pooling of "
        "%dx%d pictures", desc->pool.kernel, desc->pool.kernel, desc->h, desc->w);
    return NULL;
  }
  self = g_new (CpuPlan, 1);

  self->plan = (GradPlan) {.device = device,.free = cpu_free };
  self->desc = *desc;
  self->pool = pool_desc (desc);
  self->partial[0] = g_new (gdouble, 2 * nc + 2 * c);
  self->partial[1] = self->partial[0] + nc;
  self->total[0] = self->partial[1] + nc;
  self->total[1] = self->total[0] + c;
  self->mean = g_new (gfloat, 4 * c);
  self->scale = self->mean + c;
  self->slope = self->scale + c;
  self->shift = self->slope + c;
  if (desc->pool.kernel > 0 && scratch (self, error) == NULL) {
    cpu_free (&self->plan);
    return NULL;
  }
  return &self->plan;
}

static Job
job_new (GradPlan * plan, const GradTensor * x)
{
  CpuPlan *self = (CpuPlan *) plan;
  const GradNormDesc *d = &self->desc;
  gsize block = grad_cpu_layout_block (x->layout);

  return (Job) {
    .self = self,
    .block = block,
    .n_planes = (gsize) d->n * d->c / block,
    .plane = (gsize) d->h * d->w * block,
    .pooled = (gsize) self->pool.oh * self->pool.ow * block,
    .bf16 = grad_cpu_layout_is_bf16 (x->layout),
    .x = grad_tensor_data (x),
  };
}

/* plane i of a tensor, NULL of NULL */
static inline gpointer
plane_at (const Job * job, gconstpointer data, gsize i)
{
  return data ? grad_at (data, i * job->plane, job->bf16) : NULL;
}

/* first channel of plane i */
static inline gsize
plane_channel (const Job * job, gsize i)
{
  return i * job->block % job->self->desc.c;
}

static inline void
to_lanes (const Job * job, gsize plane, const gfloat * channels, gfloat * lanes)
{
  const gfloat *from = channels + plane_channel (job, plane);

  for (gsize l = 0; l < LANES; l++)
    lanes[l] = from[l & (job->block - 1)];
}

static void
moments_plane (gsize i, gpointer data)
{
  const Job *job = data;
  gsize at = i * job->block;

  grad_norm_plane_moments (plane_at (job, job->x, i), job->plane, job->bf16, job->block,
      job->self->partial[0] + at, job->self->partial[1] + at);
}

/* Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
 * variances", 1979, for parts of one size: the mean is the mean of means, and
 * m2 = sum of m2(n) + H W (mean(n) - mean)^2 */
static void
combine_moments (gsize group, gpointer data)
{
  const Job *job = data;
  const CpuPlan *self = job->self;
  gsize n = self->desc.n, c = self->desc.c, from = group * GROUP, to = MIN (from + GROUP, c);
  gdouble hw = (gdouble) self->desc.h * self->desc.w;
  gdouble *mean = self->total[0], *m2 = self->total[1];

  for (gsize j = from; j < to; j++)
    mean[j] = m2[j] = 0;
  for (gsize i = 0; i < n; i++)
    for (gsize j = from; j < to; j++)
      mean[j] += self->partial[0][i * c + j] / n;
  for (gsize i = 0; i < n; i++)
    for (gsize j = from; j < to; j++) {
      gdouble d = self->partial[0][i * c + j] - mean[j];

      m2[j] += self->partial[1][i * c + j] + hw * d * d;
    }
}

static void
combine_sums (gsize group, gpointer data)
{
  const Job *job = data;
  const CpuPlan *self = job->self;
  gsize n = self->desc.n, c = self->desc.c, from = group * GROUP, to = MIN (from + GROUP, c);

  for (guint k = 0; k < 2; k++) {
    for (gsize j = from; j < to; j++)
      self->total[k][j] = 0;
    for (gsize i = 0; i < n; i++)
      for (gsize j = from; j < to; j++)
        self->total[k][j] += self->partial[k][i * c + j];
  }
}

static void
run_groups (Job * job, GradParallelFunc func)
{
  grad_parallel_for ((job->self->desc.c + GROUP - 1) / GROUP, func, job);
}

static void
set_affine (CpuPlan * self, gint c, gdouble mean, gdouble var, gfloat gamma, gfloat beta)
{
  grad_norm_affine (mean, var, self->desc.eps, gamma, beta, self->mean + c, self->scale + c,
      self->shift + c);
}

static GradNormAffine
plane_affine (const Job * job, gsize plane)
{
  GradNormAffine affine;

  to_lanes (job, plane, job->self->mean, affine.mean);
  to_lanes (job, plane, job->self->scale, affine.scale);
  to_lanes (job, plane, job->self->shift, affine.shift);
  return affine;
}

static void
forward_plane (gsize i, gpointer data)
{
  const Job *job = data;
  gsize plane = job->n_planes - 1 - i;
  GradNormAffine affine = plane_affine (job, plane);

  grad_norm_plane_forward (plane_at (job, job->x, plane), plane_at (job, job->residual, plane),
      plane_at (job, job->y, plane), job->plane, job->bf16, &affine, job->self->desc.relu);
}

/* mean and var of x, and what they make of gamma and beta */
static void
statistics (Job * job, const GradTensor * gamma, const GradTensor * beta, GradTensor * mean,
    GradTensor * var)
{
  CpuPlan *self = job->self;
  const GradNormDesc *d = &self->desc;
  const gfloat *gammas = grad_tensor_data (gamma), *betas = grad_tensor_data (beta);
  gfloat *means = grad_tensor_data (mean), *vars = grad_tensor_data (var);
  gdouble count = (gdouble) d->n * d->h * d->w;

  grad_parallel_for (job->n_planes, moments_plane, job);
  run_groups (job, combine_moments);
  for (gint c = 0; c < d->c; c++) {
    gdouble v = MAX (self->total[1][c] / count, 0);

    means[c] = self->total[0][c];
    vars[c] = v;
    set_affine (self, c, self->total[0][c], v, gammas[c], betas[c]);
  }
}

static gboolean
forward_train (GradPlan * plan, const GradTensor * x, const GradTensor * residual,
    const GradTensor * gamma, const GradTensor * beta, GradTensor * mean, GradTensor * var,
    GradTensor * y, GError ** error)
{
  Job job = job_new (plan, x);

  job.residual = residual ? grad_tensor_data (residual) : NULL;
  job.y = grad_tensor_data (y);
  statistics (&job, gamma, beta, mean, var);
  grad_parallel_for (job.n_planes, forward_plane, &job);
  return TRUE;
}

static void
pool_plane (gsize i, guint worker, gpointer data)
{
  const Job *job = data;
  gsize plane = job->n_planes - 1 - i;
  GradNormAffine affine = plane_affine (job, plane);

  grad_norm_plane_pool (plane_at (job, job->x, plane), &job->self->pool, job->bf16, job->block,
      &affine, job->scratch + worker * grad_norm_pool_scratch (&job->self->pool),
      grad_at (job->y, plane * job->pooled, job->bf16), job->places + plane * job->pooled);
}

static gboolean
forward_pool (GradPlan * plan, const GradTensor * x, const GradTensor * gamma,
    const GradTensor * beta, GradTensor * mean, GradTensor * var, GradTensor * y,
    GradTensor * places, GError ** error)
{
  Job job = job_new (plan, x);

  job.y = grad_tensor_data (y);
  job.places = grad_tensor_data (places);
  job.scratch = scratch (job.self, error);
  if (job.scratch == NULL)
    return FALSE;
  statistics (&job, gamma, beta, mean, var);
  grad_parallel_work (job.n_planes, pool_plane, &job);
  return TRUE;
}

static gboolean
forward_infer (GradPlan * plan, const GradTensor * x, const GradTensor * residual,
    const GradTensor * gamma, const GradTensor * beta, const GradTensor * running_mean,
    const GradTensor * running_var, const GradTensor * offset, GradTensor * y, GError ** error)
{
  Job job = job_new (plan, x);
  const gfloat *gammas = grad_tensor_data (gamma), *betas = grad_tensor_data (beta);
  const gfloat *means = grad_tensor_data (running_mean), *vars = grad_tensor_data (running_var);
  const gfloat *offsets = offset ? grad_tensor_data (offset) : NULL;

  job.residual = residual ? grad_tensor_data (residual) : NULL;
  job.y = grad_tensor_data (y);
  for (gint c = 0; c < job.self->desc.c; c++)
    set_affine (job.self, c, (gdouble) means[c] - (offsets ? offsets[c] : 0), vars[c], gammas[c],
        betas[c]);
  grad_parallel_for (job.n_planes, forward_plane, &job);
  return TRUE;
}

static void
sums_plane (gsize i, gpointer data)
{
  const Job *job = data;
  gdouble *sum_dz = job->self->partial[0] + i * job->block;
  gdouble *sum_dz_x = job->self->partial[1] + i * job->block;
  gfloat mean[LANES];

  to_lanes (job, i, job->mean, mean);
  if (job->places != NULL)
    grad_norm_plane_pool_sums (plane_at (job, job->x, i), job->places + i * job->pooled,
        grad_at (job->dy, i * job->pooled, job->bf16), &job->self->pool, job->bf16, job->block,
        mean, sum_dz, sum_dz_x);
  else
    grad_norm_plane_sums (plane_at (job, job->x, i), plane_at (job, job->y_in, i),
        plane_at (job, job->dy, i), plane_at (job, job->dresidual, i), job->plane, job->bf16,
        job->block, mean, sum_dz, sum_dz_x);
}

static GradNormGradient
plane_gradient (const Job * job, gsize plane)
{
  GradNormGradient gradient;

  to_lanes (job, plane, job->mean, gradient.mean);
  to_lanes (job, plane, job->self->scale, gradient.scale);
  to_lanes (job, plane, job->self->slope, gradient.slope);
  to_lanes (job, plane, job->self->shift, gradient.shift);
  return gradient;
}

static void
backward_plane (gsize i, gpointer data)
{
  const Job *job = data;
  gsize plane = job->n_planes - 1 - i;
  gboolean masked = job->dresidual != NULL;     /* it is dz already */
  GradNormGradient gradient = plane_gradient (job, plane);

  grad_norm_plane_backward (plane_at (job, job->x, plane),
      masked ? NULL : plane_at (job, job->y_in, plane),
      plane_at (job, masked ? job->dresidual : job->dy, plane), plane_at (job, job->dx, plane),
      job->plane, job->bf16, &gradient);
}

static void
pool_backward_plane (gsize i, guint worker, gpointer data)
{
  const Job *job = data;
  gsize plane = job->n_planes - 1 - i;
  GradNormGradient gradient = plane_gradient (job, plane);

  grad_norm_plane_pool_backward (plane_at (job, job->x, plane), job->places + plane * job->pooled,
      grad_at (job->dy, plane * job->pooled, job->bf16), plane_at (job, job->dx, plane),
      &job->self->pool, job->bf16, job->block, &gradient,
      job->scratch + worker * grad_norm_pool_scratch (&job->self->pool));
}

/* dgamma and dbeta, and what plane_gradient() wants */
static void
sums (Job * job, const GradTensor * gamma, const GradTensor * mean, const GradTensor * var,
    GradTensor * dgamma, GradTensor * dbeta, gboolean accumulate)
{
  CpuPlan *self = job->self;
  const GradNormDesc *d = &self->desc;
  const gfloat *gammas = grad_tensor_data (gamma), *vars = grad_tensor_data (var);
  gfloat *dgammas = grad_tensor_data (dgamma), *dbetas = grad_tensor_data (dbeta);
  gdouble count = (gdouble) d->n * d->h * d->w;

  job->mean = grad_tensor_data (mean);
  grad_parallel_for (job->n_planes, sums_plane, job);
  run_groups (job, combine_sums);
  for (gint c = 0; c < d->c; c++)
    grad_norm_gradient (self->total[0][c], self->total[1][c], count, vars[c], d->eps, gammas[c],
        accumulate, dgammas + c, dbetas + c, self->scale + c, self->slope + c, self->shift + c);
}

static gboolean
backward (GradPlan * plan, const GradTensor * x, const GradTensor * y, const GradTensor * dy,
    const GradTensor * gamma, const GradTensor * mean, const GradTensor * var, GradTensor * dx,
    GradTensor * dresidual, GradTensor * dgamma, GradTensor * dbeta, gboolean accumulate,
    GError ** error)
{
  Job job = job_new (plan, x);

  job.y_in = job.self->desc.relu ? grad_tensor_data (y) : NULL;
  job.dy = grad_tensor_data (dy);
  job.dx = grad_tensor_data (dx);
  job.dresidual = dresidual ? grad_tensor_data (dresidual) : NULL;
  sums (&job, gamma, mean, var, dgamma, dbeta, accumulate);
  grad_parallel_for (job.n_planes, backward_plane, &job);
  return TRUE;
}

static gboolean
backward_pool (GradPlan * plan, const GradTensor * x, const GradTensor * places,
    const GradTensor * dy, const GradTensor * gamma, const GradTensor * mean,
    const GradTensor * var, GradTensor * dx, GradTensor * dgamma, GradTensor * dbeta,
    gboolean accumulate, GError ** error)
{
  Job job = job_new (plan, x);

  job.places = grad_tensor_data (places);
  job.dy = grad_tensor_data (dy);
  job.dx = grad_tensor_data (dx);
  job.scratch = scratch (job.self, error);
  if (job.scratch == NULL)
    return FALSE;
  sums (&job, gamma, mean, var, dgamma, dbeta, accumulate);
  grad_parallel_work (job.n_planes, pool_backward_plane, &job);
  return TRUE;
}

static gboolean
update_running (GradPlan * plan, const GradTensor * mean, const GradTensor * var,
    const GradTensor * offset, gfloat momentum, GradTensor * running_mean,
    GradTensor * running_var, GError ** error)
{
  const GradNormDesc *d = &((CpuPlan *) plan)->desc;
  const gfloat *means = grad_tensor_data (mean), *vars = grad_tensor_data (var);
  const gfloat *offsets = offset ? grad_tensor_data (offset) : NULL;
  gfloat *rm = grad_tensor_data (running_mean), *rv = grad_tensor_data (running_var);
  gdouble count = (gdouble) d->n * d->h * d->w;

  for (gint c = 0; c < d->c; c++)
    grad_norm_running (means[c], vars[c], offsets ? offsets[c] : 0, count, momentum, rm + c, rv + c);
  return TRUE;
}

const GradNormOps grad_norm_cpu_ops = {
  .supports = supports,
  .plan = plan_new,
  .forward_train = forward_train,
  .forward_infer = forward_infer,
  .backward = backward,
  .forward_pool = forward_pool,
  .backward_pool = backward_pool,
  .update_running = update_running,
  .fold = grad_norm_fold,
};
