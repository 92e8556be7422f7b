/* GradStreamer kernels: the weights of a resize in one direction
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A triangle filter, widened when the picture shrinks (antialiasing), in fixed point. Each sum of
 * weights times uint8 begins with GRAD_RESIZE_HALF and ends in grad_resize_round(). */
#pragma once

#include <glib.h>
#include <math.h>

#ifndef GRAD_BODY
#define GRAD_BODY static inline __attribute__ ((always_inline))
#endif

#define GRAD_RESIZE_BITS (32 - 8 - 2)   /* of the fraction of a weight */
#define GRAD_RESIZE_HALF (1 << (GRAD_RESIZE_BITS - 1))

/* out(o) = sum over t < n_taps of weights(t, o) in(first(o) + t) */
typedef struct
{
  gint in, out, n_taps;
  gint32 *first;                /* (OUT) */
  gint32 *weights;              /* (TAPS, OUT) */
} GradResizeTable;

GRAD_BODY guint8
grad_resize_round (gint32 sum)
{
  gint32 v = sum >> GRAD_RESIZE_BITS;

  return v < 0 ? 0 : v > 255 ? 255 : v;
}

/* Taps of output o: [*from, *to) */
static inline void
grad_resize_window (gint in, gint out, gint o, gdouble * centre, gint * from, gint * to)
{
  gdouble scale = (gdouble) in / out, radius = scale < 1 ? 1 : scale;

  *centre = (o + 0.5) * scale;
  *from = MAX ((gint) (*centre - radius + 0.5), 0);
  *to = MIN ((gint) (*centre + radius + 0.5), in);
}

/* All outputs get as many taps as the widest needs: some have weight 0. */
static inline void
grad_resize_table_init (GradResizeTable * table, gint in, gint out)
{
  gdouble stretch = MAX ((gdouble) in / out, 1), centre;
  gint from, to;

  *table = (GradResizeTable) {.in = in,.out = out };
  for (gint o = 0; o < out; o++) {
    grad_resize_window (in, out, o, &centre, &from, &to);
    table->n_taps = MAX (table->n_taps, to - from);
  }
  table->first = g_new (gint32, out);
  table->weights = g_new0 (gint32, (gsize) table->n_taps * out);

  for (gint o = 0; o < out; o++) {
    gdouble sum = 0;

    grad_resize_window (in, out, o, &centre, &from, &to);
    table->first[o] = MIN (from, in - table->n_taps);
    for (gint i = from; i < to; i++)
      sum += MAX (1 - fabs ((i - centre + 0.5) * (1 / stretch)), 0);
    for (gint i = from; i < to; i++) {
      gdouble weight = MAX (1 - fabs ((i - centre + 0.5) * (1 / stretch)), 0);

      if (sum != 0)
        weight /= sum;
      table->weights[(gsize) (i - table->first[o]) * out + o] =
          (gint32) (weight * (1 << GRAD_RESIZE_BITS) + 0.5);
    }
  }
}

static inline void
grad_resize_table_clear (GradResizeTable * table)
{
  g_free (table->first);
  g_free (table->weights);
}
