/* GradStreamer kernels: video frames to uint8 pictures, cpu
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Runs in its caller's thread alone. Row by row: first each component by itself, one byte per pixel, then arithmetic, which
 * vectors do. */
#include "kernels/cpu.h"
#include "video-body.h"

#include <string.h>

GRAD_INLINE void
spread (const guint8 * restrict from, gint step, guint8 * restrict to, gint n)
{
  for (gint i = 0; i < n; i++)
    to[i] = from[i * step];
}

GRAD_INLINE void
spread_twice (const guint8 * restrict from, gint step, guint8 * restrict to, gint n)
{
  for (gint i = 0; i < n; i++)
    to[2 * i] = to[2 * i + 1] = from[i * step];
}

/* n bytes of `to` from bytes that are `step` apart; with `twice`, 2 n bytes, every other one the same as the one before */
GRAD_CLONES static void
gather (const guint8 * from, gint step, gboolean twice, guint8 * to, gint n)
{
#define CASE(k) \
    case k: \
      if (twice) \
        spread_twice (from, k, to, n); \
      else \
        spread (from, k, to, n); \
      break
  switch (step) {
      CASE (1);
      CASE (2);
      CASE (3);
      CASE (4);
  }
#undef CASE
}

GRAD_CLONES static void
luma_row (const guint8 * restrict r, const guint8 * restrict g, const guint8 * restrict b,
    guint8 * restrict y, gint n)
{
  for (gint i = 0; i < n; i++)
    y[i] = grad_video_luma (r[i], g[i], b[i]);
}

GRAD_CLONES static void
light_row (const GradVideoColours * colours, const guint8 * restrict y, guint8 * restrict to, gint n)
{
  const GradVideoColours k = *colours;

  for (gint i = 0; i < n; i++)
    to[i] = grad_video_round (grad_video_light (&k, y[i]));
}

GRAD_CLONES static void
rgb_row (const GradVideoColours * colours, const guint8 * restrict y, const guint8 * restrict u,
    const guint8 * restrict v, guint8 * restrict r, guint8 * restrict g, guint8 * restrict b, gint n)
{
  const GradVideoColours k = *colours;

  for (gint i = 0; i < n; i++) {
    gint32 light = grad_video_light (&k, y[i]);

    r[i] = grad_video_red (&k, light, v[i]);
    g[i] = grad_video_green (&k, light, u[i], v[i]);
    b[i] = grad_video_blue (&k, light, u[i]);
  }
}

/* Component c of a row of n pixels: where it is if it lies there byte by byte, else collected in `line`, which has room for
 * n + 3. */
static const guint8 *
component_row (const GradVideoView * view, gint c, gint row, gint n, guint8 * line)
{
  gboolean halved = c > 0 && view->shift_x;
  const guint8 *from = view->data[c]
      + (c ? (row + view->first_y) >> view->shift_y : row) * view->stride[c];

  if (!halved && view->step[c] == 1)
    return from;
  gather (from, view->step[c], halved, line, halved ? (n + view->first_x + 1) / 2 : n);
  return line + (halved ? view->first_x : 0);
}

static gboolean
convert (GradDevice * device, const GradVideoFrame * frame, GradTensor * y, gint n, GError ** error)
{
  GradVideoView view;
  gsize stride = frame->crop_width, plane = stride * frame->crop_height;
  gint width, channels;
  g_autofree guint8 *lines = NULL;
  guint8 *out = grad_tensor_data (y);
  const guint8 *in[3];

  if (!grad_video_view_init (&view, frame, y, n, error))
    return FALSE;
  width = view.right - view.left;
  channels = grad_video_channels (view.kind);
  lines = g_malloc (3 * ((gsize) width + 3));
  out += n * channels * plane;
  if ((gsize) width * (view.bottom - view.top) < plane)
    memset (out, 0, channels * plane);
  out += view.top * stride + view.left;
  for (gint row = 0; row < view.bottom - view.top; row++, out += stride) {
    if (view.kind == GRAD_VIDEO_RGB_TO_RGB) {
      for (gint c = 0; c < 3; c++)
        component_row (&view, c, row, width, out + c * plane);
      continue;
    }
    for (gint c = 0; c < (view.kind >= GRAD_VIDEO_LUMA_TO_RGB ? 1 : 3); c++)
      in[c] = component_row (&view, c, row, width, lines + c * ((gsize) width + 3));
    if (view.kind == GRAD_VIDEO_RGB_TO_LUMA)
      luma_row (in[0], in[1], in[2], out, width);
    else if (view.kind == GRAD_VIDEO_YUV_TO_RGB)
      rgb_row (&view.colours, in[0], in[1], in[2], out, out + plane, out + 2 * plane, width);
    else
      for (gint c = 0; c < channels; c++)
        light_row (&view.colours, in[0], out + c * plane, width);
  }
  return TRUE;
}

const GradVideoOps grad_video_cpu_ops = {
  .convert = convert,
};
