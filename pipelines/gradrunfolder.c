/* GradStreamer: the folder of a training: all that is to be known of it later
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "gradrunfolder.h"
#include "gradevaluation.h"
#include "gradjsontext.h"
#include "gradpictures.h"
#include "lib/base/gradsource.h"
#include "lib/base/gradtrainsink.h"
#include "lib/model/gradmodel-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define TEXT_WIDTH 100
#define LAUNCH "launch.txt"     /* from the start on: this folder is taken */

/* A network that is trained */
typedef struct
{
  gchar *suffix;                /* of its files: "" or "-name" */
  gchar *log;
  gchar *images;                /* that it is tested with, or NULL */
  GStrv class_names;
  GradEvaluation *evaluation;
} Network;

struct _GradRunFolder
{
  gchar *path;
  gchar *before;                /* launch.txt of the run that is resumed, or NULL */
  gchar *environment;           /* until something has been computed, and it is written */
  gboolean pending;             /* launch.txt is written, and nothing has been computed yet */
  GPtrArray *networks;          /* of Network */
  guint64 seed;
};

static void
network_free (gpointer data)
{
  Network *network = data;

  g_free (network->suffix);
  g_free (network->log);
  g_free (network->images);
  g_strfreev (network->class_names);
  g_clear_pointer (&network->evaluation, grad_evaluation_free);
  g_free (network);
}

static gboolean
write_file (GradRunFolder * self, const gchar * name, const gchar * text, GError ** error)
{
  g_autofree gchar *path = g_build_filename (self->path, name, NULL);

  return g_file_set_contents (path, text, -1, error);
}

static gboolean
has_property (GObject * object, const gchar * name)
{
  return g_object_class_find_property (G_OBJECT_GET_CLASS (object), name) != NULL;
}

/* ---- what trains */

static GPtrArray *
find_optimizers (GstElement * pipeline)
{
  g_autoptr (GstIterator) elements = gst_bin_iterate_recurse (GST_BIN (pipeline));
  g_auto (GValue) item = G_VALUE_INIT;
  GPtrArray *found = g_ptr_array_new_with_free_func (gst_object_unref);

  while (gst_iterator_next (elements, &item) == GST_ITERATOR_OK) {
    if (GRAD_IS_TRAIN_SINK (g_value_get_object (&item)))
      g_ptr_array_add (found, g_value_dup_object (&item));
    g_value_reset (&item);
  }
  return found;
}

static gboolean
resumes (GPtrArray * optimizers)
{
  for (guint i = 0; i < optimizers->len; i++) {
    gboolean resume = FALSE;

    if (has_property (optimizers->pdata[i], "resume"))
      g_object_get (optimizers->pdata[i], "resume", &resume, NULL);
    if (resume)
      return TRUE;
  }
  return FALSE;
}

/* The names of the classes, the test pictures and the seed are the source's to say. */
static void
ask_source (GradRunFolder * self, Network * network, GstPad * pad)
{
  g_autoptr (GPtrArray) elements = grad_model_find_upstream (pad);
  g_autofree gchar *names = NULL;

  if (elements->len == 0 || !GRAD_IS_SOURCE (elements->pdata[0]))
    return;
  g_object_get (elements->pdata[0], "class-names", &names, "seed", &self->seed, NULL);
  if (names != NULL && *names != '\0')
    network->class_names = grad_class_names_parse (names, NULL);
  if (has_property (elements->pdata[0], "test-location"))
    g_object_get (elements->pdata[0], "test-location", &network->images, NULL);
}

static void
add_network (GradRunFolder * self, GstElement * sink)
{
  Network *network = g_new0 (Network, 1);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (sink, "sink");
  g_autofree gchar *name = NULL, *model = NULL, *log = NULL, *location = NULL;

  g_object_get (sink, "model-name", &name, NULL);
  network->suffix = g_strcmp0 (name, "main") == 0 ? g_strdup ("") : g_strconcat ("-", name, NULL);
  g_strdelimit (network->suffix, "/", '_');
  model = g_strdup_printf ("model%s.safetensors", network->suffix);
  log = g_strdup_printf ("log%s.jsonl", network->suffix);
  location = g_build_filename (self->path, model, NULL);
  network->log = g_build_filename (self->path, log, NULL);
  g_object_set (sink, "location", location, "log-location", network->log, NULL);
  ask_source (self, network, pad);
  network->evaluation = grad_evaluation_new (pad, TRUE);
  g_ptr_array_add (self->networks, network);
}

/* ---- the folder */

static void
refuse (const gchar * path, GError ** error)
{
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_EXIST, "%s is not empty: name a new folder, or set "
      "resume=true to go on with the run that is in it", path);
}

/* Whether there is nothing in it but empty files: the log of a training that could not start */
static gboolean
is_empty (const gchar * path, GError ** error)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, error);
  gboolean empty = TRUE;
  const gchar *name;

  if (dir == NULL)
    return FALSE;
  while (empty && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree gchar *file = g_build_filename (path, name, NULL);
    GStatBuf info;

    empty = g_stat (file, &info) == 0 && S_ISREG (info.st_mode) && info.st_size == 0;
  }
  if (empty)
    return TRUE;
  refuse (path, error);
  return FALSE;
}

/* Of those that begin at once, one gets the folder. */
static gboolean
claim (const gchar * path, const gchar * file, GError ** error)
{
  gint fd;

  if (!is_empty (path, error))
    return FALSE;
  fd = g_open (file, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
  if (fd >= 0)
    close (fd);
  else if (errno == EEXIST)
    refuse (path, error);
  else
    g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "cannot write %s: %s", file, g_strerror (errno));
  return fd >= 0;
}

