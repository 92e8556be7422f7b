/* GradStreamer: model files: what is in them beside the parameters
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../autograd/gradnetwork.h"

G_BEGIN_DECLS

GRAD_API gchar *grad_model_fragment (GstPad * sinkpad, const gchar * model_name);
GRAD_API gboolean grad_model_finish (const gchar * location, GHashTable * training,
    GError ** error);
GRAD_API gboolean grad_model_check_location (const gchar * location, GError ** error);

G_END_DECLS
