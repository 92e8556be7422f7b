/* GradStreamer: what the runner prints while a network trains
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Made of the element messages of a pipeline, by the names of their structures:
 *   grad-device  name, precision (string), threads (uint)
 *   grad-step    phase ("train" or "evaluate"), epoch, epochs, batch, batches (0: unknown),
 *                samples (uint), step (uint64), loss, accuracy, learning-rate, images-per-second,
 *                seconds-left (double, < 0: unknown)
 *   grad-epoch   phase ("train-epoch" or "evaluate"), epoch (uint), samples (uint64), loss,
 *                accuracy, seconds (double; of evaluate: since that epoch's training began)
 *   grad-saved   location (string), step (uint64)
 * A field that is missing is left out of the text. */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* Texts, without line end. */

/* "epoch 2/5 [=====>    ] 120/235 loss 0.2811 acc 0.897 182 img/s 0:41 left": at most columns wide;
 * what matters least goes first when it is too narrow */
gchar *grad_progress_bar (const GstStructure * step, guint columns);
/* "epoch 2/5, batch 120/235, loss 0.2811, acc 0.897, 182 img/s, 0:41 left" */
gchar *grad_progress_line (const GstStructure * step);
/* "epoch 1, loss 0.3800, train acc 0.853, test acc 0.885, time 31.0 s"; either may be NULL */
gchar *grad_progress_epoch (const GstStructure * train, const GstStructure * evaluate);
/* "computing on cpu, f32, 2 threads" */
gchar *grad_progress_device (const GstStructure * device);
/* "saved model.safetensors (step 1175)" */
gchar *grad_progress_saved (const GstStructure * saved);

/* The printer: results go to standard output, progress to standard error. */
typedef struct _GradProgress GradProgress;

/* terminal: draw a bar on one line, else print a line now and then; quiet: results only */
GradProgress *grad_progress_new (gboolean terminal, gboolean quiet);
/* now: monotonic time in microseconds; FALSE when the message is none of the above */
gboolean grad_progress_handle (GradProgress * progress, const GstStructure * message, gint64 now);
/* takes the bar away, so that something else can be printed */
void grad_progress_clear (GradProgress * progress);
/* prints an epoch that still waits for its evaluation */
void grad_progress_finish (GradProgress * progress);
void grad_progress_free (GradProgress * progress);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradProgress, grad_progress_free)

G_END_DECLS
