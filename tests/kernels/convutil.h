/* GradStreamer tests: convolutions to be computed in each way there is, and by the reference
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"
#include "kernelutil.h"

typedef struct
{
  gint n, ic, ih, iw, oc, kernel, stride, padding;
  gboolean bias, add, relu, accumulate;
} ConvCase;

typedef struct
{
  GradTensor *x, *w, *b, *residual, *y, *dx, *dw, *db, *dy;
} ConvTensors;

static inline GradConvDesc
conv_describe (const ConvCase * c, gboolean training)
{
  return (GradConvDesc) {
    .n = c->n,.ic = c->ic,.ih = c->ih,.iw = c->iw,.oc = c->oc,
    .oh = (c->ih + 2 * c->padding - c->kernel) / c->stride + 1,
    .ow = (c->iw + 2 * c->padding - c->kernel) / c->stride + 1,
    .kernel = c->kernel,.stride = c->stride,.padding = c->padding,.training = training,
    .bias = c->bias,.add = !training && c->add,.relu = !training && c->relu,
  };
}

/* Makes the pictures of a random case large enough for its kernel, and says what it is. */
static inline void
conv_fit (ConvCase * c)
{
  c->ih += MAX (0, c->kernel - c->ih - 2 * c->padding);
  c->iw += MAX (0, c->kernel - c->iw - 2 * c->padding);
  g_test_message ("%d %d %dx%d %d k%d s%d p%d%s%s%s%s", c->n, c->ic, c->ih, c->iw, c->oc, c->kernel,
      c->stride, c->padding, c->bias ? " bias" : "", c->add ? " add" : "", c->relu ? " relu" : "",
      c->accumulate ? " accumulate" : "");
}

/* The same numbers on every device, pictures and their gradients from `low` to 1; what is computed has other ones before. */
static inline ConvTensors
conv_fill (GradDevice * device, const GradConvDesc * d, gfloat low)
{
  GradShape x = GRAD_SHAPE (d->n, d->ic, d->ih, d->iw), y = GRAD_SHAPE (d->n, d->oc, d->oh, d->ow);
  GradShape w = GRAD_SHAPE (d->oc, d->ic, d->kernel, d->kernel), b = GRAD_SHAPE (d->oc);

  return (ConvTensors) {
    .x = test_random (device, x, 1, low, 1),
    .w = test_random_parameter (device, w, 2, -1, 1),
    .b = d->bias ? test_random_parameter (device, b, 3, -1, 1) : NULL,
    .residual = d->add ? test_random (device, y, 4, -1, 1) : NULL,
    .y = test_random (device, y, 5, -1, 1),
    .dx = test_random (device, x, 6, -1, 1),
    .dw = test_random_parameter (device, w, 7, -1, 1),
    .db = d->bias ? test_random_parameter (device, b, 8, -1, 1) : NULL,
    .dy = test_random (device, y, 9, low, 1),
  };
}

/* The reference's, with what is read as the other one stores it, which may be rounded */
static inline ConvTensors
conv_fill_expected (GradDevice * ref, const GradConvDesc * d, gfloat low, const ConvTensors * got)
{
  ConvTensors t = conv_fill (ref, d, low);

  copy_stored (t.x, got->x);
  copy_stored (t.w, got->w);
  copy_stored (t.dy, got->dy);
  if (d->add)
    copy_stored (t.residual, got->residual);
  return t;
}

static inline void
conv_clear (ConvTensors * t)
{
  GradTensor **tensors[] = { &t->x, &t->w, &t->b, &t->residual, &t->y, &t->dx, &t->dw, &t->db, &t->dy };

  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
    g_clear_pointer (tensors[i], grad_tensor_unref);
}
