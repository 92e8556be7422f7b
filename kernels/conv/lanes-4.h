/* GradStreamer kernels: loops for vectors of 4 floats, which nearly every processor has: SSE's, NEON's
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define NAME(name) name##_4
#define LANES 4
#if defined (__x86_64__) || defined (__i386__)  /* have fewer registers than others */
#define ROWS 6                  /* that many times 2 accumulators fit in registers */
#define FOR_ROWS(CASE) CASE (1) CASE (2) CASE (3) CASE (4) CASE (5) CASE (6)
#else
#define ROWS 12
#define FOR_ROWS(CASE) \
  CASE (1) CASE (2) CASE (3) CASE (4) CASE (5) CASE (6) CASE (7) CASE (8) CASE (9) CASE (10) CASE (11) \
  CASE (12)
#endif
#define GRADIENT_ROWS 4         /* the same, and a divisor of LANES */
#define TARGET
