/* GradStreamer: the table of a network, as people and as programs read it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/model/gradsummary.h"

G_BEGIN_DECLS

/* The rows of grad_summary_new() (element-type GradSummaryRow) and a line with their sums. (transfer full) */
gchar *grad_summary_to_string (GPtrArray * rows, guint width);
/* "layers" and their sums, into an object that is open; FLOPs are those of one picture */
void grad_summary_to_json (GPtrArray * rows, GString * json);

G_END_DECLS
