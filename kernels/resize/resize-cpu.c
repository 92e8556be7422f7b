/* GradStreamer kernels: resize of uint8 pictures, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x: (N, C, IH, IW) uint8, y: (N, C, OH, OW) in the device's layout, =; deterministic.
 * Runs in its caller's thread alone; a plan serves one thread at a time. */
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include "lib/device/gradcpudevice-private.h"
#include "resize-body.h"

#define VECTOR 16

typedef struct
{
  GradPlan plan;
  GradResizeDesc desc;
  GradResizeTable across, down;
  gint taps;                    /* of a pixel, when there are many: padded to whole vectors; else 0 */
  gint32 *first, *weights;      /* (OW), (OW, TAPS): `across` in that order */
  gfloat value[4][256];         /* y of each uint8, for the first four channels */
  gint32 *wide, *sums;          /* (IW), (OW): a row of x, sums of a row */
  guint8 *rows, *line;          /* (IH, OW), (OW): after the first pass, after the second */
} CpuPlan;

static void
cpu_free (GradPlan * plan)
{
  CpuPlan *self = (CpuPlan *) plan;

  grad_resize_table_clear (&self->across);
  grad_resize_table_clear (&self->down);
  g_free (self->first);
  g_free (self->weights);
  g_free (self->wide);
  g_free (self->sums);
  g_free (self->rows);
  g_free (self->line);
  g_free (self);
}

/* Each pixel's weights one behind the other, if a vector is full of them */
static void
order_by_pixel (CpuPlan * self)
{
  const GradResizeTable *t = &self->across;
  gint taps = (t->n_taps + VECTOR - 1) / VECTOR * VECTOR;

  if (t->n_taps < VECTOR / 2 || taps > t->in)
    return;
  self->taps = taps;
  self->first = g_new (gint32, t->out);
  self->weights = g_new0 (gint32, (gsize) t->out * taps);
  for (gint o = 0; o < t->out; o++) {
    gint32 *weights = self->weights + (gsize) o * taps;

    self->first[o] = MIN (t->first[o], t->in - taps);
    for (gint k = 0; k < t->n_taps; k++)
      weights[t->first[o] - self->first[o] + k] = t->weights[(gsize) k * t->out + o];
  }
}

static GradPlan *
plan_new (GradDevice * device, const GradResizeDesc * desc, GError ** error)
{
  CpuPlan *self = g_new0 (CpuPlan, 1);

  self->plan = (GradPlan) {.device = device,.free = cpu_free };
  self->desc = *desc;
  grad_resize_table_init (&self->across, desc->iw, desc->ow);
  grad_resize_table_init (&self->down, desc->ih, desc->oh);
  order_by_pixel (self);
  for (gint c = 0; c < MIN (desc->c, 4); c++)
    for (gint v = 0; v < 256; v++)
      self->value[c][v] = (v / 255.f - desc->mean[c]) / desc->std[c];
  self->wide = g_new (gint32, desc->iw);
  self->sums = g_new (gint32, desc->ow);
  self->rows = g_new (guint8, (gsize) desc->ih * desc->ow);
  self->line = g_new (guint8, desc->ow);
  return &self->plan;
}

/* x: (IW), y: (OW) */
GRAD_CLONES static void
resize_row (const GradResizeTable * table, const guint8 * restrict x, guint8 * restrict y,
    gint32 * restrict wide, gint32 * restrict sums)
{
  const gint32 *restrict first = table->first;
  gint in = table->in, out = table->out;

  for (gint i = 0; i < in; i++)
    wide[i] = x[i];
  for (gint o = 0; o < out; o++)
    sums[o] = GRAD_RESIZE_HALF;
  for (gint t = 0; t < table->n_taps; t++) {
    const gint32 *restrict weights = table->weights + (gsize) t * out;

    for (gint o = 0; o < out; o++)
      sums[o] += weights[o] * wide[first[o] + t];
  }
  for (gint o = 0; o < out; o++)
    y[o] = grad_resize_round (sums[o]);
}

/* The same where a picture shrinks a lot: weights (OW, TAPS) */
GRAD_CLONES static void
shrink_row (const gint32 * restrict first, const gint32 * restrict weights, gint taps,
    const guint8 * restrict x, guint8 * restrict y, gint out)
{
  for (gint o = 0; o < out; o++, weights += taps) {
    const guint8 *in = x + first[o];
    gint32 sum = GRAD_RESIZE_HALF;

    for (gint t = 0; t < taps / VECTOR * VECTOR; t++)
      sum += weights[t] * in[t];
    y[o] = grad_resize_round (sum);
  }
}

/* Row o of the second pass: rows (IH, W), y (W) */
GRAD_CLONES static void
mix_rows (const GradResizeTable * table, gint o, const guint8 * restrict rows, gsize width,
    guint8 * restrict y, gint32 * restrict sums)
{
  const guint8 *restrict row = rows + table->first[o] * width;

  for (gsize i = 0; i < width; i++)
    sums[i] = GRAD_RESIZE_HALF;
  for (gint t = 0; t < table->n_taps; t++, row += width) {
    gint32 weight = table->weights[(gsize) t * table->out + o];

    for (gsize i = 0; i < width; i++)
      sums[i] += weight * row[i];
  }
  for (gsize i = 0; i < width; i++)
    y[i] = grad_resize_round (sums[i]);
}

/* One channel of one sample, from element `at` of y on; `stride` of them are from pixel to pixel. */
static void
resize_plane (CpuPlan * self, const guint8 * x, const gfloat * value, gpointer y, gsize at,
    gsize stride, gboolean bf16)
{
  const GradResizeDesc *d = &self->desc;
  const guint8 *rows = x;

  if (d->iw != d->ow) {
    for (gint r = 0; r < d->ih; r++) {
      const guint8 *in = x + (gsize) r * d->iw;
      guint8 *out = self->rows + (gsize) r * d->ow;

      if (self->taps)
        shrink_row (self->first, self->weights, self->taps, in, out, d->ow);
      else
        resize_row (&self->across, in, out, self->wide, self->sums);
    }
    rows = self->rows;
  }
  for (gint o = 0; o < d->oh; o++) {
    const guint8 *line = rows + (gsize) o * d->ow;

    if (d->ih != d->oh) {
      mix_rows (&self->down, o, rows, d->ow, self->line, self->sums);
      line = self->line;
    }
    for (gint i = 0; i < d->ow; i++, at += stride)
      grad_store (y, at, value[line[i]], bf16);
  }
}

static gboolean
run (GradPlan * plan, const GradTensor * x, GradTensor * y, gint first, GError ** error)
{
  CpuPlan *self = (CpuPlan *) plan;
  const GradResizeDesc *d = &self->desc;
  gsize block = grad_cpu_layout_block (y->layout);
  gsize in_plane = (gsize) d->ih * d->iw, out_plane = (gsize) d->oh * d->ow;
  const guint8 *in = grad_tensor_data (x);
  gpointer out = grad_tensor_data (y);

  for (gsize i = 0; i < (gsize) d->n * d->c; i++) {
    gsize o = (gsize) first * d->c + i; /* plane of y */

    resize_plane (self, in + i * in_plane, self->value[MIN (i % d->c, 3)], out,
        o / block * block * out_plane + o % block, block, grad_cpu_layout_is_bf16 (y->layout));
  }
  return TRUE;
}

const GradResizeOps grad_resize_cpu_ops = {
  .plan = plan_new,
  .run = run,
};
