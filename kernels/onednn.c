/* GradStreamer kernels: oneDNN primitives with all that they need
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/onednn-private.h"
#include "lib/device/gradcpudevice-private.h"

GST_DEBUG_CATEGORY_STATIC (grad_onednn_debug);
#define GST_CAT_DEFAULT grad_onednn_debug

#define ALIGN 64

static dnnl_engine_t engine;    /* of the process */

gboolean
grad_onednn_check (dnnl_status_t status, const gchar * call, const gchar * file, gint line,
    GError ** error)
{
  if (status == dnnl_success)
    return TRUE;
  GST_ERROR ("%s:%d: %s: status %d", file, line, call, status);
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FAILED, "oneDNN failed with status %d in %s (%s:%d)",
      status, call, file, line);
  return FALSE;
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

static void
stream_free (gpointer stream)
{
  dnnl_stream_destroy (stream);
}

dnnl_stream_t
grad_onednn_stream (GError ** error)
{
  static GPrivate key = G_PRIVATE_INIT (stream_free);
  dnnl_stream_t stream = g_private_get (&key);

  if (stream == NULL && CHECK (dnnl_stream_create (&stream, engine, dnnl_stream_default_flags)))
    g_private_set (&key, stream);
  return stream;
}

/* of the tensor, or as the primitive takes it */
static gboolean
is_bf16 (const GradOnednnTensor * tensor, gboolean inside)
{
  return inside ? tensor->bf16 : grad_cpu_layout_is_bf16 (tensor->layout);
}

static dnnl_format_tag_t
format_tag (const GradOnednnTensor * tensor, gboolean inside)
{
  if (inside && tensor->any)
    return dnnl_format_tag_any;
  switch (tensor->layout & ~GRAD_LAYOUT_BF16) {
    case 16:
      return dnnl_nChw16c;
    case 8:
      return dnnl_nChw8c;
    case 4:
      return dnnl_nChw4c;
    case 16 | GRAD_LAYOUT_OIHW:
      return dnnl_OIhw16i16o;
    case 8 | GRAD_LAYOUT_OIHW:
      return dnnl_OIhw8i8o;
    case 4 | GRAD_LAYOUT_OIHW:
      return dnnl_OIhw4i4o;
  }
  return tensor->shape.rank == 1 ? dnnl_a : tensor->shape.rank == 2 ? dnnl_ab : dnnl_abcd;
}

static gboolean
memory_desc_new (const GradOnednnTensor * tensor, gboolean inside, GradOnednnMd * md,
    GError ** error)
{
  dnnl_dims_t dims;

  *md = NULL;
  if (tensor->shape.rank == 0)
    return TRUE;
  for (guint i = 0; i < tensor->shape.rank; i++)
    dims[i] = tensor->shape.dims[i];
  return CHECK (grad_onednn_memory_desc_new (tensor->shape.rank, dims,
          is_bf16 (tensor, inside) ? dnnl_bf16 : dnnl_f32, format_tag (tensor, inside), md));
}

/* scratchpad of ours, DST += …, ReLU */
static gboolean
attributes_new (gboolean add, gboolean relu, dnnl_primitive_attr_t * attr, GError ** error)
{
  dnnl_post_ops_t ops = NULL;
  gboolean ok;

  *attr = NULL;
  ok = CHECK (dnnl_primitive_attr_create (attr))
      && CHECK (dnnl_primitive_attr_set_scratchpad_mode (*attr, dnnl_scratchpad_mode_user))
      && CHECK (dnnl_post_ops_create (&ops))
      && (!add || CHECK (grad_onednn_append_sum (ops)))
      && (!relu || CHECK (grad_onednn_append_relu (ops)))
      && CHECK (dnnl_primitive_attr_set_post_ops (*attr, ops));
  if (ops != NULL)
    dnnl_post_ops_destroy (ops);
  return ok;
}

static const gchar *
implementation (GradOnednn * self)
{
  const gchar *name = "";

  dnnl_primitive_desc_query (self->pd, dnnl_query_impl_info_str, 0, &name);
  return name;
}

/* sets or replaces self->pd */
static gboolean
describe (GradOnednn * self, const GradOnednnDesc * desc, dnnl_primitive_attr_t attr,
    const GradOnednn * forward, GError ** error)
{
  GradOnednnMd md[GRAD_ONEDNN_N_SLOTS] = { NULL };
  gboolean ok = TRUE;

  if (self->pd != NULL)
    dnnl_primitive_desc_destroy (g_steal_pointer (&self->pd));
  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS && ok; i++)
    ok = memory_desc_new (&desc->tensors[i], TRUE, &md[i], error);
  ok = ok && CHECK (grad_onednn_primitive_desc_new (engine, desc, md, attr,
          forward ? forward->pd : NULL, &self->pd));
  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS; i++)
    grad_onednn_memory_desc_free (md[i]);
  return ok;
}

