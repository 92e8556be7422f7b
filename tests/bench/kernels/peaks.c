/* GradStreamer benchmark of kernels: what this machine can do at most, measured
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peaks.h"

#include <math.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define RUNS 7
#define COPY_SIZE ((gsize) 64 << 20)    /* of a thread: more than caches hold */

/* Does its work `count` times and returns how much that was. */
typedef gdouble (*Work) (guint64 count, gpointer data);

typedef struct
{
  Work work;
  guint64 count;
  gpointer data;
  gdouble done;
} Job;

static gpointer
run_job (gpointer data)
{
  Job *job = data;

  job->done = job->work (job->count, job->data);
  return NULL;
}

/* work per nanosecond, of the fastest run */
static gdouble
best_rate (Work work, guint64 count, gpointer * data, guint threads)
{
  g_autofree Job *jobs = g_new0 (Job, threads);
  g_autofree GThread **ids = g_new (GThread *, threads);
  gdouble best = 0;

  for (guint run = 0; run < RUNS; run++) {
    gint64 start = g_get_monotonic_time ();
    gdouble done = 0;

    for (guint i = 0; i < threads; i++) {
      jobs[i] = (Job) {.work = work,.count = count,.data = data ? data[i] : NULL };
      ids[i] = g_thread_new ("peak", run_job, &jobs[i]);
    }
    for (guint i = 0; i < threads; i++) {
      g_thread_join (ids[i]);
      done += jobs[i].done;
    }
    best = MAX (best, done / (1000. * (g_get_monotonic_time () - start)));
  }
  return best;
}

/* N sums in registers of SIZE bytes, enough that no multiply-add waits for another one */
#define DEFINE_MULTIPLY_ADD(name, isa, SIZE, N) \
  typedef gfloat name##_vector __attribute__ ((vector_size (SIZE))); \
  isa static gdouble name (guint64 count, gpointer unused) \
  { \
    name##_vector sums[N], factor = { 0 }, summand = { 0 }; \
    volatile gfloat sink; \
    factor += 0.999f; \
    summand += 0.001f; \
    for (gint i = 0; i < N; i++) \
      sums[i] = summand; \
    for (guint64 k = 0; k < count; k++) { \
      _Pragma ("GCC unroll 32") \
      for (gint i = 0; i < N; i++) \
        sums[i] = sums[i] * factor + summand; \
    } \
    for (gint i = 0; i < N; i++) \
      sink = sums[i][0]; \
    (void) sink; \
    return 2. * count * N * SIZE / sizeof (gfloat); \
  }

#ifdef __x86_64__
DEFINE_MULTIPLY_ADD (multiply_add_512, __attribute__ ((target ("avx512f"))), 64, 16);
DEFINE_MULTIPLY_ADD (multiply_add_256, __attribute__ ((target ("avx2,fma"))), 32, 12);
#endif
DEFINE_MULTIPLY_ADD (multiply_add_128,, 16, 12);

gdouble
bench_peak_f32 (guint threads)
{
  Work work = multiply_add_128;

#ifdef __x86_64__
  if (__builtin_cpu_supports ("avx512f"))
    work = multiply_add_512;
  else if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma"))
    work = multiply_add_256;
#endif
  return best_rate (work, 10000000, NULL, threads);
}

#if defined (__x86_64__) && __GNUC__ >= 11
#define HAVE_BF16

__attribute__ ((target ("avx512f,avx512bf16")))
static gdouble
multiply_bf16 (guint64 count, gpointer unused)
{
  const __m512bh pairs = _mm512_cvtne2ps_pbh (_mm512_set1_ps (0.01f), _mm512_set1_ps (0.02f));
  __m512 sums[16];
  volatile gfloat sink;

  for (gint i = 0; i < 16; i++)
    sums[i] = _mm512_setzero_ps ();
  for (guint64 k = 0; k < count; k++) {
#pragma GCC unroll 32
    for (gint i = 0; i < 16; i++)
      sums[i] = _mm512_dpbf16_ps (sums[i], pairs, pairs);
  }
  for (gint i = 0; i < 16; i++)
    sink = _mm512_cvtss_f32 (sums[i]);
  (void) sink;
  return 2. * count * 16 * 32;
}
#endif

gdouble
bench_peak_bf16 (guint threads)
{
#ifdef HAVE_BF16
  if (__builtin_cpu_supports ("avx512bf16"))
    return best_rate (multiply_bf16, 10000000, NULL, threads);
#endif
  return NAN;
}

static gdouble
copy (guint64 count, gpointer data)
{
  for (guint64 i = 0; i < count; i++)
    memcpy ((guint8 *) data + (i + 1) % 2 * COPY_SIZE, (guint8 *) data + i % 2 * COPY_SIZE,
        COPY_SIZE);
  return 2. * count * COPY_SIZE;
}

gdouble
bench_peak_copy (guint threads)
{
  g_autofree gpointer *buffers = g_new (gpointer, threads);
  gdouble rate;

  for (guint i = 0; i < threads; i++) {
    buffers[i] = g_malloc (2 * COPY_SIZE);
    memset (buffers[i], 1, 2 * COPY_SIZE);
  }
  rate = best_rate (copy, 4, buffers, threads);
  for (guint i = 0; i < threads; i++)
    g_free (buffers[i]);
  return rate;
}

#define N_DEVICE_COPIES 20
#define DEVICE_COPY_FLOATS (64 << 20)

static gboolean
copy_on_device (gpointer data, GError ** error)
{
  GradTensor **tensors = data;
  GradDevice *device = grad_tensor_get_device (tensors[0]);

  for (guint i = 0; i < N_DEVICE_COPIES; i++)
    if (!grad_device_kernels (device)->elementwise->copy (device, tensors[i % 2], tensors[(i + 1) % 2], error))
      return FALSE;
  return GRAD_DEVICE_GET_CLASS (device)->finish (device, error);
}

gdouble
bench_device_copy (GradDevice * device)
{
  GradShape shape = GRAD_SHAPE (DEVICE_COPY_FLOATS);
  g_autoptr (GradTensor) a = grad_tensor_new_plain (device, GRAD_DTYPE_FLOAT32, &shape, NULL);
  g_autoptr (GradTensor) b = grad_tensor_new_plain (device, GRAD_DTYPE_FLOAT32, &shape, NULL);
  GradTensor *tensors[] = { a, b };
  gdouble best = NAN;

  for (guint i = 0; i < 3 && a != NULL && b != NULL; i++) {
    GstClockTime start = gst_util_get_timestamp ();

    if (!grad_device_call (device, FALSE, copy_on_device, tensors, NULL))
      return NAN;
    best = fmax (best, 2. * N_DEVICE_COPIES * DEVICE_COPY_FLOATS * sizeof (gfloat) / (gst_util_get_timestamp () - start));
  }
  return best;
}
