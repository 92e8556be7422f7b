/* GradStreamer kernels: augmentation of uint8 pictures, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * =; deterministic. Runs in its caller's thread alone. */
#include "augment-body.h"

#include <string.h>

/* x, y: (H, W) */
static void
move_plane (const GradAugmentMap * m, const guint8 * restrict x, guint8 * restrict y, gint h, gint w)
{
  for (gint row = 0; row < h; row++, y += w) {
    gint64 u = m->u[1] * row + m->u[2], v = m->v[1] * row + m->v[2];

    for (gint column = 0; column < w; column++, u += m->u[0], v += m->v[0])
      y[column] = grad_augment_pixel (x, h, w, u, v);
  }
}

static gboolean
run (GradDevice * device, const GradTensor * x, const GradAugmentMap * maps, GradTensor * y,
    GError ** error)
{
  const gint *dims = x->shape.dims;
  gint h = dims[2], w = dims[3];
  const guint8 *in = grad_tensor_data (x);
  guint8 *out = grad_tensor_data (y);

  for (gint i = 0; i < dims[0] * dims[1]; i++, in += (gsize) h * w, out += (gsize) h * w) {
    const GradAugmentMap *m = maps + i / dims[1];

    move_plane (m, in, out, h, w);
    for (gint row = m->top; row < m->bottom; row++)
      memset (out + (gsize) row * w + m->left, 0, m->right - m->left);
  }
  return TRUE;
}

const GradAugmentOps grad_augment_cpu_ops = {
  .run = run,
};
