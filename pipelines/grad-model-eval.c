/* GradStreamer: grad-model eval: how well a model does on a data set
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradevaluation.h"
#include "gradjsontext.h"
#include "gradmodeltool.h"
#include "gradpictures.h"
#include "gradtable.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>

typedef struct
{
  gchar *images, *labels, *plot;
  gint list;
  gboolean json;
} Options;

static gchar *
join_numbers (const gfloat * numbers, gint n)
{
  GString *text = g_string_new (NULL);
  gchar number[G_ASCII_DTOSTR_BUF_SIZE];

  for (gint i = 0; i < n; i++)
    g_string_append_printf (text, "%s%s", i ? "," : "",
        g_ascii_formatd (number, sizeof number, "%.9g", numbers[i]));
  return g_string_free (text, FALSE);
}

static GstElement *
new_pipeline (GradModel * model, const Options * options, GError ** error)
{
  const GradModelInput *in = grad_model_get_input (model);
  gint channels = CLAMP (in->channels, 1, 4);
  g_autofree gchar *mean = join_numbers (in->mean, channels), *std =
      join_numbers (in->std, channels);
  g_autoptr (GstElement) source = NULL, resize = NULL, network = NULL;
  GstElement *pipeline = gst_parse_launch_full ("idxsrc name=source phase=infer batch-size=64 "
      "! gradresize name=resize ! queue max-size-buffers=2 max-size-bytes=0 max-size-time=0 "
      "! gradmodel name=network ! fakesink name=end", NULL, GST_PARSE_FLAG_FATAL_ERRORS, error);

  if (pipeline == NULL)
    return NULL;
  gst_object_ref_sink (pipeline);
  source = gst_bin_get_by_name (GST_BIN (pipeline), "source");
  resize = gst_bin_get_by_name (GST_BIN (pipeline), "resize");
  network = gst_bin_get_by_name (GST_BIN (pipeline), "network");
  g_object_set (source, "location", options->images, "labels", options->labels, NULL);
  g_object_set (resize, "width", in->width, "height", in->height, "mean", mean, "std", std, NULL);
  g_object_set (network, "location", grad_model_get_location (model), NULL);
  return pipeline;
}

static GradEvaluation *
evaluate (GradModel * model, const Options * options, GError ** error)
{
  g_autoptr (GstElement) pipeline = new_pipeline (model, options, error), end = NULL;
  g_autoptr (GradEvaluation) evaluation = NULL;
  g_autoptr (GstPad) pad = NULL;
  gboolean ok;

  if (pipeline == NULL)
    return NULL;
  end = gst_bin_get_by_name (GST_BIN (pipeline), "end");
  pad = gst_element_get_static_pad (end, "sink");
  evaluation = grad_evaluation_new (pad, FALSE);
  ok = grad_command_play (pipeline, error);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return ok ? g_steal_pointer (&evaluation) : NULL;
}

static void
print_json (const GradEvaluation * evaluation, const gchar * const *names)
{
  g_autoptr (GString) json = g_string_new (NULL);

  grad_json_open (json, NULL, '{');
  grad_evaluation_to_json (evaluation, names, json);
  grad_json_close (json, '}');
  puts (json->str);
}

static gboolean
make_folder (const gchar * path, GError ** error)
{
  if (path == NULL || g_mkdir_with_parents (path, 0777) == 0)
    return TRUE;
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno),
      "cannot make the folder %s: %s", path, g_strerror (errno));
  return FALSE;
}

static gboolean
draw (const GradEvaluation * evaluation, const gchar * const *names, const Options * options,
    GError ** error)
{
  const GradPictures pictures = { options->plot, "", NULL, evaluation, names, options->images };
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autofree gchar *list = NULL;

  if (options->plot == NULL)
    return TRUE;
  if (!grad_pictures_write (&pictures, files, error))
    return FALSE;
  g_ptr_array_add (files, NULL);
  list = g_strjoinv (", ", (gchar **) files->pdata);
  if (!options->json)
    printf ("\npictures in %s: %s\n", options->plot, list);
  return TRUE;
}

static gint
run (const GradCommand * command, gint argc, gchar ** argv)
{
  Options options = { NULL };
  const GOptionEntry entries[] = {
    {"images", 'i', 0, G_OPTION_ARG_FILENAME, &options.images, "IDX file with the pictures",
        "FILE"},
    {"labels", 'l', 0, G_OPTION_ARG_FILENAME, &options.labels, "IDX file with their labels",
        "FILE"},
    {"list", 'n', 0, G_OPTION_ARG_INT, &options.list, "Print the first N pictures one by one, too",
        "N"},
    {"plot", 'p', 0, G_OPTION_ARG_FILENAME, &options.plot,
        "Draw confusion.png and sheet.png, a sheet of test pictures, there", "FOLDER"},
    {"json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print JSON, for programs", NULL},
    {NULL}
  };
  g_autoptr (GradModel) model = NULL;
  g_autoptr (GradEvaluation) evaluation = NULL;
  g_autoptr (GError) error = NULL;
  const gchar *const *names;

  if (!grad_command_parse (command, entries, &argc, &argv, 1, 1))
    return EXIT_USAGE;
  if (options.images == NULL || options.labels == NULL) {
    fprintf (stderr, "grad-model: eval needs --images and --labels\n(grad-model eval --help says "
        "more)\n");
    return EXIT_USAGE;
  }
  if (!(model = grad_model_open (argv[1], &error))
      || !make_folder (options.plot, &error)
      || !(evaluation = evaluate (model, &options, &error)))
    return grad_command_fail (error);
  names = grad_model_get_class_names (model);
  if (options.json)
    print_json (evaluation, names);
  else {
    if (options.list > 0) {
      grad_command_print (grad_evaluation_list (evaluation, names, options.list));
      putchar ('\n');
    }
    grad_command_print (grad_evaluation_to_string (evaluation, names, grad_terminal_width ()));
  }
  if (!draw (evaluation, names, &options, &error))
    return grad_command_fail (error);
  g_free (options.images);
  g_free (options.labels);
  g_free (options.plot);
  return EXIT_SUCCESS;
}

const GradCommand grad_command_eval = {
  "eval", "--images=FILE --labels=FILE FILE", "how well a model does on a data set",
  "Prints accuracy and loss; precision, recall and F1 of each class; and which classes were taken\n"
      "for which: rows are what pictures are, columns what they were taken for.\n\n"
      "precision  share of those taken for a class that are of it\n"
      "recall     share of those of a class that were taken for it\n"
      "F1         harmonic mean of the two",
  run
};
