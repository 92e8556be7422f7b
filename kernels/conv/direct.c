/* GradStreamer kernels: direct convolution on the cpu device, forward: any kernel size, stride and padding
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How work is split into jobs depends on the number of threads, results do not. */
#include "direct.h"
#include "kernels/cpu.h"
#include "kernels/kept.h"
#include "lib/device/gradcpudevice-private.h"

#define MAX_BUFFER (768 << 10)  /* bytes of x that a job reads: they stay in a second-level cache */
#define JOBS_PER_THREAD 4       /* at least, where there is enough to do */

static guint
layout (GradDevice * device, gint n, gint c, gint h, gint w)
{
  return GRAD_DEVICE_GET_CLASS (device)->activation_layout (device, GRAD_DTYPE_FLOAT32,
      &GRAD_SHAPE (n, c, h, w));
}

gboolean
grad_direct_supports (GradDevice * device, const GradConvDesc * d, gboolean pairs)
{
  return d->oc % (gint) grad_cpu_block () == 0 && (!pairs || (grad_cpu_multiplies_bf16 ()
          && grad_cpu_layout_is_bf16 (layout (device, d->n, d->ic, d->ih, d->iw))));
}

/* words of weights in loops */
static gsize
weights_size (const GradDirect * self)
{
  return (gsize) self->n_groups * self->group * self->desc.kernel * self->desc.kernel * self->desc.oc;
}

/* sets the rows of a job, so many at most, and what follows from them */
static void
set_rows (GradDirect * self, gint max)
{
  self->rows = grad_ceil_div (self->desc.oh, grad_ceil_div (self->desc.oh, max));
  self->n_rows = grad_ceil_div (self->desc.oh, self->rows);
  self->phase_rows = self->rows + (self->desc.kernel - 1) / self->desc.stride;
}

/* As many pictures or rows as a buffer takes; then, where that leaves threads idle, fewer of them or fewer outputs, whichever means
 * less to be read again: each part of the rows reads the weights, each part of the outputs copies x. */
static void
set_jobs (GradDirect * self)
{
  const GradConvDesc *d = &self->desc;
  gint pairs = grad_ceil_div (d->oc / (gint) grad_cpu_block (), 2), n_blocks = 1;
  gint n_jobs = JOBS_PER_THREAD * grad_parallel_n_workers ();
  gsize max = MAX_BUFFER / sizeof (gfloat), w_size = weights_size (self);

  self->pictures = 1;
  set_rows (self, d->oh);
  if (grad_direct_x_size (self) < max)
    self->pictures = CLAMP (d->n / n_jobs, 1, (gint) (max / grad_direct_x_size (self)));
  while (grad_direct_x_size (self) > max && self->rows > 1)
    set_rows (self, self->rows - 1);
  self->n_pictures = grad_ceil_div (d->n, self->pictures);
  while (self->n_pictures * self->n_rows * n_blocks < n_jobs && (self->rows > 1 || n_blocks < pairs)) {
    gsize more_x = self->n_rows * grad_direct_x_size (self) * n_blocks;

    if (n_blocks < pairs && (self->rows == 1 || more_x < w_size * self->n_rows))
      n_blocks = MIN (2 * n_blocks, pairs);
    else
      set_rows (self, grad_ceil_div (self->rows, 2));
  }
  self->blocks = 2 * grad_ceil_div (pairs, n_blocks);
  self->n_blocks = grad_ceil_div (pairs, self->blocks / 2);
}

/* Where outputs are narrow, registers take pixels of several rows, which must lie one behind the other for each tap. */
static void
set_columns (GradDirect * self)
{
  const GradConvDesc *d = &self->desc;
  gboolean narrow = d->ow < (gint) grad_cpu_block () / 2;

  self->phases = MIN (d->stride, d->kernel);
  self->columns = narrow ? d->kernel : self->phases;
  self->width = narrow ? d->ow : d->ow + (d->kernel - 1) / d->stride;
}

static void
set_offsets (GradDirect * self)
{
  const GradConvDesc *d = &self->desc;

  self->offsets = g_new (gsize, d->kernel * d->kernel);
  for (gint p = 0; p < d->kernel; p++)
    for (gint q = 0; q < d->kernel; q++) {
      gint column = self->width == d->ow ? q : q % d->stride, pixel = (q - column) / d->stride;
      gint row = (column * self->phases + p % d->stride) * self->phase_rows + p / d->stride;

      self->offsets[p * d->kernel + q] = ((gsize) row * self->width + pixel) * self->group;
    }
}

