/* GradStreamer kernels: batch normalisation of one plane, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x, y, residual, dy, dx, dresidual: one plane, (H, W, B), float or bfloat16. All outputs =;
 * deterministic. Sums are made in float over SPAN elements, beyond that in double. Each loop is made
 * of rounds of LANES elements, and a last one that is shorter; it is there for either storage. */
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

GRAD_INLINE void
sum_loop (gconstpointer x, gsize n, gboolean bf16, gfloat * sums)
{
  gfloat s[LANES] = { 0 };

  for (gsize i = 0; i < WHOLE (n); i += LANES)
    for (gsize l = 0; l < LANES; l++)
      s[l] += grad_load (x, i + l, bf16);
  for (gsize l = 0; l < n % LANES; l++)
    s[l] += grad_load (x, WHOLE (n) + l, bf16);
  memcpy (sums, s, sizeof s);
}

GRAD_CLONES static void
span_sum (gconstpointer x, gsize n, gboolean bf16, gfloat * sums)
{
  if (bf16)
    sum_loop (x, n, TRUE, sums);
  else
    sum_loop (x, n, FALSE, sums);
}

GRAD_INLINE void
squares_round (gconstpointer x, gsize i, gsize width, gboolean bf16, const gfloat * centre,
    gfloat * sums, gfloat * squares)
{
  GRAD_IVDEP
  for (gsize l = 0; l < width; l++) {
    gfloat d = grad_load (x, i + l, bf16) - centre[l];

    sums[l] += d;
    squares[l] += d * d;
  }
}

GRAD_INLINE void
squares_loop (gconstpointer x, gsize n, gboolean bf16, const gfloat * centre, gfloat * sums,
    gfloat * squares)
{
  gfloat c[LANES], s[LANES] = { 0 }, q[LANES] = { 0 };

  memcpy (c, centre, sizeof c);
  for (gsize i = 0; i < WHOLE (n); i += LANES)
    squares_round (x, i, LANES, bf16, c, s, q);
  squares_round (x, WHOLE (n), n % LANES, bf16, c, s, q);
  memcpy (sums, s, sizeof s);
  memcpy (squares, q, sizeof q);
}

/* sums of the distances from centre, and of their squares */
GRAD_CLONES static void
span_squares (gconstpointer x, gsize n, gboolean bf16, const gfloat * centre, gfloat * sums,
    gfloat * squares)
{
  if (bf16)
    squares_loop (x, n, TRUE, centre, sums, squares);
  else
    squares_loop (x, n, FALSE, centre, sums, squares);
}

/* Two passes, the second from the cache; what rounding the centre to float does is taken out again.
 * The sum of bfloat16 is as good as exact, while their distances are rounded alike, not randomly. */
void
grad_norm_plane_moments (gconstpointer x, gsize n, gboolean bf16, gsize block, gdouble * mean,
    gdouble * m2)
{
  gfloat centre[LANES], sums[LANES], squares[LANES];
  gdouble total[LANES] = { 0 }, total_squares[LANES] = { 0 }, count = n / block;

  for (gsize i = 0; i < n; i += SPAN) {
    span_sum (grad_at (x, i, bf16), MIN (SPAN, n - i), bf16, sums);
    fold_lanes (sums, block, total);
  }
  for (gsize l = 0; l < LANES; l++)
    centre[l] = total[l & (block - 1)] / count;
  for (gsize b = 0; b < block; b++)
    mean[b] = total[b] / count;

  memset (total, 0, sizeof total);
  for (gsize i = 0; i < n; i += SPAN) {
    span_squares (grad_at (x, i, bf16), MIN (SPAN, n - i), bf16, centre, sums, squares);
    fold_lanes (sums, block, total);
    fold_lanes (squares, block, total_squares);
  }
  for (gsize b = 0; b < block; b++) {
    if (!bf16)
      mean[b] = centre[b] + total[b] / count;
    m2[b] = total_squares[b] - total[b] * total[b] / count;
  }
}

