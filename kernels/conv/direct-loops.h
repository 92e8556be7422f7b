/* GradStreamer kernels: loops of the direct convolution, for LANES channels at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A matrix product for each job: of its pixels and two blocks of outputs, as many as fit in registers at a time, over the
 * taps of a few channels, whose weights stay in the first-level cache for all pixels.
 *
 * To be included behind lanes-16.h, lanes-8.h or lanes-4.h; and with PAIRS (sum, x, w) defined, for words that are pairs of
 * bfloat16: adds the sums of both products. */
#include "direct.h"
#include "vectors.h"

#include <string.h>

#ifdef PAIRS
#define IN_PAIRS TRUE
#define WORDS (LANES / 2)       /* of a pixel */
#else
#define IN_PAIRS FALSE
#define WORDS LANES
#endif
#define WEIGHTS_SIZE (20 << 10) /* bytes of two blocks' weights that stay in the first-level cache */

typedef gint32 Word __attribute__ ((may_alias));

/* a job's place in x and y */
typedef struct
{
  gint picture, n_pictures, row, n_rows, block, n_blocks;
} Job;

INLINE Job
find_job (const GradDirect * self, gint i)
{
  gint picture = i / self->n_blocks / self->n_rows * self->pictures;
  gint row = i / self->n_blocks % self->n_rows * self->rows, block = i % self->n_blocks * self->blocks;

  return (Job) {
    picture, MIN (self->pictures, self->desc.n - picture), row, MIN (self->rows, self->desc.oh - row),
        block, MIN (self->blocks, self->desc.oc / LANES - block)};
}

INLINE void
copy_pixel (gfloat * to, gconstpointer pixel, gboolean bf16)
{
#ifdef PAIRS
  *(Half *) to = *(const Half *) pixel;
#else
  *(Vector *) to = load_pixel (pixel, bf16);
#endif
}

/* sum + x w */
INLINE Vector
add_product (Vector sum, const gfloat * x, Vector w)
{
#ifdef PAIRS
  return PAIRS (sum, *(const Word *) x, w);
#else
  return sum + *x * w;
#endif
}

/* The n pixels from column `first` on that are `stride` apart, zeros outside of x's row (of `width`; NULL: all of them) */
INLINE void
copy_row (gboolean blocked, gboolean bf16, gconstpointer x, gint width, gint first, gint stride,
    gint n, gfloat * to)
{
  gint begin = first < 0 ? MIN ((stride - 1 - first) / stride, n) : 0;
  gint end = x && first < width ? MIN ((width - 1 - first) / stride + 1, n) : 0;
  gint group = blocked ? WORDS : 1;

  end = MAX (begin, end);
  memset (to, 0, begin * group * sizeof (gfloat));
  for (gint j = begin; j < end; j++)
    if (blocked)
      copy_pixel (to + j * WORDS, grad_at (x, (first + j * stride) * LANES, bf16), bf16);
    else
      to[j] = ((const gfloat *) x)[first + j * stride];
  memset (to + end * group, 0, (n - end) * group * sizeof (gfloat));
}

/* what a job reads of one picture */
INLINE void
copy_picture (gboolean blocked, gboolean bf16, const GradDirect * self, gconstpointer x,
    const Job * job, gfloat * to)
{
  const GradConvDesc *d = &self->desc;
  gint channels = blocked ? LANES : 1, n_rows = job->n_rows + (d->kernel - 1) / d->stride;
  gsize row_size = (gsize) self->width * (blocked ? WORDS : 1);

  for (gint c = 0; c < self->n_groups; c++, x = grad_at (x, (gsize) d->ih * d->iw * channels, bf16))
    for (gint q = 0; q < self->columns; q++)
      for (gint phase = 0; phase < self->phases; phase++, to += self->phase_rows * row_size)
        for (gint i = 0; i < n_rows; i++) {
          gint row = (job->row + i) * d->stride + phase - d->padding;
          gboolean inside = row >= 0 && row < d->ih;

          copy_row (blocked, bf16, inside ? grad_at (x, (gsize) row * d->iw * channels, bf16) : NULL,
              d->iw, q - d->padding, d->stride, self->width, to + i * row_size);
        }
}

