/* GradStreamer: a tensor's values for whoever maps it, and back
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../device/gradrecording.h"

static gboolean
is_host (const GradTensor * self)
{
  return GRAD_DEVICE_GET_CLASS (self->device)->is_host (self->device, self->dtype, self->layout);
}

/* Gives the device what a write map changed. */
static gboolean
take_back (GradTensor * self, GError ** error)
{
  gboolean ok;

  if (!self->host_newer || grad_recording_spoil (self->device))     /* else it would come back whenever that is repeated */
    return TRUE;
  ok = GRAD_DEVICE_GET_CLASS (self->device)->upload (self, self->host, error);
  self->host_newer = FALSE;
  return ok;
}

/* The storage itself, when all that was asked of the device is done. Jobs lock tensors, so what is settled is without. */
static gpointer
map_device (GradTensor * self, GError ** error)
{
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (self->device);
  gboolean ok;

  g_mutex_lock (&self->lock);
  ok = take_back (self, error);
  g_mutex_unlock (&self->lock);
  return ok && grad_device_settle (self->device, error) && (klass->finish == NULL || klass->finish (self->device, error))
      ? self->data : NULL;
}

static gpointer
map_host (GradTensor * self, GstMapFlags flags, GError ** error)
{
  if (self->host == NULL)
    self->host = g_try_malloc (self->memory.maxsize);
  if (self->host == NULL || (!self->host_newer
          && !GRAD_DEVICE_GET_CLASS (self->device)->download (self, self->host, error)))
    return NULL;
  self->host_newer |= (flags & GST_MAP_WRITE) != 0;
  return self->host;
}

gpointer
grad_tensor_map (GstMemory * memory, GstMapInfo * info, gsize maxsize)
{
  GradTensor *self = (GradTensor *) memory;
  gpointer data = NULL;
  g_autoptr (GError) error = NULL;

  g_mutex_lock (&self->lock);
  if (info->flags & GST_MAP_WRITE) {
    self->n_writes++;
    grad_tensor_touch (self);
  }
  if (!is_host (self) && !(info->flags & GRAD_MAP_DEVICE))
    data = map_host (self, info->flags, &error);
  g_mutex_unlock (&self->lock);
  if (is_host (self))
    data = self->data;
  else if (info->flags & GRAD_MAP_DEVICE)
    data = map_device (self, &error);
  if (data == NULL)
    GST_ERROR ("cannot map a tensor of %" G_GSIZE_FORMAT " bytes: %s", memory->maxsize,
        error ? error->message : "out of memory");
  return data;
}

void
grad_tensor_renew (GradTensor * tensor)
{
  g_mutex_lock (&tensor->lock);
  tensor->host_newer = FALSE;
  grad_tensor_touch (tensor);
  g_mutex_unlock (&tensor->lock);
}

gpointer
grad_tensor_data (const GradTensor * tensor)
{
  GradTensor *self = (GradTensor *) tensor;

  g_autoptr (GError) error = NULL;

  g_mutex_lock (&self->lock);
  if (!take_back (self, &error))
    GST_ERROR ("cannot take back what was written to a tensor: %s", error->message);
  g_mutex_unlock (&self->lock);
  return self->data;
}
