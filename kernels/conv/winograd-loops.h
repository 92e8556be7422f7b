/* GradStreamer kernels: loops of Winograd's convolution, for LANES channels at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Activations lie in blocks of LANES channels. A chunk of T tiles is transformed to v: (n*n, C/LANES, T, LANES), n `size`;
 * then, for a panel of P = 2 LANES outputs at a time, n*n matrix products over channels (or, for the gradient of the weights,
 * over tiles) follow, and a transform back. Weights lie as u: (O/P, (m+2)^2, I, P), the last panel narrower when O/LANES is odd.
 *
 * To be included behind lanes-16.h, lanes-8.h or lanes-4.h. */
#include "winograd.h"
#include "vectors.h"
#include "winograd-schemes.h"
#include "winograd-products.h"

#include <string.h>

/* where a tile's pixels are, and which of them are within the picture */
typedef struct
{
  gint picture, y, x;           /* of its first pixel, which may be outside */
} Place;

INLINE Place
tile_place (const GradWinograd * self, gint tile, gint step, gint padding)
{
  gint in_picture = tile % (self->tiles_y * self->tiles_x);

  return (Place) {
  tile / (self->tiles_y * self->tiles_x), in_picture / self->tiles_x * step - padding,
        in_picture % self->tiles_x * step - padding};
}

/* The size x size pixels of a tile, zeros outside of the picture; *step from row to row. `tile` has room for them. */
INLINE const Vector *
load_tile (gconstpointer data, gboolean bf16, gint n_blocks, gint block, gint h, gint w, Place at,
    gint size, Vector * tile, gint * step)
{
  const Vector nothing = { 0 };
  gpointer plane = grad_at (data, ((gsize) at.picture * n_blocks + block) * h * w * LANES, bf16);

  if (!bf16 && at.y >= 0 && at.x >= 0 && at.y + size <= h && at.x + size <= w) {
    *step = w;
    return (const Vector *) plane + at.y * w + at.x;
  }
  for (gint i = 0; i < size; i++) {
    gboolean inside = at.y + i >= 0 && at.y + i < h;
    gint first = inside ? CLAMP (-at.x, 0, size) : size, end = MIN (size, w - at.x);

    for (gint j = 0; j < first; j++)
      tile[i * size + j] = nothing;
    for (gint j = first; j < end; j++)
      tile[i * size + j] = load_pixel (grad_at (plane, ((gsize) (at.y + i) * w + at.x + j) * LANES, bf16),
          bf16);
    for (gint j = MAX (first, end); j < size; j++)
      tile[i * size + j] = nothing;
  }
  *step = size;
  return tile;
}

INLINE void
transform_x_tiles (GradWinogradScheme scheme, gint m, gboolean bf16, const GradWinograd * self,
    gconstpointer x, gint block, gint first, gint count, Vector * v)
{
  const gint n = grad_winograd_size (scheme, m), n_in = n_inputs (scheme, m);
  gsize step = (gsize) self->ic / LANES * self->chunk;
  Vector tile[MAX_TILE * MAX_TILE], half[MAX_TILE * MAX_TILE];

  v += (gsize) block * self->chunk;
  for (gint t = 0; t < count; t++) {
    gint row;
    const Vector *from = load_tile (x, bf16, self->ic / LANES, block, self->ih, self->iw,
        tile_place (self, first + t, input_step (scheme, m), self->padding), n_in, tile, &row);

    for (gint j = 0; j < n_in; j++)
      transform_input (scheme, m, from + j, row, half + j, n_in);
    for (gint i = 0; i < n; i++)
      transform_input (scheme, m, half + i * n_in, 1, v + t + i * n * step, step);
  }
}

