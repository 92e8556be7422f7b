/* GradStreamer: grad-launch runs a .launch file or a launch string and shows how the training goes
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "graddryrun.h"
#include "gradjsontext.h"
#include "gradpipeline.h"
#include "gradprogress.h"
#include "gradrunfolder.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_INTERRUPTED 130
#define PATIENCE 3              /* seconds until an interrupted stream is ended anyway */

typedef struct
{
  GstElement *pipeline;
  GMainLoop *loop;
  GradProgress *progress;
  const gchar *path;            /* of the run folder, … */
  GradRunFolder *folder;        /* … NULL: none */
  GHashTable *warnings;         /* those that were printed */
  gboolean verbose, quiet, json;
  gboolean reported;            /* an error was printed */
  guint signals[2];
  gint status;
} Runner;

static const gchar description[] =
    "A launch string contains at least one \"!\". A .launch file is one with # comments and\n"
    "variables ${name:-default}, which name=value sets.\n\n"
    "A run folder gets all that is to be known of a training later: launch.txt, environment.json,\n"
    "log.jsonl, model.safetensors, evaluation.txt, and pictures: curves.png, confusion.png, sheet.png.\n"
    "It has to be new or empty, unless resume=true goes on with the run in it. Without one, files are written where the launch string says.\n\n"
    "With --json each line of standard output is an object whose \"type\" is \"device\", \"step\" (at\n"
    "most 20 a second; log-location has all), \"epoch\", \"saved\", \"info\", \"warning\", \"error\",\n"
    "\"pictures\", \"end\", or what else an element says.\n\n"
    "Ctrl-C stops cleanly and saves the model; a second one exits at once.\n"
    "Exit status: 0 at the end of the stream, 1 after an error, 2 for a wrong command,\n"
    "130 when interrupted.";

static void
print_json (GString * json)
{
  puts (json->str);
  fflush (stdout);
}

static gchar *
issue_text (GstMessage * message, GstElement * pipeline, gboolean verbose)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *debug = NULL, *loose = NULL;

  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR)
    gst_message_parse_error (message, &error, &debug);
  else if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_WARNING)
    gst_message_parse_warning (message, &error, &debug);
  else
    gst_message_parse_info (message, &error, &debug);
  if (debug != NULL && strstr (debug, "not-linked (") != NULL)
    loose = grad_pipeline_find_loose (pipeline);
  return g_strdup_printf ("%s: %s%s%s%s%s%s", GST_MESSAGE_SRC_NAME (message), error->message,
      loose ? " Nothing takes what comes out of " : "", loose ? loose : "", loose ? ": is a ! missing behind it, or a sink?" : "",
      verbose && debug ? "\n  " : "", verbose && debug ? debug : "");
}

/* kind: "info", "warning", or "error" */
static void
print_issue (Runner * self, const gchar * kind, const gchar * text)
{
  g_autoptr (GString) json = g_string_new (NULL);

  grad_progress_clear (self->progress);
  fprintf (stderr, "grad-launch: %s%s\n", g_str_equal (kind, "warning") ? "warning: " : "", text);
  if (!self->json)
    return;
  grad_json_open (json, NULL, '{');
  grad_json_add_string (json, "type", kind);
  grad_json_add_string (json, "text", text);
  grad_json_close (json, '}');
  print_json (json);
}

/* What an element says, as it is */
static void
print_structure (Runner * self, GstMessage * message)
{
  const GstStructure *s = gst_message_get_structure (message);
  const gchar *name = gst_structure_get_name (s);
  g_autoptr (GString) json = g_string_new (NULL);
  g_autoptr (GstStructure) own = NULL;

  if (self->quiet && g_str_equal (name, "grad-step"))
    return;
  grad_json_open (json, NULL, '{');
  grad_json_add_string (json, "type", name + (g_str_has_prefix (name, "grad-") ? 5 : 0));
  grad_json_add_string (json, "element", GST_MESSAGE_SRC_NAME (message));
  own = gst_structure_copy (s);
  gst_structure_remove_fields (own, "type", "element", NULL);
  grad_json_add_fields (json, own);
  grad_json_close (json, '}');
  print_json (json);
}

static void
handle_element_message (Runner * self, GstMessage * message)
{
  const GstStructure *structure = gst_message_get_structure (message);
  g_autoptr (GError) error = NULL;

  if (self->json)
    print_structure (self, message);
  else
    grad_progress_handle (self->progress, structure, g_get_monotonic_time ());
  if (self->folder != NULL && !grad_run_folder_handle (self->folder, structure, &error))
    print_issue (self, "warning", error->message);
}

