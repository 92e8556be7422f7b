/* GradStreamer kernels: oneDNN primitives behind one interface for versions 2.6 to 3.x
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The only file that knows how the versions differ: until 2.x a primitive is described by an
 * operation descriptor and memory descriptors are structs; from 3.0 on the former are gone and the
 * latter are opaque. */
#include "kernels/onednn.h"
#include "lib/device/gradcpudevice-private.h"

GST_DEBUG_CATEGORY_STATIC (grad_onednn_debug);
#define GST_CAT_DEFAULT grad_onednn_debug

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t MemoryDesc;
typedef const_dnnl_memory_desc_t ConstMemoryDesc;
#else
typedef dnnl_memory_desc_t *MemoryDesc;
typedef const dnnl_memory_desc_t *ConstMemoryDesc;
#endif

#define ALIGN 64

/* one tensor of a primitive; `inside` is in the primitive's layout, `outside` in the tensor's */
typedef struct
{
  gint arg;                     /* DNNL_ARG_…, 0: not there */
  gboolean output;
  dnnl_memory_t inside, outside;
  dnnl_primitive_t reorder;     /* NULL: both layouts are the same */
  dnnl_memory_t reorder_scratchpad;
  gsize n_elements;
  gsize inside_offset, sum_offset;      /* of buffers in scratch memory */
} Slot;

struct _GradOnednn
{
  GradDevice *device;           /* not owned */
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t primitive;
  dnnl_memory_t scratchpad;
  gsize scratchpad_size, scratch_size;
  Slot slots[GRAD_ONEDNN_N_SLOTS];
};

/* what belongs to a compute thread */
typedef struct
{
  GradDevice *device;           /* not owned: it joins the thread */
  dnnl_stream_t stream;
  guint8 *scratch;              /* only grows, when a primitive is made */
  gsize capacity;
} Thread;

static dnnl_engine_t engine;    /* of the process */

static gboolean
check (dnnl_status_t status, const gchar * call, gint line, GError ** error)
{
  if (status == dnnl_success)
    return TRUE;
  GST_ERROR ("%s:%d: %s: status %d", __FILE__, line, call, status);
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FAILED, "oneDNN failed with status %d in %s (%s:%d)",
      status, call, __FILE__, line);
  return FALSE;
}

#define CHECK(call) check (call, #call, __LINE__, error)

static void
thread_free (gpointer data)
{
  Thread *self = data;

  dnnl_stream_destroy (self->stream);
  if (self->scratch != NULL)
    grad_device_pool_put (self->device, self->scratch, self->capacity);
  g_free (self);
}

static gboolean
open_engine (GError ** error)
{
  static GMutex lock;
  gboolean ok;

  g_mutex_lock (&lock);
  if (engine == NULL)
    GST_DEBUG_CATEGORY_INIT (grad_onednn_debug, "gradonednn", 0, "GradStreamer's use of oneDNN");
  ok = engine != NULL || CHECK (dnnl_engine_create (&engine, dnnl_cpu, 0));
  g_mutex_unlock (&lock);
  return ok;
}

/* The calling thread, with scratch memory of at least that size. */
static Thread *
thread_get (GradDevice * device, gsize scratch_size, GError ** error)
{
  static GPrivate key = G_PRIVATE_INIT (thread_free);
  Thread *self = g_private_get (&key);

  if (self == NULL) {
    dnnl_stream_t stream;

    if (!CHECK (dnnl_stream_create (&stream, engine, dnnl_stream_default_flags)))
      return NULL;
    self = g_new0 (Thread, 1);
    self->device = device;
    self->stream = stream;
    g_private_set (&key, self);
  }
  g_assert (self->device == device);
  if (self->capacity < scratch_size) {
    if (self->scratch != NULL)
      grad_device_pool_put (device, self->scratch, self->capacity);
    self->capacity = 0;
    self->scratch = grad_device_pool_get (device, scratch_size, &self->capacity, error);
    if (self->scratch == NULL)
      return NULL;
  }
  return self;
}

