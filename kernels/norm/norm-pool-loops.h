/* GradStreamer kernels: loops of norm-pool.c, for pixels of LANES channels
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * To be included with LANES defined. Vectors are spelt out, lest a compiler vectorise over the few
 * pixels of a window. */

#define NAME(name) G_PASTE (name##_, LANES)
#define Vector NAME (Vector)
#define Bits NAME (Bits)
#define Half NAME (Half)
#define Bytes NAME (Bytes)

typedef gfloat Vector __attribute__ ((vector_size (4 * LANES), may_alias));
typedef guint32 Bits __attribute__ ((vector_size (4 * LANES)));
typedef guint16 Half __attribute__ ((vector_size (2 * LANES), may_alias));
typedef guint8 Bytes __attribute__ ((vector_size (LANES), may_alias));

GRAD_INLINE void
NAME (load) (gconstpointer data, gsize pixel, gboolean bf16, Vector * value)
{
  if (bf16)
    *value = (Vector) (__builtin_convertvector (((const Half *) data)[pixel], Bits) << 16);
  else
    *value = ((const Vector *) data)[pixel];
}

GRAD_INLINE void
NAME (store) (gpointer data, gsize pixel, gboolean bf16, const Vector * value)
{
  Bits bits = (Bits) *value, nan = (Bits) (*value != *value);

  if (bf16)
    ((Half *) data)[pixel] = __builtin_convertvector ((((bits | 0x400000) & nan)
            | ((bits + 0x7fff + (bits >> 16 & 1)) & ~nan)) >> 16, Half);
  else
    ((Vector *) data)[pixel] = *value;
}

/* *_row() but the last take one row of windows, whose rows `from` up to `to` are in the picture. */

GRAD_INLINE void
NAME (pool_loop) (gconstpointer const *rows, gint from, gint to, const GradPoolDesc * p,
    gpointer y, guint8 * places, gboolean bf16)
{
  for (gint ox = 0; ox < p->ow; ox++) {
    gint left = ox * p->stride - p->padding, first = MAX (-left, 0);
    gint last = MIN (p->kernel, p->iw - left);
    Vector best, value;
    Bits won, place = { 0 };
    Half half;                  /* compilers convert better in two steps */

    NAME (load) (rows[from], left + first, bf16, &best);
    place += from * p->kernel + first;
    for (gint i = from; i < to; i++)
      for (gint j = first; j < last; j++) {
        NAME (load) (rows[i], left + j, bf16, &value);
        won = (Bits) (value > best);
        best = (Vector) (((Bits) value & won) | ((Bits) best & ~won));
        place = ((i * p->kernel + j) & won) | (place & ~won);
      }
    NAME (store) (y, ox, bf16, &best);
    won = (Bits) (best > 0);
    half = __builtin_convertvector ((place & won) | (CUT & ~won), Half);
    ((Bytes *) places)[ox] = __builtin_convertvector (half, Bytes);
  }
}

GRAD_CLONES static void
NAME (pool_row) (gconstpointer const *rows, gint from, gint to, const GradPoolDesc * p, gpointer y,
    guint8 * places, gboolean bf16)
{
  if (bf16)
    NAME (pool_loop) (rows, from, to, p, y, places, TRUE);
  else
    NAME (pool_loop) (rows, from, to, p, y, places, FALSE);
}

/* the places of one window's values */
GRAD_INLINE void
NAME (load_places) (const guint8 * places, gsize pixel, Bits * place)
{
  Half half = __builtin_convertvector (((const Bytes *) places)[pixel], Half);

  *place = __builtin_convertvector (half, Bits);
}

