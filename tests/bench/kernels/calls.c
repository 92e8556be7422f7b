/* GradStreamer benchmark of kernels: one call with its tensors
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "calls.h"
#include "tests/kernels/kernelutil.h"

static GradTensor *
remember (BenchCall * s, GPtrArray * list, GradTensor * tensor, guint times)
{
  s->bytes += times * (gdouble) GRAD_DEVICE_GET_CLASS (s->device)->storage_size (s->device,
      tensor->dtype, &tensor->shape, tensor->layout);
  g_ptr_array_add (list, tensor);
  return tensor;
}

/* gives it the values of its twin, if there is one */
static GradTensor *
take (BenchCall * s, const BenchCall * like, GradTensor * tensor)
{
  if (like != NULL)
    copy_stored (tensor, like->inputs->pdata[s->inputs->len]);
  return remember (s, s->inputs, tensor, 1);
}

static GradTensor *
input (BenchCall * s, const BenchCall * like, GradShape shape)
{
  return take (s, like, test_random (s->device, shape, s->inputs->len + 1, -1, 1));
}

static GradTensor *
parameter (BenchCall * s, const BenchCall * like, GradShape shape)
{
  return take (s, like, test_random_parameter (s->device, shape, s->inputs->len + 1, -1, 1));
}

static GradTensor *
output (BenchCall * s, GradShape shape)
{
  return remember (s, s->outputs, test_new (s->device, shape), 1);
}

static GradTensor *
plain_output (BenchCall * s, GradShape shape)
{
  return remember (s, s->outputs, test_new_parameter (s->device, shape), 1);
}

static gint
out (const BenchCase * c, gint in)
{
  return (in + 2 * c->padding - c->kernel) / c->stride + 1;
}

/* ---- convolution */

static gboolean
conv_open (BenchCall * s, const BenchCall * like, GError ** error)
{
  const BenchCase *c = &s->c;
  GradConvDesc d = {
    .n = c->n,.ic = c->c,.ih = c->h,.iw = c->w,.oc = c->k,.oh = out (c, c->h),.ow = out (c, c->w),
    .kernel = c->kernel,.stride = c->stride,.padding = c->padding,.bias = c->bias,.add = c->add,
    .relu = c->relu,.training = c->kind != BENCH_CONV_INFER
  };
  GradShape x = GRAD_SHAPE (d.n, d.ic, d.ih, d.iw), y = GRAD_SHAPE (d.n, d.oc, d.oh, d.ow);
  GradShape w = GRAD_SHAPE (d.oc, d.ic, d.kernel, d.kernel), b = GRAD_SHAPE (d.oc);
  gboolean forward = c->kind == BENCH_CONV_FORWARD || c->kind == BENCH_CONV_INFER;

  if (c->kind != BENCH_CONV_BACKWARD_DATA)
    s->x = input (s, like, x);
  if (c->kind != BENCH_CONV_BACKWARD_WEIGHTS)
    s->w = parameter (s, like, w);
  if (!forward)
    s->dy = input (s, like, y);
  if (forward && c->bias)
    s->b = parameter (s, like, b);
  if (c->add)
    s->residual = input (s, like, y);
  if (forward)
    s->y = output (s, y);
  else if (c->kind == BENCH_CONV_BACKWARD_DATA)
    s->dx = output (s, x);
  else {
    s->dw = plain_output (s, w);
    s->db = c->bias ? plain_output (s, b) : NULL;
  }
  s->flops = 2. * d.n * d.oc * d.oh * d.ow * d.ic * d.kernel * d.kernel;
  s->plan = grad_device_kernels (s->device)->conv->plan (s->device, &d, error);
  return s->plan != NULL;
}

