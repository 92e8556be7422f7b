/* GradStreamer: a panel with labels and probability bars
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../data/gradclassification.h"

#include <gst/video/video.h>

G_BEGIN_DECLS

/**
 * GradLabelsStyle: (skip)
 * @font_family: as Pango knows it
 * @scale: 1 for a size that suits the height of the frame
 * @max_results: rows at most
 */
typedef struct
{
  gchar *font_family;
  gdouble scale;
  guint max_results;
} GradLabelsStyle;

/* Draws the results, and below them a line of small text if it is not NULL, for a frame of that size: premultiplied BGRA pixels with a
 * #GstVideoMeta; (transfer full). */
GstBuffer *grad_labels_draw (const GradClassification * classification, const gchar * note,
    const GradLabelsStyle * style, gint frame_width, gint frame_height, gint * width,
    gint * height);

G_END_DECLS
