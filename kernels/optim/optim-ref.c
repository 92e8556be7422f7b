/* GradStreamer kernels: optimizers, reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors of any shape, dense doubles. value, m, v are updated; deterministic. */
#define GRAD_REAL gdouble
#include "optim-body.h"

static gboolean
adam (GradDevice * device, const GradAdamTensor * tensors, guint n_tensors,
    const GradAdamArgs * args, GError ** error)
{
  GradAdamStep step = grad_adam_step (args);

  for (guint t = 0; t < n_tensors; t++) {
    gsize n = grad_shape_n_elements (&tensors[t].value->shape);
    gdouble *value = grad_tensor_data (tensors[t].value);
    gdouble *m = grad_tensor_data (tensors[t].m), *v = grad_tensor_data (tensors[t].v);
    const gdouble *grad = grad_tensor_data (tensors[t].grad);

    for (gsize i = 0; i < n; i++)
      grad_adam_element (&value[i], &m[i], &v[i], grad[i], &step);
  }
  return TRUE;
}

const GradOptimOps grad_optim_ref_ops = {
  .adam = adam,
};
