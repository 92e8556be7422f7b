/* GradStreamer kernels: element by element, cuda
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors of any one shape and layout. All outputs =, in place or not; deterministic.
 * Memory bound: 16 bytes per thread and access. */
#define GRAD_REAL float
#include "kernels/cuda.h"
#include "elementwise-body.h"

#define THREADS 256

struct Add
{
  static __device__ __forceinline__ float apply (float a, float b) { return a + b; }
};
struct Relu
{
  static __device__ __forceinline__ float apply (float x, float) { return grad_relu (x); }
};
struct ReluBackward
{
  static __device__ __forceinline__ float apply (float y, float dy) { return grad_relu_backward (y, dy); }
};

/* y may be a or b; b is not read when it is NULL */
template < class Op, class T > __global__ void
elementwise_kernel (const T * a, const T * b, T * y, gsize n)
{
  const int V = GradWidth < T >::value;
  gsize i = ((gsize) blockIdx.x * THREADS + threadIdx.x) * V;
  float as[V], bs[V];

  if (i + V <= n) {
    grad_load_vector < V > (a + i, as);
    if (b != NULL)
      grad_load_vector < V > (b + i, bs);
#pragma unroll
    for (int k = 0; k < V; k++)
      as[k] = Op::apply (as[k], b ? bs[k] : 0);
    grad_store_vector < V > (y + i, as);
  } else
    for (; i < n; i++)
      grad_store (y + i, Op::apply (grad_load (a + i), b ? grad_load (b + i) : 0));
}

template < class Op, class T > static gboolean
run_typed (GradDevice * device, const GradTensor * a, const GradTensor * b, GradTensor * y,
    GError ** error)
{
  gsize n = grad_shape_n_elements (&y->shape);

  GRAD_CUDA_LAUNCH (device, "elementwise", error, grad_cuda_blocks (n, THREADS * GradWidth < T >::value),
      THREADS, (elementwise_kernel < Op, T >), grad_cuda_data < const T > (a),
      grad_cuda_data < const T > (b), grad_cuda_data < T > (y), n);
  return TRUE;
}

template < class Op > static gboolean
run (GradDevice * device, const GradTensor * a, const GradTensor * b, GradTensor * y,
    GError ** error)
{
  return y->layout == GRAD_CUDA_NHWC_BF16 ? run_typed < Op, __nv_bfloat16 > (device, a, b, y, error)
      : run_typed < Op, float >(device, a, b, y, error);
}

static gboolean
add (GradDevice * device, const GradTensor * a, const GradTensor * b, GradTensor * y,
    GError ** error)
{
  return run < Add > (device, a, b, y, error);
}

static gboolean
relu (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error)
{
  return run < Relu > (device, x, NULL, y, error);
}

static gboolean
relu_backward (GradDevice * device, const GradTensor * y, const GradTensor * dy, GradTensor * dx,
    GError ** error)
{
  return run < ReluBackward > (device, y, dy, dx, error);
}

static gboolean
copy (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error)
{
  return grad_cuda_check (device, cudaMemcpyAsync (grad_tensor_data (y), grad_tensor_data (x),
          GRAD_DEVICE_GET_CLASS (device)->storage_size (device, y->dtype, &y->shape, y->layout),
          cudaMemcpyDeviceToDevice, grad_cuda_device_stream (device)), "copy", error);
}

static gboolean
zero (GradDevice * device, GradTensor * y, GError ** error)
{
  return grad_cuda_check (device, cudaMemsetAsync (grad_tensor_data (y), 0,
          GRAD_DEVICE_GET_CLASS (device)->storage_size (device, y->dtype, &y->shape, y->layout),
          grad_cuda_device_stream (device)), "zero", error);
}

extern "C" const GradElementwiseOps grad_elementwise_cuda_ops = {
  .add = add,
  .relu = relu,
  .relu_backward = relu_backward,
  .copy = copy,
  .zero = zero,
};
