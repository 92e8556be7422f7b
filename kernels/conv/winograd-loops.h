/* GradStreamer kernels: loops of Winograd's convolution, for LANES channels at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Activations lie in blocks of LANES channels. A chunk of T tiles is transformed to v: (n*n, C/LANES, T, LANES); then
 * n*n matrix products over channels (or, for the gradient of the weights, over tiles) follow, and a transform back.
 * Weights lie as u: (n*n, O/P, I, P), P = 2 LANES, the last panel narrower when O/LANES is odd.
 *
 * To be included with LANES, ROWS, GRADIENT_ROWS (that many times 2 accumulators fit in registers), TARGET and LOOPS (the
 * table's name) defined. */

typedef gfloat Vector __attribute__ ((vector_size (4 * LANES), aligned (4 * LANES), may_alias));
typedef guint32 Bits __attribute__ ((vector_size (4 * LANES)));
typedef guint16 Half __attribute__ ((vector_size (2 * LANES), may_alias));

#include "winograd-transforms.h"

#define PANEL (2 * LANES)
#define MAX_K_BLOCKS (128 / LANES)      /* a panel of u stays in the first-level cache */

/* where a tile's pixels are, and which of them are within the picture */
typedef struct
{
  gint picture, y, x;           /* of its first pixel, which may be outside */
} Place;

GRAD_INLINE Place
tile_place (const GradWinograd * self, gint tile, gint m, gint padding)
{
  gint in_picture = tile % (self->tiles_y * self->tiles_x);

  return (Place) {
  tile / (self->tiles_y * self->tiles_x), in_picture / self->tiles_x * m - padding,
        in_picture % self->tiles_x * m - padding};
}

/* LANES channels in memory, floats or bfloat16 as grad_load() and grad_store() have them */
GRAD_INLINE Vector
load_pixel (gconstpointer pixel, gboolean bf16)
{
  return bf16 ? (Vector) (__builtin_convertvector (*(const Half *) pixel, Bits) << 16)
      : *(const Vector *) pixel;
}

GRAD_INLINE void
store_pixel (gpointer pixel, Vector value, gboolean bf16)
{
  Bits bits = (Bits) value, nan = (Bits) (value != value);

  if (!bf16)
    *(Vector *) pixel = value;
  else
    *(Half *) pixel = __builtin_convertvector ((((bits | 0x400000) & nan)
            | ((bits + 0x7fff + (bits >> 16 & 1)) & ~nan)) >> 16, Half);
}

/* The size x size pixels of a tile, zeros outside of the picture; *step from row to row. `tile` has room for them. */
GRAD_INLINE const Vector *
load_tile (gconstpointer data, gboolean bf16, gint n_blocks, gint block, gint h, gint w, Place at,
    gint size, Vector * tile, gint * step)
{
  const Vector nothing = { 0 };
  gpointer plane = grad_at (data, ((gsize) at.picture * n_blocks + block) * h * w * LANES, bf16);

  if (!bf16 && at.y >= 0 && at.x >= 0 && at.y + size <= h && at.x + size <= w) {
    *step = w;
    return (const Vector *) plane + at.y * w + at.x;
  }
  for (gint i = 0; i < size; i++)
    for (gint j = 0; j < size; j++) {
      gint y = at.y + i, x = at.x + j;
      gboolean inside = y >= 0 && y < h && x >= 0 && x < w;

      tile[i * size + j] = load_pixel (inside
          ? grad_at (plane, (y * w + x) * LANES, bf16) : (gpointer) &nothing, bf16);
    }
  *step = size;
  return tile;
}

GRAD_INLINE void
transform_x_tiles (gint m, gboolean bf16, const GradWinograd * self, gconstpointer x, gint block,
    gint first, gint count, Vector * v)
{
  const gint n = m + 2;
  gsize step = (gsize) self->ic / LANES * self->chunk;
  Vector tile[MAX_TILE * MAX_TILE], half[MAX_TILE * MAX_TILE];

  v += (gsize) block * self->chunk;
  for (gint t = 0; t < count; t++) {
    gint row;
    const Vector *from = load_tile (x, bf16, self->ic / LANES, block, self->ih, self->iw,
        tile_place (self, first + t, m, self->padding), n, tile, &row);

    for (gint j = 0; j < n; j++)
      transform_input (m, from + j, row, half + j, n);
    for (gint i = 0; i < n; i++)
      transform_input (m, half + i * n, 1, v + t + i * n * step, step);
  }
}

