/* GradStreamer tests: cuDNN's plans run on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "emulation.h"

#include <unistd.h>

static int
add_tensor (Program * program, const Descriptor * d)
{
  Tensor *t;

  for (int i = 0; i < program->n_tensors; i++)
    if (program->tensors[i].uid == emulated_number (d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0))
      return i;
  t = &program->tensors[program->n_tensors++];
  t->uid = emulated_number (d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0);
  t->type = emulated_enumerator (d, CUDNN_ATTR_TENSOR_DATA_TYPE);
  t->is_virtual = *(char *) emulated_find (d, CUDNN_ATTR_TENSOR_IS_VIRTUAL)->values;
  memcpy (t->dims, emulated_find (d, CUDNN_ATTR_TENSOR_DIMENSIONS)->values, sizeof t->dims);
  return program->n_tensors - 1;
}

void
emulated_add_operation (Program * program, const Descriptor * d)
{
  Operation *o = &program->operations[program->n_operations++];
  const Descriptor *conv;

#define ADD_CONV(type, X, W, Y) \
  o->kind = type; \
  o->a = add_tensor (program, emulated_child (d, CUDNN_ATTR_OPERATION_CONVOLUTION_##X)); \
  o->b = add_tensor (program, emulated_child (d, CUDNN_ATTR_OPERATION_CONVOLUTION_##W)); \
  o->y = add_tensor (program, emulated_child (d, CUDNN_ATTR_OPERATION_CONVOLUTION_##Y))
  if (d->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) {
    const Descriptor *b = emulated_child (d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);

    o->kind = emulated_enumerator (emulated_child (d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR),
        CUDNN_ATTR_POINTWISE_MODE) == CUDNN_POINTWISE_ADD ? ADD : RELU;
    o->a = add_tensor (program, emulated_child (d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
    o->b = b ? add_tensor (program, b) : -1;
    o->y = add_tensor (program, emulated_child (d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
    return;
  }
  if (d->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR) {
    ADD_CONV (CONV, FORWARD_X, FORWARD_W, FORWARD_Y);
    conv = emulated_child (d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
  } else if (d->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR) {
    ADD_CONV (CONV_DATA, BWD_DATA_DX, BWD_DATA_W, BWD_DATA_DY);
    conv = emulated_child (d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC);
  } else {
    ADD_CONV (CONV_FILTER, BWD_FILTER_X, BWD_FILTER_DW, BWD_FILTER_DY);
    conv = emulated_child (d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC);
  }
  o->stride = emulated_number (conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 0);
  o->padding = emulated_number (conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 0);
}

Program
emulated_program (const Descriptor * graph)
{
  Attribute *operations = emulated_find (graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
  Program program = { 0 };

  for (int64_t i = 0; i < operations->n; i++)
    emulated_add_operation (&program, ((Descriptor **) operations->values)[i]);
  return program;
}

static bool
is_bias (const Program * p, int i)
{
  const int64_t *dims = p->tensors[p->operations[i].b].dims;

  return p->operations[i].kind == ADD && dims[0] * dims[2] * dims[3] == 1;
}

/* A convolution alone, or with [+ residual] + bias [ReLU], all in one type: what cuDNN has
 * compiled kernels for */
bool
emulated_supports (const Descriptor * graph)
{
  const char *refuses = getenv ("EMULATED_CUDNN_REFUSES");
  Program p = emulated_program (graph);
  int n = p.n_operations, i = 1;

  if (refuses && (!strcmp (refuses, "all") || (!strcmp (refuses, "fused") && n > 1)))
    return false;
  for (int t = 0; t < p.n_tensors; t++)
    if (p.tensors[t].type != (p.tensors[t].is_virtual ? CUDNN_DATA_FLOAT : p.tensors[0].type))
      return false;
  if (p.operations[0].kind > CONV_FILTER || (p.operations[0].kind != CONV && n > 1))
    return false;
  if (n == 1)
    return true;
  if (p.operations[i].kind == ADD && !is_bias (&p, i))
    i++;
  return i < n && is_bias (&p, i)
      && (i + 1 == n || (i + 2 == n && p.operations[i + 1].kind == RELU));
}

static float
from_bf16 (uint16_t bits)
{
  uint32_t wide = (uint32_t) bits << 16;
  float value;

  memcpy (&value, &wide, 4);
  return value;
}

