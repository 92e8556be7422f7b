/* GradStreamer: what an element that classifies tells about its results
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../data/gradclassification.h"

G_BEGIN_DECLS

/* Messages, latency and counts. All of it is guarded by the element's object lock, and may be called by any thread. */
typedef struct
{
  GstElement *element;          /* not owned */
  guint64 n_frames, n_results, n_skipped;
  GstClockTime latency;         /* that the pipeline knows */
  guint last_class;
  gint64 last_message;          /* monotonic time */
} GradReporter;

void grad_reporter_start (GradReporter * self, GstElement * element);

/* A frame has come; the number of those before it. */
guint64 grad_reporter_count_frame (GradReporter * self);
/* A frame was due, but there was no time for it. */
void grad_reporter_count_skipped (GradReporter * self);

/* There is a result: posts the message "grad-classification", at once if the class is another one, else a few times a second. */
void grad_reporter_post (GradReporter * self, GradClassification * result);

/* Frames wait that long: tells the pipeline when that is clearly longer than it knows. */
void grad_reporter_set_latency (GradReporter * self, GstClockTime latency);
GstClockTime grad_reporter_get_latency (GradReporter * self);

/* "grad-classify-stats": frames, results, skipped; (transfer full) */
GstStructure *grad_reporter_get_stats (GradReporter * self);

G_END_DECLS
