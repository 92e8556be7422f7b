/* GradStreamer kernels: augmentation of uint8 pictures, cuda
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * =; deterministic, bit for bit what the cpu makes. Runs in its caller's thread. A thread makes a pixel, all channels
 * of it; its neighbours read what it reads. Each byte is read and written once: 256 pictures of 28x28 take hardly more than the launch. Not
 * measured. */
#include "kernels/cuda.h"
#include "augment-body.h"

#define THREADS 256

__global__ void
__launch_bounds__ (THREADS)
augment_kernel (const guint8 * x, const GradAugmentMap * maps, guint8 * y, int c, int h, int w)
{
  unsigned plane = (unsigned) h * w, blocks = (plane + THREADS - 1) / THREADS;
  unsigned sample = blockIdx.x / blocks, i = blockIdx.x % blocks * THREADS + threadIdx.x;
  int row = i / w, column = i % w;
  const GradAugmentMap & m = maps[sample];
  gint64 u = m.u[0] * column + m.u[1] * row + m.u[2], v = m.v[0] * column + m.v[1] * row + m.v[2];
  bool erased = column >= m.left && column < m.right && row >= m.top && row < m.bottom;

  if (i >= plane)
    return;
  x += (gsize) sample * c * plane;
  y += (gsize) sample * c * plane + i;
  for (int k = 0; k < c; k++, x += plane, y += plane)
    *y = erased ? 0 : grad_augment_pixel (x, h, w, u, v);
}

static gboolean
launch (GradDevice * device, const GradTensor * x, const GradTensor * maps, GradTensor * y,
    GError ** error)
{
  const gint *dims = x->shape.dims;
  unsigned blocks = grad_cuda_blocks ((gsize) dims[2] * dims[3], THREADS);

  GRAD_CUDA_LAUNCH (device, "augmentation", error, dims[0] * blocks, THREADS, augment_kernel,
      grad_cuda_data < const guint8 > (x), grad_cuda_data < const GradAugmentMap > (maps),
      grad_cuda_data < guint8 > (y), dims[1], dims[2], dims[3]);
  return TRUE;
}

static gboolean
run (GradDevice * device, const GradTensor * x, const GradAugmentMap * maps, GradTensor * y,
    GError ** error)
{
  gsize size = x->shape.dims[0] * sizeof *maps;
  GradShape shape = { 1, {(gint) size} };
  GradTensor *uploaded = grad_tensor_new_plain (device, GRAD_DTYPE_UINT8, &shape, error);
  gboolean ok;

  if (uploaded == NULL)
    return FALSE;
  ok = grad_tensor_upload (uploaded, maps, size, error)
      && launch (device, x, uploaded, y, error);
  grad_tensor_unref (uploaded);
  return ok;
}

extern "C" const GradAugmentOps grad_augment_cuda_ops = {
  .run = run,
};
