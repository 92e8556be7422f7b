/* GradStreamer: a dense tensor in a GstMemory
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradtensor-private.h"
#include "../device/graddevice-private.h"

GST_DEFINE_MINI_OBJECT_TYPE (GradTensor, grad_tensor);

#define GRAD_TYPE_TENSOR_ALLOCATOR (grad_tensor_allocator_get_type ())
G_DECLARE_FINAL_TYPE (GradTensorAllocator, grad_tensor_allocator, GRAD, TENSOR_ALLOCATOR,
    GstAllocator)

struct _GradTensorAllocator
{
  GstAllocator parent;
};

G_DEFINE_FINAL_TYPE (GradTensorAllocator, grad_tensor_allocator, GST_TYPE_ALLOCATOR);

static void
grad_tensor_allocator_free (GstAllocator * allocator, GstMemory * memory)
{
  GradTensor *self = (GradTensor *) memory;

  if (self->fetch != NULL)
    GRAD_DEVICE_GET_CLASS (self->device)->end_fetch (self, self->fetch, NULL, NULL);
  if (self->pooled)
    grad_device_pool_put (self->device, self->data, self->capacity);
  else
    grad_device_storage_free (self->device, self->data, self->capacity);
  g_free (self->host);
  g_mutex_clear (&self->lock);
  g_object_unref (self->device);
  g_free (self);
}

void
grad_tensor_touch (GradTensor * tensor)
{
  static GMutex mutex;
  static guint64 last;

  g_mutex_lock (&mutex);
  tensor->version = ++last;
  g_mutex_unlock (&mutex);
}

static void
grad_tensor_unmap (GstMemory * memory, GstMapInfo * info)
{
}

/* A part of a tensor is no tensor: regions are copied, never shared. */
static GstMemory *
grad_tensor_share (GstMemory * memory, gssize offset, gssize size)
{
  return NULL;
}

static void
grad_tensor_allocator_class_init (GradTensorAllocatorClass * klass)
{
  GST_ALLOCATOR_CLASS (klass)->free = grad_tensor_allocator_free;
}

static void
grad_tensor_allocator_init (GradTensorAllocator * self)
{
  GstAllocator *allocator = GST_ALLOCATOR (self);

  allocator->mem_type = GRAD_TENSOR_MEMORY_TYPE;
  allocator->mem_map_full = grad_tensor_map;
  allocator->mem_unmap_full = grad_tensor_unmap;
  allocator->mem_share = grad_tensor_share;
  GST_OBJECT_FLAG_SET (self, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC);
}

static GstAllocator *
tensor_allocator (void)
{
  static gsize once = 0;

  if (g_once_init_enter (&once)) {
    GstAllocator *allocator = g_object_new (GRAD_TYPE_TENSOR_ALLOCATOR, NULL);

    gst_object_ref_sink (allocator);
    GST_OBJECT_FLAG_SET (allocator, GST_OBJECT_FLAG_MAY_BE_LEAKED);
    g_once_init_leave (&once, (gsize) allocator);
  }
  return (GstAllocator *) once;
}

static gpointer
get_storage (GradDevice * device, gsize size, gboolean pooled, gsize * capacity, GError ** error)
{
  *capacity = size;
  return pooled ? grad_device_pool_get (device, size, capacity, error) : grad_device_storage_new (device, size, error);
}

static GradTensor *
tensor_new (GradDevice * device, GradDType dtype, const GradShape * shape, guint layout,
    gboolean pooled, GError ** error)
{
  gsize size, capacity, dense;
  gpointer data;
  GradTensor *self;

  if (!grad_shape_is_valid (shape)) {
    g_autofree gchar *text = grad_shape_to_string (shape);
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "no tensor can have the shape %s", text);
    return NULL;
  }
  size = GRAD_DEVICE_GET_CLASS (device)->storage_size (device, dtype, shape, layout);
  data = get_storage (device, size, pooled, &capacity, error);
  if (data == NULL && grad_device_peek_current () != device) {
    grad_device_make_room (device);
    g_clear_error (error);
    data = get_storage (device, size, pooled, &capacity, error);
  }
  if (data == NULL)
    return NULL;

  self = g_new0 (GradTensor, 1);
  dense = grad_shape_n_elements (shape) * grad_dtype_size (dtype);
  gst_memory_init (GST_MEMORY_CAST (self), 0, tensor_allocator (), NULL, dense, 63, 0, dense);
  self->device = g_object_ref (device);
  self->dtype = dtype;
  self->shape = *shape;
  self->layout = layout;
  self->data = data;
  self->capacity = capacity;
  self->pooled = pooled;
  grad_tensor_touch (self);
  g_mutex_init (&self->lock);
  return self;
}

GradTensor *
grad_tensor_new_full (GradDevice * device, GradDType dtype, const GradShape * shape,
    guint layout, GError ** error)
{
  return tensor_new (device, dtype, shape, layout, TRUE, error);
}

/**
 * grad_tensor_new:
 * @device: where
 * @dtype: element type
 * @shape: shape
 * @error: location of a #GError
 *
 * Makes a tensor for activations, in the layout that the device likes. Values are undefined.
 *
 * Returns: (transfer full) (nullable): the tensor, or %NULL with %GRAD_ERROR_SHAPE or
 *   %GRAD_ERROR_NO_MEMORY
 */
