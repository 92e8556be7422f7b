/* GradStreamer kernels: element by element, reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors of any one shape, dense doubles. All outputs =, in place or not; deterministic. */
#define GRAD_REAL gdouble
#include "elementwise-body.h"
#include "kernels/kernels.h"

#include <string.h>

static gboolean
add (GradDevice * device, const GradTensor * a, const GradTensor * b, GradTensor * y,
    GError ** error)
{
  gsize n = grad_shape_n_elements (&y->shape);
  const gdouble *as = grad_tensor_data (a), *bs = grad_tensor_data (b);
  gdouble *ys = grad_tensor_data (y);

  for (gsize i = 0; i < n; i++)
    ys[i] = as[i] + bs[i];
  return TRUE;
}

static gboolean
relu (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error)
{
  gsize n = grad_shape_n_elements (&y->shape);
  const gdouble *xs = grad_tensor_data (x);
  gdouble *ys = grad_tensor_data (y);

  for (gsize i = 0; i < n; i++)
    ys[i] = grad_relu (xs[i]);
  return TRUE;
}

static gboolean
relu_backward (GradDevice * device, const GradTensor * y, const GradTensor * dy, GradTensor * dx,
    GError ** error)
{
  gsize n = grad_shape_n_elements (&dx->shape);
  const gdouble *ys = grad_tensor_data (y), *dys = grad_tensor_data (dy);
  gdouble *dxs = grad_tensor_data (dx);

  for (gsize i = 0; i < n; i++)
    dxs[i] = grad_relu_backward (ys[i], dys[i]);
  return TRUE;
}

gboolean
grad_elementwise_host_copy (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error)
{
  memcpy (grad_tensor_data (y), grad_tensor_data (x), GRAD_DEVICE_GET_CLASS (device)->storage_size
      (device, y->dtype, &y->shape, y->layout));
  return TRUE;
}

gboolean
grad_elementwise_host_zero (GradDevice * device, GradTensor * y, GError ** error)
{
  memset (grad_tensor_data (y), 0, GRAD_DEVICE_GET_CLASS (device)->storage_size (device, y->dtype,
          &y->shape, y->layout));
  return TRUE;
}

const GradElementwiseOps grad_elementwise_ref_ops = {
  .add = add,
  .relu = relu,
  .relu_backward = relu_backward,
  .copy = grad_elementwise_host_copy,
  .zero = grad_elementwise_host_zero,
};
