/* GradStreamer kernels: loops of the convolution of small pictures for AVX-512
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pixelwise.h"

#include <string.h>

#define LANES 16
#define ROWS 14
#define FOR_ROWS(CASE) \
  CASE (1) CASE (2) CASE (3) CASE (4) CASE (5) CASE (6) CASE (7) CASE (8) CASE (9) CASE (10) \
  CASE (11) CASE (12) CASE (13) CASE (14)
#define GRADIENT_ROWS 8
#define TARGET __attribute__ ((target ("arch=x86-64-v4")))
#define LOOPS grad_pixelwise_16

#include "pixelwise-loops.h"
