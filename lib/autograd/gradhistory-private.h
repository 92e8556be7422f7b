/* GradStreamer: the course of a training, for whoever draws it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../gradtypes.h"

G_BEGIN_DECLS

/* One training step, or the means of several in a row; what is not known is NaN. */
typedef struct
{
  guint64 step;                 /* of the run; the last of them */
  guint epoch, n;               /* n steps */
  gdouble loss, accuracy, learning_rate;
} GradHistoryStep;

/* A whole pass over the training or the test set */
typedef struct
{
  guint64 step;                 /* that it ended after */
  guint epoch;
  gboolean test;
  gdouble loss, accuracy;
} GradHistoryPass;

typedef struct
{
  GArray *steps;                /* GradHistoryStep */
  GArray *passes;               /* GradHistoryPass */

  /* of one that a training adds to */
  GMutex lock;                  /* guards all */
  GCond ended;
  gboolean running;
  guint64 n_changes;
  guint stride;                 /* steps in a point, more in a longer run */
} GradHistory;

GRAD_API GradHistory *grad_history_new (void);
GRAD_API void grad_history_free (GradHistory * history);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradHistory, grad_history_free)

/* The log of a training. A last line that was cut off is left out; what is no log is GRAD_ERROR_FILE, what cannot be read
 * GRAD_ERROR_IO. */
GRAD_API GradHistory *grad_history_read (const gchar * location, GError ** error);
/* Adds what the log has. */
gboolean grad_history_load (GradHistory * history, const gchar * location, GError ** error);

/* Of a network: how its training goes; (transfer none). */
GRAD_API GradHistory *grad_network_get_history (GradNetwork * network);

/* Of the training: forgets what was; adds; says that no more will come. */
GRAD_API void grad_history_begin (GradHistory * history);
GRAD_API void grad_history_add_step (GradHistory * history, const GradHistoryStep * step);
GRAD_API void grad_history_add_pass (GradHistory * history, guint epoch, gboolean test,
    gdouble loss, gdouble accuracy);
GRAD_API void grad_history_end (GradHistory * history);

/* Of who looks, in any thread. What there is, if it has changed since n_changes, else NULL. */
GRAD_API GradHistory *grad_history_copy (GradHistory * history, guint64 * n_changes);
GRAD_API gboolean grad_history_is_running (GradHistory * history);
/* Waits until then (monotonic time), or until the training has ended. flushing is a flag of the caller's, changed by
 * grad_history_set_flushing() only. FALSE when it has become TRUE. */
GRAD_API gboolean grad_history_wait (GradHistory * history, gint64 until,
    const gboolean * flushing, gboolean * running);
GRAD_API void grad_history_set_flushing (GradHistory * history, gboolean * flushing,
    gboolean value);

G_END_DECLS
