/* GradStreamer kernels: batch normalisation, cpu: what its two directions have in common
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The planes of a batch (norm-planes.h) lie one after the other. They are dealt with in parts:
 * single planes where these are large, else a few whole samples. */
#pragma once

#include "norm-pool.h"
#include "kernels/cpu.h"
#include "kernels/kernels.h"

typedef struct
{
  GradPlan plan;
  GradNormDesc desc;
  GradPoolDesc pool;            /* behind it, if any */
  gdouble *partial[2];          /* (N, C) each, if every sample has a row: sums of parts */
  gdouble *total[2];            /* (C) each */
  gfloat *mean, *scale, *slope, *shift; /* (C) each, see GradNormAffine and GradNormGradient */
} GradNormCpuPlan;

typedef struct _GradNormJob GradNormJob;

typedef struct
{
  gsize plane, channel;         /* its first one */
  gdouble *sums[2];             /* (B) each, of this part */
  guint worker;                 /* which has scratch memory of its own: the number of its share */
} GradNormPlace;

typedef void (*GradNormFunc) (const GradNormJob * job, const GradNormPlace * at);

/* One call: tensors' storage, and how it falls into planes. */
struct _GradNormJob
{
  GradNormCpuPlan *self;
  gsize block, n_blocks, n_planes;      /* B; C/B; N C/B */
  gsize plane, pooled;          /* elements: H W B, OH OW B */
  gsize part, row;              /* planes of a part, and of a row of partial */
  gboolean bf16;
  gconstpointer x, y_in, residual, dy;
  gpointer y, dx, dresidual;
  guint8 *places;               /* with pooling */
  guint8 *scratch;
  const gfloat *mean;

  GradNormFunc func;
  gboolean adding;              /* first pass */
  gsize n_shares;               /* of the parts, one for each thread */
};

GradNormJob grad_norm_job (GradPlan * plan, const GradTensor * x);

/* func of all planes, which adds to its sums; then total is that over all parts, in their order. */
void grad_norm_job_add_up (GradNormJob * job, GradNormFunc func);

/* func of all planes. Each thread has those that it had in grad_norm_job_add_up(), the last parts
 * first, which may still be in its cache. */
void grad_norm_job_run (GradNormJob * job, GradNormFunc func);

/* elements of a plane, NULL of NULL */
static inline gpointer
grad_norm_job_plane (const GradNormJob * job, gconstpointer data, gsize plane)
{
  return data ? grad_at (data, plane * job->plane, job->bf16) : NULL;
}

static inline gpointer
grad_norm_job_pooled (const GradNormJob * job, gconstpointer data, gsize plane)
{
  return grad_at (data, plane * job->pooled, job->bf16);
}

/* what pooling wants for each worker, or NULL with an error */
guint8 *grad_norm_scratch (GradNormCpuPlan * self, GError ** error);

/* norm-cpu-forward.c and norm-cpu-backward.c, see GradNormOps */
gboolean grad_norm_cpu_forward_train (GradPlan * plan, const GradTensor * x,
    const GradTensor * residual, const GradTensor * gamma, const GradTensor * beta,
    GradTensor * mean, GradTensor * var, GradTensor * y, GError ** error);
gboolean grad_norm_cpu_forward_infer (GradPlan * plan, const GradTensor * x,
    const GradTensor * residual, const GradTensor * gamma, const GradTensor * beta,
    const GradTensor * running_mean, const GradTensor * running_var, const GradTensor * offset,
    GradTensor * y, GError ** error);
gboolean grad_norm_cpu_forward_pool (GradPlan * plan, const GradTensor * x,
    const GradTensor * gamma, const GradTensor * beta, GradTensor * mean, GradTensor * var,
    GradTensor * y, GradTensor * places, GError ** error);
gboolean grad_norm_cpu_backward (GradPlan * plan, const GradTensor * x, const GradTensor * y,
    const GradTensor * dy, const GradTensor * gamma, const GradTensor * mean,
    const GradTensor * var, GradTensor * dx, GradTensor * dresidual, GradTensor * dgamma,
    GradTensor * dbeta, gboolean accumulate, GError ** error);
gboolean grad_norm_cpu_backward_pool (GradPlan * plan, const GradTensor * x,
    const GradTensor * places, const GradTensor * dy, const GradTensor * gamma,
    const GradTensor * mean, const GradTensor * var, GradTensor * dx, GradTensor * dgamma,
    GradTensor * dbeta, gboolean accumulate, GError ** error);
