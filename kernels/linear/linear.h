/* GradStreamer kernels: fully connected layer
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

/* y(n,k) = b(k) + sum over c of w(k,c) x(n,c).  x: (N, C), w: (K, C), b: (K), y: (N, K) */
typedef struct
{
  gint n, c, k;
  gboolean bias;
} GradLinearDesc;

typedef struct
{
  gboolean (*supports) (GradDevice * device, const GradLinearDesc * desc);
  GradPlan *(*plan) (GradDevice * device, const GradLinearDesc * desc, GError ** error);
  gboolean (*forward) (GradPlan * plan, const GradTensor * x, const GradTensor * w,
      const GradTensor * b, GradTensor * y, GError ** error);
  gboolean (*backward_data) (GradPlan * plan, const GradTensor * dy, const GradTensor * w,
      GradTensor * dx, GError ** error);
  /* dw, db = or +=; db is NULL without bias */
  gboolean (*backward_weights) (GradPlan * plan, const GradTensor * x, const GradTensor * dy,
      GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error);
} GradLinearOps;

/* Whether there is anything to compute; in linear-ref.c, for all backends. */
GRAD_API gboolean grad_linear_desc_check (const GradLinearDesc * desc, GError ** error);

/* A plan that knows what it is for and nothing more: supports() and plan() of who needs no other; likewise. */
typedef struct
{
  GradPlan base;
  GradLinearDesc desc;
} GradLinearPlan;

GRAD_API gboolean grad_linear_plan_supports (GradDevice * device, const GradLinearDesc * desc);
GRAD_API GradPlan *grad_linear_plan_new (GradDevice * device, const GradLinearDesc * desc, GError ** error);

extern const GradLinearOps grad_linear_ref_ops;
extern const GradLinearOps grad_linear_cpu_ops;
extern const GradLinearOps grad_linear_onednn_ops;
extern const GradLinearOps grad_linear_cuda_ops;
