/* GradStreamer kernels: Winograd's convolution on the cpu device: 3x3, stride 1
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tiles of m x m outputs, from (m + 2) x (m + 2) inputs, with 2.25 to 4 times fewer multiplications than a direct
 * convolution; winograd-transforms.h has the mathematics. Computes in float32, from and to float32 or bfloat16. */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

typedef enum
{
  GRAD_CONV_FORWARD,
  GRAD_CONV_BACKWARD_DATA,
  GRAD_CONV_BACKWARD_WEIGHTS,
  GRAD_CONV_N_DIRECTIONS
} GradConvDirection;

typedef struct _GradWinogradLoops GradWinogradLoops;

/* One direction of one convolution. Backward data is a convolution, too: from dy to dx, with the weights of each pair
 * of channels turned by 180 degrees; x and y are what it reads and writes. */
typedef struct
{
  GradDevice *device;           /* not owned */
  const GradWinogradLoops *loops;
  GradConvDirection direction;
  gint m;                       /* 3 or 4 */
  gint n, ic, ih, iw, oc, oh, ow;       /* x: (N, I, IH, IW), y: (N, O, OH, OW) */
  gint padding;
  gboolean relu, bf16;          /* bf16: how activations are stored */
  gint tiles_y, tiles_x, n_tiles;       /* of a picture, of all */
  gsize u_step;                 /* floats of u from position to position */
  gint chunk;                   /* tiles that a thread transforms at a time */
  gint n_parts, n_groups;       /* backward weights: of the tiles, of the outputs; a job is one of each */

  /* for inference, transformed weights are kept from call to call; else NULL */
  gfloat *u;
  gsize u_capacity;
  guint64 u_version;            /* of the weights that u was made from */
} GradWinograd;

gboolean grad_winograd_supports (GradDevice * device, const GradConvDesc * desc,
    GradConvDirection direction);
/* of what is supported; to be called in a job of the device, as all that follows */
GradWinograd *grad_winograd_new (GradDevice * device, const GradConvDesc * desc,
    GradConvDirection direction, GError ** error);
void grad_winograd_free (GradWinograd * self);

/* y = conv (x, w) [+ b] [+ residual] [, ReLU], or dx of dy in the same places; b and residual nullable */
gboolean grad_winograd_convolve (GradWinograd * self, const GradTensor * x, const GradTensor * w,
    const GradTensor * b, const GradTensor * residual, const GradTensor * y, GError ** error);
/* dw = or += */
gboolean grad_winograd_gradient (GradWinograd * self, const GradTensor * x, const GradTensor * dy,
    const GradTensor * dw, gboolean accumulate, GError ** error);

/* Loops for blocks of 16 or 8 channels: winograd-loops.h, compiled twice. u: (n*n, O/P, I, P), P two blocks */
struct _GradWinogradLoops
{
  /* u from w, for block o of the outputs */
  void (*weights) (const GradWinograd * self, const gfloat * w, gfloat * u, gint o);
  /* y of a chunk of tiles; buffer: n*n (I + O) chunk floats */
  void (*forward) (const GradWinograd * self, gconstpointer x, const gfloat * u,
      const gfloat * b, gconstpointer residual, gpointer y, gint first_tile, gfloat * buffer);
  /* du = sums over n_tiles tiles, for n_o blocks of outputs from an even one on: others stay; buffer as above */
  void (*gradient) (const GradWinograd * self, gconstpointer x, gconstpointer dy,
      gint first_tile, gint n_tiles, gint first_o, gint n_o, gfloat * du, gfloat * buffer);
  /* dw = or += for block o of the outputs, from all parts of du */
  void (*weights_gradient) (const GradWinograd * self, const gfloat * du, gfloat * dw, gint o,
      gboolean accumulate);
};

extern const GradWinogradLoops grad_winograd_16, grad_winograd_8;

G_END_DECLS
