/* GradStreamer kernels: Winograd's convolution on the cpu device: 3x3, stride 1 or 2
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Forward and backward data do not depend on the number of threads. The gradient of the weights does: each thread
 * sums over a part of the tiles, and the parts are summed in their order. */
#include "winograd.h"
#include "kernels/cpu.h"
#include "kernels/kept.h"
#include "lib/device/gradcpudevice-private.h"

/* Tiles of a chunk: a few times the rows of a register tile; transformed, they stay in the second-level cache beside a panel
 * of weights and of products. For the gradient, which is read and written with each chunk, more of them. */
#define CHUNK_SIZE (512 << 10)  /* bytes */
#define MAX_CHUNK 56
#define GRADIENT_CHUNK 42
#define U_PADDING 80            /* floats */
#define MAX_PARTS_SIZE (24 << 20)       /* bytes of partial sums that are worth reading again */

/* floats that a worker needs for a chunk */
static gsize
buffer_size (const GradWinograd * self)
{
  return (gsize) self->size * self->size * (self->ic + 2 * grad_cpu_block ()) * self->chunk;
}

static void
set_tile (GradWinograd * self, gint m)
{
  gint outputs = grad_winograd_outputs (self->scheme, m);

  self->m = m;
  self->size = grad_winograd_size (self->scheme, m);
  self->tiles_y = grad_ceil_div (self->oh + self->shift, outputs);
  self->tiles_x = grad_ceil_div (self->ow + self->shift, outputs);
  self->n_tiles = self->n * self->tiles_y * self->tiles_x;
}

/* what wastes less at the edges */
static void
choose_tile (GradWinograd * self)
{
  gint products;

  set_tile (self, 3);
  products = self->size * self->size * self->tiles_y * self->tiles_x;
  set_tile (self, 4);
  if (self->size * self->size * self->tiles_y * self->tiles_x >= products)
    set_tile (self, 3);
}

/* Each thread gets a part of the tiles, or, when so many partial sums would be too much, a group of outputs of one. */
static void
set_jobs (GradWinograd * self, gint threads)
{
  gint panels = grad_ceil_div (self->oc / (gint) grad_cpu_block (), 2);
  gint max_parts = MAX_PARTS_SIZE / (self->u_size * sizeof (gfloat));

  self->n_parts = CLAMP (MIN (max_parts, self->n_tiles), 1, threads);
  while (threads % self->n_parts != 0)
    self->n_parts--;
  self->n_groups = MIN (threads / self->n_parts, panels);
  self->chunk = MIN (GRADIENT_CHUNK, grad_ceil_div (self->n_tiles, self->n_parts));
}

/* As many chunks for each thread: a job is one */
static void
set_chunk (GradWinograd * self, gint threads)
{
  gint rows = grad_cpu_block () == 16 ? 14 : 12;        /* one register tile, or two */
  gint fit = CHUNK_SIZE / (self->size * self->size * self->ic * sizeof (gfloat));
  gint chunk = CLAMP (fit / rows * rows, rows, MAX_CHUNK);

  self->chunk = grad_ceil_div (self->n_tiles,
      grad_ceil_div (grad_ceil_div (self->n_tiles, chunk), threads) * threads);
}

/* Of outputs up to 2x2, where a direct convolution multiplies few pixels but padding, nothing would be saved; and gradients that are
 * zero because nothing ever meets a tap would become 1e-8, which Adam makes steps of: so there must be two pixels each way. */
gboolean
grad_winograd_supports (GradDevice * device, const GradConvDesc * d, GradConvDirection direction)
{
  gint block = grad_cpu_block ();

  return d->kernel == 3 && d->stride <= 2 && d->padding <= 2
      && d->oh * d->ow > 4 && d->ih * d->iw > 4 && MIN (d->oh, d->ow) > 1 && MIN (d->ih, d->iw) > 1
      && d->ic % block == 0 && d->oc % block == 0
      && !(direction == GRAD_CONV_BACKWARD_WEIGHTS && d->bias);
}

/* Scratch memory: weights, unless they are kept, and a buffer for each worker */
static gfloat *
scratch (const GradWinograd * self, GError ** error)
{
  gsize n_u = self->form ? 0 : MAX (1, self->n_parts) * self->u_size;

  return grad_cpu_scratch (self->device,
      (n_u + grad_parallel_n_workers () * buffer_size (self)) * sizeof (gfloat), error);
}

