/* GradStreamer benchmark of kernels: tables and JSON
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cases.h"
#include "lib/device/graddevice.h"

G_BEGIN_DECLS

/* Where it was measured; what was not is NAN. */
typedef struct
{
  const gchar *device, *precision;
  gint batch;
  guint threads;
  gdouble f32_one, f32_all, bf16_one, bf16_all; /* GF/s */
  gdouble copy_one, copy_all;   /* GB/s */
} BenchMachine;

typedef struct
{
  BenchCase c;
  gdouble flops, bytes;
  gdouble ms;
  gdouble direct_ms, auto_ms;   /* of oneDNN alone, or NAN */
} BenchResult;

/* Measures, unless the device computes elsewhere. */
/* gflops: of a GPU, as its maker or a measurement says; 0: unknown */
void bench_machine_init (BenchMachine * machine, GradDevice * device, gint batch, gdouble gflops);

void bench_report_machine (const BenchMachine * machine);
void bench_report_case (const BenchMachine * machine, const BenchResult * result);
/* All convolutions of a training step: images/s if there were nothing else; silent when some were not measured */
void bench_report_convolutions (const BenchMachine * machine, GArray * results);
gboolean bench_report_json (const BenchMachine * machine, GArray * results, const gchar * location,
    GError ** error);

G_END_DECLS
