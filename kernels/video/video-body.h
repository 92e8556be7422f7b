/* GradStreamer kernels: one pixel of a video frame
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

#ifndef GRAD_BODY
#define GRAD_BODY static inline __attribute__ ((always_inline))
#endif

G_BEGIN_DECLS

typedef enum
{
  GRAD_VIDEO_RGB_TO_RGB,
  GRAD_VIDEO_RGB_TO_LUMA,
  GRAD_VIDEO_YUV_TO_RGB,
  GRAD_VIDEO_LUMA_TO_RGB,
  GRAD_VIDEO_LUMA_TO_LUMA
} GradVideoKind;

/* From YUV: b, a, p, q, s, t of video.h */
typedef struct
{
  gint32 black, gain, red_v, green_u, green_v, blue_u;
} GradVideoColours;

/* The part of the crop that is in the frame has columns left to right - 1 and rows top to bottom - 1 of it. Where its components
 * R, G, B or Y, U, V are, whatever the format: component c of its pixel (x, y), from 0 on, is
 * data[c][(y + first_y >> shift_y) stride[c] + (x + first_x >> shift_x) step[c]], without first and shift for c = 0.
 * first_x and first_y are 0 or 1: where it begins in its first block of pixels with one chroma sample. */
typedef struct
{
  GradVideoKind kind;
  gint left, right, top, bottom;
  const guint8 *data[3];
  gssize stride[3];
  gint step[3];
  gint first_x, first_y, shift_x, shift_y;
  GradVideoColours colours;
} GradVideoView;

static inline gint
grad_video_channels (GradVideoKind kind)
{
  return kind == GRAD_VIDEO_RGB_TO_LUMA || kind == GRAD_VIDEO_LUMA_TO_LUMA ? 1 : 3;
}

/* FALSE when the crop has nothing of the frame, or sample n of y is not of its size. */
GRAD_API gboolean grad_video_view_init (GradVideoView * view, const GradVideoFrame * frame,
    const GradTensor * y, gint n, GError ** error);

G_END_DECLS

GRAD_BODY guint8
grad_video_round (gint32 sum)
{
  gint32 v = (sum + 0x8000) >> 16;

  return v < 0 ? 0 : v > 255 ? 255 : v;
}

GRAD_BODY gint32
grad_video_light (const GradVideoColours * k, guint8 luma)
{
  return k->gain * (luma - k->black);
}

GRAD_BODY guint8
grad_video_luma (guint8 r, guint8 g, guint8 b)
{
  return grad_video_round (19595 * r + 38470 * g + 7471 * b);
}

GRAD_BODY guint8
grad_video_red (const GradVideoColours * k, gint32 light, guint8 vc)
{
  return grad_video_round (light + k->red_v * (vc - 128));
}

GRAD_BODY guint8
grad_video_green (const GradVideoColours * k, gint32 light, guint8 uc, guint8 vc)
{
  return grad_video_round (light - k->green_u * (uc - 128) - k->green_v * (vc - 128));
}

GRAD_BODY guint8
grad_video_blue (const GradVideoColours * k, gint32 light, guint8 uc)
{
  return grad_video_round (light + k->blue_u * (uc - 128));
}

/* Pixel (x, y) of the crop; kind: that of the view, as a constant */
GRAD_BODY void
grad_video_pixel (const GradVideoView * v, GradVideoKind kind, gint x, gint y, guint8 out[3])
{
  guint8 a, b, c;
  gint32 light;

  if (x < v->left || x >= v->right || y < v->top || y >= v->bottom) {
    out[0] = out[1] = out[2] = 0;
    return;
  }
  x -= v->left;
  y -= v->top;
  a = v->data[0][y * v->stride[0] + (gssize) x * v->step[0]];
  if (kind == GRAD_VIDEO_LUMA_TO_RGB || kind == GRAD_VIDEO_LUMA_TO_LUMA) {
    out[0] = out[1] = out[2] = grad_video_round (grad_video_light (&v->colours, a));
    return;
  }
  x = (x + v->first_x) >> v->shift_x;
  y = (y + v->first_y) >> v->shift_y;
  b = v->data[1][y * v->stride[1] + (gssize) x * v->step[1]];
  c = v->data[2][y * v->stride[2] + (gssize) x * v->step[2]];
  if (kind == GRAD_VIDEO_RGB_TO_RGB) {
    out[0] = a;
    out[1] = b;
    out[2] = c;
  } else if (kind == GRAD_VIDEO_RGB_TO_LUMA)
    out[0] = grad_video_luma (a, b, c);
  else {
    light = grad_video_light (&v->colours, a);
    out[0] = grad_video_red (&v->colours, light, c);
    out[1] = grad_video_green (&v->colours, light, b, c);
    out[2] = grad_video_blue (&v->colours, light, b);
  }
}
