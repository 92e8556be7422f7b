/* GradStreamer kernels: optimizers, all parameters of a network in one call
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

/* One parameter: four tensors of one shape and layout. */
typedef struct
{
  GradTensor *value, *m, *v;    /* updated */
  const GradTensor *grad;
} GradAdamTensor;

/* Kingma and Ba, "Adam", 2015, as PyTorch's Adam computes it:
 *   g = grad + weight_decay value;  m += (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g g
 *   value -= learning_rate / (1 - beta1^step) m / (sqrt (v) / sqrt (1 - beta2^step) + epsilon) */
typedef struct
{
  gdouble learning_rate, beta1, beta2, epsilon, weight_decay;
  guint64 step;                 /* from 1 */
} GradAdamArgs;

typedef struct
{
  gboolean (*adam) (GradDevice * device, const GradAdamTensor * tensors, guint n_tensors,
      const GradAdamArgs * args, GError ** error);
} GradOptimOps;

extern const GradOptimOps grad_optim_ref_ops;
extern const GradOptimOps grad_optim_cpu_ops;
extern const GradOptimOps grad_optim_cuda_ops;
