/* GradStreamer kernels: loops of the convolution of 8-bit integers for AVX2 with VNNI
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conv-int8.h"
#include "kernels/cpu.h"

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define LANES 8
#define TARGET __attribute__ ((target ("avx2,fma,avxvnni")))
#define DOT(sum, bytes, weights)   ((Integers) _mm256_dpbusd_avx_epi32 ((__m256i) (sum), (__m256i) (bytes), (__m256i) (weights)))
#define LOOPS grad_conv_int8_8

#include "conv-int8-loops.h"
