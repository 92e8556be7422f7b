/* GradStreamer kernels: loops of norm-pool.c, for pixels of LANES channels
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * To be included with LANES defined. Loops take kernel and stride as arguments beside what else
 * they know of the pooling, so that the ones there are in networks can be constants. */
#include "norm-vectors.h"

/* kernel and stride that loops are made for in particular */
#define SPECIAL(p) ((p)->kernel == 3 && (p)->stride == 2)

#define Winner NAME (Winner)
#define Window NAME (Window)

/* the largest value of a window, or of one row of it */
typedef struct
{
  Vector value;
  Bits place;
} Winner;

typedef struct
{
  Vector dy;
  Bits place;
} Window;

/* value, at place, wins if it is larger */
GRAD_INLINE void
NAME (challenge) (Winner * w, const Vector * value, const Bits * place)
{
  Bits won = (Bits) (*value > w->value);

  w->value = (Vector) (((Bits) * value & won) | ((Bits) w->value & ~won));
  w->place = (*place & won) | (w->place & ~won);
}

/* of pixels first to last - 1 of a window that starts at pixel left */
GRAD_INLINE void
NAME (challenge_pixels) (gconstpointer x, gint left, gint first, gint last, gboolean bf16,
    const Vector * a, Winner * w)
{
  for (gint j = first; j < last; j++) {
    Bits place = (Bits) { 0 } + (guint) j;
    Vector value;

    NAME (load) (x, left + j, bf16, &value);
    value = (value - a[0]) * a[1] + a[2];
    if (bf16)
      NAME (round) (&value);
    if (j == first)
      *w = (Winner) { value, place };
    else
      NAME (challenge) (w, &value, &place);
  }
}

GRAD_INLINE void
NAME (winners_loop) (gconstpointer x, const GradPoolDesc * p, const GradNormAffine * affine,
    gpointer winners, gboolean bf16, gint kernel, gint stride)
{
  Vector a[3];

  NAME (load) (affine->mean, 0, FALSE, &a[0]);
  NAME (load) (affine->scale, 0, FALSE, &a[1]);
  NAME (load) (affine->shift, 0, FALSE, &a[2]);
  for (gint ox = 0; ox < p->ow; ox++) {
    gint left = ox * stride - p->padding;
    Winner w;

    for (gint j = 0; j < stride; j++)
      NAME (prefetch) (x, ox * stride + j, bf16);
    if (left >= 0 && left + kernel <= p->iw)
      NAME (challenge_pixels) (x, left, 0, kernel, bf16, a, &w);
    else
      NAME (challenge_pixels) (x, left, MAX (-left, 0), MIN (kernel, p->iw - left), bf16, a, &w);
    ((Winner *) winners)[ox] = w;
  }
}

/* Of one row x of pixels: the winners of its part of each window, normalised. Their places are
 * columns. */
GRAD_CLONES static void
NAME (row_winners) (gconstpointer x, const GradPoolDesc * p, const GradNormAffine * a,
    gpointer winners, gboolean bf16)
{
  if (bf16 && SPECIAL (p))
    NAME (winners_loop) (x, p, a, winners, TRUE, 3, 2);
  else if (bf16)
    NAME (winners_loop) (x, p, a, winners, TRUE, p->kernel, p->stride);
  else if (SPECIAL (p))
    NAME (winners_loop) (x, p, a, winners, FALSE, 3, 2);
  else
    NAME (winners_loop) (x, p, a, winners, FALSE, p->kernel, p->stride);
}

