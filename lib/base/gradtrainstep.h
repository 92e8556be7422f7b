/* GradStreamer: one training step of a sink
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradmetrics-private.h"
#include "gradtrainsink.h"

G_BEGIN_DECLS

/* How to train: fields of the element, guarded by its object lock. */
typedef struct
{
  gdouble learning_rate;
  GradScheduleOptions schedule;
  gdouble clip_norm, ema;       /* 0: none */
  guint accumulate;             /* batches of a step */
} GradTrainOptions;

/* Installs them as properties of elements that have them there. */
void grad_train_options_install (GObjectClass * klass, guint offset);

typedef struct
{
  const GradTrainOptions *options;
  GradTrainSink *sink;          /* these are not owned */
  GradNetwork *network;
  GradInterruptFunc interrupted;        /* gets the sink */

  guint64 start;                /* updates before this training */
  guint n_batches;              /* of a step that is not over */
} GradTrainStep;

/* Trains with one batch, whose loss is at the root of the tape. Says of its step what has to be told; measured is
 * the network's. A step is over after accumulate batches, or with the last one of an epoch. FALSE: the step is given up. */
gboolean grad_train_step_batch (GradTrainStep * self, GradNode * root,
    const GradSampleMeta * sample, const GradLossMeta * loss, GradMetricsStep * told,
    GError ** error);
/* Gives up a step that is not over, and waits for what the device says of the last one that is. */
gboolean grad_train_step_finish (GradTrainStep * self, GError ** error);

G_END_DECLS
