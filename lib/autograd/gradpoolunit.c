/* GradStreamer: max pooling and global average pooling
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradpooling-private.h"

/* ---- max pooling: (N, C, IH, IW) to (N, C, OH, OW); saved: what forward noted for backward */

#define GRAD_TYPE_MAX_POOL_UNIT (grad_max_pool_unit_get_type ())
G_DECLARE_FINAL_TYPE (GradMaxPoolUnit, grad_max_pool_unit, GRAD, MAX_POOL_UNIT, GradUnit)

struct _GradMaxPoolUnit
{
  GradUnit parent;
  GradPooling pool;
};

G_DEFINE_FINAL_TYPE (GradMaxPoolUnit, grad_max_pool_unit, GRAD_TYPE_UNIT);

typedef struct
{
  GradPlan *pool;
  GradShape input;
} MaxPoolPlan;

static gboolean
grad_max_pool_unit_infer_shape (GradUnit * unit, const GradShape * in, GradShape * out,
    GError ** error)
{
  return grad_pooling_infer_shape (&GRAD_MAX_POOL_UNIT (unit)->pool, in, out, error);
}

static gpointer
grad_max_pool_unit_plan (GradUnit * unit, const GradShape * in, const GradShape * out,
    GradUnitMode mode, GError ** error)
{
  GradPlan *pool = grad_pooling_plan (&GRAD_MAX_POOL_UNIT (unit)->pool,
      grad_unit_get_device (unit), in, out, error);
  MaxPoolPlan *plan;

  if (pool == NULL)
    return NULL;
  plan = g_new (MaxPoolPlan, 1);
  plan->pool = pool;
  plan->input = *in;
  return plan;
}

static void
grad_max_pool_unit_free_plan (gpointer data)
{
  grad_plan_free (((MaxPoolPlan *) data)->pool);
  g_free (data);
}

static gboolean
grad_max_pool_unit_forward (GradUnit * unit, gpointer data, GradTensor ** in, GradTensor * y,
    GradNode * node, GError ** error)
{
  return grad_pooling_forward (((MaxPoolPlan *) data)->pool, in[0], y, node, 0, error);
}

static gboolean
grad_max_pool_unit_backward (GradUnit * unit, GradNode * node, GradTensor * dy, GradTensor ** dx,
    const gboolean * wanted, gboolean accumulate, GError ** error)
{
  MaxPoolPlan *plan = grad_node_get_plan (node);

  if (wanted[0])
    dx[0] = grad_pooling_backward (plan->pool, &plan->input, dy, node, 0, error);
  grad_node_drop_saved (node, 0);
  return !wanted[0] || dx[0] != NULL;
}

static void
grad_max_pool_unit_class_init (GradMaxPoolUnitClass * klass)
{
  GradUnitClass *unit_class = GRAD_UNIT_CLASS (klass);

  unit_class->name = "max pooling";
  unit_class->infer_shape = grad_max_pool_unit_infer_shape;
  unit_class->plan = grad_max_pool_unit_plan;
  unit_class->free_plan = grad_max_pool_unit_free_plan;
  unit_class->forward = grad_max_pool_unit_forward;
  unit_class->backward = grad_max_pool_unit_backward;
}

static void
grad_max_pool_unit_init (GradMaxPoolUnit * self)
{
}

/**
 * grad_max_pool_unit_new:
 * @kernel: rows and columns of the window
 * @stride: stride in both directions
 * @padding: padding on each side, never the maximum
 *
 * Returns: (transfer full): a new unit of one input
 */
GradUnit *
grad_max_pool_unit_new (gint kernel, gint stride, gint padding)
{
  GradMaxPoolUnit *self = g_object_new (GRAD_TYPE_MAX_POOL_UNIT, NULL);

  self->pool = (GradPooling) { kernel, stride, padding };
  return GRAD_UNIT (self);
}

/* ---- global average pooling: (N, C, H, W) to (N, C) */

#define GRAD_TYPE_GLOBAL_POOL_UNIT (grad_global_pool_unit_get_type ())
G_DECLARE_FINAL_TYPE (GradGlobalPoolUnit, grad_global_pool_unit, GRAD, GLOBAL_POOL_UNIT, GradUnit)

struct _GradGlobalPoolUnit
{
  GradUnit parent;
};

G_DEFINE_FINAL_TYPE (GradGlobalPoolUnit, grad_global_pool_unit, GRAD_TYPE_UNIT);

static gboolean
grad_global_pool_unit_infer_shape (GradUnit * unit, const GradShape * in, GradShape * out,
    GError ** error)
{
  if (in->rank != 4) {
    g_autofree gchar *text = grad_shape_to_string (in);
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE,
        "global pooling: got %s, expected (N, C, H, W)", text);
    return FALSE;
  }
  *out = GRAD_SHAPE (in->dims[0], in->dims[1]);
  return TRUE;
}

static gpointer
grad_global_pool_unit_plan (GradUnit * unit, const GradShape * in, const GradShape * out,
    GradUnitMode mode, GError ** error)
{
  return g_memdup2 (in, sizeof *in);
}

static gboolean
grad_global_pool_unit_forward (GradUnit * unit, gpointer plan, GradTensor ** in, GradTensor * y,
    GradNode * node, GError ** error)
{
  GradDevice *device = grad_unit_get_device (unit);

  return grad_device_kernels (device)->pool->global_forward (device, in[0], y, error);
}

static gboolean
grad_global_pool_unit_backward (GradUnit * unit, GradNode * node, GradTensor * dy,
    GradTensor ** dx, const gboolean * wanted, gboolean accumulate, GError ** error)
{
  GradDevice *device = grad_unit_get_device (unit);

  if (!wanted[0])
    return TRUE;
  dx[0] = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, grad_node_get_plan (node), error);
  return dx[0] && grad_device_kernels (device)->pool->global_backward (device, dy, dx[0], error);
}

static void
grad_global_pool_unit_class_init (GradGlobalPoolUnitClass * klass)
{
  GradUnitClass *unit_class = GRAD_UNIT_CLASS (klass);

  unit_class->name = "mean";
  unit_class->infer_shape = grad_global_pool_unit_infer_shape;
  unit_class->plan = grad_global_pool_unit_plan;
  unit_class->free_plan = g_free;
  unit_class->forward = grad_global_pool_unit_forward;
  unit_class->backward = grad_global_pool_unit_backward;
}

static void
grad_global_pool_unit_init (GradGlobalPoolUnit * self)
{
}

/**
 * grad_global_pool_unit_new:
 *
 * Returns: (transfer full): a new unit of one input, (N, C, H, W) to the means (N, C)
 */
GradUnit *
grad_global_pool_unit_new (void)
{
  return g_object_new (GRAD_TYPE_GLOBAL_POOL_UNIT, NULL);
}
