/* GradStreamer: what a network says about a frame
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradclassification.h"

typedef struct
{
  guint index;
  gfloat probability;
  gchar *label;
} Result;

struct _GradClassification
{
  GstClockTime pts, latency;
  guint64 version;
  guint n_classes;
  gfloat *probabilities;        /* of each class */
  guint n;
  Result results[];
};

G_DEFINE_BOXED_TYPE (GradClassification, grad_classification, grad_classification_ref,
    grad_classification_unref);

/* Keeps the largest ones in order; of equal ones the first class comes first. */
static void
insert (GradClassification * self, guint top_k, guint index, gfloat probability)
{
  guint rank = self->n;

  while (rank > 0 && self->results[rank - 1].probability < probability)
    rank--;
  if (rank >= top_k)
    return;
  if (self->n < top_k)
    self->n++;
  for (guint i = self->n - 1; i > rank; i--)
    self->results[i] = self->results[i - 1];
  self->results[rank] = (Result) { index, probability, NULL };
}

/**
 * grad_classification_new:
 * @probabilities: (array length=n_classes): of each class
 * @n_classes: number of classes
 * @class_names: (nullable) (array zero-terminated=1): their names; where there are too few, labels are numbers
 * @top_k: how many to keep at most
 * @threshold: smallest probability to keep
 * @pts: timestamp of the frame that was looked at, or %GST_CLOCK_TIME_NONE
 * @latency: how long it took, in ns, or %GST_CLOCK_TIME_NONE
 * @version: of the weights: updates that they have had
 *
 * Returns: (transfer full): the most probable classes
 */
GradClassification *
grad_classification_new (const gfloat * probabilities, guint n_classes,
    const gchar * const *class_names, guint top_k, gfloat threshold, GstClockTime pts,
    GstClockTime latency, guint64 version)
{
  guint n_names = class_names ? g_strv_length ((gchar **) class_names) : 0;
  GradClassification *self;

  top_k = MIN (top_k, n_classes);
  self = g_atomic_rc_box_alloc0 (sizeof *self + top_k * sizeof (Result));
  self->pts = pts;
  self->latency = latency;
  self->version = version;
  self->n_classes = n_classes;
  self->probabilities = g_memdup2 (probabilities, n_classes * sizeof *probabilities);
  for (guint i = 0; i < n_classes; i++)
    if (probabilities[i] >= threshold)
      insert (self, top_k, i, probabilities[i]);
  for (guint rank = 0; rank < self->n; rank++) {
    Result *r = &self->results[rank];

    r->label = r->index < n_names ? g_utf8_make_valid (class_names[r->index], -1)
        : g_strdup_printf ("%u", r->index);
  }
  return self;
}

/**
 * grad_classification_ref:
 * @classification: a classification
 *
 * Returns: (transfer full): @classification
 */
GradClassification *
grad_classification_ref (GradClassification * classification)
{
  return g_atomic_rc_box_acquire (classification);
}

static void
clear (gpointer classification)
{
  GradClassification *self = classification;

  for (guint rank = 0; rank < self->n; rank++)
    g_free (self->results[rank].label);
  g_free (self->probabilities);
}

/**
 * grad_classification_unref:
 * @classification: (transfer full): a classification
 */
void
grad_classification_unref (GradClassification * classification)
{
  g_atomic_rc_box_release_full (classification, clear);
}

/**
 * grad_classification_get_n_results:
 * @classification: a classification
 *
 * Returns: number of classes that were probable enough, 0 possibly
 */
guint
grad_classification_get_n_results (const GradClassification * classification)
{
  return classification->n;
}

/**
 * grad_classification_get_index:
 * @classification: a classification
 * @rank: 0 for the most probable class, less than grad_classification_get_n_results()
 *
 * Returns: the number of the class
 */
guint
grad_classification_get_index (const GradClassification * classification, guint rank)
{
  g_return_val_if_fail (rank < classification->n, 0);
  return classification->results[rank].index;
}

/**
 * grad_classification_get_label:
 * @classification: a classification
 * @rank: 0 for the most probable class, less than grad_classification_get_n_results()
 *
 * Returns: (transfer none): the name of the class, or its number where it has no name
 */
const gchar *
grad_classification_get_label (const GradClassification * classification, guint rank)
{
  g_return_val_if_fail (rank < classification->n, NULL);
  return classification->results[rank].label;
}

/**
 * grad_classification_get_probability:
 * @classification: a classification
 * @rank: 0 for the most probable class, less than grad_classification_get_n_results()
 *
 * Returns: the probability of the class, 0 to 1
 */
gfloat
grad_classification_get_probability (const GradClassification * classification, guint rank)
{
  g_return_val_if_fail (rank < classification->n, 0);
  return classification->results[rank].probability;
}

/**
 * grad_classification_get_probabilities:
 * @classification: a classification
 * @n_classes: (out): number of classes
 *
 * Returns: (transfer none) (array length=n_classes): the probability of every class, in the order of the network
 */
const gfloat *
grad_classification_get_probabilities (const GradClassification * classification,
    guint * n_classes)
{
  *n_classes = classification->n_classes;
  return classification->probabilities;
}

/**
 * grad_classification_get_pts:
 * @classification: a classification
 *
 * Returns: timestamp of the frame that was looked at, or %GST_CLOCK_TIME_NONE
 */
