/* GradStreamer benchmark of kernels: oneDNN's convolutions alone
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peer.h"
#include "kernels/onednn-versions.h"

enum
{ SRC, WEIGHTS, DST, N_TENSORS };

struct _BenchPeer
{
  GradDevice *device;           /* not owned */
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t primitive;
  dnnl_exec_arg_t args[N_TENSORS];
  gpointer storage[N_TENSORS];  /* of the device's pool: the same kind of pages */
  gsize capacity[N_TENSORS];
};

static gboolean
check (dnnl_status_t status, GError ** error)
{
  if (status == dnnl_success)
    return TRUE;
  g_set_error (error, GRAD_ERROR, status == dnnl_unimplemented ? GRAD_ERROR_UNSUPPORTED
      : GRAD_ERROR_FAILED, "oneDNN: status %d", status);
  return FALSE;
}

static dnnl_status_t
describe (GradOnednnMd * md, dnnl_data_type_t type, gint a, gint b, gint c, gint d)
{
  const dnnl_dims_t dims = { a, b, c, d };

  return grad_onednn_memory_desc_new (4, dims, type, dnnl_format_tag_any, md);
}

/* `forward` is the hint that a backward one wants. */
static gboolean
make (BenchPeer * self, const BenchCase * c, dnnl_prop_kind_t direction, dnnl_alg_kind_t algorithm,
    dnnl_primitive_desc_t forward, dnnl_primitive_desc_t * pd, GError ** error)
{
  gint oh = (c->h + 2 * c->padding - c->kernel) / c->stride + 1;
  gint ow = (c->w + 2 * c->padding - c->kernel) / c->stride + 1;
  dnnl_data_type_t type = grad_device_get_precision (self->device) == GRAD_PRECISION_BF16
      ? dnnl_bf16 : dnnl_f32;
  GradOnednnMd md[GRAD_ONEDNN_N_SLOTS] = { NULL };
  GradOnednnDesc desc = {.kind = dnnl_convolution,.direction = direction,.algorithm = algorithm,
    .stride = c->stride,.padding = c->padding
  };
  gboolean ok = check (describe (&md[GRAD_ONEDNN_SRC], type, c->n, c->c, c->h, c->w), error)
      && check (describe (&md[GRAD_ONEDNN_WEIGHTS],
          direction == dnnl_backward_weights ? dnnl_f32 : type, c->k, c->c, c->kernel, c->kernel),
      error)
      && check (describe (&md[GRAD_ONEDNN_DST], type, c->n, c->k, oh, ow), error)
      && check (grad_onednn_primitive_desc_new (self->engine, &desc, md, NULL, forward, pd), error);

  for (guint i = 0; i < GRAD_ONEDNN_N_SLOTS; i++)
    grad_onednn_memory_desc_free (md[i]);
  return ok;
}

/* Memory that nothing was written to is one page of zeros. These are floats and bfloat16s of usual size. */
static void
fill (guint32 * words, gsize n)
{
  guint32 state = 1;

  for (gsize i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    words[i] = (state & 0x807f807fu) | 0x3f003f00u;
  }
}

static gboolean
add_tensor (BenchPeer * self, guint i, gint arg, GError ** error)
{
  GradOnednnConstMd md = dnnl_primitive_desc_query_md (self->pd, dnnl_query_exec_arg_md, arg);
  gsize size = dnnl_memory_desc_get_size (md);

  self->storage[i] = grad_device_pool_get (self->device, (size + 3) / 4 * 4, &self->capacity[i],
      error);
  if (self->storage[i] == NULL)
    return FALSE;
  fill (self->storage[i], (size + 3) / 4);
  self->args[i].arg = arg;
  return check (dnnl_memory_create (&self->args[i].memory, md, self->engine, self->storage[i]),
      error);
}

BenchPeer *
bench_peer_new (GradDevice * device, const BenchCase * c, BenchPeerAlgorithm algorithm,
    GError ** error)
{
  static const gint args[][N_TENSORS] = {
    [BENCH_CONV_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
    [BENCH_CONV_BACKWARD_DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
    [BENCH_CONV_BACKWARD_WEIGHTS] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
  };
  static const dnnl_prop_kind_t directions[] = {
    [BENCH_CONV_FORWARD] = dnnl_forward_training,
    [BENCH_CONV_BACKWARD_DATA] = dnnl_backward_data,
    [BENCH_CONV_BACKWARD_WEIGHTS] = dnnl_backward_weights,
  };
  dnnl_alg_kind_t alg = algorithm == BENCH_PEER_AUTO ? dnnl_convolution_auto
      : dnnl_convolution_direct;
  BenchPeer *self = g_new0 (BenchPeer, 1);
  dnnl_primitive_desc_t forward = NULL;
  gboolean ok;

  self->device = device;
  ok = check (dnnl_engine_create (&self->engine, dnnl_cpu, 0), error)
      && check (dnnl_stream_create (&self->stream, self->engine, dnnl_stream_default_flags), error)
      && (c->kind == BENCH_CONV_FORWARD
      || make (self, c, dnnl_forward_training, alg, NULL, &forward, error))
      && make (self, c, directions[c->kind], alg, forward, &self->pd, error)
      && check (dnnl_primitive_create (&self->primitive, self->pd), error);
  for (guint i = 0; i < N_TENSORS && ok; i++)
    ok = add_tensor (self, i, args[c->kind][i], error);
  if (forward != NULL)
    dnnl_primitive_desc_destroy (forward);
  if (ok)
    return self;
  bench_peer_free (self);
  return NULL;
}

void
bench_peer_free (BenchPeer * self)
{
  for (guint i = 0; i < N_TENSORS; i++) {
    dnnl_memory_destroy (self->args[i].memory);
    if (self->storage[i] != NULL)
      grad_device_pool_put (self->device, self->storage[i], self->capacity[i]);
  }
  /* all of these take NULL */
  dnnl_primitive_destroy (self->primitive);
  dnnl_primitive_desc_destroy (self->pd);
  dnnl_stream_destroy (self->stream);
  dnnl_engine_destroy (self->engine);
  g_free (self);
}

gboolean
bench_peer_run (BenchPeer * self, GError ** error)
{
  return check (dnnl_primitive_execute (self->primitive, self->stream, N_TENSORS, self->args),
      error)
      && check (dnnl_stream_wait (self->stream), error);
}
