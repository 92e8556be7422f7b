/* GradStreamer kernels: max pooling and global average pooling, the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   max:    x, dx: (N, C, IH, IW), y, dy: (N, C, OH, OW), workspace: (N, C, OH, OW) gint32, the
 *           place of the largest value in its input plane
 *   global: x, dx: (N, C, H, W), y, dy: (N, C)
 *   y =, dx =
 *
 * Dense doubles, one thread, deterministic. */
#include "kernels/kernels.h"

#include <string.h>

gboolean
grad_pool_desc_check (const GradPoolDesc * d, GError ** error)
{
  /* with more padding than half the kernel a window could hold nothing but padding */
  if (MIN (MIN (d->n, d->c), MIN (d->ih, d->iw)) >= 1 && d->kernel >= 1 && d->stride >= 1
      && d->padding >= 0 && d->padding <= d->kernel / 2
      && d->ih + 2 * d->padding >= d->kernel && d->iw + 2 * d->padding >= d->kernel
      && d->oh == (d->ih + 2 * d->padding - d->kernel) / d->stride + 1
      && d->ow == (d->iw + 2 * d->padding - d->kernel) / d->stride + 1)
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "no %dx%d max pooling of stride %d and padding "
      "%d takes (%d,%d,%d,%d) to (%d,%d,%d,%d)", d->kernel, d->kernel, d->stride, d->padding, d->n,
      d->c, d->ih, d->iw, d->n, d->c, d->oh, d->ow);
  return FALSE;
}

gboolean
grad_pool_plan_supports (GradDevice * device, const GradPoolDesc * d)
{
  return grad_pool_desc_check (d, NULL);
}

GradPlan *
grad_pool_plan_new (GradDevice * device, const GradPoolDesc * d, GError ** error)
{
  GradPoolPlan *plan;

  if (!grad_pool_desc_check (d, error))
    return NULL;
  plan = g_new (GradPoolPlan, 1);
  *plan = (GradPoolPlan) { {.device = device}, *d};
  return &plan->base;
}

static gsize
pool_workspace_size (GradPlan * base)
{
  const GradPoolDesc *d = &((GradPoolPlan *) base)->desc;

  return (gsize) d->n * d->c * d->oh * d->ow * sizeof (gint32);
}

static gboolean
pool_forward (GradPlan * base, const GradTensor * x, GradTensor * y, GradTensor * workspace,
    GError ** error)
{
  const GradPoolDesc *d = &((GradPoolPlan *) base)->desc;
  const gdouble *xp = grad_tensor_data (x);
  gdouble *yp = grad_tensor_data (y);
  gint32 *place = workspace ? grad_tensor_data (workspace) : NULL;

  for (gint nc = 0; nc < d->n * d->c; nc++, xp += (gsize) d->ih * d->iw)
    for (gint i = 0; i < d->oh; i++)
      for (gint j = 0; j < d->ow; j++) {
        gint top = i * d->stride - d->padding, left = j * d->stride - d->padding;
        gint best = -1;

        for (gint h = MAX (top, 0); h < MIN (top + d->kernel, d->ih); h++)
          for (gint w = MAX (left, 0); w < MIN (left + d->kernel, d->iw); w++)
            if (best < 0 || xp[h * d->iw + w] > xp[best])
              best = h * d->iw + w;
        *yp++ = xp[best];
        if (place)
          *place++ = best;
      }
  return TRUE;
}

static gboolean
pool_backward (GradPlan * base, const GradTensor * dy, const GradTensor * workspace,
    GradTensor * dx, GError ** error)
{
  const GradPoolDesc *d = &((GradPoolPlan *) base)->desc;
  gsize in_plane = (gsize) d->ih * d->iw, out_plane = (gsize) d->oh * d->ow;
  const gdouble *dyp = grad_tensor_data (dy);
  const gint32 *place = grad_tensor_data (workspace);
  gdouble *dxp = grad_tensor_data (dx);

  memset (dxp, 0, d->n * d->c * in_plane * sizeof (gdouble));
  for (gint nc = 0; nc < d->n * d->c; nc++, dxp += in_plane)
    for (gsize i = 0; i < out_plane; i++)
      dxp[*place++] += *dyp++;
  return TRUE;
}

static gboolean
global_forward (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error)
{
  gsize n_means = (gsize) x->shape.dims[0] * x->shape.dims[1];
  gsize plane = (gsize) x->shape.dims[2] * x->shape.dims[3];
  const gdouble *xp = grad_tensor_data (x);
  gdouble *yp = grad_tensor_data (y);

  for (gsize i = 0; i < n_means; i++) {
    gdouble sum = 0;

    for (gsize j = 0; j < plane; j++)
      sum += xp[i * plane + j];
    yp[i] = sum / plane;
  }
  return TRUE;
}

static gboolean
global_backward (GradDevice * device, const GradTensor * dy, GradTensor * dx, GError ** error)
{
  gsize n_means = (gsize) dx->shape.dims[0] * dx->shape.dims[1];
  gsize plane = (gsize) dx->shape.dims[2] * dx->shape.dims[3];
  const gdouble *dyp = grad_tensor_data (dy);
  gdouble *dxp = grad_tensor_data (dx);

  for (gsize i = 0; i < n_means; i++)
    for (gsize j = 0; j < plane; j++)
      dxp[i * plane + j] = dyp[i] / plane;
  return TRUE;
}

const GradPoolOps grad_pool_ref_ops = {
  .supports = grad_pool_plan_supports,
  .plan = grad_pool_plan_new,
  .workspace_size = pool_workspace_size,
  .forward = pool_forward,
  .backward = pool_backward,
  .global_forward = global_forward,
  .global_backward = global_backward,
};
