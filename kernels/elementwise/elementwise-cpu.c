/* GradStreamer kernels: element by element, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors of any one shape and layout, float or bfloat16. All outputs =, in place or not;
 * deterministic.
 * Memory bound: every element is read and written once. */
#define GRAD_REAL gfloat
#include "elementwise-body.h"
#include "kernels/kernels.h"
#include "kernels/cpu.h"
#include "lib/device/gradcpudevice-private.h"

#define CHUNK 16384             /* elements that one thread works on at a time */

typedef enum
{ ADD, RELU, RELU_BACKWARD } Op;

typedef struct
{
  Op op;
  gboolean bf16;
  gconstpointer a, b;           /* b is a with one input */
  gpointer y;
  gsize n;
} Job;

GRAD_INLINE void
loop (const Job * job, gsize from, gsize to, Op op, gboolean bf16)
{
  gconstpointer as = job->a, bs = job->b;
  gpointer y = job->y;

  GRAD_IVDEP
  for (gsize i = from; i < to; i++) {
    gfloat a = grad_load (as, i, bf16), b = grad_load (bs, i, bf16);

    grad_store (y, i, op == ADD ? a + b : op == RELU ? grad_relu (a) : grad_relu_backward (a, b),
        bf16);
  }
}

GRAD_INLINE void
loops (const Job * job, gsize from, gsize to, gboolean bf16)
{
  if (job->op == ADD)
    loop (job, from, to, ADD, bf16);
  else if (job->op == RELU)
    loop (job, from, to, RELU, bf16);
  else
    loop (job, from, to, RELU_BACKWARD, bf16);
}

GRAD_CLONES static void
span (const Job * job, gsize from, gsize to)
{
  if (job->bf16)
    loops (job, from, to, TRUE);
  else
    loops (job, from, to, FALSE);
}

static void
run_chunk (gsize i, gpointer data)
{
  const Job *job = data;

  span (job, i * CHUNK, MIN ((i + 1) * CHUNK, job->n));
}

static gboolean
run (Op op, const GradTensor * a, const GradTensor * b, GradTensor * y)
{
  Job job = {
    .op = op,
    .bf16 = grad_cpu_layout_is_bf16 (y->layout),
    .a = grad_tensor_data (a),
    .b = grad_tensor_data (b),
    .y = grad_tensor_data (y),
    .n = grad_shape_n_elements (&y->shape),
  };

  grad_parallel_for ((job.n + CHUNK - 1) / CHUNK, run_chunk, &job);
  return TRUE;
}

static gboolean
add (GradDevice * device, const GradTensor * a, const GradTensor * b, GradTensor * y,
    GError ** error)
{
  return run (ADD, a, b, y);
}

static gboolean
relu (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error)
{
  return run (RELU, x, x, y);
}

static gboolean
relu_backward (GradDevice * device, const GradTensor * y, const GradTensor * dy, GradTensor * dx,
    GError ** error)
{
  return run (RELU_BACKWARD, y, dy, dx);
}

const GradElementwiseOps grad_elementwise_cpu_ops = {
  .add = add,
  .relu = relu,
  .relu_backward = relu_backward,
  .copy = grad_elementwise_host_copy,
  .zero = grad_elementwise_host_zero,
};
