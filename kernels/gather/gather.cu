/* GradStreamer kernels: samples of a data set that lies on the device, cuda
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * set, y: rows of bytes. Each byte is read and written once, 16 at a time where rows are aligned: 256 pictures of 28x28 are 0.4 MB.
 * Indices go as kernel parameters, as labels do in loss.cu. Not run on a GPU. */
#include "kernels/cuda.h"

#include <string.h>

#define THREADS 64              /* of 16 bytes: a picture of 32x32 */
#define MAX_ROWS 960            /* in one launch */

struct Indices
{
  guint32 of_row[MAX_ROWS];
};

static_assert (sizeof (Indices) <= 4000, "older drivers pass no more than 4096 bytes to a kernel");

/* A block for each row, of `size` Ts */
template < class T > static __global__ void __launch_bounds__ (THREADS)
rows_kernel (const Indices indices, const T * __restrict__ set, T * __restrict__ y, unsigned size)
{
  set += (gsize) indices.of_row[blockIdx.x] * size;
  y += (gsize) blockIdx.x * size;
#pragma unroll 4
  for (unsigned i = threadIdx.x; i < size; i += THREADS)
    y[i] = set[i];
}

template < class T > static gboolean
run (GradDevice * device, const GradTensor * set, const guint32 * indices, GradTensor * y, gsize size, GError ** error)
{
  int n = y->shape.dims[0];

  for (int first = 0; first < n; first += MAX_ROWS) {
    int rows = MIN (n - first, MAX_ROWS);
    Indices those;

    memcpy (those.of_row, indices + first, rows * sizeof *indices);
    GRAD_CUDA_LAUNCH (device, "reading samples", error, rows, THREADS, (rows_kernel < T >), those,
        grad_cuda_data < const T > (set), grad_cuda_data < T > (y) + first * (size / sizeof (T)), size / sizeof (T));
  }
  return TRUE;
}

static gboolean
samples (GradDevice * device, const GradTensor * set, const guint32 * indices, GradTensor * y, GError ** error)
{
  gsize size = grad_shape_n_elements (&y->shape) / y->shape.dims[0];

  return size % sizeof (uint4) == 0 ? run < uint4 > (device, set, indices, y, size, error)
      : run < guint8 > (device, set, indices, y, size, error);
}

extern "C" const GradGatherOps grad_gather_cuda_ops = {
  .samples = samples,
};
