/* GradStreamer kernels: what is where in a video frame
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "video-body.h"

#include <string.h>

/* Component c (R, G, B or Y, U, V) of the first pixel is byte `offset` of plane `plane`; the next one of the row is `step` bytes on.
 * Chroma is halved across by shift_x, down by shift_y. */
static const struct
{
  gboolean yuv;
  gint n_planes, shift_x, shift_y;
  gint plane[3], offset[3], step[3];
} formats[GRAD_VIDEO_N_FORMATS] = {
  [GRAD_VIDEO_GRAY8] = {FALSE, 1, 0, 0, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}},
  [GRAD_VIDEO_RGB] = {FALSE, 1, 0, 0, {0, 0, 0}, {0, 1, 2}, {3, 3, 3}},
  [GRAD_VIDEO_BGR] = {FALSE, 1, 0, 0, {0, 0, 0}, {2, 1, 0}, {3, 3, 3}},
  [GRAD_VIDEO_RGBX] = {FALSE, 1, 0, 0, {0, 0, 0}, {0, 1, 2}, {4, 4, 4}},
  [GRAD_VIDEO_BGRX] = {FALSE, 1, 0, 0, {0, 0, 0}, {2, 1, 0}, {4, 4, 4}},
  [GRAD_VIDEO_XRGB] = {FALSE, 1, 0, 0, {0, 0, 0}, {1, 2, 3}, {4, 4, 4}},
  [GRAD_VIDEO_XBGR] = {FALSE, 1, 0, 0, {0, 0, 0}, {3, 2, 1}, {4, 4, 4}},
  [GRAD_VIDEO_I420] = {TRUE, 3, 1, 1, {0, 1, 2}, {0, 0, 0}, {1, 1, 1}},
  [GRAD_VIDEO_YV12] = {TRUE, 3, 1, 1, {0, 2, 1}, {0, 0, 0}, {1, 1, 1}},
  [GRAD_VIDEO_NV12] = {TRUE, 2, 1, 1, {0, 1, 1}, {0, 0, 1}, {1, 2, 2}},
  [GRAD_VIDEO_NV21] = {TRUE, 2, 1, 1, {0, 1, 1}, {0, 1, 0}, {1, 2, 2}},
  [GRAD_VIDEO_YUY2] = {TRUE, 1, 1, 0, {0, 0, 0}, {0, 1, 3}, {2, 4, 4}},
  [GRAD_VIDEO_UYVY] = {TRUE, 1, 1, 0, {0, 0, 0}, {1, 0, 2}, {2, 4, 4}},
};

/* With Kr, Kb of the standard, Kg = 1 - Kr - Kb, and A = 255 / 219, C = 255 / 224 (full range: 1):
 * a = A, p = C 2 (1 - Kr), q = C 2 (1 - Kb) Kb / Kg, s = C 2 (1 - Kr) Kr / Kg, t = C 2 (1 - Kb), times 65536, rounded. */
static const GradVideoColours colours[GRAD_VIDEO_N_MATRICES][2] = {
  [GRAD_VIDEO_BT601] = {{16, 76309, 104597, 25675, 53279, 132201},
      {0, 65536, 91881, 22553, 46802, 116130}},
  [GRAD_VIDEO_BT709] = {{16, 76309, 117489, 13975, 34925, 138438},
      {0, 65536, 103206, 12276, 30679, 121609}},
  [GRAD_VIDEO_BT2020] = {{16, 76309, 110014, 12277, 42626, 140363},
      {0, 65536, 96639, 10784, 37444, 123299}},
  [GRAD_VIDEO_SMPTE240M] = {{16, 76309, 117579, 16907, 35559, 136230},
      {0, 65536, 103285, 14852, 31236, 119669}},
  [GRAD_VIDEO_FCC] = {{16, 76309, 104448, 24759, 53109, 132798},
      {0, 65536, 91750, 21749, 46653, 116654}},
};

static gint
halve (gint size, gint shift)
{
  return (size + shift) >> shift;
}

gint
grad_video_n_planes (GradVideoFormat format)
{
  return formats[format].n_planes;
}

