/* GradStreamer: how well a network does on pictures whose labels are known: saying it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradevaluation.h"
#include "gradjsontext.h"
#include "gradtable.h"

#include <math.h>
#include <string.h>

#define N_CONFUSIONS 10         /* that are listed when the matrix is too wide */

gchar *
grad_class_name (const gchar * const *names, gint label)
{
  if (label < 0)
    return g_strdup ("?");
  if (names != NULL && (guint) label < g_strv_length ((gchar **) names))
    return grad_printable (names[label]);
  return g_strdup_printf ("%d", label);
}

/* Of a class: pictures that have it, that were taken for it, and both */
typedef struct
{
  guint64 truth, predicted, both;
} Class;

static Class
get_class (const GradEvaluation * self, guint k)
{
  guint n = self->n_classes;
  Class c = {.both = self->counts[k * n + k] };

  for (guint i = 0; i < n; i++) {
    c.truth += self->counts[k * n + i];
    c.predicted += self->counts[i * n + k];
  }
  return c;
}

/* NaN for 0 / 0: there is nothing to be said */
static gdouble
ratio (guint64 part, guint64 all)
{
  return all > 0 ? part / (gdouble) all : NAN;
}

/* Harmonic mean of precision and recall: 2 both / (truth + predicted) */
static gdouble
f1 (const Class * c)
{
  return ratio (2 * c->both, c->truth + c->predicted);
}

static gchar *
format_ratio (gdouble x)
{
  return isnan (x) ? g_strdup ("-") : g_strdup_printf ("%.3f", x);
}

static gchar *
numbered_name (const gchar * const *names, guint k)
{
  g_autofree gchar *name = names ? grad_class_name (names, k) : NULL;

  return name ? g_strdup_printf ("%u %s", k, name) : g_strdup_printf ("%u", k);
}

static gchar *
classes_to_string (const GradEvaluation * self, const gchar * const *names, guint width)
{
  g_autoptr (GradTable) table = grad_table_new ("lrrrr");

  grad_table_add (table, g_strdup ("class"), g_strdup ("pictures"), g_strdup ("precision"),
      g_strdup ("recall"), g_strdup ("F1"));
  for (guint k = 0; k < self->n_classes; k++) {
    Class c = get_class (self, k);

    grad_table_add (table, numbered_name (names, k), grad_format_count (c.truth),
        format_ratio (ratio (c.both, c.predicted)), format_ratio (ratio (c.both, c.truth)),
        format_ratio (f1 (&c)));
  }
  return grad_table_to_string (table, width);
}

/* Rows are labels, columns what they were taken for. */
static gchar *
matrix_to_string (const GradEvaluation * self, const gchar * const *names)
{
  guint n = self->n_classes;
  g_autofree gchar *columns = g_strnfill (n + 1, 'r');
  g_autoptr (GradTable) table = NULL;

  columns[0] = 'l';
  table = grad_table_new (columns);
  grad_table_add_cell (table, g_strdup ("taken for"));
  for (guint k = 0; k < n; k++)
    grad_table_add_cell (table, g_strdup_printf ("%u", k));
  for (guint i = 0; i < n; i++) {
    grad_table_add_cell (table, numbered_name (names, i));
    for (guint k = 0; k < n; k++) {
      guint64 count = self->counts[i * n + k];

      grad_table_add_cell (table, count || i == k ? g_strdup_printf ("%" G_GUINT64_FORMAT, count)
          : g_strdup ("."));
    }
  }
  return grad_table_to_string (table, G_MAXUINT);
}

typedef struct
{
  guint truth, predicted;
  guint64 count;
} Confusion;

/* The most frequent first, then by class */
static gint
compare_confusions (gconstpointer a, gconstpointer b)
{
  const Confusion *x = a, *y = b;

  if (x->count != y->count)
    return x->count > y->count ? -1 : 1;
  return x->truth != y->truth ? (gint) x->truth - (gint) y->truth
      : (gint) x->predicted - (gint) y->predicted;
}

