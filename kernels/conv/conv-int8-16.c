/* GradStreamer kernels: loops of the convolution of 8-bit integers for AVX-512 with VNNI
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conv-int8.h"
#include "kernels/cpu.h"

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define LANES 16
#define TARGET __attribute__ ((target ("avx512f,avx512dq,avx512bw,avx512vl,fma,avx512vnni")))
#define DOT(sum, bytes, weights)   ((Integers) _mm512_dpbusd_epi32 ((__m512i) (sum), (__m512i) (bytes), (__m512i) (weights)))
#define LOOPS grad_conv_int8_16

#include "conv-int8-loops.h"
