/* GradStreamer benchmark of kernels: what this machine can do at most, measured
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

/* Best of several short runs of so many threads. Multiplication and addition are two operations. */
gdouble bench_peak_f32 (guint threads);         /* GF/s of fused multiply-adds in registers */
gdouble bench_peak_bf16 (guint threads);        /* the same of AVX-512's bf16 products, NAN without */
gdouble bench_peak_copy (guint threads);        /* GB/s of memcpy(), read and written */
gdouble bench_device_copy (GradDevice * device);        /* the same of the device's own copies, NAN when it cannot */

G_END_DECLS