/* space of `size` bytes in the scratch memory: its offset */
static gsize
scratch_add (GradOnednn * self, gsize size)
{
  gsize offset = self->scratch_size;

  self->scratch_size += (size + ALIGN - 1) / ALIGN * ALIGN;
  return offset;
}

/* all scratchpads start at offset 0 */
static gboolean
step_init (GradOnednn * self, GradOnednnStep * step, const_dnnl_primitive_desc_t pd,
    GError ** error)
{
  GradOnednnConstMd desc = dnnl_primitive_desc_query_md (pd, dnnl_query_scratchpad_md, 0);

  self->scratchpad_size = MAX (self->scratchpad_size, dnnl_memory_desc_get_size (desc));
  return CHECK (dnnl_primitive_create (&step->primitive, pd))
      && CHECK (dnnl_memory_create (&step->scratchpad, desc, engine, DNNL_MEMORY_NONE));
}

static gboolean
reorder_init (GradOnednn * self, GradOnednnStep * step, GradOnednnConstMd from,
    GradOnednnConstMd to, dnnl_primitive_attr_t attr, GError ** error)
{
  dnnl_primitive_desc_t pd = NULL;
  gboolean ok = CHECK (dnnl_reorder_primitive_desc_create (&pd, from, engine, to, engine, attr))
      && step_init (self, step, pd, error);

  if (pd != NULL)
    dnnl_primitive_desc_destroy (pd);
  return ok;
}

/* Whether `inside` is the tensor in floats: before AVX-512 oneDNN changes types by plain C, which takes ten times as long as
 * convolving. */
static gboolean
is_in_floats (GradOnednnConstMd inside, const GradOnednnTensor * tensor)
{
  GradOnednnTensor floats = *tensor;
  GradOnednnMd md;
  gboolean same;

  floats.layout &= ~GRAD_LAYOUT_BF16;
  same = memory_desc_new (&floats, FALSE, &md, NULL) && dnnl_memory_desc_equal (inside, md);
  grad_onednn_memory_desc_free (md);
  return same;
}

static gboolean
part_init (GradOnednn * self, GradOnednnPart * part, GradOnednnConstMd inside,
    const GradOnednnTensor * tensor, dnnl_primitive_attr_t attr, GError ** error)
{
  GradOnednnMd outside;
  gboolean ok = memory_desc_new (tensor, FALSE, &outside, error)
      && CHECK (dnnl_memory_create (&part->inside, inside, engine, DNNL_MEMORY_NONE));

  if (ok && outside != NULL && !dnnl_memory_desc_equal (inside, outside)) {
    part->converted = is_bf16 (tensor, FALSE) && is_in_floats (inside, tensor);
    ok = CHECK (dnnl_memory_create (&part->outside, outside, engine, DNNL_MEMORY_NONE));
    if (part->input && !part->converted)
      ok = ok && reorder_init (self, &part->load, outside, inside, attr, error);
    if (part->output && !part->converted)
      ok = ok && reorder_init (self, &part->store, inside, outside, attr, error);
  }
  grad_onednn_memory_desc_free (outside);
  return ok;
}

