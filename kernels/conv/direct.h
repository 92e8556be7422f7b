/* GradStreamer kernels: direct convolution on the cpu device, forward: any kernel size, stride and padding
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Weights are read as they are stored, once for all pixels of a job and in their order: that is what counts when there is
 * but one picture. Computes in float32, from and to float32 or bfloat16; or multiplies pairs of bfloat16, where the
 * processor does (AVX512-BF16, to which denormal numbers are zeros) and both x and y are stored so, adding to float32. Weights
 * are rounded then, which in training takes a pass over them at every call. */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

typedef struct _GradDirectLoops GradDirectLoops;

/* One convolution. A job is some rows of outputs of some pictures, of some blocks of B channels; either all rows or one picture.
 * What it reads of x lies in a buffer as (pictures, I/S, columns, phases, rows, width, S), S channels that x holds together,
 * in words of 32 bits.
 * Rows of x stride, 2 stride, … apart are a phase, and so are columns: whichever tap, pixels of neighbouring outputs are
 * neighbours. Where outputs are narrow there are columns for each tap of a kernel's row, OW wide: then this is so from row
 * to row, too. */
typedef struct
{
  GradDevice *device;           /* not owned */
  const GradDirectLoops *loops;
  GradConvDesc desc;
  gboolean pairs;               /* of bfloat16 are multiplied */
  gint n_groups, group;         /* I/S, and words of S: B, B/2 in pairs, or 1 where x is plain */
  gboolean x_bf16, y_bf16;      /* how activations are stored */
  gint pictures, rows, blocks;  /* of a job; blocks is even, unless it is all */
  gint n_pictures, n_rows, n_blocks;    /* jobs along each of them */
  gint columns, phases, phase_rows, width;      /* of the buffer */
  gsize *offsets;               /* of each tap's first pixel in the buffer */
  GQuark form;                  /* under which packed weights, of pairs and of a plain x, are kept, for inference; else 0 */
} GradDirect;

gboolean grad_direct_supports (GradDevice * device, const GradConvDesc * desc, gboolean pairs);
/* of what is supported; to be called in the compute thread, as all that follows */
GradDirect *grad_direct_new (GradDevice * device, const GradConvDesc * desc, gboolean pairs,
    GError ** error);
void grad_direct_free (GradDirect * self);

/* y = conv (x, w) [+ b] [+ residual] [, ReLU]; b and residual nullable, residual may be y */
gboolean grad_direct_convolve (GradDirect * self, const GradTensor * x, const GradTensor * w,
    const GradTensor * b, const GradTensor * residual, const GradTensor * y, GError ** error);

/* Loops for blocks of 16, 8 or 4 channels and for pairs: direct-loops.h, compiled for each. w: (O/B, I/S, taps, words of S, B) */
struct _GradDirectLoops
{
  /* w from weights as they are stored, for block o of the outputs; of pairs, and where S = 1 */
  void (*pack) (const GradDirect * self, const gfloat * weights, gfloat * w, gint o);
  /* y of a job; buffer: grad_direct_x_size() words, and two blocks of its outputs */
  void (*run) (const GradDirect * self, gconstpointer x, const gfloat * w, const gfloat * b,
      gconstpointer residual, gpointer y, gint job, gfloat * buffer);
};

extern const GradDirectLoops grad_direct_16, grad_direct_8, grad_direct_4, grad_direct_pairs;

/* words in a job's buffer: of S channels of a picture, of all of x (whole cache lines) */
static inline gsize
grad_direct_group_size (const GradDirect * self)
{
  return (gsize) self->columns * self->phases * self->phase_rows * self->width * self->group;
}

static inline gsize
grad_direct_x_size (const GradDirect * self)
{
  return (grad_direct_group_size (self) * self->n_groups * self->pictures + 15) & ~15;
}

G_END_DECLS
