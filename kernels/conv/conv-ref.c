/* GradStreamer kernels: 2D convolution, the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, I, IH, IW), y, dy, residual: (N, O, OH, OW)
 *   w, dw: (O, I, kernel, kernel), b, db: (O)
 *   y =, dx =, dw = or +=, db = or +=
 *
 * Dense doubles, one thread, deterministic. All three directions walk over the same products: of a filter, and the
 * window of x that an output sees, with zeros where it is padding. */
#include "kernels/kernels.h"

#include <string.h>

gboolean
grad_conv_desc_check (const GradConvDesc * d, GError ** error)
{
  if (MIN (MIN (d->n, d->ic), MIN (d->ih, d->iw)) >= 1 && d->oc >= 1 && d->kernel >= 1
      && d->stride >= 1 && d->padding >= 0 && d->padding < d->kernel
      && d->ih + 2 * d->padding >= d->kernel && d->iw + 2 * d->padding >= d->kernel
      && d->oh == (d->ih + 2 * d->padding - d->kernel) / d->stride + 1
      && d->ow == (d->iw + 2 * d->padding - d->kernel) / d->stride + 1)
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "no %dx%d convolution of stride %d and padding "
      "%d takes (%d,%d,%d,%d) to (%d,%d,%d,%d)", d->kernel, d->kernel, d->stride, d->padding, d->n,
      d->ic, d->ih, d->iw, d->n, d->oc, d->oh, d->ow);
  return FALSE;
}

gboolean
grad_conv_desc_has_backward (const GradConvDesc * d)
{
  return d->training && !d->add && !d->relu;
}

gboolean
grad_conv_check_backward (gboolean has_backward, GError ** error)
{
  if (!has_backward)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED,
        "a convolution planned for inference has no backward");
  return has_backward;
}

gboolean
grad_conv_plan_supports (GradDevice * device, const GradConvDesc * d)
{
  return grad_conv_desc_check (d, NULL);
}

GradPlan *
grad_conv_plan_new (GradDevice * device, const GradConvDesc * d, GError ** error)
{
  GradConvPlan *plan;

  if (!grad_conv_desc_check (d, error))
    return NULL;
  plan = g_new (GradConvPlan, 1);
  *plan = (GradConvPlan) { {.device = device}, *d};
  return &plan->base;
}

typedef enum
{
  FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS
} Direction;

/* The windows of the outputs in row i of picture n, (OW, I, kernel, kernel): read from x, or added to it */
static void
windows (const GradConvDesc * d, gboolean add, gdouble * x, gint n, gint i, gdouble * window)
{
  for (gint j = 0; j < d->ow; j++)
    for (gint c = 0; c < d->ic; c++)
      for (gint p = 0; p < d->kernel; p++)
        for (gint q = 0; q < d->kernel; q++, window++) {
          gint row = i * d->stride - d->padding + p, column = j * d->stride - d->padding + q;
          gboolean inside = row >= 0 && row < d->ih && column >= 0 && column < d->iw;
          gdouble *at = inside ? x + (((gsize) n * d->ic + c) * d->ih + row) * d->iw + column : NULL;

          if (!add)
            *window = inside ? *at : 0;
          else if (inside)
            *at += *window;
        }
}

static gdouble
dot (const gdouble * a, const gdouble * b, gsize n)
{
  gdouble sum = 0;

#pragma omp simd reduction(+:sum)
  for (gsize i = 0; i < n; i++)
    sum += a[i] * b[i];
  return sum;
}

static void
add_scaled (gdouble * to, const gdouble * from, gdouble scale, gsize n)
{
  for (gsize i = 0; i < n; i++)
    to[i] += scale * from[i];
}

