/* GradStreamer kernels: batch normalisation of one plane, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x, y, residual, dy, dx, dresidual: one plane, (H, W, B) floats. All outputs =; deterministic.
 * Sums are made in float over SPAN elements, beyond that in double. Each loop is made of rounds of
 * LANES elements, and a last one that is shorter. */
#define GRAD_REAL gfloat
#include "norm-body.h"
#include "norm-planes.h"
#include "kernels/cpu.h"
#include "kernels/elementwise/elementwise-body.h"

#include <string.h>

#define LANES GRAD_NORM_LANES
#define SPAN (256 * LANES)

/* the largest multiple of LANES up to n */
#define WHOLE(n) ((n) - (n) % LANES)

static void
fold_lanes (const gfloat * lanes, gsize block, gdouble * sums)
{
  for (gsize l = 0; l < LANES; l++)
    sums[l & (block - 1)] += lanes[l];
}

GRAD_CLONES static void
span_sum (const gfloat * x, gsize n, gfloat * sums)
{
  gfloat s[LANES] = { 0 };

  for (gsize i = 0; i < WHOLE (n); i += LANES)
    for (gsize l = 0; l < LANES; l++)
      s[l] += x[i + l];
  for (gsize l = 0; l < n % LANES; l++)
    s[l] += x[WHOLE (n) + l];
  memcpy (sums, s, sizeof s);
}

GRAD_INLINE void
squares_round (const gfloat * x, gsize width, const gfloat * centre, gfloat * sums,
    gfloat * squares)
{
  GRAD_IVDEP
  for (gsize l = 0; l < width; l++) {
    gfloat d = x[l] - centre[l];

    sums[l] += d;
    squares[l] += d * d;
  }
}

/* sums of the distances from centre, and of their squares */
GRAD_CLONES static void
span_squares (const gfloat * x, gsize n, const gfloat * centre, gfloat * sums, gfloat * squares)
{
  gfloat c[LANES], s[LANES] = { 0 }, q[LANES] = { 0 };

  memcpy (c, centre, sizeof c);
  for (gsize i = 0; i < WHOLE (n); i += LANES)
    squares_round (x + i, LANES, c, s, q);
  squares_round (x + WHOLE (n), n % LANES, c, s, q);
  memcpy (sums, s, sizeof s);
  memcpy (squares, q, sizeof q);
}

/* Two passes, the second from the cache; what rounding the centre to float does is taken out
 * again. */
void
grad_norm_plane_moments (const gfloat * x, gsize n, gsize block, gdouble * mean, gdouble * m2)
{
  gfloat centre[LANES], sums[LANES], squares[LANES];
  gdouble total[LANES] = { 0 }, total_squares[LANES] = { 0 }, count = n / block;

  for (gsize i = 0; i < n; i += SPAN) {
    span_sum (x + i, MIN (SPAN, n - i), sums);
    fold_lanes (sums, block, total);
  }
  for (gsize l = 0; l < LANES; l++)
    centre[l] = total[l & (block - 1)] / count;

  memset (total, 0, sizeof total);
  for (gsize i = 0; i < n; i += SPAN) {
    span_squares (x + i, MIN (SPAN, n - i), centre, sums, squares);
    fold_lanes (sums, block, total);
    fold_lanes (squares, block, total_squares);
  }
  for (gsize b = 0; b < block; b++) {
    mean[b] = centre[b] + total[b] / count;
    m2[b] = total_squares[b] - total[b] * total[b] / count;
  }
}

GRAD_INLINE void
forward_round (const gfloat * x, const gfloat * residual, gfloat * y, gsize width,
    const GradNormAffine * a, gboolean add, gboolean relu)
{
  GRAD_IVDEP
  for (gsize l = 0; l < width; l++) {
    gfloat z = grad_norm_forward (x[l], a->mean[l], a->scale[l], a->shift[l]);

    if (add)
      z += residual[l];
    y[l] = relu ? grad_relu (z) : z;
  }
}

GRAD_INLINE void
forward_loop (const gfloat * x, const gfloat * residual, gfloat * y, gsize n,
    const GradNormAffine * affine, gboolean add, gboolean relu)
{
  GradNormAffine a = *affine;
  gsize i;

  for (i = 0; i < WHOLE (n); i += LANES)
    forward_round (x + i, add ? residual + i : NULL, y + i, LANES, &a, add, relu);
  forward_round (x + i, add ? residual + i : NULL, y + i, n % LANES, &a, add, relu);
}

GRAD_CLONES static void
plane_forward (const gfloat * x, const gfloat * residual, gfloat * y, gsize n,
    const GradNormAffine * a, gboolean relu)
{
  if (residual != NULL && relu)
    forward_loop (x, residual, y, n, a, TRUE, TRUE);
  else if (residual != NULL)
    forward_loop (x, residual, y, n, a, TRUE, FALSE);
  else if (relu)
    forward_loop (x, NULL, y, n, a, FALSE, TRUE);
  else
    forward_loop (x, NULL, y, n, a, FALSE, FALSE);
}