GRAD_INLINE void
transform_dy_tiles (gint m, gboolean bf16, const GradWinograd * self, gconstpointer dy, gint block,
    gint n_o, gint o, gint first, gint count, Vector * v)
{
  const gint n = m + 2;
  gsize step = (gsize) n_o * self->chunk;
  Vector tile[MAX_TILE * MAX_TILE], half[MAX_TILE * MAX_TILE];

  v += (gsize) o * self->chunk;
  for (gint t = 0; t < count; t++) {
    gint row;
    const Vector *from = load_tile (dy, bf16, self->oc / LANES, block, self->oh, self->ow,
        tile_place (self, first + t, m, 0), m, tile, &row);

    for (gint j = 0; j < m; j++)
      transform_output_gradient (m, from + j, row, half + j, m);
    for (gint i = 0; i < n; i++)
      transform_output_gradient (m, half + i * m, 1, v + t + i * n * step, step);
  }
}

/* y = [relu] (A^T v A [+ b] [+ residual]) */
GRAD_INLINE void
transform_y_tiles (gint m, gboolean bf16, const GradWinograd * self, const Vector * v, gint block,
    gint first, gint count, const gfloat * b, gconstpointer residual, gpointer y)
{
  const gint n = m + 2;
  gint n_blocks = self->oc / LANES;
  gsize step = (gsize) n_blocks * self->chunk;
  Vector half[MAX_TILE * MAX_TILE], out[MAX_TILE * MAX_TILE];
  gboolean plain = !bf16 && !b && !residual && !self->relu;
  Vector bias = { 0 };

  if (b)
    memcpy (&bias, b + block * LANES, sizeof bias);
  v += (gsize) block * self->chunk;
  for (gint t = 0; t < count; t++) {
    Place at = tile_place (self, first + t, m, 0);
    gsize offset = ((gsize) at.picture * n_blocks + block) * self->oh * self->ow
        + at.y * self->ow + at.x;
    gint rows = MIN (m, self->oh - at.y), columns = MIN (m, self->ow - at.x);

    for (gint j = 0; j < n; j++)
      transform_output (m, v + t + j * step, n * step, half + j, n);
    if (plain && rows == m && columns == m) {
      for (gint i = 0; i < m; i++)
        transform_output (m, half + i * n, 1, (Vector *) y + offset + i * self->ow, 1);
      continue;
    }
    for (gint i = 0; i < m; i++)
      transform_output (m, half + i * n, 1, out + i * m, 1);
    for (gint i = 0; i < rows; i++)
      for (gint j = 0; j < columns; j++) {
        gsize at_y = (offset + i * self->ow + j) * LANES;
        Vector value = out[i * m + j] + bias;

        if (residual)
          value += load_pixel (grad_at (residual, at_y, bf16), bf16);
        if (self->relu)
          value = (Vector) ((Bits) value & ~(Bits) (value < 0));
        store_pixel (grad_at (y, at_y, bf16), value, bf16);
      }
  }
}

/* c (R, N vectors) = or += sum over k_blocks * k of a (R, k) b (k, N vectors); steps in floats */
GRAD_INLINE void
multiply_tile (gint rows, gint vectors, gint k_blocks, gint k, const gfloat * a, gsize a_row,
    gsize a_k, gsize a_block, const gfloat * b, gsize b_k, gsize b_vector, gfloat * c,
    gsize c_row, gsize c_vector, gboolean accumulate)
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

/* product (T, panel) = v (T, I) u (I, panel) for one of the n*n positions; product: (O/LANES, T, LANES) */
GRAD_INLINE void
multiply_panel (gint vectors, const GradWinograd * self, const gfloat * v, const gfloat * u,
    gint count, gfloat * product)
{
  gsize block = (gsize) self->chunk * LANES;
  gint n_blocks = self->ic / LANES;

  for (gint k = 0; k < n_blocks; k += MAX_K_BLOCKS) {
    const gfloat *b = u + (gsize) k * LANES * vectors * LANES;
    gint k_blocks = MIN (MAX_K_BLOCKS, n_blocks - k), t = 0;

#define STEP(rows) \
    for (; t + (rows) <= count; t += (rows)) \
      multiply_tile (rows, vectors, k_blocks, LANES, v + k * block + t * LANES, LANES, 1, block, b, \
          vectors * LANES, LANES, product + t * LANES, LANES, block, k > 0)
    STEP (ROWS);
    STEP (ROWS / 2);
    STEP (2);
    STEP (1);
#undef STEP
  }
}

