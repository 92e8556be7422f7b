/* GradStreamer kernels: loops of norm-planes.c, over n pixels of LANES channels
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * To be included with LANES defined. Sums are made in float over CHUNK pixels, beyond that in
 * double. */
#include "norm-vectors.h"

/* Distances are from the mean of a chunk's first quarter. That is no more than two standard
 * deviations from the mean of all, whatever the values, so that squares cancel little. For bfloat16
 * it is rounded to such, and distances are exact: many are alike, and so would be their errors. */
GRAD_INLINE void
NAME (moments_loop) (gconstpointer x, gsize n, gboolean bf16, gdouble * sums, gdouble * squares)
{
  for (gsize from = 0, to; from < n; from = to) {
    gsize quarter;
    Vector centre = { 0 }, d, e, s = { 0 }, q = { 0 }, s2 = { 0 }, q2 = { 0 };
    Wide c, cs;
    gdouble count;

    to = MIN (from + CHUNK, n);
    quarter = (to - from + 3) / 4;
    for (gsize i = from; i < from + quarter; i++) {
      NAME (read) (x, i, bf16, &d);
      centre += d;
    }
    centre *= 1.f / quarter;
    if (bf16)
      NAME (round) (&centre);
    for (gsize i = from; i + 1 < to; i += 2) {
      NAME (read) (x, i, bf16, &d);
      NAME (read) (x, i + 1, bf16, &e);
      d -= centre;
      e -= centre;
      s += d;
      s2 += e;
      q += d * d;
      q2 += e * e;
    }
    if ((to - from) % 2) {
      NAME (read) (x, to - 1, bf16, &d);
      d -= centre;
      s += d;
      q += d * d;
    }
    s += s2;
    q += q2;
    c = __builtin_convertvector (centre, Wide);
    cs = __builtin_convertvector (s, Wide);
    count = to - from;
    *(Doubles *) sums += cs + c * count;
    *(Doubles *) squares += __builtin_convertvector (q, Wide) + c * (2 * cs + c * count);
  }
}

GRAD_CLONES static void
NAME (moments) (gconstpointer x, gsize n, gboolean bf16, gdouble * sums, gdouble * squares)
{
  if (bf16)
    NAME (moments_loop) (x, n, TRUE, sums, squares);
  else
    NAME (moments_loop) (x, n, FALSE, sums, squares);
}

GRAD_INLINE void
NAME (forward_loop) (gconstpointer x, gconstpointer residual, gpointer y, gsize n, gboolean bf16,
    const GradNormAffine * a, gboolean add, gboolean relu)
{
  Vector mean, scale, shift, value, other;

  NAME (load) (a->mean, 0, FALSE, &mean);
  NAME (load) (a->scale, 0, FALSE, &scale);
  NAME (load) (a->shift, 0, FALSE, &shift);
  for (gsize i = 0; i < n; i++) {
    NAME (read) (x, i, bf16, &value);
    value = (value - mean) * scale + shift;
    if (add) {
      NAME (read) (residual, i, bf16, &other);
      value += other;
    }
    if (relu)
      NAME (relu) (&value);
    if (bf16)
      NAME (round) (&value);
    NAME (write) (y, i, bf16, &value);
  }
}

GRAD_INLINE void
NAME (forward_loops) (gconstpointer x, gconstpointer residual, gpointer y, gsize n, gboolean bf16,
    const GradNormAffine * a, gboolean relu)
{
  if (residual != NULL && relu)
    NAME (forward_loop) (x, residual, y, n, bf16, a, TRUE, TRUE);
  else if (residual != NULL)
    NAME (forward_loop) (x, residual, y, n, bf16, a, TRUE, FALSE);
  else if (relu)
    NAME (forward_loop) (x, NULL, y, n, bf16, a, FALSE, TRUE);
  else
    NAME (forward_loop) (x, NULL, y, n, bf16, a, FALSE, FALSE);
}

GRAD_CLONES static void
NAME (forward) (gconstpointer x, gconstpointer residual, gpointer y, gsize n, gboolean bf16,
    const GradNormAffine * a, gboolean relu)
{
  if (bf16)
    NAME (forward_loops) (x, residual, y, n, TRUE, a, relu);
  else
    NAME (forward_loops) (x, residual, y, n, FALSE, a, relu);
}

