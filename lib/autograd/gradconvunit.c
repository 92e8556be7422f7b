/* GradStreamer: convolution (+ batch norm) (+ residual add) (+ ReLU) (+ max pooling): the unit of residual networks
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   z = conv (x, w) [+ b];  y = [pool] ([relu] ([norm] (z) [+ residual]))
 *
 * x: (N, I, IH, IW), residual, z: (N, O, OH, OW), y: the same, or pooled. The norm does the pooling where the device can; then
 * y has no values before that. In front of a norm the bias is dead: batch statistics
 * cancel it and its gradient is zero. It is not added, but enters the running mean, as in PyTorch. */
#include "gradconvunit-private.h"
#include "gradnetwork-private.h"
#include "../model/gradparameter-private.h"
#include "../tensor/gradtensor-private.h"

#define BN_EPS 1e-5f
#define BN_MOMENTUM 0.1f

G_DEFINE_FINAL_TYPE (GradConvUnit, grad_conv_unit, GRAD_TYPE_UNIT);

static inline GradTensor *
value_of (GradParameter * parameter)
{
  return parameter ? parameter->value : NULL;
}

static GradShape
conv_shape (GradConvUnit * self, const GradShape * in)
{
  return GRAD_SHAPE (in->dims[0], self->channels,
      (in->dims[2] + 2 * self->padding - self->kernel) / self->stride + 1,
      (in->dims[3] + 2 * self->padding - self->kernel) / self->stride + 1);
}

static gboolean
grad_conv_unit_infer_shape (GradUnit * unit, const GradShape * in, GradShape * out,
    GError ** error)
{
  GradConvUnit *self = GRAD_CONV_UNIT (unit);

  if (in->rank != 4 || in->dims[2] + 2 * self->padding < self->kernel
      || in->dims[3] + 2 * self->padding < self->kernel) {
    g_autofree gchar *text = grad_shape_to_string (in);
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "%s: got %s, expected pictures "
        "(N, C, H, W) of at least %d rows and columns", self->name, text,
        MAX (1, self->kernel - 2 * self->padding));
    return FALSE;
  }
  *out = conv_shape (self, in);
  if (self->add && !grad_shape_equal (&in[1], out)) {
    g_autofree gchar *got = grad_shape_to_string (&in[1]);
    g_autofree gchar *expected = grad_shape_to_string (out);
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE,
        "%s: the shortcut has %d channels (%s), the convolution makes %d (%s)", self->name,
        in[1].dims[1], got, out->dims[1], expected);
    return FALSE;
  }
  if (self->has_pool) {
    GradShape z = *out;

    return grad_pooling_infer_shape (&self->pool, &z, out, error);
  }
  return TRUE;
}

