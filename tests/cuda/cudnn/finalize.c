/* GradStreamer tests: what cuDNN's descriptors must have, on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "emulation.h"

static cudnnStatus_t
finalize_tensor (const Descriptor * d)
{
  const int64_t *dims, *strides;

  if (d->n_attributes != 6 || emulated_find (d, CUDNN_ATTR_TENSOR_DIMENSIONS)->n != 4
      || emulated_find (d, CUDNN_ATTR_TENSOR_STRIDES)->n != 4)
    return BAD ("incomplete tensor", d->n_attributes);
  dims = emulated_find (d, CUDNN_ATTR_TENSOR_DIMENSIONS)->values;
  strides = emulated_find (d, CUDNN_ATTR_TENSOR_STRIDES)->values;
  if (strides[1] != 1 || strides[3] != dims[1] || strides[2] != dims[3] * dims[1]
      || strides[0] != dims[2] * dims[3] * dims[1])
    return BAD ("tensor that does not lie as (N, H, W, C)", 0);
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t
finalize_conv (const Descriptor * d)
{
  Program p = { 0 };
  const Operation *o = p.operations;
  const int64_t *x, *w, *y;

  if (d->n_attributes != 6)
    return BAD ("incomplete convolution", d->n_attributes);
  emulated_add_operation (&p, d);
  x = p.tensors[o->a].dims;
  w = p.tensors[o->b].dims;
  y = p.tensors[o->y].dims;
  if (x[0] != y[0] || x[1] != w[1] || y[1] != w[0]
      || y[2] != (x[2] + 2 * o->padding - w[2]) / o->stride + 1
      || y[3] != (x[3] + 2 * o->padding - w[3]) / o->stride + 1)
    return BAD ("sizes that do not fit", 0);
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t
finalize_engine (const Descriptor * d)
{
  if (!emulated_child (d, CUDNN_ATTR_ENGINE_OPERATION_GRAPH)
      || !emulated_find (d, CUDNN_ATTR_ENGINE_GLOBAL_INDEX))
    return BAD ("incomplete engine", d->n_attributes);
  if (emulated_number (d, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 0) < 0
      || emulated_number (d, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 0) >= N_ENGINES
      || !emulated_supports (emulated_child (d, CUDNN_ATTR_ENGINE_OPERATION_GRAPH)))
    return emulated_fail (CUDNN_STATUS_NOT_SUPPORTED, "engine", 0);
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t
finalize_plan (Descriptor * d)
{
  const Descriptor *config = emulated_child (d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  const Descriptor *engine = config ? emulated_child (config, CUDNN_ATTR_ENGINECFG_ENGINE) : NULL;
  int64_t index, workspace;

  if (engine == NULL)
    return BAD ("plan without engine", 0);
  index = emulated_number (engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 0);
  if (index == 5)
    return emulated_fail (CUDNN_STATUS_NOT_SUPPORTED, "engine that never builds", index);
  d->program = malloc (sizeof *d->program);
  *d->program = emulated_program (emulated_child (engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH));
  d->program->engine = index;
  workspace = index == 1 ? 1000 : 0;
  emulated_store (d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 1, &workspace, 8);
  return CUDNN_STATUS_SUCCESS;
}

/* A configuration has engine and knobs of its own: who set them may destroy theirs. */
static cudnnStatus_t
finalize_config (Descriptor * d)
{
  Attribute *engine = emulated_find (d, CUDNN_ATTR_ENGINECFG_ENGINE);
  Attribute *knobs = emulated_find (d, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES);
  Descriptor **children;

  if (engine == NULL)
    return BAD ("configuration without engine", 0);
  children = engine->values;
  children[0] = emulated_copy (NULL, children[0]);
  children = knobs ? knobs->values : NULL;
  for (int64_t i = 0; knobs && i < knobs->n; i++)
    children[i] = emulated_copy (NULL, children[i]);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
emulated_check_final (Descriptor * d)
{
  Attribute *ids, *pointers;

  switch (d->type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      return finalize_tensor (d);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
      return d->n_attributes == 7 ? CUDNN_STATUS_SUCCESS : BAD ("incomplete convolution", 0);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return finalize_conv (d);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      return emulated_find (d, CUDNN_ATTR_OPERATIONGRAPH_OPS)
          && emulated_find (d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE)
          ? CUDNN_STATUS_SUCCESS : BAD ("incomplete graph", 0);
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
      return finalize_engine (d);
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
      return finalize_config (d);
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      return finalize_plan (d);
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
      ids = emulated_find (d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
      pointers = emulated_find (d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
      return ids && pointers && ids->n == pointers->n
          && emulated_find (d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE)
          ? CUDNN_STATUS_SUCCESS : BAD ("incomplete pointers", 0);
    default:
      return d->n_attributes >= 1 ? CUDNN_STATUS_SUCCESS : BAD ("empty descriptor", d->type);
  }
}
