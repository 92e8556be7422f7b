/* GradStreamer: how far a training has come
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../autograd/gradnetwork.h"
#include "../model/gradsafetensors.h"

G_BEGIN_DECLS

/* What a model file says so that its training can go on as if it had never stopped, beside weights, statistics and
 * moments. Everything random follows from the seed, the epoch and the sample, so that there is no other state of it. */
typedef struct
{
  guint64 step, start;          /* updates, and how many there were when it began, from which schedules count */
  GradPosition position;
  /* the pass that is not over, as far as it has been measured */
  guint64 pass_samples, pass_correct;
  gdouble pass_loss, pass_seconds;
  gdouble best_accuracy;        /* on the test set, below 0 without */
  /* what must be the same again */
  guint64 seed;
  guint batch_size, train_samples, test_samples, shuffle;
} GradCheckpoint;

#define GRAD_CHECKPOINT_START { .position = { .epoch = 1 }, .best_accuracy = -1 }

/* Adds to the metadata of a model file. */
void grad_checkpoint_describe (const GradCheckpoint * self, GHashTable * metadata);
/* FALSE with GRAD_ERROR_FILE when it says nothing of the kind, or nonsense. */
gboolean grad_checkpoint_read (GradCheckpoint * self, GradSafetensors * file,
    const gchar * location, GError ** error);
/* Whether the source has the same data; FALSE with GRAD_ERROR_SETTINGS. dataset: see GRAD_DATASET_EVENT. */
gboolean grad_checkpoint_check_dataset (const GradCheckpoint * self, const GstStructure * dataset,
    GError ** error);
/* Takes from the data set what will have to be the same. */
void grad_checkpoint_set_dataset (GradCheckpoint * self, const GstStructure * dataset);

G_END_DECLS
