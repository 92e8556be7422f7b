/* GradStreamer kernels: between dense floats (N, C, H, W) and the cuda device's layouts
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A transposition of (C, HW) for each n, through tiles in shared memory: both sides are read and written in rows. */
#include "kernels/cuda.h"

#define TILE 32
#define ROWS 8                  /* rows of a tile that the block handles at a time */

/* to (n, columns, rows) from (n, rows, columns) */
template < class From, class To > __global__ void
transpose_kernel (const From * from, To * to, int rows, int columns)
{
  __shared__ float tile[TILE][TILE + 1];
  gsize base = (gsize) blockIdx.y * rows * columns;
  int tiles = (columns + TILE - 1) / TILE, tile_x = blockIdx.x % tiles, tile_y = blockIdx.x / tiles;
  int column = tile_x * TILE + threadIdx.x, row = tile_y * TILE + threadIdx.y;

  for (int i = 0; i < TILE; i += ROWS)
    if (row + i < rows && column < columns)
      tile[threadIdx.y + i][threadIdx.x] = grad_load (from + base + (gsize) (row + i) * columns + column);
  __syncthreads ();
  row = tile_y * TILE + threadIdx.x;
  column = tile_x * TILE + threadIdx.y;
  for (int i = 0; i < TILE; i += ROWS)
    if (row < rows && column + i < columns)
      grad_store (to + base + (gsize) (column + i) * rows + row, tile[threadIdx.x][threadIdx.y + i]);
}

#define MAX_SAMPLES 32768       /* in one launch */

template < class From, class To > static gboolean
transpose (GradDevice * device, const From * from, To * to, int n, int rows, int columns,
    GError ** error)
{
  dim3 block (TILE, ROWS);

  for (int first = 0; first < n; first += MAX_SAMPLES) {
    gsize base = (gsize) first * rows * columns;
    dim3 grid (grad_cuda_blocks (columns, TILE) * grad_cuda_blocks (rows, TILE),
        MIN (n - first, MAX_SAMPLES));

    GRAD_CUDA_LAUNCH (device, "change of layout", error, grid, block, (transpose_kernel < From, To >),
        from + base, to + base, rows, columns);
  }
  return TRUE;
}

gboolean
grad_cuda_to_layout (GradDevice * device, const GradShape * shape, guint layout,
    const gfloat * dense, gpointer data, GError ** error)
{
  int n = shape->dims[0], c = shape->dims[1], hw = shape->dims[2] * shape->dims[3];

  return layout == GRAD_CUDA_NHWC_BF16
      ? transpose (device, dense, (__nv_bfloat16 *) data, n, c, hw, error)
      : transpose (device, dense, (float *) data, n, c, hw, error);
}

gboolean
grad_cuda_from_layout (GradDevice * device, const GradShape * shape, guint layout,
    gconstpointer data, gfloat * dense, GError ** error)
{
  int n = shape->dims[0], c = shape->dims[1], hw = shape->dims[2] * shape->dims[3];

  return layout == GRAD_CUDA_NHWC_BF16
      ? transpose (device, (const __nv_bfloat16 *) data, dense, n, hw, c, error)
      : transpose (device, (const float *) data, dense, n, hw, c, error);
}
