/* GradStreamer kernels: loops for vectors of 8 floats, AVX2's
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define NAME(name) name##_8
#define LANES 8
#define ROWS 6                  /* that many times 2 accumulators fit in registers */
#define GRADIENT_ROWS 4         /* the same, and a divisor of LANES */
#define FOR_ROWS(CASE) CASE (1) CASE (2) CASE (3) CASE (4) CASE (5) CASE (6)
#define TARGET __attribute__ ((target ("avx2,fma")))
