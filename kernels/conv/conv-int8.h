/* GradStreamer kernels: convolution of 8-bit integers on the cpu device, for inference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each picture is quantised as it comes, from its least to its largest value, to unsigned bytes; weights to signed
 * ones, output by output, when they have changed. Nothing is to be calibrated beforehand, and what a picture gives does not
 * depend on the others of its batch. Sums are exact; results are floats again:
 *
 *   y(n,o) = scale(n) scale(o) (sum of qx qw - zero(n) sum of qw) [+ b] [+ residual] [, ReLU] */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

typedef struct _GradConvInt8Loops GradConvInt8Loops;

/* How a picture was quantised: x is about scale * (q - zero) */
typedef struct
{
  gfloat scale;
  gint32 zero;
} GradConvInt8Range;

typedef struct
{
  GradDevice *device;           /* not owned */
  const GradConvInt8Loops *loops;
  GradConvDesc desc;
  gint lanes;                   /* channels in a block: of the outputs, and of the inputs if these are blocked */

  /* A quantised picture is (blocks, H + 2 padding, W + 2 padding, pixel): what a row of the kernel meets in it are consecutive
   * bytes */
  gint blocks, pixel, row;      /* row: of the kernel, in bytes, a multiple of 4 */
  gsize plane, picture;         /* bytes */
} GradConvInt8;

/* whether this processor has the instructions (AVX-512 VNNI, AVX-VNNI) */
gboolean grad_conv_int8_available (void);
gboolean grad_conv_int8_supports (GradDevice * device, const GradConvDesc * desc);
/* of what is supported; in the compute thread, like what follows. g_free() it */
GradConvInt8 *grad_conv_int8_new (GradDevice * device, const GradConvDesc * desc, GError ** error);
/* b and residual nullable, residual may be y */
gboolean grad_conv_int8_run (GradConvInt8 * self, const GradTensor * x, const GradTensor * w,
    const GradTensor * b, const GradTensor * residual, const GradTensor * y, GError ** error);

/* Pixels of the output are computed in groups of so many of a row */
#define GRAD_CONV_INT8_GROUP 3

typedef struct
{
  const GradConvInt8 *conv;
  const gfloat *x, *w, *b, *residual;
  gfloat *y;
  gint8 *weights;               /* (O/lanes, blocks, kernel, row/4, lanes, 4), behind them scales and sums of outputs */
  guint8 *quantised;            /* N pictures */
  GradConvInt8Range *ranges;    /* N of them */
} GradConvInt8Call;

/* conv-int8-loops.h, compiled twice */
struct _GradConvInt8Loops
{
  void (*quantise) (const GradConvInt8Call * call, gint picture);
  /* block o of the outputs */
  void (*weights) (const GradConvInt8Call * call, gint o);
  /* n_groups groups of pixels, counted over all pictures, of n_o blocks of outputs */
  void (*run) (const GradConvInt8Call * call, gint first_group, gint n_groups, gint first_o, gint n_o);
};

extern const GradConvInt8Loops grad_conv_int8_16, grad_conv_int8_8;

static inline gint
grad_conv_int8_n_groups (const GradConvInt8 * self)     /* in a row */
{
  return (self->desc.ow + GRAD_CONV_INT8_GROUP - 1) / GRAD_CONV_INT8_GROUP;
}

/* bytes of weights for a block of outputs */
static inline gsize
grad_conv_int8_block (const GradConvInt8 * self)
{
  return (gsize) self->blocks * self->desc.kernel * self->row * self->lanes;
}

static inline gfloat *
grad_conv_int8_scales (const GradConvInt8Call * call)
{
  return (gfloat *) (call->weights + call->conv->desc.oc / call->conv->lanes * grad_conv_int8_block (call->conv));
}

static inline gint32 *
grad_conv_int8_sums (const GradConvInt8Call * call)
{
  return (gint32 *) (grad_conv_int8_scales (call) + call->conv->desc.oc);
}

G_END_DECLS