GRAD_INLINE void
NAME (sums_loop) (gconstpointer const *rows, gint from, gint to, const GradPoolDesc * p,
    const guint8 * places, gconstpointer dy, const gfloat * mean, gdouble * sum_dz,
    gdouble * sum_dz_x, gboolean bf16)
{
  Vector centre, dz, x, value, s = { 0 }, sx = { 0 };
  Bits place, won;

  memcpy (&centre, mean, sizeof centre);
  for (gint ox = 0; ox < p->ow; ox++) {
    gint left = ox * p->stride - p->padding, first = MAX (-left, 0);
    gint last = MIN (p->kernel, p->iw - left);

    NAME (load_places) (places, ox, &place);
    NAME (load) (dy, ox, bf16, &dz);
    dz = (Vector) ((Bits) dz & (Bits) (place != CUT));
    x = centre;
    for (gint i = from; i < to; i++)
      for (gint j = first; j < last; j++) {
        NAME (load) (rows[i], left + j, bf16, &value);
        won = (Bits) (place == (guint) (i * p->kernel + j));
        x = (Vector) (((Bits) value & won) | ((Bits) x & ~won));
      }
    s += dz;
    sx += dz * (x - centre);
  }
  for (gsize l = 0; l < LANES; l++) {
    sum_dz[l] += s[l];
    sum_dz_x[l] += sx[l];
  }
}

GRAD_CLONES static void
NAME (sums_row) (gconstpointer const *rows, gint from, gint to, const GradPoolDesc * p,
    const guint8 * places, gconstpointer dy, const gfloat * mean, gdouble * sum_dz,
    gdouble * sum_dz_x, gboolean bf16)
{
  if (bf16)
    NAME (sums_loop) (rows, from, to, p, places, dy, mean, sum_dz, sum_dz_x, TRUE);
  else
    NAME (sums_loop) (rows, from, to, p, places, dy, mean, sum_dz, sum_dz_x, FALSE);
}

/* rows: of dz, to which is added what the windows' winners have */
GRAD_INLINE void
NAME (scatter_loop) (gpointer const *rows, gint from, gint to, const GradPoolDesc * p,
    const guint8 * places, gconstpointer dy, gboolean bf16)
{
  for (gint ox = 0; ox < p->ow; ox++) {
    gint left = ox * p->stride - p->padding, first = MAX (-left, 0);
    gint last = MIN (p->kernel, p->iw - left);
    Vector value;
    Bits place;

    NAME (load_places) (places, ox, &place);
    NAME (load) (dy, ox, bf16, &value);
    for (gint i = from; i < to; i++)
      for (gint j = first; j < last; j++)
        ((Vector *) rows[i])[left + j] += (Vector) ((Bits) value
            & (Bits) (place == (guint) (i * p->kernel + j)));
  }
}

GRAD_CLONES static void
NAME (scatter_row) (gpointer const *rows, gint from, gint to, const GradPoolDesc * p,
    const guint8 * places, gconstpointer dy, gboolean bf16)
{
  if (bf16)
    NAME (scatter_loop) (rows, from, to, p, places, dy, TRUE);
  else
    NAME (scatter_loop) (rows, from, to, p, places, dy, FALSE);
}

/* n pixels; dz becomes zero again */
GRAD_INLINE void
NAME (gradient_loop) (gconstpointer x, gpointer dz, gpointer dx, gint n,
    const GradNormGradient * g, gboolean bf16)
{
  Vector mean, scale, slope, shift, value;

  memcpy (&mean, g->mean, sizeof mean);
  memcpy (&scale, g->scale, sizeof scale);
  memcpy (&slope, g->slope, sizeof slope);
  memcpy (&shift, g->shift, sizeof shift);
  for (gint i = 0; i < n; i++) {
    NAME (load) (x, i, bf16, &value);
    value = scale * ((Vector *) dz)[i] + (slope * (value - mean) + shift);
    NAME (store) (dx, i, bf16, &value);
    ((Vector *) dz)[i] = (Vector) { 0 };
  }
}

GRAD_CLONES static void
NAME (gradient_row) (gconstpointer x, gpointer dz, gpointer dx, gint n,
    const GradNormGradient * g, gboolean bf16)
{
  if (bf16)
    NAME (gradient_loop) (x, dz, dx, n, g, TRUE);
  else
    NAME (gradient_loop) (x, dz, dx, n, g, FALSE);
}

#undef Bytes
#undef Half
#undef Bits
#undef Vector
#undef NAME
#undef LANES
