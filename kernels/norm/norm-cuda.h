/* GradStreamer kernels: batch normalisation, cuda: what forward and backward have in common
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each reduces two sums per channel: blocks add their rows, write partial sums (parts, 2, C), and a kernel of few threads
 * adds those. */
#pragma once

#define GRAD_REAL float
#include "kernels/cuda-rows.h"
#include "kernels/elementwise/elementwise-body.h"
#include "norm-body.h"

#define FINISH_CHANNELS 4       /* a sector of doubles */

typedef struct
{
  GradPlan plan;
  GradNormDesc desc;
  GradPoolDesc pool;            /* behind it, if any */
} CudaPlan;

/* mean, var and affine, (2, C): scale and shift of grad_norm_forward(); in norm.cu */
gboolean grad_norm_cuda_statistics (GradDevice * device, const GradNormDesc * d, const GradTensor * x,
    const GradTensor * gamma, const GradTensor * beta, GradTensor * mean, GradTensor * var, float *affine,
    GError ** error);

/* From partial sums of dz and dz (x - mean): dgamma, dbeta and gradient, (3, C): scale, slope and shift of
 * grad_norm_backward(); in norm-backward.cu */
gboolean grad_norm_cuda_gradients (GradDevice * device, const GradNormDesc * d, const float *partials,
    unsigned parts, const GradTensor * gamma, const GradTensor * var, gboolean accumulate,
    GradTensor * dgamma, GradTensor * dbeta, float *gradient, GError ** error);

gboolean grad_norm_cuda_backward (GradPlan * plan, const GradTensor * x, const GradTensor * y,
    const GradTensor * dy, const GradTensor * gamma, const GradTensor * mean, const GradTensor * var,
    GradTensor * dx, GradTensor * dresidual, GradTensor * dgamma, GradTensor * dbeta,
    gboolean accumulate, GError ** error);

gboolean grad_norm_cuda_forward_pool (GradPlan * plan, const GradTensor * x, const GradTensor * gamma,
    const GradTensor * beta, GradTensor * mean, GradTensor * var, GradTensor * y, GradTensor * places,
    GError ** error);
gboolean grad_norm_cuda_backward_pool (GradPlan * plan, const GradTensor * x, const GradTensor * places,
    const GradTensor * dy, const GradTensor * gamma, const GradTensor * mean, const GradTensor * var,
    GradTensor * dx, GradTensor * dgamma, GradTensor * dbeta, gboolean accumulate, GError ** error);

static inline gsize
rows_of (const GradNormDesc * d)
{
  return (gsize) d->n * d->h * d->w;
}

/* The coefficients of grad_norm_backward(): means (C), gradient (3, C) */
template < int V > static __device__ __forceinline__ void
load_gradient (const float *means, const float *gradient, int channels, int channel, float *mean, float *scale,
    float *slope, float *shift)
{
  grad_rows_parameters < V > (means + channel, mean);
  grad_rows_parameters < V > (gradient + channel, scale);
  grad_rows_parameters < V > (gradient + channels + channel, slope);
  grad_rows_parameters < V > (gradient + 2 * channels + channel, shift);
}

/* The threads of all rows have sums of V channels, and of V channels more. */
template < int V, class Real > static __device__ void
write_partials (Real * partials, const GradRows & m, int channel, Real * totals)
{
  Real *to = partials + (gsize) (blockIdx.x / m.chunks) * 2 * m.channels + channel;

  grad_rows_sum < 2 * V > (totals);
  if (threadIdx.y == 0)
    for (int v = 0; v < V; v++) {
      to[v] = totals[v];
      to[m.channels + v] = totals[V + v];
    }
}

/* The two sums of a channel, in the threads of row 0 */
template < class Real > static __device__ void
add_partials (const Real * partials, int parts, int channels, int channel, double *totals)
{
  totals[0] = totals[1] = 0;
#pragma unroll 4
  for (int p = threadIdx.y; p < parts; p += blockDim.y) {
    totals[0] += partials[(gsize) p * 2 * channels + channel];
    totals[1] += partials[((gsize) p * 2 + 1) * channels + channel];
  }
  grad_rows_sum < 2 > (totals);
}

static inline dim3
finish_block (int parts)
{
  return dim3 (FINISH_CHANNELS, MIN (parts, GRAD_ROWS_THREADS / FINISH_CHANNELS));
}