static dnnl_format_tag_t
format_tag (const GradOnednnTensor * tensor, gboolean inside)
{
  if (inside && tensor->any)
    return dnnl_format_tag_any;
  if (tensor->layout != GRAD_LAYOUT_PLAIN)
    return tensor->layout == GRAD_LAYOUT_NCHW16C ? dnnl_nChw16c : dnnl_nChw8c;
  return tensor->shape.rank == 1 ? dnnl_a : tensor->shape.rank == 2 ? dnnl_ab : dnnl_abcd;
}

static gboolean
memory_desc_new (const GradOnednnTensor * tensor, gboolean inside, MemoryDesc * desc,
    GError ** error)
{
  dnnl_format_tag_t tag = format_tag (tensor, inside);
  gint rank = tensor->shape.rank;
  dnnl_dims_t dims;

  *desc = NULL;
  if (rank == 0)
    return TRUE;
  for (gint i = 0; i < rank; i++)
    dims[i] = tensor->shape.dims[i];
#if DNNL_VERSION_MAJOR >= 3
  return CHECK (dnnl_memory_desc_create_with_tag (desc, rank, dims, dnnl_f32, tag));
#else
  *desc = g_new0 (dnnl_memory_desc_t, 1);
  return CHECK (dnnl_memory_desc_init_by_tag (*desc, rank, dims, dnnl_f32, tag));
#endif
}

static void
memory_desc_free (MemoryDesc desc)
{
#if DNNL_VERSION_MAJOR >= 3
  if (desc != NULL)
    dnnl_memory_desc_destroy (desc);
#else
  g_free (desc);
#endif
}

/* scratchpad of ours, DST += …, ReLU */
static gboolean
attributes_new (gboolean add, gboolean relu, dnnl_primitive_attr_t * attr, GError ** error)
{
  dnnl_post_ops_t ops = NULL;
  gboolean ok;

  *attr = NULL;
#if DNNL_VERSION_MAJOR >= 3
#define APPEND_SUM(ops) dnnl_post_ops_append_sum (ops, 1, 0, dnnl_data_type_undef)
#define APPEND_RELU(ops) dnnl_post_ops_append_eltwise (ops, dnnl_eltwise_relu, 0, 0)
#else
#define APPEND_SUM(ops) dnnl_post_ops_append_sum (ops, 1)
#define APPEND_RELU(ops) dnnl_post_ops_append_eltwise (ops, 1, dnnl_eltwise_relu, 0, 0)
#endif
  ok = CHECK (dnnl_primitive_attr_create (attr))
      && CHECK (dnnl_primitive_attr_set_scratchpad_mode (*attr, dnnl_scratchpad_mode_user))
      && CHECK (dnnl_post_ops_create (&ops))
      && (!add || CHECK (APPEND_SUM (ops)))
      && (!relu || CHECK (APPEND_RELU (ops)))
      && CHECK (dnnl_primitive_attr_set_post_ops (*attr, ops));
  if (ops != NULL)
    dnnl_post_ops_destroy (ops);
  return ok;
}

