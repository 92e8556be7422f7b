/* GradStreamer: the table of a network, as people and as programs read it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradsummarytable.h"
#include "gradjsontext.h"
#include "gradtable.h"

/* FLOPs of one picture */
static gdouble
row_flops (const GradSummaryRow * row)
{
  return row->flops / row->output.dims[0];
}

static GradSummaryRow
add_up (GPtrArray * rows)
{
  GradSummaryRow all = { NULL };

  for (guint i = 0; i < rows->len; i++) {
    const GradSummaryRow *row = rows->pdata[i];

    all.trainable += row->trainable;
    all.statistics += row->statistics;
    all.flops += row_flops (row);
  }
  return all;
}

/* "stem (gradconvstem)", or the name alone if it is the one that the element has by default */
static gchar *
format_name (const GradSummaryRow * row)
{
  return g_str_has_prefix (row->name, row->factory) ? g_strdup (row->name)
      : g_strdup_printf ("%s (%s)", row->name, row->factory);
}

static gchar *
format_share (gdouble part, gdouble all)
{
  return part > 0 ? g_strdup_printf ("%.1f", 100 * part / all) : g_strdup ("-");
}

static gchar *
format_flops (gdouble flops)
{
  return flops > 0 ? g_strdup_printf (flops < 1e7 ? "%.3f" : "%.1f", flops / 1e6) : g_strdup ("-");
}

gchar *
grad_summary_to_string (GPtrArray * rows, guint width)
{
  g_autoptr (GradTable) table = grad_table_new ("lrrrrrw");
  GradSummaryRow all = add_up (rows);
  g_autofree gchar *body = NULL, *statistics = grad_format_count (all.statistics);
  g_autofree gchar *size = g_format_size (all.trainable * sizeof (gfloat));
  g_autofree gchar *note = NULL, *wrapped = NULL;

  grad_table_add (table, g_strdup ("layer"), g_strdup ("output"), g_strdup ("parameters"),
      g_strdup ("%"), g_strdup ("MFLOPs"), g_strdup ("%"), g_strdup ("settings"));
  for (guint i = 0; i < rows->len; i++) {
    const GradSummaryRow *row = rows->pdata[i];

    grad_table_add (table, format_name (row), grad_shape_to_string (&row->output),
        row->trainable ? grad_format_count (row->trainable) : g_strdup ("-"),
        format_share (row->trainable, all.trainable), format_flops (row_flops (row)),
        format_share (row_flops (row), all.flops), g_strdup (row->settings));
  }
  grad_table_add (table, g_strdup ("all"), NULL, grad_format_count (all.trainable), NULL,
      format_flops (all.flops), NULL, NULL);
  body = grad_table_to_string (table, width);
  note = g_strdup_printf ("%s of parameters in 32 bits, and %s running statistics. FLOPs are those of "
      "one picture, forward: 2 for a multiplication and an addition.", size, statistics);
  wrapped = grad_wrap (note, width, 0);
  return g_strdup_printf ("%s\n%s\n", body, wrapped);
}

void
grad_summary_to_json (GPtrArray * rows, GString * json)
{
  GradSummaryRow all = add_up (rows);

  grad_json_open (json, "layers", '[');
  for (guint i = 0; i < rows->len; i++) {
    const GradSummaryRow *row = rows->pdata[i];

    grad_json_open (json, NULL, '{');
    grad_json_add_string (json, "name", row->name);
    grad_json_add_string (json, "element", row->factory);
    grad_json_add_string (json, "settings", row->settings);
    grad_json_open (json, "output", '[');
    for (guint k = 0; k < row->output.rank; k++)
      grad_json_add_integer (json, NULL, row->output.dims[k]);
    grad_json_close (json, ']');
    grad_json_add_integer (json, "parameters", row->trainable);
    grad_json_add_integer (json, "statistics", row->statistics);
    grad_json_add_double (json, "flops", row_flops (row));
    grad_json_close (json, '}');
  }
  grad_json_close (json, ']');
  grad_json_add_integer (json, "parameters", all.trainable);
  grad_json_add_integer (json, "statistics", all.statistics);
  grad_json_add_double (json, "flops", all.flops);
}