/* dz: dy where y > 0 */
GRAD_INLINE void
NAME (load_masked) (gconstpointer dy, gconstpointer y, gsize i, gboolean bf16, gboolean relu,
    Vector * dz)
{
  Vector value;

  NAME (read) (dy, i, bf16, dz);
  if (relu) {
    NAME (read) (y, i, bf16, &value);
    *dz = (Vector) ((Bits) * dz & (Bits) (value > 0));
  }
}

GRAD_INLINE void
NAME (sums_loop) (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dresidual, gsize n,
    gboolean bf16, const gfloat * means, gdouble * sum_dz, gdouble * sum_dz_x, gboolean relu,
    gboolean write)
{
  Vector mean, dz, value;

  NAME (load) (means, 0, FALSE, &mean);
  for (gsize from = 0, to; from < n; from = to) {
    Vector s = { 0 }, sx = { 0 };

    to = MIN (from + CHUNK, n);
    for (gsize i = from; i < to; i++) {
      NAME (load_masked) (dy, y, i, bf16, relu, &dz);
      NAME (read) (x, i, bf16, &value);
      if (write)
        NAME (write) (dresidual, i, bf16, &dz);
      s += dz;
      sx += dz * (value - mean);
    }
    NAME (add) (sum_dz, &s);
    NAME (add) (sum_dz_x, &sx);
  }
}

GRAD_INLINE void
NAME (sums_loops) (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dresidual, gsize n,
    gboolean bf16, const gfloat * mean, gdouble * sum_dz, gdouble * sum_dz_x)
{
  if (y != NULL && dresidual != NULL)
    NAME (sums_loop) (x, y, dy, dresidual, n, bf16, mean, sum_dz, sum_dz_x, TRUE, TRUE);
  else if (y != NULL)
    NAME (sums_loop) (x, y, dy, NULL, n, bf16, mean, sum_dz, sum_dz_x, TRUE, FALSE);
  else if (dresidual != NULL && dresidual != dy)
    NAME (sums_loop) (x, NULL, dy, dresidual, n, bf16, mean, sum_dz, sum_dz_x, FALSE, TRUE);
  else
    NAME (sums_loop) (x, NULL, dy, NULL, n, bf16, mean, sum_dz, sum_dz_x, FALSE, FALSE);
}

GRAD_CLONES static void
NAME (sums) (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dresidual, gsize n,
    gboolean bf16, const gfloat * mean, gdouble * sum_dz, gdouble * sum_dz_x)
{
  if (bf16)
    NAME (sums_loops) (x, y, dy, dresidual, n, TRUE, mean, sum_dz, sum_dz_x);
  else
    NAME (sums_loops) (x, y, dy, dresidual, n, FALSE, mean, sum_dz, sum_dz_x);
}

GRAD_INLINE void
NAME (backward_loop) (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dx, gsize n,
    gboolean bf16, const GradNormGradient * g, gboolean relu)
{
  Vector mean, scale, slope, shift, dz, value;

  NAME (load) (g->mean, 0, FALSE, &mean);
  NAME (load) (g->scale, 0, FALSE, &scale);
  NAME (load) (g->slope, 0, FALSE, &slope);
  NAME (load) (g->shift, 0, FALSE, &shift);
  for (gsize i = 0; i < n; i++) {
    NAME (load_masked) (dy, y, i, bf16, relu, &dz);
    NAME (read) (x, i, bf16, &value);
    value = scale * dz + (slope * (value - mean) + shift);
    if (bf16)
      NAME (round) (&value);
    NAME (write) (dx, i, bf16, &value);
  }
}

GRAD_INLINE void
NAME (backward_loops) (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dx, gsize n,
    gboolean bf16, const GradNormGradient * g)
{
  if (y != NULL)
    NAME (backward_loop) (x, y, dy, dx, n, bf16, g, TRUE);
  else
    NAME (backward_loop) (x, NULL, dy, dx, n, bf16, g, FALSE);
}

GRAD_CLONES static void
NAME (backward) (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dx, gsize n,
    gboolean bf16, const GradNormGradient * g)
{
  if (bf16)
    NAME (backward_loops) (x, y, dy, dx, n, TRUE, g);
  else
    NAME (backward_loops) (x, y, dy, dx, n, FALSE, g);
}

#include "norm-vectors-end.h"