static dnnl_status_t
primitive_desc_new (const GradOnednnDesc * d, const MemoryDesc md[], dnnl_primitive_attr_t attr,
    const_dnnl_primitive_desc_t forward, dnnl_primitive_desc_t * pd)
{
  MemoryDesc src = md[GRAD_ONEDNN_SRC], weights = md[GRAD_ONEDNN_WEIGHTS];
  MemoryDesc bias = md[GRAD_ONEDNN_BIAS], dst = md[GRAD_ONEDNN_DST];
  dnnl_dims_t k = { d->kernel, d->kernel }, s = { d->stride, d->stride };
  dnnl_dims_t p = { d->padding, d->padding };
  gboolean data = d->direction == dnnl_backward_data;
  gboolean gradients = d->direction == dnnl_backward_weights;
  dnnl_alg_kind_t alg = d->algorithm;

#if DNNL_VERSION_MAJOR >= 3
  dnnl_dims_t dense = { 0, 0 };

  if (d->kind == dnnl_convolution && data)
    return dnnl_convolution_backward_data_primitive_desc_create (pd, engine, alg, src, weights, dst,
        s, dense, p, p, forward, attr);
  if (d->kind == dnnl_convolution && gradients)
    return dnnl_convolution_backward_weights_primitive_desc_create (pd, engine, alg, src, weights,
        bias, dst, s, dense, p, p, forward, attr);
  if (d->kind == dnnl_convolution)
    return dnnl_convolution_forward_primitive_desc_create (pd, engine, d->direction, alg, src,
        weights, bias, dst, s, dense, p, p, attr);
  if (d->kind == dnnl_pooling && data)
    return dnnl_pooling_backward_primitive_desc_create (pd, engine, alg, src, dst, s, k, dense, p,
        p, forward, attr);
  if (d->kind == dnnl_pooling)
    return dnnl_pooling_forward_primitive_desc_create (pd, engine, d->direction, alg, src, dst, s,
        k, dense, p, p, attr);
  if (data)
    return dnnl_inner_product_backward_data_primitive_desc_create (pd, engine, src, weights, dst,
        forward, attr);
  if (gradients)
    return dnnl_inner_product_backward_weights_primitive_desc_create (pd, engine, src, weights,
        bias, dst, forward, attr);
  return dnnl_inner_product_forward_primitive_desc_create (pd, engine, d->direction, src, weights,
      bias, dst, attr);
#else
  union
  {
    dnnl_convolution_desc_t convolution;
    dnnl_pooling_desc_t pooling;
    dnnl_inner_product_desc_t inner_product;
  } op;
  dnnl_status_t status;

  if (d->kind == dnnl_convolution && data)
    status = dnnl_convolution_backward_data_desc_init (&op.convolution, alg, src, weights, dst, s,
        p, p);
  else if (d->kind == dnnl_convolution && gradients)
    status = dnnl_convolution_backward_weights_desc_init (&op.convolution, alg, src, weights, bias,
        dst, s, p, p);
  else if (d->kind == dnnl_convolution)
    status = dnnl_convolution_forward_desc_init (&op.convolution, d->direction, alg, src, weights,
        bias, dst, s, p, p);
  else if (d->kind == dnnl_pooling && data)
    status = dnnl_pooling_backward_desc_init (&op.pooling, alg, src, dst, s, k, p, p);
  else if (d->kind == dnnl_pooling)
    status = dnnl_pooling_forward_desc_init (&op.pooling, d->direction, alg, src, dst, s, k, p, p);
  else if (data)
    status = dnnl_inner_product_backward_data_desc_init (&op.inner_product, src, weights, dst);
  else if (gradients)
    status = dnnl_inner_product_backward_weights_desc_init (&op.inner_product, src, weights, bias,
        dst);
  else
    status = dnnl_inner_product_forward_desc_init (&op.inner_product, d->direction, src, weights,
        bias, dst);
  return status != dnnl_success ? status
      : dnnl_primitive_desc_create (pd, &op, attr, engine, forward);
#endif
}

/* space of `size` bytes in the scratch memory: its offset */
static gsize
scratch_add (GradOnednn * self, gsize size)
{
  gsize offset = self->scratch_size;

  self->scratch_size += (size + ALIGN - 1) / ALIGN * ALIGN;
  return offset;
}

/* primitive and the memory object of its scratchpad; all scratchpads start at offset 0 */
static gboolean
primitive_new (GradOnednn * self, const_dnnl_primitive_desc_t pd, dnnl_primitive_t * primitive,
    dnnl_memory_t * scratchpad, GError ** error)
{
  ConstMemoryDesc desc = dnnl_primitive_desc_query_md (pd, dnnl_query_scratchpad_md, 0);

  self->scratchpad_size = MAX (self->scratchpad_size, dnnl_memory_desc_get_size (desc));
  return CHECK (dnnl_primitive_create (primitive, pd))
      && CHECK (dnnl_memory_create (scratchpad, desc, engine, DNNL_MEMORY_NONE));
}