GstClockTime
grad_classification_get_pts (const GradClassification * classification)
{
  return classification->pts;
}

/**
 * grad_classification_get_latency:
 * @classification: a classification
 *
 * Returns: how long it took from frame to result, in ns, or %GST_CLOCK_TIME_NONE
 */
GstClockTime
grad_classification_get_latency (const GradClassification * classification)
{
  return classification->latency;
}

/**
 * grad_classification_get_version:
 * @classification: a classification
 *
 * Returns: how many updates the weights had had
 */
guint64
grad_classification_get_version (const GradClassification * classification)
{
  return classification->version;
}

/**
 * grad_classification_to_structure:
 * @classification: a classification
 *
 * Returns: (transfer full): "grad-classification" with pts and latency (ns) and version (all guint64); of the most probable class, if there is
 *   one, label (string), class (uint), probability (double); and of all, the most probable one first, labels, classes and
 *   probabilities (arrays of these); what element messages carry
 */
GstStructure *
grad_classification_to_structure (const GradClassification * classification)
{
  GstStructure *s = gst_structure_new ("grad-classification",
      "pts", G_TYPE_UINT64, classification->pts, "latency", G_TYPE_UINT64, classification->latency,
      "version", G_TYPE_UINT64, classification->version, NULL);
  g_auto (GValue) labels = G_VALUE_INIT, classes = G_VALUE_INIT, probabilities = G_VALUE_INIT;
  GValue item = G_VALUE_INIT;

  if (classification->n > 0)
    gst_structure_set (s, "label", G_TYPE_STRING, classification->results[0].label,
        "class", G_TYPE_UINT, classification->results[0].index,
        "probability", G_TYPE_DOUBLE, (gdouble) classification->results[0].probability, NULL);
  gst_value_array_init (&labels, classification->n);
  gst_value_array_init (&classes, classification->n);
  gst_value_array_init (&probabilities, classification->n);
  for (guint rank = 0; rank < classification->n; rank++) {
    const Result *r = &classification->results[rank];

    g_value_init (&item, G_TYPE_STRING);
    g_value_set_string (&item, r->label);
    gst_value_array_append_and_take_value (&labels, &item);
    g_value_init (&item, G_TYPE_UINT);
    g_value_set_uint (&item, r->index);
    gst_value_array_append_and_take_value (&classes, &item);
    g_value_init (&item, G_TYPE_DOUBLE);
    g_value_set_double (&item, r->probability);
    gst_value_array_append_and_take_value (&probabilities, &item);
  }
  gst_structure_set_value (s, "labels", &labels);
  gst_structure_set_value (s, "classes", &classes);
  gst_structure_set_value (s, "probabilities", &probabilities);
  return s;
}

/* ---- the meta: untagged, copied by every transform */

GType
grad_classification_meta_api_get_type (void)
{
  static GType type = 0;
  static const gchar *tags[] = { NULL };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, gst_meta_api_type_register ("GradClassificationMetaAPI", tags));
  return type;
}

static gboolean
meta_init (GstMeta * meta, gpointer classification, GstBuffer * buffer)
{
  ((GradClassificationMeta *) meta)->classification = grad_classification_ref (classification);
  return TRUE;
}

static void
meta_free (GstMeta * meta, GstBuffer * buffer)
{
  grad_classification_unref (((GradClassificationMeta *) meta)->classification);
}

static gboolean
meta_transform (GstBuffer * to, GstMeta * meta, GstBuffer * from, GQuark type, gpointer data)
{
  grad_buffer_add_classification_meta (to, ((GradClassificationMeta *) meta)->classification);
  return TRUE;
}

/**
 * grad_buffer_add_classification_meta:
 * @buffer: a writable buffer
 * @classification: what was found in it
 *
 * Attaches a classification, or replaces the one that is there.
 *
 * Returns: (transfer none): the meta
 */
GradClassificationMeta *
grad_buffer_add_classification_meta (GstBuffer * buffer, GradClassification * classification)
{
  static const GstMetaInfo *info = NULL;
  GradClassificationMeta *meta = (GradClassificationMeta *) gst_buffer_get_meta (buffer,
      GRAD_CLASSIFICATION_META_API_TYPE);

  if (g_once_init_enter (&info))
    g_once_init_leave (&info, gst_meta_register (GRAD_CLASSIFICATION_META_API_TYPE,
            "GradClassificationMeta", sizeof (GradClassificationMeta), meta_init, meta_free,
            meta_transform));
  if (meta == NULL)
    return (GradClassificationMeta *) gst_buffer_add_meta (buffer, info, classification);
  grad_classification_ref (classification);
  grad_classification_unref (meta->classification);
  meta->classification = classification;
  return meta;
}

/**
 * grad_buffer_get_classification:
 * @buffer: a buffer
 *
 * Returns: (transfer none) (nullable): the classification that it carries
 */
GradClassification *
grad_buffer_get_classification (GstBuffer * buffer)
{
  GradClassificationMeta *meta = (GradClassificationMeta *) gst_buffer_get_meta (buffer,
      GRAD_CLASSIFICATION_META_API_TYPE);

  return meta ? meta->classification : NULL;
}
