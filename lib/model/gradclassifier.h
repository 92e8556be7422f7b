/* GradStreamer: a network that classifies, without a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../autograd/gradnetwork.h"
#include "gradmodel.h"
#include "../device/graddevice.h"

G_BEGIN_DECLS

#define GRAD_TYPE_CLASSIFIER (grad_classifier_get_type ())
GRAD_API G_DECLARE_FINAL_TYPE (GradClassifier, grad_classifier, GRAD, CLASSIFIER, GObject)

GRAD_API GradClassifier *grad_classifier_get (GradModel * model, GradDevice * device,
    GError ** error);
GRAD_API GradClassifier *grad_classifier_new_live (GradNetwork * network, GradDevice * device,
    GError ** error);
GRAD_API GradNetwork *grad_classifier_get_network (GradClassifier * classifier);
GRAD_API gboolean grad_classifier_refresh (GradClassifier * classifier, GError ** error);
GRAD_API GradModel *grad_classifier_get_model (GradClassifier * classifier);
GRAD_API guint grad_classifier_get_n_classes (GradClassifier * classifier);
GRAD_API guint64 grad_classifier_get_version (GradClassifier * classifier);
GRAD_API gboolean grad_classifier_run (GradClassifier * classifier, GradTensor * pictures,
    gfloat * probabilities, GError ** error);
GRAD_API GBytes *grad_classifier_run_bytes (GradClassifier * classifier, GradTensor * pictures, GError ** error);

GRAD_API void grad_softmax (const gfloat * logits, gsize n, gsize k, gfloat * probabilities);

G_END_DECLS
