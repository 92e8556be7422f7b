/* GradStreamer: grad-model looks into model files, compares them, tries them
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "gradmodeltool.h"
#include "gradpipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const GradCommand *const commands[] = {
  &grad_command_info,
  &grad_command_diff,
  &grad_command_classify,
  &grad_command_eval,
};

/* "--", behind which nothing is an option */
static void
drop_separator (gint * argc, gchar ** argv)
{
  for (gint i = 1; i < *argc; i++)
    if (g_str_equal (argv[i], "--")) {
      memmove (argv + i, argv + i + 1, (*argc - i) * sizeof (gchar *)); /* with the NULL */
      (*argc)--;
      return;
    }
}

gboolean
grad_command_parse (const GradCommand * command, const GOptionEntry * entries, gint * argc,
    gchar *** argv, gint min, gint max)
{
  g_autofree gchar *parameters = g_strdup_printf ("%s - %s", command->usage, command->summary);
  g_autofree gchar *name = g_strdup_printf ("grad-model %s", command->name);
  g_autoptr (GOptionContext) options = g_option_context_new (parameters);
  g_autoptr (GError) error = NULL;

  g_set_prgname (name);         /* for --help */
  g_option_context_add_main_entries (options, entries, NULL);
  g_option_context_set_description (options, command->description);
  if (!g_option_context_parse (options, argc, argv, &error)) {
    fprintf (stderr, "%s: %s\n(%s --help says more)\n", name, error->message, name);
    return FALSE;
  }
  drop_separator (argc, *argv);
  if (*argc - 1 >= min && *argc - 1 <= max)
    return TRUE;
  fprintf (stderr, "usage: %s [OPTIONS] %s\n(%s --help says more)\n", name, command->usage, name);
  return FALSE;
}

gint
grad_command_fail (const GError * error)
{
  fprintf (stderr, "grad-model: %s\n", error->message);
  return error->domain == G_OPTION_ERROR ? EXIT_USAGE : EXIT_FAILURE;
}

void
grad_command_print (gchar * text)
{
  fputs (text, stdout);
  g_free (text);
}

gboolean
grad_command_play (GstElement * pipeline, GError ** error)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message = NULL;

  gst_bus_set_flushing (bus, TRUE);     /* what is left of the last time */
  gst_bus_set_flushing (bus, FALSE);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE,
      GST_MESSAGE_ERROR | GST_MESSAGE_EOS | GST_MESSAGE_APPLICATION);
  gst_element_set_state (pipeline, GST_STATE_READY);
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR)
    gst_message_parse_error (message, error, NULL);
  return GST_MESSAGE_TYPE (message) != GST_MESSAGE_ERROR;
}

static void
print_usage (FILE * to)
{
  fputs ("usage: grad-model COMMAND ...\n\n", to);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    fprintf (to, "  grad-model %s %s\n      %s\n", commands[i]->name, commands[i]->usage,
        commands[i]->summary);
  fputs ("\nA FILE is a model that gradadamsink has saved. grad-model COMMAND --help says more of each.\n"
      "Exit status: 0, 1 after an error, 2 for a wrong command; of diff as diff(1) has it.\n"
      "Environment: GRAD_DEVICE, GRAD_PRECISION and GRAD_THREADS say what computes and how.\n", to);
}

/* What was printed may not have arrived. */
static int
finish (const GradCommand * command, int status)
{
  if (fflush (stdout) == 0 && !ferror (stdout))
    return status;
  fprintf (stderr, "grad-model: cannot write the output: %s\n", g_strerror (errno));
  return g_str_equal (command->name, "diff") ? 2 : EXIT_FAILURE;
}

int
main (int argc, char **argv)
{
  const gchar *name = argc > 1 ? argv[1] : "";

  grad_pipeline_find_plugin ();
  gst_init (NULL, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    if (g_str_equal (name, commands[i]->name))
      return finish (commands[i], commands[i]->run (commands[i], argc - 1, argv + 1));
  if (g_str_equal (name, "--version")) {
    g_autofree gchar *gst = gst_version_string ();

    printf ("grad-model %s, %s\n", PACKAGE_VERSION, gst);
    return EXIT_SUCCESS;
  }
  if (g_str_equal (name, "--help") || g_str_equal (name, "-h")) {
    print_usage (stdout);
    return EXIT_SUCCESS;
  }
  if (*name != '\0')
    fprintf (stderr, "grad-model: there is no command \"%s\"\n", name);
  print_usage (stderr);
  return EXIT_USAGE;
}
