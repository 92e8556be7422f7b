/* GradStreamer: video frames as pictures on a device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradvideo.h"
#include "kernels/video/video-body.h"

#include <string.h>

/* A plane as a tensor on the device; rows that lie apart come together first. */
static GradTensor *
upload_plane (GradDevice * device, const guint8 * plane, gssize stride, gint rows, gint row_bytes,
    GError ** error)
{
  g_autoptr (GradTensor) tensor = grad_tensor_new_plain (device, GRAD_DTYPE_UINT8,
      &GRAD_SHAPE (rows, row_bytes), error);
  g_autofree guint8 *packed = NULL;
  gsize size = (gsize) rows * row_bytes;

  if (tensor == NULL)
    return NULL;
  if (stride != row_bytes) {
    packed = g_malloc (size);
    for (gint row = 0; row < rows; row++)
      memcpy (packed + (gsize) row * row_bytes, plane + row * stride, row_bytes);
  }
  return grad_tensor_upload (tensor, packed ? packed : plane, size, error)
      ? g_steal_pointer (&tensor) : NULL;
}

/**
 * grad_video_convert: (skip)
 * @device: where @y is
 * @frame: a frame whose planes are in host memory
 * @y: uint8, (N, C, H, W)
 * @n: sample of @y to write
 * @error: location of a #GError
 *
 * Takes what the crop needs to the device and converts it there: kernels/video/video.h. Works in the caller's thread.
 *
 * Returns: %FALSE with %GRAD_ERROR_SHAPE or the device's error
 */
gboolean
grad_video_convert (GradDevice * device, const GradVideoFrame * frame, GradTensor * y, gint n,
    GError ** error)
{
  const GradVideoOps *ops = grad_device_kernels (device)->video;
  GradVideoFrame part = *frame;
  GradVideoView view;
  GradTensor *planes[GRAD_VIDEO_MAX_PLANES] = { NULL };
  gint rows[GRAD_VIDEO_MAX_PLANES], row_bytes[GRAD_VIDEO_MAX_PLANES];
  gint n_planes;
  gboolean ok = TRUE;

  if (GRAD_DEVICE_GET_CLASS (device)->is_host (device, GRAD_DTYPE_UINT8, GRAD_LAYOUT_PLAIN))
    return ops->convert (device, frame, y, n, error);
  if (!grad_video_view_init (&view, frame, y, n, error))        /* before planes are cut to it */
    return FALSE;
  grad_video_reduce (&part, rows, row_bytes);
  n_planes = view.kind < GRAD_VIDEO_LUMA_TO_RGB ? grad_video_n_planes (frame->format) : 1;
  for (gint p = 0; ok && p < n_planes; p++) {
    planes[p] = upload_plane (device, part.planes[p], part.strides[p], rows[p], row_bytes[p], error);
    ok = planes[p] != NULL;
    part.planes[p] = ok ? grad_tensor_data (planes[p]) : NULL;
    part.strides[p] = row_bytes[p];
  }
  ok = ok && ops->convert (device, &part, y, n, error);
  for (gint p = 0; p < n_planes; p++)
    g_clear_pointer (&planes[p], grad_tensor_unref);
  return ok;
}

/**
 * grad_video_convert_buffer: (skip)
 * @device: where @y is
 * @buffer: a video frame
 * @frame: what it is; planes and strides are not read
 * @y: uint8, (N, C, H, W)
 * @n: sample of @y to write
 * @done: (out): whether the frame was in memory that the device reads directly; if not, map it for the host and call
 *   grad_video_convert()
 * @error: location of a #GError
 *
 * As grad_video_convert(), for frames that are on the device already, such as a decoder's.
 *
 * Returns: %FALSE with %GRAD_ERROR_SHAPE or the device's error
 */
gboolean
grad_video_convert_buffer (GradDevice * device, GstBuffer * buffer, const GradVideoFrame * frame,
    GradTensor * y, gint n, gboolean * done, GError ** error)
{
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (device);

  *done = FALSE;
  return !klass->convert_video
      || klass->convert_video (device, buffer, frame, y, n, done, error);
}
