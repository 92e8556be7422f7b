/* GradStreamer kernels: cuDNN's handle, and its graphs of operations
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Everything in cuDNN's graph interface is a descriptor: made empty, filled attribute by
 * attribute (each has its C type, which must be said with every call), finalised, from when on it
 * cannot be changed. */
#include "kernels/cudnn.h"

#include <float.h>
#include <stdbool.h>
#include <string.h>

#define GST_CAT_DEFAULT grad_cudnn_debug_category ()

GstDebugCategory *
grad_cudnn_debug_category (void)
{
  static gsize once = 0;

  if (g_once_init_enter (&once)) {
    GstDebugCategory *category = NULL;

    GST_DEBUG_CATEGORY_INIT (category, "gradcudnn", 0, "GradStreamer's use of cuDNN");
    g_once_init_leave (&once, (gsize) category);
  }
  return (GstDebugCategory *) once;
}

gboolean
grad_cudnn_check (cudnnStatus_t status, const gchar * what, GError ** error)
{
  gchar words[512] = "";
  gint code = GRAD_ERROR_FAILED;

  if (status == CUDNN_STATUS_SUCCESS)
    return TRUE;
  cudnnGetLastErrorString (words, sizeof words);
  if (CUDNN_STATUS_CATEGORY (status) == CUDNN_STATUS_NOT_SUPPORTED)
    code = GRAD_ERROR_UNSUPPORTED;
  else if (status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED
      || status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
    code = GRAD_ERROR_NO_MEMORY;
  g_set_error (error, GRAD_ERROR, code, "cuDNN failed with %s in %s: %s",
      cudnnGetErrorString (status), what, *g_strstrip (words) ? words : "no reason given");
  return FALSE;
}

GradCudnn *
grad_cudnn_new (GradDevice * device, cudaStream_t stream, const gchar * gpu, GError ** error)
{
  GradCudnn *self = g_new0 (GradCudnn, 1);

  self->device = device;
  self->gpu = g_strdup (gpu);
  self->precision = grad_device_get_precision (device);
  self->deterministic = grad_device_settings (device)->deterministic;
  if (!grad_cudnn_check (cudnnCreate (&self->handle), "cudnnCreate", error)
      || !grad_cudnn_check (cudnnSetStream (self->handle, stream), "cudnnSetStream", error)) {
    grad_cudnn_free (self);
    return NULL;
  }
  GST_INFO ("cuDNN %" G_GSIZE_FORMAT " on %s", cudnnGetVersion (), gpu);
  return self;
}

GradCudnn *
grad_cudnn_new_without_gpu (const gchar * properties, GradPrecision precision, GError ** error)
{
#if CUDNN_VERSION >= 90800
  GradCudnn *self = g_new0 (GradCudnn, 1);

  self->precision = precision;
  self->gpu = g_strdup ("none");
  if (grad_cudnn_check (cudnnBackendCreateDescriptor (CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR,
              &self->properties), "making properties", error)
      && grad_cudnn_check (cudnnBackendSetAttribute (self->properties,
              CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, strlen (properties),
              properties), "setting properties", error)
      && grad_cudnn_check (cudnnBackendFinalize (self->properties), "finalising properties", error))
    return self;
  grad_cudnn_free (self);
#else
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "cuDNN is older than 9.8");
#endif
  return NULL;
}

void
grad_cudnn_free (GradCudnn * self)
{
  if (self == NULL)
    return;
  if (self->properties != NULL)
    cudnnBackendDestroyDescriptor (self->properties);
  if (self->handle != NULL)
    cudnnDestroy (self->handle);
  g_free (self->gpu);
  g_free (self);
}

static void
destroy (gpointer descriptor)
{
  cudnnBackendDestroyDescriptor (descriptor);
}

GradCudnnGraph *
grad_cudnn_graph_new (cudnnDataType_t type)
{
  GradCudnnGraph *self = g_new0 (GradCudnnGraph, 1);

  self->type = type;
  self->operations = g_ptr_array_new_with_free_func (destroy);
  self->others = g_ptr_array_new_with_free_func (destroy);
  self->text = g_string_new (type == CUDNN_DATA_BFLOAT16 ? "bf16" : "f32");
  return self;
}

void
grad_cudnn_graph_free (GradCudnnGraph * self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->operations);
  g_ptr_array_unref (self->others);
  g_string_free (self->text, TRUE);
  g_clear_error (&self->error);
  g_free (self);
}

