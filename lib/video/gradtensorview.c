/* GradStreamer: tensors as pictures that one can look at
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradtensorview.h"

#include <math.h>
#include <string.h>

/* tiles are magnified until a frame has so many columns or rows */
#define AUTO_SIZE 320
#define GAP 1

GType
grad_color_map_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GRAD_COLOR_MAP_AUTO, "As it suits the tensor", "auto"},
    {GRAD_COLOR_MAP_GRAY, "From black to white", "gray"},
    {GRAD_COLOR_MAP_UNSIGNED, "From dark violet over green to yellow", "unsigned"},
    {GRAD_COLOR_MAP_SIGNED, "From blue over white to red", "signed"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradColorMap", values));
  return type;
}

/* ---- the grid */

/* Vectors are floats whose caps spell two sizes: pictures have four, but for bytes of other elements. */
static gboolean
parse_shape (GradTensorView * view, const GstCaps * caps, GError ** error)
{
  const gchar *sizes = gst_structure_get_string (gst_caps_get_structure (caps, 0), "dimensions");
  const gint *dims = view->shape.dims;  /* of (N, K): (1, 1, N, K) */

  if (!grad_caps_parse (caps, 4, &view->dtype, &view->shape, error))
    return FALSE;
  view->vectors = view->dtype == GRAD_DTYPE_FLOAT32 && strchr (sizes, ':') == strrchr (sizes, ':');
  if (view->vectors && view->per_sample)
    view->shape = GRAD_SHAPE (dims[2], 1, 1, dims[3]);
  return TRUE;
}

static void
choose_tiles (GradTensorView * view)
{
  guint64 n = view->per_sample ? 1 : view->shape.dims[0];
  gint channels = view->shape.dims[1];
  gboolean automatic = view->color_map == GRAD_COLOR_MAP_AUTO;

  view->tile_channels = automatic && channels == 3 ? 3 : 1;
  view->pixel_size = !view->colored && (view->color_map == GRAD_COLOR_MAP_GRAY
      || (automatic && channels == 1 && !view->vectors)) ? 1 : 3;
  view->n_frames = view->per_sample ? view->shape.dims[0] : 1;
  view->n_tiles = MIN (n * channels / view->tile_channels, view->max_tiles);
}

/* As few columns as make the grid no higher than wide, or than the frame is */
static guint
choose_columns (guint n, guint64 width, guint64 height)
{
  guint columns = 1;

  while (columns < n && columns * width < (n + columns - 1) / columns * height)
    columns++;
  return columns;
}

static guint
choose_scale (const GradTensorView * view, guint64 w, guint64 h)
{
  gint64 width = view->columns * w, height = view->rows * h;

  if (view->max_width == 0)
    return (AUTO_SIZE + MAX (width, height) - 1) / MAX (width, height);
  return MAX (1, MIN ((view->max_width - (view->columns - 1.) * GAP) / width,
          (view->max_height - (view->rows - 1.) * GAP) / height));
}

static gboolean
choose_grid (GradTensorView * view, GError ** error)
{
  guint64 w = view->shape.dims[3], h = view->shape.dims[2], width, height;
  guint max_width = view->max_width ? view->max_width : GRAD_TENSOR_VIEW_MAX_SIZE;
  guint max_height = view->max_height ? view->max_height : GRAD_TENSOR_VIEW_MAX_SIZE;

  view->columns = view->columns ? MIN (view->columns, view->n_tiles)
      : choose_columns (view->n_tiles, w * max_height, h * max_width);
  view->rows = (view->n_tiles + view->columns - 1) / view->columns;
  if (view->scale == 0)
    view->scale = choose_scale (view, w, h);
  w *= view->scale;
  h *= view->scale;
  width = view->columns * (w + GAP) - GAP;
  height = view->rows * (h + GAP) - GAP;
  if (width > max_width || height > max_height) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "%u tiles of %ux%u would make a frame of %"
        G_GUINT64_FORMAT "x%" G_GUINT64_FORMAT ", %ux%u are possible: lower max-tiles or scale%s",
        view->n_tiles, view->shape.dims[3], view->shape.dims[2], width, height, max_width,
        max_height, view->max_width ? ", or raise width and height" : "");
    return FALSE;
  }
  view->tile_width = w;
  view->tile_height = h;
  view->width = width;
  view->height = height;
  return TRUE;
}