GRAD_INLINE void
forward_round (gconstpointer x, gconstpointer residual, gpointer y, gsize i, gsize width,
    gboolean bf16, const GradNormAffine * a, gboolean add, gboolean relu)
{
  GRAD_IVDEP
  for (gsize l = 0; l < width; l++) {
    gfloat z = grad_norm_forward (grad_load (x, i + l, bf16), a->mean[l], a->scale[l], a->shift[l]);

    if (add)
      z += grad_load (residual, i + l, bf16);
    grad_store (y, i + l, relu ? grad_relu (z) : z, bf16);
  }
}

GRAD_INLINE void
forward_loop (gconstpointer x, gconstpointer residual, gpointer y, gsize n, gboolean bf16,
    const GradNormAffine * affine, gboolean add, gboolean relu)
{
  GradNormAffine a = *affine;

  for (gsize i = 0; i < WHOLE (n); i += LANES)
    forward_round (x, residual, y, i, LANES, bf16, &a, add, relu);
  forward_round (x, residual, y, WHOLE (n), n % LANES, bf16, &a, add, relu);
}

GRAD_INLINE void
forward_loops (gconstpointer x, gconstpointer residual, gpointer y, gsize n, gboolean bf16,
    const GradNormAffine * a, gboolean relu)
{
  if (residual != NULL && relu)
    forward_loop (x, residual, y, n, bf16, a, TRUE, TRUE);
  else if (residual != NULL)
    forward_loop (x, residual, y, n, bf16, a, TRUE, FALSE);
  else if (relu)
    forward_loop (x, NULL, y, n, bf16, a, FALSE, TRUE);
  else
    forward_loop (x, NULL, y, n, bf16, a, FALSE, FALSE);
}

GRAD_CLONES static void
plane_forward (gconstpointer x, gconstpointer residual, gpointer y, gsize n, gboolean bf16,
    const GradNormAffine * a, gboolean relu)
{
  if (bf16)
    forward_loops (x, residual, y, n, TRUE, a, relu);
  else
    forward_loops (x, residual, y, n, FALSE, a, relu);
}

void
grad_norm_plane_forward (gconstpointer x, gconstpointer residual, gpointer y, gsize n,
    gboolean bf16, const GradNormAffine * a, gboolean relu)
{
  plane_forward (x, residual, y, n, bf16, a, relu);
}

GRAD_INLINE void
sums_round (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dresidual, gsize i,
    gsize width, gboolean bf16, const gfloat * mean, gfloat * sum_dz, gfloat * sum_dz_x,
    gboolean relu, gboolean write)
{
  GRAD_IVDEP
  for (gsize l = 0; l < width; l++) {
    gfloat dz = grad_load (dy, i + l, bf16);

    if (relu)
      dz = grad_relu_backward (grad_load (y, i + l, bf16), dz);
    if (write)
      grad_store (dresidual, i + l, dz, bf16);
    sum_dz[l] += dz;
    sum_dz_x[l] += dz * (grad_load (x, i + l, bf16) - mean[l]);
  }
}

GRAD_INLINE void
sums_loop (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dresidual, gsize n,
    gboolean bf16, const gfloat * mean, gfloat * sum_dz, gfloat * sum_dz_x, gboolean relu,
    gboolean write)
{
  gfloat m[LANES], s[LANES] = { 0 }, sx[LANES] = { 0 };

  memcpy (m, mean, sizeof m);
  for (gsize i = 0; i < WHOLE (n); i += LANES)
    sums_round (x, y, dy, dresidual, i, LANES, bf16, m, s, sx, relu, write);
  sums_round (x, y, dy, dresidual, WHOLE (n), n % LANES, bf16, m, s, sx, relu, write);
  memcpy (sum_dz, s, sizeof s);
  memcpy (sum_dz_x, sx, sizeof sx);
}

