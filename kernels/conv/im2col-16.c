/* GradStreamer kernels: loops of the gradient of a stem's weights for AVX-512
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "im2col.h"

#include <string.h>

#define LANES 16
#define COLUMNS 14
#define TILES \
  CASE (1) CASE (2) CASE (3) CASE (4) CASE (5) CASE (6) CASE (7) CASE (8) CASE (9) CASE (10) CASE (11) \
  CASE (12) CASE (13) CASE (14)
#define TARGET __attribute__ ((target ("arch=x86-64-v4")))
#define PART grad_im2col_part_16

#include "im2col-loops.h"
