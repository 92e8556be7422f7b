/* GradStreamer: grad-model diff: what two model files have in common, and what not
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradjsontext.h"
#include "gradmodeltool.h"
#include "gradtable.h"
#include "lib/model/gradparameter-private.h"

#include <math.h>
#include <string.h>

/* exit status, as diff(1) has it */
#define SAME 0
#define DIFFERENT 1

typedef struct
{
  GradSafetensors *a, *b;
  GString *json;                /* NULL: text is printed */
  gboolean differ;
} Diff;

/* ---- the network, layer by layer */

static void
print_layers (gchar ** layers, guint from, guint to, gchar sign)
{
  for (guint i = from; i < to; i++) {
    g_autofree gchar *text = grad_printable (layers[i]);

    printf ("%c %s\n", sign, g_strstrip (text));
  }
}

/* The layers in which the two differ stand between those that begin both and those that end both. */
static void
diff_network (Diff * diff)
{
  const gchar *network[] = { grad_safetensors_get_metadata (diff->a, "network"),
    grad_safetensors_get_metadata (diff->b, "network")
  };
  gboolean same = g_strcmp0 (network[0], network[1]) == 0;
  g_auto (GStrv) a = g_strsplit (network[0] ? network[0] : "", "!", -1);
  g_auto (GStrv) b = g_strsplit (network[1] ? network[1] : "", "!", -1);
  guint n_a = g_strv_length (a), n_b = g_strv_length (b), begin = 0, end = 0;

  diff->differ |= !same;
  if (diff->json != NULL) {
    grad_json_add_boolean (diff->json, "same_network", same);
    return;
  }
  if (network[0] == NULL && network[1] == NULL) {
    puts ("Neither says of which network it is.");
    return;
  }
  if (same) {
    puts ("The networks are the same.");
    return;
  }
  while (begin < MIN (n_a, n_b) && g_str_equal (a[begin], b[begin]))
    begin++;
  while (begin + end < MIN (n_a, n_b) && g_str_equal (a[n_a - 1 - end], b[n_b - 1 - end]))
    end++;
  puts ("The networks differ:");
  print_layers (a, 0, begin, ' ');
  print_layers (a, begin, n_a - end, '-');
  print_layers (b, begin, n_b - end, '+');
  print_layers (a, n_a - end, n_a, ' ');
}

/* ---- what else the files say */

static void
print_value (gchar sign, const gchar * key, const gchar * value)
{
  g_autofree gchar *line = g_strdup_printf ("%c %s %s", sign, key, value ? value : "");
  g_autofree gchar *printable = grad_printable (line);

  if (value != NULL)
    puts (printable);
}

static void
diff_value (Diff * diff, const gchar * key)
{
  const gchar *a = grad_safetensors_get_metadata (diff->a, key);
  const gchar *b = grad_safetensors_get_metadata (diff->b, key);

  if (g_strcmp0 (a, b) == 0 || g_str_equal (key, "network"))
    return;
  diff->differ = TRUE;
  if (diff->json == NULL) {
    print_value ('-', key, a);
    print_value ('+', key, b);
    return;
  }
  grad_json_open (diff->json, NULL, '{');
  grad_json_add_string (diff->json, "key", key);
  grad_json_add_string (diff->json, "a", a);
  grad_json_add_string (diff->json, "b", b);
  grad_json_close (diff->json, '}');
}

static void
diff_metadata (Diff * diff)
{
  g_auto (GStrv) a = grad_safetensors_list_metadata (diff->a);
  g_auto (GStrv) b = grad_safetensors_list_metadata (diff->b);

  if (diff->json != NULL)
    grad_json_open (diff->json, "metadata", '[');
  for (guint i = 0; a[i] != NULL; i++)
    diff_value (diff, a[i]);
  for (guint i = 0; b[i] != NULL; i++)
    if (grad_safetensors_get_metadata (diff->a, b[i]) == NULL)
      diff_value (diff, b[i]);
  if (diff->json != NULL)
    grad_json_close (diff->json, ']');
}

/* ---- the tensors */

typedef struct
{
  gdouble max, norm;            /* max |a - b|; |a - b| / |a| in the Euclidean norm */
} Distance;

static gsize
count_values (const GradSafetensorsEntry * entry)
{
  gsize n = 1;

  for (guint i = 0; i < entry->rank; i++)
    n *= entry->dims[i];
  return n;
}

/* "64x3x7x7", "-" for a single value */
static gchar *
format_shape (const GradSafetensorsEntry * entry)
{
  GString *text = g_string_new (entry->rank ? NULL : "-");

  for (guint i = 0; i < entry->rank; i++)
    g_string_append_printf (text, "%s%" G_GINT64_FORMAT, i ? "x" : "", entry->dims[i]);
  return g_string_free (text, FALSE);
}

static gboolean
same_shape (const GradSafetensorsEntry * a, const GradSafetensorsEntry * b)
{
  return a->rank == b->rank && memcmp (a->dims, b->dims, a->rank * sizeof a->dims[0]) == 0;
}

/* Counters are whole numbers, all else is float. */
static gfloat *
read_values (const GradSafetensorsEntry * entry, gsize n)
{
  gfloat *values = g_new (gfloat, MAX (n, 1));
  gint64 count;

  if (n == 1 && g_str_equal (entry->dtype, "I64")) {
    memcpy (&count, entry->data, sizeof count);
    values[0] = count;
  } else if (!grad_parameter_convert (entry, values, n))
    g_clear_pointer (&values, g_free);
  return values;
}

