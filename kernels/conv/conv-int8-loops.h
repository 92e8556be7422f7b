/* GradStreamer kernels: loops of the convolution of 8-bit integers, for LANES channels at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * To be included with LANES, TARGET, DOT (sum, bytes, weights: sums of four products) and LOOPS (the table's name) defined. */

typedef gfloat Vector __attribute__ ((vector_size (4 * LANES), may_alias));
typedef gint32 Integers __attribute__ ((vector_size (4 * LANES), may_alias));
typedef guint8 Bytes __attribute__ ((vector_size (LANES), may_alias, aligned (1)));
typedef gint32 Word __attribute__ ((may_alias, aligned (1)));

#define INLINE TARGET GRAD_INLINE
#define GROUP GRAD_CONV_INT8_GROUP
#define GROUPS 4                /* that many are computed at a time */

INLINE Vector
choose (Integers mask, Vector yes, Vector no)
{
  return (Vector) (((Integers) yes & mask) | ((Integers) no & ~mask));
}

/* from the least to the largest value, 0 among them; what is not finite makes the scale not a number */
INLINE GradConvInt8Range
find_range (const gfloat * x, gsize n)
{
  Vector low = { 0 }, high = { 0 }, nothing = { 0 };
  gfloat least = 0, largest = 0, not_finite = 0;
  gsize i = 0;

  for (; i + LANES <= n; i += LANES) {
    Vector value;

    memcpy (&value, x + i, sizeof value);
    low = choose (value < low, value, low);
    high = choose (value > high, value, high);
    nothing += 0 * value;
  }
  for (gint l = 0; l < LANES; l++) {
    least = MIN (least, low[l]);
    largest = MAX (largest, high[l]);
    not_finite += nothing[l];
  }
  for (; i < n; i++) {
    least = MIN (least, x[i]);
    largest = MAX (largest, x[i]);
    not_finite += 0 * x[i];
  }
  if (not_finite != 0)
    return (GradConvInt8Range) {
    not_finite, 0};
  if (largest - least < 255 * FLT_MIN)
    return (GradConvInt8Range) {
    1, 0};
  return (GradConvInt8Range) {
  (largest - least) / 255, -least / (largest - least) * 255 + 0.5f};
}

INLINE void
quantise_row (const gfloat * x, gint n, gfloat factor, gfloat offset, guint8 * q)
{
  for (gint i = 0; i + LANES <= n; i += LANES) {
    Vector value;

    memcpy (&value, x + i, sizeof value);
    value = value * factor + offset;
    value = choose (value > 255, 255 - (Vector) { 0 }, value);
    *(Bytes *) (q + i) = __builtin_convertvector (__builtin_convertvector (value, Integers), Bytes);
  }
  for (gint i = n / LANES * LANES; i < n; i++)
    q[i] = MIN (255, (gint) (x[i] * factor + offset));
}

TARGET static void
quantise (const GradConvInt8Call * call, gint picture)
{
  const GradConvInt8 *self = call->conv;
  const GradConvDesc *d = &self->desc;
  gsize n = (gsize) d->ic * d->ih * d->iw;
  const gfloat *x = call->x + picture * n;
  guint8 *to = call->quantised + picture * self->picture;
  GradConvInt8Range range = find_range (x, n);
  gfloat factor = 1 / range.scale, offset = range.zero + 0.5f;
  gint width = d->iw + 2 * d->padding;

  call->ranges[picture] = range;
  memset (to, range.zero, self->picture);
  if (range.scale != range.scale)       /* so are all results */
    return;
  if (self->pixel == self->lanes || d->ic == 1) {
    gint row = d->iw * self->pixel;

    for (gint block = 0; block < self->blocks; block++)
      for (gint i = 0; i < d->ih; i++, x += row)
        quantise_row (x, row, factor, offset, to + block * self->plane
            + ((gsize) (i + d->padding) * width + d->padding) * self->pixel);
    return;
  }
  for (gint c = 0; c < d->ic; c++)
    for (gint i = 0; i < d->ih; i++) {
      guint8 *q = to + ((gsize) (i + d->padding) * width + d->padding) * d->ic + c;

      for (gint j = 0; j < d->iw; j++, x++)
        q[j * d->ic] = MIN (255, (gint) (*x * factor + offset));
    }
}

/* where the weights' input i and tap (p, q) of output o is, in the device's layout for parameters */
INLINE gsize
weight_at (const GradConvInt8 * self, gint o, gint i, gint tap)
{
  gint taps = self->desc.kernel * self->desc.kernel, lanes = self->lanes;

  if (self->pixel != lanes)
    return ((gsize) o * self->desc.ic + i) * taps + tap;
  return ((((gsize) o / lanes * self->blocks + i / lanes) * taps + tap) * lanes + i % lanes) * lanes
      + o % lanes;
}

