/* GradStreamer: work of a device, recorded once and repeated
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradrecording.h"

struct _GradRecording
{
  GradDevice *device;
  gpointer work;                /* the device's */
};

gboolean
grad_recording_is_supported (GradDevice * device)
{
  return GRAD_DEVICE_GET_CLASS (device)->begin_recording != NULL;
}

GradRecording *
grad_recording_new (GradDevice * device, GradDevicePool * storage, GradDeviceFunc func, gpointer data,
    GError ** error)
{
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (device);
  GradRecording *self;
  gboolean ok;

  g_assert (grad_device_peek_current () == device);
  if (!klass->begin_recording (device, error))
    return NULL;
  self = g_new0 (GradRecording, 1);
  self->device = g_object_ref (device);
  grad_device_pool_keep (device, storage);
  ok = func (data, error);
  grad_device_pool_keep (NULL, NULL);
  self->work = klass->end_recording (device, ok, ok ? error : NULL);
  if (self->work != NULL)
    return self;
  grad_recording_free (self);
  return NULL;
}

gboolean
grad_recording_play (GradRecording * recording, GError ** error)
{
  return GRAD_DEVICE_GET_CLASS (recording->device)->replay (recording->device, recording->work, error);
}

void
grad_recording_free (GradRecording * recording)
{
  if (recording == NULL)
    return;
  if (recording->work != NULL)
    GRAD_DEVICE_GET_CLASS (recording->device)->free_recording (recording->device, recording->work);
  g_object_unref (recording->device);
  g_free (recording);
}
