/* GradStreamer: which frames of video a batch was made of
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../gradtypes.h"

G_BEGIN_DECLS

#define GRAD_FRAMES_META_API_TYPE (grad_frames_meta_api_get_type ())
GRAD_API GType grad_frames_meta_api_get_type (void);

/**
 * GradFrame:
 * @pad: name of the sink pad on which it came, interned
 * @pts: when it is to be shown, as its stream says, in ns, or %GST_CLOCK_TIME_NONE
 * @duration: for how long, likewise
 *
 * Where a sample comes from.
 */
typedef struct
{
  const gchar *pad;
  GstClockTime pts, duration;
} GradFrame;

/**
 * GradFramesMeta:
 * @meta: parent
 * @n_frames: samples in the batch
 * @frames: (array length=n_frames): where each comes from
 *
 * Attached by gradfromvideo; plain data that travels with any buffer made from the batch.
 */
typedef struct
{
  GstMeta meta;

  guint n_frames;
  GradFrame *frames;
} GradFramesMeta;

GRAD_API GradFramesMeta *grad_buffer_add_frames_meta (GstBuffer * buffer, const GradFrame * frames,
    guint n_frames);
GRAD_API GradFramesMeta *grad_buffer_get_frames_meta (GstBuffer * buffer);
GRAD_API const GradFrame *grad_frames_meta_get_frame (const GradFramesMeta * meta, guint i);

G_END_DECLS
