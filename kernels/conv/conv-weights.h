/* GradStreamer kernels: what cuDNN's convolutions leave to us
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

/* What rounded() keeps of a parameter (kernels/kept.h); an update brings it up to date as well. */
#define GRAD_CONV_ROUNDED "bf16"

/* Filters (O, I, k, k) lie as pictures do, so that they are rows of numbers here; `layout` is that of activations. Rows are the
 * N·H·W pixels of a picture tensor of O channels, O a multiple of what fits in 16 bytes. */
typedef struct
{
  /* A parameter in bfloat16, of n values, a multiple of 8; NULL with GRAD_ERROR_NO_MEMORY */
  gpointer (*rounded) (const GradTensor * parameter, GError ** error);
  /* dw = or += what is in the type of activations; n values, a multiple of 8 or, of floats, 4 */
  gboolean (*add) (GradDevice * device, guint layout, gconstpointer from, gsize n, gfloat * dw,
      gboolean accumulate, GError ** error);
  /* db(o) = or += sum of the rows of dy */
  gboolean (*sum_rows) (GradDevice * device, guint layout, gsize rows, gint o, gconstpointer dy,
      gfloat * db, gboolean accumulate, GError ** error);
  /* y = [relu] (y [+ b(o)] [+ residual]), b and residual may be NULL */
  gboolean (*finish) (GradDevice * device, guint layout, gsize rows, gint o, const gfloat * b,
      gconstpointer residual, gboolean relu, gpointer y, GError ** error);
} GradConvWeightsOps;

/* Exported from the module for its test */
extern GRAD_API const GradConvWeightsOps grad_conv_weights_ops;

G_END_DECLS
