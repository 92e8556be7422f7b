/* GradStreamer kernels: loops of Winograd's convolution for AVX-512
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "winograd.h"
#include "kernels/cpu.h"

#include <string.h>

#define LANES 16
#define ROWS 14
#define GRADIENT_ROWS 8
#define TARGET __attribute__ ((target ("arch=x86-64-v4")))
#define LOOPS grad_winograd_16

#include "winograd-loops.h"
