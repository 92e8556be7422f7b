/* GradStreamer: frames of video to classifications, while the video goes on
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../autograd/gradbus.h"
#include "../data/gradclassification.h"
#include "gradframereader.h"

G_BEGIN_DECLS

/**
 * GradFrameClassifierSettings: (skip)
 * @location: (nullable): model file; read again when it is replaced
 * @network: (nullable): network in training, looked at instead of a file
 * @refresh: shortest time between two looks at @network, in ns
 * @class_names: (nullable): what the classes are called, instead of what the model says
 * @region: which part of a frame counts
 * @top_k: results to keep at most
 * @threshold: smallest probability to keep
 * @smoothing: weight of what was seen before, 0 to below 1
 *
 * What to classify with, and how. Owns what it points to.
 */
typedef struct
{
  gchar *location;
  GradNetwork *network;
  GstClockTime refresh;
  GStrv class_names;
  GradRegion region;
  guint top_k;
  gdouble threshold, smoothing;
} GradFrameClassifierSettings;

void grad_frame_classifier_settings_copy (GradFrameClassifierSettings * to,
    const GradFrameClassifierSettings * from);
void grad_frame_classifier_settings_clear (GradFrameClassifierSettings * settings);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GradFrameClassifierSettings, grad_frame_classifier_settings_clear)

/* What its thread tells: a result, or a model that could not be read (NULL and an error). */
typedef void (*GradFrameClassifierFunc) (gpointer data, GradClassification * result,
    const GError * error);

typedef struct _GradFrameClassifier GradFrameClassifier;

GradFrameClassifier *grad_frame_classifier_new (GradDevice * device,
    const GradFrameClassifierSettings * settings, GradFrameClassifierFunc func, gpointer data,
    GError ** error);
void grad_frame_classifier_free (GradFrameClassifier * self);

/* Any time: the model is read again, by the thread, if it is another one. */
void grad_frame_classifier_configure (GradFrameClassifier * self,
    const GradFrameClassifierSettings * settings);

/* Classifies a frame here and now. *result: %NULL when there is nothing to classify with yet. */
gboolean grad_frame_classifier_run (GradFrameClassifier * self, GstBuffer * frame,
    const GstVideoInfo * info, GradClassification ** result, GError ** error);

/* Has the thread classify a frame; one that waits already is forgotten. Whether one was. */
gboolean grad_frame_classifier_submit (GradFrameClassifier * self, GstBuffer * frame,
    const GstVideoInfo * info);

/* The newest result, or %NULL; (transfer full) */
GradClassification *grad_frame_classifier_get_latest (GradFrameClassifier * self);

/* Forgets frames and results, also of a frame that is being looked at. */
void grad_frame_classifier_flush (GradFrameClassifier * self);

G_END_DECLS
