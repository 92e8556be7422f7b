/* GradStreamer kernels: max pooling on the cpu device by oneDNN, global average pooling by loops
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   max:    x, dx: (N, C, IH, IW), y, dy: (N, C, OH, OW), in the device's layout; the workspace
 *           is oneDNN's
 *   global: x, dx: (N, C, H, W) in the device's layout, y, dy: (N, C) plain
 *   y =, dx =
 *
 * Deterministic, whatever the number of threads. */
#include "kernels/cpu.h"
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
  /* windows overlap, and oneDNN 2.6 would round each sum to bfloat16 */
  desc.tensors[GRAD_ONEDNN_SRC].bf16 = desc.tensors[GRAD_ONEDNN_DST].bf16 = FALSE;
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

#define LANES 16                /* as many sums as the widest block, whatever the processor */

/* Planes of a tensor: (N C/B, n, B) */
typedef struct
{
  gpointer x;
  gfloat *values;               /* (N C) */
  gsize n, block, n_planes;
  gboolean bf16;
} Planes;

static Planes
planes_of (const GradTensor * x, const GradTensor * values)
{
  gsize block = grad_cpu_layout_block (x->layout);

  return (Planes) {
    .x = grad_tensor_data (x),
    .values = grad_tensor_data (values),
    .n = (gsize) x->shape.dims[2] * x->shape.dims[3],
    .block = block,
    .n_planes = (gsize) x->shape.dims[0] * x->shape.dims[1] / block,
    .bf16 = grad_cpu_layout_is_bf16 (x->layout),
  };
}

/* means of the columns of x: (n, block) */
GRAD_INLINE void
mean_of_columns (gconstpointer x, gsize n, gsize block, gboolean bf16, gfloat * mean)
{
  gfloat sum[LANES] = { 0 };

  for (gsize i = 0; i < n; i++)
    for (gsize b = 0; b < block; b++)
      sum[b] += grad_load (x, i * block + b, bf16);
  for (gsize b = 0; b < block; b++)
    mean[b] = sum[b] / n;
}

/* mean of x: (n) */
GRAD_INLINE void
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

GRAD_CLONES static void
mean_of_plane (gsize i, gpointer data)
{
  const Planes *p = data;
  gconstpointer x = grad_at (p->x, i * p->n * p->block, p->bf16);
  gfloat *mean = p->values + i * p->block;

  if (p->bf16)
    mean_of_columns (x, p->n, p->block, TRUE, mean);
  else if (p->block > 1)
    mean_of_columns (x, p->n, p->block, FALSE, mean);
  else
    mean_of_row (x, p->n, mean);
}

/* every row of x: (n, block) = value: (block) / n */
GRAD_INLINE void
fill_columns (gpointer x, gsize n, gsize block, gboolean bf16, const gfloat * value)
{
  gfloat part[LANES];

  for (gsize b = 0; b < block; b++)
    part[b] = value[b] / n;
  for (gsize i = 0; i < n; i++)
    for (gsize b = 0; b < block; b++)
      grad_store (x, i * block + b, part[b], bf16);
}

GRAD_CLONES static void
fill_plane (gsize i, gpointer data)
{
  const Planes *p = data;
  gpointer x = grad_at (p->x, i * p->n * p->block, p->bf16);
  const gfloat *value = p->values + i * p->block;

  if (p->bf16)
    fill_columns (x, p->n, p->block, TRUE, value);
  else
    fill_columns (x, p->n, p->block, FALSE, value);
}

static gboolean
global_forward (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error)
{
  Planes planes = planes_of (x, y);

  grad_parallel_for (planes.n_planes, mean_of_plane, &planes);
  return TRUE;
}

static gboolean
global_backward (GradDevice * device, const GradTensor * dy, GradTensor * dx, GError ** error)
{
  Planes planes = planes_of (dx, dy);

  grad_parallel_for (planes.n_planes, fill_plane, &planes);
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
