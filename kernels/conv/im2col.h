/* GradStreamer kernels: the gradient of a convolution's weights on the cpu device, where x has few channels: a stem's
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x is plain, dy in channel blocks; any kernel size, stride and padding. What each pixel of y sees of x is written out as a row
 * of a matrix, a column for each tap; for the bias there is one of ones. The gradient is that matrix's product with dy.
 * Computes in float32, of dy in float32 or bfloat16. */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

typedef struct _GradIm2col GradIm2col;

/* Chunks first, …, end - 1 give sums (n_columns, O), of which there must be one at least; buffer: grad_im2col_buffer_size() floats */
typedef void (*GradIm2colPart) (const GradIm2col * self, const gfloat * x, gconstpointer dy, gsize first,
    gsize end, gfloat * sums, gfloat * buffer);

struct _GradIm2col
{
  GradDevice *device;           /* not owned */
  GradIm2colPart part;
  GradConvDesc desc;
  gboolean bf16;                /* how dy is stored */
  gint n_columns;               /* a tap of an input channel each, and one for the bias if there is one */
  gint pitch;                   /* floats from row to row of the matrix */
  gint chunk, n_chunks;         /* pixels of a chunk, at most; chunks of a picture */
  gint rows;                    /* of x that a chunk sees, at most */
  gint n_parts;                 /* of all chunks: each is summed by itself */
};

gboolean grad_im2col_supports (GradDevice * device, const GradConvDesc * desc);
/* of what is supported; to be called in a job of the device, as all that follows. g_free() it */
GradIm2col *grad_im2col_new (GradDevice * device, const GradConvDesc * desc, GError ** error);

/* dw = or +=, db likewise, NULL without bias */
gboolean grad_im2col_gradient (GradIm2col * self, const GradTensor * x, const GradTensor * dy,
    const GradTensor * dw, const GradTensor * db, gboolean accumulate, GError ** error);

/* floats of a padded row of x */
static inline gsize
grad_im2col_width (const GradIm2col * self)
{
  return (gsize) self->desc.iw + 2 * self->desc.padding;
}

/* floats of what a chunk sees of x: rows, and one vector beyond, which is read though it is not used */
static inline gsize
grad_im2col_x_size (const GradIm2col * self)
{
  return self->desc.ic * self->rows * grad_im2col_width (self) + 16;
}

static inline gsize
grad_im2col_buffer_size (const GradIm2col * self)
{
  return (grad_im2col_x_size (self) + (gsize) self->chunk * self->pitch + 15) & ~15;
}

/* Loops for blocks of 16, 8 or 4 channels: im2col-loops.h, compiled for each */
extern const GradIm2colPart grad_im2col_part_16, grad_im2col_part_8, grad_im2col_part_4;

G_END_DECLS
