/* GradStreamer kernels: 2D convolution on the cpu device, by oneDNN
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, I, IH, IW), y, dy, residual: (N, O, OH, OW), in the device's layout
 *   w, dw: (O, I, kernel, kernel), b, db: (O), plain; w is reordered, to bfloat16 as well where
 *   that is multiplied, at every call
 *   (where oneDNN has no fast code for the device's layout, as from 24 channels to 32, it also
 *   reorders activations)
 *   y =, dx =, dw = or +=, db = or +=
 *
 * Deterministic for a given number of threads: on it depends the order in which oneDNN sums weight
 * and bias gradients over samples. */
#include "kernels/onednn.h"

#include <string.h>

typedef struct
{
  GradPlan base;
  gboolean add;
  gsize y_size;                 /* bytes */
  GradOnednn *forward, *backward_data, *backward_weights;       /* the latter may be NULL */
} Plan;

/* In which type products are made; sums, biases and what becomes of weights are float anyway. */
static void
multiply_in (GradOnednnDesc * desc, gboolean bf16)
{
  desc->tensors[GRAD_ONEDNN_SRC].bf16 = desc->tensors[GRAD_ONEDNN_DST].bf16 = bf16;
  desc->tensors[GRAD_ONEDNN_WEIGHTS].bf16 = bf16 && desc->direction != dnnl_backward_weights;
}

/* Winograd multiplies 2.25 to 4 times less and loses about one decimal digit. oneDNN 2.x has it
 * behind `auto`, for 3x3 kernels of stride 1; 3.x has it no more and takes `auto` for direct. It
 * computes tiles of 4x4 outputs and transforms the weights at every call, which pays only with many
 * tiles: measured with AVX-512, 64 to 512 channels and batches of 1 to 256, from about these on. Of
 * a 2x2 output it would compute 16 values for 4 that count: no multiplication is saved. */
static dnnl_alg_kind_t
algorithm (const GradConvDesc * d, dnnl_prop_kind_t direction)
{
  gsize n_tiles = (gsize) d->n * ((d->oh + 3) / 4) * ((d->ow + 3) / 4);

  return d->oh * d->ow > 4 && n_tiles >= (direction == dnnl_backward_weights ? 64 : 128)
      ? dnnl_convolution_auto : dnnl_convolution_direct;
}

static void
conv_free (GradPlan * base)
{
  Plan *plan = (Plan *) base;

  grad_onednn_free (plan->forward);
  grad_onednn_free (plan->backward_data);
  grad_onednn_free (plan->backward_weights);
  g_free (plan);
}

static gboolean
conv_supports (GradDevice * device, const GradConvDesc * d)
{
  return grad_conv_desc_check (d, NULL);
}

static GradPlan *
conv_plan (GradDevice * device, const GradConvDesc * d, GError ** error)
{
  GradShape x = GRAD_SHAPE (d->n, d->ic, d->ih, d->iw), y = GRAD_SHAPE (d->n, d->oc, d->oh, d->ow);
  GradOnednnDesc desc = {
    .kind = dnnl_convolution,
    /* also for inference: there Winograd wants its weights transformed by a slow reorder */
    .direction = dnnl_forward_training,
    .algorithm = algorithm (d, dnnl_forward_training),
    .tensors = {
          [GRAD_ONEDNN_SRC] = grad_onednn_activation (device, x),
          [GRAD_ONEDNN_WEIGHTS] =
          grad_onednn_parameter (GRAD_SHAPE (d->oc, d->ic, d->kernel, d->kernel)),
          [GRAD_ONEDNN_DST] = grad_onednn_activation (device, y),
        },
    .kernel = d->kernel,.stride = d->stride,.padding = d->padding,
    .add = d->add,.relu = d->relu,
  };
  /* as soon as one end is stored so */
  gboolean bf16 = desc.tensors[GRAD_ONEDNN_SRC].bf16 || desc.tensors[GRAD_ONEDNN_DST].bf16;
  Plan *plan;

  if (!grad_conv_desc_check (d, error))
    return NULL;
  if (d->bias)
    desc.tensors[GRAD_ONEDNN_BIAS] = grad_onednn_parameter (GRAD_SHAPE (d->oc));
  plan = g_new0 (Plan, 1);
  plan->base = (GradPlan) {.device = device,.free = conv_free };
  plan->add = d->add;
  plan->y_size = GRAD_DEVICE_GET_CLASS (device)->storage_size (device, GRAD_DTYPE_FLOAT32, &y,
      desc.tensors[GRAD_ONEDNN_DST].layout);
  multiply_in (&desc, bf16);
  plan->forward = grad_onednn_new (device, &desc, NULL, error);
  if (plan->forward != NULL && grad_conv_desc_has_backward (d)) {
    desc.direction = dnnl_backward_weights;
    desc.algorithm = algorithm (d, dnnl_backward_weights);
    multiply_in (&desc, bf16);
    plan->backward_weights = grad_onednn_new (device, &desc, plan->forward, error);
    desc.direction = dnnl_backward_data;
    desc.algorithm = algorithm (d, dnnl_backward_data);
    multiply_in (&desc, bf16);
    desc.tensors[GRAD_ONEDNN_BIAS] = (GradOnednnTensor) { 0 };
    if (plan->backward_weights != NULL)
      plan->backward_data = grad_onednn_new (device, &desc, plan->forward, error);
  }
  if (plan->forward == NULL || (grad_conv_desc_has_backward (d) && plan->backward_data == NULL)) {
    conv_free (&plan->base);
    return NULL;
  }
  return &plan->base;
}

static void
copy (guint8 * to, const guint8 * from, gsize size)
{
  const gsize piece = 64 << 10;

#pragma omp parallel for schedule(static)
  for (gsize i = 0; i < size; i += piece)
    memcpy (to + i, from + i, MIN (piece, size - i));
}

static gboolean
conv_forward (GradPlan * base, const GradTensor * x, const GradTensor * w, const GradTensor * b,
    const GradTensor * residual, GradTensor * y, GError ** error)
{
  Plan *plan = (Plan *) base;
  const GradTensor *tensors[GRAD_ONEDNN_N_SLOTS] = { x, w, b, y };

  if (plan->add && residual != y)
    copy (grad_tensor_data (y), grad_tensor_data (residual), plan->y_size);
  return grad_onednn_run (plan->forward, tensors, FALSE, error);
}

static gboolean
conv_backward_data (GradPlan * base, const GradTensor * dy, const GradTensor * w, GradTensor * dx,
    GError ** error)
{
  Plan *plan = (Plan *) base;
  const GradTensor *tensors[GRAD_ONEDNN_N_SLOTS] = { dx, w, NULL, dy };

  return grad_conv_check_backward (plan->backward_data != NULL, error)
      && grad_onednn_run (plan->backward_data, tensors, FALSE, error);
}

static gboolean
conv_backward_weights (GradPlan * base, const GradTensor * x, const GradTensor * dy,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  Plan *plan = (Plan *) base;
  const GradTensor *tensors[GRAD_ONEDNN_N_SLOTS] = { x, dw, db, dy };

  return grad_conv_check_backward (plan->backward_weights != NULL, error)
      && grad_onednn_run (plan->backward_weights, tensors, accumulate, error);
}

const GradConvOps grad_conv_onednn_ops = {
  .supports = conv_supports,
  .plan = conv_plan,
  .forward = conv_forward,
  .backward_data = conv_backward_data,
  .backward_weights = conv_backward_weights,
};
