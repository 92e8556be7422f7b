/* GradStreamer kernels: what cuDNN's convolutions leave to us
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

/* A filter is plain (O, I, k, k) floats, the master, or packed (O, k, k, I), as pictures lie, in
 * the type of activations; `layout` is that of activations. Rows are the N·H·W pixels of a
 * picture tensor of O channels, O a multiple of what fits in 16 bytes. */
typedef struct
{
  /* whether pack and unpack take kernels of this size */
  gboolean (*supports) (gint kernel);
  /* packed = w; a vector is a filter of O = 1, k = 1 */
  gboolean (*pack) (GradDevice * device, guint layout, gint o, gint i, gint kernel,
      const gfloat * w, gpointer packed, GError ** error);
  /* dw = or += packed */
  gboolean (*unpack) (GradDevice * device, guint layout, gint o, gint i, gint kernel,
      gconstpointer packed, gfloat * dw, gboolean accumulate, GError ** error);
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
