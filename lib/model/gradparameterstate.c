/* GradStreamer: what optimizers keep of a parameter, from and to model files
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradparameter-private.h"

#include <string.h>

/* named as PyTorch's Adam names them */
static const struct
{
  const gchar *name;
  gsize offset;
} states[] = {
  {"exp_avg", G_STRUCT_OFFSET (GradParameter, m)},
  {"exp_avg_sq", G_STRUCT_OFFSET (GradParameter, v)},
  {"value", G_STRUCT_OFFSET (GradParameter, own)},
};

static GradTensor **
get_state (GradParameter * parameter, guint i)
{
  return &G_STRUCT_MEMBER (GradTensor *, parameter, states[i].offset);
}

static gchar *
state_name (const GradParameter * parameter, guint i)
{
  return g_strdup_printf (GRAD_PARAMETER_STATE "%s.%s", parameter->name, states[i].name);
}

static gboolean
read_one (GradParameter * parameter, guint i, GradSafetensors * file, const gchar * location,
    gfloat * values, GError ** error)
{
  GradTensor **state = get_state (parameter, i);
  g_autofree gchar *name = state_name (parameter, i);
  const GradParameter wanted = {.name = name,.shape = parameter->shape };
  const GradSafetensorsEntry *entry;

  if (grad_safetensors_find (file, name) == NULL)
    return TRUE;                /* it had no gradient yet */
  if (!grad_parameter_find_entry (file, location, &wanted, TRUE, &entry, error))
    return FALSE;
  *state = grad_tensor_new_parameter (grad_tensor_get_device (parameter->value),
      &parameter->shape, error);
  return *state != NULL && grad_parameter_read_tensor (*state, entry, values, error);
}

/* How many updates its moments are of, as PyTorch's Adam names it */
static gchar *
count_name (const GradParameter * parameter)
{
  return g_strdup_printf (GRAD_PARAMETER_STATE "%s.step", parameter->name);
}

static gboolean
read_count (GradParameter * parameter, GradSafetensors * file, const gchar * location, GError ** error)
{
  g_autofree gchar *name = count_name (parameter);
  const GradParameter wanted = {.name = name,.kind = GRAD_PARAMETER_COUNTER };
  const gchar *steps = grad_safetensors_get_metadata (file, "steps");
  const GradSafetensorsEntry *entry;

  if (parameter->m == NULL)
    return TRUE;
  if (!grad_parameter_find_entry (file, location, &wanted, TRUE, &entry, error))
    return FALSE;
  if (entry != NULL)
    memcpy (&parameter->count, entry->data, sizeof parameter->count);
  else                          /* once it was not kept apart */
    parameter->count = steps ? g_ascii_strtoll (steps, NULL, 10) : 0;
  if (parameter->count > 0 && parameter->count <= GRAD_PARAMETER_MAX_COUNT)
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s: %s is %" G_GINT64_FORMAT ", expected 1 or more", location,
      name, parameter->count);
  return FALSE;
}

gboolean
grad_parameter_read_state (GradParameter * parameter, GradSafetensors * file,
    const gchar * location, gfloat * values, GError ** error)
{
  gboolean ok = TRUE;

  for (guint i = 0; ok && i < G_N_ELEMENTS (states); i++)
    ok = parameter->kind == GRAD_PARAMETER_COUNTER
        || read_one (parameter, i, file, location, values, error);
  if (parameter->own != NULL)   /* then what the file has by its name is the average */
    parameter->average = grad_tensor_ref (parameter->value);
  return ok && read_count (parameter, file, location, error);
}

gboolean
grad_parameter_add_state (const GradParameter * parameter, GradSnapshot * snapshot, GError ** error)
{
  g_autofree gchar *count = count_name (parameter);

  for (guint i = 0; i < G_N_ELEMENTS (states); i++) {
    GradTensor *state = *get_state ((GradParameter *) parameter, i);
    g_autofree gchar *name = state_name (parameter, i);

    if (state != NULL && !grad_snapshot_add_tensor (snapshot, name, state, error))
      return FALSE;
  }
  if (parameter->m != NULL)
    grad_snapshot_add_count (snapshot, count, parameter->count);
  return TRUE;
}
