/* GradStreamer: a training that goes on from a file
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradsaver-private.h"
#include "gradelement.h"
#include "kernels/choices.h"

static gboolean
check_optimizer (GradSaver * self, GradSafetensors * file, const gchar * location, GError ** error)
{
  const gchar *before = grad_safetensors_get_metadata (file, "optimizer");

  if (g_strcmp0 (before, self->optimizer) == 0)
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "%s was trained with %s, and this is %s: "
      "resume with the same optimizer, or start from its weights with init-location", location,
      before ? before : "nothing that it names", self->optimizer);
  return FALSE;
}

/* "f32 on cpu, threads=2" */
static gchar *
describe_device (const gchar * device, const gchar * precision, const gchar * threads)
{
  gboolean on_cpu = g_str_equal (device, "cpu");

  return g_strdup_printf (on_cpu ? "%s on %s, threads=%s" : "%s on %s", precision, device, threads);
}

gboolean
grad_saver_resume (GradSaver * self, const gchar * location, GError ** error)
{
  g_autoptr (GradSafetensors) file = grad_safetensors_open (location, error);
  const gchar *choices = file ? grad_safetensors_get_metadata (file, "choices") : NULL;
  const gchar *device = file ? grad_safetensors_get_metadata (file, "device") : NULL;
  const gchar *precision = file ? grad_safetensors_get_metadata (file, "precision") : NULL;
  const gchar *threads = file ? grad_safetensors_get_metadata (file, "threads") : NULL;

  if (file == NULL)
    g_prefix_error (error, "cannot resume, move the file away to begin anew: ");
  if (file == NULL || !grad_checkpoint_read (&self->checkpoint, file, location, error)
      || !check_optimizer (self, file, location, error)
      || !grad_bus_set_seed (self->bus, self->checkpoint.seed, error)
      || !grad_parameter_store_resume (grad_network_get_store (self->network), location, error))
    return FALSE;
  if (choices != NULL)
    grad_choices_adopt (choices);
  if (device != NULL && precision != NULL && threads != NULL)
    self->before = describe_device (device, precision, threads);
  self->saved = self->checkpoint.step;
  self->resumed = TRUE;
  self->finished = grad_safetensors_get_metadata (file, GRAD_SAVER_FINISHED) != NULL;
  return TRUE;
}

void
grad_saver_compare_device (GradSaver * self)
{
  g_autoptr (GradDevice) device = grad_bus_get_device (self->bus, NULL);
  g_autofree gchar *before = g_steal_pointer (&self->before), *threads = NULL, *now = NULL;

  if (device == NULL)
    return;
  threads = g_strdup_printf ("%u", grad_device_get_threads (device));
  now = describe_device (grad_device_get_name (device),
      grad_precision_to_string (grad_device_get_precision (device)), threads);
  if (!g_str_equal (before, now))
    GST_ELEMENT_WARNING (self->element, LIBRARY, SETTINGS, ("Goes on with %s what began with %s: results are "
            "not those that it would have had there.", now, before), (NULL));
}
