/* GradStreamer kernels: batch normalisation (+ add) (+ ReLU) (+ max pooling), cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x, residual, y and their gradients: (N, C, H, W) plain or (N, C/B, H, W, B), the latter also in
 * bfloat16; the rest (C) and what is computed: float.
 * dgamma and dbeta = or +=, all other outputs =; deterministic: sums are made per part, and parts
 * are added in their order, in double.
 *
 * Memory bound: each direction goes through everything twice, for sums and for the result. */
#define GRAD_REAL gfloat
#include "norm-body.h"
#include "norm-cpu.h"
#include "norm-host.h"
#include "kernels/kernels.h"
#include "lib/device/gradcpudevice-private.h"

#include <string.h>

#define PART (128 << 10)        /* bytes; more than an eighth of it is a large plane */

static void
cpu_free (GradPlan * plan)
{
  GradNormCpuPlan *self = (GradNormCpuPlan *) plan;

  g_free (self->partial[0]);
  g_free (self->mean);
  g_free (self);
}

static gboolean
supports (GradDevice * device, const GradNormDesc * desc)
{
  GradPoolDesc pool;

  return grad_norm_desc_pool (desc, &pool, NULL);
}

guint8 *
grad_norm_scratch (GradNormCpuPlan * self, GError ** error)
{
  return grad_cpu_scratch (self->plan.device,
      grad_parallel_n_workers () * grad_norm_pool_scratch (&self->pool), error);
}

static GradPlan *
plan_new (GradDevice * device, const GradNormDesc * desc, GError ** error)
{
  GradNormCpuPlan *self;
  GradPoolDesc pool;
  gsize c = desc->c, nc = desc->n * c;

  if (!grad_norm_desc_pool (desc, &pool, error))
    return NULL;
  self = g_new (GradNormCpuPlan, 1);

  self->plan = (GradPlan) {.device = device,.free = cpu_free };
  self->desc = *desc;
  self->pool = pool;
  self->partial[0] = g_new (gdouble, 2 * nc + 2 * c);
  self->partial[1] = self->partial[0] + nc;
  self->total[0] = self->partial[1] + nc;
  self->total[1] = self->total[0] + c;
  self->mean = g_new (gfloat, 4 * c);
  self->scale = self->mean + c;
  self->slope = self->scale + c;
  self->shift = self->slope + c;
  if (desc->pool.kernel > 0 && grad_norm_scratch (self, error) == NULL) {
    cpu_free (&self->plan);
    return NULL;
  }
  return &self->plan;
}

GradNormJob
grad_norm_job (GradPlan * plan, const GradTensor * x)
{
  GradNormCpuPlan *self = (GradNormCpuPlan *) plan;
  const GradNormDesc *d = &self->desc;
  gsize block = grad_cpu_layout_block (x->layout), n_blocks = d->c / block;
  gsize plane = (gsize) d->h * d->w * block, size = plane * sizeof (gfloat);
  gsize part = size > PART / 8 ? 1 : n_blocks * MAX (PART / (n_blocks * size), 1);

  return (GradNormJob) {
    .self = self,
    .block = block,
    .n_blocks = n_blocks,
    .n_planes = d->n * n_blocks,
    .plane = plane,
    .pooled = (gsize) self->pool.oh * self->pool.ow * block,
    .part = part,
    .row = MAX (part, n_blocks),
    .bf16 = grad_cpu_layout_is_bf16 (x->layout),
    .x = grad_tensor_data (x),
  };
}

static gsize
divide_up (gsize n, gsize by)
{
  return (n + by - 1) / by;
}

static void
run_part (const GradNormJob * job, gsize part, guint worker)
{
  gsize from = part * job->part, to = MIN (from + job->part, job->n_planes);
  gsize c = job->self->desc.c, row = from / job->row * c;
  GradNormPlace at = {.plane = from,.channel = from % job->n_blocks * job->block,.worker = worker };

  for (; at.plane < to; at.plane++) {
    for (guint k = 0; k < 2; k++) {
      at.sums[k] = job->self->partial[k] + row + at.channel;
      if (job->adding && at.plane < from + job->n_blocks)
        memset (at.sums[k], 0, job->block * sizeof (gdouble));
    }
    job->func (job, &at);
    at.channel = (at.channel + job->block) % c;
  }
}

/* a thread's share of all parts */
static void
run_share (gsize share, gpointer data)
{
  const GradNormJob *job = data;
  gsize n = divide_up (job->n_planes, job->part);
  gsize from = n * share / job->n_shares, to = n * (share + 1) / job->n_shares;

  for (gsize i = from; i < to; i++)
    run_part (job, job->adding ? i : from + to - 1 - i, share);
}

static void
run (GradNormJob * job, GradNormFunc func, gboolean adding)
{
  job->func = func;
  job->adding = adding;
  job->n_shares = grad_parallel_n_workers ();
  grad_parallel_for (job->n_shares, run_share, job);
}

void
grad_norm_job_run (GradNormJob * job, GradNormFunc func)
{
  run (job, func, FALSE);
}

void
grad_norm_job_add_up (GradNormJob * job, GradNormFunc func)
{
  GradNormCpuPlan *self = job->self;
  gsize c = self->desc.c, n = divide_up (job->n_planes, job->row);

  run (job, func, TRUE);
  for (guint k = 0; k < 2; k++) {
    memcpy (self->total[k], self->partial[k], c * sizeof (gdouble));
    for (gsize i = 1; i < n; i++)
      for (gsize j = 0; j < c; j++)
        self->total[k][j] += self->partial[k][i * c + j];
  }
}

const GradNormOps grad_norm_cpu_ops = {
  .supports = supports,
  .plan = plan_new,
  .forward_train = grad_norm_cpu_forward_train,
  .forward_infer = grad_norm_cpu_forward_infer,
  .backward = grad_norm_cpu_backward,
  .forward_pool = grad_norm_cpu_forward_pool,
  .backward_pool = grad_norm_cpu_backward_pool,
  .update_running = grad_norm_host_update_running,
  .fold = grad_norm_host_fold,
};
