/* GradStreamer kernels: fully connected layer, cuda
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, C), w, dw: (K, C), b, db: (K), y, dy: (N, K), all plain floats
 *   y =, dx =, dw = or +=, db = or +=
 *
 * One matrix product in tiles does all three. It reads its two factors and writes their product: with
 * N = 256, C = 512, K = 10 that is 0.55 MB, 0.13 µs at 4.3 TB/s, and what it costs is latency. So
 * products of few tiles are split along their sum, for more blocks with fewer steps each; the parts
 * go to scratch memory, at most 256 tiles of 16 KB, and a second launch adds them in order. How a
 * product is split depends on its shape alone: deterministic.
 * Large layers are bound by 2 N C K float operations, without tensor cores. */
#include "kernels/cuda.h"

#define SIDE 16                 /* threads along a tile's sides, and length of a step along the sum */
#define THREADS (SIDE * SIDE)
#define MAX_BLOCKS 256          /* when split: about two per multiprocessor of large GPUs */
#define MIN_STEPS 2             /* in a split */

/* c(m,n) = bias(n) + sum over k of a(m,k) b(k,n); one of a's strides is 1, and one of b's. */
struct Product
{
  int m, n, k;
  const float *a, *b;
  gsize a_m, a_k, b_k, b_n;
  float *c;                     /* (M, N) */
  const float *bias;            /* (N), or NULL */
  float *sums;                  /* (M), or NULL: sum over k of a(m,k) */
  gboolean accumulate;          /* c and sums += */
  int k_split, n_splits;
  gsize part_size;
  float *parts;                 /* n_splits times c and sums behind it, of k_split summands each */
};

/* What a tile needs of a factor for one step: R times SIDE rows (m or n) by SIDE along k. Each thread
 * takes R values, and neighbours those that are neighbours in memory. */
template < int R > struct Piece
{
  const float *data;
  gsize stride, step;           /* in data: from one to the next of the R, and of the steps */
  int row, row_stride, k, k_stride;
  float values[R];

  __device__ __forceinline__ void
  init (const float *factor, gsize from_row, gsize from_k, gsize s_row, gsize s_k)
  {
    const int height = R * SIDE;
    int t = threadIdx.x;

    if (s_k == 1) {
      row = t / SIDE, row_stride = SIDE;
      k = t % SIDE, k_stride = 0;
    } else {
      row = t % height, row_stride = 0;
      k = t / height, k_stride = THREADS / height;
    }
    data = factor + (from_row + row) * s_row + (from_k + k) * s_k;
    stride = row_stride * s_row + k_stride * s_k;
    step = SIDE * s_k;
  }

  /* of the next step; beyond n_rows and n_k, as seen from the tile's corner, are zeros */
  __device__ __forceinline__ void
  load (int n_rows, int n_k)
  {
#pragma unroll
    for (int i = 0; i < R; i++)
      values[i] = row + i * row_stride < n_rows && k + i * k_stride < n_k ? data[i * stride] : 0;
    data += step;
  }

  __device__ __forceinline__ void
  store (float (*tile)[R * SIDE + 4])
  {
#pragma unroll
    for (int i = 0; i < R; i++)
      tile[k + i * k_stride][row + i * row_stride] = values[i];
  }
};

