/* GradStreamer kernels: 2D convolution on the cuda device, by cuDNN
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, I, IH, IW), y, dy, residual: (N, O, OH, OW), in the device's layout, NHWC
 *   w, dw: (O, I, kernel, kernel), which lie as (O, kernel, kernel, I), b, db: (O), f32
 *   y =, dx =, dw = or +=, db = or +=
 *
 * Graphs, in cuDNN's words; for all it has compiled kernels, with tensor cores for bf16:
 *   ConvolutionFwd, ConvolutionBwdData, ConvolutionBwdFilter, each alone
 *   ConvolutionFwd [, Pointwise Add (residual)], Pointwise Add (bias) [, Pointwise ReLU]: the
 *     pattern of the former cudnnConvolutionBiasActivationForward(), in this order only
 * All of a graph's tensors must be of one type. With f32 biases for bf16 pictures, or with a
 * residual or ReLU but no bias, cuDNN has only engines that it compiles at run time: so b is
 * rounded to bf16, and zero where there is none. No engine takes bf16 pictures to f32 weight
 * gradients: their sums are made in f32, rounded to bf16 once, and added to dw in f32.
 *
 * cuDNN wants filters in the type of activations: in bf16 a rounded copy is kept with the master
 * (conv-weights.h), for plans of all shapes.
 *
 * Shapes that cuDNN cannot do or has no plan for go to grad_conv_cuda_ops. Deterministic, once a
 * plan is chosen, see cudnn.h. Not run on a GPU yet. */
#include "conv-cudnn.h"
#include "conv-weights.h"
#include "lib/device/gradcudadevice-private.h"

#define GST_CAT_DEFAULT grad_cudnn_debug_category ()

typedef struct
{
  GradPlan base;
  GradConvDesc desc;
  guint layout;
  gboolean fused;               /* forward adds residual and bias, and does the ReLU */
  gpointer zeros;               /* instead of a bias; only if fused without one */
  gsize zeros_capacity;
  GradCudnnPlan *forward, *backward_data, *backward_weights;    /* the latter may be NULL */
  gsize n_weights, type_size;   /* bytes of an activation */

  GradPlan *own;                /* instead of all this: grad_conv_cuda_ops' */
} Plan;

gboolean
grad_conv_cudnn_supports (const GradConvDesc * d, cudnnDataType_t type)
{
  gint multiple = type == CUDNN_DATA_BFLOAT16 ? 8 : 4;

  return d->ic % multiple == 0 && d->oc % multiple == 0;
}

GradCudnnGraph *
grad_conv_cudnn_graph (const GradConvDesc * d, cudnnDataType_t type, GradCudnnDirection direction,
    gboolean fused)
{
  GradCudnnGraph *graph = grad_cudnn_graph_new (type);
  GradCudnnTensor sum = GRAD_CUDNN_SUM_1;

  grad_cudnn_graph_tensor (graph, GRAD_CUDNN_X, d->n, d->ic, d->ih, d->iw);
  grad_cudnn_graph_tensor (graph, GRAD_CUDNN_W, d->oc, d->ic, d->kernel, d->kernel);
  grad_cudnn_graph_tensor (graph, GRAD_CUDNN_Y, d->n, d->oc, d->oh, d->ow);
  if (!fused) {
    grad_cudnn_graph_conv (graph, direction, d->stride, d->padding, GRAD_CUDNN_X, GRAD_CUDNN_W,
        GRAD_CUDNN_Y);
    return graph;
  }
  grad_cudnn_graph_tensor (graph, GRAD_CUDNN_BIAS, 1, d->oc, 1, 1);
  for (gint id = GRAD_CUDNN_SUM_1; id <= GRAD_CUDNN_SUM_3; id++)
    grad_cudnn_graph_tensor (graph, id, d->n, d->oc, d->oh, d->ow);
  grad_cudnn_graph_conv (graph, direction, d->stride, d->padding, GRAD_CUDNN_X, GRAD_CUDNN_W, sum);
  if (d->add) {
    grad_cudnn_graph_tensor (graph, GRAD_CUDNN_RESIDUAL, d->n, d->oc, d->oh, d->ow);
    grad_cudnn_graph_add (graph, sum, GRAD_CUDNN_RESIDUAL, GRAD_CUDNN_SUM_2);
    sum = GRAD_CUDNN_SUM_2;
  }
  grad_cudnn_graph_add (graph, sum, GRAD_CUDNN_BIAS, d->relu ? GRAD_CUDNN_SUM_3 : GRAD_CUDNN_Y);
  if (d->relu)
    grad_cudnn_graph_relu (graph, GRAD_CUDNN_SUM_3, GRAD_CUDNN_Y);
  return graph;
}

