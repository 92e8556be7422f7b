/* GradStreamer: softmax cross-entropy, the mean over the samples
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The logits (N, K) pass through; the gradient is computed together with the loss and saved. */
#include "gradnetwork-private.h"
#include "gradunit-private.h"
#include "../tensor/gradtensor-private.h"

#include <math.h>

#define GRAD_TYPE_LOSS_UNIT (grad_loss_unit_get_type ())
G_DECLARE_FINAL_TYPE (GradLossUnit, grad_loss_unit, GRAD, LOSS_UNIT, GradUnit)

struct _GradLossUnit
{
  GradUnit parent;

  gdouble label_smoothing;
  GArray *labels;               /* gint32, (N) */
  GradTensor *result;           /* two doubles: loss sum, correct */
};

G_DEFINE_FINAL_TYPE (GradLossUnit, grad_loss_unit, GRAD_TYPE_UNIT);

static gboolean
grad_loss_unit_infer_shape (GradUnit * unit, const GradShape * in, GradShape * out,
    GError ** error)
{
  if (in->rank != 2) {
    g_autofree gchar *text = grad_shape_to_string (in);
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE,
        "cross-entropy: got %s, expected logits (N, K)", text);
    return FALSE;
  }
  *out = *in;
  return TRUE;
}

static gboolean
grad_loss_unit_forward (GradUnit * unit, gpointer plan, GradTensor ** in, GradTensor * y,
    GradNode * node, GError ** error)
{
  GradLossUnit *self = GRAD_LOSS_UNIT (unit);
  GradDevice *device = grad_unit_get_device (unit);
  const GradShape *shape = grad_tensor_get_shape (in[0]);
  g_autoptr (GradTensor) dlogits = NULL;

  if (self->labels->len != (guint) shape->dims[0]) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_LABEL,
        "got %u labels for %d samples", self->labels->len, shape->dims[0]);
    return FALSE;
  }
  if (node != NULL) {
    dlogits = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, shape, error);
    if (dlogits == NULL)
      return FALSE;
    grad_node_save (node, 0, dlogits);
  }
  g_clear_pointer (&self->result, grad_tensor_unref);
  self->result = grad_tensor_new_plain (device, GRAD_DTYPE_UINT8,
      &GRAD_SHAPE (2 * sizeof (gdouble)), error);
  return self->result != NULL
      && grad_device_kernels (device)->loss->softmax_cross_entropy (device, in[0],
      (const gint32 *) self->labels->data, self->label_smoothing,
      node ? grad_step_get_divisor (node->step, self->labels->len) : self->labels->len, dlogits,
      self->result, error);
}

/* dy is NULL: the loss is where gradients start. */
static gboolean
grad_loss_unit_backward (GradUnit * unit, GradNode * node, GradTensor * dy, GradTensor ** dx,
    const gboolean * wanted, gboolean accumulate, GError ** error)
{
  GradTensor *dlogits = node->saved[0];

  grad_step_add_samples (node->step, dlogits->shape.dims[0]);
  if (wanted[0])
    dx[0] = grad_tensor_ref (dlogits);
  grad_node_drop_saved (node, 0);
  return TRUE;
}

static void
grad_loss_unit_finalize (GObject * object)
{
  GradLossUnit *self = GRAD_LOSS_UNIT (object);

  g_array_unref (self->labels);
  g_clear_pointer (&self->result, grad_tensor_unref);
  G_OBJECT_CLASS (grad_loss_unit_parent_class)->finalize (object);
}

static void
grad_loss_unit_class_init (GradLossUnitClass * klass)
{
  GradUnitClass *unit_class = GRAD_UNIT_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = grad_loss_unit_finalize;
  unit_class->name = "cross-entropy";
  unit_class->passthrough = TRUE;
  unit_class->varies = TRUE;
  unit_class->infer_shape = grad_loss_unit_infer_shape;
  unit_class->forward = grad_loss_unit_forward;
  unit_class->backward = grad_loss_unit_backward;
}

static void
grad_loss_unit_init (GradLossUnit * self)
{
  self->labels = g_array_new (FALSE, FALSE, sizeof (gint32));
}

/**
 * grad_loss_unit_new:
 * @label_smoothing: 0 to 1: how much of the target is spread evenly over all classes
 *
 * Returns: (transfer full): a new unit of one input, whose output is that input
 */
GradUnit *
grad_loss_unit_new (gdouble label_smoothing)
{
  GradLossUnit *self = g_object_new (GRAD_TYPE_LOSS_UNIT, NULL);

  self->label_smoothing = label_smoothing;
  return GRAD_UNIT (self);
}

/**
 * grad_loss_unit_set_labels:
 * @unit: a loss unit
 * @labels: (array length=n): class numbers from 0, copied
 * @n: samples in the next batch
 *
 * Sets the labels for the next forward.
 */
void
grad_loss_unit_set_labels (GradUnit * unit, const gint32 * labels, guint n)
{
  GradLossUnit *self = GRAD_LOSS_UNIT (unit);

  g_array_set_size (self->labels, 0);
  g_array_append_vals (self->labels, labels, n);
}

/**
 * grad_loss_unit_get_result:
 * @unit: a loss unit that has run forward
 *
 * Result of the last forward. A device that computes on its own may not have it yet: see grad_loss_result_read().
 *
 * Returns: (transfer none): the result, for whoever takes a reference
 */
GradTensor *
grad_loss_unit_get_result (GradUnit * unit)
{
  return GRAD_LOSS_UNIT (unit)->result;
}

/**
 * grad_loss_result_read:
 * @result: what grad_loss_unit_get_result() gave
 * @loss_sum: (out): sum over the samples of their cross-entropy, in nats
 * @correct: (out): number of samples whose largest logit is their label
 *
 * Waits until the device has computed the result, and reads it. Both are NaN and 0 when the device failed.
 */
void
grad_loss_result_read (GradTensor * result, gdouble * loss_sum, guint * correct)
{
  gdouble values[2];
  g_autoptr (GError) error = NULL;

  if (!grad_tensor_download (result, values, sizeof values, &error)) {
    GST_ERROR ("cannot read a loss: %s", error->message);
    values[0] = NAN;
    values[1] = 0;
  }
  *loss_sum = values[0];
  *correct = values[1];
}
