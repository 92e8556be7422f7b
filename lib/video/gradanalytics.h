/* GradStreamer: results as GStreamer's own analytics metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../data/gradclassification.h"

#include <gst/video/video.h>

G_BEGIN_DECLS

/* Attaches what newer versions of GStreamer have for it to a writable frame: from 1.24 on GstAnalytics' classification, related to a
 * detection of the whole frame, so that objectdetectionoverlay shows it; from 1.26 on all probabilities as a GstTensorMeta. */
void grad_analytics_attach (GstBuffer * frame, const GstVideoInfo * info,
    const GradClassification * classification);

G_END_DECLS
