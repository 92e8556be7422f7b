/* GradStreamer kernels: batch normalisation of one plane, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plane is what one sample has of one group of B channels: (H, W, B) floats, or bfloat16 with
 * `bf16`. B is the block of the layout, a power of two, or 1 when it is plain. Planes are walked
 * LANES elements at a time; lane l always meets channel l % B of the group, so that one loop serves
 * every layout. */
#pragma once

#include <glib.h>

#define GRAD_NORM_LANES 32      /* a multiple of every B */

/* y = scale (x - mean) + shift [+ residual], ReLU; one value per lane */
typedef struct
{
  gfloat mean[GRAD_NORM_LANES], scale[GRAD_NORM_LANES], shift[GRAD_NORM_LANES];
} GradNormAffine;

/* dx = scale dz + slope (x - mean) + shift; one value per lane */
typedef struct
{
  gfloat mean[GRAD_NORM_LANES], scale[GRAD_NORM_LANES], slope[GRAD_NORM_LANES],
      shift[GRAD_NORM_LANES];
} GradNormGradient;

/* mean, m2: (B), of the plane; m2 is the sum of squared distances from the mean */
void grad_norm_plane_moments (gconstpointer x, gsize n, gboolean bf16, gsize block, gdouble * mean,
    gdouble * m2);

/* y may be x or residual; residual may be NULL */
void grad_norm_plane_forward (gconstpointer x, gconstpointer residual, gpointer y, gsize n,
    gboolean bf16, const GradNormAffine * a, gboolean relu);

/* dz = dy, masked by y > 0 unless y is NULL; written to dresidual (NULL, dy or separate).
 * sum_dz, sum_dz_x: (B), sums over the plane of dz and dz (x - mean) */
void grad_norm_plane_sums (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dresidual,
    gsize n, gboolean bf16, gsize block, const gfloat * mean, gdouble * sum_dz,
    gdouble * sum_dz_x);

/* dx may be x; y is NULL when dy is dz already */
void grad_norm_plane_backward (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dx,
    gsize n, gboolean bf16, const GradNormGradient * g);
