/* GradStreamer: work of a device, recorded once and repeated
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "graddevicepool-private.h"

G_BEGIN_DECLS

/* Asking a GPU for a layer takes the host some microseconds: more than small batches take to compute. What was recorded
 * is asked for in one go. */
typedef struct _GradRecording GradRecording;

gboolean grad_recording_is_supported (GradDevice * device);
/* In a job of the device. Calls func: what it asks of the device is recorded instead of done. Before that func has run at least once, so that all it has
 * to allocate, to plan and to pack is there. Tensors that it makes and keeps are to be kept as long as the recording is played.
 * Returns: NULL with func's error, or the device's */
GradRecording *grad_recording_new (GradDevice * device, GradDeviceFunc func, gpointer data, GError ** error);
/* In a job: whether what it was told of below is what it was; else it is not to be played any more. */
gboolean grad_recording_is_good (GradRecording * recording);
/* In a job: does it once more, with what is in the same tensors now. */
gboolean grad_recording_play (GradRecording * recording, GError ** error);
void grad_recording_free (GradRecording * recording);

/* For kernels and units; no more than a branch unless the calling thread records. The work reads what is kept of the weights in that form
 * (kernels/kept.h), and does not make it. */
void grad_recording_uses_form (const GradTensor * weights, GQuark form);
/* What is recorded would be something else if the tensor had other values. */
void grad_recording_depends_on (const GradTensor * tensor);
/* Whether the calling thread records that device; and, once it has asked this, what it records cannot be repeated. */
gboolean grad_recording_spoil (GradDevice * device);

G_END_DECLS
