/* GradStreamer kernels: the gradient of a convolution's weights on the cpu device, where x has few channels
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Chunks of pixels are summed to parts, and these in their order: results depend on shapes alone, and not on the number of threads. */
#include "im2col.h"
#include "kernels/cpu.h"
#include "lib/device/gradcpudevice-private.h"

#define MATRIX_SIZE (64 << 10)  /* bytes of the matrix, which stay in the second-level cache */
#define MAX_COLUMNS 256
#define MAX_PARTS 64
#define MAX_PARTS_SIZE (16 << 20)       /* bytes */

static guint
layout (GradDevice * device, gint n, gint c, gint h, gint w)
{
  return GRAD_DEVICE_GET_CLASS (device)->activation_layout (device, GRAD_DTYPE_FLOAT32,
      &GRAD_SHAPE (n, c, h, w));
}

gboolean
grad_im2col_supports (GradDevice * device, const GradConvDesc * d)
{
  return (gint64) d->ic * d->kernel * d->kernel < MAX_COLUMNS
      && layout (device, d->n, d->ic, d->ih, d->iw) == GRAD_LAYOUT_PLAIN
      && layout (device, d->n, d->oc, d->oh, d->ow) != GRAD_LAYOUT_PLAIN;
}

/* floats */
static gsize
part_size (const GradIm2col * self)
{
  return (gsize) self->n_columns * self->desc.oc;
}

/* sums of all parts, and a buffer for each worker */
static gfloat *
scratch (const GradIm2col * self, GError ** error)
{
  return grad_cpu_scratch (self->device, (self->n_parts * part_size (self)
          + grad_parallel_n_workers () * grad_im2col_buffer_size (self)) * sizeof (gfloat), error);
}

GradIm2col *
grad_im2col_new (GradDevice * device, const GradConvDesc * d, GError ** error)
{
  guint dy = layout (device, d->n, d->oc, d->oh, d->ow);
  GradIm2col *self = g_new (GradIm2col, 1);
  gint max, pixels = d->oh * d->ow;

  *self = (GradIm2col) {
    .device = device,.part = *GRAD_BY_BLOCK (grad_im2col_part),.desc = *d,.bf16 = grad_cpu_layout_is_bf16 (dy),
    .n_columns = d->ic * d->kernel * d->kernel + d->bias
  };
  self->pitch = self->n_columns + 15;   /* a vector that starts in the last column */
  max = MATRIX_SIZE / (self->pitch * sizeof (gfloat));
  self->n_chunks = grad_ceil_div (pixels, max);
  self->chunk = grad_ceil_div (pixels, self->n_chunks);
  self->rows = (MIN (d->oh, (self->chunk - 1 + d->ow - 1) / d->ow + 1) - 1) * d->stride + d->kernel;
  self->n_parts = CLAMP (MAX_PARTS_SIZE / (part_size (self) * sizeof (gfloat)), 1, MAX_PARTS);
  self->n_parts = MIN ((gint64) self->n_parts, (gint64) d->n * self->n_chunks);
  if (scratch (self, error) == NULL)
    g_clear_pointer (&self, g_free);
  return self;
}

/* what the workers of a call share */
typedef struct
{
  const GradIm2col *self;
  const gfloat *x;
  gconstpointer dy;
  gfloat *dw, *db;
  gfloat *sums;                 /* (parts, columns, O) */
  gfloat *buffers;
  gboolean accumulate;
} Call;

static void
part_job (gsize i, guint worker, gpointer data)
{
  Call *c = data;
  const GradIm2col *self = c->self;
  gsize n = (gsize) self->desc.n * self->n_chunks;

  self->part (self, c->x, c->dy, n * i / self->n_parts, n * (i + 1) / self->n_parts,
      c->sums + i * part_size (self), c->buffers + worker * grad_im2col_buffer_size (self));
}

/* to += from */
GRAD_CLONES static void
add (gfloat * to, const gfloat * from, gint n)
{
  GRAD_IVDEP for (gint i = 0; i < n; i++)
    to[i] += from[i];
}

/* all parts of a column */
static void
column_job (gsize i, gpointer data)
{
  Call *c = data;
  const GradIm2col *self = c->self;
  gint oc = self->desc.oc, taps = self->n_columns - self->desc.bias;
  gfloat *sum = c->sums + i * oc, *to = (gint) i < taps ? c->dw + i : c->db;
  gint step = (gint) i < taps ? taps : 1;

  for (gint part = 1; part < self->n_parts; part++)
    add (sum, sum + part * part_size (self), oc);
  for (gint o = 0; o < oc; o++)
    to[(gsize) o * step] = c->accumulate ? to[(gsize) o * step] + sum[o] : sum[o];
}

gboolean
grad_im2col_gradient (GradIm2col * self, const GradTensor * x, const GradTensor * dy,
    const GradTensor * dw, const GradTensor * db, gboolean accumulate, GError ** error)
{
  Call call = {
    .self = self,.x = grad_tensor_data (x),.dy = grad_tensor_data (dy),.dw = grad_tensor_data (dw),
    .db = db ? grad_tensor_data (db) : NULL,.sums = scratch (self, error),.accumulate = accumulate
  };

  if (call.sums == NULL)
    return FALSE;
  call.buffers = call.sums + self->n_parts * part_size (self);
  grad_parallel_work (self->n_parts, part_job, &call);
  grad_parallel_for (self->n_columns, column_job, &call);
  return TRUE;
}