/* NaN where a value is none, or of a type that is not read */
static Distance
measure (const GradSafetensorsEntry * a, const GradSafetensorsEntry * b)
{
  gsize n = count_values (a);
  g_autofree gfloat *x = read_values (a, n), *y = read_values (b, n);
  gdouble max = 0, squares = 0, all = 0;

  if (x == NULL || y == NULL)
    return (Distance) { NAN, NAN };
  for (gsize i = 0; i < n; i++) {
    gdouble e = fabs ((gdouble) x[i] - y[i]);

    max = e <= max || isnan (max) ? max : e;    /* keeps a NaN, once there is one */
    squares += e * e;
    all += (gdouble) x[i] * x[i];
  }
  return (Distance) { max, squares > 0 ? sqrt (squares / all) : squares };
}

static void
report (Diff * diff, GradTable * table, const gchar * name, gchar * shape, const gchar * what,
    const Distance * d)
{
  diff->differ = TRUE;
  if (diff->json != NULL) {
    grad_json_open (diff->json, NULL, '{');
    grad_json_add_string (diff->json, "name", name);
    grad_json_add_string (diff->json, "shape", shape);
    grad_json_add_string (diff->json, "difference", what);
    grad_json_add_double (diff->json, "max", d ? d->max : NAN);
    grad_json_add_double (diff->json, "norm", d ? d->norm : NAN);
    grad_json_close (diff->json, '}');
    g_free (shape);
  } else
    grad_table_add (table, grad_printable (name), shape,
        d ? g_strdup_printf ("%.3g", d->max) : g_strdup (what),
        d ? g_strdup_printf ("%.3g", d->norm) : NULL);
}

/* Whether it is the same in both files */
static gboolean
diff_tensor (Diff * diff, GradTable * table, const GradSafetensorsEntry * a)
{
  const GradSafetensorsEntry *b = grad_safetensors_find (diff->b, a->name);
  Distance d;

  if (b == NULL)
    report (diff, table, a->name, format_shape (a), "only in A", NULL);
  else if (!same_shape (a, b)) {
    g_autofree gchar *from = format_shape (a), *to = format_shape (b);

    report (diff, table, a->name, g_strdup_printf ("%s, %s", from, to), "shape", NULL);
  } else if (g_str_equal (a->dtype, b->dtype) && memcmp (a->data, b->data, a->size) == 0)
    return TRUE;
  else {
    d = measure (a, b);
    report (diff, table, a->name, format_shape (a), "values", &d);
  }
  return FALSE;
}

static void
diff_tensors (Diff * diff)
{
  guint n_a = grad_safetensors_get_n_entries (diff->a), same = 0;
  guint n_b = grad_safetensors_get_n_entries (diff->b);
  g_autoptr (GradTable) table = grad_table_new ("lrrr");

  grad_table_add (table, g_strdup ("tensor"), g_strdup ("shape"), g_strdup ("max |a-b|"),
      g_strdup ("|a-b|/|a|"));
  if (diff->json != NULL)
    grad_json_open (diff->json, "tensors", '[');
  for (guint i = 0; i < n_a; i++)
    same += diff_tensor (diff, table, grad_safetensors_get_entry (diff->a, i));
  for (guint i = 0; i < n_b; i++) {
    const GradSafetensorsEntry *b = grad_safetensors_get_entry (diff->b, i);

    if (grad_safetensors_find (diff->a, b->name) == NULL)
      report (diff, table, b->name, format_shape (b), "only in B", NULL);
  }
  if (diff->json != NULL) {
    grad_json_close (diff->json, ']');
    grad_json_add_integer (diff->json, "same_tensors", same);
    return;
  }
  if (same < n_a || same < n_b) {
    putchar ('\n');
    grad_command_print (grad_table_to_string (table, grad_terminal_width ()));
  }
  printf ("\n%u of %u tensors are the same, bit for bit.\n", same, n_a);
}

static gint
run (const GradCommand * command, gint argc, gchar ** argv)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, for programs", NULL},
    {NULL}
  };
  g_autoptr (GradSafetensors) a = NULL, b = NULL;
  g_autoptr (GString) text = NULL;
  g_autoptr (GError) error = NULL;
  Diff diff = { NULL };

  if (!grad_command_parse (command, entries, &argc, &argv, 2, 2))
    return EXIT_USAGE;
  if (!(a = grad_safetensors_open (argv[1], &error))
      || !(b = grad_safetensors_open (argv[2], &error))) {
    grad_command_fail (error);
    return EXIT_USAGE;          /* 1 says that they differ */
  }
  text = g_string_new (NULL);
  diff = (Diff) { a, b, json ? text : NULL, FALSE };
  if (json)
    grad_json_open (text, NULL, '{');
  diff_network (&diff);
  diff_metadata (&diff);
  diff_tensors (&diff);
  if (json) {
    grad_json_close (text, '}');
    puts (text->str);
  }
  return diff.differ ? DIFFERENT : SAME;
}

const GradCommand grad_command_diff = {
  "diff", "A B", "in what two models differ",
  "Compares the networks layer by layer, the metadata, and the tensors that are not the same, bit\n"
      "for bit: the largest difference of two values, and the Euclidean norm of the difference\n"
      "relative to that of A. Works for any safetensors files.\n\n"
      "Exit status: 0 when they are the same, 1 when they differ, 2 after an error.",
  run
};
