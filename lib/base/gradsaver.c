/* GradStreamer: when a training is saved, and where it goes on
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradsaver-private.h"
#include "gradelement.h"
#include "kernels/choices.h"
#include "../model/gradmodel-private.h"
#include "../model/gradmodelfile.h"

#include <string.h>

GType
grad_save_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GRAD_SAVE_LAST, "After each epoch, at intervals, at the end and when stopped", "last"},
    {GRAD_SAVE_BEST, "After the epoch with the best accuracy on the test set so far", "best"},
    {GRAD_SAVE_EVERY_EPOCH, "As last, and a file of its own for each epoch", "every-epoch"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradSave", values));
  return type;
}

static GradSaverOptions
get_options (GradSaver * self)
{
  GradSaverOptions options;

  GST_OBJECT_LOCK (self->element);
  options = *self->options;
  options.location = options.location && *options.location ? g_strdup (options.location) : NULL;
  GST_OBJECT_UNLOCK (self->element);
  return options;
}

gboolean
grad_saver_attach (GradSaver * self, GError ** error)
{
  GradSaverOptions options = get_options (self);
  g_autofree gchar *location = options.location;

  self->checkpoint = (GradCheckpoint) GRAD_CHECKPOINT_START;
  grad_choices_begin ();
  self->attached = TRUE;
  if (!options.resume)
    return TRUE;
  if (location == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "resume=true, but no location: set it to the file that the training is saved to");
    return FALSE;
  }
  if (g_file_test (location, G_FILE_TEST_EXISTS))
    return grad_saver_resume (self, location, error);
  GST_INFO_OBJECT (self->element, "there is no %s yet: this is the beginning", location);
  return TRUE;
}

void
grad_saver_detach (GradSaver * self)
{
  if (self->attached)
    grad_choices_end ();
  self->attached = self->played = FALSE;
  g_clear_pointer (&self->before, g_free);
  self->resumed = self->finished = FALSE;
  self->saved = 0;
}

gboolean
grad_saver_start (GradSaver * self, GError ** error)
{
  GradSaverOptions options = get_options (self);
  g_autofree gchar *location = options.location;
  GradCheckpoint *c = &self->checkpoint;

  if (!options.resume && self->resumed && !self->played) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "%s has been read already: set resume=false in state NULL",
        location ? location : "the file to resume from");
    return FALSE;
  }
  self->played = TRUE;
  self->lost = FALSE;
  if (!options.resume) {
    *c = (GradCheckpoint) GRAD_CHECKPOINT_START;
    c->start = grad_network_get_n_updates (self->network);
    self->resumed = self->finished = FALSE;     /* in READY that could be changed */
    self->saved = 0;
    g_clear_pointer (&self->before, g_free);
  }
  self->finished &= self->resumed;      /* that was the run before, from READY */
  c->step = self->resumed ? MAX (c->step, grad_network_get_n_updates (self->network))
      : grad_network_get_n_updates (self->network);
  grad_network_set_start (self->network, &c->position, c->step);
  self->last = g_get_monotonic_time ();
  self->tried = c->step;
  self->saved_best = c->best_accuracy;
  self->n_batches = 0;
  self->trained = self->shared = FALSE;
  self->resumed |= options.resume && c->step > 0;       /* from READY */
  /* better now than after hours of training */
  return location == NULL || grad_model_check_location (location, error);
}

void
grad_saver_forget_dataset (GradSaver * self)
{
  g_clear_pointer (&self->dataset, gst_structure_free);
  g_clear_pointer (&self->fragment, g_free);
}

gboolean
grad_saver_set_dataset (GradSaver * self, const GstStructure * dataset, GError ** error)
{
  if (self->finished) {
    self->refused = TRUE;
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "the training to resume has come to its end, and what its "
        "optimizer kept is gone: for more epochs start from its weights with init-location, and set another "
        "location");
    return FALSE;
  }
  if (self->resumed && !grad_checkpoint_check_dataset (&self->checkpoint, dataset, error))
    return FALSE;
  g_clear_pointer (&self->dataset, gst_structure_free);
  self->dataset = gst_structure_copy (dataset);
  grad_checkpoint_set_dataset (&self->checkpoint, dataset);
  return TRUE;
}