GRAD_INLINE void
sums_loops (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dresidual, gsize n,
    gboolean bf16, const gfloat * mean, gfloat * sum_dz, gfloat * sum_dz_x)
{
  if (y != NULL && dresidual != NULL)
    sums_loop (x, y, dy, dresidual, n, bf16, mean, sum_dz, sum_dz_x, TRUE, TRUE);
  else if (y != NULL)
    sums_loop (x, y, dy, NULL, n, bf16, mean, sum_dz, sum_dz_x, TRUE, FALSE);
  else if (dresidual != NULL && dresidual != dy)
    sums_loop (x, NULL, dy, dresidual, n, bf16, mean, sum_dz, sum_dz_x, FALSE, TRUE);
  else
    sums_loop (x, NULL, dy, NULL, n, bf16, mean, sum_dz, sum_dz_x, FALSE, FALSE);
}

GRAD_CLONES static void
span_sums (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dresidual, gsize n,
    gboolean bf16, const gfloat * mean, gfloat * sum_dz, gfloat * sum_dz_x)
{
  if (bf16)
    sums_loops (x, y, dy, dresidual, n, TRUE, mean, sum_dz, sum_dz_x);
  else
    sums_loops (x, y, dy, dresidual, n, FALSE, mean, sum_dz, sum_dz_x);
}

void
grad_norm_plane_sums (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dresidual,
    gsize n, gboolean bf16, gsize block, const gfloat * mean, gdouble * sum_dz, gdouble * sum_dz_x)
{
  gfloat sums[LANES], sums_x[LANES];
  gdouble total[LANES] = { 0 }, total_x[LANES] = { 0 };

  for (gsize i = 0; i < n; i += SPAN) {
    span_sums (grad_at (x, i, bf16), y ? grad_at (y, i, bf16) : NULL, grad_at (dy, i, bf16),
        dresidual ? grad_at (dresidual, i, bf16) : NULL, MIN (SPAN, n - i), bf16, mean, sums,
        sums_x);
    fold_lanes (sums, block, total);
    fold_lanes (sums_x, block, total_x);
  }
  memcpy (sum_dz, total, block * sizeof (gdouble));
  memcpy (sum_dz_x, total_x, block * sizeof (gdouble));
}

GRAD_INLINE void
backward_round (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dx, gsize i,
    gsize width, gboolean bf16, const GradNormGradient * g, gboolean relu)
{
  GRAD_IVDEP
  for (gsize l = 0; l < width; l++) {
    gfloat dz = grad_load (dy, i + l, bf16);

    if (relu)
      dz = grad_relu_backward (grad_load (y, i + l, bf16), dz);
    grad_store (dx, i + l, grad_norm_backward (dz, grad_load (x, i + l, bf16), g->mean[l],
            g->scale[l], g->slope[l], g->shift[l]), bf16);
  }
}

GRAD_INLINE void
backward_loop (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dx, gsize n,
    gboolean bf16, const GradNormGradient * gradient, gboolean relu)
{
  GradNormGradient g = *gradient;

  for (gsize i = 0; i < WHOLE (n); i += LANES)
    backward_round (x, y, dy, dx, i, LANES, bf16, &g, relu);
  backward_round (x, y, dy, dx, WHOLE (n), n % LANES, bf16, &g, relu);
}

GRAD_INLINE void
backward_loops (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dx, gsize n,
    gboolean bf16, const GradNormGradient * g)
{
  if (y != NULL)
    backward_loop (x, y, dy, dx, n, bf16, g, TRUE);
  else
    backward_loop (x, NULL, dy, dx, n, bf16, g, FALSE);
}

GRAD_CLONES static void
plane_backward (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dx, gsize n,
    gboolean bf16, const GradNormGradient * g)
{
  if (bf16)
    backward_loops (x, y, dy, dx, n, TRUE, g);
  else
    backward_loops (x, y, dy, dx, n, FALSE, g);
}

void
grad_norm_plane_backward (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dx, gsize n,
    gboolean bf16, const GradNormGradient * g)
{
  plane_backward (x, y, dy, dx, n, bf16, g);
}