static gchar *
confusions_to_string (const GradEvaluation * self, const gchar * const *names, guint width)
{
  guint n = self->n_classes;
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (Confusion));
  g_autoptr (GradTable) table = grad_table_new ("lll");

  for (guint i = 0; i < n; i++)
    for (guint k = 0; k < n; k++) {
      Confusion c = { i, k, self->counts[i * n + k] };

      if (i != k && c.count > 0)
        g_array_append_val (list, c);
    }
  g_array_sort (list, compare_confusions);
  grad_table_add (table, g_strdup ("pictures of"), g_strdup ("taken for"), g_strdup ("times"));
  for (guint i = 0; i < MIN (list->len, N_CONFUSIONS); i++) {
    Confusion *c = &g_array_index (list, Confusion, i);

    grad_table_add (table, numbered_name (names, c->truth), numbered_name (names, c->predicted),
        grad_format_count (c->count));
  }
  return grad_table_to_string (table, width);
}

gchar *
grad_evaluation_to_string (const GradEvaluation * evaluation, const gchar * const *names,
    guint width)
{
  g_autofree gchar *classes = classes_to_string (evaluation, names, width);
  g_autofree gchar *confusion = evaluation->n_classes < width ? matrix_to_string (evaluation, names) : NULL;

  if (confusion == NULL || g_utf8_strlen (confusion, strchr (confusion, '\n') - confusion) > width) {
    g_free (confusion);
    confusion = confusions_to_string (evaluation, names, width);
  }
  return g_strdup_printf ("accuracy %.4f (%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
      " right), loss %.4f\n\n%s\n%s", ratio (evaluation->right, evaluation->labelled),
      evaluation->right, evaluation->labelled, evaluation->loss / evaluation->labelled, classes,
      confusion);
}

gchar *
grad_evaluation_list (const GradEvaluation * evaluation, const gchar * const *names, guint n)
{
  g_autoptr (GradTable) table = grad_table_new ("rllrl");

  grad_table_add (table, g_strdup ("picture"), g_strdup ("label"), g_strdup ("taken for"),
      g_strdup ("probability"), NULL);
  for (guint i = 0; i < MIN (n, evaluation->answers->len); i++) {
    const GradAnswer *a = &g_array_index (evaluation->answers, GradAnswer, i);

    grad_table_add (table, g_strdup_printf ("%u", a->index), grad_class_name (names, a->truth),
        grad_class_name (names, a->predicted), g_strdup_printf ("%.3f", a->probability),
        a->truth >= 0 && a->truth != a->predicted ? g_strdup ("wrong") : NULL);
  }
  return grad_table_to_string (table, G_MAXUINT);
}

void
grad_evaluation_to_json (const GradEvaluation * evaluation, const gchar * const *names,
    GString * json)
{
  guint n = evaluation->n_classes;

  grad_json_add_integer (json, "pictures", evaluation->labelled);
  grad_json_add_integer (json, "right", evaluation->right);
  grad_json_add_double (json, "accuracy", ratio (evaluation->right, evaluation->labelled));
  grad_json_add_double (json, "loss", evaluation->loss / evaluation->labelled);
  grad_json_open (json, "classes", '[');
  for (guint k = 0; k < n; k++) {
    Class c = get_class (evaluation, k);
    g_autofree gchar *name = grad_class_name (names, k);

    grad_json_open (json, NULL, '{');
    grad_json_add_string (json, "name", name);
    grad_json_add_integer (json, "pictures", c.truth);
    grad_json_add_double (json, "precision", ratio (c.both, c.predicted));
    grad_json_add_double (json, "recall", ratio (c.both, c.truth));
    grad_json_add_double (json, "f1", f1 (&c));
    grad_json_close (json, '}');
  }
  grad_json_close (json, ']');
  grad_json_open (json, "confusion", '[');
  for (guint i = 0; i < n; i++) {
    grad_json_open (json, NULL, '[');
    for (guint k = 0; k < n; k++)
      grad_json_add_integer (json, NULL, evaluation->counts[i * n + k]);
    grad_json_close (json, ']');
  }
  grad_json_close (json, ']');
}
