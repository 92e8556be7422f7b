/* GradStreamer kernels: batch normalisation, ReLU and max pooling of one plane in one, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Planes are as in norm-planes.h. A place says which pixel of its window, by rows, a pooled value
 * is from, or that it has no gradient because the ReLU cut it. */
#pragma once

#include "norm-planes.h"
#include "kernels/kernels.h"

/* Bytes of scratch memory that grad_norm_plane_pool() wants, in whatever layout */
gsize grad_norm_pool_scratch (const GradPoolDesc * p);

/* x: (IH, IW, B); y, places: (OH, OW, B) */
void grad_norm_plane_pool (gconstpointer x, const GradPoolDesc * p, gboolean bf16, gsize block,
    const GradNormAffine * a, gpointer scratch, gpointer y, guint8 * places);

/* sum_dz, sum_dz_x: += dz and dz (x - mean); dz is the gradient in front of ReLU and pooling */
void grad_norm_plane_pool_sums (gconstpointer x, const guint8 * places, gconstpointer dy,
    const GradPoolDesc * p, gboolean bf16, gsize block, const gfloat * mean, gdouble * sum_dz,
    gdouble * sum_dz_x);

/* dx may be x */
void grad_norm_plane_pool_backward (gconstpointer x, const guint8 * places, gconstpointer dy,
    gpointer dx, const GradPoolDesc * p, gboolean bf16, gsize block, const GradNormGradient * g);
