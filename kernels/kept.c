/* GradStreamer kernels: weights as a kernel wants them
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/kept.h"
#include "lib/device/gradrecording.h"

typedef struct
{
  GradDevice *device;           /* not owned: the tensor's */
  gpointer data;
  gsize size;
  guint64 version;              /* of the weights that data was made from */
  guint64 seen;                 /* by grad_kept_get() */
} Kept;

static void
kept_free (gpointer data)
{
  Kept *kept = data;

  grad_device_storage_free (kept->device, kept->data, kept->size);
  g_free (kept);
}

gpointer
grad_kept_get (const GradTensor * weights, GQuark form, gsize size, gboolean * fresh, GError ** error)
{
  GstMiniObject *object = (GstMiniObject *) weights;
  Kept *kept = gst_mini_object_get_qdata (object, form);

  if (kept == NULL) {
    gpointer data = grad_device_storage_new (weights->device, size, error);

    if (data == NULL)
      return NULL;
    kept = g_new (Kept, 1);
    *kept = (Kept) { weights->device, data, size, .version = ~weights->version };
    gst_mini_object_set_qdata (object, form, kept, kept_free);
  }
  g_assert (kept->size == size);
  kept->seen = weights->version;
  *fresh = kept->version == kept->seen;
  grad_recording_uses_form (weights, form);
  return kept->data;
}

gpointer
grad_kept_find (const GradTensor * weights, GQuark form)
{
  Kept *kept = gst_mini_object_get_qdata ((GstMiniObject *) weights, form);

  return kept != NULL && kept->version == weights->version ? kept->data : NULL;
}

void
grad_kept_made (const GradTensor * weights, GQuark form)
{
  Kept *kept = gst_mini_object_get_qdata ((GstMiniObject *) weights, form);

  kept->version = kept->seen;
}

void
grad_kept_follow (const GradTensor * weights, GQuark form)
{
  Kept *kept = gst_mini_object_get_qdata ((GstMiniObject *) weights, form);

  kept->version = weights->version;
}
