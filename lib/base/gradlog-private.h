/* GradStreamer: the log of a training: lines of JSON
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradcheckpoint.h"

#include <stdio.h>

G_BEGIN_DECLS

typedef struct
{
  FILE *file;                   /* NULL: there is none */
  gboolean is_old;              /* what is in it is of an earlier run, and stays until there is something new */
} GradLog;

/* resumed (nullable): the log that is there goes on from then; lines of what came after it are cut off, as it will come again. Without
 * a location there is no log. FALSE with GRAD_ERROR_IO */
GRAD_API gboolean grad_log_open (GradLog * log, const gchar * location, const GradCheckpoint * resumed,
    GError ** error);
/* A structure as one line: strings, whole numbers and doubles; a double that JSON cannot say is null. */
void grad_log_add (GradLog * log, const GstStructure * s, const gchar * const *names);
/* FALSE with errno: what was added is not all there, and the log is closed. */
gboolean grad_log_flush (GradLog * log);
void grad_log_close (GradLog * log);

G_END_DECLS
