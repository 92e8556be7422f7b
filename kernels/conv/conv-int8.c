/* GradStreamer kernels: convolution of 8-bit integers on the cpu device, for inference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sums of integers are exact, so that results do not depend on how work is shared. */
#include "conv-int8.h"
#include "kernels/cpu.h"
#include "kernels/kept.h"
#include "lib/device/gradcpudevice-private.h"

#if defined (__x86_64__)
#include <cpuid.h>
#endif

#define SLACK 64                /* bytes behind a picture that groups beyond its edge read */
#define JOB_GROUPS 128          /* at most, of all outputs */
#define MAX_PRODUCTS (G_MAXINT32 / (255 * 127)) /* whose sum is exact, whatever they are */

#if defined (__x86_64__)
/* AVX-VNNI, which GCC 12 cannot ask for: function 7, leaf 1, EAX, bit 4 */
static gboolean
has_avx_vnni (void)
{
  guint a = 0, b, c, d;

  return __get_cpuid_count (7, 1, &a, &b, &c, &d) && a & 1 << 4;
}
#endif

static const GradConvInt8Loops *
find_loops (void)
{
#if defined (__x86_64__)
  if (grad_cpu_block () == 16)
    return __builtin_cpu_supports ("avx512vnni") ? &grad_conv_int8_16 : NULL;
  if (grad_cpu_block () == 8)
    return has_avx_vnni () ? &grad_conv_int8_8 : NULL;
#endif
  return NULL;
}

gboolean
grad_conv_int8_available (void)
{
  return find_loops () != NULL;
}

gboolean
grad_conv_int8_supports (GradDevice * device, const GradConvDesc * d)
{
  return grad_conv_int8_available () && !d->training && d->oc % (gint) grad_cpu_block () == 0
      && (gint64) d->ic * d->kernel * d->kernel <= MAX_PRODUCTS;
}

/* Scratch memory: quantised pictures, and how they were */
static guint8 *
scratch (const GradConvInt8 * self, GError ** error)
{
  return grad_cpu_scratch (self->device,
      self->desc.n * (self->picture + sizeof (GradConvInt8Range)), error);
}

GradConvInt8 *
grad_conv_int8_new (GradDevice * device, const GradConvDesc * d, GError ** error)
{
  GradConvInt8 *self = g_new (GradConvInt8, 1);
  gint lanes = grad_cpu_block (), height = d->ih + 2 * d->padding, width = d->iw + 2 * d->padding;
  gboolean blocked = d->ic % lanes == 0;

  *self = (GradConvInt8) {
    .device = device,.loops = find_loops (),.desc = *d,.lanes = lanes,
    .blocks = blocked ? d->ic / lanes : 1,.pixel = blocked ? lanes : d->ic
  };
  self->row = (d->kernel * self->pixel + 3) & ~3;
  self->plane = (gsize) height *width * self->pixel;
  self->picture = (self->blocks * self->plane
      + (GRAD_CONV_INT8_GROUP - 1) * d->stride * self->pixel + SLACK) & ~(gsize) 63;
  if (scratch (self, error) == NULL)
    g_clear_pointer (&self, g_free);
  return self;
}

typedef struct
{
  GradConvInt8Call call;
  gint groups, n_groups;        /* of a job, of all */
  gint o, n_o;                  /* blocks of outputs, likewise */
} Jobs;

static void
quantise_job (gsize i, gpointer data)
{
  GradConvInt8Call *call = data;

  call->conv->loops->quantise (call, i);
}

static void
weights_job (gsize i, gpointer data)
{
  GradConvInt8Call *call = data;

  call->conv->loops->weights (call, i);
}

static void
run_job (gsize i, guint worker, gpointer data)
{
  Jobs *jobs = data;
  gint n = (jobs->n_o + jobs->o - 1) / jobs->o;
  gint group = i / n * jobs->groups, o = i % n * jobs->o;

  jobs->call.conv->loops->run (&jobs->call, group, MIN (jobs->groups, jobs->n_groups - group), o,
      MIN (jobs->o, jobs->n_o - o));
}

/* Enough of them for all threads: of the pixels, and if these are few, of the outputs */
static gsize
split (const GradConvInt8 * self, Jobs * jobs)
{
  gsize wanted = 4 * grad_parallel_n_workers ();
  gsize n;

  jobs->n_groups = self->desc.n * self->desc.oh * grad_conv_int8_n_groups (self);
  jobs->groups = CLAMP (jobs->n_groups / wanted, 8, JOB_GROUPS) & ~3;
  jobs->n_o = jobs->o = self->desc.oc / self->lanes;
  n = (jobs->n_groups + jobs->groups - 1) / jobs->groups;
  if (n < wanted)
    jobs->o = MAX (2, (gint) (jobs->n_o * n / wanted) & ~1);
  return n * ((jobs->n_o + jobs->o - 1) / jobs->o);
}

gboolean
grad_conv_int8_run (GradConvInt8 * self, const GradTensor * x, const GradTensor * w,
    const GradTensor * b, const GradTensor * residual, const GradTensor * y, GError ** error)
{
  guint8 *quantised = scratch (self, error);
  Jobs jobs = {.call = {
          .conv = self,.x = grad_tensor_data (x),.w = grad_tensor_data (w),
          .b = b ? grad_tensor_data (b) : NULL,.y = grad_tensor_data (y),
          .residual = residual ? grad_tensor_data (residual) : NULL,.quantised = quantised,
          .ranges = (GradConvInt8Range *) (quantised + self->desc.n * self->picture)
        }
  };
  gboolean ready;
  gsize n;

  if (quantised == NULL)
    return FALSE;
  jobs.call.weights = grad_kept_get (w, g_quark_from_static_string ("int8"),
      self->desc.oc / self->lanes * grad_conv_int8_block (self) + self->desc.oc * (sizeof (gfloat)
          + sizeof (gint32)), &ready, error);
  if (jobs.call.weights == NULL)
    return FALSE;
  if (!ready) {
    g_atomic_int_inc (&grad_cpu_reorders.parameters);
    grad_parallel_for (self->desc.oc / self->lanes, weights_job, &jobs.call);
    grad_kept_made (w, g_quark_from_static_string ("int8"));
  }
  grad_parallel_for (self->desc.n, quantise_job, &jobs.call);
  n = split (self, &jobs);
  grad_parallel_work (n, run_job, &jobs);
  return TRUE;
}