/* In a training step, weights are new: whoever keeps converted ones has to convert them. */
static gboolean
conv_run (BenchCall * s, GError ** error)
{
  const GradConvOps *ops = grad_device_kernels (s->device)->conv;

  if (s->w != NULL && s->c.kind != BENCH_CONV_INFER)
    grad_tensor_touch (s->w);
  if (s->dx != NULL)
    return ops->backward_data (s->plan, s->dy, s->w, s->dx, error);
  if (s->dw != NULL)
    return ops->backward_weights (s->plan, s->x, s->dy, s->dw, s->db, FALSE, error);
  return ops->forward (s->plan, s->x, s->w, s->b, s->residual, s->y, error);
}

/* ---- norm */

static gboolean
norm_forward (BenchCall * s, GError ** error)
{
  return grad_device_kernels (s->device)->norm->forward_train (s->plan, s->x, s->residual, s->w,
      s->b, s->mean, s->var, s->y, error);
}

static gboolean
norm_backward (BenchCall * s, GError ** error)
{
  return grad_device_kernels (s->device)->norm->backward (s->plan, s->x, s->y, s->dy, s->w,
      s->mean, s->var, s->dx, s->dresidual, s->dw, s->db, FALSE, error);
}

static gboolean
norm_open (BenchCall * s, const BenchCall * like, GError ** error)
{
  const BenchCase *c = &s->c;
  GradNormDesc d = {.n = c->n,.c = c->c,.h = c->h,.w = c->w,.add = c->add,.relu = c->relu,
    .eps = 1e-5f
  };
  GradShape x = GRAD_SHAPE (c->n, c->c, c->h, c->w), p = GRAD_SHAPE (c->c);

  s->plan = grad_device_kernels (s->device)->norm->plan (s->device, &d, error);
  if (s->plan == NULL)
    return FALSE;
  s->x = input (s, like, x);
  s->w = parameter (s, like, p);
  if (c->kind == BENCH_NORM_FORWARD) {
    s->b = parameter (s, like, p);
    s->residual = c->add ? input (s, like, x) : NULL;
    s->mean = plain_output (s, p);
    s->var = plain_output (s, p);
    s->y = output (s, x);
    return TRUE;
  }
  s->dy = input (s, like, x);
  s->y = input (s, like, x);
  s->mean = parameter (s, like, p);
  s->var = parameter (s, like, p);
  s->dx = output (s, x);
  s->dresidual = c->add ? output (s, x) : NULL;
  s->dw = plain_output (s, p);
  s->db = plain_output (s, p);
  if (like != NULL)
    return TRUE;
  /* statistics and result of a forward pass; what stands for its residual and its bias is as good as any */
  s->residual = c->add ? s->dy : NULL;
  s->b = s->w;
  return norm_forward (s, error);
}

/* ---- pooling */

static GradPoolDesc
max_pool_desc (const BenchCase * c)
{
  return (GradPoolDesc) {
    .n = c->n,.c = c->c,.ih = c->h,.iw = c->w,.oh = out (c, c->h),.ow = out (c, c->w),
    .kernel = c->kernel,.stride = c->stride,.padding = c->padding
  };
}

static gboolean
max_pool_forward (BenchCall * s, GError ** error)
{
  return grad_device_kernels (s->device)->pool->forward (s->plan, s->x, s->y, s->workspace, error);
}

static gboolean
max_pool_backward (BenchCall * s, GError ** error)
{
  return grad_device_kernels (s->device)->pool->backward (s->plan, s->dy, s->workspace, s->dx,
      error);
}

static gboolean
max_pool_open (BenchCall * s, const BenchCall * like, GError ** error)
{
  const GradPoolOps *ops = grad_device_kernels (s->device)->pool;
  const BenchCase *c = &s->c;
  GradPoolDesc d = max_pool_desc (c);
  GradShape x = GRAD_SHAPE (d.n, d.c, d.ih, d.iw), y = GRAD_SHAPE (d.n, d.c, d.oh, d.ow);
  gsize size;

  s->plan = ops->plan (s->device, &d, error);
  if (s->plan == NULL)
    return FALSE;
  size = ops->workspace_size (s->plan);
  s->workspace = grad_tensor_new_plain (s->device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (size), error);
  if (s->workspace == NULL)
    return FALSE;
  s->x = input (s, like, x);
  if (c->kind == BENCH_MAX_POOL_FORWARD)
    s->y = output (s, y);
  else {
    s->y = test_new (s->device, y);
    if (!max_pool_forward (s, error))
      return FALSE;
    g_clear_pointer (&s->y, grad_tensor_unref);
    s->bytes = 0;               /* it was forward that read x */
    s->dy = input (s, like, y);
    s->dx = output (s, x);
  }
  s->bytes += size;
  return TRUE;
}

