/* GradStreamer kernels: convolution of small pictures on the cpu device: any kernel size, stride and padding
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Results depend on shapes alone, and not on the number of threads. */
#include "pixelwise.h"
#include "kernels/cpu.h"
#include "lib/device/gradcpudevice-private.h"

#define MAX_PIXELS 16           /* of y or x, whichever has fewer: beyond, whole rows of pixels are better */
#define CHUNK_SIZE (256 << 10)  /* bytes of x that are copied: they stay in the second-level cache beside some weights */
#define MAX_CHUNK 60
#define COPIES_SIZE (8 << 20)   /* bytes of x and dy for the gradient */
#define PACKED 8                /* pictures that a thread copies at a time */

gboolean
grad_pixelwise_supports (GradDevice * device, const GradConvDesc * d, GradConvDirection direction)
{
  gint block = grad_cpu_block ();

  return MIN (d->oh * d->ow, d->ih * d->iw) <= MAX_PIXELS
      && MAX (d->oh * d->ow, d->ih * d->iw) <= 4 * MAX_PIXELS
      && d->ic % block == 0 && d->oc % block == 0
      && !(direction == GRAD_CONV_BACKWARD_WEIGHTS && d->bias);
}

/* All pairs of pixels of the convolution x to y, by `key`: the number of the pixel of y, of x, or the tap */
static void
find_pairs (GradPixelwise * self, const GradConvDesc * d)
{
  gint n_keys = self->direction == GRAD_CONV_BACKWARD_WEIGHTS ? self->taps : self->y_pixels;
  GArray *pairs = g_array_new (FALSE, FALSE, sizeof (GradPixelPair));

  self->ends = g_new (gint, n_keys);
  for (gint key = 0; key < n_keys; key++) {
    for (gint y = 0; y < d->oh * d->ow; y++)
      for (gint tap = 0; tap < self->taps; tap++) {
        gint row = y / d->ow * d->stride + tap / d->kernel - d->padding;
        gint column = y % d->ow * d->stride + tap % d->kernel - d->padding;
        gint x = row * d->iw + column;
        GradPixelPair pair = { x, y, tap };

        if (self->direction == GRAD_CONV_BACKWARD_DATA)
          pair = (GradPixelPair) { y, x, tap };
        if (row >= 0 && row < d->ih && column >= 0 && column < d->iw
            && key == (self->direction == GRAD_CONV_BACKWARD_WEIGHTS ? tap : pair.y))
          g_array_append_val (pairs, pair);
      }
    self->ends[key] = pairs->len;
  }
  self->pairs = (GradPixelPair *) g_array_free (pairs, FALSE);
}

/* floats of a copied picture of x, of dy */
static gsize
x_size (const GradPixelwise * self)
{
  return (gsize) self->x_pixels * self->ic;
}

static gsize
dy_size (const GradPixelwise * self)
{
  return (gsize) self->y_pixels * self->oc;
}

/* floats that a worker needs for a chunk */
static gsize
buffer_size (const GradPixelwise * self)
{
  return (x_size (self) + 2 * grad_cpu_block ()) * self->chunk;
}

/* floats of transposed weights */
static gsize
w_size (const GradPixelwise * self)
{
  return self->direction == GRAD_CONV_BACKWARD_DATA ? (gsize) self->taps * self->ic * self->oc : 0;
}

static gfloat *
scratch (const GradPixelwise * self, GError ** error)
{
  gsize size = self->direction == GRAD_CONV_BACKWARD_WEIGHTS
      ? (x_size (self) + dy_size (self)) * self->chunk
      : w_size (self) + grad_parallel_n_workers () * buffer_size (self);

  return grad_cpu_scratch (self->device, size * sizeof (gfloat), error);
}

/* As many chunks for each thread: a job is one. For the gradient, all threads work on the same one. */
static gint
find_chunk (const GradPixelwise * self)
{
  gint threads = grad_parallel_n_workers (), chunk;

  if (self->direction == GRAD_CONV_BACKWARD_WEIGHTS) {
    gint fit = COPIES_SIZE / ((x_size (self) + dy_size (self)) * sizeof (gfloat));

    return grad_ceil_div (self->n, grad_ceil_div (self->n, MAX (1, fit)));
  }
  chunk = CLAMP (CHUNK_SIZE / (x_size (self) * sizeof (gfloat)), 1, MAX_CHUNK);
  return grad_ceil_div (self->n, grad_ceil_div (grad_ceil_div (self->n, chunk), threads) * threads);
}

