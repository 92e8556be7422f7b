/* GradStreamer kernels: the op tables of a device, one per family
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Conventions of every table:
 *   - functions run in jobs of the device (grad_device_call()), except augment, gather, resize and video, which run in any thread;
 *   - tensors are allocated by the caller, on the device, in the device's layout for activations;
 *     parameters, their gradients and moments in its layout for parameters; statistics are plain;
 *   - activation gradients are assigned (=), parameter gradients are assigned or, with
 *     `accumulate`, added (+=);
 *   - results do not depend on the number of threads unless a comment says so;
 *   - FALSE means that `error` is set. */
#pragma once

#include "lib/device/graddevice-private.h"

G_BEGIN_DECLS

/* A plan is what a backend prepares once per shape: primitives, workspaces, chosen algorithms.
 * Each backend's plan struct starts with this one. */
typedef struct _GradPlan GradPlan;
struct _GradPlan
{
  GradDevice *device;           /* not owned: whoever keeps the plan keeps the device */
  void (*free) (GradPlan * plan);       /* NULL: g_free() */
};

static inline void
grad_plan_free (GradPlan * plan)
{
  if (plan != NULL && plan->free != NULL)
    plan->free (plan);
  else
    g_free (plan);
}

#include "conv/conv.h"
#include "norm/norm.h"
#include "pool/pool.h"
#include "linear/linear.h"
#include "loss/loss.h"
#include "optim/optim.h"
#include "resize/resize.h"
#include "elementwise/elementwise.h"
#include "video/video.h"
#include "augment/augment.h"
#include "gather/gather.h"

struct _GradKernels
{
  const GradConvOps *conv;
  const GradNormOps *norm;
  const GradPoolOps *pool;
  const GradLinearOps *linear;
  const GradLossOps *loss;
  const GradOptimOps *optim;
  const GradResizeOps *resize;
  const GradElementwiseOps *elementwise;
  const GradVideoOps *video;
  const GradAugmentOps *augment;
  const GradGatherOps *gather;  /* NULL where the host's memory is the device's */
};

G_END_DECLS
