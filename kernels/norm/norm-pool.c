/* GradStreamer kernels: batch normalisation, ReLU and max pooling of one plane in one, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x, dx: (IH, IW, B); y, dy, places: (OH, OW, B). All outputs =, sums +=; deterministic.
 *
 * Forward goes by rows: it normalises one, and finds the winners of that row's part of the windows;
 * as many of these as a window has rows are kept in scratch memory, the first-level cache. Backward
 * goes by pixels: each adds up what it won in the windows which have it. Sums over a plane are made
 * in float over a row, beyond that in double. */
#include "norm-pool.h"
#include "kernels/cpu.h"

#define CUT 255u

/* a row of windows which have the pixels of some row */
typedef struct
{
  const guint8 *places;
  gconstpointer dy;
  gint place;                   /* in them, of the first pixel */
} WindowRow;

#define LANES 1
#include "norm-pool-loops.h"
#define LANES 4
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
  else if (block == 4) \
    func##_4 (__VA_ARGS__); \
  else \
    func##_1 (__VA_ARGS__); \
} G_STMT_END

static gsize
winners_size (const GradPoolDesc * p, gsize block)
{
  return p->ow * block * (sizeof (gfloat) + sizeof (guint32));
}

gsize
grad_norm_pool_scratch (const GradPoolDesc * p)
{
  return p->kernel * winners_size (p, 16);
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
  gsize width = (gsize) p->iw * block, size = winners_size (p, block);
  gint done = 0;                /* rows before it have winners, or are not wanted */

  for (gint oy = 0; oy < p->oh; oy++) {
    Band band = band_of (p, oy);
    gsize at = (gsize) oy * p->ow * block;
    gconstpointer rows[GRAD_NORM_POOL_MAX_KERNEL];

    for (gint i = band.from; i < band.to; i++) {
      gint iy = band.top + i;
      gpointer row = (guint8 *) scratch + iy % p->kernel * size;

      if (iy >= done)
        CALL (row_winners, block, grad_at (x, iy * width, bf16), p, a, row, bf16);
      rows[i] = row;
    }
    done = band.top + band.to;
    CALL (windows, block, rows, band.from, band.to, p, grad_at (y, at, bf16), places + at, bf16);
  }
}

void
grad_norm_plane_pool_sums (gconstpointer x, const guint8 * places, gconstpointer dy,
    const GradPoolDesc * p, gboolean bf16, gsize block, const gfloat * mean, gdouble * sum_dz,
    gdouble * sum_dz_x)
{
  gsize width = (gsize) p->iw * block;

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
    gpointer dx, const GradPoolDesc * p, gboolean bf16, gsize block, const GradNormGradient * g)
{
  gsize width = (gsize) p->iw * block;

  for (gint iy = 0; iy < p->ih; iy++) {
    WindowRow rows[GRAD_NORM_POOL_MAX_KERNEL];
    gint n_rows = 0, last = MIN ((iy + p->padding) / p->stride, p->oh - 1);

    for (gint oy = last; oy >= 0; oy--) {
      gint i = iy + p->padding - oy * p->stride;        /* which row of the window */
      gsize at = (gsize) oy * p->ow * block;

      if (i >= p->kernel)
        break;
      rows[n_rows++] = (WindowRow) { places + at, grad_at (dy, at, bf16), i * p->kernel };
    }
    CALL (gradient_row, block, grad_at (x, iy * width, bf16), rows, n_rows,
        grad_at (dx, iy * width, bf16), p, g, bf16);
  }
}
