/* GradStreamer: shape of a tensor, and the caps that say it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../gradtypes.h"

G_BEGIN_DECLS

#define GRAD_MAX_RANK 4

/**
 * GradShape:
 * @rank: number of dimensions, 1 to %GRAD_MAX_RANK
 * @dims: sizes, outermost first: (N,C,H,W), (N,K), (O,I,H,W) or (C)
 */
struct _GradShape
{
  guint rank;
  gint dims[GRAD_MAX_RANK];
};

/* Shape literals for C code: GRAD_SHAPE (256, 1, 96, 96). */
#define GRAD_SHAPE(...) ((GradShape) { \
  .rank = sizeof ((gint[]) { __VA_ARGS__ }) / sizeof (gint), .dims = { __VA_ARGS__ } })

GRAD_API gboolean grad_shape_equal (const GradShape * a, const GradShape * b);
GRAD_API gsize grad_shape_n_elements (const GradShape * shape);
GRAD_API gboolean grad_shape_is_valid (const GradShape * shape);
GRAD_API gchar *grad_shape_to_string (const GradShape * shape);

GRAD_API gsize grad_dtype_size (GradDType dtype);
GRAD_API const gchar *grad_dtype_to_string (GradDType dtype);

/**
 * GRAD_CAPS:
 * @types: element types as a caps string, e.g. "float32" or "{ uint8, float32 }"
 *
 * Caps of one dense tensor per buffer: the tensor caps that NNStreamer uses.
 */
#define GRAD_CAPS(types) "other/tensors, format = (string) static, " \
  "num_tensors = (int) 1, types = (string) " types

GRAD_API GstCaps *grad_caps_new (GradDType dtype, const GradShape * shape,
    gint fps_n, gint fps_d);
GRAD_API gboolean grad_caps_parse (const GstCaps * caps, guint rank, GradDType * dtype,
    GradShape * shape, GError ** error);

G_END_DECLS