/* In the type of activations; NULL after an error */
static gpointer
in_type (Plan * plan, const GradTensor * parameter, GError ** error)
{
  return plan->layout == GRAD_CUDA_NHWC_BF16 ? grad_conv_weights_ops.rounded (parameter, error)
      : grad_tensor_data (parameter);
}

static gboolean
make_zeros (Plan * plan, GError ** error)
{
  GradDevice *device = plan->base.device;
  gsize size = plan->desc.oc * plan->type_size;

  plan->zeros = grad_device_pool_get (device, size, &plan->zeros_capacity, error);
  return plan->zeros != NULL && grad_cuda_check (device, cudaMemsetAsync (plan->zeros, 0, size,
          grad_cuda_device_stream (device)), "clearing a bias", error);
}

static void
conv_free (GradPlan * base)
{
  Plan *plan = (Plan *) base;

  grad_plan_free (plan->own);
  grad_cudnn_plan_free (plan->forward);
  grad_cudnn_plan_free (plan->backward_data);
  grad_cudnn_plan_free (plan->backward_weights);
  if (plan->zeros != NULL)
    grad_device_pool_put (base->device, plan->zeros, plan->zeros_capacity);
  g_free (plan);
}

static gboolean
conv_supports (GradDevice * device, const GradConvDesc * d)
{
  return grad_conv_desc_check (d, NULL);
}

static GradCudnnPlan *
plan_graph (Plan * plan, GradCudnn * cudnn, cudnnDataType_t type, GradCudnnDirection direction,
    gboolean fused, GError ** error)
{
  g_autoptr (GradCudnnGraph) graph = grad_conv_cudnn_graph (&plan->desc, type, direction, fused);

  return grad_cudnn_graph_finish (graph, cudnn, error)
      ? grad_cudnn_plan_new (cudnn, graph, error) : NULL;
}

/* Fused, or what finish() then ends */
static gboolean
plan_forward (Plan * plan, GradCudnn * cudnn, cudnnDataType_t type, GError ** error)
{
  const GradConvDesc *d = &plan->desc;
  g_autoptr (GError) why = NULL;

  if (d->bias || d->add || d->relu) {
    plan->forward = plan_graph (plan, cudnn, type, GRAD_CUDNN_FORWARD, TRUE, &why);
    plan->fused = plan->forward != NULL;
    if (plan->fused)
      return TRUE;
    GST_INFO ("bias, sum and ReLU come after the convolution: %s", why->message);
  }
  plan->forward = plan_graph (plan, cudnn, type, GRAD_CUDNN_FORWARD, FALSE, error);
  return plan->forward != NULL;
}

static gboolean
plan_cudnn (Plan * plan, cudnnDataType_t type, GError ** error)
{
  const GradConvDesc *d = &plan->desc;
  GradCudnn *cudnn = grad_cuda_device_cudnn (plan->base.device, error);

  plan->type_size = type == CUDNN_DATA_BFLOAT16 ? 2 : 4;
  plan->n_weights = (gsize) d->oc * d->ic * d->kernel * d->kernel;
  return cudnn != NULL && plan_forward (plan, cudnn, type, error)
      && (!plan->fused || d->bias || make_zeros (plan, error))
      && (!grad_conv_desc_has_backward (d)
      || ((plan->backward_data = plan_graph (plan, cudnn, type, GRAD_CUDNN_BACKWARD_DATA, FALSE,
                  error))
          && (plan->backward_weights = plan_graph (plan, cudnn, type, GRAD_CUDNN_BACKWARD_FILTER,
                  FALSE, error))));
}