/* ---- norm, ReLU and max pooling: in one, or one after the other */

static gboolean
norm_pool_forward (BenchCall * s, GError ** error)
{
  const GradKernels *k = grad_device_kernels (s->device);

  if (s->pool == NULL)
    return k->norm->forward_pool (s->plan, s->x, s->w, s->b, s->mean, s->var, s->y, s->workspace,
        error);
  return k->norm->forward_train (s->plan, s->x, NULL, s->w, s->b, s->mean, s->var, s->unpooled,
      error) && k->pool->forward (s->pool, s->unpooled, s->y, s->workspace, error);
}

static gboolean
norm_pool_backward (BenchCall * s, GError ** error)
{
  const GradKernels *k = grad_device_kernels (s->device);

  if (s->pool == NULL)
    return k->norm->backward_pool (s->plan, s->x, s->workspace, s->dy, s->w, s->mean, s->var,
        s->dx, s->dw, s->db, FALSE, error);
  return k->pool->backward (s->pool, s->dy, s->workspace, s->dx, error)
      && k->norm->backward (s->plan, s->x, s->unpooled, s->dx, s->w, s->mean, s->var, s->dx, NULL,
      s->dw, s->db, FALSE, error);
}

/* Values that are equal or differ by more than rounding: the same ones win on every device. */
static void
make_coarse (GradTensor * x)
{
  g_autofree gfloat *values = test_download (x);
  gsize n = grad_shape_n_elements (&x->shape);

  for (gsize i = 0; i < n; i++)
    values[i] = roundf (8 * values[i]) / 8;
  g_assert_true (grad_tensor_upload (x, values, n * sizeof (gfloat), NULL));
}

static gboolean
norm_pool_open (BenchCall * s, const BenchCall * like, GError ** error)
{
  const GradKernels *k = grad_device_kernels (s->device);
  const BenchCase *c = &s->c;
  GradPoolDesc p = max_pool_desc (c);
  GradNormDesc d = {.n = c->n,.c = c->c,.h = c->h,.w = c->w,.relu = TRUE,.eps = 1e-5f,
    .pool = {c->kernel, c->stride, c->padding}
  };
  GradShape x = GRAD_SHAPE (d.n, d.c, d.h, d.w), y = GRAD_SHAPE (p.n, p.c, p.oh, p.ow);
  GradShape channels = GRAD_SHAPE (d.c);
  gboolean fused = k->norm->supports (s->device, &d);
  gsize size = grad_shape_n_elements (&y);

  if (!fused) {
    d.pool.kernel = 0;
    s->pool = k->pool->plan (s->device, &p, error);
    if (s->pool == NULL)
      return FALSE;
    size = k->pool->workspace_size (s->pool);
    s->unpooled = test_new (s->device, x);
  }
  s->plan = k->norm->plan (s->device, &d, error);
  s->workspace = grad_tensor_new_plain (s->device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (size), error);
  if (s->plan == NULL || s->workspace == NULL)
    return FALSE;
  s->x = input (s, like, x);
  make_coarse (s->x);
  s->w = take (s, like, test_random_parameter (s->device, channels, 2, 0.5, 1));
  s->b = parameter (s, like, channels);
  s->mean = plain_output (s, channels);
  s->var = plain_output (s, channels);
  s->bytes += size;
  if (c->kind == BENCH_NORM_POOL_FORWARD) {
    s->y = output (s, y);
    return TRUE;
  }
  s->y = test_new (s->device, y);
  if (!norm_pool_forward (s, error))
    return FALSE;
  g_clear_pointer (&s->y, grad_tensor_unref);
  s->dy = input (s, like, y);
  s->dx = output (s, x);
  s->dw = plain_output (s, channels);
  s->db = plain_output (s, channels);
  return TRUE;
}

