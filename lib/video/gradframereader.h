/* GradStreamer: frames of video to what a network wants to see
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../model/gradmodel.h"

#include <gst/video/video.h>

G_BEGIN_DECLS

/**
 * GradRegion:
 * @GRAD_REGION_CENTER: the largest part around the centre that has the network's aspect ratio
 * @GRAD_REGION_LETTERBOX: the whole frame, with black bars
 * @GRAD_REGION_STRETCH: the whole frame, stretched
 *
 * Which part of a frame the network sees. The frame's pixel aspect ratio counts.
 */
typedef enum
{
  GRAD_REGION_CENTER,
  GRAD_REGION_LETTERBOX,
  GRAD_REGION_STRETCH
} GradRegion;

#define GRAD_TYPE_REGION (grad_region_get_type ())
GType grad_region_get_type (void);

typedef struct _GradFrameReader GradFrameReader;

/* For one thread at a time. width, height and channels of `input` must be known. */
GradFrameReader *grad_frame_reader_new (GradDevice * device, const GradModelInput * input,
    GradRegion region);
void grad_frame_reader_free (GradFrameReader * reader);

/* Whether frames of that kind can be read: GRAD_ERROR_UNSUPPORTED says what to do. */
gboolean grad_frame_reader_check (const GstVideoInfo * info, GError ** error);

/* Of an answered allocation query: nobody here crops frames for those in front of it. */
GRAD_API void grad_query_remove_crop (GstQuery * query);

/* (N, C, H, W) float32 of n frames, whose infos may differ. */
GradTensor *grad_frame_reader_read (GradFrameReader * reader, GstBuffer * const *frames,
    const GstVideoInfo * infos, guint n, GError ** error);

/* The same one by one: a batch of n samples, whose values are undefined, and a frame to one of them. */
GradTensor *grad_frame_reader_new_batch (GradFrameReader * reader, guint n, GError ** error);
gboolean grad_frame_reader_read_into (GradFrameReader * reader, GstBuffer * frame,
    const GstVideoInfo * info, GradTensor * batch, guint sample, GError ** error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradFrameReader, grad_frame_reader_free)

/* Caps of video/x-raw that can be read, as a string for pad templates */
#define GRAD_FRAME_FORMATS "{ I420, YV12, NV12, NV21, YUY2, UYVY, RGB, BGR, RGBx, BGRx, xRGB, xBGR, " \
    "RGBA, BGRA, ARGB, ABGR, GRAY8 }"

G_END_DECLS
