/* GradStreamer: backward of the unit of residual networks
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradconvunit-private.h"
#include "../model/gradparameter-private.h"
#include "../tensor/gradtensor-private.h"

/* Gradient at z from the one at what is not pooled yet, and the residual's: dz may be its storage. */
static GradTensor *
backward_to_z (GradConvUnit * self, GradDevice * device, GradNode * node, GradTensor * dy,
    GradTensor ** dresidual, gboolean accumulate, GError ** error)
{
  const GradKernels *kernels = grad_device_kernels (device);
  const ConvUnitPlan *plan = grad_node_get_plan (node);
  gboolean own = grad_tensor_is_exclusive (dy), norm = self->norm_name && !node->frozen;
  g_autoptr (GradTensor) masked = NULL;
  GradTensor *z = node->saved[SAVED_Z], *mean = node->saved[SAVED_MEAN];
  GradTensor *var = node->saved[SAVED_VAR];

  /* somewhere to put dy where y > 0; in place also if only the norm reads it, twice */
  if (self->relu && !plan->fused && (own || dresidual || !norm)) {
    masked = own ? grad_tensor_ref (dy)
        : grad_tensor_new (device, GRAD_DTYPE_FLOAT32, grad_tensor_get_shape (dy), error);
    if (masked == NULL)
      return NULL;
  }
  if (norm) {
    if (!grad_unit_ensure_grad (GRAD_UNIT (self), self->gamma, error)
        || !grad_unit_ensure_grad (GRAD_UNIT (self), self->beta, error)
        || !(plan->fused
            ? kernels->norm->backward_pool (plan->norm, z, node->saved[SAVED_PLACES], dy,
                self->gamma->value, mean, var, z, self->gamma->grad, self->beta->grad, accumulate,
                error)
            : kernels->norm->backward (plan->norm, z, node->saved[SAVED_Y], dy,
                self->gamma->value, mean, var, z, masked, self->gamma->grad, self->beta->grad,
                accumulate, error)))
      return NULL;
    if (dresidual)
      *dresidual = grad_tensor_ref (masked ? masked : dy);
    return grad_tensor_ref (z);
  }
  if (self->relu && !kernels->elementwise->relu_backward (device, node->saved[SAVED_Y], dy,
          masked, error))
    return NULL;
  if (dresidual)
    *dresidual = grad_tensor_ref (masked ? masked : dy);
  return grad_tensor_ref (masked ? masked : dy);
}

/* Gradients of x, unless dx is NULL, and of the parameters, unless it is frozen; w is what x was multiplied by. */
static gboolean
conv_backward (GradConvUnit * self, GradDevice * device, GradNode * node, GradTensor * dz, GradTensor * w, GradTensor * dx,
    gboolean accumulate, GError ** error)
{
  const GradConvOps *conv = grad_device_kernels (device)->conv;
  const ConvUnitPlan *plan = grad_node_get_plan (node);
  GradParameter *bias = self->norm_name ? NULL : self->bias;
  GradTensor *x = node->saved[SAVED_X], *dw, *db = NULL;

  if (node->frozen)
    return dx == NULL || conv->backward_data (plan->conv, dz, w, dx, error);
  if (!grad_unit_ensure_grad (GRAD_UNIT (self), self->weight, error)
      || (bias && !grad_unit_ensure_grad (GRAD_UNIT (self), bias, error)))
    return FALSE;
  dw = self->weight->grad;
  db = bias ? bias->grad : NULL;
  if (conv->backward != NULL && dx != NULL)
    return conv->backward (plan->conv, x, dz, w, dx, dw, db, accumulate, error);
  return (!accumulate || grad_device_settle (device, error))
      && conv->backward_weights (plan->conv, x, dz, dw, db, accumulate, error)
      && (dx == NULL || conv->backward_data (plan->conv, dz, w, dx, error));
}

gboolean
grad_conv_unit_backward (GradUnit * unit, GradNode * node, GradTensor * dy, GradTensor ** dx,
    const gboolean * wanted, gboolean accumulate, GError ** error)
{
  GradConvUnit *self = GRAD_CONV_UNIT (unit);
  GradDevice *device = grad_unit_get_device (unit);
  const ConvUnitPlan *plan = grad_node_get_plan (node);
  gboolean folded = self->norm_name && node->frozen;
  g_autoptr (GradTensor) whole = NULL, dz = NULL;

  if (plan->pool != NULL) {
    whole = grad_pooling_backward (plan->pool, &plan->shape, dy, node, SAVED_PLACES, error);
    if (whole == NULL)
      return FALSE;
  }
  dz = backward_to_z (self, device, node, whole ? whole : dy,
      self->add && wanted[1] ? &dx[1] : NULL, accumulate, error);
  grad_node_drop_saved (node, SAVED_Y);
  grad_node_drop_saved (node, SAVED_Z);
  grad_node_drop_saved (node, SAVED_PLACES);
  if (dz == NULL)
    return FALSE;
  /* folded again, should averages of the weights have been folded meanwhile, to infer */
  if (wanted[0] && (!(dx[0] = grad_tensor_new (device, GRAD_DTYPE_FLOAT32,
                  grad_tensor_get_shape (node->saved[SAVED_X]), error))
          || (folded && !grad_conv_unit_fold (self, device, error))))
    return FALSE;
  if (!conv_backward (self, device, node, dz, folded ? self->folded.weight : self->weight->value, dx[0], accumulate,
          error))
    return FALSE;
  grad_node_drop_saved (node, SAVED_X);
  return TRUE;
}