static GradPlan *
conv_plan (GradDevice * device, const GradConvDesc * d, GError ** error)
{
  GradShape x = GRAD_SHAPE (d->n, d->ic, d->ih, d->iw);
  guint layout = GRAD_DEVICE_GET_CLASS (device)->activation_layout (device, GRAD_DTYPE_FLOAT32, &x);
  cudnnDataType_t type = layout == GRAD_CUDA_NHWC_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  g_autoptr (GError) why = NULL;
  GradPlan *own;
  Plan *plan;

  if (!grad_conv_desc_check (d, error))
    return NULL;
  plan = g_new0 (Plan, 1);
  plan->base = (GradPlan) {.device = device,.free = conv_free };
  plan->desc = *d;
  plan->layout = layout;
  if (!grad_conv_cudnn_supports (d, type))
    g_set_error (&why, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "channels do not fill 16 bytes");
  else if (plan_cudnn (plan, type, &why))
    return &plan->base;
  conv_free (&plan->base);
  if (g_error_matches (why, GRAD_ERROR, GRAD_ERROR_NO_MEMORY)) {
    g_propagate_error (error, g_steal_pointer (&why));
    return NULL;
  }
  GST_INFO ("%d channels to %d, %dx%d, stride %d, batch %d go without cuDNN: %s", d->ic, d->oc,
      d->kernel, d->kernel, d->stride, d->n, why->message);
  own = grad_conv_cuda_ops.plan (device, d, error);
  if (own == NULL)
    return NULL;
  plan = g_new0 (Plan, 1);
  plan->base = (GradPlan) {.device = device,.free = conv_free };
  plan->own = own;
  return &plan->base;
}

/* conv and what follows, r being in memory that is not y's */
static gboolean
forward (Plan * plan, const gpointer * pointers, const GradTensor * b, GError ** error)
{
  const GradConvDesc *d = &plan->desc;

  return grad_cudnn_plan_run (plan->forward, pointers, error)
      && (plan->fused || !(d->bias || d->add || d->relu)
      || grad_conv_weights_ops.finish (plan->base.device, plan->layout,
          (gsize) d->n * d->oh * d->ow, d->oc, d->bias ? grad_tensor_data (b) : NULL,
          pointers[GRAD_CUDNN_RESIDUAL], d->relu, pointers[GRAD_CUDNN_Y], error));
}

static gboolean
conv_forward (GradPlan * base, const GradTensor * x, const GradTensor * w, const GradTensor * b,
    const GradTensor * residual, GradTensor * y, GError ** error)
{
  Plan *plan = (Plan *) base;
  const GradConvDesc *d = &plan->desc;
  GradDevice *device = base->device;
  gpointer pointers[GRAD_CUDNN_N_POINTERS] = { NULL }, copy;
  gsize size, capacity;
  gboolean ok;

  if (plan->own != NULL)
    return grad_conv_cuda_ops.forward (plan->own, x, w, b, residual, y, error);
  pointers[GRAD_CUDNN_X] = grad_tensor_data (x);
  pointers[GRAD_CUDNN_W] = in_type (plan, w, error);
  pointers[GRAD_CUDNN_BIAS] = plan->fused && d->bias ? in_type (plan, b, error) : plan->zeros;
  if (pointers[GRAD_CUDNN_W] == NULL || (plan->fused && pointers[GRAD_CUDNN_BIAS] == NULL))
    return FALSE;
  pointers[GRAD_CUDNN_RESIDUAL] = d->add ? grad_tensor_data (residual) : NULL;
  pointers[GRAD_CUDNN_Y] = grad_tensor_data (y);
  if (pointers[GRAD_CUDNN_RESIDUAL] != pointers[GRAD_CUDNN_Y])
    return forward (plan, pointers, b, error);

  /* cuDNN promises nothing for tensors that overlap */
  size = GRAD_DEVICE_GET_CLASS (device)->storage_size (device, y->dtype, &y->shape, y->layout);
  copy = grad_device_pool_get (device, size, &capacity, error);
  if (copy == NULL)
    return FALSE;
  ok = grad_cuda_check (device, cudaMemcpyAsync (copy, pointers[GRAD_CUDNN_Y], size,
          cudaMemcpyDeviceToDevice, grad_cuda_device_stream (device)), "copying", error);
  pointers[GRAD_CUDNN_RESIDUAL] = copy;
  ok = ok && forward (plan, pointers, b, error);
  grad_device_pool_put (device, copy, capacity);
  return ok;
}

