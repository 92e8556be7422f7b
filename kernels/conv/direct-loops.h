/* GradStreamer kernels: loops of the direct convolution, for LANES channels at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A matrix product for each job: of its pixels and two blocks of outputs, as many as fit in registers at a time, over the
 * taps of a few channels, whose weights stay in the first-level cache for all pixels.
 *
 * To be included with LANES, ROWS (that many times 2 accumulators fit in registers), TILES (CASE() for each number up
 * to ROWS), TARGET and LOOPS (the table's name) defined. */
#include "vectors.h"

#define WEIGHTS_SIZE (20 << 10) /* bytes of two blocks' weights that stay in the first-level cache */

/* a job's place in x and y */
typedef struct
{
  gint picture, n_pictures, row, n_rows, block, n_blocks;
} Job;

GRAD_INLINE Job
find_job (const GradDirect * self, gint i)
{
  gint picture = i / self->n_blocks / self->n_rows * self->pictures;
  gint row = i / self->n_blocks % self->n_rows * self->rows, block = i % self->n_blocks * self->blocks;

  return (Job) {
    picture, MIN (self->pictures, self->desc.n - picture), row, MIN (self->rows, self->desc.oh - row),
        block, MIN (self->blocks, self->desc.oc / LANES - block)};
}

/* The n pixels from column `first` on that are `stride` apart, zeros outside of x's row (of `width`; NULL: all of them) */
GRAD_INLINE void
copy_row (gboolean blocked, gboolean bf16, gconstpointer x, gint width, gint first, gint stride,
    gint n, gfloat * to)
{
  gint begin = first < 0 ? MIN ((stride - 1 - first) / stride, n) : 0;
  gint end = x && first < width ? MIN ((width - 1 - first) / stride + 1, n) : 0;
  gint group = blocked ? LANES : 1;

  end = MAX (begin, end);
  memset (to, 0, begin * group * sizeof (gfloat));
  for (gint j = begin; j < end; j++)
    if (blocked)
      ((Vector *) to)[j] = load_pixel (grad_at (x, (first + j * stride) * LANES, bf16), bf16);
    else
      to[j] = ((const gfloat *) x)[first + j * stride];
  memset (to + end * group, 0, (n - end) * group * sizeof (gfloat));
}

/* what a job reads of one picture */
GRAD_INLINE void
copy_picture (gboolean blocked, gboolean bf16, const GradDirect * self, gconstpointer x,
    const Job * job, gfloat * to)
{
  const GradConvDesc *d = &self->desc;
  gint group = blocked ? LANES : 1, n_rows = job->n_rows + (d->kernel - 1) / d->stride;
  gsize row_size = (gsize) d->ow * group;

  for (gint c = 0; c < d->ic / group; c++, x = grad_at (x, (gsize) d->ih * d->iw * group, bf16))
    for (gint q = 0; q < d->kernel; q++)
      for (gint phase = 0; phase < self->phases; phase++, to += self->phase_rows * row_size)
        for (gint i = 0; i < n_rows; i++) {
          gint row = (job->row + i) * d->stride + phase - d->padding;
          gboolean inside = row >= 0 && row < d->ih;

          copy_row (blocked, bf16, inside ? grad_at (x, (gsize) row * d->iw * group, bf16) : NULL,
              d->iw, q - d->padding, d->stride, d->ow, to + i * row_size);
        }
}

