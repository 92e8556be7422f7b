/* GradStreamer: from a command line to a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "gradpipeline.h"
#include "lib/base/gradtrainsink.h"
#include "gradlaunchfile.h"

#include <string.h>

#define PLUGIN "libgstgradstreamer.so"

void
grad_pipeline_find_plugin (void)
{
  g_autofree gchar *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree gchar *here = program ? g_path_get_dirname (program) : g_strdup (".");
  g_autofree gchar *built = g_build_filename (here, "..", "plugins", NULL);
  g_autofree gchar *installed = g_build_filename (here, "..", PLUGIN_SUBDIR, NULL);
  const gchar *dirs[] = { built, installed, PLUGIN_DIR };
  const gchar *variable = g_getenv ("GST_PLUGIN_PATH_1_0") ? "GST_PLUGIN_PATH_1_0"
      : "GST_PLUGIN_PATH";
  const gchar *old = g_getenv (variable);

  for (guint i = 0; i < G_N_ELEMENTS (dirs); i++) {
    g_autofree gchar *file = g_build_filename (dirs[i], PLUGIN, NULL);
    g_autofree gchar *dir = g_canonicalize_filename (dirs[i], NULL);
    g_autofree gchar *path = g_strjoin (G_SEARCHPATH_SEPARATOR_S, old ? old : dir,
        old ? dir : NULL, NULL);

    if (g_file_test (file, G_FILE_TEST_EXISTS)) {
      g_setenv (variable, path, TRUE);
      break;
    }
  }
}

static gboolean
is_ours (const gchar * element)
{
  return g_str_has_prefix (element, "grad") || g_str_has_prefix (element, "idx");
}

/* "a, b" of a, b, a */
static gchar *
join_names (gchar ** names)
{
  g_autoptr (GPtrArray) list = g_ptr_array_new ();

  for (; *names != NULL; names++)
    if (!g_ptr_array_find_with_equal_func (list, *names, g_str_equal, NULL))
      g_ptr_array_add (list, *names);
  g_ptr_array_add (list, NULL);
  return g_strjoinv (", ", (gchar **) list->pdata);
}

/* says what to do about elements that do not exist */
static void
explain_missing (GstParseContext * context, GError ** error)
{
  g_auto (GStrv) missing = gst_parse_context_get_missing_elements (context);
  g_autofree gchar *names = NULL;
  g_autoptr (GstPlugin) plugin = NULL;

  if (!g_error_matches (*error, GST_PARSE_ERROR, GST_PARSE_ERROR_NO_SUCH_ELEMENT)
      || missing == NULL)
    return;
  plugin = gst_registry_find_plugin (gst_registry_get (), "gradstreamer");
  names = join_names (missing);
  g_clear_error (error);
  if (plugin == NULL && is_ours (missing[0]))
    g_set_error (error, GST_PARSE_ERROR, GST_PARSE_ERROR_NO_SUCH_ELEMENT,
        "there is no element %s: the plugin is not here; build it, or put the folder of " PLUGIN
        " into GST_PLUGIN_PATH", names);
  else
    g_set_error (error, GST_PARSE_ERROR, GST_PARSE_ERROR_NO_SUCH_ELEMENT,
        "there is no element %s: check the spelling (gst-inspect-1.0 lists what there is), "
        "install the plugin that has it, or put that plugin's folder into GST_PLUGIN_PATH", names);
}

/* the file that is meant: as given, or a recipe of the installation */
static gchar *
find_file (const gchar * name)
{
  g_autofree gchar *recipe = g_build_filename (RECIPE_DIR, name, NULL);

  if (g_file_test (name, G_FILE_TEST_IS_REGULAR))
    return g_strdup (name);
  if (strchr (name, '/') == NULL && g_file_test (recipe, G_FILE_TEST_IS_REGULAR))
    return g_steal_pointer (&recipe);
  return NULL;
}

static GstElement *
in_pipeline (GstElement * element)
{
  GstElement *pipeline;

  if (element == NULL || GST_IS_PIPELINE (element))
    return element;
  pipeline = gst_pipeline_new (NULL);
  gst_bin_add (GST_BIN (pipeline), element);
  return pipeline;
}

