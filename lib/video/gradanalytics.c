/* GradStreamer: results as GStreamer's own analytics metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "gradanalytics.h"

#ifdef HAVE_ANALYTICS
#include <gst/analytics/analytics.h>

static void
add_classes (GstBuffer * frame, const GstVideoInfo * info, const GradClassification * c)
{
  guint n = grad_classification_get_n_results (c);
  GstAnalyticsRelationMeta *meta = gst_buffer_add_analytics_relation_meta (frame);
  g_autofree gfloat *probabilities = g_new (gfloat, n);
  g_autofree GQuark *labels = g_new (GQuark, n);
  GstAnalyticsClsMtd classes;
  GstAnalyticsODMtd whole;

  for (guint rank = 0; rank < n; rank++) {
    labels[rank] = g_quark_from_string (grad_classification_get_label (c, rank));
    probabilities[rank] = grad_classification_get_probability (c, rank);
  }
  if (gst_analytics_relation_meta_add_cls_mtd (meta, n, probabilities, labels, &classes)
      && gst_analytics_relation_meta_add_od_mtd (meta, labels[0], 0, 0,
          GST_VIDEO_INFO_WIDTH (info), GST_VIDEO_INFO_HEIGHT (info), probabilities[0], &whole))
    gst_analytics_relation_meta_set_relation (meta, GST_ANALYTICS_REL_TYPE_RELATE_TO, whole.id,
        classes.id);
}

#ifdef HAVE_TENSOR_META
static void
add_tensor (GstBuffer * frame, const GradClassification * c)
{
  guint n;
  const gfloat *all = grad_classification_get_probabilities (c, &n);
  GstTensor **tensors = g_new (GstTensor *, 1);

  tensors[0] = gst_tensor_new_simple
      (g_quark_from_static_string ("classification-generic-softmaxed-out"),
      GST_TENSOR_DATA_TYPE_FLOAT32, gst_buffer_new_memdup (all, n * sizeof *all),
      GST_TENSOR_DIM_ORDER_ROW_MAJOR, 2, (gsize[]) { 1, n });
  gst_tensor_meta_set (gst_buffer_add_tensor_meta (frame), 1, tensors);
}
#endif

void
grad_analytics_attach (GstBuffer * frame, const GstVideoInfo * info,
    const GradClassification * classification)
{
  if (grad_classification_get_n_results (classification) > 0)
    add_classes (frame, info, classification);
#ifdef HAVE_TENSOR_META
  add_tensor (frame, classification);
#endif
}
#else
void
grad_analytics_attach (GstBuffer * frame, const GstVideoInfo * info,
    const GradClassification * classification)
{
}
#endif
