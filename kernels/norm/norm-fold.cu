/* GradStreamer kernels: a batch norm folded into the convolution in front of it, cuda
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reads and writes the weights once, after every change of them: 90 MB for ResNet-18, 21 µs at 4.3 TB/s. */
#define GRAD_REAL float
#include "kernels/cuda.h"

#define THREADS 256

gboolean grad_norm_cuda_fold (GradDevice * device, const GradNormFold * f, GError ** error);

/* One block per output channel */
__global__ void
fold_kernel (int size, float eps, const float *w, const float *b, const float *gamma,
    const float *beta, const float *mean, const float *var, float *wf, float *bf)
{
  int c = blockIdx.x;
  float scale = gamma[c] / sqrtf (var[c] + eps);

  for (int k = threadIdx.x; k < size; k += THREADS)
    wf[(gsize) c * size + k] = scale * w[(gsize) c * size + k];
  if (threadIdx.x == 0)
    bf[c] = beta[c] + scale * ((b ? b[c] : 0) - mean[c]);
}

gboolean
grad_norm_cuda_fold (GradDevice * device, const GradNormFold * f, GError ** error)
{
  int c = f->gamma->shape.dims[0], size = grad_shape_n_elements (&f->weight->shape) / c;

  GRAD_CUDA_LAUNCH (device, "folding a norm", error, c, THREADS, fold_kernel, size, f->eps,
      grad_cuda_data < const float >(f->weight), grad_cuda_data < const float >(f->bias),
      grad_cuda_data < const float >(f->gamma), grad_cuda_data < const float >(f->beta),
      grad_cuda_data < const float >(f->mean), grad_cuda_data < const float >(f->var),
      grad_cuda_data < float >(f->folded_weight), grad_cuda_data < float >(f->folded_bias));
  return TRUE;
}