INLINE void
transform_dy_tiles (GradWinogradScheme scheme, gint m, gboolean bf16, const GradWinograd * self,
    gconstpointer dy, gint block, gint first, gint count, Vector * v)
{
  const gint n = grad_winograd_size (scheme, m);
  gsize step = 2 * self->chunk;
  Vector tile[MAX_TILE * MAX_TILE], half[MAX_TILE * MAX_TILE];

  v += (block & 1) * self->chunk;
  for (gint t = 0; t < count; t++) {
    gint row;
    const Vector *from = load_tile (dy, bf16, self->oc / LANES, block, self->oh, self->ow,
        tile_place (self, first + t, m, 0), m, tile, &row);

    for (gint j = 0; j < m; j++)
      transform_output_gradient (scheme, m, from + j, row, half + j, m);
    for (gint i = 0; i < n; i++)
      transform_output_gradient (scheme, m, half + i * m, 1, v + t + i * n * step, step);
  }
}

/* y = [relu] (A^T v A [+ b] [+ residual]) */
INLINE void
transform_y_tiles (GradWinogradScheme scheme, gint m, gboolean bf16, const GradWinograd * self,
    const Vector * v, gint block, gint first, gint count, const gfloat * b, gconstpointer residual,
    gpointer y)
{
  const gint n = grad_winograd_size (scheme, m), n_out = grad_winograd_outputs (scheme, m);
  gint n_blocks = self->oc / LANES;
  gsize step = 2 * self->chunk;
  Vector half[MAX_TILE * MAX_TILE], out[MAX_TILE * MAX_TILE];
  gboolean plain = !bf16 && !b && !residual && !self->relu;
  Vector bias = { 0 };

  if (b)
    memcpy (&bias, b + block * LANES, sizeof bias);
  v += (block & 1) * self->chunk;
  for (gint t = 0; t < count; t++) {
    Place at = tile_place (self, first + t, n_out, self->shift);
    gint64 offset = ((gint64) at.picture * n_blocks + block) * self->oh * self->ow
        + at.y * self->ow + at.x;
    gint y_end = MIN (n_out, self->oh - at.y), x_end = MIN (n_out, self->ow - at.x);

    for (gint j = 0; j < n; j++)
      transform_output (scheme, m, v + t + j * step, n * step, half + j, n);
    if (plain && at.y >= 0 && at.x >= 0 && y_end == n_out && x_end == n_out) {
      for (gint i = 0; i < n_out; i++)
        transform_output (scheme, m, half + i * n, 1, (Vector *) y + offset + i * self->ow, 1);
      continue;
    }
    for (gint i = 0; i < n_out; i++)
      transform_output (scheme, m, half + i * n, 1, out + i * n_out, 1);
    for (gint i = MAX (0, -at.y); i < y_end; i++)
      for (gint j = MAX (0, -at.x); j < x_end; j++) {
        gsize at_y = (offset + i * self->ow + j) * LANES;
        Vector value = out[i * n_out + j] + bias;

        if (residual)
          value += load_pixel (grad_at (residual, at_y, bf16), bf16);
        if (self->relu)
          value = (Vector) ((Bits) value & ~(Bits) (value < 0));
        store_pixel (grad_at (y, at_y, bf16), value, bf16);
      }
  }
}

INLINE void
forward_chunk (GradWinogradScheme scheme, gint m, gboolean bf16, const GradWinograd * self,
    gconstpointer x, const gfloat * u, const gfloat * b, gconstpointer residual, gpointer y,
    gint first, gfloat * buffer)
{
  gint count = MIN (self->chunk, self->n_tiles - first);
  gfloat *v = buffer, *product = v + (gsize) self->size * self->size * self->chunk * self->ic;

  for (gint c = 0; c < self->ic / LANES; c++)
    transform_x_tiles (scheme, m, bf16, self, x, c, first, count, (Vector *) v);
  for (gint o = 0; o < self->oc / LANES; o++) {
    if (o % 2 == 0)
      multiply (MIN (2, self->oc / LANES - o), self, v, u + o / 2 * self->panel_step, count,
          product);
    transform_y_tiles (scheme, m, bf16, self, (const Vector *) product, o, first, count, b,
        residual, y);
  }
}