static gboolean
global_pool_run (BenchCall * s, GError ** error)
{
  const GradPoolOps *ops = grad_device_kernels (s->device)->pool;

  return s->dx ? ops->global_backward (s->device, s->dy, s->dx, error)
      : ops->global_forward (s->device, s->x, s->y, error);
}

static gboolean
global_pool_open (BenchCall * s, const BenchCall * like, GError ** error)
{
  const BenchCase *c = &s->c;
  GradShape x = GRAD_SHAPE (c->n, c->c, c->h, c->w), y = GRAD_SHAPE (c->n, c->c);

  if (c->kind == BENCH_GLOBAL_POOL_FORWARD) {
    s->x = input (s, like, x);
    s->y = output (s, y);
  } else {
    s->dy = input (s, like, y);
    s->dx = output (s, x);
  }
  return TRUE;
}

/* ---- element by element */

static gboolean
elementwise_open (BenchCall * s, const BenchCall * like, GError ** error)
{
  const BenchCase *c = &s->c;
  GradShape x = GRAD_SHAPE (c->n, c->c, c->h, c->w);

  if (c->kind != BENCH_ZERO)
    s->x = input (s, like, x);
  if (c->kind == BENCH_ADD || c->kind == BENCH_RELU_BACKWARD)
    s->dy = input (s, like, x);
  s->y = output (s, x);
  return TRUE;
}

static gboolean
elementwise_run (BenchCall * s, GError ** error)
{
  const GradElementwiseOps *ops = grad_device_kernels (s->device)->elementwise;

  switch (s->c.kind) {
    case BENCH_ADD:
      return ops->add (s->device, s->x, s->dy, s->y, error);
    case BENCH_RELU:
      return ops->relu (s->device, s->x, s->y, error);
    case BENCH_RELU_BACKWARD:
      return ops->relu_backward (s->device, s->x, s->dy, s->y, error);
    default:
      return ops->zero (s->device, s->y, error);
  }
}

/* ---- fully connected layer, loss, optimizer */

static gboolean
linear_open (BenchCall * s, const BenchCall * like, GError ** error)
{
  const BenchCase *c = &s->c;
  GradLinearDesc d = {.n = c->n,.c = c->c,.k = c->k,.bias = c->bias };
  GradShape x = GRAD_SHAPE (c->n, c->c), w = GRAD_SHAPE (c->k, c->c), y = GRAD_SHAPE (c->n, c->k);

  if (c->kind != BENCH_LINEAR_BACKWARD_DATA)
    s->x = input (s, like, x);
  if (c->kind != BENCH_LINEAR_BACKWARD_WEIGHTS)
    s->w = parameter (s, like, w);
  if (c->kind != BENCH_LINEAR_FORWARD)
    s->dy = input (s, like, y);
  if (c->kind == BENCH_LINEAR_BACKWARD_DATA)
    s->dx = output (s, x);
  else if (c->kind == BENCH_LINEAR_BACKWARD_WEIGHTS) {
    s->dw = plain_output (s, w);
    s->db = c->bias ? plain_output (s, GRAD_SHAPE (c->k)) : NULL;
  } else {
    s->b = c->bias ? parameter (s, like, GRAD_SHAPE (c->k)) : NULL;
    s->y = output (s, y);
  }
  s->flops = 2. * c->n * c->c * c->k;
  s->plan = grad_device_kernels (s->device)->linear->plan (s->device, &d, error);
  return s->plan != NULL;
}