/* Each class should have a name, or none. */
static void
check_class_names (GradSaver * self, GradModel * model, GstPad * logits)
{
  const gchar *const *names = grad_model_get_class_names (model);
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (logits);
  GradDType dtype;
  GradShape shape;

  if (names != NULL && caps != NULL && grad_caps_parse (caps, 2, &dtype, &shape, NULL)
      && (gint) g_strv_length ((gchar **) names) != shape.dims[1])
    GST_ELEMENT_WARNING (self->element, LIBRARY, SETTINGS, ("class-names has %u names, but the network ends in %d classes: "
            "set as many on the source, or units of gradfc.", g_strv_length ((gchar **) names), shape.dims[1]), (NULL));
}

/* Writes down what the network is made of, for the file and for those who run it meanwhile. */
static gboolean
describe_network (GradSaver * self, GstPad * sinkpad, GError ** error)
{
  GradParameterStore *store = grad_network_get_store (self->network);
  g_autoptr (GradModel) model = NULL;
  g_autoptr (GPtrArray) layers = NULL;
  g_autoptr (GError) unknown = NULL;
  gint channels = 0;

  self->fragment = grad_model_fragment (sinkpad, grad_network_get_name (self->network));
  layers = *self->fragment ? grad_fragment_create_layers (self->fragment, &unknown) : NULL;
  if (unknown != NULL) {        /* it is trained all the same */
    GST_ELEMENT_WARNING (self->element, LIBRARY, SETTINGS, ("%s. The network is trained and saved, but others will not know "
            "what it is made of.", unknown->message), (NULL));
    *self->fragment = '\0';
  }
  if (*self->fragment == '\0')  /* its layers are not found upstream, so nobody else can make them */
    return TRUE;
  for (guint i = 0; i < grad_parameter_store_get_n_parameters (store) && channels == 0; i++) {
    const GradShape *shape = &grad_parameter_store_get_parameter (store, i)->shape;

    channels = shape->rank == 4 ? shape->dims[1] : 0;
  }
  model = grad_model_new (self->fragment, self->dataset, channels, error);
  if (model == NULL)
    return FALSE;
  check_class_names (self, model, sinkpad);
  grad_network_set_model (self->network, model);
  return TRUE;
}

/* What has been measured by now. Nothing of the time between epochs is kept: files of two runs of one training are the same. */
static void
measure (GradSaver * self)
{
  GradCheckpoint *c = &self->checkpoint;
  GradMetrics *m = self->metrics;
  gboolean in_pass = !c->position.testing && c->position.samples > 0;

  grad_metrics_sync (m);
  c->step = grad_network_get_n_updates (self->network);
  c->seed = grad_bus_get_seed (self->bus);
  c->pass_samples = in_pass ? m->pass.samples : 0;
  c->pass_correct = in_pass ? m->pass.correct : 0;
  c->pass_loss = in_pass ? m->pass.loss_sum : 0;
  c->pass_seconds = m->epoch_start && c->position.epoch == m->pass.epoch
      ? (m->last_batch - m->epoch_start) / (gdouble) G_TIME_SPAN_SECOND : 0;
}

static GradSnapshot *
take_snapshot (GradSaver * self, GError ** error)
{
  g_autoptr (GHashTable) metadata = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  g_autoptr (GradDevice) device = grad_bus_get_device (self->bus, NULL);

  grad_checkpoint_describe (&self->checkpoint, metadata);
  g_hash_table_insert (metadata, (gpointer) "optimizer", g_strdup (self->optimizer));
  g_hash_table_insert (metadata, (gpointer) "choices", grad_choices_describe ());
  if (device != NULL) {
    g_hash_table_insert (metadata, (gpointer) "device", g_strdup (grad_device_get_name (device)));
    g_hash_table_insert (metadata, (gpointer) "precision",
        g_strdup (grad_precision_to_string (grad_device_get_precision (device))));
    g_hash_table_insert (metadata, (gpointer) "threads",
        g_strdup_printf ("%u", grad_device_get_threads (device)));
  }
  return grad_model_take_snapshot (self->network, self->fragment, self->dataset, metadata, self->checkpoint.seed, error);
}

