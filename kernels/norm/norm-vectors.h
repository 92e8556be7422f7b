/* GradStreamer kernels: vectors of LANES values, which memory has as floats or bfloat16
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * To be included with LANES defined, once per width; norm-vectors-end.h undefines it, and the names
 * from here. Vectors are spelt out, lest a compiler vectorise over the few pixels of a window, or
 * over lanes badly; they go through pointers, since calling conventions for them differ. Vectors in
 * memory are aligned as one value is. */

#ifndef AHEAD
#define AHEAD 4096
#endif

#define NAME(name) G_PASTE (name##_, LANES)
#define Vector NAME (Vector)
#define Wide NAME (Wide)
#define Bits NAME (Bits)
#define Half NAME (Half)
#define Bytes NAME (Bytes)
#define Floats NAME (Floats)
#define Doubles NAME (Doubles)

typedef gfloat Vector __attribute__ ((vector_size (4 * LANES), may_alias));
typedef gdouble Wide __attribute__ ((vector_size (8 * LANES)));
typedef guint32 Bits __attribute__ ((vector_size (4 * LANES)));
/* in memory */
typedef gfloat Floats __attribute__ ((vector_size (4 * LANES), aligned (4), may_alias));
typedef gdouble Doubles __attribute__ ((vector_size (8 * LANES), aligned (8), may_alias));
typedef guint16 Half __attribute__ ((vector_size (2 * LANES), aligned (2), may_alias));
typedef guint8 Bytes __attribute__ ((vector_size (LANES), aligned (1), may_alias));

GRAD_INLINE void
NAME (load) (gconstpointer data, gsize i, gboolean bf16, Vector * value)
{
  if (bf16)
    *value = (Vector) (__builtin_convertvector (((const Half *) data)[i], Bits) << 16);
  else
    *value = ((const Floats *) data)[i];
}

/* to nearest, to even of two; what is not a number stays so */
GRAD_INLINE void
NAME (round) (Vector * value)
{
  Bits bits = (Bits) * value, nan = (Bits) (*value != *value);

  *value = (Vector) ((((bits | 0x400000) & nan)
          | ((bits + 0x7fff + (bits >> 16 & 1)) & ~nan)) & 0xffff0000);
}

/* what is not rounded yet is cut off */
GRAD_INLINE void
NAME (store) (gpointer data, gsize i, gboolean bf16, const Vector * value)
{
  if (bf16)
    ((Half *) data)[i] = __builtin_convertvector ((Bits) * value >> 16, Half);
  else
    ((Floats *) data)[i] = *value;
}

/* Asks for what is AHEAD bytes behind vector i. Processors do so too, but not in time. */
GRAD_INLINE void
NAME (prefetch) (gconstpointer data, gsize i, gboolean bf16)
{
  if (LANES > 1)
    __builtin_prefetch ((const guint8 *) grad_at (data, i * LANES, bf16) + AHEAD);
}

/* load() and store() of what is gone through in order */

GRAD_INLINE void
NAME (read) (gconstpointer data, gsize i, gboolean bf16, Vector * value)
{
  NAME (prefetch) (data, i, bf16);
  NAME (load) (data, i, bf16, value);
}

GRAD_INLINE void
NAME (write) (gpointer data, gsize i, gboolean bf16, const Vector * value)
{
  NAME (prefetch) (data, i, bf16);
  NAME (store) (data, i, bf16, value);
}

GRAD_INLINE void
NAME (relu) (Vector * value)
{
  *value = (Vector) ((Bits) * value & ~(Bits) (*value < 0));
}

/* sums += value */
GRAD_INLINE void
NAME (add) (gdouble * sums, const Vector * value)
{
  *(Doubles *) sums += __builtin_convertvector (*value, Wide);
}