GradTensor *
grad_tensor_new (GradDevice * device, GradDType dtype, const GradShape * shape, GError ** error)
{
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (device);
  guint layout = klass->activation_layout
      ? klass->activation_layout (device, dtype, shape) : GRAD_LAYOUT_PLAIN;

  return grad_tensor_new_full (device, dtype, shape, layout, error);
}

/**
 * grad_tensor_new_plain:
 * @device: where
 * @dtype: element type
 * @shape: shape
 * @error: location of a #GError
 *
 * Makes a tensor for statistics, labels and the like: dense and row-major. Values are undefined.
 *
 * Returns: (transfer full) (nullable): the tensor, or %NULL as grad_tensor_new()
 */
GradTensor *
grad_tensor_new_plain (GradDevice * device, GradDType dtype, const GradShape * shape,
    GError ** error)
{
  return grad_tensor_new_full (device, dtype, shape, GRAD_LAYOUT_PLAIN, error);
}

/**
 * grad_tensor_new_parameter:
 * @device: where
 * @shape: shape
 * @error: location of a #GError
 *
 * Makes a float32 tensor for a parameter, its gradient or a moment of it, in the layout that the device likes for
 * parameters of that shape. Values are undefined.
 *
 * Returns: (transfer full) (nullable): the tensor, or %NULL as grad_tensor_new()
 */
GradTensor *
grad_tensor_new_parameter (GradDevice * device, const GradShape * shape, GError ** error)
{
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (device);
  guint layout = klass->parameter_layout ? klass->parameter_layout (device, shape) : GRAD_LAYOUT_PLAIN;

  return tensor_new (device, GRAD_DTYPE_FLOAT32, shape, layout, FALSE, error);
}

GradTensor *
grad_tensor_new_lasting (GradDevice * device, GradDType dtype, const GradShape * shape, GError ** error)
{
  return tensor_new (device, dtype, shape, GRAD_LAYOUT_PLAIN, FALSE, error);
}

/**
 * grad_tensor_ref:
 * @tensor: a tensor
 *
 * Returns: (transfer full): @tensor
 */
GradTensor *
grad_tensor_ref (GradTensor * tensor)
{
  gst_memory_ref (GST_MEMORY_CAST (tensor));
  return tensor;
}

/**
 * grad_tensor_unref:
 * @tensor: (transfer full): a tensor
 */
void
grad_tensor_unref (GradTensor * tensor)
{
  gst_memory_unref (GST_MEMORY_CAST (tensor));
}

/**
 * grad_tensor_truncate:
 * @tensor: a tensor made by grad_tensor_new(), of which nobody else has a reference
 * @n: samples to keep, from the first on
 *
 * Drops the last samples of a batch that did not fill.
 */
void
grad_tensor_truncate (GradTensor * tensor, gint n)
{
  g_return_if_fail (grad_tensor_is_exclusive (tensor) && n >= 1 && n <= tensor->shape.dims[0]);
  /* in every layout of activations samples lie one behind the other */
  tensor->shape.dims[0] = n;
  tensor->memory.size = tensor->memory.maxsize =
      grad_shape_n_elements (&tensor->shape) * grad_dtype_size (tensor->dtype);
}

GradTensor *
grad_tensor_hold (GradTensor * tensor)
{
  gst_mini_object_lock (GST_MINI_OBJECT_CAST (tensor), GST_LOCK_FLAG_EXCLUSIVE);
  return grad_tensor_ref (tensor);
}

void
grad_tensor_release (GradTensor * tensor)
{
  gst_mini_object_unlock (GST_MINI_OBJECT_CAST (tensor), GST_LOCK_FLAG_EXCLUSIVE);
  grad_tensor_unref (tensor);
}

/**
 * grad_memory_is_tensor:
 * @memory: a memory
 *
 * Returns: whether it is a #GradTensor
 */
gboolean
grad_memory_is_tensor (GstMemory * memory)
{
  return memory->allocator == tensor_allocator ();
}

/**
 * grad_tensor_get_device:
 * @tensor: a tensor
 *
 * Returns: (transfer none): where it lives
 */
GradDevice *
grad_tensor_get_device (GradTensor * tensor)
{
  return tensor->device;
}

/**
 * grad_tensor_get_dtype:
 * @tensor: a tensor
 *
 * Returns: its logical element type
 */
GradDType
grad_tensor_get_dtype (GradTensor * tensor)
{
  return tensor->dtype;
}

/**
 * grad_tensor_get_shape:
 * @tensor: a tensor
 *
 * Returns: (transfer none): its logical shape
 */
const GradShape *
grad_tensor_get_shape (GradTensor * tensor)
{
  return &tensor->shape;
}

/**
 * grad_tensor_get_layout_name:
 * @tensor: a tensor
 *
 * How its values lie on the device, for who maps it with %GRAD_MAP_DEVICE: "plain" is dense and row-major, of the
 * logical type; "nChw16c", "nChw8c" and "nChw4c" have blocks of so many channels innermost, "nChw16c-bf16" and so on the same as bfloat16;
 * "nhwc-f32" and "nhwc-bf16" have channels innermost, as float or bfloat16; "f64" is dense doubles.
 *
 * Returns: the name of its layout
 */
const gchar *
grad_tensor_get_layout_name (GradTensor * tensor)
{
  return GRAD_DEVICE_GET_CLASS (tensor->device)->layout_name (tensor->dtype, tensor->layout);
}
