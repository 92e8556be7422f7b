/* GradStreamer kernels: Winograd's convolution on the cpu device: 3x3, stride 1 or 2
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tiles of m x m outputs, with 3.24 to 4 (stride 1) or 1.65 to 1.78 (stride 2) times fewer multiplications than a direct
 * convolution; winograd-transforms.h and winograd-schemes.h have the mathematics. Computes in float32, from and to float32
 * or bfloat16. */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

typedef enum
{
  GRAD_WINOGRAD_PLAIN,          /* stride 1, or backward data of it */
  GRAD_WINOGRAD_STRIDED,        /* stride 2 */
  GRAD_WINOGRAD_TRANSPOSED      /* backward data of it */
} GradWinogradScheme;

typedef struct _GradWinogradLoops GradWinogradLoops;

/* One direction of one convolution. Backward data is a convolution, too: from dy to dx, with the weights of each pair
 * of channels turned by 180 degrees; x and y are what it reads and writes. */
typedef struct
{
  GradDevice *device;           /* not owned */
  const GradWinogradLoops *loops;
  GradConvDirection direction;
  GradWinogradScheme scheme;
  gint m;                       /* 3 or 4 */
  gint size;                    /* products per axis of a tile */
  gint n, ic, ih, iw, oc, oh, ow;       /* x: (N, I, IH, IW), y: (N, O, OH, OW) */
  gint padding, shift;          /* how far outside of x, y the first tile starts */
  gboolean relu, bf16;          /* bf16: how activations are stored */
  gint tiles_y, tiles_x, n_tiles;       /* of a picture, of all */
  gsize u_step, panel_step, u_size;     /* floats of u from matrix to matrix, from panel to panel, and all */
  gint chunk;                   /* tiles that a thread transforms at a time */
  gint n_parts, n_groups;       /* backward weights: of the tiles, of the outputs; a job is one of each */
  GQuark form;                  /* under which transformed weights are kept, for inference; else 0 */
} GradWinograd;

/* products per axis of a tile */
static inline gint
grad_winograd_size (GradWinogradScheme scheme, gint m)
{
  return scheme == GRAD_WINOGRAD_PLAIN ? m + 2 : 2 * m + 1;
}

/* pixels per axis that a tile writes */
static inline gint
grad_winograd_outputs (GradWinogradScheme scheme, gint m)
{
  return scheme == GRAD_WINOGRAD_TRANSPOSED ? 2 * m : m;
}

gboolean grad_winograd_supports (GradDevice * device, const GradConvDesc * desc,
    GradConvDirection direction);
/* of what is supported; to be called in a job of the device, as all that follows. g_free() it */
GradWinograd *grad_winograd_new (GradDevice * device, const GradConvDesc * desc,
    GradConvDirection direction, GError ** error);

/* y = conv (x, w) [+ b] [+ residual] [, ReLU], or dx of dy in the same places; b and residual nullable */
gboolean grad_winograd_convolve (GradWinograd * self, const GradTensor * x, const GradTensor * w,
    const GradTensor * b, const GradTensor * residual, const GradTensor * y, GError ** error);
/* dw = or += */
gboolean grad_winograd_gradient (GradWinograd * self, const GradTensor * x, const GradTensor * dy,
    const GradTensor * dw, gboolean accumulate, GError ** error);

/* Loops for blocks of 16, 8 or 4 channels: winograd-loops.h, compiled for each. u: (O/P, (m+2)^2, I, P), P two blocks */
struct _GradWinogradLoops
{
  /* u from w, for block o of the outputs */
  void (*weights) (const GradWinograd * self, const gfloat * w, gfloat * u, gint o);
  /* y of a chunk of tiles; buffer: size^2 (I + P) chunk floats */
  void (*forward) (const GradWinograd * self, gconstpointer x, const gfloat * u,
      const gfloat * b, gconstpointer residual, gpointer y, gint first_tile, gfloat * buffer);
  /* du = sums over n_tiles tiles, for some blocks of outputs from an even one on: others stay; buffer as above */
  void (*gradient) (const GradWinograd * self, gconstpointer x, gconstpointer dy,
      gint first_tile, gint n_tiles, gint first_o, gint end_o, gfloat * du, gfloat * buffer);
  /* dw = or += for block o of the outputs, from all parts of du */
  void (*weights_gradient) (const GradWinograd * self, const gfloat * du, gfloat * dw, gint o,
      gboolean accumulate);
};

extern const GradWinogradLoops grad_winograd_16, grad_winograd_8, grad_winograd_4;

G_END_DECLS
