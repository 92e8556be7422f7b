/* GradStreamer kernels: loops of max pooling, for LANES channels at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * To be included with LANES defined. Vectors are spelt out, lest a compiler vectorise over the few pixels of a window. A
 * place is a pixel's number in its plane. */
#define NAME(name) G_PASTE (name##_, LANES)
#define Vector NAME (Vector)
#define Bits NAME (Bits)
#define Half NAME (Half)

typedef gfloat Vector __attribute__ ((vector_size (4 * LANES), may_alias));
typedef guint32 Bits __attribute__ ((vector_size (4 * LANES), may_alias));
typedef guint16 Half __attribute__ ((vector_size (2 * LANES), may_alias));

/* pixel: of LANES channels; by reference, since how vectors are passed depends on the instruction set */
GRAD_INLINE void
NAME (load) (gconstpointer plane, gsize pixel, gboolean bf16, Vector * value)
{
  if (bf16)
    *value = (Vector) (__builtin_convertvector (((const Half *) plane)[pixel], Bits) << 16);
  else
    *value = ((const Vector *) plane)[pixel];
}

GRAD_INLINE void
NAME (store) (gpointer plane, gsize pixel, gboolean bf16, const Vector * value)
{
  Bits bits = (Bits) *value, nan = (Bits) (*value != *value);

  if (bf16)
    ((Half *) plane)[pixel] = __builtin_convertvector ((((bits | 0x400000) & nan)
            | ((bits + 0x7fff + (bits >> 16 & 1)) & ~nan)) >> 16, Half);
  else
    ((Vector *) plane)[pixel] = *value;
}

/* row oy of y (OW) and, where they are wanted, its places, from a plane of x */
GRAD_INLINE void
NAME (pool_row) (const GradPoolDesc * d, gconstpointer x, gint oy, gpointer y, guint32 * places,
    gboolean bf16)
{
  gint top = oy * d->stride - d->padding, bottom = MIN (top + d->kernel, d->ih);

  for (gint ox = 0; ox < d->ow; ox++) {
    gint left = ox * d->stride - d->padding, right = MIN (left + d->kernel, d->iw);
    guint32 first = MAX (top, 0) * d->iw + MAX (left, 0);
    Bits place = (Bits) { 0 } + first, won;
    Vector best, value;

    NAME (load) (x, first, bf16, &best);
    for (gint i = MAX (top, 0); i < bottom; i++)
      for (gint j = MAX (left, 0); j < right; j++) {
        NAME (load) (x, (gsize) i * d->iw + j, bf16, &value);
        won = (Bits) (value > best);
        best = (Vector) (((Bits) value & won) | ((Bits) best & ~won));
        if (places)
          place = ((guint32) (i * d->iw + j) & won) | (place & ~won);
      }
    NAME (store) (y, ox, bf16, &best);
    if (places)
      ((Bits *) places)[ox] = place;
  }
}

/* row iy of dx, from a plane of dy and its places */
GRAD_INLINE void
NAME (unpool_row) (const GradPoolDesc * d, gconstpointer dy, const guint32 * places, gint iy,
    gpointer dx, gboolean bf16)
{
  gint top = MAX (iy + d->padding - d->kernel + d->stride, 0) / d->stride;
  gint bottom = MIN ((iy + d->padding) / d->stride + 1, d->oh);

  for (gint ix = 0; ix < d->iw; ix++) {
    gint left = MAX (ix + d->padding - d->kernel + d->stride, 0) / d->stride;
    gint right = MIN ((ix + d->padding) / d->stride + 1, d->ow);
    Vector sum = { 0 }, value;

    for (gint i = top; i < bottom; i++)
      for (gint j = left; j < right; j++) {
        gsize pixel = (gsize) i * d->ow + j;
        Bits from_here = (Bits) (((const Bits *) places)[pixel] == (guint32) (iy * d->iw + ix));

        NAME (load) (dy, pixel, bf16, &value);
        sum += (Vector) ((Bits) value & from_here);
      }
    NAME (store) (dx, ix, bf16, &sum);
  }
}

#undef NAME
#undef Vector
#undef Bits
#undef Half
#undef LANES
