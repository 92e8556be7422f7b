/* GradStreamer kernels: loops of the gradient of a stem's weights, for LANES channels of dy at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * To be included behind lanes-16.h, lanes-8.h or lanes-4.h. */
#include "im2col.h"
#include "vectors.h"

#include <string.h>

/* as it lies anywhere */
typedef gfloat Loose __attribute__ ((vector_size (4 * LANES), aligned (4), may_alias));

/* pixels first, …, end - 1 of a picture of y, row by row */
typedef struct
{
  gint picture, first, end;
} Chunk;

INLINE Chunk
find_chunk (const GradIm2col * self, gsize i)
{
  gint64 k = i % self->n_chunks, pixels = (gint64) self->desc.oh * self->desc.ow;

  return (Chunk) {
    i / self->n_chunks, pixels * k / self->n_chunks, pixels * (k + 1) / self->n_chunks};
}

/* What a chunk sees of a picture x (I, IH, IW), zeros around it: (I, rows, width) */
INLINE void
copy_rows (const GradIm2col * self, const gfloat * x, const Chunk * chunk, gfloat * buffer)
{
  const GradConvDesc *d = &self->desc;
  gint first = chunk->first / d->ow * d->stride - d->padding;
  gint end = (chunk->end - 1) / d->ow * d->stride - d->padding + d->kernel;
  gsize width = grad_im2col_width (self);

  for (gint c = 0; c < d->ic; c++)
    for (gint row = first; row < end; row++) {
      gfloat *to = buffer + (c * self->rows + row - first) * width;

      memset (to, 0, width * sizeof (gfloat));
      if (row >= 0 && row < d->ih)
        memcpy (to + d->padding, x + ((gsize) c * d->ih + row) * d->iw, d->iw * sizeof (gfloat));
    }
}

/* The matrix (pixels, pitch) of n pixels of a row of y. Whole vectors are copied: what is too much of one tap's lies where the next ones
 * belong, and is replaced by them. */
INLINE void
unfold_row (const GradIm2col * self, const gfloat * x, gint n, gfloat * to)
{
  gint kernel = self->desc.kernel, stride = self->desc.stride, pitch = self->pitch;
  gsize width = grad_im2col_width (self);

  for (gint c = 0; c < self->desc.ic; c++)
    for (gint p = 0; p < kernel; p++, to += kernel)
      for (gint q = 0; q < kernel; q += LANES) {
        const gfloat *from = x + (c * self->rows + p) * width + q;

        for (gint i = 0; i < n; i++)
          *(Loose *) (to + i * pitch + q) = *(const Loose *) (from + i * stride);
      }
  for (gint i = 0; i < n && self->desc.bias; i++)
    to[i * pitch] = 1;
}

INLINE void
unfold (const GradIm2col * self, const gfloat * x, const Chunk * chunk, gfloat * to)
{
  const GradConvDesc *d = &self->desc;
  gint first_row = chunk->first / d->ow;

  for (gint i = chunk->first, end; i < chunk->end; i = end) {
    gint row = i / d->ow, column = i % d->ow;

    end = MIN ((row + 1) * d->ow, chunk->end);
    unfold_row (self, x + (row - first_row) * d->stride * grad_im2col_width (self) + column * d->stride,
        end - i, to);
    to += (gsize) (end - i) * self->pitch;
  }
}

/* sums (columns, vectors) = or += matrix^T (columns, n) dy (n, vectors), whose second vector lies `next` elements behind the first */
INLINE void
multiply (gint columns, gint vectors, gboolean bf16, const GradIm2col * self, const gfloat * matrix,
    gconstpointer dy, gsize next, gint n, gfloat * sums, gboolean add)
{
  Vector sum[ROWS][2] = { {{ 0 }} };

  for (gint i = 0; i < n; i++, matrix += self->pitch, dy = grad_at (dy, LANES, bf16)) {
    Vector dy0 = load_pixel (dy, bf16);
    Vector dy1 = vectors > 1 ? load_pixel (grad_at (dy, next, bf16), bf16) : dy0;

#pragma GCC unroll 16
    for (gint j = 0; j < columns; j++) {
      sum[j][0] += matrix[j] * dy0;
      if (vectors > 1)
        sum[j][1] += matrix[j] * dy1;
    }
  }
#pragma GCC unroll 16
  for (gint j = 0; j < columns; j++)
#pragma GCC unroll 2
    for (gint v = 0; v < vectors; v++) {
      Vector *to = (Vector *) (sums + (gsize) j * self->desc.oc) + v;

      if (add)
        sum[j][v] += *to;
      *to = sum[j][v];
    }
}

/* all columns, in tiles of about the same size */
INLINE void
multiply_columns (gint vectors, gboolean bf16, const GradIm2col * self, const gfloat * matrix,
    gconstpointer dy, gsize next, gint n, gfloat * sums, gboolean add)
{
  gint n_tiles = (self->n_columns + ROWS - 1) / ROWS;

  for (gint tile = 0, begin = 0, end; tile < n_tiles; tile++, begin = end) {
    end = self->n_columns * (tile + 1) / n_tiles;
    switch (end - begin) {
#define CASE(columns) \
      case columns: \
        multiply (columns, vectors, bf16, self, matrix + begin, dy, next, n, \
            sums + (gsize) begin * self->desc.oc, add); \
        break;
        FOR_ROWS (CASE)
#undef CASE
    }
  }
}

INLINE void
run_part (gboolean bf16, const GradIm2col * self, const gfloat * x, gconstpointer dy, gsize first,
    gsize end, gfloat * sums, gfloat * buffer)
{
  const GradConvDesc *d = &self->desc;
  gfloat *matrix = buffer + grad_im2col_x_size (self);
  gsize plane = (gsize) d->oh * d->ow, next = plane * LANES;

  for (gsize i = first; i < end; i++) {
    Chunk chunk = find_chunk (self, i);
    gint n = chunk.end - chunk.first;

    copy_rows (self, x + (gsize) chunk.picture * d->ic * d->ih * d->iw, &chunk, buffer);
    unfold (self, buffer, &chunk, matrix);
    for (gint o = 0; o < d->oc; o += 2 * LANES) {
      gsize at = ((gsize) chunk.picture * d->oc + o) * plane + (gsize) chunk.first * LANES;
      gconstpointer from = grad_at (dy, at, bf16);

      if (o + LANES < d->oc)
        multiply_columns (2, bf16, self, matrix, from, next, n, sums + o, i > first);
      else
        multiply_columns (1, bf16, self, matrix, from, next, n, sums + o, i > first);
    }
  }
}

TARGET static void
part (const GradIm2col * self, const gfloat * x, gconstpointer dy, gsize first, gsize end,
    gfloat * sums, gfloat * buffer)
{
  if (self->bf16)
    run_part (TRUE, self, x, dy, first, end, sums, buffer);
  else
    run_part (FALSE, self, x, dy, first, end, sums, buffer);
}

const GradIm2colPart NAME (grad_im2col_part) = part;
