/* GradStreamer kernels: batch normalisation of one plane, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plane is what one sample has of one group of B channels: (H, W, B) floats, or bfloat16 with
 * `bf16`. B is the block of the layout, 16, 8 or 4, or 1 when it is plain; n = H W B. Whatever is per
 * channel has B values, in order. */
#pragma once

#include <glib.h>

/* y = scale (x - mean) + shift [+ residual], ReLU */
typedef struct
{
  const gfloat *mean, *scale, *shift;
} GradNormAffine;

/* dx = scale dz + slope (x - mean) + shift */
typedef struct
{
  const gfloat *mean, *scale, *slope, *shift;
} GradNormGradient;

/* sums, squares: += of x and its squares */
void grad_norm_plane_moments (gconstpointer x, gsize n, gboolean bf16, gsize block, gdouble * sums,
    gdouble * squares);

/* y may be x or residual; residual may be NULL */
void grad_norm_plane_forward (gconstpointer x, gconstpointer residual, gpointer y, gsize n,
    gboolean bf16, gsize block, const GradNormAffine * a, gboolean relu);

/* dz = dy, masked by y > 0 unless y is NULL; written to dresidual (NULL, dy or separate).
 * sum_dz, sum_dz_x: += dz and dz (x - mean) */
void grad_norm_plane_sums (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dresidual,
    gsize n, gboolean bf16, gsize block, const gfloat * mean, gdouble * sum_dz,
    gdouble * sum_dz_x);

/* dx may be x; y is NULL when dy is dz already */
void grad_norm_plane_backward (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dx,
    gsize n, gboolean bf16, gsize block, const GradNormGradient * g);