static gboolean
grad_conv_unit_create_parameters (GradUnit * unit, const GradShape * in, GError ** error)
{
  GradConvUnit *self = GRAD_CONV_UNIT (unit);
  GradShape w = GRAD_SHAPE (self->channels, in->dims[1], self->kernel, self->kernel);
  GradShape c = GRAD_SHAPE (self->channels), scalar = { 0 };
  gsize fan_in = (gsize) in->dims[1] * self->kernel * self->kernel;
  const gchar *norm = self->norm_name;

#define ADD(prefix, name, kind, shape, init) \
  grad_unit_add_parameter (unit, prefix, name, GRAD_PARAMETER_##kind, shape, GRAD_INIT_##init, fan_in, error)
  if (!(self->weight = ADD (self->name, "weight", TRAINABLE, &w, UNIFORM_FAN_IN))
      || (self->has_bias
          && !(self->bias = ADD (self->name, "bias", TRAINABLE, &c, UNIFORM_FAN_IN)))
      || (norm && (!(self->gamma = ADD (norm, "weight", TRAINABLE, &c, ONES))
              || !(self->beta = ADD (norm, "bias", TRAINABLE, &c, ZEROS))
              || !(self->running_mean = ADD (norm, "running_mean", STATISTIC, &c, ZEROS))
              || !(self->running_var = ADD (norm, "running_var", STATISTIC, &c, ONES))
              || !(self->n_batches =
                  ADD (norm, "num_batches_tracked", COUNTER, &scalar, ZEROS)))))
    return FALSE;
#undef ADD
  if (self->bias && norm)
    self->bias->dead = TRUE;
  return TRUE;
}

static void
grad_conv_unit_free_plan (gpointer data)
{
  ConvUnitPlan *plan = data;

  grad_plan_free (plan->conv);
  grad_plan_free (plan->norm);
  grad_plan_free (plan->pool);
  g_free (plan);
}

static gpointer
grad_conv_unit_plan (GradUnit * unit, const GradShape * in, const GradShape * out,
    GradUnitMode mode, GError ** error)
{
  GradConvUnit *self = GRAD_CONV_UNIT (unit);
  GradDevice *device = grad_unit_get_device (unit);
  const GradKernels *kernels = grad_device_kernels (device);
  GradShape z = conv_shape (self, in);
  GradConvDesc conv = {
    .n = in->dims[0],.ic = in->dims[1],.ih = in->dims[2],.iw = in->dims[3],
    .oc = z.dims[1],.oh = z.dims[2],.ow = z.dims[3],
    .kernel = self->kernel,.stride = self->stride,.padding = self->padding,
    .bias = self->norm_name ? mode != GRAD_UNIT_TRAIN : self->bias != NULL,
    .add = mode == GRAD_UNIT_INFER && self->add,.relu = mode == GRAD_UNIT_INFER && self->relu,
    .training = mode != GRAD_UNIT_INFER
  };
  GradNormDesc norm = {
    .n = z.dims[0],.c = z.dims[1],.h = z.dims[2],.w = z.dims[3],
    .add = self->add,.relu = self->relu,.eps = BN_EPS,
    .pool = {self->pool.kernel, self->pool.stride, self->pool.padding}
  };
  gboolean has_norm = self->norm_name && mode == GRAD_UNIT_TRAIN;
  ConvUnitPlan *plan = g_new0 (ConvUnitPlan, 1);

  plan->shape = z;
  plan->fused = self->has_pool && has_norm && kernels->norm->supports (device, &norm);
  if (!plan->fused)
    norm.pool.kernel = 0;
  if (!(plan->conv = kernels->conv->plan (device, &conv, error))
      || (has_norm && !(plan->norm = kernels->norm->plan (device, &norm, error)))
      || (self->has_pool && !plan->fused
          && !(plan->pool = grad_pooling_plan (&self->pool, device, &z, out, error)))) {
    grad_conv_unit_free_plan (plan);
    return NULL;
  }
  return plan;
}

static GradShape
grad_conv_unit_get_product_shape (GradUnit * unit, const GradShape * input)
{
  return conv_shape (GRAD_CONV_UNIT (unit), input);
}

/* y = [relu] (z [+ residual]) in place, where no norm does it */
static gboolean
add_and_relu (GradConvUnit * self, GradDevice * device, GradTensor * residual, GradTensor * y,
    GError ** error)
{
  const GradElementwiseOps *ops = grad_device_kernels (device)->elementwise;

  return (!self->add || ops->add (device, y, residual, y, error))
      && (!self->relu || ops->relu (device, y, y, error));
}

gboolean
grad_conv_unit_fold (GradConvUnit * self, GradDevice * device, GError ** error)
{
  return grad_conv_fold_update (&self->folded, device, &(GradNormFold) {
        .weight = self->weight->value,.bias = value_of (self->bias),
        .gamma = self->gamma->value,.beta = self->beta->value,
        .mean = self->running_mean->value,.var = self->running_var->value,.eps = BN_EPS
      }, error);
}

/* Convolution and norm, with batch statistics; the pooling, too, if the norm's plan has it. */
static gboolean
conv_and_norm (GradConvUnit * self, GradDevice * device, const ConvUnitPlan * plan,
    GradTensor * x, GradTensor * residual, GradTensor * y, GradNode * node, GError ** error)
{
  const GradKernels *kernels = grad_device_kernels (device);
  GradTensor *gamma = self->gamma->value, *beta = self->beta->value;
  g_autoptr (GradTensor) z = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &plan->shape, error);
  g_autoptr (GradTensor) mean = NULL, var = NULL, places = NULL;

  if (z == NULL
      || !(mean = grad_tensor_new_plain (device, GRAD_DTYPE_FLOAT32, &gamma->shape, error))
      || !(var = grad_tensor_new_plain (device, GRAD_DTYPE_FLOAT32, &gamma->shape, error))
      || !kernels->conv->forward (plan->conv, x, self->weight->value, NULL, NULL, z, error))
    return FALSE;
  if (!plan->fused) {
    if (!kernels->norm->forward_train (plan->norm, z, residual, gamma, beta, mean, var, y, error))
      return FALSE;
  } else {
    places = grad_tensor_new_plain (device, GRAD_DTYPE_UINT8, &y->shape, error);
    if (places == NULL || !kernels->norm->forward_pool (plan->norm, z, gamma, beta, mean, var, y,
            places, error))
      return FALSE;
    grad_node_save (node, SAVED_PLACES, places);
  }
  grad_node_save (node, SAVED_Z, z);
  grad_node_save (node, SAVED_MEAN, mean);
  grad_node_save (node, SAVED_VAR, var);
  return TRUE;
}

