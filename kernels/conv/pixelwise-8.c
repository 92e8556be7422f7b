/* GradStreamer kernels: loops of the convolution of small pictures for AVX2
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pixelwise.h"

#include <string.h>

#define LANES 8
#define ROWS 6
#define FOR_ROWS(CASE) CASE (1) CASE (2) CASE (3) CASE (4) CASE (5) CASE (6)
#define GRADIENT_ROWS 4
#define TARGET __attribute__ ((target ("arch=x86-64-v3")))
#define LOOPS grad_pixelwise_8

#include "pixelwise-loops.h"
