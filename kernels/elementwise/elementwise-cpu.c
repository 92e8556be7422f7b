/* GradStreamer kernels: element by element, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tensors of any one shape and layout, float. All outputs =, in place or not; deterministic.
 * Memory bound: every element is read and written once. */
#define GRAD_REAL gfloat
#include "elementwise-body.h"
#include "kernels/kernels.h"
#include "kernels/cpu.h"

#include <string.h>

#define CHUNK 16384             /* elements that one thread works on at a time */

typedef void (*SpanFunc) (const gfloat * a, const gfloat * b, gfloat * y, gsize n);

typedef struct
{
  SpanFunc func;
  const gfloat *a, *b;          /* b: NULL with one input */
  gfloat *y;
  gsize n;
} Job;

GRAD_CLONES static void
add_span (const gfloat * a, const gfloat * b, gfloat * y, gsize n)
{
  GRAD_IVDEP
  for (gsize i = 0; i < n; i++)
    y[i] = a[i] + b[i];
}

GRAD_CLONES static void
relu_span (const gfloat * x, const gfloat * unused, gfloat * y, gsize n)
{
  GRAD_IVDEP
  for (gsize i = 0; i < n; i++)
    y[i] = grad_relu (x[i]);
}

GRAD_CLONES static void
relu_backward_span (const gfloat * y, const gfloat * dy, gfloat * dx, gsize n)
{
  GRAD_IVDEP
  for (gsize i = 0; i < n; i++)
    dx[i] = grad_relu_backward (y[i], dy[i]);
}

static void
run_chunk (gsize i, gpointer data)
{
  const Job *job = data;
  gsize from = i * CHUNK;

  job->func (job->a + from, job->b ? job->b + from : NULL, job->y + from,
      MIN (CHUNK, job->n - from));
}

static gboolean
run (SpanFunc func, const GradTensor * a, const GradTensor * b, GradTensor * y)
{
  Job job = {
    .func = func,
    .a = grad_tensor_data (a),
    .b = b ? grad_tensor_data (b) : NULL,
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
  return run (add_span, a, b, y);
}

static gboolean
relu (GradDevice * device, const GradTensor * x, GradTensor * y, GError ** error)
{
  return run (relu_span, x, NULL, y);
}

static gboolean
relu_backward (GradDevice * device, const GradTensor * y, const GradTensor * dy, GradTensor * dx,
    GError ** error)
{
  return run (relu_backward_span, y, dy, dx);
}

static gboolean
zero (GradDevice * device, GradTensor * y, GError ** error)
{
  memset (grad_tensor_data (y), 0, GRAD_DEVICE_GET_CLASS (device)->storage_size (device, y->dtype,
          &y->shape, y->layout));
  return TRUE;
}

const GradElementwiseOps grad_elementwise_cpu_ops = {
  .add = add,
  .relu = relu,
  .relu_backward = relu_backward,
  .zero = zero,
};
