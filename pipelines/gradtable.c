/* GradStreamer: tables of text, and text that does no harm to a terminal
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradtable.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define GAP 2                   /* spaces between columns */
#define LAST_MIN 12             /* columns that are worth it */

struct _GradTable
{
  gchar *columns;
  guint n_columns;
  GPtrArray *cells;             /* row by row */
  guint *widths;
};

GradTable *
grad_table_new (const gchar * columns)
{
  GradTable *self = g_new0 (GradTable, 1);

  self->columns = g_strdup (columns);
  self->n_columns = strlen (columns);
  self->cells = g_ptr_array_new_with_free_func (g_free);
  self->widths = g_new0 (guint, self->n_columns);
  return self;
}

void
grad_table_add_cell (GradTable * table, gchar * cell)
{
  guint *width = &table->widths[table->cells->len % table->n_columns];

  if (cell == NULL)
    cell = g_strdup ("");
  *width = MAX (*width, (guint) g_utf8_strlen (cell, -1));
  g_ptr_array_add (table->cells, cell);
}

void
grad_table_add (GradTable * table, ...)
{
  va_list args;

  va_start (args, table);
  for (guint i = 0; i < table->n_columns; i++)
    grad_table_add_cell (table, va_arg (args, gchar *));
  va_end (args);
}

static void
append (GString * line, const gchar * cell, guint width, gboolean right)
{
  guint n = g_utf8_strlen (cell, -1), space = width > n ? width - n : 0;

  g_string_append_printf (line, "%*s%s%*s", right ? (gint) space : 0, "", cell,
      right ? 0 : (gint) space, "");
}

gchar *
grad_table_to_string (GradTable * table, guint width)
{
  guint n = table->n_columns, used = 0;
  gboolean cut = table->columns[n - 1] == 'w';
  GString *text = g_string_new (NULL);

  for (guint i = 0; i + cut < n; i++)
    used += table->widths[i] + GAP;
  if (cut && used + MIN (LAST_MIN, table->widths[n - 1]) > width)
    n--;
  for (guint row = 0; row < table->cells->len; row += table->n_columns) {
    g_autoptr (GString) line = g_string_new (NULL);

    for (guint i = 0; i < n; i++) {
      const gchar *cell = table->cells->pdata[row + i];

      g_string_append_printf (line, "%*s", i > 0 ? GAP : 0, "");
      if (table->columns[i] == 'w' && used + g_utf8_strlen (cell, -1) > width) {
        g_autofree gchar *begin = g_utf8_substring (cell, 0, width - used - 1);

        g_string_append_printf (line, "%s…", begin);
      } else
        append (line, cell, table->widths[i], table->columns[i] == 'r');
    }
    g_string_append_printf (text, "%s\n", g_strchomp (line->str));
  }
  return g_string_free (text, FALSE);
}

void
grad_table_free (GradTable * table)
{
  g_free (table->columns);
  g_ptr_array_unref (table->cells);
  g_free (table->widths);
  g_free (table);
}

guint
grad_terminal_width (void)
{
  struct winsize size;

  return ioctl (fileno (stdout), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

gchar *
grad_format_count (guint64 n)
{
  GString *text = g_string_new (NULL);

  g_string_printf (text, "%" G_GUINT64_FORMAT, n);
  for (gssize at = (gssize) text->len - 3; at > 0; at -= 3)
    g_string_insert_c (text, at, ',');
  return g_string_free (text, FALSE);
}

gchar *
grad_printable (const gchar * text)
{
  g_autofree gchar *valid = g_utf8_make_valid (text, -1);
  GString *out = g_string_new (NULL);

  for (const gchar * p = valid; *p != '\0'; p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);

    g_string_append_unichar (out, g_unichar_isprint (c) ? c : '?');
  }
  return g_string_free (out, FALSE);
}

gchar *
grad_wrap (const gchar * text, guint width, guint indent)
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  GString *out = g_string_new (NULL);
  guint column = 0;

  for (guint i = 0; words[i] != NULL; i++) {
    guint n = g_utf8_strlen (words[i], -1);

    if (i > 0 && column + 1 + n > width) {
      g_string_append_printf (out, "\n%*s", (gint) indent, "");
      column = indent;
    } else if (i > 0) {
      g_string_append_c (out, ' ');
      column++;
    }
    g_string_append (out, words[i]);
    column += n;
  }
  return g_string_free (out, FALSE);
}
