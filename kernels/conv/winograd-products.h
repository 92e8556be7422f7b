/* GradStreamer kernels: the matrix products of Winograd's convolution
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One for each position of a tile. With stride 2 some positions have the same weights (winograd-schemes.h): these follow
 * each other, so that a panel of u or du that is in the cache serves them all. */

#define MAX_K_BLOCKS (128 / LANES)      /* a panel of u stays in the first-level cache */
#define MAX_SHARED 16           /* positions */

/* The positions of a tile that have matrix (y, x) of the weights, of which the last one of an axis may repeat */
GRAD_INLINE gint
find_positions (const GradWinograd * self, gint matrix, gint positions[MAX_SHARED])
{
  gint last = self->m + 1, y = matrix / (last + 1), x = matrix % (last + 1), n = 0;

  for (gint i = y; i < (y == last ? self->size : y + 1); i++)
    for (gint j = x; j < (x == last ? self->size : x + 1); j++)
      positions[n++] = i * self->size + j;
  return n;
}

/* c (R, N vectors) = or += sum over k_blocks * k of a (R, k) b (k, N vectors); steps in floats. What lies `ahead` of b is
 * fetched into the second-level cache. */
GRAD_INLINE void
multiply_tile (gint rows, gint vectors, gint k_blocks, gint k, const gfloat * a, gsize a_row,
    gsize a_k, gsize a_block, const gfloat * b, gsize b_k, gsize b_vector, gfloat * c,
    gsize c_row, gsize c_vector, gboolean accumulate, gboolean prefetch, gsize ahead)
{
  Vector sum[ROWS][2];

#pragma GCC unroll 16
  for (gint r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (gint v = 0; v < vectors; v++)
      sum[r][v] = accumulate ? *(const Vector *) (c + r * c_row + v * c_vector) : (Vector) { 0 };
  for (; k_blocks > 0; k_blocks--, a += a_block)
    for (gint i = 0; i < k; i++, b += b_k) {
      Vector b0 = *(const Vector *) b;
      Vector b1 = vectors > 1 ? *(const Vector *) (b + b_vector) : b0;

      if (prefetch) {
        __builtin_prefetch (b + ahead, 0, 2);
        __builtin_prefetch (b + ahead + b_vector, 0, 2);
      }

#pragma GCC unroll 16
      for (gint r = 0; r < rows; r++) {
        sum[r][0] += a[r * a_row + i * a_k] * b0;
        if (vectors > 1)
          sum[r][1] += a[r * a_row + i * a_k] * b1;
      }
    }
#pragma GCC unroll 16
  for (gint r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (gint v = 0; v < vectors; v++)
      *(Vector *) (c + r * c_row + v * c_vector) = sum[r][v];
}

/* product (T, panel) = v (T, I) u (I, panel) for one position; product: (2, T, LANES) */
GRAD_INLINE void
multiply_panel (gint vectors, const GradWinograd * self, const gfloat * v, const gfloat * u,
    gint count, gfloat * product)
{
  gsize block = (gsize) self->chunk * LANES;
  gint n_blocks = self->ic / LANES, n_steps = (count + ROWS - 1) / ROWS;

  for (gint k = 0; k < n_blocks; k += MAX_K_BLOCKS)
    for (gint i = 0; i < n_steps; i++) {        /* each of about as many rows */
      gint t = count * i / n_steps, k_blocks = MIN (MAX_K_BLOCKS, n_blocks - k);

      switch (count * (i + 1) / n_steps - t) {
#define CASE(rows) \
        case rows: \
          multiply_tile (rows, vectors, k_blocks, LANES, v + k * block + t * LANES, LANES, 1, block, \
              u + (gsize) k * LANES * vectors * LANES, vectors * LANES, LANES, \
              product + t * LANES, LANES, block, k > 0, TRUE, self->u_step); \
          break;
          FOR_ROWS (CASE)
#undef CASE
      }
    }
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
GRAD_INLINE void
multiply_panel_gradient (gint vectors, const GradWinograd * self, const gfloat * v,
    const gfloat * w, gint count, gfloat * du, gboolean accumulate)
{
  gsize block = (gsize) self->chunk * LANES;

  for (gint i = 0; i < self->ic; i += GRADIENT_ROWS)
    multiply_tile (GRADIENT_ROWS, vectors, 1, count, v + i / LANES * block + i % LANES, 1, LANES, 0,
        w, LANES, block, du + (gsize) i * vectors * LANES, vectors * LANES, LANES, accumulate,
        FALSE, 0);
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
