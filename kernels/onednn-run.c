/* GradStreamer kernels: oneDNN primitives at work
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/onednn-private.h"
#include "kernels/cpu.h"
#include "lib/device/gradcpudevice-private.h"

/* what a primitive runs with */
typedef struct
{
  dnnl_stream_t stream;
  guint8 *scratch;
} Place;

/* args: n of them, and room for one more */
static gboolean
step_run (const GradOnednnStep * step, const Place * place, dnnl_exec_arg_t * args, gint n,
    GError ** error)
{
  args[n] = (dnnl_exec_arg_t) {DNNL_ARG_SCRATCHPAD, step->scratchpad};
  return CHECK (dnnl_memory_set_data_handle (step->scratchpad, place->scratch))
      && CHECK (dnnl_primitive_execute (step->primitive, place->stream, n + 1, args));
}

#define CHUNK 16384             /* elements that one thread converts or adds at a time */

typedef struct
{
  gpointer from, to;
  gsize n;
  gboolean to_bf16;             /* from float, or the other way round */
} Conversion;

GRAD_INLINE void
convert_elements (const Conversion * c, gsize from, gsize end, gboolean to_bf16)
{
  GRAD_IVDEP
  for (gsize i = from; i < end; i++)
    grad_store (c->to, i, grad_load (c->from, i, !to_bf16), to_bf16);
}

GRAD_CLONES static void
convert_chunk (gsize i, gpointer data)
{
  const Conversion *c = data;
  gsize end = MIN ((i + 1) * CHUNK, c->n);

  if (c->to_bf16)
    convert_elements (c, i * CHUNK, end, TRUE);
  else
    convert_elements (c, i * CHUNK, end, FALSE);
}

static gboolean
convert (dnnl_memory_t from, dnnl_memory_t to, Conversion c, GError ** error)
{
  if (!CHECK (dnnl_memory_get_data_handle (from, &c.from))
      || !CHECK (dnnl_memory_get_data_handle (to, &c.to)))
    return FALSE;
  grad_parallel_for ((c.n + CHUNK - 1) / CHUNK, convert_chunk, &c);
  grad_parallel_rest ();
  return TRUE;
}

/* To the primitive's layout and type, or back, where it has others */
static gboolean
reorder (const GradOnednnPart * part, GradOnednnSlot slot, gboolean load, const Place * place,
    GError ** error)
{
  dnnl_memory_t from = load ? part->outside : part->inside;
  dnnl_memory_t to = load ? part->inside : part->outside;

  if (part->outside == NULL || !(load ? part->input : part->output))
    return TRUE;
  if (slot == GRAD_ONEDNN_WEIGHTS || slot == GRAD_ONEDNN_BIAS)
    g_atomic_int_inc (&grad_cpu_reorders.parameters);
  else
    g_atomic_int_inc (&grad_cpu_reorders.activations);
  if (part->converted)
    return convert (from, to, (Conversion) {.n = part->n_elements,.to_bf16 = !load }, error);
  return step_run (load ? &part->load : &part->store, place,
      (dnnl_exec_arg_t[3]) { {DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to} }, 2, error);
}

typedef struct
{
  gfloat *to;
  const gfloat *from;
  gsize n;
} Sum;

GRAD_CLONES static void
add_chunk (gsize i, gpointer data)
{
  const Sum *sum = data;
  gsize end = MIN ((i + 1) * CHUNK, sum->n);

  GRAD_IVDEP
  for (i *= CHUNK; i < end; i++)
    sum->to[i] += sum->from[i];
}

typedef struct
{
  GradOnednn *self;
  const GradTensor *const *tensors;
  gboolean accumulate;
} Running;

static gboolean
run (gpointer data, GError ** error)
{
  const Running *running = data;
  GradOnednn *self = running->self;
  const GradTensor *const *tensors = running->tensors;
  gboolean accumulate = running->accumulate;
  Place place = { grad_onednn_stream (error), grad_onednn_scratch (self, error) };
  dnnl_exec_arg_t args[GRAD_ONEDNN_N_SLOTS + 1];
  gint n_args = 0;
  guint8 *buffers;

  if (place.stream == NULL || place.scratch == NULL)
    return FALSE;
  buffers = place.scratch + self->scratchpad_size;
  grad_parallel_rest ();

  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS; i++) {
    GradOnednnPart *part = &self->parts[i];
    gboolean kept = i == GRAD_ONEDNN_WEIGHTS && self->kept;
    gpointer outside, inside;

    if (part->arg == 0)
      continue;
    outside = part->output && accumulate ? buffers + part->sum_offset
        : grad_tensor_data (tensors[i]);
    inside = kept ? self->kept : part->outside ? buffers + part->inside_offset : outside;
    if (!CHECK (dnnl_memory_set_data_handle (part->inside, inside))
        || (part->outside && !CHECK (dnnl_memory_set_data_handle (part->outside, outside)))
        || (!(kept && self->kept_version == tensors[i]->version)
            && !reorder (part, i, TRUE, &place, error)))
      return FALSE;
    if (kept)
      self->kept_version = tensors[i]->version;
    args[n_args++] = (dnnl_exec_arg_t) {part->arg, part->inside};
  }
  if (!step_run (&self->step, &place, args, n_args, error))
    return FALSE;

  for (gint i = 0; i < GRAD_ONEDNN_N_SLOTS; i++) {
    GradOnednnPart *part = &self->parts[i];

    if (!reorder (part, i, FALSE, &place, error))
      return FALSE;
    if (part->output && accumulate)
      grad_parallel_for ((part->n_elements + CHUNK - 1) / CHUNK, add_chunk, &(Sum) {
            grad_tensor_data (tensors[i]), (gfloat *) (buffers + part->sum_offset),
            part->n_elements});
  }
  return CHECK (dnnl_stream_wait (place.stream));
}

gboolean
grad_onednn_run (GradOnednn * self, const GradTensor * const tensors[GRAD_ONEDNN_N_SLOTS],
    gboolean accumulate, GError ** error)
{
  return grad_device_call_compute_thread (self->device, run, &(Running) {self, tensors, accumulate},
      error);
}
