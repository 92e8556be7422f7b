/* GradStreamer: sends batches of frames on a source pad, with what has to go in front of them, when they are due
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradframebatch.h"

G_BEGIN_DECLS

typedef struct
{
  GstPad *pad;
  GradModelInput input;
  guint size;                   /* of a full batch */
  GstClockTime timeout;         /* 0: none */

  GMutex lock;                  /* guards the following, and is held while something is pushed */
  GCond started;                /* a batch, or the end of waiting for one */
  GradFrameBatch *batch;        /* the open one; NULL: stopped */
  gint64 deadline;              /* of it, monotonic time */
  gboolean stopping;
  GstFlowReturn flow;           /* of the last batch that went because of its deadline */
  gboolean shared;              /* several streams: times are running times */
  gint fps_n, fps_d;            /* of frames, if there is one stream */
  guint announced;              /* batch size in the caps downstream; 0: new ones are due */
  gboolean timed;               /* whether the segment of running times was sent */
} GradBatchSender;

void grad_batch_sender_init (GradBatchSender * sender);
void grad_batch_sender_clear (GradBatchSender * sender);
/* input, size and timeout are set. */
void grad_batch_sender_start (GradBatchSender * sender, GradFrameReader * reader);
void grad_batch_sender_stop (GradBatchSender * sender);
/* Of the pad: with a timeout a task of it sends what is late. */
gboolean grad_batch_sender_activate (GradBatchSender * sender, gboolean active);

/* With the lock: */
/* segment: of the stream. A frame that the stream is not to show is left out. */
GstFlowReturn grad_batch_sender_add (GradBatchSender * sender, GstBuffer * frame,
    const GstVideoInfo * info, const gchar * pad, const GstSegment * segment, GError ** error);
/* Sends what there is of a batch. */
GstFlowReturn grad_batch_sender_finish (GradBatchSender * sender);
void grad_batch_sender_flush (GradBatchSender * sender);
/* Sends caps of batches of n frames, if others are downstream, and for several streams their segment. */
void grad_batch_sender_announce (GradBatchSender * sender, guint n);
/* There is more than one stream from now on. */
void grad_batch_sender_share (GradBatchSender * sender);

G_END_DECLS