GRAD_INLINE void
forward_chunk (gint m, gboolean bf16, const GradWinograd * self, gconstpointer x, const gfloat * u,
    const gfloat * b, gconstpointer residual, gpointer y, gint first, gfloat * buffer)
{
  const gint n = m + 2;
  gint count = MIN (self->chunk, self->n_tiles - first), o_blocks = self->oc / LANES;
  gsize block = (gsize) self->chunk * LANES;
  gfloat *v = buffer, *product = v + n * n * block * (self->ic / LANES);

  for (gint c = 0; c < self->ic / LANES; c++)
    transform_x_tiles (m, bf16, self, x, c, first, count, (Vector *) v);
  for (gint position = 0; position < n * n; position++)
    for (gint o = 0; o < o_blocks; o += 2) {
      const gfloat *from = v + position * block * (self->ic / LANES);
      const gfloat *panel = u + position * self->u_step + (gsize) o * LANES * self->ic;
      gfloat *to = product + (position * o_blocks + o) * block;

      if (o + 1 < o_blocks)
        multiply_panel (2, self, from, panel, count, to);
      else
        multiply_panel (1, self, from, panel, count, to);
    }
  for (gint o = 0; o < o_blocks; o++)
    transform_y_tiles (m, bf16, self, (const Vector *) product, o, first, count, b, residual, y);
}

/* w's taps for one input and a block of outputs, from (O/B, I/B, 3, 3, B of I, B of O) */
GRAD_INLINE void
load_taps (const GradWinograd * self, const gfloat * w, gint o, gint i, Vector * taps)
{
  const Vector *from = (const Vector *) w
      + ((gsize) o * (self->ic / LANES) + i / LANES) * 9 * LANES + i % LANES;

  for (gint tap = 0; tap < 9; tap++)
    taps[tap] = from[tap * LANES];
}

/* the same of the transposed convolution, whose inputs are w's outputs */
GRAD_INLINE void
load_flipped_taps (const GradWinograd * self, const gfloat * w, gint o, gint i, Vector * taps)
{
  const gfloat *from = w
      + ((gsize) (i / LANES) * (self->oc / LANES) + o) * 9 * LANES * LANES + i % LANES;

  for (gint tap = 0; tap < 9; tap++)
    for (gint l = 0; l < LANES; l++)
      taps[8 - tap][l] = from[(tap * LANES + l) * LANES];
}

GRAD_INLINE void
weights_block (gint m, const GradWinograd * self, const gfloat * w, gfloat * u, gint o)
{
  const gint n = m + 2;
  gint o_blocks = self->oc / LANES, width = (o | 1) < o_blocks ? 2 : 1;
  gsize step = self->u_step / LANES;
  Vector *to = (Vector *) u + (gsize) (o & ~1) * self->ic + (o & 1);

  for (gint i = 0; i < self->ic; i++, to += width) {
    Vector taps[9], half[3 * MAX_TILE];

    if (self->direction == GRAD_CONV_BACKWARD_DATA)
      load_flipped_taps (self, w, o, i, taps);
    else
      load_taps (self, w, o, i, taps);
    for (gint j = 0; j < 3; j++)
      transform_weights (m, taps + j, 3, half + j, 3);
    for (gint p = 0; p < n; p++)
      transform_weights (m, half + p * 3, 1, to + p * n * step, step);
  }
}