/* "model.safetensors" becomes "model-epoch-3.safetensors". */
static gchar *
epoch_location (const gchar * location, guint epoch)
{
  const gchar *name = strrchr (location, G_DIR_SEPARATOR);
  const gchar *dot = strrchr (name ? name : location, '.');
  gsize stem = dot ? (gsize) (dot - location) : strlen (location);

  return g_strdup_printf ("%.*s-epoch-%u%s", (gint) stem, location, epoch, dot ? dot : "");
}

/* Waits for the file that is being written. */
static gboolean
end_job (GradSaver * self, GError ** error)
{
  GradSaveJob *job = g_steal_pointer (&self->job);
  gboolean saved, ok;

  if (job == NULL)
    return TRUE;
  ok = grad_save_job_end (job, &saved, error);
  self->lost = !saved;
  if (saved) {
    self->saved = self->tried;
    self->saved_best = self->job_best;
  } else
    self->checkpoint.best_accuracy = self->saved_best;
  return ok;
}

/* Begins to write the state of this moment. */
static gboolean
begin_job (GradSaver * self, const GradSaverOptions * options, guint epoch, GError ** error)
{
  g_autofree gchar *extra = options->save == GRAD_SAVE_EVERY_EPOCH && epoch > 0
      ? epoch_location (options->location, epoch) : NULL;
  GradSnapshot *snapshot;

  measure (self);
  self->last = g_get_monotonic_time ();
  self->tried = self->checkpoint.step;
  self->job_best = self->checkpoint.best_accuracy;
  snapshot = take_snapshot (self, error);
  if (snapshot != NULL)
    self->job = grad_save_job_new (self->element, snapshot, self->tried, options->location, extra);
  else {
    self->lost = TRUE;
    self->checkpoint.best_accuracy = self->saved_best;
  }
  return snapshot != NULL;
}

/* Where the source would go on. Of a pass over the test set there is nothing to be kept before it is over. */
static GradPosition
next_position (GradSaver * self, const GradSampleMeta * sample)
{
  gboolean testing = sample->phase == GRAD_PHASE_EVALUATE;

  if (sample->last && (testing || self->checkpoint.test_samples == 0))
    return (GradPosition) {
    sample->epoch + 1, FALSE, 0};
  if (sample->last || testing)
    return (GradPosition) {
    sample->epoch, TRUE, 0};
  return (GradPosition) {
  sample->epoch, FALSE, sample->index + sample->n_samples};
}

/* Whether the accuracy on the test set is better than before; remembers it. */
static gboolean
is_best (GradSaver * self)
{
  gboolean best;

  grad_metrics_sync (self->metrics);
  best = self->metrics->test_accuracy > self->checkpoint.best_accuracy;
  if (best)
    self->checkpoint.best_accuracy = self->metrics->test_accuracy;
  return best;
}

static gboolean
is_due (GradSaver * self, const GradSaverOptions * options, gboolean epoch_ended)
{
  gint64 now = g_get_monotonic_time ();
  guint64 step = grad_network_get_n_updates (self->network);
  gboolean best = epoch_ended && self->checkpoint.test_samples > 0 && is_best (self);

  /* a source that only measures has no test set beside */
  if (options->location == NULL || !(self->trained || (self->resumed
              && self->checkpoint.test_samples > 0)))
    return FALSE;
  if (options->save == GRAD_SAVE_BEST && self->checkpoint.test_samples > 0)
    return best;
  return epoch_ended || (options->steps && step >= self->tried + options->steps)
      || (options->interval && now - self->last >= options->interval * G_TIME_SPAN_SECOND);
}

#define GOES_ON " Training goes on, and tries again later."

static void
warn (GradSaver * self, GError ** failure, const gchar * then)
{
  GST_ELEMENT_WARNING (self->element, RESOURCE, WRITE, ("%s.%s", (*failure)->message, then), (NULL));
  g_clear_error (failure);
}