/* A step of the product: of all pixels of a job's rows of a picture and one or two blocks of outputs, over some groups of inputs */
typedef struct
{
  gint n_groups, n_rows;
  gboolean first, last;         /* sums start, and become outputs */
  const gfloat *x, *w, *b;      /* b may be NULL */
  gfloat *sums;
  gsize at;                     /* of residual's and y's first element */
  gsize w_block, sum_block, y_block;    /* from block to block of outputs */
} Step;

/* sums (rows, `vectors` blocks) = or += x (rows, groups and taps) w. While it reads some weights it fetches the next ones, from further away. */
INLINE void
multiply (gint rows, gint vectors, gint group, const GradDirect * self, const Step * step,
    const gfloat * x, gfloat * sums)
{
  gint taps = self->desc.kernel * self->desc.kernel;
  gsize x_group = grad_direct_group_size (self), w_block = step->w_block;
  gsize ahead = (gsize) step->n_groups * taps * group * LANES;
  const gfloat *w = step->w;
  Vector sum[ROWS][2];

#pragma GCC unroll 16
  for (gint r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (gint v = 0; v < vectors; v++)
      sum[r][v] = step->first ? (Vector) { 0 }
      : *(const Vector *) (sums + r * LANES + v * step->sum_block);
  for (gint i = 0; i < step->n_groups; i++, x += x_group)
    for (gint tap = 0; tap < taps; tap++) {
      const gfloat *pixels = x + self->offsets[tap];

#pragma GCC unroll 4
      for (gint c = 0; c < group; c++, w += LANES) {
        Vector w0 = *(const Vector *) w;
        Vector w1 = vectors > 1 ? *(const Vector *) (w + w_block) : w0;

        __builtin_prefetch (w + ahead);
        if (vectors > 1)
          __builtin_prefetch (w + w_block + ahead);
#pragma GCC unroll 16
        for (gint r = 0; r < rows; r++) {
          sum[r][0] = add_product (sum[r][0], pixels + r * group + c, w0);
          if (vectors > 1)
            sum[r][1] = add_product (sum[r][1], pixels + r * group + c, w1);
        }
      }
    }
#pragma GCC unroll 16
  for (gint r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (gint v = 0; v < vectors; v++)
      *(Vector *) (sums + r * LANES + v * step->sum_block) = sum[r][v];
}

/* y = [relu] (sums [+ b] [+ residual]), n pixels of a block from element `at` on */
INLINE void
finish (gboolean bf16, gboolean relu, const gfloat * sums, gint n, const gfloat * b,
    gconstpointer residual, gpointer y, gsize at)
{
  Vector bias = { 0 };

  if (b)
    memcpy (&bias, b, sizeof bias);
  for (gint i = 0; i < n; i++, at += LANES) {
    Vector value = ((const Vector *) sums)[i] + bias;

    if (residual)
      value += load_pixel (grad_at (residual, at, bf16), bf16);
    if (relu)
      value = (Vector) ((Bits) value & ~(Bits) (value < 0));
    store_pixel (grad_at (y, at, bf16), value, bf16);
  }
}

/* n pixels from `pixel` on, which begin at x, in tiles of about the same size */
INLINE void
run_pixels (gint vectors, gint group, const GradDirect * self, const Step * step, gint pixel,
    gint n, const gfloat * x, gconstpointer residual, gpointer y)
{
  gint n_tiles = (n + ROWS - 1) / ROWS;

  for (gint tile = 0, begin = 0, end; tile < n_tiles; tile++, begin = end) {
    gfloat *sums = step->sums + (pixel + begin) * LANES;

    end = (gint64) n * (tile + 1) / n_tiles;
    switch (end - begin) {
#define CASE(rows) \
      case rows: \
        multiply (rows, vectors, group, self, step, x + begin * group, sums); \
        break;
        FOR_ROWS (CASE)
#undef CASE
    }
    for (gint v = 0; v < vectors && step->last; v++) {
      gsize at = step->at + v * step->y_block + (gsize) (pixel + begin) * LANES;
      const gfloat *from = sums + v * step->sum_block, *b = step->b ? step->b + v * LANES : NULL;

      if (IN_PAIRS || self->y_bf16)
        finish (TRUE, self->desc.relu, from, end - begin, b, residual, y, at);
      else
        finish (FALSE, self->desc.relu, from, end - begin, b, residual, y, at);
    }
  }
}

/* row by row, or all at once where they lie without a gap */
INLINE void
run_step (gint vectors, gint group, const GradDirect * self, const Step * step,
    gconstpointer residual, gpointer y)
{
  gint n = self->desc.ow;

  if (self->width == n)
    run_pixels (vectors, group, self, step, 0, n * step->n_rows, step->x, residual, y);
  else
    for (gint i = 0; i < step->n_rows; i++)
      run_pixels (vectors, group, self, step, i * n, n, step->x + (gsize) i * self->width * group,
          residual, y);
}

INLINE void
run_job (gint group, const GradDirect * self, gconstpointer x, const gfloat * w, const gfloat * b,
    gconstpointer residual, gpointer y, gint i, gfloat * buffer)
{
  const GradConvDesc *d = &self->desc;
  Job job = find_job (self, i);
  gint n_groups = self->n_groups, taps = d->kernel * d->kernel;
  gint chunk = MAX (1, WEIGHTS_SIZE / (taps * group * 2 * LANES * (gint) sizeof (gfloat)));
  gsize x_group = grad_direct_group_size (self), w_group = (gsize) taps * group * LANES;
  gsize y_block = (gsize) d->oh * d->ow * LANES;
  Step step = {
    .n_rows = job.n_rows,.w_block = n_groups * w_group,.y_block = y_block,
    .sum_block = (gsize) job.n_rows * d->ow * LANES
  };

  for (gint p = 0; p < job.n_pictures; p++) {
    gconstpointer from = grad_at (x, (gsize) (job.picture + p) * d->ic * d->ih * d->iw, self->x_bf16);

    if (IN_PAIRS || (group > 1 && self->x_bf16))
      copy_picture (TRUE, TRUE, self, from, &job, buffer + p * n_groups * x_group);
    else
      copy_picture (group > 1, FALSE, self, from, &job, buffer + p * n_groups * x_group);
  }
  for (gint o = job.block; o < job.block + job.n_blocks; o += 2)
    for (gint k = 0; k < n_groups; k += chunk)
      for (gint p = 0; p < job.n_pictures; p++) {
        step.n_groups = MIN (chunk, n_groups - k);
        step.first = k == 0;
        step.last = k + chunk >= n_groups;
        step.x = buffer + (p * n_groups + k) * x_group;
        step.w = w + o * step.w_block + k * w_group;
        step.b = b ? b + o * LANES : NULL;
        step.sums = buffer + grad_direct_x_size (self) + p * 2 * step.sum_block;
        step.at = ((gsize) (job.picture + p) * (d->oc / LANES) + o) * y_block
            + (gsize) job.row * d->ow * LANES;
        if (o + 1 < job.block + job.n_blocks)
          run_step (2, group, self, &step, residual, y);
        else
          run_step (1, group, self, &step, residual, y);
      }
}

TARGET static void
run (const GradDirect * self, gconstpointer x, const gfloat * w, const gfloat * b,
    gconstpointer residual, gpointer y, gint job, gfloat * buffer)
{
  if (IN_PAIRS || self->group > 1)
    run_job (WORDS, self, x, w, b, residual, y, job, buffer);
  else
    run_job (1, self, x, w, b, residual, y, job, buffer);
}

TARGET static void
pack (const GradDirect * self, const gfloat * weights, gfloat * w, gint o)
{
  gsize n = (gsize) self->n_groups * self->desc.kernel * self->desc.kernel * self->group;

#ifdef PAIRS
  const Vector *from = (const Vector *) weights + 2 * o * n;
  Vector *to = (Vector *) w + o * n;

  for (gsize i = 0; i < n; i++)
    to[i] = (Vector) (bf16_bits (from[2 * i]) | bf16_bits (from[2 * i + 1]) << 16);
#else
  for (gsize i = 0; i < n; i++)
    for (gint l = 0; l < LANES; l++)
      w[(o * n + i) * LANES + l] = weights[(o * LANES + l) * n + i];
#endif
}

const GradDirectLoops NAME (grad_direct) = { pack, run };
