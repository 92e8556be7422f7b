/* GradStreamer: how well a network does on pictures whose labels are known
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/gradstreamer.h"

G_BEGIN_DECLS

/**
 * GradAnswer:
 * @index: number of the picture in its file
 * @truth: its label, or -1
 * @predicted: the class that the network takes it for
 * @probability: how probable that is
 */
typedef struct
{
  guint index;
  gint truth, predicted;
  gfloat probability;
} GradAnswer;

/**
 * GradEvaluation:
 * @n_classes: number of classes, 0 before the first batch
 * @counts: (n_classes, n_classes): pictures by label (row) and class that they were taken for (column)
 * @answers: (element-type GradAnswer): one for each picture, in the order in which they came
 * @labelled: pictures that have a label …
 * @right: … and those of them that were recognised
 * @loss: sum of -log p over them
 */
typedef struct
{
  guint n_classes;
  guint64 *counts;
  GArray *answers;
  guint64 labelled, right;
  gdouble loss;

  gboolean logits;
  guint64 source;               /* that is trained with; what others evaluate is not taken. 0: none is known */
  guint64 taken_from;           /* the source of what there is */
  guint epoch;
  GError *error;
} GradEvaluation;

/* Takes what flows through a pad: probabilities, or logits of a training, of which only what is evaluated, and each time anew. An
 * error is posted, a training's as a warning: then there is no evaluation. To be looked at when the pipeline is stopped. */
GradEvaluation *grad_evaluation_new (GstPad * pad, gboolean logits);
void grad_evaluation_free (GradEvaluation * evaluation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradEvaluation, grad_evaluation_free)

/* names: NULL-terminated, or NULL; made printable */
/* Accuracy, precision and recall of each class, and which one was taken for which. (transfer full) */
gchar *grad_evaluation_to_string (const GradEvaluation * evaluation, const gchar * const *names,
    guint width);
/* The first so many answers, one a line. (transfer full) */
gchar *grad_evaluation_list (const GradEvaluation * evaluation, const gchar * const *names,
    guint n);
/* The members of an object that is open */
void grad_evaluation_to_json (const GradEvaluation * evaluation, const gchar * const *names,
    GString * json);

/* The name of a class, or its number. (transfer full) */
gchar *grad_class_name (const gchar * const *names, gint label);

G_END_DECLS
