/* GradStreamer kernels: what our own loops for the cpu device have in common
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A kernel is a driver, which calls grad_parallel_for(), and inner loops in functions of their
 * own, which are marked GRAD_CLONES. */
#pragma once

#include <glib.h>

/* Compiled for several instruction sets, the best of which is taken when the library is loaded. */
#if defined (__x86_64__) && defined (__GLIBC__) && !defined (__clang__) && __GNUC__ >= 12
#define GRAD_CLONES __attribute__ ((target_clones ("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GRAD_CLONES
#endif

/* Goes into every clone that calls it, where its constant arguments select the loop. */
#define GRAD_INLINE static inline __attribute__ ((always_inline))

/* No iteration of the next loop reads what another one wrote: pointers are equal or don't
 * overlap. */
#define GRAD_IVDEP _Pragma ("GCC ivdep")

/* Storage of a tensor is floats or bfloat16, the upper halves of floats. Arithmetic is written once
 * for both, with element i read as float and rounded to nearest, to even of two, when it is stored;
 * what is not a number stays so. */
GRAD_INLINE gfloat
grad_load (gconstpointer data, gsize i, gboolean bf16)
{
  union
  {
    guint32 bits;
    gfloat value;
  } v;

  if (!bf16)
    return ((const gfloat *) data)[i];
  v.bits = (guint32) ((const guint16 *) data)[i] << 16;
  return v.value;
}

GRAD_INLINE void
grad_store (gpointer data, gsize i, gfloat value, gboolean bf16)
{
  union
  {
    gfloat value;
    guint32 bits;
  } v = { value };

  if (!bf16)
    ((gfloat *) data)[i] = value;
  else
    ((guint16 *) data)[i] = (value == value ? v.bits + 0x7fff + (v.bits >> 16 & 1)
        : v.bits | 0x400000) >> 16;
}

/* address of element i */
GRAD_INLINE gpointer
grad_at (gconstpointer data, gsize i, gboolean bf16)
{
  return (guint8 *) data + i * (bf16 ? sizeof (guint16) : sizeof (gfloat));
}

/* &name_16, &name_8 or &name_4: of loops that are compiled for vectors of so many floats, by grad_cpu_block () */
#if defined (__x86_64__)
#define GRAD_BY_BLOCK(name) \
  (grad_cpu_block () == 16 ? &name##_16 : grad_cpu_block () == 8 ? &name##_8 : &name##_4)
#else
#define GRAD_BY_BLOCK(name) (&name##_4)
#endif

GRAD_INLINE gint
grad_ceil_div (gint a, gint b)
{
  return (a + b - 1) / b;
}

typedef void (*GradParallelFunc) (gsize i, gpointer data);

/* func (i, data) for each i below n, in all threads of the device's team (kernels/team.h). What one
 * call computes must depend on i alone, not on where or when it runs: then results don't depend on
 * the number of threads. */
void grad_parallel_for (gsize n, GradParallelFunc func, gpointer data);

/* The same for long pieces: whoever is free takes the next. worker: below grad_parallel_n_workers(), has scratch memory
 * of its own */
typedef void (*GradWorkerFunc) (gsize i, guint worker, gpointer data);
void grad_parallel_work (gsize n, GradWorkerFunc func, gpointer data);
/* Within a loop: 1 */
guint grad_parallel_n_workers (void);
/* Other threads are about to compute, oneDNN's: the team is not to spin on their processors. */
void grad_parallel_rest (void);
