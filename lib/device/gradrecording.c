/* GradStreamer: work of a device, recorded once and repeated
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradrecording.h"
#include "kernels/kept.h"

/* What the work was told to be the same each time */
typedef struct
{
  GradTensor *tensor;           /* owned */
  GQuark form;                  /* 0: the tensor's own values */
  guint64 version;              /* of these */
} Dependence;

struct _GradRecording
{
  GradDevice *device;
  gpointer work;                /* the device's */
  GradDevicePool *storage;      /* that it uses and nobody else: what it has kept would not be safe from other recordings */
  GArray *dependences;
  gboolean spoilt;
};

static _Thread_local GradRecording *current;    /* that the thread records */

static void
clear_dependence (gpointer data)
{
  grad_tensor_unref (((Dependence *) data)->tensor);
}

gboolean
grad_recording_is_supported (GradDevice * device)
{
  return GRAD_DEVICE_GET_CLASS (device)->begin_recording != NULL;
}

static void
note (const GradTensor * tensor, GQuark form)
{
  Dependence d = { (GradTensor *) tensor, form, tensor->version };

  grad_tensor_ref (d.tensor);
  g_array_append_val (current->dependences, d);
}

void
grad_recording_uses_form (const GradTensor * weights, GQuark form)
{
  if (current != NULL)
    note (weights, form);
}

void
grad_recording_depends_on (const GradTensor * tensor)
{
  if (current != NULL)
    note (tensor, 0);
}

gboolean
grad_recording_spoil (GradDevice * device)
{
  gboolean records = current != NULL && current->device == device;

  if (records)
    current->spoilt = TRUE;
  return records;
}

/* What was made of them was not. */
static void
touch_dependences (GradRecording * self)
{
  for (guint i = 0; i < self->dependences->len; i++)
    grad_tensor_touch (g_array_index (self->dependences, Dependence, i).tensor);
}

GradRecording *
grad_recording_new (GradDevice * device, GradDeviceFunc func, gpointer data, GError ** error)
{
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (device);
  GradRecording *self;
  gboolean ok;

  g_assert (grad_device_peek_current () == device && current == NULL);
  if (!grad_device_settle (device, error) || !klass->begin_recording (device, error))
    return NULL;
  self = g_new0 (GradRecording, 1);
  self->device = g_object_ref (device);
  self->dependences = g_array_new (FALSE, FALSE, sizeof (Dependence));
  g_array_set_clear_func (self->dependences, clear_dependence);
  self->storage = grad_device_pool_new_fixed ();
  grad_device_pool_keep (device, self->storage);
  current = self;
  ok = func (data, error);
  current = NULL;
  grad_device_pool_keep (NULL, NULL);
  if (ok && self->spoilt) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "it did what cannot be repeated");
    ok = FALSE;
  }
  self->work = klass->end_recording (device, ok, ok ? error : NULL);
  if (self->work != NULL)
    return self;
  touch_dependences (self);
  grad_recording_free (self);
  return NULL;
}

gboolean
grad_recording_is_good (GradRecording * recording)
{
  for (guint i = 0; i < recording->dependences->len; i++) {
    Dependence *d = &g_array_index (recording->dependences, Dependence, i);

    if (d->form ? grad_kept_find (d->tensor, d->form) == NULL : d->tensor->version != d->version)
      return FALSE;
  }
  return TRUE;
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
  grad_device_pool_merge (recording->device, recording->storage);
  g_array_unref (recording->dependences);
  g_object_unref (recording->device);
  g_free (recording);
}
