/* GradStreamer kernels: loops of the convolution of small pictures, for LANES channels at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * To be included behind lanes-16.h, lanes-8.h or lanes-4.h. */
#include "pixelwise.h"
#include "multiply.h"

#include <string.h>

TARGET static void
transpose (const GradPixelwise * self, const gfloat * weights, gfloat * w, gint o)
{
  gint o_blocks = self->oc / LANES, i_blocks = self->ic / LANES;

  for (gint i = 0; i < i_blocks; i++)
    for (gint tap = 0; tap < self->taps; tap++) {
      const gfloat *from = weights + (((gsize) i * o_blocks + o) * self->taps + tap) * LANES * LANES;
      gfloat *to = w + (((gsize) o * i_blocks + i) * self->taps + tap) * LANES * LANES;

      for (gint k = 0; k < LANES; k++)
        for (gint l = 0; l < LANES; l++)
          to[k * LANES + l] = from[l * LANES + k];
    }
}

INLINE void
pack_pictures (gboolean bf16, const GradPixelwise * self, gconstpointer from, gint c, gint pixels,
    gint first, gint at, gint count, Vector * to)
{
  gint blocks = c / LANES;

  for (gint t = at; t < at + count; t++)
    for (gint block = 0; block < blocks; block++) {
      gsize plane = ((gsize) (first + t) * blocks + block) * pixels;

      for (gint p = 0; p < pixels; p++)
        to[((gsize) p * blocks + block) * self->chunk + t] =
            load_pixel (grad_at (from, (plane + p) * LANES, bf16), bf16);
    }
}

/* product (2, chunk, LANES) = or += what pixels x of `count` pictures give by one tap for a panel of outputs: w's part */
INLINE void
multiply_pair (gint vectors, const GradPixelwise * self, const gfloat * x, const gfloat * w,
    gint count, gfloat * product, gboolean accumulate)
{
  gsize block = (gsize) self->chunk * LANES, w_block = (gsize) self->taps * LANES * LANES;
  gint n_blocks = self->ic / LANES;

  multiply_rows (count, vectors, n_blocks, (Left) {x, LANES, 1, block},
      (Right) {w, LANES, w_block, n_blocks * w_block}, (Product) {product, LANES, block},
      accumulate, FALSE, 0);
}

/* pixel `at` of a block of outputs: [relu] (product [+ b] [+ residual]) */
INLINE void
store_pixels (gboolean bf16, const GradPixelwise * self, const Vector * product, const gfloat * b,
    gconstpointer residual, gpointer y, gint first, gint count, gint o, gint at)
{
  Vector bias = { 0 };

  if (b)
    memcpy (&bias, b + o * LANES, sizeof bias);
  for (gint t = 0; t < count; t++) {
    gsize i = (((gsize) (first + t) * (self->oc / LANES) + o) * self->y_pixels + at) * LANES;
    Vector value = product[t] + bias;

    if (residual)
      value += load_pixel (grad_at (residual, i, bf16), bf16);
    if (self->relu)
      value = (Vector) ((Bits) value & ~(Bits) (value < 0));
    store_pixel (grad_at (y, i, bf16), value, bf16);
  }
}

TARGET static void
pack (const GradPixelwise * self, gconstpointer from, gint c, gint pixels, gint first, gint at,
    gint count, gfloat * to)
{
  if (self->bf16)
    pack_pictures (TRUE, self, from, c, pixels, first, at, count, (Vector *) to);
  else
    pack_pictures (FALSE, self, from, c, pixels, first, at, count, (Vector *) to);
}

TARGET static void
forward (const GradPixelwise * self, const gfloat * copies, const gfloat * w, const gfloat * b,
    gconstpointer residual, gpointer y, gint first, gint count, gfloat * product)
{
  gint o_blocks = self->oc / LANES, i_blocks = self->ic / LANES;
  gsize block = (gsize) self->chunk * LANES;

  for (gint o = 0; o < o_blocks; o += 2)
    for (gint at = 0, k = 0; at < self->y_pixels; at++) {
      gint vectors = MIN (2, o_blocks - o), begin = k;

      if (k == self->ends[at])
        memset (product, 0, 2 * block * sizeof (gfloat));
      for (; k < self->ends[at]; k++) {
        const gfloat *x = copies + self->pairs[k].x * i_blocks * block;
        const gfloat *from = w + ((gsize) o * i_blocks * self->taps + self->pairs[k].tap) * LANES * LANES;

        if (vectors == 2)
          multiply_pair (2, self, x, from, count, product, k > begin);
        else
          multiply_pair (1, self, x, from, count, product, k > begin);
      }
      for (gint i = 0; i < vectors; i++) {
        const Vector *result = (const Vector *) (product + i * block);

        if (self->bf16)
          store_pixels (TRUE, self, result, b, residual, y, first, count, o + i, at);
        else
          store_pixels (FALSE, self, result, b, residual, y, first, count, o + i, at);
      }
    }
}

/* dw (I, panel) = or += the products of all pairs of a tap */
INLINE void
multiply_tap (gint vectors, const GradPixelwise * self, const gfloat * x, const gfloat * dy,
    gint count, gint tap, gint o, gfloat * dw, gboolean accumulate)
{
  gsize block = (gsize) self->chunk * LANES, w_block = (gsize) self->taps * LANES * LANES;
  gint i_blocks = self->ic / LANES, o_blocks = self->oc / LANES;

  for (gint k = tap > 0 ? self->ends[tap - 1] : 0; k < self->ends[tap]; k++, accumulate = TRUE) {
    const gfloat *a = x + self->pairs[k].x * i_blocks * block;
    const gfloat *b = dy + (self->pairs[k].y * o_blocks + o) * block;

    for (gint i = 0; i < self->ic; i += GRADIENT_ROWS)
      multiply_tile (GRADIENT_ROWS, vectors, 1, count,
          (Left) {a + i / LANES * block + i % LANES, 1, LANES}, (Right) {b, LANES, 0, block},
          (Product) {dw + i / LANES * w_block + i % LANES * LANES, LANES, i_blocks * w_block},
          accumulate, FALSE, 0);
  }
}

TARGET static void
gradient (const GradPixelwise * self, const gfloat * x, const gfloat * dy, gint count, gint tap,
    gint o, gfloat * dw, gboolean accumulate)
{
  gint i_blocks = self->ic / LANES, vectors = MIN (2, self->oc / LANES - o);
  gboolean empty = self->ends[tap] == (tap > 0 ? self->ends[tap - 1] : 0);

  dw += ((gsize) o * i_blocks * self->taps + tap) * LANES * LANES;
  for (gint i = 0; i < vectors * i_blocks && empty && !accumulate; i++)
    memset (dw + (gsize) i * self->taps * LANES * LANES, 0, LANES * LANES * sizeof (gfloat));
  if (vectors == 2)
    multiply_tap (2, self, x, dy, count, tap, o, dw, accumulate);
  else
    multiply_tap (1, self, x, dy, count, tap, o, dw, accumulate);
}

const GradPixelwiseLoops NAME (grad_pixelwise) = { transpose, pack, forward, gradient };