/* sums (rows, `vectors` times LANES) = or += of x (rows, channels and taps) w; w_vector: from block to block of w, sum_vector: of sums */
GRAD_INLINE void
multiply (gint rows, gint vectors, gint group, const GradDirect * self, const gfloat * x,
    const gfloat * w, gsize w_vector, gint n_groups, gfloat * sums, gsize sum_vector,
    gboolean accumulate)
{
  gint taps = self->desc.kernel * self->desc.kernel;
  gsize x_group = grad_direct_group_size (self);
  Vector sum[ROWS][2];

#pragma GCC unroll 16
  for (gint r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (gint v = 0; v < vectors; v++)
      sum[r][v] = accumulate ? *(const Vector *) (sums + r * LANES + v * sum_vector) : (Vector) { 0 };
  for (; n_groups > 0; n_groups--, x += x_group)
    for (gint tap = 0; tap < taps; tap++) {
      const gfloat *pixels = x + self->offsets[tap];

      for (gint i = 0; i < group; i++, w += LANES) {
        Vector w0 = *(const Vector *) w;
        Vector w1 = vectors > 1 ? *(const Vector *) (w + w_vector) : w0;

#pragma GCC unroll 16
        for (gint r = 0; r < rows; r++) {
          sum[r][0] += pixels[r * group + i] * w0;
          if (vectors > 1)
            sum[r][1] += pixels[r * group + i] * w1;
        }
      }
    }
#pragma GCC unroll 16
  for (gint r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (gint v = 0; v < vectors; v++)
      *(Vector *) (sums + r * LANES + v * sum_vector) = sum[r][v];
}

/* the same for all pixels of a picture in a job, in tiles of about the same size */
GRAD_INLINE void
multiply_picture (gint vectors, gint group, const GradDirect * self, gint n_pixels,
    const gfloat * x, const gfloat * w, gsize w_vector, gint n_groups, gfloat * sums,
    gsize sum_vector, gboolean accumulate)
{
  gint n_tiles = (n_pixels + ROWS - 1) / ROWS;

  for (gint tile = 0, begin = 0, end; tile < n_tiles; tile++, begin = end) {
    end = n_pixels * (tile + 1) / n_tiles;
    switch (end - begin) {
#define CASE(rows) \
      case rows: \
        multiply (rows, vectors, group, self, x + begin * group, w, w_vector, n_groups, \
            sums + begin * LANES, sum_vector, accumulate); \
        break;
        TILES
#undef CASE
    }
  }
}

/* y = [relu] (sums [+ b] [+ residual]), n pixels of a block from element `at` on */
GRAD_INLINE void
finish (gboolean bf16, const GradDirect * self, const gfloat * sums, gint n, const gfloat * b,
    gconstpointer residual, gpointer y, gsize at)
{
  Vector bias = { 0 };

  if (b)
    memcpy (&bias, b, sizeof bias);
  for (gint i = 0; i < n; i++, at += LANES) {
    Vector value = ((const Vector *) sums)[i] + bias;

    if (residual)
      value += load_pixel (grad_at (residual, at, bf16), bf16);
    if (self->desc.relu)
      value = (Vector) ((Bits) value & ~(Bits) (value < 0));
    store_pixel (grad_at (y, at, bf16), value, bf16);
  }
}

GRAD_INLINE void
run_job (gint group, const GradDirect * self, gconstpointer x, const gfloat * w, const gfloat * b,
    gconstpointer residual, gpointer y, gint i, gfloat * buffer)
{
  const GradConvDesc *d = &self->desc;
  Job job = find_job (self, i);
  gint n_groups = d->ic / group, taps = d->kernel * d->kernel;
  gint chunk = MAX (1, WEIGHTS_SIZE / (taps * group * 2 * LANES * (gint) sizeof (gfloat)));
  gint n_pixels = job.n_rows * d->ow, end = job.block + job.n_blocks;
  gsize x_picture = n_groups * grad_direct_group_size (self);
  gsize w_group = (gsize) taps * group * LANES, w_vector = n_groups * w_group;
  gsize sum_vector = (gsize) n_pixels * LANES;
  gfloat *sums = buffer + grad_direct_x_size (self);

  for (gint p = 0; p < job.n_pictures; p++) {
    gconstpointer from = grad_at (x, (gsize) (job.picture + p) * d->ic * d->ih * d->iw, self->x_bf16);

    if (group > 1 && self->x_bf16)
      copy_picture (TRUE, TRUE, self, from, &job, buffer + p * x_picture);
    else
      copy_picture (group > 1, FALSE, self, from, &job, buffer + p * x_picture);
  }
  for (gint o = job.block; o < end; o += 2) {
    for (gint k = 0; k < n_groups; k += chunk)
      for (gint p = 0; p < job.n_pictures; p++) {
        const gfloat *pixels = buffer + p * x_picture + k * grad_direct_group_size (self);
        const gfloat *weights = w + o * w_vector + k * w_group;

        if (o + 1 < end)
          multiply_picture (2, group, self, n_pixels, pixels, weights, w_vector,
              MIN (chunk, n_groups - k), sums + p * 2 * sum_vector, sum_vector, k > 0);
        else
          multiply_picture (1, group, self, n_pixels, pixels, weights, w_vector,
              MIN (chunk, n_groups - k), sums + p * 2 * sum_vector, sum_vector, k > 0);
      }
    for (gint p = 0; p < job.n_pictures; p++)
      for (gint v = 0; v < MIN (2, end - o); v++) {
        const gfloat *from = sums + (p * 2 + v) * sum_vector, *bias = b ? b + (o + v) * LANES : NULL;
        gsize at = (((gsize) (job.picture + p) * (d->oc / LANES) + o + v) * d->oh + job.row)
            * d->ow * LANES;

        if (self->y_bf16)
          finish (TRUE, self, from, n_pixels, bias, residual, y, at);
        else
          finish (FALSE, self, from, n_pixels, bias, residual, y, at);
      }
  }
}

TARGET static void
run (const GradDirect * self, gconstpointer x, const gfloat * w, const gfloat * b,
    gconstpointer residual, gpointer y, gint job, gfloat * buffer)
{
  if (self->group > 1)
    run_job (LANES, self, x, w, b, residual, y, job, buffer);
  else
    run_job (1, self, x, w, b, residual, y, job, buffer);
}

TARGET static void
pack (const GradDirect * self, const gfloat * weights, gfloat * w, gint o)
{
  gsize n = (gsize) self->desc.ic * self->desc.kernel * self->desc.kernel;

  for (gsize i = 0; i < n; i++)
    for (gint l = 0; l < LANES; l++)
      w[(o * n + i) * LANES + l] = weights[(o * LANES + l) * n + i];
}

const GradDirectLoops LOOPS = { pack, run };
