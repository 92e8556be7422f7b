/* GradStreamer kernels: convolution of small pictures on the cpu device: any kernel size, stride and padding
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Where outputs are 2x2 or so, most taps meet padding, and rows of pixels are too short for registers. Here each pair of a pixel of x and
 * one of y that sees it is a matrix product of its own, whose rows are the pictures of the batch: nothing is multiplied but
 * pixels, nothing but copied before. Computes in float32, from and to float32 or bfloat16. */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

typedef struct _GradPixelwiseLoops GradPixelwiseLoops;

/* Pixel `y` of y sees pixel `x` of x, through this tap. */
typedef struct
{
  gint x, y, tap;
} GradPixelPair;

/* One direction of one convolution. Backward data is a convolution, too, from dy to dx: x and y are what it reads and writes. */
typedef struct
{
  GradDevice *device;           /* not owned */
  const GradPixelwiseLoops *loops;
  GradConvDirection direction;
  gint n, ic, oc;               /* x: (N, I, x_pixels), y: (N, O, y_pixels) */
  gint x_pixels, y_pixels, taps;
  gboolean relu, bf16;          /* bf16: how activations are stored */
  GradPixelPair *pairs;         /* by y, or backward to the weights by tap */
  gint *ends;                   /* of each y's pairs, or each tap's */
  gint chunk;                   /* pictures that are copied, and multiplied, at a time */
} GradPixelwise;

gboolean grad_pixelwise_supports (GradDevice * device, const GradConvDesc * desc,
    GradConvDirection direction);
/* of what is supported; to be called in a job of the device, as all that follows */
GradPixelwise *grad_pixelwise_new (GradDevice * device, const GradConvDesc * desc,
    GradConvDirection direction, GError ** error);
void grad_pixelwise_free (GradPixelwise * self);

/* y = conv (x, w) [+ b] [+ residual] [, ReLU], or dx of dy in the same places; b and residual nullable, residual may be y */
gboolean grad_pixelwise_convolve (GradPixelwise * self, const GradTensor * x, const GradTensor * w,
    const GradTensor * b, const GradTensor * residual, const GradTensor * y, GError ** error);
/* dw = or += */
gboolean grad_pixelwise_gradient (GradPixelwise * self, const GradTensor * x, const GradTensor * dy,
    const GradTensor * dw, gboolean accumulate, GError ** error);

/* Loops for blocks of B = 16, 8 or 4 channels: pixelwise-loops.h, compiled for each. w: (O/B, I/B, taps, B of I, B of O) */
struct _GradPixelwiseLoops
{
  /* w of backward data, for block o of what are its outputs, from the convolution's own */
  void (*transpose) (const GradPixelwise * self, const gfloat * weights, gfloat * w, gint o);
  /* copies to (pixels, C/B, chunk, B): `count` pictures of C channels, the first of them number `at` of the chunk that begins
   * with number `first` */
  void (*pack) (const GradPixelwise * self, gconstpointer from, gint c, gint pixels, gint first,
      gint at, gint count, gfloat * to);
  /* y of a chunk of `count` pictures from the copies; product: (2, chunk, B) floats */
  void (*forward) (const GradPixelwise * self, const gfloat * copies, const gfloat * w,
      const gfloat * b, gconstpointer residual, gpointer y, gint first, gint count, gfloat * product);
  /* dw = or += for a tap and two blocks of outputs from o on, from copies of `count` pictures */
  void (*gradient) (const GradPixelwise * self, const gfloat * x, const gfloat * dy, gint count,
      gint tap, gint o, gfloat * dw, gboolean accumulate);
};

extern const GradPixelwiseLoops grad_pixelwise_16, grad_pixelwise_8, grad_pixelwise_4;

G_END_DECLS