GradPixelwise *
grad_pixelwise_new (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    GError ** error)
{
  gboolean data = direction == GRAD_CONV_BACKWARD_DATA;
  GradPixelwise *self = g_new (GradPixelwise, 1);

  *self = (GradPixelwise) {
    .device = device,.loops = GRAD_BY_BLOCK (grad_pixelwise),.direction = direction,.n = d->n,
    .ic = data ? d->oc : d->ic,.x_pixels = data ? d->oh * d->ow : d->ih * d->iw,
    .oc = data ? d->ic : d->oc,.y_pixels = data ? d->ih * d->iw : d->oh * d->ow,
    .taps = d->kernel * d->kernel,.relu = d->relu,
    .bf16 = grad_device_get_precision (device) == GRAD_PRECISION_BF16
  };
  find_pairs (self, d);
  self->chunk = find_chunk (self);
  if (scratch (self, error) == NULL)
    g_clear_pointer (&self, grad_pixelwise_free);
  return self;
}

void
grad_pixelwise_free (GradPixelwise * self)
{
  if (self == NULL)
    return;
  g_free (self->pairs);
  g_free (self->ends);
  g_free (self);
}

/* what the workers of a call share */
typedef struct
{
  const GradPixelwise *self;
  gconstpointer x, dy, residual;
  gpointer y;
  const gfloat *weights, *w, *b;
  gfloat *transposed, *dw;
  gfloat *buffers;              /* of buffer_size() for each worker; or copies of x, and then dy */
  gint first, count;            /* pictures of the chunk */
  gboolean accumulate;
} Call;

static void
transpose_job (gsize i, gpointer data)
{
  Call *c = data;

  c->self->loops->transpose (c->self, c->weights, c->transposed, i);
}

static void
chunk_job (gsize i, guint worker, gpointer data)
{
  Call *c = data;
  const GradPixelwise *self = c->self;
  gint first = i * self->chunk, count = MIN (self->chunk, self->n - first);
  gfloat *copies = c->buffers + worker * buffer_size (self);

  self->loops->pack (self, c->x, self->ic, self->x_pixels, first, 0, count, copies);
  self->loops->forward (self, copies, c->w, c->b, c->residual, c->y, first, count,
      copies + x_size (self) * self->chunk);
}

gboolean
grad_pixelwise_convolve (GradPixelwise * self, const GradTensor * x, const GradTensor * w,
    const GradTensor * b, const GradTensor * residual, const GradTensor * y, GError ** error)
{
  Call call = {
    .self = self,.x = grad_tensor_data (x),.weights = grad_tensor_data (w),.w = grad_tensor_data (w),
    .b = b ? grad_tensor_data (b) : NULL,.residual = residual ? grad_tensor_data (residual) : NULL,
    .y = grad_tensor_data (y),.transposed = scratch (self, error)
  };

  if (call.transposed == NULL)
    return FALSE;
  call.buffers = call.transposed + w_size (self);
  if (self->direction == GRAD_CONV_BACKWARD_DATA) {
    grad_parallel_for (self->oc / grad_cpu_block (), transpose_job, &call);
    call.w = call.transposed;
    g_atomic_int_inc (&grad_cpu_reorders.parameters);
  }
  grad_parallel_work (grad_ceil_div (self->n, self->chunk), chunk_job, &call);
  return TRUE;
}

static void
pack_job (gsize i, gpointer data)
{
  Call *c = data;
  const GradPixelwise *self = c->self;
  gint at = i * PACKED, count = MIN (PACKED, c->count - at);

  self->loops->pack (self, c->x, self->ic, self->x_pixels, c->first, at, count, c->buffers);
  self->loops->pack (self, c->dy, self->oc, self->y_pixels, c->first, at, count,
      c->buffers + x_size (self) * self->chunk);
}

static void
tap_job (gsize i, guint worker, gpointer data)
{
  Call *c = data;
  const GradPixelwise *self = c->self;

  self->loops->gradient (self, c->buffers, c->buffers + x_size (self) * self->chunk, c->count,
      i % self->taps, i / self->taps * 2, c->dw, c->accumulate);
}

gboolean
grad_pixelwise_gradient (GradPixelwise * self, const GradTensor * x, const GradTensor * dy,
    const GradTensor * dw, gboolean accumulate, GError ** error)
{
  Call call = {
    .self = self,.x = grad_tensor_data (x),.dy = grad_tensor_data (dy),.dw = grad_tensor_data (dw),
    .buffers = scratch (self, error),.accumulate = accumulate
  };
  gint panels = grad_ceil_div (self->oc / (gint) grad_cpu_block (), 2);

  if (call.buffers == NULL)
    return FALSE;
  for (; call.first < self->n; call.first += self->chunk, call.accumulate = TRUE) {
    call.count = MIN (self->chunk, self->n - call.first);
    grad_parallel_for (grad_ceil_div (call.count, PACKED), pack_job, &call);
    grad_parallel_work (panels * self->taps, tap_job, &call);
  }
  return TRUE;
}