/* w's taps for one input and a block of outputs, from (O/B, I/B, 3, 3, B of I, B of O) */
INLINE void
load_taps (const GradWinograd * self, const gfloat * w, gint o, gint i, Vector * taps)
{
  const Vector *from = (const Vector *) w
      + ((gsize) o * (self->ic / LANES) + i / LANES) * 9 * LANES + i % LANES;

  for (gint tap = 0; tap < 9; tap++)
    taps[tap] = from[tap * LANES];
}

/* the same of the transposed convolution, whose inputs are w's outputs */
INLINE void
load_flipped_taps (const GradWinograd * self, const gfloat * w, gint o, gint i, Vector * taps)
{
  const gfloat *from = w
      + ((gsize) (i / LANES) * (self->oc / LANES) + o) * 9 * LANES * LANES + i % LANES;

  for (gint tap = 0; tap < 9; tap++) {
    gfloat *to = (gfloat *) (taps + 8 - tap);

    for (gint l = 0; l < LANES; l++)
      to[l] = from[(tap * LANES + l) * LANES];
  }
}

INLINE void
weights_block (GradWinogradScheme scheme, gint m, const GradWinograd * self, const gfloat * w,
    gfloat * u, gint o)
{
  const gint n = m + 2;
  gint o_blocks = self->oc / LANES, width = (o | 1) < o_blocks ? 2 : 1;
  gsize step = self->u_step / LANES;
  Vector *to = (Vector *) (u + o / 2 * self->panel_step) + o % 2;

  for (gint i = 0; i < self->ic; i++, to += width) {
    Vector taps[9], half[3 * MAX_WEIGHTS];

    if (self->direction == GRAD_CONV_BACKWARD_DATA)
      load_flipped_taps (self, w, o, i, taps);
    else
      load_taps (self, w, o, i, taps);
    for (gint j = 0; j < 3; j++)
      transform_weights (scheme, m, taps + j, 3, half + j, 3);
    for (gint p = 0; p < n; p++)
      transform_weights (scheme, m, half + p * 3, 1, to + p * n * step, step);
  }
}

/* du of some panels: the sum over some tiles; the other panels stay as they are */
INLINE void
gradient_part (GradWinogradScheme scheme, gint m, gboolean bf16, const GradWinograd * self,
    gconstpointer x, gconstpointer dy, gint first, gint n_tiles, gint first_o, gint end_o,
    gfloat * du, gfloat * buffer)
{
  gfloat *v = buffer, *w = v + (gsize) self->size * self->size * self->chunk * self->ic;

  for (gint t = 0; t < n_tiles; t += self->chunk) {
    gint count = MIN (self->chunk, n_tiles - t);

    for (gint i = 0; i < self->ic / LANES; i++)
      transform_x_tiles (scheme, m, bf16, self, x, i, first + t, count, (Vector *) v);
    for (gint o = first_o; o < end_o; o++) {
      transform_dy_tiles (scheme, m, bf16, self, dy, o, first + t, count, (Vector *) w);
      if (o % 2 == 1 || o + 1 == end_o)
        multiply_gradient (1 + o % 2, self, v, w, count, du + o / 2 * self->panel_step, t > 0);
    }
  }
}

