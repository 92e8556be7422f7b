/* GradStreamer: as much JSON as the header of a safetensors file needs
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../gradtypes.h"

G_BEGIN_DECLS

/* A cursor over a text. It allocates nothing and does not recurse, so a hostile text costs no more
 * than its own length. After the first failure every call does nothing: look at the end. */
typedef struct
{
  gchar *p;                     /* writable UTF-8, NUL-terminated; strings are unescaped in place */
  const gchar *expected;        /* what should have stood at p; NULL as long as all is well */
} GradJson;

gboolean grad_json_fail (GradJson * json, const gchar * expected);

/* The loop over a list or an object, brackets "[]" or "{}":
 *   for (guint i = 0; grad_json_item (json, "[]", i); i++)
 *     read one item */
gboolean grad_json_item (GradJson * json, const gchar * brackets, guint index);

/* The name of an object's next member, with its colon; a string; an integer from 0 to 2^63 - 1; any number, NaN for null.
 * Strings live in the text, are never NULL, and have no NUL inside. */
const gchar *grad_json_key (GradJson * json);
const gchar *grad_json_string (GradJson * json);
gint64 grad_json_uint (GradJson * json);
gdouble grad_json_number (GradJson * json);

/* Whether all is well and nothing but white space is left. */
gboolean grad_json_end (GradJson * json);

/* Appends a UTF-8 text with its quotes. */
GRAD_API void grad_json_append_string (GString * to, const gchar * text);

G_END_DECLS
