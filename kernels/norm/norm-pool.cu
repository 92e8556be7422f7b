/* GradStreamer kernels: batch normalisation, ReLU and max pooling in one, cuda: forward
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * x: (N, IH, IW, C), y, places: (N, OH, OW, C), the rest (C), floats. All outputs =; deterministic for a number of multiprocessors.
 * Windows compare what the norm alone would have stored, so the same value wins as in one kernel after the other.
 *
 * Memory bound. Bytes per element of x, 3x3/2 and bf16 (twice that in f32, but for places), without what the second pass finds in the
 * L2 cache, for which it walks backwards: x twice, y and places 4.75, where one kernel after the other takes 8.75. The floor is 2.75, of
 * an x that stays in the cache. Not run on a GPU. */
#include "norm-pool-cuda.h"

#define STRIP 4                 /* windows of 3x3/2 below each other, that a thread has */

/* The largest value so far that is > 0, and its place: the first one of equal values, and none that is not a number. Values come
 * with the sign changed. */
template < class T > struct Winner
{
  float least = 0;
  unsigned from = 0;

  __device__ __forceinline__ void challenge (float value, unsigned place)
  {
    bool wins = value < least;

    least = wins ? value : least;
    from = wins ? place : from;
  }
  template < int V > __device__ __forceinline__ void challenge (const GradPack < V, T > &pack, int v, unsigned place)
  {
    challenge (pack[v], place);
  }
  __device__ __forceinline__ void challenge (const Winner & other) { challenge (other.least, other.from); }
  __device__ __forceinline__ void move (unsigned places) { from += places; }
  __device__ __forceinline__ float value (void) const { return 0 - least; }
  __device__ __forceinline__ unsigned place (void) const { return least < 0 ? from : 0; }
};

/* A negative bfloat16 in the upper half, the place in the lower one: that is larger for the larger value, and for the earlier one of
 * equal values. What is not below 0, or is not a number, is less than CUT. */
template <> struct Winner < __nv_bfloat16 >
{
  static const unsigned CUT = 0x8000ff00;
  unsigned key = 0;

  __device__ __forceinline__ void challenge (unsigned other) { key = other > key ? other : key; }
  template < int V > __device__ __forceinline__ void
  challenge (const GradPack < V, __nv_bfloat16 > &pack, int v, unsigned place)
  {
    unsigned bits = __float_as_uint (pack[v]);

    challenge (v % 2 ? bits | place : bits + place);    /* either is one operation with what makes the bits */
  }
  __device__ __forceinline__ void challenge (const Winner & other) { challenge (other.key); }
  __device__ __forceinline__ void move (unsigned places) { key += places; }
  __device__ __forceinline__ unsigned best (void) const { return key > CUT ? key : CUT; }
  __device__ __forceinline__ float value (void) const { return __uint_as_float (best () & 0x7fff0000); }
  __device__ __forceinline__ unsigned place (void) const { return best () & 0xff; }
};

/* In a strip's windows, as in max pooling, what is not a number stays so in front of all others. */
template < class T, int V > static __device__ void
keep_not_a_number (const GradPoolDesc & d, Position at, int strip, int channel, const T * x, const float *means,
    const float *affine, T * y, guint8 * places)
{
  int end = min ((at.h + 1) * strip, d.oh);

  for (at.h *= strip; at.h < end; at.h++) {
    Position first = { 0, max (at.h * d.stride - d.padding, 0), max (at.w * d.stride - d.padding, 0) };
    gsize to = offset (at, d.oh, d.ow, d.c) + channel, from = offset (first, d.ih, d.iw, d.c);

#pragma unroll (1)
    for (int v = 0; v < V; v++)
      if (isnan (grad_norm_forward (grad_load (x + from + v), means[channel + v], affine[channel + v],
                  affine[d.c + channel + v]))) {
        grad_store (y + to + v, NAN);
        places[to + v] = 0;
      }
  }
}

