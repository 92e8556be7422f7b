/* GradStreamer: work of a device, recorded once and repeated
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "graddevicepool-private.h"

G_BEGIN_DECLS

/* Asking a GPU for a layer takes the host some microseconds: more than small batches take to compute. What was recorded
 * is asked for in one go. */
typedef struct _GradRecording GradRecording;

gboolean grad_recording_is_supported (GradDevice * device);
/* storage: where values in between lie, for recordings that are played one after the other; lives as long as they.
 * In a job of the device. Calls func: what it asks of the device is recorded instead of done. Before that func has run at least once, so that all it has
 * to allocate, to plan and to pack is there. Tensors that it makes and keeps are to be kept as long as the recording is played.
 * Returns: NULL with func's error, or the device's */
GradRecording *grad_recording_new (GradDevice * device, GradDevicePool * storage, GradDeviceFunc func, gpointer data,
    GError ** error);
/* In a job: does it once more, with what is in the same tensors now. */
gboolean grad_recording_play (GradRecording * recording, GError ** error);
void grad_recording_free (GradRecording * recording);

G_END_DECLS
