/* GradStreamer: a model file that is written while training goes on
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../model/gradsnapshot.h"

G_BEGIN_DECLS

typedef struct _GradSaveJob GradSaveJob;

/* Begins to write; takes the snapshot. element: not owned; posts grad-saved for each file that is there. step: that it is of;
 * extra: (nullable): another file with the same */
GradSaveJob *grad_save_job_new (GstElement * element, GradSnapshot * snapshot, guint64 step, const gchar * location,
    const gchar * extra);
gboolean grad_save_job_is_done (GradSaveJob * job);
/* Waits until it is, and frees it. saved: whether the first file is there. Returns: FALSE when one of them could not be written */
gboolean grad_save_job_end (GradSaveJob * job, gboolean * saved, GError ** error);

G_END_DECLS
