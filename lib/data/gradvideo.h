/* GradStreamer: video frames as pictures on a device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

GRAD_API gboolean grad_video_convert (GradDevice * device, const GradVideoFrame * frame,
    GradTensor * y, gint n, GError ** error);
GRAD_API gboolean grad_video_convert_buffer (GradDevice * device, GstBuffer * buffer,
    const GradVideoFrame * frame, GradTensor * y, gint n, gboolean * done, GError ** error);

G_END_DECLS