/* The last batch of a pass has fewer samples, which are rows where they are vectors. */
static gboolean
fits (const GradTensorView * view, const GradTensorView * grid)
{
  const gint *dims = view->shape.dims, *old = grid->shape.dims;

  return grid->width > 0 && view->pixel_size == grid->pixel_size
      && view->tile_channels == grid->tile_channels && view->vectors == grid->vectors
      && dims[3] == old[3] && view->n_tiles <= grid->columns * grid->rows
      && (dims[2] == old[2] || (view->vectors
          && dims[2] * grid->scale <= grid->tile_height));
}

gboolean
grad_tensor_view_plan (GradTensorView * view, const GstCaps * caps, const GradTensorView * before,
    GError ** error)
{
  if (!parse_shape (view, caps, error))
    return FALSE;
  choose_tiles (view);
  if (before == NULL || !fits (view, before))
    return choose_grid (view, error);
  view->columns = before->columns;
  view->rows = before->rows;
  view->scale = before->scale;
  view->tile_width = before->tile_width;
  view->tile_height = before->tile_height;
  view->width = before->width;
  view->height = before->height;
  return TRUE;
}

/* ---- colours */

#define N_ANCHORS 9
/* viridis of Matplotlib; ColorBrewer's RdBu, reversed, with a white that is white */
static const guint8 unsigned_anchors[N_ANCHORS][3] = {
  {68, 1, 84}, {71, 45, 123}, {59, 82, 139}, {44, 114, 142}, {33, 145, 140}, {40, 174, 128},
  {94, 201, 98}, {173, 220, 48}, {253, 231, 37}
};
static const guint8 signed_anchors[N_ANCHORS][3] = {
  {5, 48, 97}, {33, 102, 172}, {67, 147, 195}, {146, 197, 222}, {255, 255, 255},
  {244, 165, 130}, {214, 96, 77}, {178, 24, 43}, {103, 0, 31}
};

/* Values from low to high go to levels 0 to n_levels - 1. */
typedef struct
{
  gdouble low, step;            /* levels per value, 0 where all values are equal */
  guint n_levels;
  guint8 colors[256][3];
} Palette;

static void
set_colors (Palette * palette, GradColorMap map)
{
  /* an odd number: the middle is white to the bit */
  palette->n_levels = map == GRAD_COLOR_MAP_SIGNED ? 255 : 256;
  for (guint level = 0; level < palette->n_levels; level++)
    for (guint c = 0; c < 3; c++)
      if (map == GRAD_COLOR_MAP_UNSIGNED || map == GRAD_COLOR_MAP_SIGNED) {
        const guint8 (*anchors)[3] =
            map == GRAD_COLOR_MAP_SIGNED ? signed_anchors : unsigned_anchors;
        gfloat at = level * (N_ANCHORS - 1.f) / (palette->n_levels - 1);
        guint i = MIN (at, N_ANCHORS - 2);

        palette->colors[level][c] =
            lroundf (anchors[i][c] + (at - i) * (anchors[i + 1][c] - anchors[i][c]));
      } else
        palette->colors[level][c] = level;
}

static inline gfloat
value_at (const GradTensorView * view, gconstpointer values, gsize i)
{
  return view->dtype == GRAD_DTYPE_UINT8 ? ((const guint8 *) values)[i]
      : ((const gfloat *) values)[i];
}

/* Of the finite values, 0 to 0 without any */
static void
find_range (const GradTensorView * view, gconstpointer values, gsize first, gsize n,
    gdouble * low, gdouble * high)
{
  *low = INFINITY;
  *high = -INFINITY;
  for (gsize i = first; i < first + n; i++) {
    gfloat v = value_at (view, values, i);

    if (isfinite (v)) {
      *low = MIN (*low, v);
      *high = MAX (*high, v);
    }
  }
  if (*low > *high)
    *low = *high = 0;
}

