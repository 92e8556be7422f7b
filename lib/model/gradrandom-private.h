/* GradStreamer: the generator under the random streams
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradrandom.h"

G_BEGIN_DECLS

/* One block of Philox4x32-10. */
void grad_philox (const guint32 counter[4], const guint32 key[2], guint32 block[4]);

G_END_DECLS
