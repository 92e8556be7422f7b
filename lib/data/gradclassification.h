/* GradStreamer: what a network says about a frame
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../gradtypes.h"

G_BEGIN_DECLS

#define GRAD_TYPE_CLASSIFICATION (grad_classification_get_type ())
GRAD_API GType grad_classification_get_type (void);

/**
 * GradClassification:
 *
 * The most probable classes of one picture, the first one first, and where they come from. Immutable, reference-counted, and so
 * shared by all frames that carry it.
 */
typedef struct _GradClassification GradClassification;

GRAD_API GradClassification *grad_classification_new (const gfloat * probabilities, guint n_classes,
    const gchar * const *class_names, guint top_k, gfloat threshold, GstClockTime pts,
    GstClockTime latency, guint64 version);
GRAD_API GradClassification *grad_classification_ref (GradClassification * classification);
GRAD_API void grad_classification_unref (GradClassification * classification);

GRAD_API guint grad_classification_get_n_results (const GradClassification * classification);
GRAD_API guint grad_classification_get_index (const GradClassification * classification, guint rank);
GRAD_API const gchar *grad_classification_get_label (const GradClassification * classification,
    guint rank);
GRAD_API gfloat grad_classification_get_probability (const GradClassification * classification,
    guint rank);
GRAD_API const gfloat *grad_classification_get_probabilities (const GradClassification *
    classification, guint * n_classes);
GRAD_API GstClockTime grad_classification_get_pts (const GradClassification * classification);
GRAD_API GstClockTime grad_classification_get_latency (const GradClassification * classification);
GRAD_API guint64 grad_classification_get_version (const GradClassification * classification);
GRAD_API GstStructure *grad_classification_to_structure (const GradClassification * classification);

#define GRAD_CLASSIFICATION_META_API_TYPE (grad_classification_meta_api_get_type ())
GRAD_API GType grad_classification_meta_api_get_type (void);

/**
 * GradClassificationMeta:
 * @meta: parent
 * @classification: what was found; owned
 *
 * Attached by gradclassify to frames of video. Goes along with any copy or conversion of the frame.
 */
typedef struct
{
  GstMeta meta;

  GradClassification *classification;
} GradClassificationMeta;

GRAD_API GradClassificationMeta *grad_buffer_add_classification_meta (GstBuffer * buffer,
    GradClassification * classification);
GRAD_API GradClassification *grad_buffer_get_classification (GstBuffer * buffer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradClassification, grad_classification_unref)

G_END_DECLS
