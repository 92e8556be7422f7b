/* GradStreamer kernels: loops of the direct convolution, 16 pairs of bfloat16 at a time, AVX512-BF16's
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lanes-16.h"

#include <immintrin.h>

#undef TARGET
#define TARGET __attribute__ ((target ("avx512f,avx512dq,avx512bw,avx512vl,fma,avx512bf16")))
#undef NAME
#define NAME(name) name##_pairs
#define PAIRS(sum, x, w) \
  ((Vector) _mm512_dpbf16_ps ((__m512) (sum), (__m512bh) _mm512_set1_epi32 (x), (__m512bh) (w)))

#include "direct-loops.h"
