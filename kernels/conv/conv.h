/* GradStreamer kernels: 2D convolution (cross-correlation, as in PyTorch)
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

/* y(n,o,i,j) = b(o) + sum over c,p,q of w(o,c,p,q) x(n,c, i*stride-padding+p, j*stride-padding+q)
 * then, with `add`, y += residual; then, with `relu`, y = max (y, 0). */
typedef struct
{
  gint n, ic, ih, iw;           /* x: (N, I, IH, IW) */
  gint oc, oh, ow;              /* y: (N, O, OH, OW) */
  gint kernel, stride, padding; /* w: (O, I, kernel, kernel) */
  gboolean bias;                /* b: (O) */
  gboolean add, relu;           /* forward only, for inference: backward refuses such a plan */
  gboolean training;            /* backward will be wanted */
} GradConvDesc;

typedef struct
{
  /* whether plan() would succeed for this shape */
  gboolean (*supports) (GradDevice * device, const GradConvDesc * desc);
  GradPlan *(*plan) (GradDevice * device, const GradConvDesc * desc, GError ** error);
  /* y = …; b is NULL without bias, residual is NULL without add */
  gboolean (*forward) (GradPlan * plan, const GradTensor * x, const GradTensor * w,
      const GradTensor * b, const GradTensor * residual, GradTensor * y, GError ** error);
  /* dx = … */
  gboolean (*backward_data) (GradPlan * plan, const GradTensor * dy, const GradTensor * w,
      GradTensor * dx, GError ** error);
  /* dw = or += …; db likewise, NULL without bias */
  gboolean (*backward_weights) (GradPlan * plan, const GradTensor * x, const GradTensor * dy,
      GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error);
  /* (optional) Both. Others may look at dw and db only after GradDeviceClass.settle(). */
  gboolean (*backward) (GradPlan * plan, const GradTensor * x, const GradTensor * dy, const GradTensor * w,
      GradTensor * dx, GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error);
} GradConvOps;

typedef enum
{
  GRAD_CONV_FORWARD,
  GRAD_CONV_BACKWARD_DATA,
  GRAD_CONV_BACKWARD_WEIGHTS,
  GRAD_CONV_N_DIRECTIONS
} GradConvDirection;

/* Whether sizes fit together, whether a plan has a backward; in conv-ref.c, for all backends. */
GRAD_API gboolean grad_conv_desc_check (const GradConvDesc * desc, GError ** error);
GRAD_API gboolean grad_conv_desc_has_backward (const GradConvDesc * desc);
/* GRAD_ERROR_UNSUPPORTED if not */
GRAD_API gboolean grad_conv_check_backward (gboolean has_backward, GError ** error);

/* A plan that knows what it is for and nothing more: supports() and plan() of who needs no other; likewise. */
typedef struct
{
  GradPlan base;
  GradConvDesc desc;
} GradConvPlan;

GRAD_API gboolean grad_conv_plan_supports (GradDevice * device, const GradConvDesc * desc);
GRAD_API GradPlan *grad_conv_plan_new (GradDevice * device, const GradConvDesc * desc, GError ** error);

extern const GradConvOps grad_conv_ref_ops;
extern const GradConvOps grad_conv_cpu_ops;
extern GRAD_API const GradConvOps grad_conv_cuda_ops;  /* exported from the module for its test */
extern const GradConvOps grad_conv_cudnn_ops;
