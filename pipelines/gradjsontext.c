/* GradStreamer: writing JSON
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradjsontext.h"
#include "lib/model/gradjson-private.h"

#include <math.h>
#include <string.h>

static void
begin (GString * json, const gchar * key)
{
  if (json->len > 0 && strchr ("{[", json->str[json->len - 1]) == NULL)
    g_string_append_c (json, ',');
  if (key != NULL)
    g_string_append_printf (json, "\"%s\":", key);
}

void
grad_json_open (GString * json, const gchar * key, gchar bracket)
{
  begin (json, key);
  g_string_append_c (json, bracket);
}

void
grad_json_close (GString * json, gchar bracket)
{
  g_string_append_c (json, bracket);
}

void
grad_json_add_string (GString * json, const gchar * key, const gchar * text)
{
  g_autofree gchar *valid = text ? g_utf8_make_valid (text, -1) : NULL;

  begin (json, key);
  if (valid != NULL)
    grad_json_append_string (json, valid);
  else
    g_string_append (json, "null");
}

void
grad_json_add_double (GString * json, const gchar * key, gdouble number)
{
  gchar text[G_ASCII_DTOSTR_BUF_SIZE];

  begin (json, key);
  g_string_append (json, isfinite (number) ? g_ascii_formatd (text, sizeof text, "%.9g", number)
      : "null");
}

void
grad_json_add_integer (GString * json, const gchar * key, gint64 number)
{
  begin (json, key);
  g_string_append_printf (json, "%" G_GINT64_FORMAT, number);
}

void
grad_json_add_boolean (GString * json, const gchar * key, gboolean value)
{
  begin (json, key);
  g_string_append (json, value ? "true" : "false");
}

static void
add_value (GString * json, const gchar * key, const GValue * value)
{
  g_auto (GValue) number = G_VALUE_INIT;

  if (GST_VALUE_HOLDS_ARRAY (value)) {
    grad_json_open (json, key, '[');
    for (guint i = 0; i < gst_value_array_get_size (value); i++)
      add_value (json, NULL, gst_value_array_get_value (value, i));
    grad_json_close (json, ']');
  } else if (G_VALUE_HOLDS_STRING (value))
    grad_json_add_string (json, key, g_value_get_string (value));
  else if (G_VALUE_HOLDS_BOOLEAN (value))
    grad_json_add_boolean (json, key, g_value_get_boolean (value));
  else if (G_VALUE_HOLDS_UINT64 (value)) {
    begin (json, key);
    if (g_value_get_uint64 (value) == GST_CLOCK_TIME_NONE)
      g_string_append (json, "null");
    else
      g_string_append_printf (json, "%" G_GUINT64_FORMAT, g_value_get_uint64 (value));
  } else if (G_VALUE_HOLDS_INT (value) || G_VALUE_HOLDS_UINT (value) || G_VALUE_HOLDS_INT64 (value)) {
    g_value_init (&number, G_TYPE_INT64);
    g_value_transform (value, &number);
    grad_json_add_integer (json, key, g_value_get_int64 (&number));
  } else if (G_VALUE_HOLDS_DOUBLE (value) || G_VALUE_HOLDS_FLOAT (value)) {
    g_value_init (&number, G_TYPE_DOUBLE);
    g_value_transform (value, &number);
    grad_json_add_double (json, key, g_value_get_double (&number));
  } else {
    g_autofree gchar *text = gst_value_serialize (value);

    grad_json_add_string (json, key, text);
  }
}

static gboolean
append_field (GQuark id, const GValue * value, gpointer json)
{
  g_autofree gchar *key = g_strdelimit (g_strdup (g_quark_to_string (id)), "-", '_');

  add_value (json, key, value);
  return TRUE;
}

void
grad_json_add_fields (GString * json, const GstStructure * structure)
{
  gst_structure_foreach (structure, append_field, json);
}
