/* GradStreamer: what a unit computes with
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../model/gradparameter-private.h"
#include "gradunit-private.h"

void
grad_unit_add_to_key (GradUnit * unit, GArray * key)
{
  for (guint i = 0; i < grad_unit_get_n_parameters (unit); i++) {
    const GradParameter *p = grad_unit_get_parameter (unit, i);

    grad_key_add (key, p->value ? (gsize) grad_tensor_data (p->value) : 0);
    grad_key_add (key, p->grad ? (gsize) grad_tensor_data (p->grad) : 0);
  }
}

void
grad_unit_hold_parameters (GradUnit * unit, GradRun * run)
{
  for (guint i = 0; i < grad_unit_get_n_parameters (unit); i++) {
    const GradParameter *p = grad_unit_get_parameter (unit, i);

    if (p->value != NULL)
      grad_run_hold (run, p->value);
    if (p->grad != NULL)
      grad_run_hold (run, p->grad);
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
