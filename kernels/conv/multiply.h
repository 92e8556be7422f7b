/* GradStreamer kernels: products of matrices with one or two vectors of columns, as many rows at a time as registers hold
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * To be included behind lanes-16.h, lanes-8.h or lanes-4.h. */
#include "vectors.h"

#define K_BLOCKS (128 / LANES)  /* that are multiplied at a time: their part of the right factor stays in the first-level cache */

/* The factors and the product, and how many floats it is from one element, row, block of columns or vector of columns to the next */
typedef struct
{
  const gfloat *at;
  gsize row, k, block;
} Left;

typedef struct
{
  const gfloat *at;
  gsize k, block, vector;
} Right;

typedef struct
{
  gfloat *at;
  gsize row, vector;
} Product;

/* c (rows, vectors) = or += a (rows, k_blocks * k) b (k_blocks * k, vectors); what lies `ahead` of b may be fetched into the
 * second-level cache */
INLINE void
multiply_tile (gint rows, gint vectors, gint k_blocks, gint k, Left a, Right b, Product c,
    gboolean accumulate, gboolean prefetch, gsize ahead)
{
  Vector sum[ROWS][2];

#pragma GCC unroll 16
  for (gint r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (gint v = 0; v < vectors; v++)
      sum[r][v] = accumulate ? *(const Vector *) (c.at + r * c.row + v * c.vector) : (Vector) { 0 };
  for (; k_blocks > 0; k_blocks--, a.at += a.block, b.at += b.block)
    for (gint i = 0; i < k; i++) {
      const gfloat *left = a.at + i * a.k, *right = b.at + i * b.k;
      Vector b0 = *(const Vector *) right;
      Vector b1 = vectors > 1 ? *(const Vector *) (right + b.vector) : b0;

      if (prefetch) {
        __builtin_prefetch (right + ahead, 0, 2);
        __builtin_prefetch (right + ahead + b.vector, 0, 2);
      }

#pragma GCC unroll 16
      for (gint r = 0; r < rows; r++) {
        sum[r][0] += left[r * a.row] * b0;
        if (vectors > 1)
          sum[r][1] += left[r * a.row] * b1;
      }
    }
#pragma GCC unroll 16
  for (gint r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (gint v = 0; v < vectors; v++)
      *(Vector *) (c.at + r * c.row + v * c.vector) = sum[r][v];
}

/* the same for any number of rows, with blocks of LANES columns of a */
INLINE void
multiply_rows (gint rows, gint vectors, gint n_blocks, Left a, Right b, Product c,
    gboolean accumulate, gboolean prefetch, gsize ahead)
{
  gint n_tiles = (rows + ROWS - 1) / ROWS;

  for (gint k = 0; k < n_blocks; k += K_BLOCKS)
    for (gint i = 0; i < n_tiles; i++) {        /* each of about as many rows */
      gint r = rows * i / n_tiles, k_blocks = MIN (K_BLOCKS, n_blocks - k);

      switch (rows * (i + 1) / n_tiles - r) {
#define CASE(n) \
        case n: \
          multiply_tile (n, vectors, k_blocks, LANES, \
              (Left) {a.at + k * a.block + r * a.row, a.row, a.k, a.block}, \
              (Right) {b.at + k * b.block, b.k, b.block, b.vector}, \
              (Product) {c.at + r * c.row, c.row, c.vector}, accumulate || k > 0, prefetch, ahead); \
          break;
          FOR_ROWS (CASE)
#undef CASE
      }
    }
}