static uint16_t
to_bf16 (float value)
{
  uint32_t bits;

  memcpy (&bits, &value, 4);
  return value != value ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static size_t
n_values (const Tensor * t)
{
  return t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
}

static void
load (Tensor * t)
{
  size_t n = n_values (t);

  t->values = calloc (n, sizeof (double));
  for (size_t i = 0; i < n && t->memory; i++)
    t->values[i] = t->type == CUDNN_DATA_BFLOAT16 ? from_bf16 (((uint16_t *) t->memory)[i])
        : ((float *) t->memory)[i];
}

static void
save (const Tensor * t)
{
  for (size_t i = 0; i < n_values (t); i++)
    if (t->type == CUDNN_DATA_BFLOAT16)
      ((uint16_t *) t->memory)[i] = to_bf16 (t->values[i]);
    else
      ((float *) t->memory)[i] = t->values[i];
}

/* All three directions walk over the same products; x, w and y lie with channels innermost. */
static void
run_conv (const Operation * o, const Tensor * x, const Tensor * w, const Tensor * y)
{
  int64_t c = x->dims[1], ih = x->dims[2], iw = x->dims[3], kh = w->dims[2], kw = w->dims[3];
  int64_t oc = y->dims[1], oh = y->dims[2], ow = y->dims[3];
  const Tensor *out = o->kind == CONV ? y : o->kind == CONV_DATA ? x : w;

  memset (out->values, 0, n_values (out) * sizeof (double));
  for (int64_t i = 0; i < y->dims[0] * oh * ow; i++)
    for (int64_t p = 0; p < kh; p++)
      for (int64_t q = 0; q < kw; q++) {
        int64_t h = i / ow % oh * o->stride - o->padding + p;
        int64_t v = i % ow * o->stride - o->padding + q;
        double *xs = x->values + ((i / ow / oh * ih + h) * iw + v) * c, *ys = y->values + i * oc;

        if (h < 0 || h >= ih || v < 0 || v >= iw)
          continue;
        for (int64_t k = 0; k < oc; k++) {
          double *ws = w->values + ((k * kh + p) * kw + q) * c, sum = 0;

          if (o->kind == CONV) {
            for (int64_t m = 0; m < c; m++)
              sum += xs[m] * ws[m];
            ys[k] += sum;
          } else if (o->kind == CONV_DATA)
            for (int64_t m = 0; m < c; m++)
              xs[m] += ys[k] * ws[m];
          else
            for (int64_t m = 0; m < c; m++)
              ws[m] += ys[k] * xs[m];
        }
      }
}

static void
run_pointwise (const Operation * o, const Tensor * a, const Tensor * b, Tensor * y)
{
  for (size_t i = 0; i < n_values (y); i++)
    if (o->kind == ADD)
      y->values[i] = a->values[i] + b->values[n_values (b) == n_values (y) ? i : i % b->dims[1]];
    else
      y->values[i] = a->values[i] < 0 ? 0 : a->values[i];
}

/* Of scratch memory, on which plans are timed, nobody wants to know the result. */
static bool
is_scratch (const Program * p)
{
  bool scratch = true;

  for (int i = 0; i < p->n_tensors; i++)
    if (p->tensors[i].memory != NULL)
      scratch &= !memcmp (p->tensors[i].memory, "<<<<<<<<", 8);
  return scratch;
}

static void
run (void *data)
{
  Program *p = data;

  if (emulated_idle (EMULATED_PLAN))
    return;
  if (p->engine == 0)
    usleep (200);
  if (is_scratch (p))
    return;
  for (int i = 0; i < p->n_tensors; i++)
    load (&p->tensors[i]);
  for (int i = 0; i < p->n_operations; i++) {
    const Operation *o = &p->operations[i];

    if (o->kind <= CONV_FILTER)
      run_conv (o, &p->tensors[o->a], &p->tensors[o->b], &p->tensors[o->y]);
    else
      run_pointwise (o, &p->tensors[o->a], o->b < 0 ? NULL : &p->tensors[o->b], &p->tensors[o->y]);
  }
  save (p->operations[0].kind == CONV_DATA ? &p->tensors[p->operations[0].a]
      : p->operations[0].kind == CONV_FILTER ? &p->tensors[p->operations[0].b]
      : &p->tensors[p->operations[p->n_operations - 1].y]);
  for (int i = 0; i < p->n_tensors; i++) {
    free (p->tensors[i].values);
    p->tensors[i].values = NULL;
  }
}

cudnnStatus_t
cudnnBackendExecute (cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
    cudnnBackendDescriptor_t pack)
{
  Program p = *((Descriptor *) plan)->program;
  Attribute *ids = emulated_find (pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  void **pointers = emulated_find (pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS)->values;
  void *workspace = *(void **) emulated_find (pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE)->values;
  int64_t size = emulated_number (plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 0);

  const char *refuses = getenv ("EMULATED_CUDNN_REFUSES");

  if (refuses && !strcmp (refuses, "execution"))
    return emulated_fail (CUDNN_STATUS_EXECUTION_FAILED, "execution", 0);
  if (handle->stream == NULL)
    return BAD ("no stream", 0);
  for (int i = 0; i < p.n_tensors; i++) {
    Tensor *t = &p.tensors[i];

    for (int64_t k = 0; k < ids->n; k++)
      if (((int64_t *) ids->values)[k] == t->uid)
        t->memory = pointers[k];
    if (t->is_virtual != (t->memory == NULL) || (uintptr_t) t->memory % 16 != 0)
      return BAD ("pointer that is missing, too much or not aligned", t->uid);
    for (int k = 0; k < i && t->memory; k++)
      if (p.tensors[k].memory == t->memory)
        return BAD ("tensors that overlap", t->uid);
  }
  if (size > 0 && workspace == NULL)
    return BAD ("no workspace", 0);
  if (size > 0)
    cudaMemsetAsync (workspace, 0xff, size, handle->stream);
  emulated_enqueue_call (handle->stream, run, &p, sizeof p);
  return CUDNN_STATUS_SUCCESS;
}
