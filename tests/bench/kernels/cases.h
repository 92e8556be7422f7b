/* GradStreamer benchmark of kernels: the cases
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  BENCH_CONV_FORWARD,
  BENCH_CONV_BACKWARD_DATA,
  BENCH_CONV_BACKWARD_WEIGHTS,
  BENCH_CONV_INFER,
  BENCH_NORM_FORWARD,
  BENCH_NORM_BACKWARD,
  BENCH_NORM_POOL_FORWARD,      /* with ReLU and max pooling, in one where the device can */
  BENCH_NORM_POOL_BACKWARD,
  BENCH_MAX_POOL_FORWARD,
  BENCH_MAX_POOL_BACKWARD,
  BENCH_GLOBAL_POOL_FORWARD,
  BENCH_GLOBAL_POOL_BACKWARD,
  BENCH_ADD,
  BENCH_RELU,
  BENCH_RELU_BACKWARD,
  BENCH_ZERO,
  BENCH_LINEAR_FORWARD,
  BENCH_LINEAR_BACKWARD_DATA,
  BENCH_LINEAR_BACKWARD_WEIGHTS,
  BENCH_LOSS,
  BENCH_ADAM,
  BENCH_RESIZE,
  BENCH_N_KINDS
} BenchKind;

/* One call of a kernel. What a kind has no use for is 0. */
typedef struct
{
  BenchKind kind;
  gint n, c, h, w;              /* what it reads: (N, C, H, W), (N, C) */
  gint k;                       /* channels or classes that come out, rows and columns of a resized picture */
  gint kernel, stride, padding;
  gboolean bias, add, relu;
  gint times;                   /* that the book's network calls it, in a training step or to infer a batch */
} BenchCase;

const gchar *bench_kind_name (BenchKind kind);

/* ResNet-18 for 96x96 pictures with a batch of so many, and odd shapes: (element-type BenchCase) */
GArray *bench_cases_new (gint batch);

/* "conv-forward 256x64x24x24 64 3x3/1 bias" */
gchar *bench_case_name (const BenchCase * c);

G_END_DECLS
