/* GradStreamer kernels: batch normalisation of one plane, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Deterministic. A plain plane is taken as pixels of SIDE channels, which are all the same, and
 * what remains one by one. */
#include "norm-planes.h"
#include "kernels/cpu.h"

#define CHUNK 256u
#define SIDE 16

#define LANES 1
#include "norm-loops.h"
#define LANES 4
#include "norm-loops.h"
#define LANES 8
#include "norm-loops.h"
#define LANES 16
#include "norm-loops.h"

#define WHOLE(n) ((n) - (n) % SIDE)

static inline const gfloat *
repeat (const gfloat * value, gfloat * values)
{
  for (guint l = 0; l < SIDE; l++)
    values[l] = *value;
  return values;
}

static inline void
add_sums (const gdouble * sums, gdouble * total)
{
  for (guint l = 0; l < SIDE; l++)
    *total += sums[l];
}

/* element i, or NULL of NULL */
static inline gpointer
rest_of (gconstpointer data, gsize i, gboolean bf16)
{
  return data ? grad_at (data, i, bf16) : NULL;
}

void
grad_norm_plane_moments (gconstpointer x, gsize n, gboolean bf16, gsize block, gdouble * sums,
    gdouble * squares)
{
  gdouble s[SIDE] = { 0 }, q[SIDE] = { 0 };

  if (block == 16)
    moments_16 (x, n / 16, bf16, sums, squares);
  else if (block == 8)
    moments_8 (x, n / 8, bf16, sums, squares);
  else if (block == 4)
    moments_4 (x, n / 4, bf16, sums, squares);
  else {
    moments_16 (x, n / SIDE, bf16, s, q);
    moments_1 (grad_at (x, WHOLE (n), bf16), n % SIDE, bf16, sums, squares);
    add_sums (s, sums);
    add_sums (q, squares);
  }
}

void
grad_norm_plane_forward (gconstpointer x, gconstpointer residual, gpointer y, gsize n,
    gboolean bf16, gsize block, const GradNormAffine * a, gboolean relu)
{
  gfloat mean[SIDE], scale[SIDE], shift[SIDE];

  if (block == 16)
    forward_16 (x, residual, y, n / 16, bf16, a, relu);
  else if (block == 8)
    forward_8 (x, residual, y, n / 8, bf16, a, relu);
  else if (block == 4)
    forward_4 (x, residual, y, n / 4, bf16, a, relu);
  else {
    GradNormAffine same = {
      repeat (a->mean, mean), repeat (a->scale, scale), repeat (a->shift, shift)
    };

    forward_16 (x, residual, y, n / SIDE, bf16, &same, relu);
    forward_1 (grad_at (x, WHOLE (n), bf16), rest_of (residual, WHOLE (n), bf16),
        grad_at (y, WHOLE (n), bf16), n % SIDE, bf16, a, relu);
  }
}

void
grad_norm_plane_sums (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dresidual,
    gsize n, gboolean bf16, gsize block, const gfloat * mean, gdouble * sum_dz, gdouble * sum_dz_x)
{
  gfloat means[SIDE];
  gdouble s[SIDE] = { 0 }, sx[SIDE] = { 0 };

  if (block == 16)
    sums_16 (x, y, dy, dresidual, n / 16, bf16, mean, sum_dz, sum_dz_x);
  else if (block == 8)
    sums_8 (x, y, dy, dresidual, n / 8, bf16, mean, sum_dz, sum_dz_x);
  else if (block == 4)
    sums_4 (x, y, dy, dresidual, n / 4, bf16, mean, sum_dz, sum_dz_x);
  else {
    sums_16 (x, y, dy, dresidual, n / SIDE, bf16, repeat (mean, means), s, sx);
    sums_1 (grad_at (x, WHOLE (n), bf16), rest_of (y, WHOLE (n), bf16),
        grad_at (dy, WHOLE (n), bf16), rest_of (dresidual, WHOLE (n), bf16), n % SIDE, bf16, mean,
        sum_dz, sum_dz_x);
    add_sums (s, sum_dz);
    add_sums (sx, sum_dz_x);
  }
}

void
grad_norm_plane_backward (gconstpointer x, gconstpointer y, gconstpointer dy, gpointer dx, gsize n,
    gboolean bf16, gsize block, const GradNormGradient * g)
{
  gfloat mean[SIDE], scale[SIDE], slope[SIDE], shift[SIDE];

  if (block == 16)
    backward_16 (x, y, dy, dx, n / 16, bf16, g);
  else if (block == 8)
    backward_8 (x, y, dy, dx, n / 8, bf16, g);
  else if (block == 4)
    backward_4 (x, y, dy, dx, n / 4, bf16, g);
  else {
    GradNormGradient same = {
      repeat (g->mean, mean), repeat (g->scale, scale), repeat (g->slope, slope),
      repeat (g->shift, shift)
    };

    backward_16 (x, y, dy, dx, n / SIDE, bf16, &same);
    backward_1 (grad_at (x, WHOLE (n), bf16), rest_of (y, WHOLE (n), bf16),
        grad_at (dy, WHOLE (n), bf16), grad_at (dx, WHOLE (n), bf16), n % SIDE, bf16, g);
  }
}
