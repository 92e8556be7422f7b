/* GradStreamer kernels: what Winograd's convolution does along one axis of a tile
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * With stride 1, F(m, 3). With stride 2 (Yepez and Ko, "Stride 2 1-D, 2-D, and 3-D Winograd for Convolutional Neural
 * Networks", 2020) two taps meet pixels 0, 2, 4, ... of a tile, which is F(m, 2), and the middle one the pixels between,
 * one for one:
 *
 *   y[i]  = w[0] x[2i] + w[2] x[2i+2]  +  w[1] x[2i+1]
 *
 * Back from dy to dx, tiles start with a pixel that the middle tap alone meets, and w is flipped:
 *
 *   dx[2i] = w[1] dy[i]                dx[2i+1] = w[0] dy[i] + w[2] dy[i+1]
 *
 * Either has 2m+1 products, those of F(m, 2) first, then the m of the middle tap: m + 2 distinct weights. Rounding errors of
 * y, dx, dw are those of a direct convolution times 0.5, 0.9, 0.6 (m = 3) and 0.9, 1.5, 0.7 (m = 4). */

#include "winograd-transforms.h"

#define MAX_TILE 9              /* per axis, that are read or multiplied */
#define MAX_WEIGHTS 6

/* what a tile reads */
INLINE gint
n_inputs (GradWinogradScheme scheme, gint m)
{
  return scheme == GRAD_WINOGRAD_PLAIN ? m + 2
      : scheme == GRAD_WINOGRAD_STRIDED ? 2 * m + 1 : m + 1;
}

/* of which the next tile starts so much later */
INLINE gint
input_step (GradWinogradScheme scheme, gint m)
{
  return scheme == GRAD_WINOGRAD_STRIDED ? 2 * m : m;
}

INLINE void
copy_vectors (gint n, const Vector * from, gsize from_step, Vector * to, gsize to_step)
{
#pragma GCC unroll 4
  for (gint i = 0; i < n; i++)
    to[i * to_step] = from[i * from_step];
}

INLINE void
transform_input (GradWinogradScheme scheme, gint m, const Vector * from, gsize from_step,
    Vector * to, gsize to_step)
{
  if (scheme == GRAD_WINOGRAD_PLAIN)
    toom_input (m + 2, from, from_step, to, to_step);
  else if (scheme == GRAD_WINOGRAD_STRIDED) {
    toom_input (m + 1, from, 2 * from_step, to, to_step);
    copy_vectors (m, from + from_step, 2 * from_step, to + (m + 1) * to_step, to_step);
  } else {
    toom_input (m + 1, from, from_step, to, to_step);
    copy_vectors (m, from, from_step, to + (m + 1) * to_step, to_step);
  }
}

INLINE void
transform_output (GradWinogradScheme scheme, gint m, const Vector * from, gsize from_step,
    Vector * to, gsize to_step)
{
  if (scheme == GRAD_WINOGRAD_PLAIN)
    toom_output (m + 2, m, from, from_step, to, to_step);
  else if (scheme == GRAD_WINOGRAD_STRIDED) {
    toom_output (m + 1, m, from, from_step, to, to_step);
#pragma GCC unroll 4
    for (gint i = 0; i < m; i++)
      to[i * to_step] += from[(m + 1 + i) * from_step];
  } else {
    toom_output (m + 1, m, from, from_step, to + to_step, 2 * to_step);
    copy_vectors (m, from + (m + 1) * from_step, from_step, to, 2 * to_step);
  }
}

INLINE void
transform_output_gradient (GradWinogradScheme scheme, gint m, const Vector * from,
    gsize from_step, Vector * to, gsize to_step)
{
  if (scheme == GRAD_WINOGRAD_PLAIN)
    toom_output_gradient (m + 2, m, from, from_step, to, to_step);
  else {
    toom_output_gradient (m + 1, m, from, from_step, to, to_step);
    copy_vectors (m, from, from_step, to + (m + 1) * to_step, to_step);
  }
}

/* 3 taps to m + 2 weights */
INLINE void
transform_weights (GradWinogradScheme scheme, gint m, const Vector * from, gsize from_step,
    Vector * to, gsize to_step)
{
  if (scheme == GRAD_WINOGRAD_PLAIN)
    toom_weights (m + 2, 3, from, from_step, to, to_step);
  else {
    toom_weights (m + 1, 2, from, 2 * from_step, to, to_step);
    to[(m + 1) * to_step] = from[from_step];
  }
}

INLINE void
transform_weights_gradient (GradWinogradScheme scheme, gint m, const Vector * from,
    gsize from_step, Vector * to, gsize to_step)
{
  if (scheme == GRAD_WINOGRAD_PLAIN)
    toom_weights_gradient (m + 2, 3, from, from_step, to, to_step);
  else {
    toom_weights_gradient (m + 1, 2, from, from_step, to, 2 * to_step);
    to[to_step] = from[(m + 1) * from_step];
  }
}
