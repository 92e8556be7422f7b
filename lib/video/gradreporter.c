/* GradStreamer: what an element that classifies tells about its results
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradreporter.h"

/* Nobody may be reading the bus: while the class stays the same, messages are limited by time. */
#define MESSAGE_INTERVAL (50 * G_TIME_SPAN_MILLISECOND)

void
grad_reporter_start (GradReporter * self, GstElement * element)
{
  GST_OBJECT_LOCK (element);
  *self = (GradReporter) {.element = element,.last_class = G_MAXUINT };
  GST_OBJECT_UNLOCK (element);
}

guint64
grad_reporter_count_frame (GradReporter * self)
{
  guint64 n;

  GST_OBJECT_LOCK (self->element);
  n = self->n_frames++;
  GST_OBJECT_UNLOCK (self->element);
  return n;
}

void
grad_reporter_count_skipped (GradReporter * self)
{
  GST_OBJECT_LOCK (self->element);
  self->n_skipped++;
  GST_OBJECT_UNLOCK (self->element);
}

void
grad_reporter_post (GradReporter * self, GradClassification * result)
{
  gint64 now = g_get_monotonic_time ();
  guint class = grad_classification_get_n_results (result) > 0
      ? grad_classification_get_index (result, 0) : G_MAXUINT;
  gboolean post;

  GST_OBJECT_LOCK (self->element);
  self->n_results++;
  post = class != self->last_class || now - self->last_message >= MESSAGE_INTERVAL;
  if (post) {
    self->last_class = class;
    self->last_message = now;
  }
  GST_OBJECT_UNLOCK (self->element);
  if (post)
    gst_element_post_message (self->element, gst_message_new_element (GST_OBJECT (self->element),
            grad_classification_to_structure (result)));
}

void
grad_reporter_set_latency (GradReporter * self, GstClockTime latency)
{
  gboolean tell;

  GST_OBJECT_LOCK (self->element);
  tell = latency > self->latency;
  if (tell)
    self->latency = latency + latency / 4;
  GST_OBJECT_UNLOCK (self->element);
  if (tell)
    gst_element_post_message (self->element,
        gst_message_new_latency (GST_OBJECT (self->element)));
}

GstClockTime
grad_reporter_get_latency (GradReporter * self)
{
  GstClockTime latency;

  GST_OBJECT_LOCK (self->element);
  latency = self->latency;
  GST_OBJECT_UNLOCK (self->element);
  return latency;
}

GstStructure *
grad_reporter_get_stats (GradReporter * self)
{
  GstStructure *s;

  GST_OBJECT_LOCK (self->element);
  s = gst_structure_new ("grad-classify-stats", "frames", G_TYPE_UINT64, self->n_frames,
      "results", G_TYPE_UINT64, self->n_results, "skipped", G_TYPE_UINT64, self->n_skipped, NULL);
  GST_OBJECT_UNLOCK (self->element);
  return s;
}
