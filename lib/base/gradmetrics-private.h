/* GradStreamer: what a training run tells about itself: messages, JSON lines, progress
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradlog-private.h"
#include "../autograd/gradhistory-private.h"
#include "../autograd/gradsamplemeta.h"

G_BEGIN_DECLS

/* Of which step a batch is. One that others of the same step follow is told together with them. */
typedef struct
{
  guint64 number;
  guint batch;                  /* from 1, in the step */
  gboolean open;                /* others follow */
  gdouble learning_rate;
  GradMeasured *measured;       /* NULL: nothing is known of its gradient */
} GradMetricsStep;

/* as far as it has come */
typedef struct
{
  gboolean active;
  GradPhase phase;
  guint epoch;
  guint64 samples, correct;
  gdouble loss_sum;
  gint64 start;                 /* microseconds */
} GradMetricsPass;

/* A batch whose result the device may still be computing */
typedef struct
{
  GradPhase phase;
  guint epoch, epochs, batch, batches, n_samples;
  gboolean last, beside;
  GradMetricsStep step;         /* owns what was measured */
  GradTensor *result;           /* owned */
  gdouble loss_sum;             /* these two when it has been read */
  guint correct;
} GradMetricsBatch;

typedef struct
{
  GstElement *element;          /* who posts; not owned */
  GradLog log;                  /* to be opened when it has started; closed when it stops */
  guint interval;               /* batches that wait from one look at results to the next, 0: by time */
  gboolean progress;            /* post progress messages, too */
  GradHistory *history;         /* kept for who draws it; not owned, NULL without */

  /* the data set, from its event */
  guint train_samples, test_samples, train_batches, epochs;

  GradMetricsPass pass;
  GradMetricsPass beside;       /* of other sources than that which says what the training is */
  gint64 epoch_start;           /* microseconds */

  /* the run */
  gint64 run_start, last_batch, last_message, last_progress, last_look;
  gdouble samples_done;         /* in this run; evaluated ones count as a third */
  gdouble samples_skipped;      /* in an earlier one that this one goes on with */
  gdouble seconds_skipped;      /* of the epoch */
  gdouble test_accuracy;        /* of the last pass over the test set, below 0 without */
  gboolean started, resumed;    /* the latter until the first batch */
  guint64 open_samples, open_correct;   /* of a step that is not over */
  gdouble open_loss;
  GArray *pending;              /* GradMetricsBatch */

  /* of the last step that was told, element's object lock; NaN before the first */
  struct
  {
    gdouble loss, accuracy, learning_rate, gradient_norm, images_per_second;
  } latest;
} GradMetrics;

/* The struct is the caller's. Progress is for elements that get their first batch in PLAYING: one that begins
 * earlier makes gst-launch-1.0 wait for its end. */
GRAD_API void grad_metrics_start (GradMetrics * metrics, GstElement * element, guint interval,
    gboolean progress);
void grad_metrics_resume (GradMetrics * metrics, const GradCheckpoint * from);
/* Waits for the results of all batches. */
void grad_metrics_sync (GradMetrics * metrics);
/* Whatever has been measured by now was beside. */
void grad_metrics_set_beside (GradMetrics * metrics);
void grad_metrics_set_dataset (GradMetrics * metrics, const GstStructure * dataset);
/* beside: it is of another source than that which is trained with, and measured apart. */
GRAD_API void grad_metrics_batch (GradMetrics * metrics, const GradSampleMeta * sample,
    const GradLossMeta * loss, const GradMetricsStep * step, gboolean beside);
GRAD_API void grad_metrics_stop (GradMetrics * metrics, gboolean complete);

G_END_DECLS
