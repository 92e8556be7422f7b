/* GradStreamer kernels: the ways to compute a convolution on the cpu device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "direct.h"
#include "im2col.h"
#include "pixelwise.h"
#include "winograd.h"
#include "kernels/onednn.h"

G_BEGIN_DECLS

typedef enum
{
  GRAD_CONV_ONEDNN,             /* as activations are stored */
  GRAD_CONV_ONEDNN_F32,         /* in floats, though they are stored as bfloat16 */
  GRAD_CONV_N_ONEDNN,           /* the rest are our own */
  GRAD_CONV_WINOGRAD = GRAD_CONV_N_ONEDNN,
  GRAD_CONV_DIRECT,
  GRAD_CONV_DIRECT_BF16,        /* by products of bfloat16 */
  GRAD_CONV_IM2COL,
  GRAD_CONV_PIXELWISE,
  GRAD_CONV_N_WAYS
} GradConvWayKind;

/* How one direction is computed */
typedef struct
{
  GradConvWayKind kind;
  gpointer self;                /* GradOnednn, GradWinograd, …; NULL: not at all */
} GradConvWay;

/* oneDNN's forward primitives, of which backward ones want to be told, by kind: empty at first, made when they are asked for */
typedef GradOnednn *GradConvHints[GRAD_CONV_N_WAYS];

/* The fastest way: timed once and remembered, or with `deterministic` by a rule. hints: of the same convolution */
gboolean grad_conv_way_choose (GradDevice * device, const GradConvDesc * desc,
    GradConvDirection direction, GradConvHints hints, GradConvWay * way, GError ** error);

const gchar *grad_conv_way_name (GradConvWayKind kind);
gboolean grad_conv_way_supported (GradDevice * device, const GradConvDesc * desc, GradConvDirection direction,
    GradConvWayKind kind);
gboolean grad_conv_way_new (GradDevice * device, const GradConvDesc * desc, GradConvDirection direction,
    GradConvWayKind kind, GradConvHints hints, GradConvWay * way, GError ** error);
/* Few pictures and pixels and, in turn, many weights, for which nobody else has room in caches when ways are timed: then oneDNN seems better than
 * it is within a network, where it also wakes threads of its own. */
gboolean grad_conv_is_small (const GradConvDesc * desc);
void grad_conv_hints_clear (GradConvHints hints);
void grad_conv_way_clear (GradConvWay * way);

/* x, w, b, y or their gradients: what `direction` computes is written, the rest is read. residual: forward with `add`, may be y;
 * accumulate: backward weights */
gboolean grad_conv_way_run (GradConvWay * way, GradConvDirection direction, const GradTensor * x,
    const GradTensor * w, const GradTensor * b, const GradTensor * residual, const GradTensor * y,
    gboolean accumulate, GError ** error);

G_END_DECLS
