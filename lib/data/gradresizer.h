/* GradStreamer: resizes batches of pictures
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../device/graddevice.h"

G_BEGIN_DECLS

/* Channels that can have a mean and standard deviation of their own. */
#define GRAD_RESIZER_CHANNELS 4

typedef struct _GradResizer GradResizer;

GRAD_API gboolean grad_resizer_parse (const gchar * name, const gchar * text,
    gfloat values[GRAD_RESIZER_CHANNELS], gboolean positive, GError ** error);
GRAD_API GradResizer *grad_resizer_new (GradDevice * device, const gfloat * mean,
    const gfloat * std);
GRAD_API void grad_resizer_free (GradResizer * resizer);
GRAD_API GradTensor *grad_resizer_run (GradResizer * resizer, GradTensor * pictures, gint width,
    gint height, GError ** error);
GRAD_API gboolean grad_resizer_run_into (GradResizer * resizer, GradTensor * pictures,
    GradTensor * out, gint first, GError ** error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradResizer, grad_resizer_free)

G_END_DECLS