static void
handle_message (Runner * self, GstMessage * message)
{
  g_autofree gchar *text = NULL;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_ELEMENT:
      handle_element_message (self, message);
      break;
    case GST_MESSAGE_WARNING:
      text = issue_text (message, self->pipeline, self->verbose);
      if (!g_hash_table_contains (self->warnings, text)) {
        print_issue (self, "warning", text);
        g_hash_table_add (self->warnings, g_steal_pointer (&text));
      }
      break;
    case GST_MESSAGE_INFO:
      text = issue_text (message, self->pipeline, self->verbose);
      print_issue (self, "info", text);
      break;
    case GST_MESSAGE_ERROR:
      if (!self->reported) {    /* the first says it; others follow from it */
        text = issue_text (message, self->pipeline, self->verbose);
        print_issue (self, "error", text);
      }
      self->reported = TRUE;
      self->status = EXIT_FAILURE;
      g_main_loop_quit (self->loop);
      break;
    case GST_MESSAGE_EOS:
      g_main_loop_quit (self->loop);
      break;
    case GST_MESSAGE_LATENCY:
      gst_bin_recalculate_latency (GST_BIN (self->pipeline));
      break;
    case GST_MESSAGE_CLOCK_LOST:
      gst_element_set_state (self->pipeline, GST_STATE_PAUSED);
      gst_element_set_state (self->pipeline, GST_STATE_PLAYING);
      break;
    default:
      break;
  }
}

static gboolean
on_message (GstBus * bus, GstMessage * message, gpointer data)
{
  handle_message (data, message);
  return G_SOURCE_CONTINUE;
}

static void
unwatch_signals (Runner * self)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->signals); i++)
    g_clear_handle_id (&self->signals[i], g_source_remove);
}

static gboolean
on_patience_over (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

/* The first signal ends the stream or the loop; with the sources gone, GLib restores what signals do by default,
 * so that a second one ends the process. */
static gboolean
on_signal (gpointer data)
{
  Runner *self = data;

  unwatch_signals (self);
  grad_progress_clear (self->progress);
  fputs ("grad-launch: interrupted: stopping; once more exits at once\n", stderr);
  self->status = EXIT_INTERRUPTED;
  /* a training is not over, but what a recording gets at the end of the stream makes it a file */
  if (grad_pipeline_trains (self->pipeline))
    g_main_loop_quit (self->loop);
  else {
    gst_element_call_async (self->pipeline, grad_pipeline_end_stream, NULL, NULL);
    g_timeout_add_seconds (PATIENCE, on_patience_over, self->loop);
  }
  return G_SOURCE_CONTINUE;     /* removed above */
}

static void
watch_signals (Runner * self)
{
  self->signals[0] = g_unix_signal_add (SIGINT, on_signal, self);
  self->signals[1] = g_unix_signal_add (SIGTERM, on_signal, self);
}

/* A training without pictures is none the worse. */
static void
draw (Runner * self)
{
  g_autofree gchar *list = NULL;
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GString) json = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  if (!grad_run_folder_draw (self->folder, files, &error))
    print_issue (self, "warning", error->message);
  if (files->len == 0)
    return;
  if (!self->json) {
    g_ptr_array_add (files, NULL);
    list = g_strjoinv (", ", (gchar **) files->pdata);
    printf ("pictures in %s: %s\n", self->path, list);
    return;
  }
  grad_json_open (json, NULL, '{');
  grad_json_add_string (json, "type", "pictures");
  grad_json_add_string (json, "folder", self->path);
  grad_json_open (json, "files", '[');
  for (guint i = 0; i < files->len; i++)
    grad_json_add_string (json, NULL, files->pdata[i]);
  grad_json_close (json, ']');
  grad_json_close (json, '}');
  print_json (json);
}

/* The last words, when all messages have been seen */
static void
finish (Runner * self)
{
  g_autoptr (GString) json = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  if (self->folder != NULL && !grad_run_folder_finish (self->folder, &error)) {
    print_issue (self, "error", error->message);
    self->status = EXIT_FAILURE;
  }
  if (self->folder != NULL)
    draw (self);
  if (!self->json)
    return;
  grad_json_open (json, NULL, '{');
  grad_json_add_string (json, "type", "end");
  grad_json_add_integer (json, "status", self->status);
  grad_json_close (json, '}');
  print_json (json);
}

