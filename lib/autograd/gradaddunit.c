/* GradStreamer: sum of two tensors of one shape
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradunit-private.h"

#define GRAD_TYPE_ADD_UNIT (grad_add_unit_get_type ())
G_DECLARE_FINAL_TYPE (GradAddUnit, grad_add_unit, GRAD, ADD_UNIT, GradUnit)

struct _GradAddUnit
{
  GradUnit parent;
};

G_DEFINE_FINAL_TYPE (GradAddUnit, grad_add_unit, GRAD_TYPE_UNIT);

static gboolean
grad_add_unit_infer_shape (GradUnit * unit, const GradShape * in, GradShape * out,
    GError ** error)
{
  if (!grad_shape_equal (&in[0], &in[1])) {
    g_autofree gchar *a = grad_shape_to_string (&in[0]);
    g_autofree gchar *b = grad_shape_to_string (&in[1]);
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "cannot add %s and %s", a, b);
    return FALSE;
  }
  *out = in[0];
  return TRUE;
}

static gboolean
grad_add_unit_forward (GradUnit * unit, gpointer plan, GradTensor ** in, GradTensor * y,
    GradNode * node, GError ** error)
{
  GradDevice *device = grad_unit_get_device (unit);

  return grad_device_kernels (device)->elementwise->add (device, in[0], in[1], y, error);
}

static gboolean
grad_add_unit_backward (GradUnit * unit, GradNode * node, GradTensor * dy, GradTensor ** dx,
    const gboolean * wanted, gboolean accumulate, GError ** error)
{
  for (guint i = 0; i < 2; i++)
    if (wanted[i])
      dx[i] = grad_tensor_ref (dy);
  return TRUE;
}

static void
grad_add_unit_class_init (GradAddUnitClass * klass)
{
  GradUnitClass *unit_class = GRAD_UNIT_CLASS (klass);

  unit_class->name = "sum";
  unit_class->infer_shape = grad_add_unit_infer_shape;
  unit_class->forward = grad_add_unit_forward;
  unit_class->backward = grad_add_unit_backward;
}

static void
grad_add_unit_init (GradAddUnit * self)
{
}

/**
 * grad_add_unit_new:
 *
 * Returns: (transfer full): a new unit of two inputs
 */
GradUnit *
grad_add_unit_new (void)
{
  return g_object_new (GRAD_TYPE_ADD_UNIT, NULL);
}
