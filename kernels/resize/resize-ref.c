/* GradStreamer kernels: resize of uint8 pictures, reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x: (N, C, IH, IW) uint8, y: (N, C, OH, OW) dense doubles, =; deterministic. */
#include "kernels/kernels.h"
#include "resize-body.h"

typedef struct
{
  GradPlan plan;
  GradResizeDesc desc;
  GradResizeTable across, down;
} RefPlan;

static void
ref_free (GradPlan * plan)
{
  RefPlan *self = (RefPlan *) plan;

  grad_resize_table_clear (&self->across);
  grad_resize_table_clear (&self->down);
  g_free (self);
}

static GradPlan *
plan_new (GradDevice * device, const GradResizeDesc * desc, GError ** error)
{
  RefPlan *self = g_new0 (RefPlan, 1);

  self->plan = (GradPlan) {.device = device,.free = ref_free };
  self->desc = *desc;
  grad_resize_table_init (&self->across, desc->iw, desc->ow);
  grad_resize_table_init (&self->down, desc->ih, desc->oh);
  return &self->plan;
}

/* One line of pixels, `step` apart, to another: a row or a column. */
static void
resize_line (const GradResizeTable * t, const guint8 * x, guint8 * y, gsize step)
{
  for (gint o = 0; o < t->out; o++) {
    gint32 sum = GRAD_RESIZE_HALF;

    for (gint k = 0; k < t->n_taps; k++)
      sum += t->weights[k * t->out + o] * x[(t->first[o] + k) * step];
    y[o * step] = t->in == t->out ? x[o * step] : grad_resize_round (sum);
  }
}

static gboolean
run (GradPlan * plan, const GradTensor * x, GradTensor * y, gint first, GError ** error)
{
  RefPlan *self = (RefPlan *) plan;
  const GradResizeDesc *d = &self->desc;
  const guint8 *in = grad_tensor_data (x);
  gdouble *out = (gdouble *) grad_tensor_data (y) + (gsize) first * d->c * d->oh * d->ow;
  g_autofree guint8 *rows = g_new (guint8, (gsize) d->ih * d->ow);      /* (IH, OW) */
  g_autofree guint8 *pixels = g_new (guint8, (gsize) d->oh * d->ow);    /* (OH, OW) */

  for (gint i = 0; i < d->n * d->c; i++) {
    gint c = MIN (i % d->c, 3);

    for (gint r = 0; r < d->ih; r++, in += d->iw)
      resize_line (&self->across, in, rows + (gsize) r * d->ow, 1);
    for (gint o = 0; o < d->ow; o++)
      resize_line (&self->down, rows + o, pixels + o, d->ow);
    for (gsize p = 0; p < (gsize) d->oh * d->ow; p++)
      *out++ = (pixels[p] / 255.0 - d->mean[c]) / d->std[c];
  }
  return TRUE;
}

const GradResizeOps grad_resize_ref_ops = {
  .plan = plan_new,
  .run = run,
};
