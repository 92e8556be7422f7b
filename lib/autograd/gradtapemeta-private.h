/* GradStreamer: the tape on a buffer
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradnode-private.h"

G_BEGIN_DECLS

/* Tagged as depending on the memory: GstBaseTransform leaves it behind, queue, tee and identity keep it. */
void grad_buffer_add_tape_meta (GstBuffer * buffer, GradNode * node);
/* NULL without a tape; not a new reference */
GradNode *grad_buffer_get_node (GstBuffer * buffer);

G_END_DECLS
