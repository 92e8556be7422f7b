/* GradStreamer kernels: resize of uint8 pictures, cuda
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x: (N, C, IH, IW) plain uint8, y: (N, OH, OW, C), =; deterministic, bit for bit what the cpu makes.
 * Runs in its caller's thread.
 *
 * A block makes a strip of rows of one picture, all channels: it passes across the rows of x that the
 * strip needs, into shared memory, and then down them. So x is read once, but for the few rows that
 * two strips share, and y written once: from 28x28 to 96x96 in bf16 784 + 18432 bytes per picture,
 * 1.1 µs for 256 of them at 4.3 TB/s. Where the rows of a strip do not fit into shared memory, as when
 * a picture shrinks to a tenth, the passes are two launches with the rows, (N, IH, OW, C) uint8, in
 * scratch memory.
 *
 * Equal sizes need no case of their own: the weights are then 1 and 0. */
#define GRAD_REAL float
#include "kernels/cuda.h"
#include "resize-body.h"

#include <string.h>

#define THREADS 256
#define WARPS (THREADS / 32)
#define SHARED_ROWS 16384       /* bytes; eight blocks fit on a multiprocessor */
#define MIN_STRIP 4             /* output rows: fewer share too many rows of x with their neighbours */
#define STRIP 8                 /* rows of a block in the two passes */
#define MAX_STRIP 256

/* GradResizeTable, on the device */
struct Table
{
  const gint32 *first, *weights;
  int n_taps;
};

struct Resize
{
  int n, c, ih, iw, oh, ow;
  int strip, n_strips;          /* output rows of a block, blocks of a picture */
  Table across, down;
  const float *values;          /* (4, 256): y of each uint8, for the first four channels */
};

/* n_rows rows of a picture, (C, IH, IW), from row `from` on, to (n_rows, OW, C). A warp takes a line of
 * one channel at a time. */
static __device__ __forceinline__ void
pass_across (const Resize & r, const guint8 * x, int from, int n_rows, guint8 * rows)
{
  int lane = threadIdx.x % 32;

  for (int line = threadIdx.x / 32; line < n_rows * r.c; line += WARPS) {
    int row = line / r.c, c = line - row * r.c;
    const guint8 *in = x + ((gsize) c * r.ih + from + row) * r.iw;
    guint8 *out = rows + (gsize) row * r.ow * r.c + c;

    for (int o = lane; o < r.ow; o += 32) {
      int first = __ldg (r.across.first + o);
      gint32 sum = GRAD_RESIZE_HALF;

      for (int t = 0; t < r.across.n_taps; t++)
        sum += __ldg (r.across.weights + t * r.ow + o) * __ldg (in + first + t);
      out[o * r.c] = grad_resize_round (sum);
    }
  }
}

/* Rows o to o + n_rows of a picture, (OH, OW, C), from `rows`, of which the first is row `from`; V
 * values at a time. */
template < int V, class T > static __device__ __forceinline__ void
pass_down (const Resize & r, const guint8 * rows, int from, int o, int n_rows,
    const float (*values)[256], T * y)
{
  struct alignas (V) Bytes
  {
    guint8 v[V];
  };
  int width = r.ow * r.c, n = width / V;        /* V divides it */

  for (int i = threadIdx.x; i < n_rows * n; i += THREADS) {
    int row = i / n, at = (i - row * n) * V, c = at % r.c;
    const guint8 *in = rows + (gsize) (__ldg (r.down.first + o + row) - from) * width + at;
    const gint32 *weight = r.down.weights + o + row;
    gint32 sums[V];
    float out[V];

#pragma unroll
    for (int k = 0; k < V; k++)
      sums[k] = GRAD_RESIZE_HALF;
    for (int t = 0; t < r.down.n_taps; t++, weight += r.oh, in += width) {
      gint32 w = __ldg (weight);
      Bytes bytes = *(const Bytes *) in;

#pragma unroll
      for (int k = 0; k < V; k++)
        sums[k] += w * bytes.v[k];
    }
#pragma unroll
    for (int k = 0; k < V; k++) {
      out[k] = values[min (c, 3)][grad_resize_round (sums[k])];
      c = c + 1 < r.c ? c + 1 : 0;
    }
    grad_store_vector < V > (y + (gsize) (o + row) * width + at, out);
  }
}

static __device__ __forceinline__ void
load_values (const Resize & r, float (*values)[256])
{
  for (int i = threadIdx.x; i < min (r.c, 4) * 256; i += THREADS)
    values[i / 256][i % 256] = r.values[i];
}