static gboolean
slot_init (GradOnednn * self, Slot * slot, ConstMemoryDesc inside,
    const GradOnednnTensor * tensor, dnnl_primitive_attr_t attr, GError ** error)
{
  dnnl_primitive_desc_t pd = NULL;
  MemoryDesc outside;
  gboolean ok = memory_desc_new (tensor, FALSE, &outside, error)
      && CHECK (dnnl_memory_create (&slot->inside, inside, engine, DNNL_MEMORY_NONE));

  if (ok && outside != NULL && !dnnl_memory_desc_equal (inside, outside)) {
    ok = CHECK (dnnl_memory_create (&slot->outside, outside, engine, DNNL_MEMORY_NONE))
        && CHECK (dnnl_reorder_primitive_desc_create (&pd, slot->output ? inside : outside, engine,
            slot->output ? outside : inside, engine, attr))
        && primitive_new (self, pd, &slot->reorder, &slot->reorder_scratchpad, error);
    if (pd != NULL)
      dnnl_primitive_desc_destroy (pd);
  }
  memory_desc_free (outside);
  return ok;
}

GradOnednnTensor
grad_onednn_activation (GradDevice * device, GradShape shape)
{
  return (GradOnednnTensor) {.shape = shape,.layout =
        GRAD_DEVICE_GET_CLASS (device)->activation_layout (device, GRAD_DTYPE_FLOAT32, &shape)};
}

GradOnednnTensor
grad_onednn_parameter (GradShape shape)
{
  return (GradOnednnTensor) {.shape = shape,.layout = GRAD_LAYOUT_PLAIN,.any = shape.rank > 1};
}

GradOnednn *
grad_onednn_new (GradDevice * device, const GradOnednnDesc * desc, const GradOnednn * forward,
    GError ** error)
{
  static const gint forward_args[] =
      { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST, DNNL_ARG_WORKSPACE };
  static const gint data_args[] =
      { DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, 0, DNNL_ARG_DIFF_DST, DNNL_ARG_WORKSPACE };
  static const gint weights_args[] =
      { DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST, 0 };
  gboolean data = desc->direction == dnnl_backward_data;
  gboolean gradients = desc->direction == dnnl_backward_weights;
  const gint *args = data ? data_args : gradients ? weights_args : forward_args;
  MemoryDesc md[GRAD_ONEDNN_N_SLOTS] = { NULL };
  dnnl_primitive_attr_t attr = NULL, reorder_attr = NULL;
  GradOnednn *self;
  const gchar *name = "";
  gboolean ok;

  if (!open_engine (error))
    return NULL;
  self = g_new0 (GradOnednn, 1);
  self->device = device;
  ok = attributes_new (desc->add, desc->relu, &attr, error)
      && attributes_new (FALSE, FALSE, &reorder_attr, error);
  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS && ok; i++)
    ok = memory_desc_new (&desc->tensors[i], TRUE, &md[i], error);
  ok = ok && CHECK (primitive_desc_new (desc, md, attr, forward ? forward->pd : NULL, &self->pd))
      && primitive_new (self, self->pd, &self->primitive, &self->scratchpad, error);
  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS && ok; i++) {
    Slot *slot = &self->slots[i];
    ConstMemoryDesc inside = args[i] == 0 ? NULL
        : dnnl_primitive_desc_query_md (self->pd, dnnl_query_exec_arg_md, args[i]);
    gsize size = inside == NULL ? 0 : dnnl_memory_desc_get_size (inside);

    if (size == 0)
      continue;
    slot->arg = args[i];
    slot->output = i == (data ? GRAD_ONEDNN_SRC : GRAD_ONEDNN_DST);
    if (gradients)
      slot->output = i == GRAD_ONEDNN_WEIGHTS || i == GRAD_ONEDNN_BIAS;
    ok = slot_init (self, slot, inside, &desc->tensors[i], reorder_attr, error);
    if (desc->tensors[i].shape.rank > 0)
      slot->n_elements = grad_shape_n_elements (&desc->tensors[i].shape);
    if (slot->reorder != NULL)
      slot->inside_offset = scratch_add (self, size);
    if (gradients && slot->output)
      slot->sum_offset = scratch_add (self, slot->n_elements * sizeof (gfloat));
  }
  self->scratchpad_size = (self->scratchpad_size + ALIGN - 1) / ALIGN * ALIGN;
  ok = ok && thread_get (device, self->scratchpad_size + self->scratch_size, error) != NULL;

  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS; i++)
    memory_desc_free (md[i]);
  if (attr != NULL)
    dnnl_primitive_attr_destroy (attr);
  if (reorder_attr != NULL)
    dnnl_primitive_attr_destroy (reorder_attr);
  if (!ok) {
    grad_onednn_free (self);
    return NULL;
  }
  dnnl_primitive_desc_query (self->pd, dnnl_query_impl_info_str, 0, &name);
  GST_DEBUG ("%s: %" G_GSIZE_FORMAT " + %" G_GSIZE_FORMAT " bytes of scratch memory", name,
      self->scratchpad_size, self->scratch_size);
  return self;
}