static gboolean
conv_backward_data (GradPlan * base, const GradTensor * dy, const GradTensor * w, GradTensor * dx,
    GError ** error)
{
  Plan *plan = (Plan *) base;
  gpointer pointers[GRAD_CUDNN_N_POINTERS] = { NULL };

  if (plan->own != NULL)
    return grad_conv_cuda_ops.backward_data (plan->own, dy, w, dx, error);
  if (!grad_conv_check_backward (plan->backward_data != NULL, error)
      || !(pointers[GRAD_CUDNN_W] = in_type (plan, w, error)))
    return FALSE;
  pointers[GRAD_CUDNN_X] = grad_tensor_data (dx);
  pointers[GRAD_CUDNN_Y] = grad_tensor_data (dy);
  return grad_cudnn_plan_run (plan->backward_data, pointers, error);
}

static gboolean
conv_backward_weights (GradPlan * base, const GradTensor * x, const GradTensor * dy,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  Plan *plan = (Plan *) base;
  const GradConvDesc *d = &plan->desc;
  GradDevice *device = base->device;
  gboolean direct = plan->layout == GRAD_CUDA_NHWC_F32 && !accumulate;  /* cuDNN can write it itself */
  gpointer pointers[GRAD_CUDNN_N_POINTERS] = { NULL }, scratch = NULL;
  gsize capacity;
  gboolean ok;

  if (plan->own != NULL)
    return grad_conv_cuda_ops.backward_weights (plan->own, x, dy, dw, db, accumulate, error);
  if (!grad_conv_check_backward (plan->backward_weights != NULL, error)
      || (!direct && !(scratch = grad_device_pool_get (device, plan->n_weights * plan->type_size, &capacity, error))))
    return FALSE;
  pointers[GRAD_CUDNN_X] = grad_tensor_data (x);
  pointers[GRAD_CUDNN_W] = direct ? grad_tensor_data (dw) : scratch;
  pointers[GRAD_CUDNN_Y] = grad_tensor_data (dy);
  ok = grad_cudnn_plan_run (plan->backward_weights, pointers, error)
      && (direct || grad_conv_weights_ops.add (device, plan->layout, scratch, plan->n_weights, grad_tensor_data (dw),
              accumulate, error))
      && (!d->bias || grad_conv_weights_ops.sum_rows (device, plan->layout,
          (gsize) d->n * d->oh * d->ow, d->oc, pointers[GRAD_CUDNN_Y], grad_tensor_data (db),
          accumulate, error));
  if (scratch != NULL)
    grad_device_pool_put (device, scratch, capacity);
  return ok;
}

/* What was changed on the host goes to the device, by the main stream. */
static void
take_back (const GradTensor * tensor)
{
  if (tensor != NULL)
    grad_tensor_data (tensor);
}

static gboolean
conv_backward (GradPlan * base, const GradTensor * x, const GradTensor * dy, const GradTensor * w, GradTensor * dx,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  GradDevice *device = base->device;
  gboolean ok;

  if (!grad_cuda_device_has_aside (device))
    return conv_backward_weights (base, x, dy, dw, db, accumulate, error)
        && conv_backward_data (base, dy, w, dx, error);
  take_back (x);
  take_back (dy);
  take_back (dw);
  take_back (db);
  if (!grad_cuda_device_begin_aside (device, error))
    return FALSE;
  ok = conv_backward_weights (base, x, dy, dw, db, accumulate, error);
  return grad_cuda_device_end_aside (device, x, dy, ok ? error : NULL) && ok
      && conv_backward_data (base, dy, w, dx, error);
}

const GradConvOps grad_conv_cudnn_ops = {
  .supports = conv_supports,
  .plan = conv_plan,
  .forward = conv_forward,
  .backward_data = conv_backward_data,
  .backward_weights = conv_backward_weights,
  .backward = conv_backward,
};
