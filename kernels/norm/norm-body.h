/* GradStreamer kernels: batch normalisation of one element, and what it takes per channel
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/body.h"

/* y, before residual and ReLU */
GRAD_BODY GRAD_REAL
grad_norm_forward (GRAD_REAL x, GRAD_REAL mean, GRAD_REAL scale, GRAD_REAL shift)
{
#ifdef __CUDA_ARCH__
  return fmaf (x - mean, scale, shift); /* in every kernel the same, whatever the compiler makes of them */
#else
  return (x - mean) * scale + shift;
#endif
}

GRAD_BODY GRAD_REAL
grad_norm_backward (GRAD_REAL dz, GRAD_REAL x, GRAD_REAL mean, GRAD_REAL scale, GRAD_REAL slope,
    GRAD_REAL shift)
{
  return scale * dz + (slope * (x - mean) + shift);
}

GRAD_BODY GRAD_REAL
grad_norm_scale (GRAD_REAL gamma, GRAD_REAL var, GRAD_REAL eps)
{
  return gamma / sqrt (var + eps);
}

/* Of a convolution whose weights are multiplied by scale */
GRAD_BODY GRAD_REAL
grad_norm_folded_bias (GRAD_REAL scale, GRAD_REAL bias, GRAD_REAL beta, GRAD_REAL mean)
{
  return beta + scale * (bias - mean);
}

/* For grad_norm_forward(); what rounding the mean loses goes into shift */
GRAD_BODY void
grad_norm_affine (gdouble mean, gdouble var, gdouble eps, GRAD_REAL gamma, GRAD_REAL beta,
    GRAD_REAL * rounded_mean, GRAD_REAL * scale, GRAD_REAL * shift)
{
  gdouble s = gamma / sqrt (var + eps);

  *rounded_mean = (GRAD_REAL) mean;
  *scale = (GRAD_REAL) s;
  *shift = (GRAD_REAL) (beta - s * (mean - *rounded_mean));
}

/* For grad_norm_backward(), and the parameters' gradients, from the sums of dz and dz (x - mean) */
GRAD_BODY void
grad_norm_gradient (gdouble sum_dz, gdouble sum_dz_x, gdouble count, gdouble var, gdouble eps,
    GRAD_REAL gamma, gboolean accumulate, GRAD_REAL * dgamma, GRAD_REAL * dbeta, GRAD_REAL * scale,
    GRAD_REAL * slope, GRAD_REAL * shift)
{
  gdouble inv = 1 / sqrt (var + eps), s = gamma * inv, sum_dz_xhat = sum_dz_x * inv;

  *dgamma = (GRAD_REAL) (sum_dz_xhat + (accumulate ? *dgamma : 0));
  *dbeta = (GRAD_REAL) (sum_dz + (accumulate ? *dbeta : 0));
  *scale = (GRAD_REAL) s;
  *slope = (GRAD_REAL) (-s * inv * sum_dz_xhat / count);
  *shift = (GRAD_REAL) (-s * sum_dz / count);
}

/* running_mean and running_var after a batch of `count` values; offset is added to its mean. One value says nothing of a variance:
 * PyTorch refuses it, here it leaves both as they are. */
GRAD_BODY void
grad_norm_running (GRAD_REAL mean, GRAD_REAL var, GRAD_REAL offset, gdouble count,
    GRAD_REAL momentum, GRAD_REAL * running_mean, GRAD_REAL * running_var)
{
  GRAD_REAL unbiased = (GRAD_REAL) (count / (count - 1));

  if (count <= 1)
    return;
  *running_mean += momentum * (mean + offset - *running_mean);
  *running_var += momentum * (var * unbiased - *running_var);
}
