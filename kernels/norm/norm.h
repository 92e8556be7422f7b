/* GradStreamer kernels: batch normalisation (+ residual add) (+ ReLU), fused
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Ioffe and Szegedy, "Batch Normalization", 2015; definitions of eps, momentum and the unbiased
 * running variance as in PyTorch's BatchNorm2d. */
#pragma once

#include "kernels/kernels.h"
#include "kernels/pool/pool.h"

/* z = gamma(c) (x - mean(c)) / sqrt (var(c) + eps) + beta(c) [+ residual];  y = relu ? max (z, 0) : z
 * x, residual, y: (N, C, H, W); gamma, beta, mean, var, running_*: (C). */
typedef struct
{
  gint n, c, h, w;
  gboolean add, relu;
  gfloat eps;
  struct
  {
    gint kernel, stride, padding;
  } pool;                       /* of the max pooling behind it, see forward_pool; 0: none */
} GradNormDesc;

/* A norm with running statistics, folded into the convolution in front of it:
 *   folded_weight(c,…) = s(c) weight(c,…),  folded_bias(c) = beta(c) + s(c) (bias(c) - mean(c)),
 *   s(c) = gamma(c) / sqrt (var(c) + eps);  weights: (C, …) plain, all else (C), bias nullable. */
typedef struct
{
  const GradTensor *weight, *bias, *gamma, *beta, *mean, *var;
  GradTensor *folded_weight, *folded_bias;
  gfloat eps;
} GradNormFold;

/* Running statistics and what is to enter them, all (C), of a batch of count = N H W values of a channel:
 *   running_mean += momentum (mean + offset - running_mean)
 *   running_var  += momentum (var count / (count - 1) - running_var)
 * offset is nullable; with count = 1 nothing is changed */
typedef struct
{
  const GradTensor *mean, *var, *offset;
  GradTensor *running_mean, *running_var;
  gdouble count;
  gfloat momentum;
} GradNormRunning;

typedef struct
{
  /* TRUE without pooling; with it, where forward_pool and backward_pool can do it */
  gboolean (*supports) (GradDevice * device, const GradNormDesc * desc);
  GradPlan *(*plan) (GradDevice * device, const GradNormDesc * desc, GError ** error);
  /* Batch statistics: mean and var (biased) are outputs, kept for backward and update_running.
   * residual is NULL without add. y may be residual (in place), never x. */
  gboolean (*forward_train) (GradPlan * plan, const GradTensor * x, const GradTensor * residual,
      const GradTensor * gamma, const GradTensor * beta, GradTensor * mean, GradTensor * var,
      GradTensor * y, GError ** error);
  /* Running statistics. offset (C), nullable, is added to x on the fly: the bias of the
   * convolution in front, which is otherwise left out because batch statistics cancel it.
   * y may be x or residual (in place). */
  gboolean (*forward_infer) (GradPlan * plan, const GradTensor * x, const GradTensor * residual,
      const GradTensor * gamma, const GradTensor * beta, const GradTensor * running_mean,
      const GradTensor * running_var, const GradTensor * offset, GradTensor * y, GError ** error);
  /* With dz = relu ? dy where y > 0, else 0 : dy:
   *   dresidual = dz (NULL when not wanted; may be dy itself, in place)
   *   dgamma, dbeta = or += sums over N, H, W of dz xhat, dz
   *   dx = gamma / sqrt (var + eps) (dz - mean (dz) - xhat mean (dz xhat))   (may be x, in place)
   * y is NULL without relu. */
  gboolean (*backward) (GradPlan * plan, const GradTensor * x, const GradTensor * y,
      const GradTensor * dy, const GradTensor * gamma, const GradTensor * mean,
      const GradTensor * var, GradTensor * dx, GradTensor * dresidual, GradTensor * dgamma,
      GradTensor * dbeta, gboolean accumulate, GError ** error);
  /* (optional) Norm, ReLU and max pooling (pool.h) in one, with batch statistics: the same as one
   * after the other, but the pooling's input and the gradient there are never stored.
   * y: (N, C, OH, OW); places: of the largest values, for backward_pool, plain uint8, as many as
   * y has values. */
  gboolean (*forward_pool) (GradPlan * plan, const GradTensor * x, const GradTensor * gamma,
      const GradTensor * beta, GradTensor * mean, GradTensor * var, GradTensor * y,
      GradTensor * places, GError ** error);
  /* dy: (N, C, OH, OW); the rest as in backward */
  gboolean (*backward_pool) (GradPlan * plan, const GradTensor * x, const GradTensor * places,
      const GradTensor * dy, const GradTensor * gamma, const GradTensor * mean,
      const GradTensor * var, GradTensor * dx, GradTensor * dgamma, GradTensor * dbeta,
      gboolean accumulate, GError ** error);
  /* In their order. measured, nullable: of the step's gradient (optim.h); when its scale is not a number, nothing is changed */
  gboolean (*update_running) (GradDevice * device, const GradNormRunning * list, guint n,
      const GradTensor * measured, GError ** error);
  gboolean (*fold) (GradDevice * device, const GradNormFold * fold, GError ** error);
} GradNormOps;

#define GRAD_NORM_POOL_MAX_KERNEL 15    /* places in a window are bytes, one value of which means cut by the ReLU */

/* The pooling behind the norm, if any; FALSE where forward_pool and backward_pool cannot do it. In norm-ref.c, for all backends
 * that have them. */
GRAD_API gboolean grad_norm_desc_pool (const GradNormDesc * desc, GradPoolDesc * pool,
    GError ** error);

extern const GradNormOps grad_norm_ref_ops;
extern const GradNormOps grad_norm_cpu_ops;
extern const GradNormOps grad_norm_cuda_ops;
