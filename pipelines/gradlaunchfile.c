/* GradStreamer: .launch files: a launch string with comments and variables
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradlaunchfile.h"

#include <string.h>

G_DEFINE_QUARK (grad-launch-file-error-quark, grad_launch_file_error);

typedef struct
{
  gchar *name;
  gchar *fallback;              /* NULL: must be given */
  gchar *value;                 /* NULL: not given */
  guint line;                   /* of the first use */
} Variable;

typedef struct
{
  const gchar *name;            /* of the file */
  const gchar *at;
  guint line;
  GPtrArray *variables;         /* in order of appearance */
  GString *out;
  gboolean collect;             /* first pass: collect variables; second: write out */
} Parser;

static void
variable_free (gpointer data)
{
  Variable *variable = data;

  g_free (variable->name);
  g_free (variable->fallback);
  g_free (variable->value);
  g_free (variable);
}

static Variable *
find_variable (GPtrArray * variables, const gchar * name, gsize length)
{
  for (guint i = 0; i < variables->len; i++) {
    Variable *variable = variables->pdata[i];

    if (strlen (variable->name) == length && strncmp (variable->name, name, length) == 0)
      return variable;
  }
  return NULL;
}

static gsize
name_length (const gchar * s)
{
  gsize n = 0;

  /* "-" belongs to the name: gst properties are spelled so; the default is told by ":-" */
  if (g_ascii_isalpha (*s) || *s == '_')
    while (g_ascii_isalnum (s[n]) || s[n] == '_' || s[n] == '-')
      n++;
  return n;
}

static gboolean
fail (Parser * parser, GradLaunchFileError code, GError ** error, const gchar * format, ...)
    G_GNUC_PRINTF (4, 5);

static gboolean
fail (Parser * parser, GradLaunchFileError code, GError ** error, const gchar * format, ...)
{
  g_autofree gchar *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, GRAD_LAUNCH_FILE_ERROR, code, "%s, line %u: %s", parser->name,
      parser->line, message);
  return FALSE;
}

static gboolean
collect_variable (Parser * parser, const gchar * name, gsize length, const gchar * fallback,
    gsize fallback_length, GError ** error)
{
  Variable *variable = find_variable (parser->variables, name, length);
  g_autofree gchar *text = fallback ? g_strndup (fallback, fallback_length) : NULL;

  if (variable == NULL) {
    variable = g_new0 (Variable, 1);
    variable->name = g_strndup (name, length);
    variable->line = parser->line;
    g_ptr_array_add (parser->variables, variable);
  }
  if (text != NULL && variable->fallback != NULL && !g_str_equal (text, variable->fallback))
    return fail (parser, GRAD_LAUNCH_FILE_ERROR_SYNTAX, error,
        "${%s} has a second default, \"%s\" after \"%s\"; write it once, the other uses share it",
        variable->name, text, variable->fallback);
  if (variable->fallback == NULL)
    variable->fallback = g_steal_pointer (&text);
  return TRUE;
}

/* Between double quotes a value is what it is, with quotes and backslashes that are in it. */
static void
append_quoted (GString * out, const gchar * value)
{
  for (; *value != '\0'; value++) {
    if (*value == '"' || *value == '\\')
      g_string_append_c (out, '\\');
    g_string_append_c (out, *value);
  }
}

/* at is behind "$" */
static gboolean
parse_dollar (Parser * parser, gchar quote, GError ** error)
{
  const gchar *name = parser->at + 1, *end, *fallback = NULL;
  gsize length;

  if (*parser->at == '$') {
    g_string_append_c (parser->out, '$');
    parser->at++;
    return TRUE;
  }
  if (*parser->at != '{' || (length = name_length (name)) == 0)
    return fail (parser, GRAD_LAUNCH_FILE_ERROR_SYNTAX, error,
        "write ${name} or ${name:-default} for a variable, $$ for a dollar sign");
  end = name + length;
  if (g_str_has_prefix (end, ":-")) {
    fallback = end + 2;
    end = fallback + strcspn (fallback, "}\n");
  }
  if (*end != '}')
    return fail (parser, GRAD_LAUNCH_FILE_ERROR_SYNTAX, error,
        "${%.*s has no closing }, or something else than :-default in front of it",
        (int) length, name);
  parser->at = end + 1;
  if (parser->collect) {
    return collect_variable (parser, name, length, fallback, fallback ? end - fallback : 0,
        error);
  } else {
    Variable *variable = find_variable (parser->variables, name, length);

    if (variable->value != NULL && quote == '"')
      append_quoted (parser->out, variable->value);
    else
      g_string_append (parser->out, variable->value ? variable->value : variable->fallback);
    return TRUE;
  }
}

static void
append_space (GString * out)
{
  if (out->len > 0 && out->str[out->len - 1] != ' ')
    g_string_append_c (out, ' ');
}

