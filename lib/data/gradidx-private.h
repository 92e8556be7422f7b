/* GradStreamer: IDX files
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../gradtypes.h"

G_BEGIN_DECLS

/* The elements of an IDX file of unsigned bytes with that number of dimensions, from its bytes,
 * plain or gzip; name stands for the file in messages. dims: sizes, outermost first, none 0. */
GBytes *grad_idx_parse (GBytes * file, const gchar * name, guint rank, guint32 * dims,
    GError ** error);

G_END_DECLS
