/* GradStreamer: tensors as pictures that one can look at
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../tensor/gradshape.h"

G_BEGIN_DECLS

/**
 * GradColorMap:
 * @GRAD_COLOR_MAP_AUTO: one channel in grey, three as red, green and blue; else, and for vectors, each channel in the colours
 *   for signed values where there is a negative one, in those for unsigned values where there is none
 * @GRAD_COLOR_MAP_GRAY: each channel from black to white
 * @GRAD_COLOR_MAP_UNSIGNED: each channel from dark violet for 0 over green to yellow, as after a ReLU
 * @GRAD_COLOR_MAP_SIGNED: each channel from blue over white for 0 to red
 *
 * Colours of values.
 */
typedef enum
{
  GRAD_COLOR_MAP_AUTO,
  GRAD_COLOR_MAP_GRAY,
  GRAD_COLOR_MAP_UNSIGNED,
  GRAD_COLOR_MAP_SIGNED
} GradColorMap;

#define GRAD_TYPE_COLOR_MAP (grad_color_map_get_type ())
GType grad_color_map_get_type (void);

/* Frames get no larger than this. */
#define GRAD_TENSOR_VIEW_MAX_SIZE 16384

/* How a tensor becomes frames. A tile is a channel of a sample, or a whole sample in colour; tiles fill a grid row by row. */
typedef struct
{
  /* as it is asked for */
  GradColorMap color_map;
  guint max_tiles;
  guint columns, scale;         /* 0: to be chosen, and then what was chosen */
  gdouble minimum, maximum;     /* of the range of values; if equal, each tile has its own */
  gboolean per_sample;          /* a frame for each sample, not one for the batch */
  gboolean colored;             /* frames are never grey */
  guint max_width, max_height;  /* scale 0 makes the grid as large as fits in there; 0: large enough to be seen */

  /* what follows from it for a tensor */
  GradDType dtype;
  GradShape shape;              /* (N, C, H, W); (1, 1, N, K) or, per sample, (N, 1, 1, K) of vectors */
  gboolean vectors;
  guint n_frames, n_tiles;      /* of the tensor, of a frame */
  guint tile_channels;          /* 1, or 3 of pictures in colour */
  guint tile_width, tile_height;        /* of the grid, magnified */
  guint rows;
  guint width, height;          /* of a frame */
  guint pixel_size;             /* bytes: 1 (grey), 3 (red, green, blue) */
} GradTensorView;

/* Six properties of elements that have what is asked for of a view there. */
void grad_tensor_view_install_properties (GObjectClass * klass, guint offset,
    GradColorMap color_map);

/* Whether what is asked for can be. */
gboolean grad_tensor_view_check (const GradTensorView * view, GError ** error);
/* Fills in the rest. A tensor that fits the grid of the view before, which may be NULL, gets the same. */
gboolean grad_tensor_view_plan (GradTensorView * view, const GstCaps * caps,
    const GradTensorView * before, GError ** error);
/* Values are dense. What is not a number is black. */
void grad_tensor_view_draw (const GradTensorView * view, gconstpointer values, guint frame,
    guint8 * pixels, gsize stride);

G_END_DECLS