TARGET static void
weights (const GradConvInt8Call * call, gint block)
{
  const GradConvInt8 *self = call->conv;
  gint kernel = self->desc.kernel, taps = kernel * kernel;
  gint8 *to = call->weights + block * grad_conv_int8_block (self);

  memset (to, 0, grad_conv_int8_block (self));
  for (gint l = 0; l < LANES; l++) {
    gint o = block * LANES + l, sum = 0;
    gfloat largest = 0, nothing = 0, factor;    /* nothing: what is not a number stays so */

    for (gint i = 0; i < self->desc.ic; i++)
      for (gint tap = 0; tap < taps; tap++) {
        gfloat size = fabsf (call->w[weight_at (self, o, i, tap)]);

        largest = MAX (largest, size);
        nothing += 0 * size;
      }
    factor = largest > 0 && nothing == 0 ? 127 / largest : 0;
    for (gint i = 0; i < self->desc.ic; i++)
      for (gint tap = 0; tap < taps; tap++) {
        gint at = tap % kernel * self->pixel + i % self->pixel;
        gint row = i / self->pixel * kernel + tap / kernel;
        gint value = factor > 0 ? lrintf (call->w[weight_at (self, o, i, tap)] * factor) : 0;

        to[(((gsize) row * self->row + at) / 4 * LANES + l) * 4 + at % 4] = value;
        sum += value;
      }
    grad_conv_int8_scales (call)[o] = largest / 127 + nothing;
    grad_conv_int8_sums (call)[o] = sum;
  }
}

/* a group of pixels of a row of the output */
typedef struct
{
  gint picture, y, x;
} Place;

INLINE Place
group_place (const GradConvInt8 * self, gint group)
{
  gint in_row = grad_conv_int8_n_groups (self), in_picture = in_row * self->desc.oh;

  return (Place) {
  group / in_picture, group % in_picture / in_row, group % in_row * GROUP};
}

INLINE void
finish_group (const GradConvInt8Call * call, Place at, gint o, const Integers * sum, gint step)
{
  const GradConvInt8 *self = call->conv;
  const GradConvDesc *d = &self->desc;
  GradConvInt8Range range = call->ranges[at.picture];
  gsize y = (((gsize) at.picture * (d->oc / LANES) + o) * d->oh + at.y) * d->ow + at.x;
  Vector scale, bias = { 0 };
  Integers sums;

  memcpy (&scale, grad_conv_int8_scales (call) + o * LANES, sizeof scale);
  memcpy (&sums, grad_conv_int8_sums (call) + o * LANES, sizeof sums);
  if (call->b)
    memcpy (&bias, call->b + o * LANES, sizeof bias);
  for (gint j = 0; j < MIN (GROUP, d->ow - at.x); j++) {
    Vector value = __builtin_convertvector (sum[j * step] - range.zero * sums, Vector)
        * (scale * range.scale) + bias;

    if (call->residual)
      value += ((const Vector *) call->residual)[y + j];
    if (d->relu)
      value = choose (value < 0, (Vector) { 0 }, value);
    ((Vector *) call->y)[y + j] = value;
  }
}

/* up to GROUPS groups, of `vectors` blocks of outputs */
INLINE void
compute_groups (gint vectors, const GradConvInt8Call * call, gint first, gint count, gint o)
{
  const GradConvInt8 *self = call->conv;
  const GradConvDesc *d = &self->desc;
  gint step = d->stride * self->pixel, width = d->iw + 2 * d->padding;
  const gint8 *w = call->weights + o * grad_conv_int8_block (self);
  gsize next = grad_conv_int8_block (self);
  const guint8 *x[GROUPS];
  Place at[GROUPS];
  Integers sum[GROUPS * GROUP][2], results[GROUPS * GROUP][2];

#pragma GCC unroll 4
  for (gint g = 0; g < GROUPS; g++) {
    at[g] = group_place (self, first + MIN (g, count - 1));
    x[g] = call->quantised + at[g].picture * self->picture
        + ((gsize) at[g].y * width + at[g].x) * step;
  }
#pragma GCC unroll 12
  for (gint j = 0; j < GROUPS * GROUP; j++)
#pragma GCC unroll 2
    for (gint v = 0; v < vectors; v++)
      sum[j][v] = (Integers) { 0 };

  for (gint block = 0; block < self->blocks; block++)
    for (gint p = 0; p < d->kernel; p++) {
      gsize row = block * self->plane + (gsize) p * width * self->pixel;

      for (gint k = 0; k < self->row; k += 4, w += 4 * LANES) {
        Integers w0 = *(const Integers *) w, w1 = vectors > 1 ? *(const Integers *) (w + next) : w0;

#pragma GCC unroll 12
        for (gint j = 0; j < GROUPS * GROUP; j++) {
          Integers bytes = *(const Word *) (x[j / GROUP] + row + k + j % GROUP * step)
              - (Integers) { 0 };

          sum[j][0] = DOT (sum[j][0], bytes, w0);
          if (vectors > 1)
            sum[j][1] = DOT (sum[j][1], bytes, w1);
        }
      }
    }

#pragma GCC unroll 12
  for (gint j = 0; j < GROUPS * GROUP; j++)
#pragma GCC unroll 2
    for (gint v = 0; v < vectors; v++)
      results[j][v] = sum[j][v];
  for (gint g = 0; g < count; g++)
    for (gint v = 0; v < vectors; v++)
      finish_group (call, at[g], o + v, &results[g * GROUP][v], 2);
}

TARGET static void
run (const GradConvInt8Call * call, gint first_group, gint n_groups, gint first_o, gint n_o)
{
  for (gint o = 0; o < n_o; o += 2)
    for (gint g = 0; g < n_groups; g += GROUPS)
      if (o + 1 < n_o)
        compute_groups (2, call, first_group + g, MIN (GROUPS, n_groups - g), first_o + o);
      else
        compute_groups (1, call, first_group + g, MIN (GROUPS, n_groups - g), first_o + o);
}

const GradConvInt8Loops LOOPS = { quantise, weights, run };
