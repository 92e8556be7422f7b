/* GradStreamer: a trained network as its file describes it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../gradtypes.h"

G_BEGIN_DECLS

#define GRAD_TYPE_MODEL (grad_model_get_type ())
GRAD_API G_DECLARE_FINAL_TYPE (GradModel, grad_model, GRAD, MODEL, GObject)

/**
 * GradModelInput:
 * @width: columns of a picture, 0 when unknown
 * @height: rows of a picture, 0 when unknown
 * @channels: 1 (luma), 3 (R, G, B), or of what is no picture; 0 when unknown
 * @mean: to subtract from pixels of 0 to 1, by channel
 * @std: to divide by after that
 *
 * What the network wants to see: y = (v / 255 - mean) / std.
 */
typedef struct
{
  gint width, height, channels;
  gfloat mean[4], std[4];
} GradModelInput;

GRAD_API GradModel *grad_model_open (const gchar * location, GError ** error);
GRAD_API GradModel *grad_model_new (const gchar * fragment, const GstStructure * dataset,
    gint channels, GError ** error);
GRAD_API const gchar *grad_model_get_location (GradModel * model);
GRAD_API const gchar *grad_model_get_fragment (GradModel * model);
GRAD_API const GradModelInput *grad_model_get_input (GradModel * model);
GRAD_API const gchar *const *grad_model_get_class_names (GradModel * model);
GRAD_API guint64 grad_model_get_steps (GradModel * model);
GRAD_API GPtrArray *grad_model_create_layers (GradModel * model, GError ** error);

GRAD_API GStrv grad_class_names_parse (const gchar * text, GError ** error);

G_END_DECLS