/* Both passes, for the strips whose rows fit into shared memory */
template < int V, class T > __global__ void
__launch_bounds__ (THREADS)
fused_kernel (const Resize r, const guint8 * x, T * y)
{
  alignas (16) __shared__ guint8 rows[SHARED_ROWS];
  __shared__ float values[4][256];
  int picture = blockIdx.x / r.n_strips, o = blockIdx.x % r.n_strips * r.strip;
  int n_out = min (r.strip, r.oh - o);
  int from = r.down.first[o], n_rows = r.down.first[o + n_out - 1] + r.down.n_taps - from;

  load_values (r, values);
  pass_across (r, x + (gsize) picture * r.c * r.ih * r.iw, from, n_rows, rows);
  __syncthreads ();
  pass_down < V > (r, rows, from, o, n_out, values, y + (gsize) picture * r.oh * r.ow * r.c);
}

__global__ void
__launch_bounds__ (THREADS)
across_kernel (const Resize r, const guint8 * x, guint8 * rows)
{
  int blocks = (r.ih + STRIP - 1) / STRIP;
  int picture = blockIdx.x / blocks, from = blockIdx.x % blocks * STRIP;

  pass_across (r, x + (gsize) picture * r.c * r.ih * r.iw, from, min (STRIP, r.ih - from),
      rows + ((gsize) picture * r.ih + from) * r.ow * r.c);
}

template < int V, class T > __global__ void
__launch_bounds__ (THREADS)
down_kernel (const Resize r, const guint8 * rows, T * y)
{
  __shared__ float values[4][256];
  int picture = blockIdx.x / r.n_strips, o = blockIdx.x % r.n_strips * r.strip;

  load_values (r, values);
  __syncthreads ();
  pass_down < V > (r, rows + (gsize) picture * r.ih * r.ow * r.c, 0, o, min (r.strip, r.oh - o),
      values, y + (gsize) picture * r.oh * r.ow * r.c);
}

typedef struct
{
  GradPlan base;
  Resize resize;
  gboolean fused;
  GradTensor *coefficients;     /* tables and values, on the device */
} Plan;

static void
resize_free (GradPlan * base)
{
  Plan *plan = (Plan *) base;

  g_clear_pointer (&plan->coefficients, grad_tensor_unref);
  g_free (plan);
}

/* Rows of x that the most demanding strip needs */
static int
rows_needed (const GradResizeTable * down, int strip)
{
  int most = 0;

  for (int o = 0; o < down->out; o += strip)
    most = MAX (most, down->first[MIN (o + strip, down->out) - 1] + down->n_taps - down->first[o]);
  return most;
}

static gboolean
fits (const Resize * r, const GradResizeTable * down, int strip)
{
  return (gsize) rows_needed (down, strip) * r->ow * r->c <= SHARED_ROWS;
}

/* Strips as high as shared memory allows, but low enough for every multiprocessor to have some. */
static void
choose_strips (Plan * plan, const GradResizeTable * down)
{
  Resize *r = &plan->resize;
  gsize wanted = 4 * grad_cuda_device_n_multiprocessors (plan->base.device);
  int least = MIN (MIN_STRIP, r->oh);

  plan->fused = fits (r, down, least);
  r->strip = plan->fused ? MIN (r->oh, MAX_STRIP) : STRIP;
  while (plan->fused && r->strip > least && (!fits (r, down, r->strip)
          || (r->strip > STRIP && (gsize) r->n * grad_cuda_blocks (r->oh, r->strip) < wanted)))
    r->strip = MAX ((r->strip + 1) / 2, least);
  r->n_strips = grad_cuda_blocks (r->oh, r->strip);
}

