/* GradStreamer: the unit of residual networks, as its forward and its backward see it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradconvfold-private.h"
#include "gradpooling-private.h"

G_BEGIN_DECLS

enum
{ SAVED_X, SAVED_Z, SAVED_Y /* not yet pooled */ , SAVED_MEAN, SAVED_VAR, SAVED_PLACES };

#define GRAD_TYPE_CONV_UNIT (grad_conv_unit_get_type ())
G_DECLARE_FINAL_TYPE (GradConvUnit, grad_conv_unit, GRAD, CONV_UNIT, GradUnit)

struct _GradConvUnit
{
  GradUnit parent;

  gchar *name, *norm_name;
  gint channels, kernel, stride, padding;
  gboolean has_bias, add, relu;
  gboolean has_pool;
  GradPooling pool;

  GradParameter *weight, *bias;
  GradParameter *gamma, *beta, *running_mean, *running_var, *n_batches;

  GradConvFold folded;
};

typedef struct
{
  GradPlan *conv, *norm, *pool;
  gboolean fused;               /* norm does the pooling */
  GradShape shape;              /* of z */
} ConvUnitPlan;

/* Without batch statistics the norm is in the convolution: makes weights and bias of both, unless they are there. */
gboolean grad_conv_unit_fold (GradConvUnit * self, GradDevice * device, GError ** error);
gboolean grad_conv_unit_backward (GradUnit * unit, GradNode * node, GradTensor * dy, GradTensor ** dx,
    const gboolean * wanted, gboolean accumulate, GError ** error);

G_END_DECLS
