/* GradStreamer: as much JSON as the header of a safetensors file needs
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradjson-private.h"

#include <math.h>
#include <string.h>

gboolean
grad_json_fail (GradJson * json, const gchar * expected)
{
  if (json->expected == NULL)
    json->expected = expected;
  return FALSE;
}

static gboolean
accept (GradJson * json, gchar c)
{
  if (json->expected != NULL)
    return FALSE;
  json->p += strspn (json->p, " \t\n\r");
  if (*json->p != c)
    return FALSE;
  json->p++;
  return TRUE;
}

/* token: the character in quotes */
static gboolean
expect (GradJson * json, const gchar * token)
{
  return accept (json, token[1]) || grad_json_fail (json, token);
}

gboolean
grad_json_item (GradJson * json, const gchar * brackets, guint index)
{
  if (index == 0 && !expect (json, *brackets == '[' ? "'['" : "'{'"))
    return FALSE;
  if (accept (json, brackets[1]))
    return FALSE;
  return index == 0 ? json->expected == NULL : expect (json, "','");
}

/* four hexadecimal digits, or -1 */
static gint
hex4 (const gchar * p)
{
  gint value = 0;

  for (guint i = 0; i < 4; i++) {
    if (!g_ascii_isxdigit (p[i]))
      return -1;
    value = value << 4 | g_ascii_xdigit_value (p[i]);
  }
  return value;
}

/* *in stands behind a backslash; what it means is never longer than its spelling */
static gboolean
unescape (gchar ** in, gchar ** out)
{
  static const gchar letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  const gchar *letter = **in ? strchr (letters, **in) : NULL;
  gint c, low;

  if (letter != NULL) {
    *(*out)++ = meanings[letter - letters];
    *in += 1;
    return TRUE;
  }
  if (**in != 'u' || (c = hex4 (*in + 1)) <= 0)
    return FALSE;
  *in += 5;
  if (c >= 0xd800 && c < 0xdc00 && g_str_has_prefix (*in, "\\u")
      && (low = hex4 (*in + 2)) >= 0xdc00 && low < 0xe000) {
    c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    *in += 6;
  }
  if (!g_unichar_validate (c))
    return FALSE;
  *out += g_unichar_to_utf8 (c, *out);
  return TRUE;
}

const gchar *
grad_json_string (GradJson * json)
{
  gchar *start, *in, *out;

  if (!expect (json, "'\"'"))
    return "";
  start = in = out = json->p;
  while (*in != '"') {
    if ((guchar) * in < ' ') {  /* the NUL at the end of the text, too */
      json->p = in;
      grad_json_fail (json, "the end of the string");
      return "";
    }
    if (*in != '\\') {
      *out++ = *in++;
    } else if (in++, !unescape (&in, &out)) {
      json->p = in;
      grad_json_fail (json, "a valid escape");
      return "";
    }
  }
  json->p = in + 1;
  *out = '\0';
  return start;
}

const gchar *
grad_json_key (GradJson * json)
{
  const gchar *key = grad_json_string (json);

  return expect (json, "':'") ? key : "";
}

gint64
grad_json_uint (GradJson * json)
{
  gsize digits;
  guint64 value;

  if (json->expected != NULL)
    return 0;
  json->p += strspn (json->p, " \t\n\r");
  digits = strspn (json->p, "0123456789");
  value = digits >= 1 && digits <= 19 ? g_ascii_strtoull (json->p, NULL, 10) : G_MAXUINT64;
  if (value > G_MAXINT64 || (*json->p == '0' && digits > 1)) {
    grad_json_fail (json, "an integer from 0 to 2^63 - 1");
    return 0;
  }
  json->p += digits;
  return value;
}

gdouble
grad_json_number (GradJson * json)
{
  gsize length;
  gdouble value;
  gchar *end;

  if (json->expected != NULL)
    return NAN;
  json->p += strspn (json->p, " \t\n\r");
  if (g_str_has_prefix (json->p, "null")) {
    json->p += strlen ("null");
    return NAN;
  }
  length = strspn (json->p, "-+.0123456789eE");
  value = length ? g_ascii_strtod (json->p, &end) : 0;
  if (length == 0 || end != json->p + length) {
    grad_json_fail (json, "a number");
    return NAN;
  }
  json->p = end;
  return value;
}

gboolean
grad_json_end (GradJson * json)
{
  return json->expected == NULL
      && (accept (json, '\0') || grad_json_fail (json, "the end"));
}

void
grad_json_append_string (GString * to, const gchar * text)
{
  g_string_append_c (to, '"');
  for (; *text != '\0'; text++) {
    if ((guchar) * text < ' ')
      g_string_append_printf (to, "\\u%04x", *text);
    else if (*text == '"' || *text == '\\')
      g_string_append_printf (to, "\\%c", *text);
    else
      g_string_append_c (to, *text);
  }
  g_string_append_c (to, '"');
}