static gboolean
linear_run (BenchCall * s, GError ** error)
{
  const GradLinearOps *ops = grad_device_kernels (s->device)->linear;

  if (s->w != NULL)
    grad_tensor_touch (s->w);
  if (s->dx != NULL)
    return ops->backward_data (s->plan, s->dy, s->w, s->dx, error);
  if (s->dw != NULL)
    return ops->backward_weights (s->plan, s->x, s->dy, s->dw, s->db, FALSE, error);
  return ops->forward (s->plan, s->x, s->w, s->b, s->y, error);
}

static gboolean
loss_open (BenchCall * s, const BenchCall * like, GError ** error)
{
  const BenchCase *c = &s->c;
  GradShape logits = GRAD_SHAPE (c->n, c->k);

  s->x = input (s, like, logits);
  s->dx = output (s, logits);
  s->workspace = grad_tensor_new_plain (s->device, GRAD_DTYPE_UINT8,
      &GRAD_SHAPE (2 * sizeof (gdouble)), error);
  s->labels = g_new (gint32, c->n);
  for (gint i = 0; i < c->n; i++)
    s->labels[i] = i * 7 % c->k;
  return s->workspace != NULL;
}

static gboolean
loss_run (BenchCall * s, GError ** error)
{
  return grad_device_kernels (s->device)->loss->softmax_cross_entropy (s->device, s->x, s->labels,
      0, s->x->shape.dims[0], s->dx, s->workspace, error);
}

static gboolean
adam_open (BenchCall * s, const BenchCall * like, GError ** error)
{
  GradShape shape = GRAD_SHAPE (s->c.c);

  s->adam = g_array_new (FALSE, FALSE, sizeof (GradOptimTensor));
  for (gint i = 0; i < s->c.n; i++) {
    GradOptimTensor t = {.grad = parameter (s, like, shape),.rate_scale = 1,.number = 1 };

    t.value = remember (s, s->outputs, test_random_parameter (s->device, shape, 1, -1, 1), 2);
    t.m = remember (s, s->outputs, test_random_parameter (s->device, shape, 2, -1, 1), 2);
    t.v = remember (s, s->outputs, test_random_parameter (s->device, shape, 3, 0, 1), 2);
    g_array_append_val (s->adam, t);
  }
  return TRUE;
}

static gboolean
adam_run (BenchCall * s, GError ** error)
{
  GradAdamArgs args = {.beta1 = 0.9,.beta2 = 0.999,.epsilon = 1e-8 };
  GradOptimStep step = {.learning_rate = 0.001 };

  return grad_device_kernels (s->device)->optim->adam (s->device,
      (GradOptimTensor *) s->adam->data, s->adam->len, &args, &step, error);
}

/* ---- resizing */

static gboolean
resize_open (BenchCall * s, const BenchCall * like, GError ** error)
{
  const BenchCase *c = &s->c;
  GradResizeDesc d = {.n = c->n,.c = c->c,.ih = c->h,.iw = c->w,.oh = c->k,.ow = c->k,
    .mean = {0.5, 0.5, 0.5, 0.5},.std = {0.25, 0.25, 0.25, 0.25}
  };
  GradShape in = GRAD_SHAPE (d.n, d.c, d.ih, d.iw);
  gsize size = grad_shape_n_elements (&in);
  g_autofree guint8 *pixels = g_malloc (size);
  guint32 state = 1;

  s->x = grad_tensor_new (s->device, GRAD_DTYPE_UINT8, &in, error);
  if (s->x == NULL)
    return FALSE;
  remember (s, s->inputs, s->x, 1);
  for (gsize i = 0; i < size; i++)
    pixels[i] = lcg_bits (&state);
  s->y = output (s, GRAD_SHAPE (d.n, d.c, d.oh, d.ow));
  s->plan = grad_device_kernels (s->device)->resize->plan (s->device, &d, error);
  return s->plan != NULL && grad_tensor_upload (s->x, pixels, size, error);
}