/* du (n*n, O/P, I, P) of some panels: the sum over some tiles; u's other panels stay as they are */
GRAD_INLINE void
gradient_part (gint m, gboolean bf16, const GradWinograd * self, gconstpointer x, gconstpointer dy,
    gint first, gint n_tiles, gint first_o, gint n_o, gfloat * du, gfloat * buffer)
{
  const gint n = m + 2, rows = GRADIENT_ROWS;
  gint i_blocks = self->ic / LANES;
  gsize block = (gsize) self->chunk * LANES;
  gfloat *v = buffer, *w = v + n * n * block * i_blocks;

  for (gint t = 0; t < n_tiles; t += self->chunk) {
    gint count = MIN (self->chunk, n_tiles - t);

    for (gint i = 0; i < i_blocks; i++)
      transform_x_tiles (m, bf16, self, x, i, first + t, count, (Vector *) v);
    for (gint o = 0; o < n_o; o++)
      transform_dy_tiles (m, bf16, self, dy, first_o + o, n_o, o, first + t, count, (Vector *) w);
    for (gint position = 0; position < n * n; position++)
      for (gint o = 0; o < n_o; o += 2)
        for (gint i = 0; i < self->ic; i += rows) {
          const gfloat *a = v + (position * i_blocks + i / LANES) * block + i % LANES;
          const gfloat *b = w + (position * n_o + o) * block;
          gfloat *c = du + position * self->u_step + (gsize) (first_o + o) * LANES * self->ic;

          if (o + 1 < n_o)
            multiply_tile (rows, 2, 1, count, a, 1, LANES, 0, b, LANES, block,
                c + (gsize) i * PANEL, PANEL, LANES, t > 0);
          else
            multiply_tile (rows, 1, 1, count, a, 1, LANES, 0, b, LANES, block,
                c + (gsize) i * LANES, LANES, LANES, t > 0);
        }
  }
}

GRAD_INLINE void
weights_gradient_block (gint m, const GradWinograd * self, const gfloat * du, gfloat * dw, gint o,
    gboolean accumulate)
{
  const gint n = m + 2;
  gint o_blocks = self->oc / LANES, width = (o | 1) < o_blocks ? 2 : 1;
  gsize step = self->u_step / LANES;

  for (gint i = 0; i < self->ic; i++) {
    const Vector *from = (const Vector *) du + (gsize) (o & ~1) * self->ic + (o & 1)
        + (gsize) i * width;
    Vector sum[MAX_TILE * MAX_TILE], half[3 * MAX_TILE], taps[9];

    for (gint j = 0; j < n * n; j++)
      sum[j] = from[j * step];
    for (gint part = 1; part < self->n_parts; part++)
      for (gint j = 0; j < n * n; j++)
        sum[j] += from[(part * n * n + j) * step];
    for (gint j = 0; j < n; j++)
      transform_weights_gradient (m, sum + j, n, half + j, n);
    for (gint p = 0; p < 3; p++)
      transform_weights_gradient (m, half + p * n, 1, taps + p * 3, 1);
    for (gint tap = 0; tap < 9; tap++) {
      Vector *to = (Vector *) dw
          + (((gsize) o * (self->ic / LANES) + i / LANES) * 9 + tap) * LANES + i % LANES;

      if (accumulate)
        taps[tap] += *to;
      *to = taps[tap];
    }
  }
}

/* by size of tiles, and for those that read or write activations by their storage */
#define CALL(function, ...) \
  if (self->m == 4) \
    function (4, __VA_ARGS__); \
  else \
    function (3, __VA_ARGS__)
#define CALL_STORED(function, ...) \
  if (self->bf16) \
    CALL (function, TRUE, __VA_ARGS__); \
  else \
    CALL (function, FALSE, __VA_ARGS__)

TARGET static void
weights (const GradWinograd * self, const gfloat * w, gfloat * u, gint o)
{
  CALL (weights_block, self, w, u, o);
}

TARGET static void
forward (const GradWinograd * self, gconstpointer x, const gfloat * u, const gfloat * b,
    gconstpointer residual, gpointer y, gint first, gfloat * buffer)
{
  CALL_STORED (forward_chunk, self, x, u, b, residual, y, first, buffer);
}

TARGET static void
gradient (const GradWinograd * self, gconstpointer x, gconstpointer dy, gint first, gint n_tiles,
    gint first_o, gint n_o, gfloat * du, gfloat * buffer)
{
  CALL_STORED (gradient_part, self, x, dy, first, n_tiles, first_o, n_o, du, buffer);
}

TARGET static void
weights_gradient (const GradWinograd * self, const gfloat * du, gfloat * dw, gint o,
    gboolean accumulate)
{
  CALL (weights_gradient_block, self, du, dw, o, accumulate);
}

const GradWinogradLoops LOOPS = { weights, forward, gradient, weights_gradient };
