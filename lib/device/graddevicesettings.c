/* GradStreamer: what the environment says of a device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graddevice-private.h"

static gboolean
env_precision (GradPrecision * precision, GError ** error)
{
  const gchar *env = g_getenv ("GRAD_PRECISION");
  g_autoptr (GEnumClass) klass = g_type_class_ref (GRAD_TYPE_PRECISION);
  GEnumValue *value;

  if (env == NULL || *precision != GRAD_PRECISION_DEFAULT)
    return TRUE;
  value = g_enum_get_value_by_nick (klass, env);
  if (value == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "GRAD_PRECISION=%s: use default, auto, f32, tf32, bf16 or int8", env);
    return FALSE;
  }
  *precision = value->value;
  return TRUE;
}

static gboolean
env_threads (guint * threads, GError ** error)
{
  const gchar *env = g_getenv ("GRAD_THREADS");
  guint64 value;

  if (env == NULL || *threads != 0)
    return TRUE;
  if (!g_ascii_string_to_unsigned (env, 10, 0, 1024, &value, NULL)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "GRAD_THREADS=%s: use a number from 0 (one per processor) to 1024", env);
    return FALSE;
  }
  *threads = value;
  return TRUE;
}

gboolean
grad_device_settings_complete (GradDeviceSettings * settings, GError ** error)
{
  return env_precision (&settings->precision, error) && env_threads (&settings->threads, error);
}
