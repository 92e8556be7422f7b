/* GradStreamer kernels: video frames to uint8 pictures, reference
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Pixel by pixel, =; deterministic. */
#include "video-body.h"

static gboolean
convert (GradDevice * device, const GradVideoFrame * frame, GradTensor * y, gint n, GError ** error)
{
  GradVideoView view;
  guint8 *out = grad_tensor_data (y), pixel[3];
  gint width = frame->crop_width, height = frame->crop_height;
  gsize plane = (gsize) width * height;

  if (!grad_video_view_init (&view, frame, y, n, error))
    return FALSE;
  out += n * grad_video_channels (view.kind) * plane;
  for (gint row = 0; row < height; row++)
    for (gint column = 0; column < width; column++, out++) {
      grad_video_pixel (&view, view.kind, column, row, pixel);
      for (gint c = 0; c < grad_video_channels (view.kind); c++)
        out[c * plane] = pixel[c];
    }
  return TRUE;
}

const GradVideoOps grad_video_ref_ops = {
  .convert = convert,
};
