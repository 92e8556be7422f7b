/* GradStreamer benchmark of kernels: one call with its tensors
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cases.h"
#include "kernels/kernels.h"

G_BEGIN_DECLS

typedef struct
{
  GradDevice *device;           /* not owned */
  BenchCase c;
  GradPlan *plan, *pool;        /* the latter where a norm does not pool */
  GradTensor *x, *w, *b, *residual, *y, *dy, *dx, *dresidual, *dw, *db, *mean, *var, *workspace;
  GradTensor *unpooled;         /* and then its gradient */
  gint32 *labels;
  GArray *adam;                 /* of GradOptimTensor */
  GPtrArray *inputs, *outputs;  /* of all of the above: owned */
  gdouble flops;                /* of direct algorithms */
  gdouble bytes;                /* of storage, each tensor once: read, written or both */
} BenchCall;

/* Tensors are random, or hold what the same call on another device has. In the compute thread. */
BenchCall *bench_call_new (GradDevice * device, const BenchCase * c, const BenchCall * like,
    GError ** error);
void bench_call_free (BenchCall * call);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchCall, bench_call_free)

/* In the compute thread, like everything but resizing, which has no team of threads. */
gboolean bench_call_run (BenchCall * call, GError ** error);

/* What rounding may cost, of the largest value */
gdouble bench_call_tolerance (const BenchCall * call);

G_END_DECLS