/* K = 3: strips of windows of 3x3/2; K = 0: windows of any kind. m: the strips; affine: scale and shift */
template < class T, int V, int K > static __global__ void BOUNDS
pool_kernel (GradRows m, GradPoolDesc d, const T * x, const float *means, const float *affine, T * y, guint8 * places)
{
  const int R = K > 0 ? STRIP : 1, COLUMNS = K > 0 ? K : 1;
  int channel = grad_rows_channel < V > (m), kernel = K > 0 ? K : d.kernel, stride = K > 0 ? 2 : d.stride, left, top;
  unsigned i = blockIdx.x / m.chunks * m.height + threadIdx.y;
  float mean[V], scale[V], shift[V];
  bool finite = true;
  Winner < T > last[V];
  Position at;

  if (channel >= m.channels || i >= m.rows)
    return;
  at = position (m.rows - 1 - i, (d.oh + R - 1) / R, d.ow);
  at.h *= R;
  top = at.h * stride - d.padding;
  left = at.w * stride - d.padding;
  x += offset ({ at.n, 0, 0 }, d.ih, d.iw, d.c) + channel;
  grad_rows_parameters < V > (means + channel, mean);
  grad_rows_parameters < V > (affine + channel, scale);
  grad_rows_parameters < V > (affine + m.channels + channel, shift);
#pragma unroll
  for (int v = 0; v < V; v++) {
    finite &= isfinite (scale[v] + shift[v]);
    scale[v] = -scale[v];
    shift[v] = -shift[v];
  }

  /* row: of the window */
  auto challenge = [&] (Winner < T > *winners, int row) {
    int h = inside (top + row, d.ih);
    const T *xs = x + (gsize) h * (d.iw * d.c);

#pragma unroll (1)
    for (int j = 0; j < kernel; j += COLUMNS) {
      GradPack < V, T > values[COLUMNS];

#pragma unroll
      for (int k = 0; k < COLUMNS; k++)
        values[k] = grad_load_pack < V > (xs + inside (left + j + k, d.iw) * d.c);
#pragma unroll
      for (int k = 0; k < COLUMNS; k++) {
        unsigned place = FIRST - (h - top) * kernel - (inside (left + j + k, d.iw) - left);
        float negative[V];

#pragma unroll
        for (int v = 0; v < V; v++)
          negative[v] = grad_norm_forward (values[k][v], mean[v], scale[v], shift[v]);
        values[k] = grad_make_pack < V, T > (negative);
#pragma unroll
        for (int v = 0; v < V; v++)
          winners[v].challenge (values[k], v, place);
      }
    }
  };

  if (K > 0) {                  /* the last row of the window before */
    top -= stride;
    challenge (last, K - 1);
    top += stride;
  }
#pragma unroll (1)
  for (int r = 0; r < R && at.h < d.oh; r++, at.h++, top += stride) {
    gsize to = offset (at, d.oh, d.ow, d.c) + channel;
    Winner < T > best[V];
    GradPack < V, guint8 > from;
    float values[V];

    if (K > 0) {
#pragma unroll
      for (int v = 0; v < V; v++) {
        last[v].move (stride * kernel);
        best[v].challenge (last[v]);
        last[v] = Winner < T > ();
      }
      challenge (best, 1);
      challenge (last, 2);
#pragma unroll
      for (int v = 0; v < V; v++)
        best[v].challenge (last[v]);
    } else
      for (int row = 0; row < kernel; row++)
        challenge (best, row);
#pragma unroll
    for (int v = 0; v < V; v++) {
      values[v] = best[v].value ();
      from.v[v] = best[v].place ();
    }
    grad_store_vector < V > (y + to, values);
    *(GradPack < V, guint8 > *)(places + to) = from;
  }
  if (!finite)
    keep_not_a_number < T, V > (d, position (m.rows - 1 - i, (d.oh + R - 1) / R, d.ow), R, channel, x, means,
        affine, y, places);
}

template < class T, int V, int K > static gboolean
run_pool (GradDevice * device, const GradPoolDesc * d, const GradTensor * x, const GradTensor * mean,
    const float *affine, GradTensor * y, GradTensor * places, GError ** error)
{
  int strip = K > 0 ? STRIP : 1;
  GradRows m = grad_rows < V > ((gsize) d->n * ((d->oh + strip - 1) / strip) * d->ow, d->c);

  GRAD_CUDA_LAUNCH (device, "batch norm and max pooling", error, m.chunks * grad_cuda_blocks (m.rows, m.height),
      dim3 (m.width, m.height), (pool_kernel < T, V, K >), m, *d, grad_cuda_data < const T > (x),
      grad_cuda_data < const float >(mean), affine, grad_cuda_data < T > (y), grad_cuda_data < guint8 > (places));
  return TRUE;
}

template < class T, int V > static gboolean
pool (GradDevice * device, const GradPoolDesc * d, const GradTensor * x, const GradTensor * mean,
    const float *affine, GradTensor * y, GradTensor * places, GError ** error)
{
  return is_special (d) ? run_pool < T, V, 3 > (device, d, x, mean, affine, y, places, error)
      : run_pool < T, V, 0 > (device, d, x, mean, affine, y, places, error);
}

gboolean
grad_norm_cuda_forward_pool (GradPlan * plan, const GradTensor * x, const GradTensor * gamma,
    const GradTensor * beta, GradTensor * mean, GradTensor * var, GradTensor * y, GradTensor * places,
    GError ** error)
{
  const CudaPlan *self = (CudaPlan *) plan;
  gsize capacity;
  float *affine = (float *) grad_device_pool_get (plan->device, (gsize) 2 * self->desc.c * sizeof (float),
      &capacity, error);
  gboolean ok;

  if (affine == NULL)
    return FALSE;
  ok = grad_norm_cuda_statistics (plan->device, &self->desc, x, gamma, beta, mean, var, affine, error)
      && GRAD_ROWS_DISPATCH (x, pool, plan->device, &self->pool, x, mean, affine, y, places, error);
  grad_device_pool_put (plan->device, affine, capacity);
  return ok;
}