GradRunFolder *
grad_run_folder_new (const gchar * path, const gchar * launch, GstElement * pipeline,
    GError ** error)
{
  g_autoptr (GradRunFolder) self = g_new0 (GradRunFolder, 1);
  g_autoptr (GPtrArray) optimizers = find_optimizers (pipeline);
  g_autofree gchar *text = g_strconcat (launch, "\n", NULL), *file = g_build_filename (path, LAUNCH, NULL);

  self->path = g_strdup (path);
  self->networks = g_ptr_array_new_with_free_func (network_free);
  if (optimizers->len == 0) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "nothing is trained that a run "
        "folder could be of: the pipeline has no optimizer, such as gradadamsink");
    return NULL;
  }
  if (g_mkdir_with_parents (path, 0777) != 0) {
    g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno),
        "cannot make the folder %s: %s", path, g_strerror (errno));
    return NULL;
  }
  if (resumes (optimizers))
    g_file_get_contents (file, &self->before, NULL, NULL);
  else if (!claim (path, file, error))
    return NULL;
  self->pending = TRUE;
  if (!write_file (self, LAUNCH, text, error))
    return NULL;
  for (guint i = 0; i < optimizers->len; i++)
    add_network (self, optimizers->pdata[i]);
  return g_steal_pointer (&self);
}

/* ---- what there is to write */

static gchar *
get_processor (void)
{
  g_autofree gchar *text = NULL;
  const gchar *name, *end;

  if (!g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL)
      || (name = strstr (text, "model name")) == NULL || (name = strchr (name, ':')) == NULL)
    return NULL;
  end = strchr (name, '\n');
  return g_strstrip (end ? g_strndup (name + 1, end - name - 1) : g_strdup (name + 1));
}

static gchar *
describe_environment (GradRunFolder * self, const GstStructure * device)
{
  g_autoptr (GString) json = g_string_new (NULL);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree gchar *date = g_date_time_format_iso8601 (now), *processor = get_processor ();
  g_autofree gchar *gst = gst_version_string ();
  guint threads = 0;

  gst_structure_get_uint (device, "threads", &threads);
  grad_json_open (json, NULL, '{');
  grad_json_add_string (json, "date", date);
  grad_json_add_string (json, "gradstreamer", PACKAGE_VERSION);
  grad_json_add_string (json, "gstreamer", gst);
  grad_json_add_string (json, "library", gst_structure_get_string (device, "library"));
  grad_json_add_string (json, "processor", processor);
  grad_json_add_integer (json, "processors", g_get_num_processors ());
  grad_json_add_string (json, "device", gst_structure_get_string (device, "name"));
  grad_json_add_string (json, "precision", gst_structure_get_string (device, "precision"));
  grad_json_add_integer (json, "threads", threads);
  grad_json_add_integer (json, "seed", self->seed);
  grad_json_close (json, '}');
  g_string_append_c (json, '\n');
  return g_strdup (json->str);
}

gboolean
grad_run_folder_handle (GradRunFolder * folder, const GstStructure * message, GError ** error)
{
  if (gst_structure_has_name (message, "grad-device")) {
    g_free (folder->environment);
    folder->environment = describe_environment (folder, message);
  }
  if (!folder->pending || folder->environment == NULL || !(gst_structure_has_name (message, "grad-step")
          || gst_structure_has_name (message, "grad-epoch") || gst_structure_has_name (message, "grad-saved")))
    return TRUE;
  folder->pending = FALSE;
  return write_file (folder, "environment.json", folder->environment, error);
}

/* A training that could not start leaves nothing behind, nor does it say of an earlier one what was not so. */
static void
take_back (GradRunFolder * self)
{
  g_autofree gchar *path = g_build_filename (self->path, LAUNCH, NULL);

  if (self->before != NULL)
    write_file (self, LAUNCH, self->before, NULL);
  else
    g_unlink (path);
}

static gboolean
write_evaluation (GradRunFolder * self, const Network * network, GError ** error)
{
  const gchar *const *names = (const gchar * const *) network->class_names;
  g_autofree gchar *text = NULL, *file = NULL;

  if (network->evaluation->labelled == 0)       /* nothing to test with, or stopped before */
    return TRUE;
  text = grad_evaluation_to_string (network->evaluation, names, TEXT_WIDTH);
  file = g_strdup_printf ("evaluation%s.txt", network->suffix);
  return write_file (self, file, text, error);
}

gboolean
grad_run_folder_finish (GradRunFolder * folder, GError ** error)
{
  for (guint i = 0; i < folder->networks->len; i++)
    if (!write_evaluation (folder, folder->networks->pdata[i], error))
      return FALSE;
  return TRUE;
}

gboolean
grad_run_folder_draw (GradRunFolder * folder, GPtrArray * files, GError ** error)
{
  for (guint i = 0; i < folder->networks->len; i++) {
    const Network *network = folder->networks->pdata[i];
    const GradPictures pictures = { folder->path, network->suffix, network->log,
      network->evaluation, (const gchar * const *) network->class_names, network->images
    };

    if (!grad_pictures_write (&pictures, files, error))
      return FALSE;
  }
  return TRUE;
}

void
grad_run_folder_free (GradRunFolder * folder)
{
  if (folder->pending)
    take_back (folder);
  g_free (folder->path);
  g_free (folder->before);
  g_free (folder->environment);
  g_ptr_array_unref (folder->networks);
  g_free (folder);
}
