/* GradStreamer: a network as a table: layers, shapes, parameters, FLOPs
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../tensor/gradshape.h"
#include "gradmodel.h"

G_BEGIN_DECLS

/**
 * GradSummaryRow:
 * @name: name of the element
 * @factory: kind of the element
 * @settings: what its properties say of the network, "channels=64 stride=2"; may be empty
 * @output: shape of what it makes
 * @trainable: values that training changes
 * @statistics: values that training measures: running mean and variance
 * @flops: floating-point operations of a forward pass of the whole batch, 2 for a multiplication and an addition,
 *   of convolutions and fully connected layers as if computed directly
 *
 * One layer, or an element in front of it that makes pictures of another shape.
 */
typedef struct
{
  gchar *name, *factory, *settings;
  GradShape output;
  guint64 trainable, statistics;
  gdouble flops;
} GradSummaryRow;

GRAD_API GPtrArray *grad_summary_new (GPtrArray * elements, const GradShape * input,
    GError ** error);
GRAD_API GPtrArray *grad_summary_new_from_model (GradModel * model, GError ** error);

G_END_DECLS