static gboolean
parse (Parser * parser, const gchar * text, GError ** error)
{
  gchar quote = '\0', before = '\n';
  guint quote_line = 0;

  parser->at = text;
  parser->line = 1;
  g_string_truncate (parser->out, 0);
  while (*parser->at != '\0') {
    gchar c = *parser->at;

    if (c == '#' && quote == '\0' && g_ascii_isspace (before)) {
      parser->at += strcspn (parser->at, "\n");
      continue;
    }
    parser->at++;
    if (c == '$') {
      if (!parse_dollar (parser, quote, error))
        return FALSE;
    } else if (c == '\\' && *parser->at == '\n') {
      /* a line continued as in a shell: the line break that follows is white space anyway */
      c = ' ';
    } else if (c == '\\' && *parser->at != '\0') {
      g_string_append_c (parser->out, c);
      g_string_append_c (parser->out, *parser->at++);
    } else if (g_ascii_isspace (c) && quote == '\0') {
      append_space (parser->out);
    } else {
      if (quote == '\0' && (c == '"' || c == '\'')) {
        quote = c;
        quote_line = parser->line;
      } else if (c == quote) {
        quote = '\0';
      }
      g_string_append_c (parser->out, c == '\n' ? ' ' : c);
    }
    if (c == '\n')
      parser->line++;
    before = c;
  }
  if (quote != '\0') {
    parser->line = quote_line;
    return fail (parser, GRAD_LAUNCH_FILE_ERROR_SYNTAX, error, "the quote %c is never closed",
        quote);
  }
  return TRUE;
}

static gchar *
describe_variables (GPtrArray * variables)
{
  GString *text = g_string_new (variables->len > 0 ? "its variables are" : "it has no variables");

  for (guint i = 0; i < variables->len; i++) {
    Variable *variable = variables->pdata[i];

    g_string_append_printf (text, "%s %s", i > 0 ? "," : "", variable->name);
    if (variable->fallback != NULL)
      g_string_append_printf (text, " (%s)", variable->fallback);
  }
  return g_string_free (text, FALSE);
}

static gboolean
set_values (Parser * parser, const gchar * const *arguments, GError ** error)
{
  for (; arguments != NULL && *arguments != NULL; arguments++) {
    gsize length = name_length (*arguments);
    Variable *variable;

    if (length == 0 || (*arguments)[length] != '=') {
      g_set_error (error, GRAD_LAUNCH_FILE_ERROR, GRAD_LAUNCH_FILE_ERROR_ARGUMENT,
          "\"%s\" is not of the form name=value", *arguments);
      return FALSE;
    }
    variable = find_variable (parser->variables, *arguments, length);
    if (variable == NULL) {
      g_autofree gchar *known = describe_variables (parser->variables);

      g_set_error (error, GRAD_LAUNCH_FILE_ERROR, GRAD_LAUNCH_FILE_ERROR_ARGUMENT,
          "%s has no variable \"%.*s\"; %s", parser->name, (int) length, *arguments, known);
      return FALSE;
    }
    g_free (variable->value);
    variable->value = g_strdup (*arguments + length + 1);
  }
  for (guint i = 0; i < parser->variables->len; i++) {
    Variable *variable = parser->variables->pdata[i];

    parser->line = variable->line;
    if (variable->value == NULL && variable->fallback == NULL)
      return fail (parser, GRAD_LAUNCH_FILE_ERROR_UNDEFINED, error,
          "${%s} has no default: add %s=… to the command", variable->name, variable->name);
  }
  return TRUE;
}

gchar *
grad_launch_file_expand (const gchar * text, const gchar * name,
    const gchar * const *arguments, GError ** error)
{
  g_autoptr (GPtrArray) variables = g_ptr_array_new_with_free_func (variable_free);
  g_autoptr (GString) out = g_string_new (NULL);
  Parser parser = {.name = name,.variables = variables,.out = out };

  parser.collect = TRUE;
  if (!parse (&parser, text, error) || !set_values (&parser, arguments, error))
    return NULL;
  parser.collect = FALSE;
  if (!parse (&parser, text, error))
    return NULL;
  return g_strchomp (g_string_free (g_steal_pointer (&out), FALSE));
}

gchar *
grad_launch_file_load (const gchar * path, const gchar * const *arguments, GError ** error)
{
  g_autofree gchar *text = NULL, *name = NULL;
  gsize length;

  if (!g_file_get_contents (path, &text, &length, error))
    return NULL;
  name = g_path_get_basename (path);
  if (strlen (text) != length || !g_utf8_validate (text, length, NULL)) {
    g_set_error (error, GRAD_LAUNCH_FILE_ERROR, GRAD_LAUNCH_FILE_ERROR_SYNTAX,
        "%s is not a text file", name);
    return NULL;
  }
  return grad_launch_file_expand (text, name, arguments, error);
}