/* Words to one string, as gst-launch-1.0 does it: a space within a word is part of it. */
static gchar *
join_words (const gchar * const *words)
{
  GString *launch = g_string_new (NULL);

  for (guint i = 0; words[i] != NULL; i++) {
    gboolean quoted = FALSE;

    for (const gchar * p = words[i]; *p != '\0'; p++) {
      if (*p == '"' && (p == words[i] || p[-1] != '\\'))
        quoted = !quoted;
      if (*p == ' ' && !quoted)
        g_string_append_c (launch, '\\');
      g_string_append_c (launch, *p);
    }
    g_string_append_c (launch, ' ');
  }
  return g_strchomp (g_string_free (launch, FALSE));
}

gchar *
grad_pipeline_resolve (const gchar * const *arguments, GError ** error)
{
  g_autofree gchar *file = find_file (arguments[0]);

  if (file != NULL)
    return grad_launch_file_load (file, arguments + 1, error);
  if (g_strv_contains (arguments, "!"))
    return join_words (arguments);
  if (strchr (arguments[0], '!') != NULL)
    return grad_launch_file_expand (arguments[0], "launch string", arguments + 1, error);
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT,
      "%s: there is no such file, and without a \"!\" it is no launch string", arguments[0]);
  return NULL;
}

/* Elements warn of a value that cannot be, and take their default. */
static void
note_warning (const gchar * domain, GLogLevelFlags level, const gchar * message, gpointer first)
{
  if (*(gchar **) first == NULL)
    *(gchar **) first = g_strdup (message);
}

GstElement *
grad_pipeline_parse (const gchar * launch, GError ** error)
{
  g_autofree gchar *warning = NULL;
  guint handler = g_log_set_handler (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, note_warning, &warning);
  g_autoptr (GstParseContext) context = gst_parse_context_new ();
  g_autoptr (GError) parse_error = NULL;
  g_autoptr (GstElement) element = gst_parse_launch_full (launch, context,
      GST_PARSE_FLAG_FATAL_ERRORS, &parse_error);

  g_log_remove_handler (G_LOG_DOMAIN, handler);
  if (warning != NULL && parse_error == NULL)
    g_set_error_literal (&parse_error, GST_PARSE_ERROR, GST_PARSE_ERROR_COULD_NOT_SET_PROPERTY, warning);
  if (parse_error != NULL) {
    explain_missing (context, &parse_error);
    g_propagate_error (error, g_steal_pointer (&parse_error));
    return NULL;
  }
  return gst_object_ref_sink (in_pipeline (g_steal_pointer (&element)));
}

GstElement *
grad_pipeline_new (const gchar * const *arguments, GError ** error)
{
  g_autofree gchar *launch = grad_pipeline_resolve (arguments, error);

  return launch ? grad_pipeline_parse (launch, error) : NULL;
}

/* As a GCompareFunc: 0 for what is looked for */
static gint
is_no_optimizer (gconstpointer value, gconstpointer unused)
{
  return !GRAD_IS_TRAIN_SINK (g_value_get_object (value));
}

static gint
is_not_loose (gconstpointer value, gconstpointer unused)
{
  for (GList * l = GST_ELEMENT (g_value_get_object (value))->srcpads; l != NULL; l = l->next)
    if (!gst_pad_is_linked (l->data))
      return 0;
  return 1;
}

gboolean
grad_pipeline_trains (GstElement * pipeline)
{
  g_autoptr (GstIterator) elements = gst_bin_iterate_recurse (GST_BIN (pipeline));
  g_auto (GValue) found = G_VALUE_INIT;

  return gst_iterator_find_custom (elements, is_no_optimizer, &found, NULL);
}

gchar *
grad_pipeline_find_loose (GstElement * pipeline)
{
  g_autoptr (GstIterator) elements = gst_bin_iterate_recurse (GST_BIN (pipeline));
  g_auto (GValue) found = G_VALUE_INIT;

  return gst_iterator_find_custom (elements, is_not_loose, &found, NULL) ? gst_element_get_name (g_value_get_object (&found))
      : NULL;
}

void
grad_pipeline_end_stream (GstElement * pipeline, gpointer unused)
{
  gst_element_send_event (pipeline, gst_event_new_eos ());
}

gint
grad_pipeline_exit_status (const GError * error)
{
  return error->domain == GRAD_LAUNCH_FILE_ERROR || error->domain == G_FILE_ERROR
      || error->domain == G_OPTION_ERROR ? 2 : 1;
}
