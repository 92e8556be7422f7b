/* GradStreamer kernels: augmentation of uint8 pictures, reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Pixel by pixel, tap by tap, =; deterministic. */
#include "kernels/kernels.h"

static guint8
sample (const guint8 * x, gint h, gint w, gint64 u, gint64 v)
{
  guint64 sum = G_GUINT64_CONSTANT (1) << 31;

  for (gint i = 0; i < 2; i++)
    for (gint j = 0; j < 2; j++) {
      gint64 row = (v >> 32) + i, column = (u >> 32) + j;
      guint64 across = (u >> 16) & 0xffff, down = (v >> 16) & 0xffff;

      if (row >= 0 && row < h && column >= 0 && column < w)
        sum += (j ? across : 0x10000 - across) * (i ? down : 0x10000 - down) * x[row * w + column];
    }
  return sum >> 32;
}

static gboolean
run (GradDevice * device, const GradTensor * x, const GradAugmentMap * maps, GradTensor * y,
    GError ** error)
{
  const gint *dims = x->shape.dims;
  gint h = dims[2], w = dims[3];
  const guint8 *in = grad_tensor_data (x);
  guint8 *out = grad_tensor_data (y);

  for (gint i = 0; i < dims[0] * dims[1]; i++, in += (gsize) h * w) {
    const GradAugmentMap *m = maps + i / dims[1];

    for (gint row = 0; row < h; row++)
      for (gint column = 0; column < w; column++) {
        gboolean erased = column >= m->left && column < m->right && row >= m->top && row < m->bottom;

        *out++ = erased ? 0 : sample (in, h, w, m->u[0] * column + m->u[1] * row + m->u[2],
            m->v[0] * column + m->v[1] * row + m->v[2]);
      }
  }
  return TRUE;
}

const GradAugmentOps grad_augment_ref_ops = {
  .run = run,
};