static gboolean
grad_conv_unit_forward (GradUnit * unit, gpointer data, GradTensor ** in, GradTensor * output,
    GradNode * node, GError ** error)
{
  GradConvUnit *self = GRAD_CONV_UNIT (unit);
  GradDevice *device = grad_unit_get_device (unit);
  const GradConvOps *conv = grad_device_kernels (device)->conv;
  const ConvUnitPlan *plan = data;
  GradTensor *x = in[0], *residual = self->add ? in[1] : NULL;
  GradTensor *bias = value_of (self->bias), *w = self->weight->value;
  gboolean folded = self->norm_name && (node == NULL || node->frozen);
  g_autoptr (GradTensor) y = plan->pool
      ? grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &plan->shape, error) : grad_tensor_ref (output);

  if (y == NULL)
    return FALSE;
  if (folded && !grad_conv_unit_fold (self, device, error))
    return FALSE;
  if (folded || !self->norm_name) {
    if (!conv->forward (plan->conv, x, folded ? self->folded.weight : w,
            folded ? self->folded.bias : bias, node ? NULL : residual, y, error)
        || (node && !add_and_relu (self, device, residual, y, error)))
      return FALSE;
  } else if (!conv_and_norm (self, device, plan, x, residual, y, node, error))
    return FALSE;
  if (node) {
    grad_node_save (node, SAVED_X, x);
    if (self->relu && !plan->fused)
      grad_node_save (node, SAVED_Y, y);
  }
  return plan->pool == NULL
      || grad_pooling_forward (plan->pool, y, output, node, SAVED_PLACES, error);
}

static void
grad_conv_unit_commit (GradUnit * unit, GradNode * node, GArray * list)
{
  GradConvUnit *self = GRAD_CONV_UNIT (unit);
  const ConvUnitPlan *plan = grad_node_get_plan (node);
  GradNormRunning running = {
    .mean = node->saved[SAVED_MEAN],.var = node->saved[SAVED_VAR],.offset = value_of (self->bias),
    .count = (gdouble) plan->shape.dims[0] * plan->shape.dims[2] * plan->shape.dims[3],.momentum = BN_MOMENTUM
  };

  if (!self->norm_name)
    return;
  running.running_mean = grad_parameter_get_own (self->running_mean);
  running.running_var = grad_parameter_get_own (self->running_var);
  self->n_batches->count++;
  self->n_batches->step = grad_step_get_number (node->step);
  grad_tensor_touch (running.running_mean);
  grad_tensor_touch (running.running_var);
  g_array_append_val (list, running);
}

static void
grad_conv_unit_finalize (GObject * object)
{
  GradConvUnit *self = GRAD_CONV_UNIT (object);

  g_free (self->name);
  g_free (self->norm_name);
  grad_conv_fold_clear (&self->folded);
  G_OBJECT_CLASS (grad_conv_unit_parent_class)->finalize (object);
}

static void
grad_conv_unit_class_init (GradConvUnitClass * klass)
{
  GradUnitClass *unit_class = GRAD_UNIT_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = grad_conv_unit_finalize;
  unit_class->infer_shape = grad_conv_unit_infer_shape;
  unit_class->create_parameters = grad_conv_unit_create_parameters;
  unit_class->plan = grad_conv_unit_plan;
  unit_class->get_product_shape = grad_conv_unit_get_product_shape;
  unit_class->free_plan = grad_conv_unit_free_plan;
  unit_class->forward = grad_conv_unit_forward;
  unit_class->backward = grad_conv_unit_backward;
  unit_class->commit = grad_conv_unit_commit;
}

static void
grad_conv_unit_init (GradConvUnit * self)
{
}

/**
 * grad_conv_unit_new:
 * @name: name of the convolution's parameters: "layer1.0.conv1"
 * @norm_name: (nullable): name of the batch norm's parameters, or %NULL for none
 * @channels: output channels O
 * @kernel: rows and columns of the kernel
 * @stride: stride in both directions
 * @padding: zeros added on each side
 * @bias: whether the convolution has a bias
 * @add: whether a second input of the output's shape is added before the ReLU
 * @relu: whether a ReLU ends it
 *
 * Convolution, fused with what follows it in a residual network.
 *
 * Returns: (transfer full): a new unit of one or two inputs
 */
GradUnit *
grad_conv_unit_new (const gchar * name, const gchar * norm_name, gint channels, gint kernel,
    gint stride, gint padding, gboolean bias, gboolean add, gboolean relu)
{
  GradConvUnit *self = g_object_new (GRAD_TYPE_CONV_UNIT, NULL);

  self->name = g_strdup (name);
  self->norm_name = g_strdup (norm_name);
  self->channels = channels;
  self->kernel = kernel;
  self->stride = stride;
  self->padding = padding;
  self->has_bias = bias;
  self->add = add;
  self->relu = relu;
  return GRAD_UNIT (self);
}

/**
 * grad_conv_unit_set_pool:
 * @unit: a new convolution unit
 * @kernel: rows and columns of the window
 * @stride: stride in both directions
 * @padding: padding on each side, never the maximum
 *
 * Lets it end with a max pooling. A device may do norm, ReLU and pooling in one, and then keeps less
 * for backward than with grad_max_pool_unit_new() behind it.
 */
void
grad_conv_unit_set_pool (GradUnit * unit, gint kernel, gint stride, gint padding)
{
  GradConvUnit *self = GRAD_CONV_UNIT (unit);

  self->has_pool = TRUE;
  self->pool = (GradPooling) { kernel, stride, padding };
}
