/* GradStreamer kernels: the transforms of Winograd's convolution F(m, r), of r taps in one dimension
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016: with n = m + r - 1,
 *
 *   y  = A^T [(G w) . (B^T x)]                  y: m, x: n, w: r values
 *   dw = G^T [(B^T x) . (A dy)]
 *
 * G, A and B evaluate and interpolate polynomials (Toom and Cook) at one or two pairs of points, a, -a, b, -b, at 0 if
 * n is even, and at infinity; values of a transformed vector are in this order. Sums over even and odd powers are
 * shared by a pair.
 *
 * The points were found by trying: rounding errors of y, dw in two dimensions are those of a direct convolution times
 * 1, 1 (F(3, 3)) and 2, 1 (F(4, 3)); with Lavin's points 0, 1, -1, 2, -2 they would be 4, 2.4 times those.
 * winograd-schemes.h has those of F(3, 2) and F(4, 2).
 *
 * All of it is inlined where n, m and r are constant. Vector is defined before. from and to: vectors, `step` apart. */

#define MAX_POINTS 6            /* n */
#define N_PAIRS(n) (((n) - 1) / 2)
#define HAS_ZERO(n) ((n) % 2 == 0)

/* a, b */
INLINE gfloat
point (gint n, gint pair)
{
  static const gfloat points[][2] = { {1}, {0.5f, 1.25f}, {0.75f, 1.5f} };

  return points[n - 4][pair];
}

INLINE gfloat
square (gint n, gint pair)
{
  return point (n, pair) * point (n, pair);
}

/* L'(a) of L(x) = (x^2 - a^2) (x^2 - b^2), times x with HAS_ZERO */
INLINE gfloat
slope (gint n, gint pair)
{
  gfloat others = N_PAIRS (n) > 1 ? square (n, pair) - square (n, !pair) : 1;

  return 2 * (HAS_ZERO (n) ? square (n, pair) : point (n, pair)) * others;
}

/* L(x) / x at 0 with HAS_ZERO: the other points' product */
INLINE gfloat
zero_slope (gint n)
{
  return N_PAIRS (n) > 1 ? square (n, 0) * square (n, 1) : -square (n, 0);
}

/* one coefficient of B: x times L without some of its factors; `x` is the lowest of its powers */
INLINE Vector
input_for_pair (gint n, gint pair, const Vector * x)
{
  if (N_PAIRS (n) == 1)
    return x[0];
  return x[2] - square (n, !pair) * x[0];
}

INLINE Vector
input_for_all (gint n, const Vector * x)
{
  if (N_PAIRS (n) == 1)
    return x[2] - square (n, 0) * x[0];
  return x[4] - (square (n, 0) + square (n, 1)) * x[2] + square (n, 0) * square (n, 1) * x[0];
}

/* to = B^T from: n values */
INLINE void
toom_input (gint n, const Vector * from, gsize from_step, Vector * to, gsize to_step)
{
  const gint zero = HAS_ZERO (n);
  Vector x[MAX_POINTS];

#pragma GCC unroll 6
  for (gint i = 0; i < n; i++)
    x[i] = from[i * from_step];
#pragma GCC unroll 2
  for (gint p = 0; p < N_PAIRS (n); p++) {
    Vector odd = input_for_pair (n, p, x + zero + 1);
    Vector even = input_for_pair (n, p, x + zero);

    to[2 * p * to_step] = odd + point (n, p) * even;
    to[(2 * p + 1) * to_step] = odd - point (n, p) * even;
  }
  if (zero)
    to[(n - 2) * to_step] = input_for_all (n, x);
  to[(n - 1) * to_step] = input_for_all (n, x + zero);
}

/* to = A^T from: n values to m */
INLINE void
toom_output (gint n, gint m, const Vector * from, gsize from_step, Vector * to, gsize to_step)
{
  Vector sum[2][2], out[4];     /* of a pair's values times even and odd powers */

#pragma GCC unroll 2
  for (gint p = 0; p < N_PAIRS (n); p++) {
    sum[0][p] = from[2 * p * from_step] + from[(2 * p + 1) * from_step];
    sum[1][p] = from[2 * p * from_step] - from[(2 * p + 1) * from_step];
    sum[1][p] *= point (n, p);
  }
#pragma GCC unroll 4
  for (gint j = 0; j < m; j++) {
    out[j] = (j < 2 ? 1 : square (n, 0)) * sum[j % 2][0];
    if (N_PAIRS (n) > 1)
      out[j] += (j < 2 ? 1 : square (n, 1)) * sum[j % 2][1];
  }
  if (HAS_ZERO (n))
    out[0] += from[(n - 2) * from_step];
  out[m - 1] += from[(n - 1) * from_step];
#pragma GCC unroll 4
  for (gint j = 0; j < m; j++)
    to[j * to_step] = out[j];
}

/* to = A from: m values to n */
INLINE void
toom_output_gradient (gint n, gint m, const Vector * from, gsize from_step, Vector * to,
    gsize to_step)
{
  Vector y[4];

#pragma GCC unroll 4
  for (gint j = 0; j < m; j++)
    y[j] = from[j * from_step];
#pragma GCC unroll 2
  for (gint p = 0; p < N_PAIRS (n); p++) {
    Vector even = y[0] + square (n, p) * y[2], odd = y[1];

    if (m == 4)
      odd += square (n, p) * y[3];
    to[2 * p * to_step] = even + point (n, p) * odd;
    to[(2 * p + 1) * to_step] = even - point (n, p) * odd;
  }
  if (HAS_ZERO (n))
    to[(n - 2) * to_step] = y[0];
  to[(n - 1) * to_step] = y[m - 1];
}

/* to = G from: r values to n */
INLINE void
toom_weights (gint n, gint r, const Vector * from, gsize from_step, Vector * to, gsize to_step)
{
  Vector first = from[0], last = from[(r - 1) * from_step], second = from[from_step];

#pragma GCC unroll 2
  for (gint p = 0; p < N_PAIRS (n); p++) {
    Vector even = 1 / slope (n, p) * first;
    Vector odd = point (n, p) / slope (n, p) * second;

    if (r == 3)
      even += square (n, p) / slope (n, p) * last;
    to[2 * p * to_step] = even + odd;
    to[(2 * p + 1) * to_step] = HAS_ZERO (n) ? even - odd : odd - even;
  }
  if (HAS_ZERO (n))
    to[(n - 2) * to_step] = 1 / zero_slope (n) * first;
  to[(n - 1) * to_step] = last;
}

/* to = G^T from: n values to r */
INLINE void
toom_weights_gradient (gint n, gint r, const Vector * from, gsize from_step, Vector * to,
    gsize to_step)
{
  Vector sum[3] = { {0} };

#pragma GCC unroll 2
  for (gint p = 0; p < N_PAIRS (n); p++) {
    Vector u = from[2 * p * from_step], v = from[(2 * p + 1) * from_step];
    Vector even = HAS_ZERO (n) ? u + v : u - v, odd = HAS_ZERO (n) ? u - v : u + v;

    sum[0] += 1 / slope (n, p) * even;
    sum[1] += point (n, p) / slope (n, p) * odd;
    if (r == 3)
      sum[2] += square (n, p) / slope (n, p) * even;
  }
  if (HAS_ZERO (n))
    sum[0] += 1 / zero_slope (n) * from[(n - 2) * from_step];
  sum[r - 1] += from[(n - 1) * from_step];
#pragma GCC unroll 3
  for (gint j = 0; j < r; j++)
    to[j * to_step] = sum[j];
}
