/* GradStreamer kernels: max pooling and global average pooling
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

/* Max pooling. Padding counts as minus infinity; of equal values the first in row order wins, in
 * both directions, as in PyTorch. x: (N, C, IH, IW), y: (N, C, OH, OW). */
typedef struct
{
  gint n, c, ih, iw, oh, ow;
  gint kernel, stride, padding;
} GradPoolDesc;

typedef struct
{
  gboolean (*supports) (GradDevice * device, const GradPoolDesc * desc);
  GradPlan *(*plan) (GradDevice * device, const GradPoolDesc * desc, GError ** error);
  /* bytes of workspace that forward writes and backward reads, a plain uint8 tensor: as many for each picture */
  gsize (*workspace_size) (GradPlan * plan);
  /* workspace is NULL when backward is not wanted */
  gboolean (*forward) (GradPlan * plan, const GradTensor * x, GradTensor * y,
      GradTensor * workspace, GError ** error);
  gboolean (*backward) (GradPlan * plan, const GradTensor * dy, const GradTensor * workspace,
      GradTensor * dx, GError ** error);

  /* y(n,c) = mean over h, w of x(n,c,h,w) */
  gboolean (*global_forward) (GradDevice * device, const GradTensor * x, GradTensor * y,
      GError ** error);
  /* dx(n,c,h,w) = dy(n,c) / (H W) */
  gboolean (*global_backward) (GradDevice * device, const GradTensor * dy, GradTensor * dx,
      GError ** error);
} GradPoolOps;

/* Whether sizes fit together; in pool-ref.c, for all backends. */
GRAD_API gboolean grad_pool_desc_check (const GradPoolDesc * desc, GError ** error);

/* A plan that knows what it is for and nothing more: supports() and plan() of who needs no other; likewise. */
typedef struct
{
  GradPlan base;
  GradPoolDesc desc;
} GradPoolPlan;

GRAD_API gboolean grad_pool_plan_supports (GradDevice * device, const GradPoolDesc * desc);
GRAD_API GradPlan *grad_pool_plan_new (GradDevice * device, const GradPoolDesc * desc, GError ** error);

extern const GradPoolOps grad_pool_ref_ops;
extern const GradPoolOps grad_pool_cpu_ops;
extern const GradPoolOps grad_pool_cuda_ops;
