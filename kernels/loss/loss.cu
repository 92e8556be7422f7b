/* GradStreamer kernels: softmax cross-entropy, cuda
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * logits, dlogits: (N, K) plain floats. All outputs =; deterministic.
 * Reads 4 and writes 4 bytes per logit, the least there is, and 32 bytes per row: (256, 10) are
 * 28 KB, and what they cost is two launches, one for the rows and one for their sum.
 *
 * Half a warp or a whole one per row: its lanes read side by side, and a row of thousands of classes
 * is not the work of one thread.
 *
 * Labels go as kernel parameters, as many as fit in each launch: they are there when the kernel is,
 * and the caller may forget them. A copy from memory that is not page-locked may wait for the
 * stream. */
#define GRAD_REAL float
#include "kernels/cuda.h"
#include "loss-body.h"

#include <string.h>

#define THREADS 256
#define SUM_THREADS 512
#define MAX_ROWS 960            /* in one launch */

struct Labels
{
  gint32 of_row[MAX_ROWS];
};

/* What becomes of a row; the sum of these is the result. */
struct alignas (16) Outcome
{
  gdouble loss, correct;
};

struct Rows
{
  const float *logits;
  float *dlogits;               /* may be NULL, or logits */
  Outcome *outcomes;
  int n, k;
  gdouble smoothing, scale;
};

static_assert (sizeof (Labels) + sizeof (Rows) <= 4096, "older drivers pass no more to a kernel");

/* Over the lanes of a row, in every one of them, in the same order every time */
template < int LANES > static __device__ __forceinline__ gdouble
row_sum (gdouble value)
{
#pragma unroll
  for (int flip = LANES / 2; flip > 0; flip /= 2)
    value += __shfl_xor_sync (~0u, value, flip);
  return value;
}

/* As in a loop that begins with the first logit: of equals the first; not a number only if the first
 * is none. */
template < int LANES > static __device__ __forceinline__ void
row_max (float *max, int *argmax)
{
#pragma unroll
  for (int flip = LANES / 2; flip > 0; flip /= 2) {
    float other = __shfl_xor_sync (~0u, *max, flip);
    int from = __shfl_xor_sync (~0u, *argmax, flip);

    if (other > *max || (other == *max && from < *argmax)) {
      *max = other;
      *argmax = from;
    }
  }
}

template < int LANES > __global__ void
__launch_bounds__ (THREADS)
rows_kernel (const Labels labels, const Rows rows)
{
  int group = (blockIdx.x * THREADS + threadIdx.x) / LANES, lane = threadIdx.x % LANES;
  int row = min (group, rows.n - 1);    /* lanes without a row shuffle, and are not heard */
  int label = labels.of_row[row], argmax = 0;
  const float *logits = rows.logits + (gsize) row * rows.k;
  float *dlogits = rows.dlogits && group == row ? rows.dlogits + (gsize) row * rows.k : NULL;
  float max = logits[0], label_logit = logits[label];
  gdouble sum = 0, sum_logits = 0;

  for (int i = lane; i < rows.k; i += LANES)
    if (logits[i] > max) {
      max = logits[i];
      argmax = i;
    }
  row_max < LANES > (&max, &argmax);
  __syncwarp ();                /* all have read what others may overwrite */
  for (int i = lane; i < rows.k; i += LANES) {
    gdouble logit = logits[i] - (gdouble) max, e = exp (logit);

    sum += e;
    sum_logits += logit;
    if (dlogits != NULL)
      dlogits[i] = e;           /* logits(i) is not read again */
  }
  sum = row_sum < LANES > (sum);
  sum_logits = row_sum < LANES > (sum_logits);

  gdouble loss = grad_cross_entropy_loss (label_logit, max, sum, sum_logits, rows.k, rows.smoothing);
  gdouble scale = grad_cross_entropy_scale (loss, rows.scale);

  if (dlogits != NULL)
    for (int i = lane; i < rows.k; i += LANES)
      dlogits[i] = grad_cross_entropy_gradient (dlogits[i], sum, rows.k, i == label, rows.smoothing,
          scale);
  if (lane == 0 && group == row)
    rows.outcomes[row] = { loss, argmax == label ? 1. : 0. };
}

/* One block */
__global__ void
__launch_bounds__ (SUM_THREADS)
sum_kernel (const Outcome * outcomes, int n, gdouble * result)
{
  __shared__ Outcome sums[SUM_THREADS];
  Outcome sum = { 0, 0 };

  for (int i = threadIdx.x; i < n; i += SUM_THREADS) {
    Outcome outcome = outcomes[i];

    sum.loss += outcome.loss;
    sum.correct += outcome.correct;
  }
  sums[threadIdx.x] = sum;
  for (unsigned half = SUM_THREADS / 2; half > 0; half /= 2) {
    __syncthreads ();
    if (threadIdx.x < half) {
      sums[threadIdx.x].loss += sums[threadIdx.x + half].loss;
      sums[threadIdx.x].correct += sums[threadIdx.x + half].correct;
    }
  }
  if (threadIdx.x == 0) {
    result[0] = sums[0].loss;
    result[1] = sums[0].correct;
  }
}

/* rows: of the whole batch */
static gboolean
run (GradDevice * device, const Rows * rows, const gint32 * labels, gdouble * result,
    GError ** error)
{
  for (int first = 0; first < rows->n; first += MAX_ROWS) {
    gsize base = (gsize) first * rows->k;
    Rows part = *rows;
    Labels those;

    part.n = MIN (rows->n - first, MAX_ROWS);
    part.logits += base;
    part.dlogits = part.dlogits ? part.dlogits + base : NULL;
    part.outcomes += first;
    memcpy (those.of_row, labels + first, part.n * sizeof *labels);
    if (rows->k <= 16)
      GRAD_CUDA_LAUNCH (device, "cross-entropy", error, grad_cuda_blocks (part.n, THREADS / 16),
          THREADS, (rows_kernel < 16 >), those, part);
    else
      GRAD_CUDA_LAUNCH (device, "cross-entropy", error, grad_cuda_blocks (part.n, THREADS / 32),
          THREADS, (rows_kernel < 32 >), those, part);
  }
  GRAD_CUDA_LAUNCH (device, "cross-entropy", error, 1, SUM_THREADS, sum_kernel, rows->outcomes,
      rows->n, result);
  return TRUE;
}

static gboolean
softmax_cross_entropy (GradDevice * device, const GradTensor * logits, const gint32 * labels,
    gdouble label_smoothing, gdouble divisor, GradTensor * dlogits, GradTensor * result,
    GError ** error)
{
  gint n = logits->shape.dims[0], k = logits->shape.dims[1];
  Rows rows = { grad_cuda_data < const float >(logits), grad_cuda_data < float >(dlogits), NULL,
    n, k, label_smoothing, 1 / divisor };
  gsize capacity;
  gboolean ok;

  if (!grad_loss_check_labels (labels, n, k, error)
      || !(rows.outcomes = (Outcome *) grad_device_pool_get (device, n * sizeof (Outcome), &capacity,
              error)))
    return FALSE;
  ok = run (device, &rows, labels, grad_cuda_data < gdouble > (result), error);
  grad_device_pool_put (device, rows.outcomes, capacity);
  return ok;
}

extern "C" const GradLossOps grad_loss_cuda_ops = {
  .softmax_cross_entropy = softmax_cross_entropy,
};
