/* GradStreamer tests: as much of cuDNN's graph interface as we use, on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * With it kernels/cudnn*.c and conv-cudnn.c run on machines without a GPU. It is strict: an
 * attribute of another C type than NVIDIA's documentation says, one that is missing, or a
 * descriptor that is not finalised is an error. What it computes are convolutions of (N, H, W, C)
 * tensors and the sums and ReLUs after them, in double precision, rounded as the tensors are.
 *
 * Its engines: 0 and 1 are good, 0 being slower; 2 uses tensor cores; 3 is not deterministic; 4
 * is compiled at run time; 5 never builds. EMULATED_CUDNN_REFUSES in the environment: "fused"
 * graphs, "all", or their "execution". */
#pragma once

#include <cudnn.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define N_ENGINES 6
#define MAX_ATTRIBUTES 16

typedef struct
{
  cudnnBackendAttributeName_t name;
  int64_t n;
  size_t size;                  /* of one */
  void *values;
} Attribute;

typedef struct Descriptor Descriptor;
struct Descriptor
{
  cudnnBackendDescriptorType_t type;
  bool finalized;
  Attribute attributes[MAX_ATTRIBUTES];
  int n_attributes;
  struct Program *program;      /* of a plan */
};

struct cudnnContext
{
  cudaStream_t stream;
};

/* Both go into what cudnnGetLastErrorString() gives. */
cudnnStatus_t emulated_fail (cudnnStatus_t status, const char *why, int what);
#define BAD(why, what) emulated_fail (CUDNN_STATUS_BAD_PARAM, why, what)

Attribute *emulated_find (const Descriptor * self, cudnnBackendAttributeName_t name);
void emulated_store (Descriptor * self, cudnnBackendAttributeName_t name, int64_t n,
    const void *values, size_t size);
/* The descriptor in an attribute, NULL: none */
Descriptor *emulated_child (const Descriptor * self, cudnnBackendAttributeName_t name);
int64_t emulated_number (const Descriptor * self, cudnnBackendAttributeName_t name, int i);
int emulated_enumerator (const Descriptor * self, cudnnBackendAttributeName_t name);
/* What `from` says, final; into a new descriptor when `to` is NULL */
Descriptor *emulated_copy (Descriptor * to, const Descriptor * from);
/* Whether all that a descriptor needs is there */
cudnnStatus_t emulated_check_final (Descriptor * self);

/* What a plan keeps of its graph */
typedef enum
{ CONV, CONV_DATA, CONV_FILTER, ADD, RELU } Kind;

typedef struct
{
  int64_t uid, dims[4];
  cudnnDataType_t type;
  bool is_virtual;
  void *memory;
  double *values;               /* while it runs */
} Tensor;

typedef struct
{
  Kind kind;
  int a, b, y;                  /* of a convolution: x, w, y; b is -1 for a ReLU */
  int64_t stride, padding;
} Operation;

typedef struct Program
{
  Tensor tensors[16];
  Operation operations[8];
  int n_tensors, n_operations, engine;
} Program;

void emulated_add_operation (Program * program, const Descriptor * operation);
Program emulated_program (const Descriptor * graph);
/* Whether cuDNN has compiled kernels for it */
bool emulated_supports (const Descriptor * graph);
