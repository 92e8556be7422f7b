/* GradStreamer: what a unit computes with
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../device/gradruns.h"
#include "../model/gradparameter-private.h"
#include "gradunit-private.h"

void
grad_unit_add_to_key (GradUnit * unit, GArray * key)
{
  for (guint i = 0; i < grad_unit_get_n_parameters (unit); i++) {
    GradTensor *value = grad_unit_get_parameter (unit, i)->value;

    grad_key_add (key, value ? (gsize) grad_tensor_data (value) : 0);
  }
}

void
grad_unit_use_values (GradUnit * unit, gboolean training)
{
  for (guint i = 0; i < grad_unit_get_n_parameters (unit); i++) {
    GradParameter *p = grad_unit_get_parameter (unit, i);

    if (p->own != NULL)
      grad_parameter_set_value (p, training ? p->own : p->average);
  }
}

gboolean
grad_unit_ensure_grad (GradUnit * unit, GradParameter * parameter, GError ** error)
{
  if (parameter->grad == NULL)
    parameter->grad = grad_tensor_new_parameter (grad_unit_get_device (unit), &parameter->shape, error);
  return parameter->grad != NULL;
}