void
grad_video_reduce (GradVideoFrame * frame, gint rows[GRAD_VIDEO_MAX_PLANES],
    gint row_bytes[GRAD_VIDEO_MAX_PLANES])
{
  gint sx = formats[frame->format].shift_x, sy = formats[frame->format].shift_y;
  gint x = MAX (frame->x, 0) >> sx << sx, y = MAX (frame->y, 0) >> sy << sy;

  frame->width = MIN ((gint64) frame->x + frame->crop_width, frame->width) - x;
  frame->height = MIN ((gint64) frame->y + frame->crop_height, frame->height) - y;
  frame->x -= x;
  frame->y -= y;
  memset (rows, 0, GRAD_VIDEO_MAX_PLANES * sizeof *rows);
  memset (row_bytes, 0, GRAD_VIDEO_MAX_PLANES * sizeof *row_bytes);
  for (gint c = 0; c < 3; c++) {
    gint p = formats[frame->format].plane[c], step = formats[frame->format].step[c];
    gint shift_x = c ? sx : 0, shift_y = c ? sy : 0;

    if (rows[p] == 0)           /* the first component of this plane */
      frame->planes[p] += (y >> shift_y) * frame->strides[p] + (gsize) (x >> shift_x) * step;
    rows[p] = MAX (rows[p], halve (frame->height, shift_y));
    row_bytes[p] = MAX (row_bytes[p], halve (frame->width, shift_x) * step);
  }
}

static gboolean
refuse (GError ** error, const GradVideoFrame * frame, const GradTensor * y, gint n)
{
  g_autofree gchar *shape = grad_shape_to_string (&y->shape);

  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "cannot take %dx%d pixels at (%d, %d) of a video frame of "
      "%dx%d as sample %d of %s %s", frame->crop_width, frame->crop_height, frame->x, frame->y, frame->width,
      frame->height, n, grad_dtype_to_string (y->dtype), shape);
  return FALSE;
}

gboolean
grad_video_view_init (GradVideoView * view, const GradVideoFrame * frame, const GradTensor * y,
    gint n, GError ** error)
{
  const gint *dims = y->shape.dims;
  gboolean yuv = formats[frame->format].yuv, rgb = dims[1] == 3;
  gint shift_x = formats[frame->format].shift_x, shift_y = formats[frame->format].shift_y;
  gint x = MAX (frame->x, 0), y0 = MAX (frame->y, 0);   /* the first pixel that is in the frame */

  if (y->dtype != GRAD_DTYPE_UINT8 || y->shape.rank != 4 || (dims[1] != 1 && dims[1] != 3)
      || n < 0 || n >= dims[0] || frame->crop_height != dims[2] || frame->crop_width != dims[3]
      || frame->x <= -frame->crop_width || frame->x >= frame->width
      || frame->y <= -frame->crop_height || frame->y >= frame->height)
    return refuse (error, frame, y, n);

  *view = (GradVideoView) {
    .kind = frame->format == GRAD_VIDEO_GRAY8 || (yuv && !rgb)
        ? rgb ? GRAD_VIDEO_LUMA_TO_RGB : GRAD_VIDEO_LUMA_TO_LUMA
        : yuv ? GRAD_VIDEO_YUV_TO_RGB : rgb ? GRAD_VIDEO_RGB_TO_RGB : GRAD_VIDEO_RGB_TO_LUMA,
    .left = x - frame->x,
    .right = MIN (frame->crop_width, (gint64) frame->width - frame->x),
    .top = y0 - frame->y,
    .bottom = MIN (frame->crop_height, (gint64) frame->height - frame->y),
    .first_x = x & shift_x,
    .first_y = y0 & shift_y,
    .shift_x = shift_x,
    .shift_y = shift_y,
    .colours = colours[frame->matrix][!yuv || frame->full_range],
  };
  for (gint c = 0; c < 3; c++) {
    gint p = formats[frame->format].plane[c];

    view->stride[c] = frame->strides[p];
    view->step[c] = formats[frame->format].step[c];
    view->data[c] = frame->planes[p] + formats[frame->format].offset[c]
        + (c ? y0 >> shift_y : y0) * view->stride[c]
        + (gssize) (c ? x >> shift_x : x) * view->step[c];
  }
  return TRUE;
}