/* One row of windows, of which rows `from` up to `to` are in the picture */
GRAD_CLONES static void
NAME (windows) (gconstpointer const *winners, gint from, gint to, const GradPoolDesc * p,
    gpointer y, guint8 * places, gboolean bf16)
{
  for (gint ox = 0; ox < p->ow; ox++) {
    Winner w = ((const Winner *) winners[from])[ox];
    Bits cut;
    Half half;                  /* compilers convert better in two steps */

    w.place += (guint) (from * p->kernel);
    for (gint i = from + 1; i < to; i++) {
      const Winner *row = (const Winner *) winners[i] + ox;
      Bits place = row->place + (guint) (i * p->kernel);

      NAME (challenge) (&w, &row->value, &place);
    }
    cut = ~(Bits) (w.value > 0);
    NAME (relu) (&w.value);
    NAME (write) (y, ox, bf16, &w.value);
    half = __builtin_convertvector (w.place | (cut & CUT), Half);
    ((Bytes *) places)[ox] = __builtin_convertvector (half, Bytes);
  }
}

/* the places of one window's values */
GRAD_INLINE void
NAME (load_places) (const guint8 * places, gsize pixel, Bits * place)
{
  Half half = __builtin_convertvector (((const Bytes *) places)[pixel], Half);

  *place = __builtin_convertvector (half, Bits);
}

/* The value of the window's pixel at place, 0 if there is none, of columns first to last - 1. That of
 * bfloat16 is looked for as it is stored. */
GRAD_INLINE void
NAME (pick) (gconstpointer const *rows, gint from, gint to, gint left, gint first, gint last,
    gint kernel, const Bits * place, gboolean bf16, Vector * picked)
{
  Half half = __builtin_convertvector (*place, Half), here = { 0 };
  Bits bits = { 0 };

  for (gint i = from; i < to; i++)
    for (gint j = first; j < last; j++)
      if (bf16)
        here |= ((const Half *) rows[i])[left + j] & (Half) (half == (guint16) (i * kernel + j));
      else
        bits |= (Bits) ((const Floats *) rows[i])[left + j]
            & (Bits) (*place == (guint) (i * kernel + j));
  if (bf16)
    bits = __builtin_convertvector (here, Bits) << 16;
  *picked = (Vector) bits;
}

GRAD_INLINE void
NAME (sums_loop) (gconstpointer const *rows, gint from, gint to, const GradPoolDesc * p,
    const guint8 * places, gconstpointer dy, const gfloat * means, gdouble * sum_dz,
    gdouble * sum_dz_x, gboolean bf16, gint kernel, gint stride)
{
  Vector mean, dz, x, s = { 0 }, sx = { 0 };
  Bits place;

  NAME (load) (means, 0, FALSE, &mean);
  for (gint ox = 0; ox < p->ow; ox++) {
    gint left = ox * stride - p->padding;

    NAME (load_places) (places, ox, &place);
    NAME (read) (dy, ox, bf16, &dz);
    for (gint j = 0; j < stride * stride; j++)   /* of the rows to come */
      NAME (prefetch) (rows[to - 1], ox * stride * stride + j, bf16);
    dz = (Vector) ((Bits) dz & (Bits) (place != CUT));
    if (from == 0 && to == kernel && left >= 0 && left + kernel <= p->iw)
      NAME (pick) (rows, 0, kernel, left, 0, kernel, kernel, &place, bf16, &x);
    else
      NAME (pick) (rows, from, to, left, MAX (-left, 0), MIN (kernel, p->iw - left), kernel, &place,
          bf16, &x);
    s += dz;
    sx += dz * (x - mean);
  }
  NAME (add) (sum_dz, &s);
  NAME (add) (sum_dz_x, &sx);
}

/* One row of windows, whose rows `from` up to `to` are in the picture; rows: of x */
GRAD_CLONES static void
NAME (sums_row) (gconstpointer const *rows, gint from, gint to, const GradPoolDesc * p,
    const guint8 * places, gconstpointer dy, const gfloat * mean, gdouble * sum_dz,
    gdouble * sum_dz_x, gboolean bf16)
{
  if (bf16 && SPECIAL (p))
    NAME (sums_loop) (rows, from, to, p, places, dy, mean, sum_dz, sum_dz_x, TRUE, 3, 2);
  else if (bf16)
    NAME (sums_loop) (rows, from, to, p, places, dy, mean, sum_dz, sum_dz_x, TRUE, p->kernel,
        p->stride);
  else if (SPECIAL (p))
    NAME (sums_loop) (rows, from, to, p, places, dy, mean, sum_dz, sum_dz_x, FALSE, 3, 2);
  else
    NAME (sums_loop) (rows, from, to, p, places, dy, mean, sum_dz, sum_dz_x, FALSE, p->kernel,
        p->stride);
}

