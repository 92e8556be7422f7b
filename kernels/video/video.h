/* GradStreamer kernels: video frames to uint8 pictures
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

/* As GStreamer names them and lays out their planes; what is x here may be alpha, and is not looked at. */
typedef enum
{
  GRAD_VIDEO_GRAY8,
  GRAD_VIDEO_RGB,
  GRAD_VIDEO_BGR,
  GRAD_VIDEO_RGBX,
  GRAD_VIDEO_BGRX,
  GRAD_VIDEO_XRGB,
  GRAD_VIDEO_XBGR,
  GRAD_VIDEO_I420,
  GRAD_VIDEO_YV12,
  GRAD_VIDEO_NV12,
  GRAD_VIDEO_NV21,
  GRAD_VIDEO_YUY2,
  GRAD_VIDEO_UYVY,
  GRAD_VIDEO_N_FORMATS
} GradVideoFormat;

typedef enum
{
  GRAD_VIDEO_BT601,
  GRAD_VIDEO_BT709,
  GRAD_VIDEO_BT2020,
  GRAD_VIDEO_SMPTE240M,
  GRAD_VIDEO_FCC,
  GRAD_VIDEO_N_MATRICES
} GradVideoMatrix;

#define GRAD_VIDEO_MAX_PLANES 3

struct _GradVideoFrame
{
  GradVideoFormat format;
  GradVideoMatrix matrix;       /* of YUV */
  gboolean full_range;          /* of YUV: 0 to 255, else 16 to 235 and 16 to 240 */
  gint width, height;           /* of the whole frame */
  gint x, y, crop_width, crop_height;   /* what to take, in luma pixels: black where that is not of the frame */
  const guint8 *planes[GRAD_VIDEO_MAX_PLANES];  /* where the device computes: host memory for ref and cpu */
  gssize strides[GRAD_VIDEO_MAX_PLANES];        /* bytes from row to row, may be negative */
};

/* Sample n of y = the frame's crop; y: (N, C, H, W) uint8, plain; H and W are those of the crop; C = 3: R, G, B, or 1: luma.
 * In integers, the same on every device, with r (z) = (z + 0x8000) >> 16, cut to 0 … 255:
 *   RGB from YUV   R = r (a (Y - b) + p (V - 128)), G = r (a (Y - b) - q (U - 128) - s (V - 128)),
 *                  B = r (a (Y - b) + t (U - 128)); b = 16 (full range: 0), and the exact factors of the standard times
 *                  65536, rounded: colours in video.c
 *   luma from YUV  r (a (Y - b)), which is Y itself in full range
 *   luma from RGB  r (19595 R + 38470 G + 7471 B): BT.601, as Pillow's convert ("L")
 *   GRAY8          is luma, and R = G = B; whatever full_range says
 *   black          0, where the crop reaches beyond the frame
 * Chroma is that of the nearest sample: the one at (x / 2, y / 2) (YUY2 and UYVY: (x / 2, y)) holds for its block of pixels,
 * wherever it is sited, also in interlaced frames.
 * Refuses a crop that has nothing of the frame and a tensor that does not fit it: GRAD_ERROR_SHAPE. */
typedef struct
{
  gboolean (*convert) (GradDevice * device, const GradVideoFrame * frame, GradTensor * y, gint n,
      GError ** error);
} GradVideoOps;

GRAD_API gint grad_video_n_planes (GradVideoFormat format);

/* Makes a frame as small as its crop allows, its planes pointing to what is left, and says how large they are. The crop must
 * have something of the frame. */
GRAD_API void grad_video_reduce (GradVideoFrame * frame,
    gint rows[GRAD_VIDEO_MAX_PLANES], gint row_bytes[GRAD_VIDEO_MAX_PLANES]);

extern const GradVideoOps grad_video_ref_ops;
extern const GradVideoOps grad_video_cpu_ops;
extern const GradVideoOps grad_video_cuda_ops;