/* Whether oneDNN has primitives for bfloat16 here: before AVX-512 it can do no more than reorder it, and elsewhere nobody has tried. */
static gboolean
has_bf16 (void)
{
#if defined (__x86_64__)
  return (dnnl_get_effective_cpu_isa () & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
#else
  return FALSE;
#endif
}

GradOnednnTensor
grad_onednn_activation (GradDevice * device, GradShape shape)
{
  guint layout = GRAD_DEVICE_GET_CLASS (device)->activation_layout (device, GRAD_DTYPE_FLOAT32,
      &shape);

  return (GradOnednnTensor) {.shape = shape,.layout = layout,
    .bf16 = grad_cpu_layout_is_bf16 (layout) && has_bf16 ()
  };
}

GradOnednnTensor
grad_onednn_parameter (GradDevice * device, GradShape shape)
{
  return (GradOnednnTensor) {.shape = shape,.layout =
        GRAD_DEVICE_GET_CLASS (device)->parameter_layout (device, &shape),.any = shape.rank > 1};
}

guint8 *
grad_onednn_scratch (const GradOnednn * self, GError ** error)
{
  return grad_cpu_scratch (self->device, MAX (1, self->scratchpad_size + self->scratch_size), error);
}

typedef struct
{
  GradDevice *device;
  const GradOnednnDesc *desc;
  const GradOnednn *forward;
  GradOnednn *made;
} Making;

static gboolean
make (gpointer making, GError ** error)
{
  static const gint forward_args[] =
      { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST };
  static const gint data_args[] =
      { DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, 0, DNNL_ARG_DIFF_DST };
  static const gint weights_args[] =
      { DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST };
  GradDevice *device = ((Making *) making)->device;
  const GradOnednnDesc *desc = ((Making *) making)->desc;
  const GradOnednn *forward = ((Making *) making)->forward;
  gboolean data = desc->direction == dnnl_backward_data;
  gboolean gradients = desc->direction == dnnl_backward_weights;
  const gint *args = data ? data_args : gradients ? weights_args : forward_args;
  dnnl_primitive_attr_t attr = NULL, reorder_attr = NULL;
  GradOnednnDesc choice = *desc;
  GradOnednn *self;
  gboolean ok;

  if (!open_engine (error))
    return FALSE;
  self = g_new0 (GradOnednn, 1);
  self->device = device;
  ok = attributes_new (desc->add, desc->relu, &attr, error)
      && attributes_new (FALSE, FALSE, &reorder_attr, error);
  ok = ok && describe (self, &choice, attr, forward, error);
  if (ok && choice.kind == dnnl_convolution && g_str_has_prefix (implementation (self), "ref")) {
    /* oneDNN's plain C, a thousand times slower: reorder activations as well */
    choice.tensors[GRAD_ONEDNN_SRC].any = choice.tensors[GRAD_ONEDNN_DST].any = TRUE;
    ok = describe (self, &choice, attr, forward, error);
  }
  ok = ok && step_init (self, &self->step, self->pd, error);
  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS && ok; i++) {
    GradOnednnPart *part = &self->parts[i];
    GradOnednnConstMd inside = args[i] == 0 ? NULL
        : dnnl_primitive_desc_query_md (self->pd, dnnl_query_exec_arg_md, args[i]);
    gsize size = inside == NULL ? 0 : dnnl_memory_desc_get_size (inside);

    if (size == 0)
      continue;
    part->arg = args[i];
    part->output = i == (data ? GRAD_ONEDNN_SRC : GRAD_ONEDNN_DST);
    if (gradients)
      part->output = i == GRAD_ONEDNN_WEIGHTS || i == GRAD_ONEDNN_BIAS;
    part->input = !part->output || desc->add;
    ok = part_init (self, part, inside, &desc->tensors[i], reorder_attr, error);
    part->n_elements = grad_shape_n_elements (&desc->tensors[i].shape);
    if (gradients && part->output)
      part->sum_offset = scratch_add (self, part->n_elements * sizeof (gfloat));
    if (part->outside == NULL)
      continue;
    if (i == GRAD_ONEDNN_SRC || i == GRAD_ONEDNN_DST)
      self->reorders |= is_bf16 (&desc->tensors[i], FALSE) == is_bf16 (&desc->tensors[i], TRUE);
    if (i != GRAD_ONEDNN_WEIGHTS || !desc->keep)
      part->inside_offset = scratch_add (self, size);
    else if (ok && (self->kept = grad_device_storage_new (device, size, error)) != NULL)
      self->kept_size = size;
    else
      ok = FALSE;
  }
  self->scratchpad_size = (self->scratchpad_size + ALIGN - 1) / ALIGN * ALIGN;
  ok = ok && grad_onednn_scratch (self, error) != NULL;

  if (attr != NULL)
    dnnl_primitive_attr_destroy (attr);
  if (reorder_attr != NULL)
    dnnl_primitive_attr_destroy (reorder_attr);
  if (!ok) {
    grad_onednn_free (self);
    return FALSE;
  }
  GST_DEBUG ("%s: %" G_GSIZE_FORMAT " + %" G_GSIZE_FORMAT " bytes of scratch memory",
      implementation (self), self->scratchpad_size, self->scratch_size);
  ((Making *) making)->made = self;
  return TRUE;
}

GradOnednn *
grad_onednn_new (GradDevice * device, const GradOnednnDesc * desc, const GradOnednn * forward,
    GError ** error)
{
  Making making = { device, desc, forward, NULL };

  grad_device_call_compute_thread (device, make, &making, error);
  return making.made;
}

/* both may be NULL */
static void
step_clear (GradOnednnStep * step)
{
  dnnl_memory_destroy (step->scratchpad);
  dnnl_primitive_destroy (step->primitive);
}

gboolean
grad_onednn_reorders (const GradOnednn * self)
{
  return self->reorders;
}

void
grad_onednn_free (GradOnednn * self)
{
  if (self == NULL)
    return;
  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS; i++) {
    GradOnednnPart *part = &self->parts[i];

    dnnl_memory_destroy (part->inside);
    dnnl_memory_destroy (part->outside);
    step_clear (&part->load);
    step_clear (&part->store);
  }
  step_clear (&self->step);
  dnnl_primitive_desc_destroy (self->pd);
  if (self->kept != NULL)
    grad_device_storage_free (self->device, self->kept, self->kept_size);
  g_free (self);
}