/* y += w x,  or dx += w dy,  or dw += x dy */
static void
walk (const GradConvDesc * d, Direction direction, gdouble * x, gdouble * w, gdouble * y)
{
  gsize size = (gsize) d->ic * d->kernel * d->kernel;
  g_autofree gdouble *seen = g_new (gdouble, size * d->ow);

  for (gint n = 0; n < d->n; n++)
    for (gint i = 0; i < d->oh; i++) {
      if (direction == BACKWARD_DATA)
        memset (seen, 0, size * d->ow * sizeof (gdouble));
      else
        windows (d, FALSE, x, n, i, seen);
      for (gint o = 0; o < d->oc; o++) {
        gdouble *filter = w + o * size, *yp = y + (((gsize) n * d->oc + o) * d->oh + i) * d->ow;

        for (gint j = 0; j < d->ow; j++)
          if (direction == FORWARD)
            yp[j] += dot (filter, seen + j * size, size);
          else if (direction == BACKWARD_DATA)
            add_scaled (seen + j * size, filter, yp[j], size);
          else
            add_scaled (filter, seen + j * size, yp[j], size);
      }
      if (direction == BACKWARD_DATA)
        windows (d, TRUE, x, n, i, seen);
    }
}

static gboolean
conv_forward (GradPlan * base, const GradTensor * x, const GradTensor * w, const GradTensor * b,
    const GradTensor * residual, GradTensor * y, GError ** error)
{
  const GradConvDesc *d = &((GradConvPlan *) base)->desc;
  gsize plane = (gsize) d->oh * d->ow, size = d->n * d->oc * plane;
  const gdouble *bias = d->bias ? grad_tensor_data (b) : NULL;
  const gdouble *r = d->add ? grad_tensor_data (residual) : NULL;
  gdouble *out = grad_tensor_data (y);

  for (gsize i = 0; i < size; i++)
    out[i] = (r ? r[i] : 0) + (bias ? bias[i / plane % d->oc] : 0);
  walk (d, FORWARD, grad_tensor_data (x), grad_tensor_data (w), out);
  for (gsize i = 0; i < size && d->relu; i++)
    out[i] = out[i] < 0 ? 0 : out[i];   /* what is not a number stays so */
  return TRUE;
}

static gboolean
conv_backward_data (GradPlan * base, const GradTensor * dy, const GradTensor * w, GradTensor * dx,
    GError ** error)
{
  const GradConvDesc *d = &((GradConvPlan *) base)->desc;
  gdouble *out = grad_tensor_data (dx);

  if (!grad_conv_check_backward (grad_conv_desc_has_backward (d), error))
    return FALSE;
  memset (out, 0, (gsize) d->n * d->ic * d->ih * d->iw * sizeof (gdouble));
  walk (d, BACKWARD_DATA, out, grad_tensor_data (w), grad_tensor_data (dy));
  return TRUE;
}

static gboolean
conv_backward_weights (GradPlan * base, const GradTensor * x, const GradTensor * dy,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  const GradConvDesc *d = &((GradConvPlan *) base)->desc;
  gsize plane = (gsize) d->oh * d->ow, size = d->n * d->oc * plane;
  const gdouble *in = grad_tensor_data (dy);
  gdouble *out = grad_tensor_data (dw), *bias = d->bias ? grad_tensor_data (db) : NULL;

  if (!grad_conv_check_backward (grad_conv_desc_has_backward (d), error))
    return FALSE;
  if (!accumulate)
    memset (out, 0, (gsize) d->oc * d->ic * d->kernel * d->kernel * sizeof (gdouble));
  walk (d, BACKWARD_WEIGHTS, grad_tensor_data (x), out, (gdouble *) in);
  if (d->bias) {
    if (!accumulate)
      memset (bias, 0, d->oc * sizeof (gdouble));
    for (gsize i = 0; i < size; i++)
      bias[i / plane % d->oc] += in[i];
  }
  return TRUE;
}

const GradConvOps grad_conv_ref_ops = {
  .supports = grad_conv_plan_supports,
  .plan = grad_conv_plan_new,
  .forward = conv_forward,
  .backward_data = conv_backward_data,
  .backward_weights = conv_backward_weights,
};
