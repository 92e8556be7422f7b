/* GradStreamer: the unit, the smallest thing with forward, backward and parameters
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../model/gradparameter.h"

G_BEGIN_DECLS

#define GRAD_TYPE_UNIT (grad_unit_get_type ())
GRAD_API G_DECLARE_DERIVABLE_TYPE (GradUnit, grad_unit, GRAD, UNIT, GObject)

/**
 * GradValue:
 * @tensor: the values
 * @node: (nullable): how they came about; %NULL when no gradient is wanted
 *
 * What flows between units. Owns both references; clear with grad_value_clear().
 */
typedef struct
{
  GradTensor *tensor;
  GradNode *node;
} GradValue;

GRAD_API void grad_value_clear (GradValue * value);

/* Units: created from what never changes, prepared with the shapes of their inputs, as often as those
 * change. Preparing creates the parameters at the first time and plans per shape. */
GRAD_API GradUnit *grad_conv_unit_new (const gchar * name, const gchar * norm_name,
    gint channels, gint kernel, gint stride, gint padding, gboolean bias, gboolean add,
    gboolean relu);
GRAD_API void grad_conv_unit_set_pool (GradUnit * unit, gint kernel, gint stride, gint padding);
GRAD_API GradUnit *grad_max_pool_unit_new (gint kernel, gint stride, gint padding);
GRAD_API GradUnit *grad_global_pool_unit_new (void);
GRAD_API GradUnit *grad_linear_unit_new (const gchar * name, gint units, gboolean bias);
GRAD_API GradUnit *grad_add_unit_new (void);
GRAD_API GradUnit *grad_loss_unit_new (gdouble label_smoothing);

GRAD_API gboolean grad_unit_infer_shape (GradUnit * unit, const GradShape * inputs,
    guint n_inputs, GradShape * output, GError ** error);
GRAD_API gboolean grad_unit_prepare (GradUnit * unit, GradDevice * device,
    GradParameterStore * store, const GradShape * inputs, guint n_inputs, GradShape * output,
    GError ** error);
GRAD_API gboolean grad_unit_forward (GradUnit * unit, GradStep * step, gboolean urgent,
    const GradValue * inputs, guint n_inputs, GradValue * output, GError ** error);

/* The loss unit wants the labels (N values, copied) before each forward and gives its results after it. */
GRAD_API void grad_loss_unit_set_labels (GradUnit * unit, const gint32 * labels, guint n);
GRAD_API GradTensor *grad_loss_unit_get_result (GradUnit * unit);
GRAD_API void grad_loss_result_read (GradTensor * result, gdouble * loss_sum, guint * correct);

G_END_DECLS
