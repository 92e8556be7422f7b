/* GradStreamer: how well a network does on pictures whose labels are known: collecting it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradevaluation.h"

#include <math.h>

#define MAX_CLASSES 4096        /* of which pairs are counted */

/* n 32-bit numbers, or NULL */
static gconstpointer
get_numbers (GBytes * bytes, gint n)
{
  gsize size;
  gconstpointer data = bytes ? g_bytes_get_data (bytes, &size) : NULL;

  return data != NULL && size >= n * sizeof (gint32) ? data : NULL;
}

static void
forget (GradEvaluation * self)
{
  g_array_set_size (self->answers, 0);
  g_clear_pointer (&self->counts, g_free);
  self->n_classes = 0;
  self->labelled = self->right = 0;
  self->loss = 0;
}

/* One picture: its values (K), probabilities by now */
static gboolean
add (GradEvaluation * self, guint index, gint truth, const gfloat * values, GError ** error)
{
  GradAnswer answer = { index, truth, 0, 0 };

  for (guint k = 0; k < self->n_classes; k++)
    if (k == 0 || values[k] > answer.probability) {
      answer.predicted = k;
      answer.probability = values[k];
    }
  if (truth >= (gint) self->n_classes) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "picture %u has the label %d, but the network "
        "knows the classes 0 to %u only: these labels are of another data set", index, truth,
        self->n_classes - 1);
    return FALSE;
  }
  g_array_append_val (self->answers, answer);
  if (truth >= 0) {
    self->counts[truth * self->n_classes + answer.predicted]++;
    self->labelled++;
    self->right += truth == answer.predicted;
    self->loss -= log (MAX (values[truth], G_MINFLOAT));
  }
  return TRUE;
}

/* values: (N, K) */
static gboolean
add_batch (GradEvaluation * self, const GradSampleMeta * meta, gint n, gint k,
    const gfloat * values, GError ** error)
{
  const guint32 *indices = meta ? get_numbers (meta->indices, n) : NULL;
  const gint32 *labels = meta ? get_numbers (meta->labels, n) : NULL;
  g_autofree gfloat *probabilities = NULL;

  if (meta != NULL && meta->epoch != self->epoch)
    forget (self);
  self->epoch = meta ? meta->epoch : 0;
  self->taken_from = meta ? meta->source : 0;
  if (self->counts == NULL) {
    self->n_classes = k;
    self->counts = g_new0 (guint64, (gsize) k * k);
  }
  if (self->logits) {
    probabilities = g_new (gfloat, (gsize) n * k);
    grad_softmax (values, n, k, probabilities);
    values = probabilities;
  }
  for (gint i = 0; i < n; i++)
    if (!add (self, indices ? indices[i] : self->answers->len, labels ? labels[i] : -1,
            values + (gsize) i * k, error))
      return FALSE;
  return TRUE;
}

static gboolean
take (GradEvaluation * self, GstPad * pad, GstBuffer * buffer, GError ** error)
{
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  GradSampleMeta *meta = grad_buffer_get_sample_meta (buffer);
  GradShape shape;              /* (N, K) */
  GradDType dtype;
  GstMapInfo map;
  gboolean ok;

  if (meta != NULL && meta->phase == GRAD_PHASE_TRAIN && self->source == 0) {
    self->source = meta->source;
    if (self->taken_from != self->source)
      forget (self);
  }
  if (meta != NULL && (meta->phase == GRAD_PHASE_TRAIN || (self->source != 0 && meta->source != self->source)))
    return TRUE;
  if (caps == NULL || !grad_caps_parse (caps, 2, &dtype, &shape, error))
    return FALSE;
  if (shape.dims[1] > MAX_CLASSES) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "the network tells %d classes apart: how well it does on each "
        "is said of %d at most", shape.dims[1], MAX_CLASSES);
    return FALSE;
  }
  if (dtype != GRAD_DTYPE_FLOAT32 || !gst_buffer_map (buffer, &map, GST_MAP_READ)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "what arrives here is not float32: end the network with gradfc");
    return FALSE;
  }
  ok = add_batch (self, meta, shape.dims[0], shape.dims[1], (const gfloat *) map.data, error);
  gst_buffer_unmap (buffer, &map);
  return ok;
}

static GstPadProbeReturn
on_buffer (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  GradEvaluation *self = data;
  GstObject *element = GST_OBJECT_PARENT (pad);

  if (self->error == NULL && !take (self, pad, GST_PAD_PROBE_INFO_BUFFER (info), &self->error)) {
    forget (self);
    gst_element_post_message (GST_ELEMENT (element), self->logits
        ? gst_message_new_warning (element, self->error, NULL)
        : gst_message_new_error (element, self->error, NULL));
  }
  return GST_PAD_PROBE_OK;
}

GradEvaluation *
grad_evaluation_new (GstPad * pad, gboolean logits)
{
  GradEvaluation *self = g_new0 (GradEvaluation, 1);

  self->answers = g_array_new (FALSE, FALSE, sizeof (GradAnswer));
  self->logits = logits;
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, self, NULL);
  return self;
}

void
grad_evaluation_free (GradEvaluation * evaluation)
{
  g_array_unref (evaluation->answers);
  g_free (evaluation->counts);
  g_clear_error (&evaluation->error);
  g_free (evaluation);
}
