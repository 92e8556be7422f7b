/* GradStreamer: what kernels of the cpu device know about it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "graddevice-private.h"
#include "kernels/team.h"

G_BEGIN_DECLS

/* Layouts of the cpu device: a float32 picture (N, C, H, W) whose C is a multiple of the block B lies as (N, C/B, H, W, B),
 * which oneDNN calls nChw16c, nChw8c and nChw4c; with precision bf16 as bfloat16. Weights of convolutions (O, I, H, W), both O and I
 * multiples of B, lie as (O/B, I/B, H, W, B of I, B of O): oneDNN's OIhw16i16o and so on, which most of its convolutions take as
 * they are; so do their gradients and moments. The layout is a function of the shape, so no two units disagree and nothing is
 * reordered between them. Its number is B, and more: */
#define GRAD_LAYOUT_OIHW 0x100  /* of weights */
#define GRAD_LAYOUT_BF16 0x200

/* B: floats in a vector of this processor's: 16 with AVX-512, 8 with AVX2, 4 elsewhere; not more than GRAD_CPU_BLOCK in the
 * environment, for tests */
guint grad_cpu_block (void);
/* whether the processor has AVX512-BF16, with blocks of 16 */
gboolean grad_cpu_multiplies_bf16 (void);

/* B of a layout, 1 when it is plain */
static inline guint
grad_cpu_layout_block (guint layout)
{
  return layout == GRAD_LAYOUT_PLAIN ? 1 : layout & 0xff;
}

static inline gboolean
grad_cpu_layout_is_bf16 (guint layout)
{
  return (layout & GRAD_LAYOUT_BF16) != 0;
}

/* What follows is for who has the device's turn. */

/* threads of our own loops (kernels/cpu.h) */
GradTeam *grad_cpu_device_peek_team (GradDevice * device);

/* Scratch memory of the device's jobs, at least that many bytes; what is in it lasts until the next kernel runs. Whoever plans asks for
 * as much as will be needed, so that running allocates nothing. */
gpointer grad_cpu_scratch (GradDevice * device, gsize size, GError ** error);

/* How often, in this process, activations and parameters were brought into another layout or type than they have on the device;
 * transforms and transpositions of weights count, too. Atomic; for tests. */
typedef struct
{
  guint activations, parameters;
} GradCpuReorders;

extern GradCpuReorders grad_cpu_reorders;

G_END_DECLS
