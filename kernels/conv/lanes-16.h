/* GradStreamer kernels: loops for vectors of 16 floats, AVX-512's
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define NAME(name) name##_16
#define LANES 16
#define ROWS 14                 /* that many times 2 accumulators fit in registers */
#define GRADIENT_ROWS 8         /* the same, and a divisor of LANES */
#define FOR_ROWS(CASE) \
  CASE (1) CASE (2) CASE (3) CASE (4) CASE (5) CASE (6) CASE (7) CASE (8) CASE (9) CASE (10) CASE (11) \
  CASE (12) CASE (13) CASE (14)
#define TARGET __attribute__ ((target ("avx512f,avx512dq,avx512bw,avx512vl,fma")))
