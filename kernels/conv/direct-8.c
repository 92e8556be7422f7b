/* GradStreamer kernels: loops of the direct convolution for AVX2
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "direct.h"

#include <string.h>

#define LANES 8
#define ROWS 6
#define TILES CASE (1) CASE (2) CASE (3) CASE (4) CASE (5) CASE (6)
#define TARGET __attribute__ ((target ("arch=x86-64-v3")))
#define LOOPS grad_direct_8

#include "direct-loops.h"
