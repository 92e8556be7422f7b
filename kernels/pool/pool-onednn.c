/* GradStreamer kernels: max pooling on the cpu device by oneDNN, global average pooling by loops
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   max:    x, dx: (N, C, IH, IW), y, dy: (N, C, OH, OW), in the device's layout; the workspace
 *           is oneDNN's
 *   global: x, dx: (N, C, H, W) in the device's layout, y, dy: (N, C) plain
 *   y =, dx =
 *
 * Deterministic, whatever the number of threads. */
#include "kernels/onednn.h"
#include "lib/device/gradcpudevice-private.h"

typedef struct
{
  GradPlan base;
  GradOnednn *training, *inference, *backward;
} Plan;

static void
pool_free (GradPlan * base)
{
  Plan *plan = (Plan *) base;

  grad_onednn_free (plan->training);
  grad_onednn_free (plan->inference);
  grad_onednn_free (plan->backward);
  g_free (plan);
}

static gboolean
pool_supports (GradDevice * device, const GradPoolDesc * d)
{
  return grad_pool_desc_check (d, NULL);
}

static GradPlan *
pool_plan (GradDevice * device, const GradPoolDesc * d, GError ** error)
{
  GradOnednnDesc desc = {
    .kind = dnnl_pooling,
    .direction = dnnl_forward_inference,
    .algorithm = dnnl_pooling_max,
    .tensors = {
          [GRAD_ONEDNN_SRC] =
          grad_onednn_activation (device, GRAD_SHAPE (d->n, d->c, d->ih, d->iw)),
          [GRAD_ONEDNN_DST] =
          grad_onednn_activation (device, GRAD_SHAPE (d->n, d->c, d->oh, d->ow)),
        },
    .kernel = d->kernel,.stride = d->stride,.padding = d->padding,
  };
  Plan *plan;

  if (!grad_pool_desc_check (d, error))
    return NULL;
  plan = g_new0 (Plan, 1);
  plan->base = (GradPlan) {.device = device,.free = pool_free };
  plan->inference = grad_onednn_new (device, &desc, NULL, error);
  desc.direction = dnnl_forward_training;
  if (plan->inference != NULL)
    plan->training = grad_onednn_new (device, &desc, NULL, error);
  desc.direction = dnnl_backward_data;
  if (plan->training != NULL)
    plan->backward = grad_onednn_new (device, &desc, plan->training, error);
  if (plan->backward == NULL) {
    pool_free (&plan->base);
    return NULL;
  }
  return &plan->base;
}

static gsize
pool_workspace_size (GradPlan * base)
{
  return grad_onednn_workspace_size (((Plan *) base)->training);
}

static gboolean
pool_forward (GradPlan * base, const GradTensor * x, GradTensor * y, GradTensor * workspace,
    GError ** error)
{
  Plan *plan = (Plan *) base;
  const GradTensor *tensors[GRAD_ONEDNN_N_SLOTS] = {
    [GRAD_ONEDNN_SRC] = x,[GRAD_ONEDNN_DST] = y,[GRAD_ONEDNN_WORKSPACE] = workspace
  };

  return grad_onednn_run (workspace ? plan->training : plan->inference, tensors, FALSE, error);
}

static gboolean
pool_backward (GradPlan * base, const GradTensor * dy, const GradTensor * workspace,
    GradTensor * dx, GError ** error)
{
  const GradTensor *tensors[GRAD_ONEDNN_N_SLOTS] = {
    [GRAD_ONEDNN_SRC] = dx,[GRAD_ONEDNN_DST] = dy,[GRAD_ONEDNN_WORKSPACE] = workspace
  };

  return grad_onednn_run (((Plan *) base)->backward, tensors, FALSE, error);
}

/* GCC makes no clones of what OpenMP outlines: parallel regions stay outside of these functions. */
#ifdef __x86_64__
#define CLONES __attribute__ ((target_clones ("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

#define LANES 16                /* as many sums as the widest block, whatever the processor */

/* means of the columns of x: (n, block) */
static void CLONES
mean_of_columns (const gfloat * x, gsize n, gsize block, gfloat * mean)
{
  gfloat sum[LANES] = { 0 };

  for (gsize i = 0; i < n; i++)
    for (gsize b = 0; b < block; b++)
      sum[b] += x[i * block + b];
  for (gsize b = 0; b < block; b++)
    mean[b] = sum[b] / n;
}

/* mean of x: (n) */
static void CLONES
mean_of_row (const gfloat * x, gsize n, gfloat * mean)
{
  gfloat sum[LANES] = { 0 }, total = 0;
  gsize i = 0;

  for (; i + LANES <= n; i += LANES)
    for (gsize b = 0; b < LANES; b++)
      sum[b] += x[i + b];
  for (; i < n; i++)
    total += x[i];
  for (gsize b = 0; b < LANES; b++)
    total += sum[b];
  *mean = total / n;
}

/* every row of x: (n, block) = value: (block) / n */
static void CLONES
fill_columns (gfloat * x, gsize n, gsize block, const gfloat * value)
{
  gfloat part[LANES];

  for (gsize b = 0; b < block; b++)
    part[b] = value[b] / n;
  for (gsize i = 0; i < n; i++)
    for (gsize b = 0; b < block; b++)
      x[i * block + b] = part[b];
}

static gsize
block_of (const GradTensor * x)
{
  return x->layout == GRAD_LAYOUT_PLAIN ? 1 : x->layout;
}

static gboolean
global_forward (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error)
{
  gsize block = block_of (x), plane = (gsize) x->shape.dims[2] * x->shape.dims[3];
  gsize n_groups = (gsize) x->shape.dims[0] * x->shape.dims[1] / block;
  const gfloat *xp = grad_tensor_data (x);
  gfloat *yp = grad_tensor_data (y);

#pragma omp parallel for schedule(static)
  for (gsize g = 0; g < n_groups; g++)
    if (block == 1)
      mean_of_row (xp + g * plane, plane, yp + g);
    else
      mean_of_columns (xp + g * plane * block, plane, block, yp + g * block);
  return TRUE;
}

static gboolean
global_backward (GradDevice * device, const GradTensor * dy, GradTensor * dx, GError ** error)
{
  gsize block = block_of (dx), plane = (gsize) dx->shape.dims[2] * dx->shape.dims[3];
  gsize n_groups = (gsize) dx->shape.dims[0] * dx->shape.dims[1] / block;
  const gfloat *dyp = grad_tensor_data (dy);
  gfloat *dxp = grad_tensor_data (dx);

#pragma omp parallel for schedule(static)
  for (gsize g = 0; g < n_groups; g++)
    fill_columns (dxp + g * plane * block, plane, block, dyp + g * block);
  return TRUE;
}

const GradPoolOps grad_pool_onednn_ops = {
  .supports = pool_supports,
  .plan = pool_plan,
  .workspace_size = pool_workspace_size,
  .forward = pool_forward,
  .backward = pool_backward,
  .global_forward = global_forward,
  .global_backward = global_backward,
};
