/* GradStreamer kernels: the transforms of Winograd's convolution F(m x m, 3 x 3)
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016: with tiles of n x n, n = m + 2,
 *
 *   y  = A^T [(G w G^T) . (B^T x B)] A          y: (m, m), x: (n, n), w: (3, 3)
 *   dw = G^T [(B^T x B) . (A dy A^T)] G
 *
 * G, A and B evaluate and interpolate polynomials (Toom and Cook) at a, -a, b, -b, at 0 if m is 4, and at infinity; values
 * of a transformed vector are in this order. Sums over even and odd powers are shared by a pair.
 *
 * The points were found by trying: rounding errors of y, dw are those of a direct convolution times 1, 1 (m = 3) and
 * 2, 1 (m = 4); with Lavin's points 0, 1, -1, 2, -2 they would be 4, 2.4 times those.
 *
 * All of it is inlined where `m` is constant. Vector is defined before. from and to: vectors, `step` apart. */

#define MAX_TILE 6              /* n */
#define HAS_ZERO(m) ((m) == 4)

/* a, b */
GRAD_INLINE gfloat
point (gint m, gint pair)
{
  return m == 4 ? (pair ? 1.5f : 0.75f) : (pair ? 1.25f : 0.5f);
}

GRAD_INLINE gfloat
square (gint m, gint pair)
{
  return point (m, pair) * point (m, pair);
}

/* L'(a) of L(x) = (x^2 - a^2) (x^2 - b^2), times x with HAS_ZERO */
GRAD_INLINE gfloat
slope (gint m, gint pair)
{
  return 2 * (HAS_ZERO (m) ? square (m, pair) : point (m, pair))
      * (square (m, pair) - square (m, !pair));
}

/* to = B^T from: n values */
GRAD_INLINE void
transform_input (gint m, const Vector * from, gsize from_step, Vector * to, gsize to_step)
{
  const gint zero = HAS_ZERO (m);
  const gfloat sum = square (m, 0) + square (m, 1), product = square (m, 0) * square (m, 1);
  Vector x[MAX_TILE];

#pragma GCC unroll 6
  for (gint i = 0; i < m + 2; i++)
    x[i] = from[i * from_step];
#pragma GCC unroll 2
  for (gint p = 0; p < 2; p++) {
    Vector odd = x[zero + 3] - square (m, !p) * x[zero + 1];
    Vector even = x[zero + 2] - square (m, !p) * x[zero];

    to[2 * p * to_step] = odd + point (m, p) * even;
    to[(2 * p + 1) * to_step] = odd - point (m, p) * even;
  }
  if (zero)
    to[4 * to_step] = x[4] - sum * x[2] + product * x[0];
  to[(4 + zero) * to_step] = x[zero + 4] - sum * x[zero + 2] + product * x[zero];
}

/* to = A^T from: n values to m */
GRAD_INLINE void
transform_output (gint m, const Vector * from, gsize from_step, Vector * to, gsize to_step)
{
  Vector even[2], odd[2];

#pragma GCC unroll 2
  for (gint p = 0; p < 2; p++) {
    even[p] = from[2 * p * from_step] + from[(2 * p + 1) * from_step];
    odd[p] = from[2 * p * from_step] - from[(2 * p + 1) * from_step];
    odd[p] *= point (m, p);
  }
  to[0] = even[0] + even[1];
  to[to_step] = odd[0] + odd[1];
  to[2 * to_step] = square (m, 0) * even[0] + square (m, 1) * even[1];
  if (HAS_ZERO (m)) {
    to[0] += from[4 * from_step];
    to[3 * to_step] = square (m, 0) * odd[0] + square (m, 1) * odd[1] + from[5 * from_step];
  } else
    to[2 * to_step] += from[4 * from_step];
}

/* to = A from: m values to n */
GRAD_INLINE void
transform_output_gradient (gint m, const Vector * from, gsize from_step, Vector * to,
    gsize to_step)
{
  Vector y[4];

#pragma GCC unroll 4
  for (gint j = 0; j < m; j++)
    y[j] = from[j * from_step];
#pragma GCC unroll 2
  for (gint p = 0; p < 2; p++) {
    Vector even = y[0] + square (m, p) * y[2], odd = y[1];

    if (m == 4)
      odd += square (m, p) * y[3];
    to[2 * p * to_step] = even + point (m, p) * odd;
    to[(2 * p + 1) * to_step] = even - point (m, p) * odd;
  }
  if (HAS_ZERO (m))
    to[4 * to_step] = y[0];
  to[(m + 1) * to_step] = y[m - 1];
}

/* to = G from: 3 values to n */
GRAD_INLINE void
transform_weights (gint m, const Vector * from, gsize from_step, Vector * to, gsize to_step)
{
  Vector w0 = from[0], w1 = from[from_step], w2 = from[2 * from_step];

#pragma GCC unroll 2
  for (gint p = 0; p < 2; p++) {
    Vector even = 1 / slope (m, p) * w0 + square (m, p) / slope (m, p) * w2;
    Vector odd = point (m, p) / slope (m, p) * w1;

    to[2 * p * to_step] = even + odd;
    to[(2 * p + 1) * to_step] = HAS_ZERO (m) ? even - odd : odd - even;
  }
  if (HAS_ZERO (m))
    to[4 * to_step] = 1 / (square (m, 0) * square (m, 1)) * w0;
  to[(m + 1) * to_step] = w2;
}

/* to = G^T from: n values to 3 */
GRAD_INLINE void
transform_weights_gradient (gint m, const Vector * from, gsize from_step, Vector * to,
    gsize to_step)
{
  Vector even[2], odd[2];

#pragma GCC unroll 2
  for (gint p = 0; p < 2; p++) {
    Vector u = from[2 * p * from_step], v = from[(2 * p + 1) * from_step];

    even[p] = HAS_ZERO (m) ? u + v : u - v;
    odd[p] = HAS_ZERO (m) ? u - v : u + v;
  }
  to[0] = 1 / slope (m, 0) * even[0] + 1 / slope (m, 1) * even[1];
  to[to_step] = point (m, 0) / slope (m, 0) * odd[0] + point (m, 1) / slope (m, 1) * odd[1];
  to[2 * to_step] = square (m, 0) / slope (m, 0) * even[0] + square (m, 1) / slope (m, 1) * even[1]
      + from[(m + 1) * from_step];
  if (HAS_ZERO (m))
    to[0] += 1 / (square (m, 0) * square (m, 1)) * from[4 * from_step];
}
