/* GradStreamer: a GstVideoInfo as kernels want it; inline, so that only who has one links gstreamer-video
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

#include <gst/video/video.h>

G_BEGIN_DECLS

/* FALSE when kernels/video does not know it */
static inline gboolean
grad_video_format_from_gst (GstVideoFormat gst, GradVideoFormat * format)
{
  static const struct
  {
    GstVideoFormat gst;
    GradVideoFormat format;
  } formats[] = {
    {GST_VIDEO_FORMAT_GRAY8, GRAD_VIDEO_GRAY8},
    {GST_VIDEO_FORMAT_RGB, GRAD_VIDEO_RGB}, {GST_VIDEO_FORMAT_BGR, GRAD_VIDEO_BGR},
    {GST_VIDEO_FORMAT_RGBx, GRAD_VIDEO_RGBX}, {GST_VIDEO_FORMAT_RGBA, GRAD_VIDEO_RGBX},
    {GST_VIDEO_FORMAT_BGRx, GRAD_VIDEO_BGRX}, {GST_VIDEO_FORMAT_BGRA, GRAD_VIDEO_BGRX},
    {GST_VIDEO_FORMAT_xRGB, GRAD_VIDEO_XRGB}, {GST_VIDEO_FORMAT_ARGB, GRAD_VIDEO_XRGB},
    {GST_VIDEO_FORMAT_xBGR, GRAD_VIDEO_XBGR}, {GST_VIDEO_FORMAT_ABGR, GRAD_VIDEO_XBGR},
    {GST_VIDEO_FORMAT_I420, GRAD_VIDEO_I420}, {GST_VIDEO_FORMAT_YV12, GRAD_VIDEO_YV12},
    {GST_VIDEO_FORMAT_NV12, GRAD_VIDEO_NV12}, {GST_VIDEO_FORMAT_NV21, GRAD_VIDEO_NV21},
    {GST_VIDEO_FORMAT_YUY2, GRAD_VIDEO_YUY2}, {GST_VIDEO_FORMAT_UYVY, GRAD_VIDEO_UYVY},
  };

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    if (formats[i].gst == gst) {
      *format = formats[i].format;
      return TRUE;
    }
  return FALSE;
}

static inline gboolean
grad_video_matrix_from_gst (GstVideoColorMatrix gst, GradVideoMatrix * matrix)
{
  switch (gst) {
    case GST_VIDEO_COLOR_MATRIX_UNKNOWN:
    case GST_VIDEO_COLOR_MATRIX_BT601:
      *matrix = GRAD_VIDEO_BT601;
      return TRUE;
    case GST_VIDEO_COLOR_MATRIX_BT709:
      *matrix = GRAD_VIDEO_BT709;
      return TRUE;
    case GST_VIDEO_COLOR_MATRIX_BT2020:
      *matrix = GRAD_VIDEO_BT2020;
      return TRUE;
    case GST_VIDEO_COLOR_MATRIX_SMPTE240M:
      *matrix = GRAD_VIDEO_SMPTE240M;
      return TRUE;
    case GST_VIDEO_COLOR_MATRIX_FCC:
      *matrix = GRAD_VIDEO_FCC;
      return TRUE;
    default:
      return FALSE;
  }
}

/* A whole frame, without its planes. FALSE with GRAD_ERROR_UNSUPPORTED when kernels/video does not know its format or colours;
 * grayscale and RGB have no colour matrix that matters. */
static inline gboolean
grad_video_frame_describe (GradVideoFrame * frame, const GstVideoInfo * info, GError ** error)
{
  gint width = GST_VIDEO_INFO_WIDTH (info), height = GST_VIDEO_INFO_HEIGHT (info);
  GradVideoMatrix matrix = GRAD_VIDEO_BT601;
  GradVideoFormat format;

  if (!grad_video_format_from_gst (GST_VIDEO_INFO_FORMAT (info), &format)
      || (GST_VIDEO_INFO_IS_YUV (info)
          && !grad_video_matrix_from_gst (info->colorimetry.matrix, &matrix))) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "cannot read video of format %s with the colour "
        "matrix number %d: put videoconvert ! video/x-raw,format=RGB in front", GST_VIDEO_INFO_NAME (info),
        info->colorimetry.matrix);
    return FALSE;
  }
  *frame = (GradVideoFrame) {
    .format = format,
    .matrix = matrix,
    .full_range = info->colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255,
    .width = width,
    .height = height,
    .crop_width = width,
    .crop_height = height
  };
  return TRUE;
}

G_END_DECLS