static gboolean
resize_run (BenchCall * s, GError ** error)
{
  return grad_device_kernels (s->device)->resize->run (s->plan, s->x, s->y, 0, error);
}

/* ---- */

static const struct
{
  gboolean (*open) (BenchCall * self, const BenchCall * like, GError ** error);
  gboolean (*run) (BenchCall * self, GError ** error);
} kinds[BENCH_N_KINDS] = {
  [BENCH_CONV_FORWARD] = {conv_open, conv_run},
  [BENCH_CONV_BACKWARD_DATA] = {conv_open, conv_run},
  [BENCH_CONV_BACKWARD_WEIGHTS] = {conv_open, conv_run},
  [BENCH_CONV_INFER] = {conv_open, conv_run},
  [BENCH_NORM_FORWARD] = {norm_open, norm_forward},
  [BENCH_NORM_BACKWARD] = {norm_open, norm_backward},
  [BENCH_NORM_POOL_FORWARD] = {norm_pool_open, norm_pool_forward},
  [BENCH_NORM_POOL_BACKWARD] = {norm_pool_open, norm_pool_backward},
  [BENCH_MAX_POOL_FORWARD] = {max_pool_open, max_pool_forward},
  [BENCH_MAX_POOL_BACKWARD] = {max_pool_open, max_pool_backward},
  [BENCH_GLOBAL_POOL_FORWARD] = {global_pool_open, global_pool_run},
  [BENCH_GLOBAL_POOL_BACKWARD] = {global_pool_open, global_pool_run},
  [BENCH_ADD] = {elementwise_open, elementwise_run},
  [BENCH_RELU] = {elementwise_open, elementwise_run},
  [BENCH_RELU_BACKWARD] = {elementwise_open, elementwise_run},
  [BENCH_ZERO] = {elementwise_open, elementwise_run},
  [BENCH_LINEAR_FORWARD] = {linear_open, linear_run},
  [BENCH_LINEAR_BACKWARD_DATA] = {linear_open, linear_run},
  [BENCH_LINEAR_BACKWARD_WEIGHTS] = {linear_open, linear_run},
  [BENCH_LOSS] = {loss_open, loss_run},
  [BENCH_ADAM] = {adam_open, adam_run},
  [BENCH_RESIZE] = {resize_open, resize_run},
};

BenchCall *
bench_call_new (GradDevice * device, const BenchCase * c, const BenchCall * like, GError ** error)
{
  g_autoptr (BenchCall) self = g_new0 (BenchCall, 1);

  self->device = device;
  self->c = *c;
  self->inputs = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_tensor_unref);
  self->outputs = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_tensor_unref);
  return kinds[c->kind].open (self, like, error) ? g_steal_pointer (&self) : NULL;
}

void
bench_call_free (BenchCall * self)
{
  grad_plan_free (self->plan);
  grad_plan_free (self->pool);
  g_clear_pointer (&self->unpooled, grad_tensor_unref);
  g_clear_pointer (&self->workspace, grad_tensor_unref);
  g_clear_pointer (&self->adam, g_array_unref);
  g_ptr_array_unref (self->inputs);
  g_ptr_array_unref (self->outputs);
  g_free (self->labels);
  g_free (self);
}

gboolean
bench_call_run (BenchCall * self, GError ** error)
{
  return kinds[self->c.kind].run (self, error);
}

/* As in tests/kernels; Winograd's transformations lose about a digit. */
gdouble
bench_call_tolerance (const BenchCall * self)
{
  const BenchCase *c = &self->c;
  gdouble tolerance = c->kind <= BENCH_CONV_INFER && c->kernel == 3 && c->stride == 1 ? 2e-4 : 1e-5;

  return grad_device_get_precision (self->device) == GRAD_PRECISION_BF16
      || grad_device_get_precision (self->device) == GRAD_PRECISION_INT8
      ? MAX (tolerance, TEST_BF16_TOLERANCE) : tolerance;
}
