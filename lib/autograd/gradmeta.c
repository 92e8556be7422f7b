/* GradStreamer: sample, loss and tape metas
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradsamplemeta.h"
#include "gradtapemeta-private.h"

/* ---- sample meta: untagged, copied by every transform */

GType
grad_sample_meta_api_get_type (void)
{
  static GType type = 0;
  static const gchar *tags[] = { NULL };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, gst_meta_api_type_register ("GradSampleMetaAPI", tags));
  return type;
}

static gboolean
sample_meta_init (GstMeta * meta, gpointer params, GstBuffer * buffer)
{
  GradSampleMeta *self = (GradSampleMeta *) meta;
  GstMeta parent = self->meta;

  *self = (GradSampleMeta) {.meta = parent };
  return TRUE;
}

static void
sample_meta_free (GstMeta * meta, GstBuffer * buffer)
{
  GradSampleMeta *self = (GradSampleMeta *) meta;

  g_clear_pointer (&self->labels, g_bytes_unref);
  g_clear_pointer (&self->indices, g_bytes_unref);
}

static gboolean
sample_meta_transform (GstBuffer * to, GstMeta * meta, GstBuffer * from, GQuark type,
    gpointer data)
{
  GradSampleMeta *self = (GradSampleMeta *) meta, *copy = grad_buffer_get_sample_meta (to);
  GstMeta parent;

  if (copy == NULL)
    copy = grad_buffer_add_sample_meta (to);
  else
    sample_meta_free ((GstMeta *) copy, to);
  parent = copy->meta;
  *copy = *self;
  copy->meta = parent;
  if (copy->labels)
    g_bytes_ref (copy->labels);
  if (copy->indices)
    g_bytes_ref (copy->indices);
  return TRUE;
}

static const GstMetaInfo *
sample_meta_info (void)
{
  static const GstMetaInfo *info = NULL;

  if (g_once_init_enter (&info))
    g_once_init_leave (&info, gst_meta_register (GRAD_SAMPLE_META_API_TYPE, "GradSampleMeta",
            sizeof (GradSampleMeta), sample_meta_init, sample_meta_free, sample_meta_transform));
  return info;
}

/**
 * grad_buffer_add_sample_meta: (skip)
 * @buffer: a writable buffer
 *
 * Returns: (transfer none): a new, empty sample meta
 */
GradSampleMeta *
grad_buffer_add_sample_meta (GstBuffer * buffer)
{
  return (GradSampleMeta *) gst_buffer_add_meta (buffer, sample_meta_info (), NULL);
}

/**
 * grad_buffer_get_sample_meta: (skip)
 * @buffer: a buffer
 *
 * Returns: (transfer none) (nullable): its sample meta
 */
GradSampleMeta *
grad_buffer_get_sample_meta (GstBuffer * buffer)
{
  return (GradSampleMeta *) gst_buffer_get_meta (buffer, GRAD_SAMPLE_META_API_TYPE);
}

static GBytes *
select_value (GBytes * values, guint n, guint i)
{
  gsize size = sizeof (gint32);

  return values && g_bytes_get_size (values) == n * size
      ? g_bytes_new_from_bytes (values, i * size, size) : NULL;
}

/**
 * grad_sample_meta_select: (skip)
 * @meta: a sample meta
 * @i: number of a sample in its batch
 *
 * Makes it that of this sample alone, for inference: what is left are its label and its numbers.
 */
void
grad_sample_meta_select (GradSampleMeta * meta, guint i)
{
  GradSampleMeta one = {.meta = meta->meta,.index = meta->index + i,.n_samples = 1 };

  if (i < meta->n_samples) {
    one.labels = select_value (meta->labels, meta->n_samples, i);
    one.indices = select_value (meta->indices, meta->n_samples, i);
  }
  sample_meta_free ((GstMeta *) meta, NULL);
  *meta = one;
}

/* a b, if both are known */
static GBytes *
join (GBytes * a, GBytes * b)
{
  GByteArray *both = a && b ? g_bytes_unref_to_array (a) : NULL;

  if (both == NULL) {
    g_clear_pointer (&a, g_bytes_unref);
    return NULL;
  }
  g_byte_array_append (both, g_bytes_get_data (b, NULL), g_bytes_get_size (b));
  return g_byte_array_free_to_bytes (both);
}

/**
 * grad_sample_meta_append: (skip)
 * @meta: what a batch consists of
 * @more: what is put behind it
 *
 * Makes @meta that of the whole: for inference if they are for different things, with labels if both have some.
 */
void
grad_sample_meta_append (GradSampleMeta * meta, const GradSampleMeta * more)
{
  if (meta->phase != more->phase)
    meta->phase = GRAD_PHASE_INFER;
  meta->n_samples += more->n_samples;
  meta->last |= more->last;
  meta->labels = join (meta->labels, more->labels);
  meta->indices = join (meta->indices, more->indices);
}

