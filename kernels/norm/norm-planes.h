/* GradStreamer kernels: batch normalisation of one plane, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plane is what one sample has of one group of B channels: (H, W, B) floats. B is the block of
 * the layout, a power of two, or 1 when it is plain. Planes are walked LANES floats at a time; lane
 * l always meets channel l % B of the group, so that one loop serves every layout. */
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
void grad_norm_plane_moments (const gfloat * x, gsize n, gsize block, gdouble * mean, gdouble * m2);

/* y may be x or residual; residual may be NULL */
void grad_norm_plane_forward (const gfloat * x, const gfloat * residual, gfloat * y, gsize n,
    const GradNormAffine * a, gboolean relu);

/* dz = dy, masked by y > 0 unless y is NULL; written to dresidual (NULL, dy or separate).
 * sum_dz, sum_dz_x: (B), sums over the plane of dz and dz (x - mean) */
void grad_norm_plane_sums (const gfloat * x, const gfloat * y, const gfloat * dy,
    gfloat * dresidual, gsize n, gsize block, const gfloat * mean, gdouble * sum_dz,
    gdouble * sum_dz_x);

/* dx may be x; y is NULL when dy is dz already */
void grad_norm_plane_backward (const gfloat * x, const gfloat * y, const gfloat * dy, gfloat * dx,
    gsize n, const GradNormGradient * g);
