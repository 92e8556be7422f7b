/* GradStreamer: the log of a training that goes on
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradcheckpoint.h"

#include <stdio.h>

G_BEGIN_DECLS

/* Opens a log to be continued: lines of what came after the checkpoint are cut off, as it will come again. Makes one where there is
 * none. NULL with errno. */
FILE *grad_log_reopen (const gchar * location, const GradCheckpoint * from);

G_END_DECLS
