/* GradStreamer kernels: loops of the gradient of a stem's weights for AVX2
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "im2col.h"

#include <string.h>

#define LANES 8
#define COLUMNS 6
#define TILES CASE (1) CASE (2) CASE (3) CASE (4) CASE (5) CASE (6)
#define TARGET __attribute__ ((target ("arch=x86-64-v3")))
#define PART grad_im2col_part_8

#include "im2col-loops.h"
