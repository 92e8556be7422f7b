/* GradStreamer: tables of text, and text that does no harm to a terminal
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Columns with two spaces between them, each as wide as what is in it */
typedef struct _GradTable GradTable;

/* One letter for each column: l (to the left), r (to the right) or w: the last one, to the left, which is cut to the room that there
 * is, and left out where that is little. */
GradTable *grad_table_new (const gchar * columns);
/* The next cell of the row (transfer full), NULL for an empty one; a row of as many as there are columns */
void grad_table_add_cell (GradTable * table, gchar * cell);
void grad_table_add (GradTable * table, ...);
/* At most so many columns wide, if it has a last one that can be cut; lines end in "\n". (transfer full) */
gchar *grad_table_to_string (GradTable * table, guint width);
void grad_table_free (GradTable * table);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradTable, grad_table_free)

/* Columns of the terminal that standard output is, 80 when it is none */
guint grad_terminal_width (void);
/* 1234567 as "1,234,567" */
gchar *grad_format_count (guint64 n);
/* The text with "?" for what is not to be printed: strangers wrote it. */
gchar *grad_printable (const gchar * text);
/* Words in lines of at most so many columns, the second one and those behind it indented */
gchar *grad_wrap (const gchar * text, guint width, guint indent);

G_END_DECLS
