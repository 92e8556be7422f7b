/* GradStreamer: fully connected layer, (N, C) to (N, K)
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradunit-private.h"

#define GRAD_TYPE_LINEAR_UNIT (grad_linear_unit_get_type ())
G_DECLARE_FINAL_TYPE (GradLinearUnit, grad_linear_unit, GRAD, LINEAR_UNIT, GradUnit)

struct _GradLinearUnit
{
  GradUnit parent;

  gchar *name;
  gint units;
  gboolean has_bias;

  GradParameter *weight, *bias;
};

G_DEFINE_FINAL_TYPE (GradLinearUnit, grad_linear_unit, GRAD_TYPE_UNIT);

static gboolean
grad_linear_unit_infer_shape (GradUnit * unit, const GradShape * in, GradShape * out,
    GError ** error)
{
  GradLinearUnit *self = GRAD_LINEAR_UNIT (unit);

  if (in->rank != 2) {
    g_autofree gchar *text = grad_shape_to_string (in);
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE,
        "%s: got %s, expected vectors (N, C)", self->name, text);
    return FALSE;
  }
  *out = GRAD_SHAPE (in->dims[0], self->units);
  return TRUE;
}

static gboolean
grad_linear_unit_create_parameters (GradUnit * unit, const GradShape * in, GError ** error)
{
  GradLinearUnit *self = GRAD_LINEAR_UNIT (unit);

  self->weight = grad_unit_add_parameter (unit, self->name, "weight", GRAD_PARAMETER_TRAINABLE,
      &GRAD_SHAPE (self->units, in->dims[1]), GRAD_INIT_UNIFORM_FAN_IN, in->dims[1], error);
  if (self->weight && self->has_bias)
    self->bias = grad_unit_add_parameter (unit, self->name, "bias", GRAD_PARAMETER_TRAINABLE,
        &GRAD_SHAPE (self->units), GRAD_INIT_UNIFORM_FAN_IN, in->dims[1], error);
  return self->weight && (self->bias || !self->has_bias);
}

static gpointer
grad_linear_unit_plan (GradUnit * unit, const GradShape * in, const GradShape * out,
    GradUnitMode mode, GError ** error)
{
  GradLinearUnit *self = GRAD_LINEAR_UNIT (unit);
  GradDevice *device = grad_unit_get_device (unit);
  GradLinearDesc desc = {
    .n = in->dims[0],.c = in->dims[1],.k = self->units,.bias = self->has_bias
  };

  return grad_device_kernels (device)->linear->plan (device, &desc, error);
}

static void
grad_linear_unit_free_plan (gpointer plan)
{
  grad_plan_free (plan);
}

static gboolean
grad_linear_unit_forward (GradUnit * unit, gpointer plan, GradTensor ** in, GradTensor * y,
    GradNode * node, GError ** error)
{
  GradLinearUnit *self = GRAD_LINEAR_UNIT (unit);
  GradDevice *device = grad_unit_get_device (unit);

  if (node != NULL)
    grad_node_save (node, 0, in[0]);
  return grad_device_kernels (device)->linear->forward (plan, in[0], self->weight->value,
      self->bias ? self->bias->value : NULL, y, error);
}

static gboolean
grad_linear_unit_backward (GradUnit * unit, GradNode * node, GradTensor * dy, GradTensor ** dx,
    const gboolean * wanted, gboolean accumulate, GError ** error)
{
  GradLinearUnit *self = GRAD_LINEAR_UNIT (unit);
  GradDevice *device = grad_unit_get_device (unit);
  const GradLinearOps *ops = grad_device_kernels (device)->linear;
  GradPlan *plan = grad_node_get_plan (node);
  GradTensor *x = node->saved[0];

  if (!node->frozen && (!grad_unit_ensure_grad (unit, self->weight, error)
          || (self->bias && !grad_unit_ensure_grad (unit, self->bias, error))
          || !ops->backward_weights (plan, x, dy, self->weight->grad,
              self->bias ? self->bias->grad : NULL, accumulate, error)))
    return FALSE;
  if (wanted[0]) {
    dx[0] = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, grad_tensor_get_shape (x), error);
    if (dx[0] == NULL || !ops->backward_data (plan, dy, self->weight->value, dx[0], error))
      return FALSE;
  }
  grad_node_drop_saved (node, 0);
  return TRUE;
}

static void
grad_linear_unit_finalize (GObject * object)
{
  g_free (GRAD_LINEAR_UNIT (object)->name);
  G_OBJECT_CLASS (grad_linear_unit_parent_class)->finalize (object);
}

static void
grad_linear_unit_class_init (GradLinearUnitClass * klass)
{
  GradUnitClass *unit_class = GRAD_UNIT_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = grad_linear_unit_finalize;
  unit_class->infer_shape = grad_linear_unit_infer_shape;
  unit_class->create_parameters = grad_linear_unit_create_parameters;
  unit_class->plan = grad_linear_unit_plan;
  unit_class->free_plan = grad_linear_unit_free_plan;
  unit_class->forward = grad_linear_unit_forward;
  unit_class->backward = grad_linear_unit_backward;
}

static void
grad_linear_unit_init (GradLinearUnit * self)
{
}

/**
 * grad_linear_unit_new:
 * @name: name of its parameters: "fc"
 * @units: number of outputs K
 * @bias: whether it has a bias
 *
 * Returns: (transfer full): a new unit of one input
 */
GradUnit *
grad_linear_unit_new (const gchar * name, gint units, gboolean bias)
{
  GradLinearUnit *self = g_object_new (GRAD_TYPE_LINEAR_UNIT, NULL);

  self->name = g_strdup (name);
  self->units = units;
  self->has_bias = bias;
  return GRAD_UNIT (self);
}