/**
 * grad_sample_meta_new_source:
 *
 * Returns: an id for a source of samples that no other source in this process has
 */
guint64
grad_sample_meta_new_source (void)
{
  static gint last = 0;

  return (guint64) g_atomic_int_add (&last, 1) + 1;
}

/* ---- loss meta: untagged, copied by every transform */

GType
grad_loss_meta_api_get_type (void)
{
  static GType type = 0;
  static const gchar *tags[] = { NULL };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, gst_meta_api_type_register ("GradLossMetaAPI", tags));
  return type;
}

static gboolean
loss_meta_init (GstMeta * meta, gpointer params, GstBuffer * buffer)
{
  GradLossMeta *self = (GradLossMeta *) meta;

  self->result = NULL;
  self->n_samples = 0;
  return TRUE;
}

static void
loss_meta_free (GstMeta * meta, GstBuffer * buffer)
{
  g_clear_pointer (&((GradLossMeta *) meta)->result, grad_tensor_unref);
}

static gboolean
loss_meta_transform (GstBuffer * to, GstMeta * meta, GstBuffer * from, GQuark type, gpointer data)
{
  GradLossMeta *self = (GradLossMeta *) meta, *copy = grad_buffer_add_loss_meta (to);

  copy->result = self->result ? grad_tensor_ref (self->result) : NULL;
  copy->n_samples = self->n_samples;
  return TRUE;
}

static const GstMetaInfo *
loss_meta_info (void)
{
  static const GstMetaInfo *info = NULL;

  if (g_once_init_enter (&info))
    g_once_init_leave (&info, gst_meta_register (GRAD_LOSS_META_API_TYPE, "GradLossMeta",
            sizeof (GradLossMeta), loss_meta_init, loss_meta_free,
            loss_meta_transform));
  return info;
}

/**
 * grad_buffer_add_loss_meta: (skip)
 * @buffer: a writable buffer
 *
 * Returns: (transfer none): a new, empty loss meta
 */
GradLossMeta *
grad_buffer_add_loss_meta (GstBuffer * buffer)
{
  return (GradLossMeta *) gst_buffer_add_meta (buffer, loss_meta_info (), NULL);
}

/**
 * grad_buffer_get_loss_meta: (skip)
 * @buffer: a buffer
 *
 * Returns: (transfer none) (nullable): its loss meta
 */
GradLossMeta *
grad_buffer_get_loss_meta (GstBuffer * buffer)
{
  return (GradLossMeta *) gst_buffer_get_meta (buffer, GRAD_LOSS_META_API_TYPE);
}

/* ---- tape meta: goes with the memory */

typedef struct
{
  GstMeta meta;
  GradNode *node;
} GradTapeMeta;

static GType
tape_meta_api_get_type (void)
{
  static GType type = 0;
  static const gchar *tags[] = { GST_META_TAG_MEMORY_STR, NULL };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, gst_meta_api_type_register ("GradTapeMetaAPI", tags));
  return type;
}

static gboolean
tape_meta_init (GstMeta * meta, gpointer node, GstBuffer * buffer)
{
  ((GradTapeMeta *) meta)->node = grad_node_ref (node);
  return TRUE;
}

static void
tape_meta_free (GstMeta * meta, GstBuffer * buffer)
{
  grad_node_unref (((GradTapeMeta *) meta)->node);
}

/* Copies of the whole buffer keep the tape, regions and anything converted do not. */
static gboolean
tape_meta_transform (GstBuffer * to, GstMeta * meta, GstBuffer * from, GQuark type, gpointer data)
{
  if (!GST_META_TRANSFORM_IS_COPY (type) || ((GstMetaTransformCopy *) data)->region)
    return FALSE;
  grad_buffer_add_tape_meta (to, ((GradTapeMeta *) meta)->node);
  return TRUE;
}

void
grad_buffer_add_tape_meta (GstBuffer * buffer, GradNode * node)
{
  static const GstMetaInfo *info = NULL;

  if (g_once_init_enter (&info))
    g_once_init_leave (&info, gst_meta_register (tape_meta_api_get_type (), "GradTapeMeta",
            sizeof (GradTapeMeta), tape_meta_init, tape_meta_free, tape_meta_transform));
  gst_buffer_add_meta (buffer, info, node);
}

GradNode *
grad_buffer_get_node (GstBuffer * buffer)
{
  GradTapeMeta *meta =
      (GradTapeMeta *) gst_buffer_get_meta (buffer, tape_meta_api_get_type ());

  return meta ? meta->node : NULL;
}