GradWinograd *
grad_winograd_new (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    GError ** error)
{
  gboolean data = direction == GRAD_CONV_BACKWARD_DATA;
  gint threads = grad_parallel_n_workers (), block = grad_cpu_block ();
  GradWinograd *self = g_new (GradWinograd, 1);

  *self = (GradWinograd) {
    .device = device,.loops = GRAD_BY_BLOCK (grad_winograd),.direction = direction,.n = d->n,
    .ic = data ? d->oc : d->ic,.ih = data ? d->oh : d->ih,.iw = data ? d->ow : d->iw,
    .oc = data ? d->ic : d->oc,.oh = data ? d->ih : d->oh,.ow = data ? d->iw : d->ow,
    .scheme = d->stride == 1 ? GRAD_WINOGRAD_PLAIN
        : data ? GRAD_WINOGRAD_TRANSPOSED : GRAD_WINOGRAD_STRIDED,
    .padding = data ? 2 - d->padding : d->padding,.relu = d->relu,
    .bf16 = grad_device_get_precision (device) == GRAD_PRECISION_BF16
  };
  if (self->scheme == GRAD_WINOGRAD_TRANSPOSED) {
    self->padding = d->padding == 0;
    self->shift = d->padding != 1;
  }
  choose_tile (self);
  /* not a power of two: so many lines would share a set of the cache */
  self->u_step = self->ic * 2 * block + U_PADDING;
  self->panel_step = (self->m + 2) * (self->m + 2) * self->u_step;
  self->u_size = grad_ceil_div (self->oc, 2 * block) * self->panel_step;
  if (direction == GRAD_CONV_BACKWARD_WEIGHTS)
    set_jobs (self, threads);
  else
    set_chunk (self, threads);
  if (!d->training) {
    g_autofree gchar *form = g_strdup_printf ("winograd-%d-%d", self->scheme, self->m);

    self->form = g_quark_from_string (form);
  }
  if (scratch (self, error) == NULL)
    g_clear_pointer (&self, g_free);
  return self;
}

/* what the workers of a call share */
typedef struct
{
  GradWinograd *self;
  gconstpointer x, dy, residual;
  gpointer y;
  const gfloat *w, *b;
  gfloat *dw, *u;
  gfloat *buffers;              /* of buffer_size() for each worker */
  gboolean accumulate;
} Call;

static void
weights_job (gsize i, guint worker, gpointer data)
{
  Call *c = data;

  c->self->loops->weights (c->self, c->w, c->u, i);
}

static void
chunk_job (gsize i, guint worker, gpointer data)
{
  Call *c = data;

  c->self->loops->forward (c->self, c->x, c->u, c->b, c->residual, c->y, i * c->self->chunk,
      c->buffers + worker * buffer_size (c->self));
}

gboolean
grad_winograd_convolve (GradWinograd * self, const GradTensor * x, const GradTensor * w,
    const GradTensor * b, const GradTensor * residual, const GradTensor * y, GError ** error)
{
  gboolean ready = FALSE;
  Call call = {
    .self = self,.x = grad_tensor_data (x),.w = grad_tensor_data (w),
    .b = b ? grad_tensor_data (b) : NULL,.residual = residual ? grad_tensor_data (residual) : NULL,
    .y = grad_tensor_data (y),.buffers = scratch (self, error)
  };

  if (call.buffers == NULL)
    return FALSE;
  if (self->form != 0) {
    call.u = grad_kept_get (w, self->form, self->u_size * sizeof (gfloat), &ready, error);
    if (call.u == NULL)
      return FALSE;
    if (!ready)
      g_atomic_int_inc (&grad_cpu_reorders.parameters);
    grad_kept_made (w, self->form);
  } else {
    call.u = call.buffers;
    call.buffers += self->u_size;
    g_atomic_int_inc (&grad_cpu_reorders.parameters);
  }
  if (!ready)
    grad_parallel_work (self->oc / grad_cpu_block (), weights_job, &call);
  grad_parallel_work (grad_ceil_div (self->n_tiles, self->chunk), chunk_job, &call);
  return TRUE;
}

static void
part_job (gsize i, guint worker, gpointer data)
{
  Call *c = data;
  GradWinograd *self = c->self;
  gint part = i / self->n_groups, group = i % self->n_groups;
  gint panels = grad_ceil_div (self->oc / (gint) grad_cpu_block (), 2);
  gint first = (gint64) self->n_tiles * part / self->n_parts;
  gint end = (gint64) self->n_tiles * (part + 1) / self->n_parts;
  gint first_o = panels * group / self->n_groups * 2;
  gint end_o = panels * (group + 1) / self->n_groups * 2;

  self->loops->gradient (self, c->x, c->dy, first, end - first, first_o,
      MIN (end_o, self->oc / (gint) grad_cpu_block ()), c->u + part * self->u_size,
      c->buffers + worker * buffer_size (self));
}

static void
sum_job (gsize i, guint worker, gpointer data)
{
  Call *c = data;

  c->self->loops->weights_gradient (c->self, c->u, c->dw, i, c->accumulate);
}

gboolean
grad_winograd_gradient (GradWinograd * self, const GradTensor * x, const GradTensor * dy,
    const GradTensor * dw, gboolean accumulate, GError ** error)
{
  Call call = {
    .self = self,.x = grad_tensor_data (x),.dy = grad_tensor_data (dy),.dw = grad_tensor_data (dw),
    .u = scratch (self, error),.accumulate = accumulate
  };

  if (call.u == NULL)
    return FALSE;
  call.buffers = call.u + self->n_parts * self->u_size;
  grad_parallel_work (self->n_parts * self->n_groups, part_job, &call);
  grad_parallel_work (self->oc / grad_cpu_block (), sum_job, &call);
  return TRUE;
}