static void
set_range (Palette * palette, const GradTensorView * view, GradColorMap map,
    gconstpointer values, gsize first, gsize n)
{
  gdouble low = view->minimum, high = view->maximum;

  if (low == high && view->dtype == GRAD_DTYPE_UINT8) {
    low = 0;
    high = 255;
  } else if (low == high) {
    find_range (view, values, first, n, &low, &high);
    if (map == GRAD_COLOR_MAP_UNSIGNED)
      low = MIN (low, 0);
    else if (map == GRAD_COLOR_MAP_SIGNED) {
      high = MAX (-low, high);
      low = -high;
    }
  }
  palette->low = low;
  palette->step = high > low ? (palette->n_levels - 1) / (high - low) : 0;
}

/* Black for what is not a number */
static inline const guint8 *
color_of (const Palette * palette, gfloat value)
{
  static const guint8 black[3] = { 0, 0, 0 };
  gdouble level = (value - palette->low) * palette->step + 0.5;

  if (isnan (level))
    return black;
  return palette->colors[(guint) CLAMP (level, 0, palette->n_levels - 1)];
}

/* ---- drawing */

/* One row of pixels, magnified along it */
static void
draw_row (const GradTensorView * view, const Palette * palette, gconstpointer values, gsize first,
    guint8 * pixels)
{
  gsize plane = (gsize) view->shape.dims[2] * view->shape.dims[3];

  for (gint x = 0; x < view->shape.dims[3]; x++) {
    guint8 pixel[3];

    if (view->tile_channels == 3)
      for (guint c = 0; c < 3; c++)
        pixel[c] = color_of (palette, value_at (view, values, first + c * plane + x))[0];
    else
      memcpy (pixel, color_of (palette, value_at (view, values, first + x)), 3);
    for (guint i = 0; i < view->scale; i++, pixels += view->pixel_size)
      memcpy (pixels, pixel, view->pixel_size);
  }
}

static void
draw_tile (const GradTensorView * view, const Palette * palette, gconstpointer values, gsize first,
    guint8 * pixels, gsize stride)
{
  gsize row = (gsize) view->tile_width * view->pixel_size;

  for (gint y = 0; y < view->shape.dims[2]; y++, first += view->shape.dims[3]) {
    draw_row (view, palette, values, first, pixels);
    for (guint i = 1; i < view->scale; i++)
      memcpy (pixels + i * stride, pixels, row);
    pixels += view->scale * stride;
  }
}

static GradColorMap
choose_colors (const GradTensorView * view, gconstpointer values, gsize first, gsize n)
{
  gdouble low = view->minimum, high = view->maximum;

  if (view->color_map != GRAD_COLOR_MAP_AUTO)
    return view->color_map;
  if (view->pixel_size == 1 || view->tile_channels == 3)
    return GRAD_COLOR_MAP_GRAY;
  if (low == high)
    find_range (view, values, first, n, &low, &high);
  return low < 0 ? GRAD_COLOR_MAP_SIGNED : GRAD_COLOR_MAP_UNSIGNED;
}

void
grad_tensor_view_draw (const GradTensorView * view, gconstpointer values, guint frame,
    guint8 * pixels, gsize stride)
{
  const gint *dims = view->shape.dims;
  gsize tile_size = (gsize) view->tile_channels * dims[2] * dims[3];
  gsize first = (gsize) frame * dims[1] * dims[2] * dims[3];
  GradColorMap map = choose_colors (view, values, first, view->n_tiles * tile_size);
  Palette palette;

  set_colors (&palette, map);
  for (guint y = 0; y < view->height; y++)
    memset (pixels + y * stride, 0, (gsize) view->width * view->pixel_size);
  for (guint i = 0; i < view->n_tiles; i++, first += tile_size) {
    gsize x = i % view->columns * (view->tile_width + GAP);
    gsize y = i / view->columns * (view->tile_height + GAP);

    set_range (&palette, view, map, values, first, tile_size);
    draw_tile (view, &palette, values, first, pixels + y * stride + x * view->pixel_size, stride);
  }
}