static void
run (Runner * self)
{
  g_autoptr (GstBus) bus = gst_pipeline_get_bus (GST_PIPELINE (self->pipeline));
  GstMessage *message;

  /* what is posted on the way down is to be seen */
  gst_pipeline_set_auto_flush_bus (GST_PIPELINE (self->pipeline), FALSE);
  gst_bus_add_watch (bus, on_message, self);
  if (gst_element_set_state (self->pipeline, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE)
    self->status = EXIT_FAILURE;
  else {
    watch_signals (self);
    g_main_loop_run (self->loop);
    unwatch_signals (self);
  }
  gst_bus_remove_watch (bus);
  gst_element_set_state (self->pipeline, GST_STATE_NULL);
  while ((message = gst_bus_pop (bus)) != NULL) {
    handle_message (self, message);
    gst_message_unref (message);
  }
  if (self->status == EXIT_FAILURE && !self->reported)
    print_issue (self, "error", "the pipeline cannot start");
  grad_progress_finish (self->progress);
  finish (self);
}

static gboolean
is_terminal (void)
{
  const gchar *term = g_getenv ("TERM");

  return isatty (STDERR_FILENO) && term != NULL && g_strcmp0 (term, "dumb") != 0;
}

/* Prints the error and returns the exit status for it. */
static gint
fail (const GError * error)
{
  fprintf (stderr, "grad-launch: %s\n", error->message);
  return grad_pipeline_exit_status (error);
}

/* The pipeline is there. Whoever reads what is printed may go away: that is no reason to lose a training. */
static gint
play (Runner * self)
{
  signal (SIGPIPE, SIG_IGN);
  self->loop = g_main_loop_new (NULL, FALSE);
  self->progress = grad_progress_new (is_terminal () && !self->json, self->quiet);
  self->warnings = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  run (self);
  g_main_loop_unref (self->loop);
  grad_progress_free (self->progress);
  g_hash_table_unref (self->warnings);
  return self->status;
}

int
main (int argc, char **argv)
{
  Runner self = { NULL };
  gboolean version = FALSE, dry_run = FALSE;
  g_auto (GStrv) arguments = NULL;
  g_autofree gchar *folder = NULL, *launch = NULL;
  const GOptionEntry entries[] = {
    {"quiet", 'q', 0, G_OPTION_ARG_NONE, &self.quiet, "Print results and errors only", NULL},
    {"verbose", 'v', 0, G_OPTION_ARG_NONE, &self.verbose, "Print the details of errors too", NULL},
    {"json", 0, 0, G_OPTION_ARG_NONE, &self.json, "Print lines of JSON, for programs", NULL},
    {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run,
        "Print the network as a table and exit: layers, shapes, parameters, FLOPs", NULL},
    {"run-folder", 'o', 0, G_OPTION_ARG_FILENAME, &folder,
        "Folder for model, log and pictures, whatever the launch string says", "DIR"},
    {"version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version and exit", NULL},
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments, NULL,
        "FILE.launch|'LAUNCH STRING' [name=value ...]"},
    {NULL}
  };
  g_autoptr (GOptionContext) options = g_option_context_new (NULL);
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (GradRunFolder) run_folder = NULL;
  g_autoptr (GError) error = NULL;

  grad_pipeline_find_plugin ();
  g_option_context_add_main_entries (options, entries, NULL);
  g_option_context_add_group (options, gst_init_get_option_group ());
  g_option_context_set_description (options, description);
  if (!g_option_context_parse (options, &argc, &argv, &error)) {
    fprintf (stderr, "grad-launch: %s\n", error->message);
    return 2;
  }
  if (version) {
    g_autofree gchar *gst = gst_version_string ();

    printf ("grad-launch %s, %s\n", PACKAGE_VERSION, gst);
    return EXIT_SUCCESS;
  }
  if (arguments == NULL) {
    fprintf (stderr, "usage: grad-launch [OPTIONS] FILE.launch|'LAUNCH STRING' [name=value ...]\n"
        "(grad-launch --help says more)\n");
    return 2;
  }
  if (!(launch = grad_pipeline_resolve ((const gchar * const *) arguments, &error))
      || !(pipeline = grad_pipeline_parse (launch, &error)))
    return fail (error);
  if (dry_run)
    return grad_dry_run (pipeline, self.json, &error) ? EXIT_SUCCESS : fail (error);
  if (folder != NULL && !(run_folder = grad_run_folder_new (folder, launch, pipeline, &error)))
    return fail (error);
  self.pipeline = pipeline;
  self.path = folder;
  self.folder = run_folder;
  return play (&self);
}