/* bytes; 0: weights are read as they are stored */
static gsize
packed_size (const GradDirect * self)
{
  return self->group == 1 || self->pairs ? weights_size (self) * sizeof (gfloat) : 0;
}

/* floats that a worker needs */
static gsize
buffer_size (const GradDirect * self)
{
  return grad_direct_x_size (self)
      + (gsize) self->pictures * self->rows * self->desc.ow * 2 * grad_cpu_block ();
}

/* Scratch memory: weights, where they are packed and not kept, and a buffer for each worker */
static gfloat *
scratch (const GradDirect * self, GError ** error)
{
  return grad_cpu_scratch (self->device, (self->form ? 0 : packed_size (self))
      + grad_parallel_n_workers () * buffer_size (self) * sizeof (gfloat), error);
}

static const GradDirectLoops *
find_loops (gboolean pairs)
{
#if defined (__x86_64__)
  if (pairs)
    return &grad_direct_pairs;
#endif
  return GRAD_BY_BLOCK (grad_direct);
}

GradDirect *
grad_direct_new (GradDevice * device, const GradConvDesc * d, gboolean pairs, GError ** error)
{
  guint from = layout (device, d->n, d->ic, d->ih, d->iw), block = grad_cpu_layout_block (from);
  GradDirect *self = g_new (GradDirect, 1);

  *self = (GradDirect) {
    .device = device,.loops = find_loops (pairs),.desc = *d,.pairs = pairs,
    .n_groups = d->ic / block,.group = pairs ? block / 2 : block,
    .x_bf16 = grad_cpu_layout_is_bf16 (from),
    .y_bf16 = grad_cpu_layout_is_bf16 (layout (device, d->n, d->oc, d->oh, d->ow))
  };
  set_columns (self);
  set_jobs (self);
  set_offsets (self);
  if (packed_size (self) > 0 && !d->training)
    self->form = g_quark_from_static_string (pairs ? "direct-bf16" : "direct");
  if (scratch (self, error) == NULL)
    g_clear_pointer (&self, grad_direct_free);
  return self;
}

void
grad_direct_free (GradDirect * self)
{
  if (self == NULL)
    return;
  g_free (self->offsets);
  g_free (self);
}

/* what the workers of a call share */
typedef struct
{
  const GradDirect *self;
  gconstpointer x, residual;
  gpointer y;
  const gfloat *weights, *b;
  gfloat *w;
  gfloat *buffers;              /* of buffer_size() for each worker */
} Call;

static void
pack_job (gsize i, gpointer data)
{
  Call *c = data;

  c->self->loops->pack (c->self, c->weights, c->w, i);
}

static void
run_job (gsize i, guint worker, gpointer data)
{
  Call *c = data;

  c->self->loops->run (c->self, c->x, c->w, c->b, c->residual, c->y, i,
      c->buffers + worker * buffer_size (c->self));
}

gboolean
grad_direct_convolve (GradDirect * self, const GradTensor * x, const GradTensor * w,
    const GradTensor * b, const GradTensor * residual, const GradTensor * y, GError ** error)
{
  gboolean ready = packed_size (self) == 0;
  Call call = {
    .self = self,.x = grad_tensor_data (x),.weights = grad_tensor_data (w),
    .b = b ? grad_tensor_data (b) : NULL,.residual = residual ? grad_tensor_data (residual) : NULL,
    .y = grad_tensor_data (y),.w = grad_tensor_data (w),.buffers = scratch (self, error)
  };

  if (call.buffers == NULL)
    return FALSE;
  if (self->form != 0) {
    call.w = grad_kept_get (w, self->form, packed_size (self), &ready, error);
    if (call.w == NULL)
      return FALSE;
    if (!ready)
      g_atomic_int_inc (&grad_cpu_reorders.parameters);
    grad_kept_made (w, self->form);
  } else if (!ready) {
    call.w = call.buffers;
    call.buffers += packed_size (self) / sizeof (gfloat);
    g_atomic_int_inc (&grad_cpu_reorders.parameters);
  }
  if (!ready)
    grad_parallel_for (self->desc.oc / grad_cpu_block (), pack_job, &call);
  grad_parallel_work (self->n_pictures * self->n_rows * self->n_blocks, run_job, &call);
  return TRUE;
}
