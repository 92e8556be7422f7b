/* GradStreamer: parameters from and to model files
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradparameter-private.h"

#include <math.h>
#include <string.h>

#define OTHER_NETWORK ": it is of another network, which \"grad-model info\" shows"

gsize
grad_parameter_bytes (const GradParameter * parameter)
{
  return parameter->value ? grad_shape_n_elements (&parameter->shape) * sizeof (gfloat) : 0;
}

gfloat *
grad_parameter_new_values (gsize size, GError ** error)
{
  gfloat *values = g_try_malloc (MAX (size, 1));

  if (values == NULL)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_NO_MEMORY,
        "out of memory: no %" G_GSIZE_FORMAT " bytes for parameters", size);
  return values;
}

static gchar *
entry_to_string (const GradSafetensorsEntry * entry)
{
  GString *s = g_string_new (entry->dtype);

  for (guint i = 0; i < entry->rank; i++)
    g_string_append_printf (s, "%s%" G_GINT64_FORMAT, i ? "x" : " ", entry->dims[i]);
  return g_string_free (s, FALSE);
}

static gboolean
is_float (const GradSafetensorsEntry * entry)
{
  static const gchar *const dtypes[] = { "F32", "F64", "F16", "BF16", NULL };

  return g_strv_contains (dtypes, entry->dtype);
}

static gboolean
entry_fits (const GradSafetensorsEntry * entry, const GradParameter * parameter)
{
  if (entry->rank != parameter->shape.rank)
    return FALSE;
  if (parameter->kind == GRAD_PARAMETER_COUNTER)
    return g_str_equal (entry->dtype, "I64");
  for (guint i = 0; i < entry->rank; i++)
    if (entry->dims[i] != parameter->shape.dims[i])
      return FALSE;
  return is_float (entry);
}

/* Of use to nobody, and some ways to compute would hide it: a ReLU of oneDNN's or cuDNN's may make 0 of it. */
static gboolean
has_nan (const GradSafetensorsEntry * entry)
{
  static const struct
  {
    const gchar *dtype;
    gsize size;
    guint64 infinity;
  } types[] = {
    {"F32", 4, 0x7f800000}, {"F64", 8, 0x7ff0000000000000}, {"F16", 2, 0x7c00}, {"BF16", 2, 0x7f80}
  };

  for (guint t = 0; t < G_N_ELEMENTS (types); t++) {
    gsize size = types[t].size;

    if (!g_str_equal (entry->dtype, types[t].dtype))
      continue;
    for (gsize at = 0; at + size <= entry->size; at += size) {
      guint64 bits = 0;

      memcpy (&bits, (const guint8 *) entry->data + at, size);
      if ((bits & (((guint64) 1 << (8 * size - 1)) - 1)) > types[t].infinity)
        return TRUE;
    }
  }
  return FALSE;
}

gboolean
grad_parameter_find_entry (GradSafetensors * file, const gchar * location,
    const GradParameter * parameter, gboolean to_use, const GradSafetensorsEntry ** entry, GError ** error)
{
  g_autofree gchar *expected = NULL, *got = NULL;

  *entry = grad_safetensors_find (file, parameter->name);
  if (*entry == NULL) {
    if (parameter->kind == GRAD_PARAMETER_COUNTER)
      return TRUE;
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s has no tensor %s" OTHER_NETWORK, location,
        parameter->name);
    return FALSE;
  }
  if (entry_fits (*entry, parameter)) {
    if (!to_use || !has_nan (*entry))
      return TRUE;
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s: tensor %s has values that are not a number: its training had "
        "diverged; take an earlier file", location, parameter->name);
    return FALSE;
  }
  expected = grad_shape_to_string (&parameter->shape);
  got = entry_to_string (*entry);
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s: tensor %s is %s, expected %s %s" OTHER_NETWORK, location,
      parameter->name, got, *expected ? "F32, F64, F16 or BF16" : "I64", *expected ? expected
      : "without dimensions");
  return FALSE;
}

