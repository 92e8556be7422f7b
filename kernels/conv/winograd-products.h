/* GradStreamer kernels: the matrix products of Winograd's convolution
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One for each position of a tile. With stride 2 some positions have the same weights (winograd-schemes.h): these follow
 * each other, so that a panel of u or du that is in the cache serves them all. */
#include "multiply.h"

#define MAX_SHARED 16           /* positions */

/* The positions of a tile that have matrix (y, x) of the weights, of which the last one of an axis may repeat */
INLINE gint
find_positions (const GradWinograd * self, gint matrix, gint positions[MAX_SHARED])
{
  gint last = self->m + 1, y = matrix / (last + 1), x = matrix % (last + 1), n = 0;

  for (gint i = y; i < (y == last ? self->size : y + 1); i++)
    for (gint j = x; j < (x == last ? self->size : x + 1); j++)
      positions[n++] = i * self->size + j;
  return n;
}

/* product (T, panel) = v (T, I) u (I, panel) for one position; product: (2, T, LANES) */
INLINE void
multiply_panel (gint vectors, const GradWinograd * self, const gfloat * v, const gfloat * u,
    gint count, gfloat * product)
{
  gsize block = (gsize) self->chunk * LANES, width = vectors * LANES;

  multiply_rows (count, vectors, self->ic / LANES, (Left) {v, LANES, 1, block},
      (Right) {u, width, width * LANES, LANES}, (Product) {product, LANES, block}, FALSE, TRUE,
      self->u_step);
}

/* A panel of the products of a chunk of `count` tiles; u: the first matrix's; product: (positions, 2, T, LANES) */
TARGET static void
multiply (gint vectors, const GradWinograd * self, const gfloat * v, const gfloat * u, gint count,
    gfloat * product)
{
  gint positions[MAX_SHARED];
  gsize block = (gsize) self->chunk * LANES;

  for (gint matrix = 0; matrix < (self->m + 2) * (self->m + 2); matrix++, u += self->u_step) {
    gint n = find_positions (self, matrix, positions);

    for (gint k = 0; k < n; k++) {
      const gfloat *from = v + positions[k] * block * (self->ic / LANES);
      gfloat *to = product + positions[k] * 2 * block;

      if (vectors == 2)
        multiply_panel (2, self, from, u, count, to);
      else
        multiply_panel (1, self, from, u, count, to);
    }
  }
}

/* du (I, panel) = or += v (T, I) w (T, panel) for one position */
INLINE void
multiply_panel_gradient (gint vectors, const GradWinograd * self, const gfloat * v,
    const gfloat * w, gint count, gfloat * du, gboolean accumulate)
{
  gsize block = (gsize) self->chunk * LANES, width = vectors * LANES;

  for (gint i = 0; i < self->ic; i += GRADIENT_ROWS)
    multiply_tile (GRADIENT_ROWS, vectors, 1, count,
        (Left) {v + i / LANES * block + i % LANES, 1, LANES}, (Right) {w, LANES, 0, block},
        (Product) {du + i * width, width, LANES}, accumulate, FALSE, 0);
}

/* what a chunk gives for a panel; du: the first matrix's; w: (positions, 2, T, LANES) */
TARGET static void
multiply_gradient (gint vectors, const GradWinograd * self, const gfloat * v, const gfloat * w,
    gint count, gfloat * du, gboolean accumulate)
{
  gint positions[MAX_SHARED];
  gsize block = (gsize) self->chunk * LANES;

  for (gint matrix = 0; matrix < (self->m + 2) * (self->m + 2); matrix++, du += self->u_step) {
    gint n = find_positions (self, matrix, positions);

    for (gint k = 0; k < n; k++) {
      const gfloat *a = v + positions[k] * block * (self->ic / LANES);
      const gfloat *b = w + positions[k] * 2 * block;

      if (vectors == 2)
        multiply_panel_gradient (2, self, a, b, count, du, accumulate || k > 0);
      else
        multiply_panel_gradient (1, self, a, b, count, du, accumulate || k > 0);
    }
  }
}
