/* GradStreamer: when a training is saved, and where it goes on
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradcheckpoint.h"
#include "gradmetrics-private.h"
#include "gradsavejob.h"
#include "../autograd/gradbus.h"

G_BEGIN_DECLS

/**
 * GradSave:
 * @GRAD_SAVE_LAST: the file is as new as possible: after each epoch, at intervals, at the end and when stopped
 * @GRAD_SAVE_BEST: only after the epoch with the best accuracy on the test set so far; without one as %GRAD_SAVE_LAST
 * @GRAD_SAVE_EVERY_EPOCH: as %GRAD_SAVE_LAST, and a file of its own for each epoch
 *
 * Which states of a network are kept.
 */
typedef enum
{
  GRAD_SAVE_LAST,
  GRAD_SAVE_BEST,
  GRAD_SAVE_EVERY_EPOCH
} GradSave;

#define GRAD_TYPE_SAVE (grad_save_get_type ())
GRAD_API GType grad_save_get_type (void);

/* How to save: fields of an element, guarded by its object lock. */
typedef struct
{
  gchar *location;              /* NULL or empty: not at all */
  GradSave save;
  gboolean resume;
  guint interval, steps;        /* seconds, updates; 0: none */
} GradSaverOptions;

typedef struct
{
  const GradSaverOptions *options;
  GstElement *element;          /* who posts; these are not owned */
  GradBus *bus;
  GradNetwork *network;
  GradMetrics *metrics;
  const gchar *optimizer;

  gboolean attached, played;    /* since then, to PAUSED */
  /* streaming thread */
  GradCheckpoint checkpoint;    /* of this moment */
  gboolean resumed;             /* it began with one from a file … */
  gboolean finished;            /* … of a training that had come to its end */
  gboolean refused;             /* … which was to go on */
  gchar *before;                /* device of the file, until it has been compared */
  GstStructure *dataset;
  gchar *fragment;
  GradSaveJob *job;             /* that writes the file, NULL: none does … */
  gdouble job_best;             /* … and the best accuracy with the state that it writes … */
  gdouble saved_best;           /* … and with the last that was written */
  gboolean lost;                /* one that was not written, since then */
  guint64 saved, tried;         /* updates in the file, and in that which may not have been written */
  gint64 last;                  /* when it was written or begun, monotonic time */
  guint n_batches;              /* since the start */
  gboolean trained;             /* one of them was trained with … */
  gboolean shared;              /* … and one of another source */
} GradSaver;

/* NULL to READY, and back: the file to resume from is read before there are any parameters. */
gboolean grad_saver_attach (GradSaver * self, GError ** error);
void grad_saver_detach (GradSaver * self);
/* READY to PAUSED; back with grad_saver_forget_dataset() */
gboolean grad_saver_start (GradSaver * self, GError ** error);

/* When it stops, or another source says what the training is */
void grad_saver_forget_dataset (GradSaver * self);
gboolean grad_saver_set_dataset (GradSaver * self, const GstStructure * dataset, GError ** error);
/* A batch has been counted, and trained with if it was one of phase train. Files are written while training goes on; one that
 * cannot be written is a warning. FALSE when the last step turns out to have failed. beside: of another source that trains, which moves no position */
gboolean grad_saver_batch (GradSaver * self, const GradSampleMeta * sample, gboolean beside,
    GstPad * sinkpad, GError ** error);
/* Saves what is not in the file yet. At the end of the last epoch, what the optimizer keeps is left out. eos: nothing
 * comes any more, from no source */
gboolean grad_saver_finish (GradSaver * self, gboolean eos, GError ** error);

G_END_DECLS
