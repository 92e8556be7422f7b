/* GradStreamer: writing JSON
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Commas come by themselves. key: NULL in a list and for the whole. */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* bracket: '{' or '['; closed by '}' or ']' */
void grad_json_open (GString * json, const gchar * key, gchar bracket);
void grad_json_close (GString * json, gchar bracket);
/* text: NULL is null; need not be UTF-8 */
void grad_json_add_string (GString * json, const gchar * key, const gchar * text);
/* NaN and infinity are null, which is all that JSON has for them. */
void grad_json_add_double (GString * json, const gchar * key, gdouble number);
void grad_json_add_integer (GString * json, const gchar * key, gint64 number);
void grad_json_add_boolean (GString * json, const gchar * key, gboolean value);
/* The fields of a structure, "learning-rate" as "learning_rate" */
void grad_json_add_fields (GString * json, const GstStructure * structure);

G_END_DECLS
