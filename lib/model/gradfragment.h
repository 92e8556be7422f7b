/* GradStreamer: a network as a launch fragment
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../gradtypes.h"

G_BEGIN_DECLS

GRAD_API gchar *grad_fragment_from_pad (GstPad * sinkpad, const gchar * model_name);

G_END_DECLS
