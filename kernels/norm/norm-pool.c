/* GradStreamer kernels: batch normalisation, ReLU and max pooling of one plane in one, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x, dx: (IH, IW, B); y, dy, places: (OH, OW, B). All outputs =; deterministic.
 *
 * As many rows as a window has are kept in scratch memory, the first-level cache: normalised ones
 * in forward, and of dz in backward, which adds up what windows have in their order. Sums over a
 * plane are made in float over a row, beyond that in double. */
#include "norm-pool.h"
#include "kernels/cpu.h"

#include <string.h>

#define CUT 255u

#define LANES 1
#include "norm-pool-loops.h"
#define LANES 8
#include "norm-pool-loops.h"
#define LANES 16
#include "norm-pool-loops.h"

/* func_B (..., bf16) */
#define CALL(func, block, ...) G_STMT_START { \
  if (block == 16) \
    func##_16 (__VA_ARGS__); \
  else if (block == 8) \
    func##_8 (__VA_ARGS__); \
  else \
    func##_1 (__VA_ARGS__); \
} G_STMT_END

gsize
grad_norm_pool_scratch (const GradPoolDesc * p)
{
  return (gsize) p->kernel * p->iw * sizeof (Vector_16);
}

/* One row of windows: which of its rows are within the picture */
typedef struct
{
  gint top, from, to;           /* the first one is row `top` of the picture */
} Band;

static Band
band_of (const GradPoolDesc * p, gint oy)
{
  gint top = oy * p->stride - p->padding;

  return (Band) {
  top, MAX (-top, 0), MIN (p->kernel, p->ih - top)};
}

void
grad_norm_plane_pool (gconstpointer x, const GradPoolDesc * p, gboolean bf16, gsize block,
    const GradNormAffine * a, gpointer scratch, gpointer y, guint8 * places)
{
  gsize width = (gsize) p->iw * block;
  gint done = 0;                /* rows before it have been normalised, or are not wanted */

  for (gint oy = 0; oy < p->oh; oy++) {
    Band band = band_of (p, oy);
    gsize at = (gsize) oy * p->ow * block;
    gconstpointer rows[GRAD_NORM_POOL_MAX_KERNEL];

    for (gint i = band.from; i < band.to; i++) {
      gint iy = band.top + i;
      gpointer row = grad_at (scratch, iy % p->kernel * width, bf16);

      if (iy >= done)
        grad_norm_plane_forward (grad_at (x, iy * width, bf16), NULL, row, width, bf16, a, TRUE);
      rows[i] = row;
    }
    done = band.top + band.to;
    CALL (pool_row, block, rows, band.from, band.to, p, grad_at (y, at, bf16), places + at, bf16);
  }
}

void
grad_norm_plane_pool_sums (gconstpointer x, const guint8 * places, gconstpointer dy,
    const GradPoolDesc * p, gboolean bf16, gsize block, const gfloat * mean, gdouble * sum_dz,
    gdouble * sum_dz_x)
{
  gsize width = (gsize) p->iw * block;

  memset (sum_dz, 0, block * sizeof *sum_dz);
  memset (sum_dz_x, 0, block * sizeof *sum_dz_x);
  for (gint oy = 0; oy < p->oh; oy++) {
    Band band = band_of (p, oy);
    gsize at = (gsize) oy * p->ow * block;
    gconstpointer rows[GRAD_NORM_POOL_MAX_KERNEL];

    for (gint i = band.from; i < band.to; i++)
      rows[i] = grad_at (x, (band.top + i) * width, bf16);
    CALL (sums_row, block, rows, band.from, band.to, p, places + at, grad_at (dy, at, bf16), mean,
        sum_dz, sum_dz_x, bf16);
  }
}

void
grad_norm_plane_pool_backward (gconstpointer x, const guint8 * places, gconstpointer dy,
    gpointer dx, const GradPoolDesc * p, gboolean bf16, gsize block, const GradNormGradient * g,
    gpointer scratch)
{
  gsize width = (gsize) p->iw * block;
  gfloat *dz = scratch;         /* row iy lies at iy % kernel; zero where nothing has been added yet */
  gint done = 0;                /* rows of dx */

  memset (dz, 0, p->kernel * width * sizeof *dz);
  for (gint oy = 0; oy <= p->oh; oy++) {
    Band band = band_of (p, oy);
    gsize at = (gsize) oy * p->ow * block;
    gpointer rows[GRAD_NORM_POOL_MAX_KERNEL];

    for (; done < (oy < p->oh ? band.top : p->ih); done++)      /* no window to come has these */
      CALL (gradient_row, block, grad_at (x, done * width, bf16), dz + done % p->kernel * width,
          grad_at (dx, done * width, bf16), p->iw, g, bf16);
    if (oy == p->oh)
      break;
    for (gint i = band.from; i < band.to; i++)
      rows[i] = dz + (band.top + i) % p->kernel * width;
    CALL (scatter_row, block, rows, band.from, band.to, p, places + at, grad_at (dy, at, bf16),
        bf16);
  }
}
