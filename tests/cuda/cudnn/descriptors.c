/* GradStreamer tests: cuDNN's descriptors, on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "emulation.h"

#include <stdio.h>

static _Thread_local char last_error[256];

cudnnStatus_t
emulated_fail (cudnnStatus_t status, const char *why, int what)
{
  snprintf (last_error, sizeof last_error, "emulated cuDNN: %s (%d)", why, what);
  return status;
}

size_t cudnnGetVersion (void) { return CUDNN_VERSION; }

const char *
cudnnGetErrorString (cudnnStatus_t status)
{
  return status == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED"
      : "CUDNN_STATUS_BAD_PARAM";
}

void
cudnnGetLastErrorString (char *message, size_t max_size)
{
  snprintf (message, max_size, "%s", last_error);
}

cudnnStatus_t
cudnnCreate (cudnnHandle_t * handle)
{
  *handle = calloc (1, sizeof **handle);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnDestroy (cudnnHandle_t handle)
{
  free (handle);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnSetStream (cudnnHandle_t handle, cudaStream_t stream)
{
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

/* Which descriptor has the attribute, and of which type it is */
static const struct
{
  cudnnBackendAttributeName_t name;
  cudnnBackendDescriptorType_t descriptor;
  cudnnBackendAttributeType_t type;
} known[] = {
#define KNOWN(descriptor, name, type) \
  {CUDNN_ATTR_##name, CUDNN_BACKEND_##descriptor##_DESCRIPTOR, CUDNN_TYPE_##type}
  KNOWN (TENSOR, TENSOR_UNIQUE_ID, INT64),
  KNOWN (TENSOR, TENSOR_DATA_TYPE, DATA_TYPE),
  KNOWN (TENSOR, TENSOR_DIMENSIONS, INT64),
  KNOWN (TENSOR, TENSOR_STRIDES, INT64),
  KNOWN (TENSOR, TENSOR_BYTE_ALIGNMENT, INT64),
  KNOWN (TENSOR, TENSOR_IS_VIRTUAL, BOOLEAN),
  KNOWN (CONVOLUTION, CONVOLUTION_COMP_TYPE, DATA_TYPE),
  KNOWN (CONVOLUTION, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE),
  KNOWN (CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, INT64),
  KNOWN (CONVOLUTION, CONVOLUTION_PRE_PADDINGS, INT64),
  KNOWN (CONVOLUTION, CONVOLUTION_POST_PADDINGS, INT64),
  KNOWN (CONVOLUTION, CONVOLUTION_DILATIONS, INT64),
  KNOWN (CONVOLUTION, CONVOLUTION_FILTER_STRIDES, INT64),
#define KNOWN_CONV(descriptor, kind, X, W, Y) \
  KNOWN (descriptor, OPERATION_CONVOLUTION_##kind##_CONV_DESC, BACKEND_DESCRIPTOR), \
  KNOWN (descriptor, OPERATION_CONVOLUTION_##kind##_##X, BACKEND_DESCRIPTOR), \
  KNOWN (descriptor, OPERATION_CONVOLUTION_##kind##_##W, BACKEND_DESCRIPTOR), \
  KNOWN (descriptor, OPERATION_CONVOLUTION_##kind##_##Y, BACKEND_DESCRIPTOR), \
  KNOWN (descriptor, OPERATION_CONVOLUTION_##kind##_ALPHA, FLOAT), \
  KNOWN (descriptor, OPERATION_CONVOLUTION_##kind##_BETA, FLOAT)
  KNOWN_CONV (OPERATION_CONVOLUTION_FORWARD, FORWARD, X, W, Y),
  KNOWN_CONV (OPERATION_CONVOLUTION_BACKWARD_DATA, BWD_DATA, DX, W, DY),
  KNOWN_CONV (OPERATION_CONVOLUTION_BACKWARD_FILTER, BWD_FILTER, X, DW, DY),
  KNOWN (POINTWISE, POINTWISE_MODE, POINTWISE_MODE),
  KNOWN (POINTWISE, POINTWISE_MATH_PREC, DATA_TYPE),
  KNOWN (POINTWISE, POINTWISE_NAN_PROPAGATION, NAN_PROPOGATION),
  KNOWN (POINTWISE, POINTWISE_RELU_LOWER_CLIP, DOUBLE),
  KNOWN (POINTWISE, POINTWISE_RELU_UPPER_CLIP, DOUBLE),
  KNOWN (POINTWISE, POINTWISE_RELU_LOWER_CLIP_SLOPE, DOUBLE),
  KNOWN (OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR),
  KNOWN (OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR),
  KNOWN (OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR),
  KNOWN (OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR),
  KNOWN (OPERATION_POINTWISE, OPERATION_POINTWISE_ALPHA1, FLOAT),
  KNOWN (OPERATION_POINTWISE, OPERATION_POINTWISE_ALPHA2, FLOAT),
  KNOWN (OPERATIONGRAPH, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR),
  KNOWN (OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE),
  KNOWN (ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR),
  KNOWN (ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE),
  KNOWN (ENGINEHEUR, ENGINEHEUR_RESULTS, BACKEND_DESCRIPTOR),
  KNOWN (ENGINE, ENGINE_OPERATION_GRAPH, BACKEND_DESCRIPTOR),
  KNOWN (ENGINE, ENGINE_GLOBAL_INDEX, INT64),
  KNOWN (ENGINE, ENGINE_NUMERICAL_NOTE, NUMERICAL_NOTE),
  KNOWN (ENGINE, ENGINE_BEHAVIOR_NOTE, BEHAVIOR_NOTE),
  KNOWN (ENGINECFG, ENGINECFG_ENGINE, BACKEND_DESCRIPTOR),
  KNOWN (ENGINECFG, ENGINECFG_KNOB_CHOICES, BACKEND_DESCRIPTOR),
  KNOWN (KNOB_CHOICE, KNOB_CHOICE_KNOB_TYPE, KNOB_TYPE),
  KNOWN (KNOB_CHOICE, KNOB_CHOICE_KNOB_VALUE, INT64),
  KNOWN (EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR),
  KNOWN (EXECUTION_PLAN, EXECUTION_PLAN_WORKSPACE_SIZE, INT64),
  KNOWN (VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS, INT64),
  KNOWN (VARIANT_PACK, VARIANT_PACK_DATA_POINTERS, VOID_PTR),
  KNOWN (VARIANT_PACK, VARIANT_PACK_WORKSPACE, VOID_PTR),
};

static size_t
size_of (cudnnBackendAttributeType_t type)
{
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
      return 1;
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return 8;
    default:
      return 4;                 /* float, and enumerations */
  }
}

Attribute *
emulated_find (const Descriptor * self, cudnnBackendAttributeName_t name)
{
  for (int i = 0; i < self->n_attributes; i++)
    if (self->attributes[i].name == name)
      return (Attribute *) & self->attributes[i];
  return NULL;
}

void
emulated_store (Descriptor * self, cudnnBackendAttributeName_t name, int64_t n, const void *values,
    size_t size)
{
  Attribute *a = emulated_find (self, name);

  if (a == NULL)
    a = &self->attributes[self->n_attributes++];
  free (a->values);
  *a = (Attribute) {.name = name,.n = n,.size = size,.values = malloc (n * size + 1) };
  memcpy (a->values, values, n * size);
}

Descriptor *
emulated_child (const Descriptor * self, cudnnBackendAttributeName_t name)
{
  Attribute *a = emulated_find (self, name);

  return a ? *(Descriptor **) a->values : NULL;
}

int64_t
emulated_number (const Descriptor * self, cudnnBackendAttributeName_t name, int i)
{
  return ((int64_t *) emulated_find (self, name)->values)[i];
}

int
emulated_enumerator (const Descriptor * self, cudnnBackendAttributeName_t name)
{
  return *(int *) emulated_find (self, name)->values;
}

cudnnStatus_t
cudnnBackendCreateDescriptor (cudnnBackendDescriptorType_t type,
    cudnnBackendDescriptor_t * descriptor)
{
  Descriptor *self = calloc (1, sizeof *self);

  self->type = type;
  *descriptor = self;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnBackendSetAttribute (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t n, const void *values)
{
  Descriptor *self = descriptor;

  if (self == NULL || self->finalized)
    return BAD ("attribute of a descriptor that is final", name);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].name == name && known[i].descriptor == self->type) {
      if (known[i].type != type)
        return BAD ("attribute of the wrong type", name);
      for (int64_t k = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && k < n; k++)
        if (((Descriptor **) values)[k] == NULL || !((Descriptor **) values)[k]->finalized)
          return BAD ("descriptor that is not final in attribute", name);
      emulated_store (self, name, n, values, size_of (type));
      return CUDNN_STATUS_SUCCESS;
    }
  return BAD ("no such attribute here", name);
}

Descriptor *
emulated_copy (Descriptor * to, const Descriptor * from)
{
  if (to == NULL)
    cudnnBackendCreateDescriptor (from->type, (void **) &to);
  for (int i = 0; i < from->n_attributes; i++)
    emulated_store (to, from->attributes[i].name, from->attributes[i].n, from->attributes[i].values,
        from->attributes[i].size);
  to->finalized = true;
  return to;
}

cudnnStatus_t
cudnnBackendFinalize (cudnnBackendDescriptor_t descriptor)
{
  Descriptor *self = descriptor;
  cudnnStatus_t status = self->finalized ? BAD ("descriptor is final already", self->type)
      : emulated_check_final (self);

  self->finalized = status == CUDNN_STATUS_SUCCESS;
  return status;
}

static void
destroy_children (Descriptor * config, cudnnBackendAttributeName_t name)
{
  Attribute *a = emulated_find (config, name);

  for (int64_t i = 0; a != NULL && i < a->n; i++)
    cudnnBackendDestroyDescriptor (((Descriptor **) a->values)[i]);
}

cudnnStatus_t
cudnnBackendDestroyDescriptor (cudnnBackendDescriptor_t descriptor)
{
  Descriptor *self = descriptor;

  if (self->type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR && self->finalized) {
    destroy_children (self, CUDNN_ATTR_ENGINECFG_ENGINE);
    destroy_children (self, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES);
  }
  for (int i = 0; i < self->n_attributes; i++)
    free (self->attributes[i].values);
  free (self->program);
  free (self);
  return CUDNN_STATUS_SUCCESS;
}

/* An engine, and in every second place a knob */
static void
make_config (Descriptor * config, Descriptor * graph, int64_t index, int place)
{
  Descriptor engine = {.type = CUDNN_BACKEND_ENGINE_DESCRIPTOR }, *e = &engine;
  Descriptor knob = {.type = CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR }, *k = &knob;
  cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_TILE_SIZE;
  int64_t value = place;

  emulated_store (e, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, 1, &graph, 8);
  emulated_store (e, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 1, &index, 8);
  emulated_store (config, CUDNN_ATTR_ENGINECFG_ENGINE, 1, &e, 8);
  emulated_store (k, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, 1, &type, 4);
  emulated_store (k, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, 1, &value, 8);
  if (place % 2 == 0)
    emulated_store (config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, 1, &k, 8);
  cudnnBackendFinalize (config);
  for (int i = 0; i < 2; i++) {
    free (engine.attributes[i].values);
    free (knob.attributes[i].values);
  }
}

/* As the real one, it promises more than it then has. */
static cudnnStatus_t
get_results (const Descriptor * heuristics, int64_t max, int64_t * n, Descriptor ** configs)
{
  static const int engines[CUDNN_HEUR_MODES_COUNT][8] = {
    [CUDNN_HEUR_MODE_A] = {5, 4, 3, 0, 2, 1, -1},
    [CUDNN_HEUR_MODE_B] = {1, 0, -1},
    [CUDNN_HEUR_MODE_FALLBACK] = {0, -1},
  };
  const int *list = engines[emulated_enumerator (heuristics, CUDNN_ATTR_ENGINEHEUR_MODE)];
  Descriptor *graph = emulated_child (heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  int count = 0;

  while (list[count] >= 0)
    count++;
  if (max == 0) {
    *n = count + 3;
    return CUDNN_STATUS_SUCCESS;
  }
  *n = emulated_supports (graph) ? count : 0;
  for (int i = 0; i < *n; i++) {
    if (i >= max || configs[i]->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR || configs[i]->finalized)
      return BAD ("results into the wrong descriptors", i);
    make_config (configs[i], graph, list[i], i);
  }
  return CUDNN_STATUS_SUCCESS;
}

static int64_t
get_notes (int64_t engine, bool numerical, int *notes)
{
  int note = -1;

  if (numerical)
    note = engine == 2 ? CUDNN_NUMERICAL_NOTE_TENSOR_CORE
        : engine == 3 ? CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC : -1;
  else
    note = engine == 4 ? CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION : -1;
  if (note >= 0)
    notes[0] = note;
  return note >= 0;
}

cudnnStatus_t
cudnnBackendGetAttribute (cudnnBackendDescriptor_t const descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t max, int64_t * n,
    void *values)
{
  const Descriptor *self = descriptor;
  Attribute *a;

  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].name == name && (known[i].type != type || known[i].descriptor != self->type))
      return BAD ("attribute got from the wrong descriptor, or with the wrong type", name);
  if (!self->finalized)
    return BAD ("getting from what is not final", name);
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS)
    return get_results (self, max, n, values);
  if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE || name == CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE) {
    *n = get_notes (emulated_number (self, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 0),
        name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, values);
    return CUDNN_STATUS_SUCCESS;
  }
  a = emulated_find (self, name);
  *n = a ? a->n : 0;
  if (*n > max)
    return BAD ("too little room", name);
  for (int64_t i = 0; a && type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < a->n; i++)
    emulated_copy (((Descriptor **) values)[i], ((Descriptor **) a->values)[i]);
  if (a && type != CUDNN_TYPE_BACKEND_DESCRIPTOR)
    memcpy (values, a->values, a->n * a->size);
  return CUDNN_STATUS_SUCCESS;
}