INLINE void
weights_gradient_block (GradWinogradScheme scheme, gint m, const GradWinograd * self,
    const gfloat * du, gfloat * dw, gint o, gboolean accumulate)
{
  const gint n = m + 2;
  gint o_blocks = self->oc / LANES, width = (o | 1) < o_blocks ? 2 : 1;
  gsize step = self->u_step / LANES;

  for (gint i = 0; i < self->ic; i++) {
    const Vector *from = (const Vector *) (du + o / 2 * self->panel_step) + o % 2 + i * width;
    Vector sum[MAX_WEIGHTS * MAX_WEIGHTS], half[3 * MAX_WEIGHTS], taps[9];

    for (gint j = 0; j < n * n; j++)
      sum[j] = from[j * step];
    for (gint part = 1; part < self->n_parts; part++)
      for (gint j = 0; j < n * n; j++)
        sum[j] += from[part * self->u_size / LANES + j * step];
    for (gint j = 0; j < n; j++)
      transform_weights_gradient (scheme, m, sum + j, n, half + j, n);
    for (gint p = 0; p < 3; p++)
      transform_weights_gradient (scheme, m, half + p * n, 1, taps + p * 3, 1);
    for (gint tap = 0; tap < 9; tap++) {
      Vector *to = (Vector *) dw
          + (((gsize) o * (self->ic / LANES) + i / LANES) * 9 + tap) * LANES + i % LANES;

      if (accumulate)
        taps[tap] += *to;
      *to = taps[tap];
    }
  }
}

/* by scheme and size of tiles, and for those that read or write activations by their storage */
#define CALL_SIZE(function, scheme, ...) \
  do { \
    if (self->m == 4) \
      function (scheme, 4, __VA_ARGS__); \
    else \
      function (scheme, 3, __VA_ARGS__); \
  } while (0)
#define CALL_STORED(function, scheme, ...) \
  do { \
    if (self->bf16) \
      CALL_SIZE (function, scheme, TRUE, __VA_ARGS__); \
    else \
      CALL_SIZE (function, scheme, FALSE, __VA_ARGS__); \
  } while (0)

TARGET static void
weights (const GradWinograd * self, const gfloat * w, gfloat * u, gint o)
{
  if (self->scheme == GRAD_WINOGRAD_PLAIN)
    CALL_SIZE (weights_block, GRAD_WINOGRAD_PLAIN, self, w, u, o);
  else
    CALL_SIZE (weights_block, GRAD_WINOGRAD_STRIDED, self, w, u, o);
}

TARGET static void
forward (const GradWinograd * self, gconstpointer x, const gfloat * u, const gfloat * b,
    gconstpointer residual, gpointer y, gint first, gfloat * buffer)
{
  if (self->scheme == GRAD_WINOGRAD_PLAIN)
    CALL_STORED (forward_chunk, GRAD_WINOGRAD_PLAIN, self, x, u, b, residual, y, first, buffer);
  else if (self->scheme == GRAD_WINOGRAD_STRIDED)
    CALL_STORED (forward_chunk, GRAD_WINOGRAD_STRIDED, self, x, u, b, residual, y, first, buffer);
  else
    CALL_STORED (forward_chunk, GRAD_WINOGRAD_TRANSPOSED, self, x, u, b, residual, y, first,
        buffer);
}

TARGET static void
gradient (const GradWinograd * self, gconstpointer x, gconstpointer dy, gint first, gint n_tiles,
    gint first_o, gint end_o, gfloat * du, gfloat * buffer)
{
  if (self->scheme == GRAD_WINOGRAD_PLAIN)
    CALL_STORED (gradient_part, GRAD_WINOGRAD_PLAIN, self, x, dy, first, n_tiles, first_o, end_o,
        du, buffer);
  else
    CALL_STORED (gradient_part, GRAD_WINOGRAD_STRIDED, self, x, dy, first, n_tiles, first_o, end_o,
        du, buffer);
}

TARGET static void
weights_gradient (const GradWinograd * self, const gfloat * du, gfloat * dw, gint o,
    gboolean accumulate)
{
  if (self->scheme == GRAD_WINOGRAD_PLAIN)
    CALL_SIZE (weights_gradient_block, GRAD_WINOGRAD_PLAIN, self, du, dw, o, accumulate);
  else
    CALL_SIZE (weights_gradient_block, GRAD_WINOGRAD_STRIDED, self, du, dw, o, accumulate);
}

const GradWinogradLoops NAME (grad_winograd) = { weights, forward, gradient, weights_gradient };