/* A new descriptor in `list`, NULL after an error */
static cudnnBackendDescriptor_t
create (GradCudnnGraph * self, cudnnBackendDescriptorType_t type, GPtrArray * list)
{
  cudnnBackendDescriptor_t descriptor = NULL;

  if (self->error == NULL
      && grad_cudnn_check (cudnnBackendCreateDescriptor (type, &descriptor), "making a descriptor",
          &self->error))
    g_ptr_array_add (list, descriptor);
  return descriptor;
}

static void
set (GradCudnnGraph * self, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
    const gchar * what, cudnnBackendAttributeType_t type, gint64 n, const void *values)
{
  if (self->error == NULL)
    grad_cudnn_check (cudnnBackendSetAttribute (descriptor, name, type, n, values), what,
        &self->error);
}

/* SET (descriptor, TENSOR_UNIQUE_ID, INT64, 1, &id) */
#define SET(descriptor, name, type, n, values) \
  set (self, descriptor, CUDNN_ATTR_##name, "setting " #name, CUDNN_TYPE_##type, n, values)

static void
finalize (GradCudnnGraph * self, cudnnBackendDescriptor_t descriptor, const gchar * what)
{
  if (self->error == NULL)
    grad_cudnn_check (cudnnBackendFinalize (descriptor), what, &self->error);
}

void
grad_cudnn_graph_tensor (GradCudnnGraph * self, GradCudnnTensor id, gint n, gint c, gint h, gint w)
{
  cudnnBackendDescriptor_t tensor = create (self, CUDNN_BACKEND_TENSOR_DESCRIPTOR, self->others);
  gboolean stored = id < GRAD_CUDNN_N_POINTERS;
  cudnnDataType_t type = stored ? self->type : CUDNN_DATA_FLOAT;
  int64_t uid = id, alignment = 16, dims[4] = { n, c, h, w };
  int64_t strides[4] = { (int64_t) h * w * c, 1, (int64_t) w * c, c };
  bool is_virtual = !stored;    /* CUDNN_TYPE_BOOLEAN is a C++ bool */

  SET (tensor, TENSOR_UNIQUE_ID, INT64, 1, &uid);
  SET (tensor, TENSOR_DATA_TYPE, DATA_TYPE, 1, &type);
  SET (tensor, TENSOR_DIMENSIONS, INT64, 4, dims);
  SET (tensor, TENSOR_STRIDES, INT64, 4, strides);
  SET (tensor, TENSOR_BYTE_ALIGNMENT, INT64, 1, &alignment);
  SET (tensor, TENSOR_IS_VIRTUAL, BOOLEAN, 1, &is_virtual);
  finalize (self, tensor, "finalising a tensor");
  self->tensors[id] = tensor;
  if (stored) {
    self->sizes[id] = (gsize) n * c * h * w * (type == CUDNN_DATA_BFLOAT16 ? 2 : 4);
    g_string_append_printf (self->text, " %d:%dx%dx%dx%d", id, n, c, h, w);
  }
}

static cudnnBackendDescriptor_t
conv_descriptor (GradCudnnGraph * self, int64_t stride, int64_t padding)
{
  cudnnBackendDescriptor_t conv = create (self, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, self->others);
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  int64_t n_dims = 2, dilations[2] = { 1, 1 };
  int64_t strides[2] = { stride, stride }, paddings[2] = { padding, padding };

  SET (conv, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, &type);
  SET (conv, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1, &mode);
  SET (conv, CONVOLUTION_SPATIAL_DIMS, INT64, 1, &n_dims);
  SET (conv, CONVOLUTION_PRE_PADDINGS, INT64, 2, paddings);
  SET (conv, CONVOLUTION_POST_PADDINGS, INT64, 2, paddings);
  SET (conv, CONVOLUTION_DILATIONS, INT64, 2, dilations);
  SET (conv, CONVOLUTION_FILTER_STRIDES, INT64, 2, strides);
  finalize (self, conv, "finalising a convolution");
  return conv;
}

void
grad_cudnn_graph_conv (GradCudnnGraph * self, GradCudnnDirection direction, gint stride,
    gint padding, GradCudnnTensor x, GradCudnnTensor w, GradCudnnTensor y)
{
  static const gchar *names[] = { "conv", "conv-backward-data", "conv-backward-filter" };
  /* in the order of GradCudnnDirection */
  static const cudnnBackendDescriptorType_t types[] = {
    CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
    CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
    CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR
  };
  cudnnBackendDescriptor_t conv = conv_descriptor (self, stride, padding);
  cudnnBackendDescriptor_t operation = create (self, types[direction], self->operations);
  float alpha = 1, beta = 0;

#define SET_ALL(kind, X, W, Y) G_STMT_START { \
  SET (operation, OPERATION_CONVOLUTION_##kind##_CONV_DESC, BACKEND_DESCRIPTOR, 1, &conv); \
  SET (operation, OPERATION_CONVOLUTION_##kind##_##X, BACKEND_DESCRIPTOR, 1, &self->tensors[x]); \
  SET (operation, OPERATION_CONVOLUTION_##kind##_##W, BACKEND_DESCRIPTOR, 1, &self->tensors[w]); \
  SET (operation, OPERATION_CONVOLUTION_##kind##_##Y, BACKEND_DESCRIPTOR, 1, &self->tensors[y]); \
  SET (operation, OPERATION_CONVOLUTION_##kind##_ALPHA, FLOAT, 1, &alpha); \
  SET (operation, OPERATION_CONVOLUTION_##kind##_BETA, FLOAT, 1, &beta); \
} G_STMT_END
  switch (direction) {
    case GRAD_CUDNN_FORWARD:
      SET_ALL (FORWARD, X, W, Y);
      break;
    case GRAD_CUDNN_BACKWARD_DATA:
      SET_ALL (BWD_DATA, DX, W, DY);
      break;
    case GRAD_CUDNN_BACKWARD_FILTER:
      SET_ALL (BWD_FILTER, X, DW, DY);
      break;
  }
#undef SET_ALL
  finalize (self, operation, names[direction]);
  g_string_append_printf (self->text, " %s(%d,%d,%d;stride=%d,padding=%d)", names[direction], x, w,
      y, stride, padding);
}

static void
pointwise (GradCudnnGraph * self, cudnnPointwiseMode_t mode, GradCudnnTensor a, GradCudnnTensor b,
    GradCudnnTensor y)
{
  cudnnBackendDescriptor_t kind = create (self, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, self->others);
  cudnnBackendDescriptor_t operation;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  cudnnNanPropagation_t nan = CUDNN_PROPAGATE_NAN;
  double lower = 0, upper = FLT_MAX, slope = 0;
  float alpha = 1;

  SET (kind, POINTWISE_MODE, POINTWISE_MODE, 1, &mode);
  SET (kind, POINTWISE_MATH_PREC, DATA_TYPE, 1, &type);
  if (mode == CUDNN_POINTWISE_RELU_FWD) {
    SET (kind, POINTWISE_NAN_PROPAGATION, NAN_PROPOGATION, 1, &nan);
    SET (kind, POINTWISE_RELU_LOWER_CLIP, DOUBLE, 1, &lower);
    SET (kind, POINTWISE_RELU_UPPER_CLIP, DOUBLE, 1, &upper);
    SET (kind, POINTWISE_RELU_LOWER_CLIP_SLOPE, DOUBLE, 1, &slope);
  }
  finalize (self, kind, "finalising a pointwise operation");

  operation = create (self, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, self->operations);
  SET (operation, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, 1, &kind);
  SET (operation, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, 1, &self->tensors[a]);
  if (b != GRAD_CUDNN_NONE)
    SET (operation, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, 1, &self->tensors[b]);
  SET (operation, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, 1, &self->tensors[y]);
  SET (operation, OPERATION_POINTWISE_ALPHA1, FLOAT, 1, &alpha);
  SET (operation, OPERATION_POINTWISE_ALPHA2, FLOAT, 1, &alpha);
  finalize (self, operation, "adding a pointwise operation");
}

void
grad_cudnn_graph_add (GradCudnnGraph * self, GradCudnnTensor a, GradCudnnTensor b,
    GradCudnnTensor y)
{
  pointwise (self, CUDNN_POINTWISE_ADD, a, b, y);
  g_string_append_printf (self->text, " add(%d,%d,%d)", a, b, y);
}

void
grad_cudnn_graph_relu (GradCudnnGraph * self, GradCudnnTensor a, GradCudnnTensor y)
{
  pointwise (self, CUDNN_POINTWISE_RELU_FWD, a, GRAD_CUDNN_NONE, y);
  g_string_append_printf (self->text, " relu(%d,%d)", a, y);
}

gboolean
grad_cudnn_graph_finish (GradCudnnGraph * self, GradCudnn * cudnn, GError ** error)
{
  self->graph = create (self, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, self->others);
  SET (self->graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, self->operations->len,
      self->operations->pdata);
  if (cudnn->handle != NULL)
    SET (self->graph, OPERATIONGRAPH_HANDLE, HANDLE, 1, &cudnn->handle);
  finalize (self, self->graph, "finalising a graph");
  if (self->error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}
