/* GradStreamer: grad-model info: what is in a model file
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradjsontext.h"
#include "gradmodeltool.h"
#include "gradsummarytable.h"
#include "gradtable.h"

#include <stdlib.h>

#define LABEL 10                /* columns of what a line is about */

/* Those that are shown in other words */
static const gchar *const known[] =
    { "choices", "class_names", "input_size", "mean", "network", "std", NULL };

static void
print_line (const gchar * label, const gchar * text)
{
  g_autofree gchar *printable = grad_printable (text);
  g_autofree gchar *line = g_strdup_printf ("%-*s%s", LABEL, label, printable);

  grad_command_print (grad_wrap (line, grad_terminal_width (), LABEL));
  putchar ('\n');
}

static void
print_input (const GradModelInput * in)
{
  GString *text = g_string_new (NULL);

  g_string_printf (text, "%dx%d, %s, (v / 255 - mean) / std with mean", in->width, in->height,
      in->channels == 1 ? "luma" : in->channels == 3 ? "RGB" : "no picture");
  for (gint c = 0; c < MAX (1, in->channels) && c < 4; c++)
    g_string_append_printf (text, " %.6g", in->mean[c]);
  g_string_append (text, ", std");
  for (gint c = 0; c < MAX (1, in->channels) && c < 4; c++)
    g_string_append_printf (text, " %.6g", in->std[c]);
  print_line ("input", text->str);
  g_string_free (text, TRUE);
}

static void
print_classes (const gchar * const *names)
{
  g_autofree gchar *joined = names ? g_strjoinv (", ", (gchar **) names) : NULL;
  g_autofree gchar *text = names ? g_strdup_printf ("%u: %s", g_strv_length ((gchar **) names),
      joined) : g_strdup ("without names");

  print_line ("classes", text);
}

/* How it was trained: what else whoever saved it has written down */
static void
print_record (GradSafetensors * file)
{
  g_auto (GStrv) keys = grad_safetensors_list_metadata (file);
  const gchar *label = "trained";

  for (guint i = 0; keys[i] != NULL; i++) {
    g_autofree gchar *text = NULL;

    if (g_strv_contains (known, keys[i]))
      continue;
    text = g_strdup_printf ("%s %s", keys[i], grad_safetensors_get_metadata (file, keys[i]));
    print_line (label, text);
    label = "";
  }
}

static void
print_json (const gchar * location, GradModel * model, GradSafetensors * file, GPtrArray * rows)
{
  const GradModelInput *in = grad_model_get_input (model);
  const gchar *const *names = grad_model_get_class_names (model);
  g_auto (GStrv) keys = grad_safetensors_list_metadata (file);
  g_autoptr (GString) json = g_string_new (NULL);

  grad_json_open (json, NULL, '{');
  grad_json_add_string (json, "file", location);
  grad_json_open (json, "input", '{');
  grad_json_add_integer (json, "width", in->width);
  grad_json_add_integer (json, "height", in->height);
  grad_json_add_integer (json, "channels", in->channels);
  grad_json_close (json, '}');
  grad_json_open (json, "classes", '[');
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    grad_json_add_string (json, NULL, names[i]);
  grad_json_close (json, ']');
  grad_json_open (json, "metadata", '[');
  for (guint i = 0; keys[i] != NULL; i++) {
    grad_json_open (json, NULL, '{');
    grad_json_add_string (json, "key", keys[i]);
    grad_json_add_string (json, "value", grad_safetensors_get_metadata (file, keys[i]));
    grad_json_close (json, '}');
  }
  grad_json_close (json, ']');
  grad_json_add_integer (json, "tensors", grad_safetensors_get_n_entries (file));
  grad_summary_to_json (rows, json);
  grad_json_close (json, '}');
  puts (json->str);
}

static gint
run (const GradCommand * command, gint argc, gchar ** argv)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, for programs", NULL},
    {NULL}
  };
  g_autoptr (GradModel) model = NULL;
  g_autoptr (GradSafetensors) file = NULL;
  g_autoptr (GPtrArray) rows = NULL;
  g_autoptr (GError) error = NULL;

  if (!grad_command_parse (command, entries, &argc, &argv, 1, 1))
    return EXIT_USAGE;
  if (!(model = grad_model_open (argv[1], &error))
      || !(file = grad_safetensors_open (argv[1], &error))
      || !(rows = grad_summary_new_from_model (model, &error)))
    return grad_command_fail (error);
  if (json) {
    print_json (argv[1], model, file, rows);
    return EXIT_SUCCESS;
  }
  print_line ("file", argv[1]);
  print_input (grad_model_get_input (model));
  print_classes (grad_model_get_class_names (model));
  print_record (file);
  putchar ('\n');
  grad_command_print (grad_summary_to_string (rows, grad_terminal_width ()));
  return EXIT_SUCCESS;
}

const GradCommand grad_command_info = {
  "info", "FILE", "the network, its classes, how it was trained",
  "Prints the layers of a network with the shape of what each makes of one picture, its parameters\n"
      "and floating-point operations; what pictures it wants, its classes, and what the file says of\n"
      "how it was trained. The file is checked: it must have weights for every layer.",
  run
};
