/* GradStreamer: max pooling, for units that end with it or are nothing else
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradpooling-private.h"

gboolean
grad_pooling_infer_shape (const GradPooling * self, const GradShape * in, GradShape * out,
    GError ** error)
{
  if (in->rank != 4 || MIN (in->dims[2], in->dims[3]) + 2 * self->padding < self->kernel) {
    g_autofree gchar *text = grad_shape_to_string (in);
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "max pooling: got %s, expected pictures "
        "(N, C, H, W) of at least %d rows and columns", text,
        MAX (1, self->kernel - 2 * self->padding));
    return FALSE;
  }
  *out = GRAD_SHAPE (in->dims[0], in->dims[1],
      (in->dims[2] + 2 * self->padding - self->kernel) / self->stride + 1,
      (in->dims[3] + 2 * self->padding - self->kernel) / self->stride + 1);
  return TRUE;
}

GradPlan *
grad_pooling_plan (const GradPooling * self, GradDevice * device, const GradShape * in,
    const GradShape * out, GError ** error)
{
  GradPoolDesc desc = {
    .n = in->dims[0],.c = in->dims[1],.ih = in->dims[2],.iw = in->dims[3],
    .oh = out->dims[2],.ow = out->dims[3],
    .kernel = self->kernel,.stride = self->stride,.padding = self->padding
  };

  return grad_device_kernels (device)->pool->plan (device, &desc, error);
}

gboolean
grad_pooling_forward (GradPlan * plan, GradTensor * x, GradTensor * y, GradNode * node,
    guint slot, GError ** error)
{
  const GradPoolOps *ops = grad_device_kernels (plan->device)->pool;
  g_autoptr (GradTensor) workspace = NULL;

  if (node != NULL) {
    gint n = y->shape.dims[0];

    workspace = grad_tensor_new_plain (plan->device, GRAD_DTYPE_UINT8,
        &GRAD_SHAPE (n, ops->workspace_size (plan) / n), error);
    if (workspace == NULL)
      return FALSE;
    grad_node_save (node, slot, workspace);
  }
  return ops->forward (plan, x, y, workspace, error);
}

GradTensor *
grad_pooling_backward (GradPlan * plan, const GradShape * in, GradTensor * dy, GradNode * node,
    guint slot, GError ** error)
{
  g_autoptr (GradTensor) dx = grad_tensor_new (plan->device, GRAD_DTYPE_FLOAT32, in, error);

  return dx != NULL && grad_device_kernels (plan->device)->pool->backward (plan, dy,
      node->saved[slot], dx, error) ? g_steal_pointer (&dx) : NULL;
}