/* Pixels are gone through by windows: with window ox, those that it has and the one before has not. No
 * more than `before` windows before it have them. */
GRAD_INLINE void
NAME (gradient_loop) (gconstpointer x, const WindowRow * rows, gint n_rows, gpointer dx,
    const GradPoolDesc * p, const GradNormGradient * g, gboolean bf16, gint kernel, gint stride)
{
  Window windows[GRAD_NORM_POOL_MAX_KERNEL][GRAD_NORM_POOL_MAX_KERNEL]; /* of each row, ox first */
  gint before = (kernel - 1) / stride, end = (p->iw + p->padding + stride - 1) / stride;
  Vector mean, scale, slope, shift;

  NAME (load) (g->mean, 0, FALSE, &mean);
  NAME (load) (g->scale, 0, FALSE, &scale);
  NAME (load) (g->slope, 0, FALSE, &slope);
  NAME (load) (g->shift, 0, FALSE, &shift);
  for (gint r = 0; r < n_rows; r++)
    for (gint i = 0; i <= before; i++)
      windows[r][i] = (Window) { { 0 }, { 0 } };
  for (gint ox = 0; ox < end; ox++) {
    for (gint r = 0; r < n_rows; r++) {
      for (gint i = before; i > 0; i--)
        windows[r][i] = windows[r][i - 1];
      windows[r][0] = (Window) { { 0 }, { 0 } };
      if (ox < p->ow) {
        NAME (load) (rows[r].dy, ox, bf16, &windows[r][0].dy);
        NAME (load_places) (rows[r].places, ox, &windows[r][0].place);
      }
    }
    for (gint j = 0; j < stride; j++) {
      gint ix = ox * stride - p->padding + j;
      Vector value, dz = { 0 };

      if (ix < 0 || ix >= p->iw)
        continue;
      for (gint r = 0; r < n_rows; r++)
        for (gint i = 0, k = j; k < kernel; i++, k += stride)
          dz += (Vector) ((Bits) windows[r][i].dy
              & (Bits) (windows[r][i].place == (guint) (rows[r].place + k)));
      NAME (read) (x, ix, bf16, &value);
      value = scale * dz + (slope * (value - mean) + shift);
      if (bf16)
        NAME (round) (&value);
      NAME (write) (dx, ix, bf16, &value);
    }
  }
}

GRAD_INLINE void
NAME (gradient_loops) (gconstpointer x, const WindowRow * rows, gint n_rows, gpointer dx,
    const GradPoolDesc * p, const GradNormGradient * g, gboolean bf16)
{
  if (SPECIAL (p) && n_rows == 1)
    NAME (gradient_loop) (x, rows, 1, dx, p, g, bf16, 3, 2);
  else if (SPECIAL (p) && n_rows == 2)
    NAME (gradient_loop) (x, rows, 2, dx, p, g, bf16, 3, 2);
  else
    NAME (gradient_loop) (x, rows, n_rows, dx, p, g, bf16, p->kernel, p->stride);
}

/* One row of pixels; rows: of windows which have it */
GRAD_CLONES static void
NAME (gradient_row) (gconstpointer x, const WindowRow * rows, gint n_rows, gpointer dx,
    const GradPoolDesc * p, const GradNormGradient * g, gboolean bf16)
{
  if (bf16)
    NAME (gradient_loops) (x, rows, n_rows, dx, p, g, TRUE);
  else
    NAME (gradient_loops) (x, rows, n_rows, dx, p, g, FALSE);
}

#undef Window
#undef Winner
#undef SPECIAL
#include "norm-vectors-end.h"
