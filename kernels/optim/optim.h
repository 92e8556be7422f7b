/* GradStreamer kernels: optimizers, all parameters of a network in one call
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

/* One parameter: tensors of one shape and layout. */
typedef struct
{
  GradTensor *value, *m, *v;    /* updated; v: Adam's alone, m: NULL for SGD without momentum */
  GradTensor *average;          /* updated; NULL for none */
  const GradTensor *grad;
  gdouble rate_scale;           /* of the learning rate */
  guint64 number;               /* of its update, from 1; for Adam */
  GQuark kept;                  /* (out): the form in which value was kept, and is as up to date as before (kept.h); 0: none */
} GradOptimTensor;

/* What any update does, with grad = scale grad and the learning rate times the tensor's rate_scale:
 *   scale: measured[1], or 1 without; when that is not a number, nothing at all is changed
 *   average = decay average + (1 - decay) value, after the update */
typedef struct
{
  gdouble learning_rate, decay;
  const GradTensor *measured;   /* nullable: result of measure */
} GradOptimStep;

/* Kingma and Ba, "Adam", 2015, as PyTorch's Adam computes it:
 *   g = grad + weight_decay value;  m += (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g g
 *   value -= learning_rate / (1 - beta1^number) m / (sqrt (v) / sqrt (1 - beta2^number) + epsilon)
 * decoupled, as its AdamW (Loshchilov and Hutter, 2019): instead of what g has of it, first of all
 *   value -= learning_rate weight_decay value */
typedef struct
{
  gdouble beta1, beta2, epsilon, weight_decay;
  gboolean decoupled;
} GradAdamArgs;

/* As PyTorch's SGD without dampening (Sutskever and others, 2013):
 *   g = grad + weight_decay value;  m = momentum m + g
 *   value -= learning_rate (nesterov ? g + momentum m : m) */
typedef struct
{
  gdouble momentum, weight_decay;
  gboolean nesterov;
} GradSgdArgs;

/* With norm = mean sqrt (sum of the squares of all elements of all gradients), summed up in double:
 *   result[0] = norm
 *   result[1] = mean min (1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_(), the
 *     minimum being 1 when max_norm is 0; not a number if a gradient is not finite, or before[1] is none
 *   result[2] = number, from 1, of the last gradient that is not finite, or 0 */
typedef struct
{
  gdouble mean, max_norm;
  const GradTensor *before;     /* nullable: an earlier result */
} GradMeasureArgs;

#define GRAD_MEASURE_SIZE (3 * sizeof (gdouble))

typedef struct
{
  gboolean (*adam) (GradDevice * device, GradOptimTensor * tensors, guint n_tensors,
      const GradAdamArgs * args, const GradOptimStep * step, GError ** error);
  gboolean (*sgd) (GradDevice * device, GradOptimTensor * tensors, guint n_tensors,
      const GradSgdArgs * args, const GradOptimStep * step, GError ** error);
  /* Of the tensors only grad is looked at. result: three doubles in a plain uint8 tensor
   * (GRAD_MEASURE_SIZE), so that nobody has to wait for them. */
  gboolean (*measure) (GradDevice * device, const GradOptimTensor * tensors, guint n_tensors,
      const GradMeasureArgs * args, GradTensor * result, GError ** error);
} GradOptimOps;

extern const GradOptimOps grad_optim_ref_ops;
extern const GradOptimOps grad_optim_cpu_ops;
extern const GradOptimOps grad_optim_cuda_ops;
