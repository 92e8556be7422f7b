/* GradStreamer kernels: optimizers, reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors of any shape, dense doubles. value, m, v, average are updated; deterministic. */
#define GRAD_REAL gdouble
#include "optim-body.h"

/* FALSE: nothing is to be changed */
static gboolean
get_scale (const GradOptimStep * step, gdouble * scale)
{
  *scale = step->measured ? ((gdouble *) grad_tensor_data (step->measured))[1] : 1;
  return grad_is_finite (*scale);
}

static void
average (const GradOptimTensor * tensor, gsize i, gdouble value, const GradOptimStep * step)
{
  if (tensor->average != NULL)
    grad_average_element ((gdouble *) grad_tensor_data (tensor->average) + i, value, step->decay);
}

static gboolean
adam (GradDevice * device, GradOptimTensor * tensors, guint n_tensors,
    const GradAdamArgs * args, const GradOptimStep * step, GError ** error)
{
  gdouble scale;

  for (guint t = 0; get_scale (step, &scale) && t < n_tensors; t++) {
    gsize n = grad_shape_n_elements (&tensors[t].value->shape);
    gdouble *value = grad_tensor_data (tensors[t].value);
    gdouble *m = grad_tensor_data (tensors[t].m), *v = grad_tensor_data (tensors[t].v);
    const gdouble *grad = grad_tensor_data (tensors[t].grad);
    GradAdamStep s = grad_adam_step (args, step, tensors[t].number);

    grad_adam_rescale (&s, scale, tensors[t].rate_scale);
    for (gsize i = 0; i < n; i++) {
      grad_adam_element (&value[i], &m[i], &v[i], grad[i], &s);
      average (&tensors[t], i, value[i], step);
    }
  }
  return TRUE;
}

static gboolean
sgd (GradDevice * device, GradOptimTensor * tensors, guint n_tensors,
    const GradSgdArgs * args, const GradOptimStep * step, GError ** error)
{
  gdouble scale;

  for (guint t = 0; get_scale (step, &scale) && t < n_tensors; t++) {
    gsize n = grad_shape_n_elements (&tensors[t].value->shape);
    gdouble *value = grad_tensor_data (tensors[t].value);
    gdouble *m = tensors[t].m ? grad_tensor_data (tensors[t].m) : NULL;
    const gdouble *grad = grad_tensor_data (tensors[t].grad);
    GradSgdStep s = grad_sgd_step (args, step);

    grad_sgd_rescale (&s, scale, tensors[t].rate_scale);
    for (gsize i = 0; i < n; i++) {
      gdouble none = 0;

      grad_sgd_element (&value[i], m ? &m[i] : &none, grad[i], &s);
      average (&tensors[t], i, value[i], step);
    }
  }
  return TRUE;
}

static gboolean
measure (GradDevice * device, const GradOptimTensor * tensors, guint n_tensors,
    const GradMeasureArgs * args, GradTensor * result, GError ** error)
{
  gdouble all = 0;
  guint bad = 0;

  for (guint t = 0; t < n_tensors; t++) {
    gsize n = grad_shape_n_elements (&tensors[t].grad->shape);
    const gdouble *grad = grad_tensor_data (tensors[t].grad);
    gdouble sum = 0;

    for (gsize i = 0; i < n; i++)
      sum += grad[i] * grad[i];
    all += sum;
    bad = grad_is_finite (sum) ? bad : t + 1;
  }
  grad_measure_result (all, bad, args->mean, args->max_norm,
      args->before ? grad_tensor_data (args->before) : NULL, grad_tensor_data (result));
  return TRUE;
}

const GradOptimOps grad_optim_ref_ops = {
  .adam = adam,
  .sgd = sgd,
  .measure = measure,
};
