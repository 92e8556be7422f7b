/* GradStreamer: what a model file is to hold, as it is at one moment
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradparameter.h"

G_BEGIN_DECLS

/* Parameters may change while it is written, in another thread perhaps. */
typedef struct _GradSnapshot GradSnapshot;

/* As grad_parameter_store_save() would write it. Returns: NULL with GRAD_ERROR_NO_MEMORY or the device's error */
GradSnapshot *grad_snapshot_new (GradParameterStore * store, GHashTable * metadata, GError ** error);
/* Tensors of floats, whose values come from the device meanwhile, and 64-bit integers */
gboolean grad_snapshot_add_tensor (GradSnapshot * snapshot, const gchar * name, GradTensor * tensor, GError ** error);
void grad_snapshot_add_count (GradSnapshot * snapshot, const gchar * name, gint64 count);
/* FALSE with GRAD_ERROR_NOT_FINITE when it has what is no number, which should not replace a file that has none, or with the device's error */
gboolean grad_snapshot_check (GradSnapshot * snapshot, const gchar * location, GError ** error);
/* FALSE with GRAD_ERROR_IO or the device's error; then a file that was there before is as it was */
gboolean grad_snapshot_write (GradSnapshot * snapshot, const gchar * location, GError ** error);
void grad_snapshot_free (GradSnapshot * snapshot);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradSnapshot, grad_snapshot_free)

G_END_DECLS