gboolean
grad_saver_batch (GradSaver * self, const GradSampleMeta * sample, gboolean beside, GstPad * sinkpad,
    GError ** error)
{
  GradSaverOptions options = get_options (self);
  g_autofree gchar *location = options.location;
  gboolean testing = sample->phase == GRAD_PHASE_EVALUATE;
  gboolean ended = !beside && sample->last && (testing || self->checkpoint.test_samples == 0);
  g_autoptr (GError) failure = NULL;

  if (self->job != NULL && (ended || grad_save_job_is_done (self->job)) && !end_job (self, &failure))
    warn (self, &failure, GOES_ON);
  if (self->before != NULL)
    grad_saver_compare_device (self);
  if (self->fragment == NULL && !describe_network (self, sinkpad, error))
    return FALSE;
  self->n_batches++;
  self->trained |= sample->phase == GRAD_PHASE_TRAIN;
  self->shared |= beside;
  if (!beside)
    self->checkpoint.position = next_position (self, sample);
  if (!is_due (self, &options, ended))
    return TRUE;
  if (!grad_network_settle (self->network, error))
    return FALSE;
  if (!end_job (self, &failure))
    warn (self, &failure, GOES_ON);
  if (!begin_job (self, &options, ended ? sample->epoch : 0, &failure))
    warn (self, &failure, GOES_ON);
  return TRUE;
}

/* Whether the last epoch is over, with all that belongs to it. */
static gboolean
is_complete (GradSaver * self)
{
  guint epochs = 0;

  return self->dataset && gst_structure_get_uint (self->dataset, "epochs", &epochs)
      && self->checkpoint.position.epoch > epochs;
}

/* A network that is trained is one for those who use it. */
static gboolean
finish_file (GradSaver * self, const gchar * location, GError ** error)
{
  g_autoptr (GHashTable) metadata = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);

  if (self->saved == 0)
    return TRUE;
  grad_checkpoint_describe (&self->checkpoint, metadata);
  g_hash_table_insert (metadata, (gpointer) GRAD_SAVER_FINISHED, g_strdup ("true"));
  self->finished = grad_model_finish (location, metadata, error);
  return self->finished;
}

gboolean
grad_saver_finish (GradSaver * self, gboolean eos, GError ** error)
{
  GradSaverOptions options = get_options (self);
  g_autofree gchar *location = options.location;
  guint64 updates = grad_network_get_n_updates (self->network);
  gboolean only_best = options.save == GRAD_SAVE_BEST, again;
  g_autoptr (GError) failure = NULL;

  if (!end_job (self, &failure)) {
    if (only_best && self->saved_best >= 0 && updates != self->tried) { /* nothing brings that state back */
      g_propagate_error (error, g_steal_pointer (&failure));
      return FALSE;
    }
    warn (self, &failure, "");
  }
  again = self->lost && updates == self->tried;
  if (self->finished && self->resumed && !self->refused && self->n_batches++ == 0)
    GST_ELEMENT_INFO (self->element, LIBRARY, SETTINGS, ("This training was complete already, after %"
            G_GUINT64_FORMAT " steps.", updates), (NULL));
  if (location != NULL && eos && !self->finished && !self->trained && !self->resumed)
    GST_ELEMENT_WARNING (self->element, LIBRARY, SETTINGS, ("No batch came to train with, so %s was not written: look at "
            "phase of the source, and at model-name.", location), (NULL));
  if (location == NULL || self->finished || (!self->trained && !self->resumed))
    return TRUE;
  if (again)
    self->checkpoint.best_accuracy = self->job_best;
  if ((again || (updates != self->saved && !(only_best && self->checkpoint.best_accuracy >= 0)))
      && !(begin_job (self, &options, 0, error) && end_job (self, error)))
    return FALSE;
  /* of several sources that train, only the end of all is the end; and a file that lacks the last or best state is to be resumed from */
  return self->lost || !is_complete (self) || (self->shared && !eos) || finish_file (self, location, error);
}