/* Each thread makes RM by RN values of a tile. While it computes with one step, it loads the next. */
template < int RM, int RN > __global__ void
__launch_bounds__ (THREADS)
product_kernel (const Product p)
{
  const int height = RM * SIDE, width = RN * SIDE;
  alignas (16) __shared__ float as[2][SIDE][height + 4];
  alignas (16) __shared__ float bs[2][SIDE][width + 4];
  int tiles = (p.n + width - 1) / width;
  int from_m = blockIdx.x / tiles * height, from_n = blockIdx.x % tiles * width;
  int from_k = blockIdx.y * p.k_split, n_k = min (p.k - from_k, p.k_split);
  int n_m = p.m - from_m, n_n = p.n - from_n;
  int y = threadIdx.x / SIDE, x = threadIdx.x % SIDE;
  bool sums = p.sums != NULL && from_n == 0 && (int) threadIdx.x < height;
  float c[RM][RN] = { }, sum = 0;
  Piece < RM > a;
  Piece < RN > b;

  a.init (p.a, from_m, from_k, p.a_m, p.a_k);
  b.init (p.b, from_n, from_k, p.b_n, p.b_k);
  a.load (n_m, n_k);
  b.load (n_n, n_k);
  for (int buffer = 0; n_k > 0; buffer ^= 1) {
    a.store (as[buffer]);
    b.store (bs[buffer]);
    n_k -= SIDE;
    __syncthreads ();
    if (n_k > 0) {
      a.load (n_m, n_k);
      b.load (n_n, n_k);
    }
#pragma unroll
    for (int k = 0; k < SIDE; k++) {
      float am[RM], bn[RN];

      grad_load_vector < RM > (&as[buffer][k][y * RM], am);
      grad_load_vector < RN > (&bs[buffer][k][x * RN], bn);
#pragma unroll
      for (int i = 0; i < RM; i++)
#pragma unroll
        for (int j = 0; j < RN; j++)
          c[i][j] += am[i] * bn[j];
    }
    if (sums)
      for (int k = 0; k < SIDE; k++)
        sum += as[buffer][k][threadIdx.x];
  }

  bool part = p.n_splits > 1, add = p.accumulate && !part;
  float *to = part ? p.parts + blockIdx.y * p.part_size : p.c;
  float *to_sums = part ? to + (gsize) p.m * p.n : p.sums;
  int n = from_n + x * RN;

#pragma unroll
  for (int i = 0; i < RM; i++) {
    int m = from_m + y * RM + i;
    gsize at = (gsize) m * p.n + n;

    if (m >= p.m || n >= p.n)
      continue;
#pragma unroll
    for (int j = 0; j < RN; j++)
      if (n + j < p.n)
        c[i][j] += (add ? to[at + j] : 0) + (p.bias && !part ? p.bias[n + j] : 0);
    if (p.n % RN == 0)
      grad_store_vector < RN > (to + at, c[i]);
    else
#pragma unroll
      for (int j = 0; j < RN; j++)
        if (n + j < p.n)
          to[at + j] = c[i][j];
  }
  if (sums && (int) threadIdx.x < n_m)
    to_sums[from_m + threadIdx.x] = sum + (add ? to_sums[from_m + threadIdx.x] : 0);
}

__global__ void
__launch_bounds__ (THREADS)
add_parts_kernel (const Product p)
{
  gsize n_c = (gsize) p.m * p.n, size = n_c + (p.sums ? p.m : 0);
  gsize i = (gsize) blockIdx.x * THREADS + threadIdx.x;
  float sum = 0, *to = i < n_c ? p.c + i : p.sums + (i - n_c);

  if (i >= size)
    return;
#pragma unroll 4
  for (int split = 0; split < p.n_splits; split++)
    sum += p.parts[split * p.part_size + i];
  *to = sum + (p.accumulate ? *to : 0) + (p.bias && i < n_c ? p.bias[i % p.n] : 0);
}

template < int RM, int RN > static gboolean
start (GradDevice * device, const Product & p, GError ** error)
{
  dim3 grid (grad_cuda_blocks (p.m, RM * SIDE) * grad_cuda_blocks (p.n, RN * SIDE), p.n_splits);

  GRAD_CUDA_LAUNCH (device, "matrix product", error, grid, THREADS, (product_kernel < RM, RN >), p);
  return TRUE;
}

static gboolean
add_parts (GradDevice * device, const Product & p, gsize size, GError ** error)
{
  GRAD_CUDA_LAUNCH (device, "matrix product", error, grad_cuda_blocks (size, THREADS), THREADS,
      add_parts_kernel, p);
  return TRUE;
}

