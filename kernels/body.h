/* GradStreamer kernels: arithmetic that is written once for all devices
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A family's x-body.h holds the arithmetic of one element or one row. Who includes it says in which
 * type it is done: GRAD_REAL is double in x-ref.c, float elsewhere. A .cu file also defines
 * GRAD_BODY, as static __device__ inline. */
#pragma once

#include <glib.h>
#ifdef __cplusplus
#include <math.h>
#else
#include <tgmath.h>
#endif

#ifndef GRAD_REAL
#error "define GRAD_REAL first"
#endif
#ifndef GRAD_BODY
#define GRAD_BODY static inline __attribute__ ((always_inline))
#endif
