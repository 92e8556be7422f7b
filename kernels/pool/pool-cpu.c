/* GradStreamer kernels: max pooling and global average pooling on the cpu device
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   max:    x, dx: (N, C, IH, IW), y, dy: (N, C, OH, OW), in the device's layout; workspace: guint32 as y, where in its
 *           plane of x each value comes from
 *   global: x, dx: (N, C, H, W) in the device's layout, y, dy: (N, C) plain
 *   y =, dx =
 *
 * Deterministic, whatever the number of threads. */
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include "lib/device/gradcpudevice-private.h"

#define LANES 16
#include "max-pool-loops.h"
#define LANES 8
#include "max-pool-loops.h"
#define LANES 4
#include "max-pool-loops.h"
#define LANES 1
#include "max-pool-loops.h"

static gsize
pool_workspace_size (GradPlan * base)
{
  const GradPoolDesc *d = &((GradPoolPlan *) base)->desc;

  return (gsize) d->n * d->c * d->oh * d->ow * sizeof (guint32);
}

/* what the threads of a call share; a job is a row of what is written */
typedef struct
{
  const GradPoolDesc *desc;
  gpointer x, y;                /* or gradients */
  guint32 *places;              /* NULL: not wanted */
  gsize block;
  gboolean bf16;
} Call;

static Call
call_of (GradPlan * base, const GradTensor * x, const GradTensor * y, const GradTensor * workspace)
{
  return (Call) {
    .desc = &((GradPoolPlan *) base)->desc,.x = grad_tensor_data (x),.y = grad_tensor_data (y),
    .places = workspace ? grad_tensor_data (workspace) : NULL,
    .block = grad_cpu_layout_block (x->layout),.bf16 = grad_cpu_layout_is_bf16 (x->layout)
  };
}

/* rows by their place in memory: of all planes, each of `n` pixels a row */
static gpointer
row_at (const Call * c, gconstpointer data, gsize row, gint n)
{
  return grad_at (data, row * n * c->block, c->bf16);
}

#define BY_LANES(function, ...) \
  if (c->block == 16 && c->bf16) \
    function##_16 (__VA_ARGS__, TRUE); \
  else if (c->block == 16) \
    function##_16 (__VA_ARGS__, FALSE); \
  else if (c->block == 8 && c->bf16) \
    function##_8 (__VA_ARGS__, TRUE); \
  else if (c->block == 8) \
    function##_8 (__VA_ARGS__, FALSE); \
  else if (c->block == 4 && c->bf16) \
    function##_4 (__VA_ARGS__, TRUE); \
  else if (c->block == 4) \
    function##_4 (__VA_ARGS__, FALSE); \
  else \
    function##_1 (__VA_ARGS__, FALSE)

GRAD_CLONES static void
forward_row (gsize row, gpointer data)
{
  const Call *c = data;
  const GradPoolDesc *d = c->desc;
  gconstpointer x = row_at (c, c->x, row / d->oh * d->ih, d->iw);
  gpointer y = row_at (c, c->y, row, d->ow);

  if (c->places == NULL) {
    BY_LANES (pool_row, d, x, row % d->oh, y, NULL);
  } else {
    BY_LANES (pool_row, d, x, row % d->oh, y, c->places + row * d->ow * c->block);
  }
}

GRAD_CLONES static void
backward_row (gsize row, gpointer data)
{
  const Call *c = data;
  const GradPoolDesc *d = c->desc;
  gsize plane = row / d->ih * d->oh;
  gconstpointer dy = row_at (c, c->y, plane, d->ow);

  BY_LANES (unpool_row, d, dy, c->places + plane * d->ow * c->block, row % d->ih,
      row_at (c, c->x, row, d->iw));
}

static gboolean
pool_forward (GradPlan * base, const GradTensor * x, GradTensor * y, GradTensor * workspace,
    GError ** error)
{
  Call call = call_of (base, x, y, workspace);

  grad_parallel_for (call.desc->n * (call.desc->c / call.block) * call.desc->oh, forward_row, &call);
  return TRUE;
}

static gboolean
pool_backward (GradPlan * base, const GradTensor * dy, const GradTensor * workspace,
    GradTensor * dx, GError ** error)
{
  Call call = call_of (base, dx, dy, workspace);

  grad_parallel_for (call.desc->n * (call.desc->c / call.block) * call.desc->ih, backward_row,
      &call);
  return TRUE;
}

#define SUMS 16                 /* as many sums as the widest block, whatever the processor */

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
  gfloat sum[SUMS] = { 0 };

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
  gfloat sum[SUMS] = { 0 }, total = 0;
  gsize i = 0;

  for (; i + SUMS <= n; i += SUMS)
    for (gsize b = 0; b < SUMS; b++)
      sum[b] += x[i + b];
  for (; i < n; i++)
    total += x[i];
  for (gsize b = 0; b < SUMS; b++)
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
  gfloat part[SUMS];

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

const GradPoolOps grad_pool_cpu_ops = {
  .supports = grad_pool_plan_supports,
  .plan = grad_pool_plan_new,
  .workspace_size = pool_workspace_size,
  .forward = pool_forward,
  .backward = pool_backward,
  .global_forward = global_forward,
  .global_backward = global_backward,
};