/* One tensor: first and weights of both tables, then the values */
static gboolean
upload (Plan * plan, const GradResizeDesc * d, const GradResizeTable * across,
    const GradResizeTable * down, GError ** error)
{
  const GradResizeTable *tables[] = { across, down };
  Table *to[] = { &plan->resize.across, &plan->resize.down };
  GradDevice *device = plan->base.device;
  gsize n = (gsize) across->out * (across->n_taps + 1) + (gsize) down->out * (down->n_taps + 1)
      + 4 * 256;
  g_autofree gint32 *all = g_new0 (gint32, n);
  gint32 *p = all, *data;
  gfloat *values = (gfloat *) (all + n) - 4 * 256;
  GradShape shape = { 1, {(gint) (n * sizeof *all)} };

  for (int c = 0; c < MIN (d->c, 4); c++)
    for (int v = 0; v < 256; v++)
      values[c * 256 + v] = (v / 255.f - d->mean[c]) / d->std[c];
  plan->coefficients = grad_tensor_new_plain (device, GRAD_DTYPE_UINT8, &shape, error);
  if (plan->coefficients == NULL)
    return FALSE;
  data = (gint32 *) grad_tensor_data (plan->coefficients);
  for (int i = 0; i < 2; i++) {
    gsize n_weights = (gsize) tables[i]->out * tables[i]->n_taps;

    *to[i] = { data + (p - all), data + (p - all) + tables[i]->out, tables[i]->n_taps };
    memcpy (p, tables[i]->first, tables[i]->out * sizeof *p);
    memcpy (p + tables[i]->out, tables[i]->weights, n_weights * sizeof *p);
    p += tables[i]->out + n_weights;
  }
  plan->resize.values = (const float *) (data + (p - all));
  return grad_tensor_upload (plan->coefficients, all, n * sizeof *all, error);
}

static GradPlan *
resize_plan (GradDevice * device, const GradResizeDesc * d, GError ** error)
{
  Plan *plan = g_new0 (Plan, 1);
  GradResizeTable across, down;
  gboolean ok;

  plan->base = { device, resize_free };
  plan->resize = {.n = d->n,.c = d->c,.ih = d->ih,.iw = d->iw,.oh = d->oh,.ow = d->ow };
  grad_resize_table_init (&across, d->iw, d->ow);
  grad_resize_table_init (&down, d->ih, d->oh);
  choose_strips (plan, &down);
  ok = upload (plan, d, &across, &down, error);
  grad_resize_table_clear (&across);
  grad_resize_table_clear (&down);
  if (ok)
    return &plan->base;
  resize_free (&plan->base);
  return NULL;
}

template < int V, class T > static gboolean
run_fused (Plan * plan, const guint8 * x, T * y, GError ** error)
{
  const Resize *r = &plan->resize;

  GRAD_CUDA_LAUNCH (plan->base.device, "resize", error, (unsigned) r->n * r->n_strips, THREADS,
      (fused_kernel < V, T >), *r, x, y);
  return TRUE;
}

template < int V, class T > static gboolean
run_passes (Plan * plan, const guint8 * x, guint8 * rows, T * y, GError ** error)
{
  const Resize *r = &plan->resize;

  GRAD_CUDA_LAUNCH (plan->base.device, "resize", error, r->n * grad_cuda_blocks (r->ih, STRIP),
      THREADS, across_kernel, *r, x, rows);
  GRAD_CUDA_LAUNCH (plan->base.device, "resize", error, (unsigned) r->n * r->n_strips, THREADS,
      (down_kernel < V, T >), *r, rows, y);
  return TRUE;
}

template < int V, class T > static gboolean
run_wide (Plan * plan, const guint8 * x, T * y, GError ** error)
{
  const Resize *r = &plan->resize;
  gsize capacity;
  guint8 *rows;
  gboolean ok;

  if (plan->fused)
    return run_fused < V > (plan, x, y, error);
  rows = (guint8 *) grad_device_pool_get (plan->base.device, (gsize) r->n * r->ih * r->ow * r->c,
      &capacity, error);
  if (rows == NULL)
    return FALSE;
  ok = run_passes < V > (plan, x, rows, y, error);
  grad_device_pool_put (plan->base.device, rows, capacity);
  return ok;
}

template < class T > static gboolean
run_typed (Plan * plan, const GradTensor * x, GradTensor * y, gint first, GError ** error)
{
  const int V = GradWidth < T >::value;
  const guint8 *from = grad_cuda_data < const guint8 > (x);
  const Resize *r = &plan->resize;
  T *to = grad_cuda_data < T > (y) + (gsize) first * r->oh * r->ow * r->c;

  return r->ow * r->c % V == 0 ? run_wide < V > (plan, from, to, error)
      : run_wide < 1 > (plan, from, to, error);
}

static gboolean
resize_run (GradPlan * base, const GradTensor * x, GradTensor * y, gint first, GError ** error)
{
  Plan *plan = (Plan *) base;

  return GRAD_CUDA_DISPATCH (y, run_typed, plan, x, y, first, error);
}

extern "C" const GradResizeOps grad_resize_cuda_ops = {
  .plan = resize_plan,
  .run = resize_run,
};