void
grad_norm_plane_forward (const gfloat * x, const gfloat * residual, gfloat * y, gsize n,
    const GradNormAffine * a, gboolean relu)
{
  plane_forward (x, residual, y, n, a, relu);
}

GRAD_INLINE void
sums_round (const gfloat * x, const gfloat * y, const gfloat * dy, gfloat * dresidual,
    gsize width, const gfloat * mean, gfloat * sum_dz, gfloat * sum_dz_x, gboolean relu,
    gboolean write)
{
  GRAD_IVDEP
  for (gsize l = 0; l < width; l++) {
    gfloat dz = relu ? grad_relu_backward (y[l], dy[l]) : dy[l];

    if (write)
      dresidual[l] = dz;
    sum_dz[l] += dz;
    sum_dz_x[l] += dz * (x[l] - mean[l]);
  }
}

GRAD_INLINE void
sums_loop (const gfloat * x, const gfloat * y, const gfloat * dy, gfloat * dresidual, gsize n,
    const gfloat * mean, gfloat * sum_dz, gfloat * sum_dz_x, gboolean relu, gboolean write)
{
  gfloat m[LANES], s[LANES] = { 0 }, sx[LANES] = { 0 };
  gsize i;

  memcpy (m, mean, sizeof m);
  for (i = 0; i < WHOLE (n); i += LANES)
    sums_round (x + i, relu ? y + i : NULL, dy + i, write ? dresidual + i : NULL, LANES, m, s, sx,
        relu, write);
  sums_round (x + i, relu ? y + i : NULL, dy + i, write ? dresidual + i : NULL, n % LANES, m, s, sx,
      relu, write);
  memcpy (sum_dz, s, sizeof s);
  memcpy (sum_dz_x, sx, sizeof sx);
}

GRAD_CLONES static void
span_sums (const gfloat * x, const gfloat * y, const gfloat * dy, gfloat * dresidual, gsize n,
    const gfloat * mean, gfloat * sum_dz, gfloat * sum_dz_x)
{
  if (y != NULL && dresidual != NULL)
    sums_loop (x, y, dy, dresidual, n, mean, sum_dz, sum_dz_x, TRUE, TRUE);
  else if (y != NULL)
    sums_loop (x, y, dy, NULL, n, mean, sum_dz, sum_dz_x, TRUE, FALSE);
  else if (dresidual != NULL && dresidual != dy)
    sums_loop (x, NULL, dy, dresidual, n, mean, sum_dz, sum_dz_x, FALSE, TRUE);
  else
    sums_loop (x, NULL, dy, NULL, n, mean, sum_dz, sum_dz_x, FALSE, FALSE);
}

void
grad_norm_plane_sums (const gfloat * x, const gfloat * y, const gfloat * dy, gfloat * dresidual,
    gsize n, gsize block, const gfloat * mean, gdouble * sum_dz, gdouble * sum_dz_x)
{
  gfloat sums[LANES], sums_x[LANES];
  gdouble total[LANES] = { 0 }, total_x[LANES] = { 0 };

  for (gsize i = 0; i < n; i += SPAN) {
    span_sums (x + i, y ? y + i : NULL, dy + i, dresidual ? dresidual + i : NULL,
        MIN (SPAN, n - i), mean, sums, sums_x);
    fold_lanes (sums, block, total);
    fold_lanes (sums_x, block, total_x);
  }
  memcpy (sum_dz, total, block * sizeof (gdouble));
  memcpy (sum_dz_x, total_x, block * sizeof (gdouble));
}

GRAD_INLINE void
backward_round (const gfloat * x, const gfloat * y, const gfloat * dy, gfloat * dx, gsize width,
    const GradNormGradient * g, gboolean relu)
{
  GRAD_IVDEP
  for (gsize l = 0; l < width; l++) {
    gfloat dz = relu ? grad_relu_backward (y[l], dy[l]) : dy[l];

    dx[l] = grad_norm_backward (dz, x[l], g->mean[l], g->scale[l], g->slope[l], g->shift[l]);
  }
}

GRAD_INLINE void
backward_loop (const gfloat * x, const gfloat * y, const gfloat * dy, gfloat * dx, gsize n,
    const GradNormGradient * gradient, gboolean relu)
{
  GradNormGradient g = *gradient;
  gsize i;

  for (i = 0; i < WHOLE (n); i += LANES)
    backward_round (x + i, relu ? y + i : NULL, dy + i, dx + i, LANES, &g, relu);
  backward_round (x + i, relu ? y + i : NULL, dy + i, dx + i, n % LANES, &g, relu);
}

GRAD_CLONES static void
plane_backward (const gfloat * x, const gfloat * y, const gfloat * dy, gfloat * dx, gsize n,
    const GradNormGradient * g)
{
  if (y != NULL)
    backward_loop (x, y, dy, dx, n, g, TRUE);
  else
    backward_loop (x, NULL, dy, dx, n, g, FALSE);
}

void
grad_norm_plane_backward (const gfloat * x, const gfloat * y, const gfloat * dy, gfloat * dx,
    gsize n, const GradNormGradient * g)
{
  plane_backward (x, y, dy, dx, n, g);
}