/* Tiles are 64 by 64; where ten classes are one side, 16. */
static gboolean
multiply (GradDevice * device, Product & p, GError ** error)
{
  int rm = p.m <= SIDE ? 1 : 4, rn = p.n <= SIDE && rm > 1 ? 1 : 4;
  gsize tiles = (gsize) grad_cuda_blocks (p.m, rm * SIDE) * grad_cuda_blocks (p.n, rn * SIDE);
  int steps = grad_cuda_blocks (p.k, SIDE);
  int splits = MAX (MIN ((int) (MAX_BLOCKS / tiles), steps / MIN_STEPS), 1);
  gsize size = (gsize) p.m * p.n + (p.sums ? p.m : 0), capacity = 0;    /* of c and sums */
  gboolean ok;

  p.k_split = grad_cuda_blocks (steps, splits) * SIDE;
  p.n_splits = grad_cuda_blocks (p.k, p.k_split);
  p.part_size = (size + 3) / 4 * 4;     /* each begins at 16 bytes */
  p.parts = NULL;
  if (p.n_splits > 1
      && !(p.parts = (float *) grad_device_pool_get (device,
              p.n_splits * p.part_size * sizeof (float), &capacity, error)))
    return FALSE;
  ok = rm == 1 ? start < 1, 4 > (device, p, error) : rn == 1 ? start < 4, 1 > (device, p, error)
      : start < 4, 4 > (device, p, error);
  if (p.parts != NULL) {
    ok = ok && add_parts (device, p, size, error);
    grad_device_pool_put (device, p.parts, capacity);
  }
  return ok;
}

static gboolean
linear_forward (GradPlan * base, const GradTensor * x, const GradTensor * w, const GradTensor * b,
    GradTensor * y, GError ** error)
{
  const GradLinearDesc *d = &((GradLinearPlan *) base)->desc;
  gsize c = d->c;
  Product p = {.m = d->n,.n = d->k,.k = d->c,
    .a = grad_cuda_data < const float >(x),.b = grad_cuda_data < const float >(w),
    .a_m = c,.a_k = 1,.b_k = 1,.b_n = c,
    .c = grad_cuda_data < float >(y),
    .bias = d->bias ? grad_cuda_data < const float >(b) : NULL,
  };

  return multiply (base->device, p, error);
}

static gboolean
linear_backward_data (GradPlan * base, const GradTensor * dy, const GradTensor * w,
    GradTensor * dx, GError ** error)
{
  const GradLinearDesc *d = &((GradLinearPlan *) base)->desc;
  gsize c = d->c, k = d->k;
  Product p = {.m = d->n,.n = d->c,.k = d->k,
    .a = grad_cuda_data < const float >(dy),.b = grad_cuda_data < const float >(w),
    .a_m = k,.a_k = 1,.b_k = c,.b_n = 1,
    .c = grad_cuda_data < float >(dx),
  };

  return multiply (base->device, p, error);
}

static gboolean
linear_backward_weights (GradPlan * base, const GradTensor * x, const GradTensor * dy,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  const GradLinearDesc *d = &((GradLinearPlan *) base)->desc;
  gsize c = d->c, k = d->k;
  Product p = {.m = d->k,.n = d->c,.k = d->n,
    .a = grad_cuda_data < const float >(dy),.b = grad_cuda_data < const float >(x),
    .a_m = 1,.a_k = k,.b_k = c,.b_n = 1,
    .c = grad_cuda_data < float >(dw),
    .sums = d->bias ? grad_cuda_data < float >(db) : NULL,
    .accumulate = accumulate,
  };

  return multiply (base->device, p, error);
}

extern "C" const GradLinearOps grad_linear_cuda_ops = {
  .supports = grad_linear_plan_supports,
  .plan = grad_linear_plan_new,
  .forward = linear_forward,
  .backward_data = linear_backward_data,
  .backward_weights = linear_backward_weights,
};