static gfloat
half_to_float (guint16 half)
{
  guint exponent = half >> 10 & 31, fraction = half & 1023;
  guint32 bits;
  gfloat value;

  if (exponent == 31) {         /* infinity, NaN */
    bits = 0x7f800000 | fraction << 13;
    memcpy (&value, &bits, sizeof value);
  } else
    value = exponent ? ldexpf (1024 + fraction, (gint) exponent - 25) : ldexpf (fraction, -24);
  return half & 0x8000 ? -value : value;
}

/* The values of a tensor may lie unaligned. */
gboolean
grad_parameter_convert (const GradSafetensorsEntry * entry, gfloat * values, gsize n)
{
  const guint8 *data = entry->data;

  if (!is_float (entry))
    return FALSE;
  if (g_str_equal (entry->dtype, "F32")) {
    memcpy (values, data, n * sizeof (gfloat));
  } else if (g_str_equal (entry->dtype, "F64")) {
    for (gsize i = 0; i < n; i++) {
      gdouble value;

      memcpy (&value, data + i * sizeof value, sizeof value);
      values[i] = value;
    }
  } else {
    gboolean brain = g_str_equal (entry->dtype, "BF16");

    for (gsize i = 0; i < n; i++) {
      guint16 half = data[2 * i] | data[2 * i + 1] << 8;
      guint32 bits = (guint32) half << 16;

      if (brain)
        memcpy (&values[i], &bits, sizeof bits);
      else
        values[i] = half_to_float (half);
    }
  }
  return TRUE;
}

gboolean
grad_parameter_read_tensor (GradTensor * tensor, const GradSafetensorsEntry * entry,
    gfloat * values, GError ** error)
{
  gsize n = grad_shape_n_elements (grad_tensor_get_shape (tensor));

  grad_parameter_convert (entry, values, n);
  return grad_tensor_upload (tensor, values, n * sizeof *values, error);
}

gboolean
grad_parameter_read (GradParameter * parameter, const GradSafetensorsEntry * entry, gfloat * values,
    GError ** error)
{
  if (parameter->kind == GRAD_PARAMETER_COUNTER) {
    parameter->count = 0;
    if (entry != NULL)
      memcpy (&parameter->count, entry->data, sizeof parameter->count);
    if (parameter->count >= 0 && parameter->count <= GRAD_PARAMETER_MAX_COUNT)
      return TRUE;
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s is %" G_GINT64_FORMAT ", expected a count", parameter->name,
        parameter->count);
    return FALSE;
  }
  return grad_parameter_read_tensor (parameter->value, entry, values, error);
}

/**
 * grad_parameter_store_load:
 * @store: a store
 * @location: (type filename): a safetensors file
 * @error: location of a #GError
 *
 * Overwrites the values of all parameters in the store. The whole file is checked first, so that a
 * file that does not fit changes nothing. A counter that is not in the file becomes 0; tensors of
 * the file that are not in the store are passed over.
 *
 * Returns: %FALSE with %GRAD_ERROR_FILE when a tensor is missing, has another shape or values that are not a number, as
 *   grad_safetensors_open(), or with the device's error
 */
gboolean
grad_parameter_store_load (GradParameterStore * store, const gchar * location, GError ** error)
{
  g_autoptr (GradSafetensors) file = grad_safetensors_open (location, error);
  g_autoptr (GPtrArray) list = grad_parameter_store_list (store);
  g_autofree const GradSafetensorsEntry **entries = g_new (const GradSafetensorsEntry *, list->len);
  g_autofree gfloat *values = NULL;
  gsize largest = 0;

  if (file == NULL)
    return FALSE;
  for (guint i = 0; i < list->len; i++) {
    if (!grad_parameter_find_entry (file, location, list->pdata[i], TRUE, &entries[i], error))
      return FALSE;
    largest = MAX (largest, grad_parameter_bytes (list->pdata[i]));
  }
  values = grad_parameter_new_values (largest, error);
  if (values == NULL)
    return FALSE;
  for (guint i = 0; i < list->len; i++)
    if (!grad_parameter_read (list->pdata[i], entries[i], values, error))
      return FALSE;
  return TRUE;
}