void
grad_onednn_free (GradOnednn * self)
{
  if (self == NULL)
    return;
  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS; i++) {
    Slot *slot = &self->slots[i];

    /* oneDNN refuses NULL with a status and does nothing else */
    dnnl_memory_destroy (slot->inside);
    dnnl_memory_destroy (slot->outside);
    dnnl_memory_destroy (slot->reorder_scratchpad);
    dnnl_primitive_destroy (slot->reorder);
  }
  dnnl_memory_destroy (self->scratchpad);
  dnnl_primitive_destroy (self->primitive);
  dnnl_primitive_desc_destroy (self->pd);
  g_free (self);
}

gsize
grad_onednn_workspace_size (const GradOnednn * self)
{
  return dnnl_memory_desc_get_size (dnnl_primitive_desc_query_md (self->pd,
          dnnl_query_workspace_md, 0));
}

static gboolean
reorder (Thread * thread, Slot * slot, GError ** error)
{
  dnnl_exec_arg_t args[] = {
    {DNNL_ARG_FROM, slot->output ? slot->inside : slot->outside},
    {DNNL_ARG_TO, slot->output ? slot->outside : slot->inside},
    {DNNL_ARG_SCRATCHPAD, slot->reorder_scratchpad},
  };

  return CHECK (dnnl_memory_set_data_handle (slot->reorder_scratchpad, thread->scratch))
      && CHECK (dnnl_primitive_execute (slot->reorder, thread->stream, 3, args));
}

static void
add (gfloat * to, const gfloat * from, gsize n)
{
#pragma omp parallel for simd schedule(static)
  for (gsize i = 0; i < n; i++)
    to[i] += from[i];
}

gboolean
grad_onednn_run (GradOnednn * self, const GradTensor * const tensors[GRAD_ONEDNN_N_SLOTS],
    gboolean accumulate, GError ** error)
{
  Thread *thread = thread_get (self->device, self->scratchpad_size + self->scratch_size, error);
  dnnl_exec_arg_t args[GRAD_ONEDNN_N_SLOTS + 1];
  gint n_args = 0;
  guint8 *buffers;

  if (thread == NULL)
    return FALSE;
  buffers = thread->scratch + self->scratchpad_size;

  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS; i++) {
    Slot *slot = &self->slots[i];
    gpointer outside, inside;

    if (slot->arg == 0)
      continue;
    outside = slot->output && accumulate ? buffers + slot->sum_offset
        : grad_tensor_data (tensors[i]);
    inside = slot->reorder ? buffers + slot->inside_offset : outside;
    if (!CHECK (dnnl_memory_set_data_handle (slot->inside, inside)))
      return FALSE;
    if (slot->reorder && (!CHECK (dnnl_memory_set_data_handle (slot->outside, outside))
            || (!slot->output && !reorder (thread, slot, error))))
      return FALSE;
    args[n_args++] = (dnnl_exec_arg_t) {slot->arg, slot->inside};
  }
  args[n_args++] = (dnnl_exec_arg_t) {DNNL_ARG_SCRATCHPAD, self->scratchpad};
  if (!CHECK (dnnl_memory_set_data_handle (self->scratchpad, thread->scratch))
      || !CHECK (dnnl_primitive_execute (self->primitive, thread->stream, n_args, args)))
    return FALSE;

  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS; i++) {
    Slot *slot = &self->slots[i];

    if (slot->output && slot->reorder && !reorder (thread, slot, error))
      return FALSE;
    if (slot->output && accumulate)
      add (grad_tensor_data (tensors[i]), (gfloat *) (buffers + slot->sum_offset),
          slot->n_elements);
  }
  return CHECK (dnnl_stream_wait (thread->stream));
}
