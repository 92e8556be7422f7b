/* GradStreamer: base class of sinks that train a network
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The end of the line: runs backward over the tape of each training batch, in its streaming thread, has the
 * subclass update the parameters, measures, and saves the model at the end. */
#include "gradtrainsink.h"
#include "gradsaver.h"
#include "gradtrainstep.h"
#include "../autograd/gradnetwork-private.h"
#include "../autograd/gradtapemeta-private.h"

GST_DEBUG_CATEGORY_STATIC (grad_train_sink_debug);
#define GST_CAT_DEFAULT grad_train_sink_debug

typedef struct
{
  /* properties, object lock */
  gchar *model_name;
  GradSaverOptions saving;
  gchar *init_location, *log_location;
  GradTrainOptions training;
  guint log_interval;

  /* from NULL to READY on */
  GradBus *bus;
  GradNetwork *network;
  /* streaming thread */
  gboolean failed;
  GradMetrics metrics;
  GradTrainStep step;
  GradSaver saver;
  guint64 source;               /* that is trained with; 0: none has said so */
  guint32 refused;              /* sequence number of an event that has been complained of */
  /* atomic */
  gint unlocked;
} GradTrainSinkPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (GradTrainSink, grad_train_sink, GST_TYPE_BASE_SINK);
#define PRIV(s) ((GradTrainSinkPrivate *) grad_train_sink_get_instance_private (GRAD_TRAIN_SINK (s)))

static GstFlowReturn
fail (GradTrainSink * self, GError * error)
{
  gboolean aborted = g_error_matches (error, GRAD_ERROR, GRAD_ERROR_ABORTED);

  if (aborted)
    g_error_free (error);
  else {
    grad_element_fail (self, error);
    PRIV (self)->failed = TRUE;
  }
  return aborted ? GST_FLOW_FLUSHING : GST_FLOW_ERROR;
}

/* Asked between two units: on the way to PAUSED this waits, on the way further down the step is given up. */
static gboolean
interrupted (gpointer sink)
{
  return g_atomic_int_get (&PRIV (sink)->unlocked)
      && gst_base_sink_wait_preroll (sink) == GST_FLOW_FLUSHING;
}

static gboolean
train (GradTrainSink * self, GstBuffer * buffer, const GradSampleMeta * sample,
    const GradLossMeta * loss, GradMetricsStep * told, GError ** error)
{
  GradNode *node = grad_buffer_get_node (buffer);

  if (node == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "the batch carries no tape, so no "
        "gradient can flow back: link this sink to gradloss, with nothing but queues between");
    return FALSE;
  }
  return grad_train_step_batch (&PRIV (self)->step, node, sample, loss, told, error);
}

/* Whether it is of another source than that which says what the training is, as through a funnel: measured apart, and no position
 * to go on from */
static gboolean
is_beside (GradTrainSink * self, const GradSampleMeta * sample)
{
  GradTrainSinkPrivate *priv = PRIV (self);

  return sample->source != priv->source
      && (priv->source != 0 || (priv->saver.resumed && sample->phase == GRAD_PHASE_EVALUATE));
}

/* Of several sources that which trains says what the training is, the first one if there is more than one, from which
 * nobody can go on. */
static gboolean
set_dataset (GradTrainSink * self, const GstStructure * dataset, GError ** error)
{
  GradTrainSinkPrivate *priv = PRIV (self);
  gboolean trains = FALSE, other;
  guint64 source = 0;

  gst_structure_get (dataset, "source", G_TYPE_UINT64, &source, "trains", G_TYPE_BOOLEAN, &trains, NULL);
  other = priv->source != 0 && source != priv->source;
  if (other && trains && priv->saver.resumed) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "two sources train this network, but a training to "
        "resume has one position only: leave one of them out, or set resume=false");
    return FALSE;
  }
  if (other || (!trains && priv->saver.resumed))
    return TRUE;
  if (trains && priv->source == 0 && !priv->saver.resumed) {    /* an evaluating one may have been faster */
    grad_metrics_set_beside (&priv->metrics);
    grad_saver_forget_dataset (&priv->saver);
  }
  if (trains)
    priv->source = source;
  grad_metrics_set_dataset (&priv->metrics, dataset);
  return grad_saver_set_dataset (&priv->saver, dataset, error);
}

static GstFlowReturn
grad_train_sink_render (GstBaseSink * sink, GstBuffer * buffer)
{
  GradTrainSink *self = GRAD_TRAIN_SINK (sink);
  GradTrainSinkPrivate *priv = PRIV (self);
  GradSampleMeta *sample = grad_buffer_get_sample_meta (buffer);
  GradLossMeta *loss = grad_buffer_get_loss_meta (buffer);
  GradMetricsStep step = { grad_network_get_n_updates (priv->network) };
  gboolean beside;
  GError *error = NULL;

  if (GST_BUFFER_PTS_IS_VALID (buffer))
    gst_object_sync_values (GST_OBJECT (self), GST_BUFFER_PTS (buffer));
  if (sample == NULL || sample->phase == GRAD_PHASE_INFER)
    return GST_FLOW_OK;
  if (loss == NULL)
    g_set_error (&error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED,
        "the batch carries no loss: put gradloss in front of this sink");
  else if (sample->phase == GRAD_PHASE_TRAIN)
    train (self, buffer, sample, loss, &step, &error);
  if (error != NULL)
    return fail (self, error);
  beside = is_beside (self, sample);
  grad_metrics_batch (&priv->metrics, sample, loss, &step, beside);
  /* a step that is not over is nothing to go on with */
  return step.open || (beside && sample->phase == GRAD_PHASE_EVALUATE)
      || grad_saver_batch (&priv->saver, sample, beside, sink->sinkpad, &error) ? GST_FLOW_OK
      : fail (self, error);
}

static gboolean
grad_train_sink_event (GstBaseSink * sink, GstEvent * event)
{
  GradTrainSink *self = GRAD_TRAIN_SINK (sink);
  GradTrainSinkPrivate *priv = PRIV (self);
  const GstStructure *dataset = grad_event_parse_dataset (event);
  GError *error = NULL;
  gboolean ok = TRUE;

  if (dataset != NULL && gst_event_get_seqnum (event) == priv->refused) {
    gst_event_unref (event);    /* sticky events come again with what is behind them */
    return FALSE;
  }
  if (dataset != NULL)
    ok = set_dataset (self, dataset, &error);
  else if (GST_EVENT_TYPE (event) == GST_EVENT_EOS) {
    ok = grad_train_step_finish (&priv->step, &error)
        && grad_saver_finish (&priv->saver, !priv->failed, &error);
    grad_metrics_stop (&priv->metrics, ok && !priv->failed);  /* a source says the end after an error, too */
  }
  if (!ok) {
    fail (self, error);
    priv->refused = gst_event_get_seqnum (event);
    gst_event_unref (event);
    return FALSE;
  }
  return GST_BASE_SINK_CLASS (grad_train_sink_parent_class)->event (sink, event);
}

static gboolean
grad_train_sink_unlock (GstBaseSink * sink)
{
  g_atomic_int_set (&PRIV (sink)->unlocked, TRUE);
  return TRUE;
}

static gboolean
grad_train_sink_unlock_stop (GstBaseSink * sink)
{
  g_atomic_int_set (&PRIV (sink)->unlocked, FALSE);
  return TRUE;
}

static gboolean
attach (GradTrainSink * self, GError ** error)
{
  GradTrainSinkPrivate *priv = PRIV (self);
  g_autofree gchar *name = NULL, *init = NULL;

  grad_element_join_bus (GST_ELEMENT (self), &priv->bus);
  GST_OBJECT_LOCK (self);
  name = g_strdup (priv->model_name);
  init = g_strdup (priv->init_location);
  GST_OBJECT_UNLOCK (self);
  priv->network = grad_bus_get_network (priv->bus, name);
  priv->saver = (GradSaver) {
    .options = &priv->saving,.element = GST_ELEMENT (self),.bus = priv->bus,
    .network = priv->network,.metrics = &priv->metrics,
    .optimizer = GRAD_TRAIN_SINK_GET_CLASS (self)->optimizer
  };
  priv->step = (GradTrainStep) {
    .options = &priv->training,.sink = self,.network = priv->network,.interrupted = interrupted
  };
  return grad_network_register_optimizer (priv->network, self, error)
      && grad_saver_attach (&priv->saver, error)
      && (priv->saver.resumed || init == NULL || *init == '\0'
      || grad_parameter_store_set_source (grad_network_get_store (priv->network), init, error));
}

static void
detach (GradTrainSink * self)
{
  GradTrainSinkPrivate *priv = PRIV (self);

  grad_saver_detach (&priv->saver);
  if (priv->network != NULL)
    grad_network_unregister_optimizer (priv->network, self);
  if (priv->metrics.history != NULL)    /* on the way to PAUSED something else failed */
    grad_history_end (g_steal_pointer (&priv->metrics.history));
  g_clear_object (&priv->network);
  grad_element_leave_bus (&priv->bus);
}

static gboolean
start (GradTrainSink * self, GError ** error)
{
  GradTrainSinkPrivate *priv = PRIV (self);
  const GradCheckpoint *c = &priv->saver.checkpoint;
  g_autoptr (GError) unread = NULL;
  g_autofree gchar *log = NULL;
  guint interval;

  GST_OBJECT_LOCK (self);
  log = g_strdup (priv->log_location);
  interval = priv->log_interval;
  GST_OBJECT_UNLOCK (self);
  priv->failed = FALSE;
  grad_network_forget_open (priv->network);
  grad_metrics_start (&priv->metrics, GST_ELEMENT (self), interval, TRUE);
  if (!grad_saver_start (&priv->saver, error))
    return FALSE;
  priv->source = 0;
  priv->step.start = c->start;
  if (priv->saver.resumed)
    grad_metrics_resume (&priv->metrics, c);
  if (!grad_log_open (&priv->metrics.log, log, priv->saver.resumed ? c : NULL, error))
    return FALSE;
  priv->metrics.history = grad_network_get_history (priv->network);
  grad_history_begin (priv->metrics.history);
  if (priv->saver.resumed && priv->metrics.log.file != NULL && g_file_test (log, G_FILE_TEST_IS_REGULAR)
      && !grad_history_load (priv->metrics.history, log, &unread))
    GST_ELEMENT_WARNING (self, RESOURCE, READ, ("%s. Curves begin where the training goes on.",
            unread->message), (NULL));
  return TRUE;
}

static void
stop (GradTrainSink * self)
{
  GradTrainSinkPrivate *priv = PRIV (self);
  GError *error = NULL;

  if (!grad_train_step_finish (&priv->step, &error))
    fail (self, g_steal_pointer (&error));
  if (!grad_saver_finish (&priv->saver, FALSE, &error))
    fail (self, error);
  grad_metrics_stop (&priv->metrics, FALSE);
  grad_saver_forget_dataset (&priv->saver);
}

static GstStateChangeReturn
grad_train_sink_change_state (GstElement * element, GstStateChange transition)
{
  GradTrainSink *self = GRAD_TRAIN_SINK (element);
  GError *error = NULL;
  GstStateChangeReturn ret;

  /* sinks change first: the optimizer is there before any source asks for it */
  if ((transition == GST_STATE_CHANGE_NULL_TO_READY && !attach (self, &error))
      || (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !start (self, &error))) {
    fail (self, error);
    if (transition == GST_STATE_CHANGE_NULL_TO_READY)
      detach (self);
    return GST_STATE_CHANGE_FAILURE;
  }
  ret = GST_ELEMENT_CLASS (grad_train_sink_parent_class)->change_state (element, transition);
  /* after chaining up: streaming has stopped, the layers still have their parameters. Ctrl-C sends no EOS. */
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY)
    stop (self);
  else if (transition == GST_STATE_CHANGE_READY_TO_NULL)
    detach (self);
  return ret;
}

static gboolean
grad_train_sink_query (GstBaseSink * sink, GstQuery * query)
{
  return grad_element_query_context (GST_ELEMENT (sink), query, PRIV (sink)->bus)
      || GST_BASE_SINK_CLASS (grad_train_sink_parent_class)->query (sink, query);
}

static void
grad_train_sink_finalize (GObject * object)
{
  GradTrainSinkPrivate *priv = PRIV (object);

  g_free (priv->model_name);
  g_free (priv->saving.location);
  g_free (priv->init_location);
  g_free (priv->log_location);
  G_OBJECT_CLASS (grad_train_sink_parent_class)->finalize (object);
}

static void
install_string (GObjectClass * klass, guint offset, const gchar * name, const gchar * nick,
    const gchar * blurb, const gchar * value)
{
  g_object_class_install_property (klass, offset,
      g_param_spec_string (name, nick, blurb, value, GRAD_PARAM_STATIC));
}

static void
install_latest (GObjectClass * klass, guint offset, const gchar * name, const gchar * nick,
    const gchar * blurb)
{
  g_object_class_install_property (klass, offset,
      g_param_spec_double (name, nick, blurb, -G_MAXDOUBLE, G_MAXDOUBLE, 0,
          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
}

static void
grad_train_sink_class_init (GradTrainSinkClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseSinkClass *sink_class = GST_BASE_SINK_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_train_sink_debug, "gradtrainsink", 0, "GradStreamer optimizers");
  grad_element_class_init_properties (object_class);
  object_class->finalize = grad_train_sink_finalize;

  install_string (object_class, G_PRIVATE_OFFSET (GradTrainSink, model_name), "model-name", "Model name",
      "Name of the network to train", "main");
  install_string (object_class, G_PRIVATE_OFFSET (GradTrainSink, saving.location), "location", "Model file",
      "Safetensors file to save the model to, with all that is needed to resume its training; one of an earlier training is replaced", NULL);
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradTrainSink, saving.save),
      g_param_spec_enum ("save", "Save", "Which states of the network are saved",
          GRAD_TYPE_SAVE, GRAD_SAVE_LAST, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradTrainSink, saving.interval),
      g_param_spec_uint ("save-interval", "Save interval", "Seconds of training after which it is saved "
          "within an epoch, too, 0 for never; not with save=best and a test set", 0, G_MAXUINT, 600, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradTrainSink, saving.steps),
      g_param_spec_uint ("save-steps", "Save steps", "Steps after which it is saved within an epoch, too, "
          "0 for none; not with save=best and a test set", 0, G_MAXUINT, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradTrainSink, saving.resume),
      g_param_spec_boolean ("resume", "Resume", "Whether to go on with the training that location has, "
          "if there is such a file, as if it had never stopped", FALSE, GRAD_PARAM_STATIC));
  install_string (object_class, G_PRIVATE_OFFSET (GradTrainSink, init_location), "init-location", "Initial model file",
      "Safetensors file with the weights to start from; random ones without", NULL);
  install_string (object_class, G_PRIVATE_OFFSET (GradTrainSink, log_location), "log-location", "Log file",
      "File for one line of JSON per step and per pass over the data", NULL);
  grad_train_options_install (object_class, G_PRIVATE_OFFSET (GradTrainSink, training));
  g_object_class_install_property (object_class, G_PRIVATE_OFFSET (GradTrainSink, log_interval),
      g_param_spec_uint ("log-interval", "Log interval", "Batches from one look at the loss to the "
          "next, 0 for ten looks a second; the log has a line for every step all the same", 0, G_MAXUINT, 0,
          GRAD_PARAM_STATIC));

#define LATEST(member) G_PRIVATE_OFFSET (GradTrainSink, metrics.latest.member)
  install_latest (object_class, LATEST (loss), "loss", "Loss", "Mean loss of the last step that "
      "has been looked at; not a number before the first");
  install_latest (object_class, LATEST (accuracy), "accuracy", "Accuracy", "Part of that step's "
      "samples that were right, 0 to 1");
  install_latest (object_class, LATEST (learning_rate), "current-learning-rate",
      "Current learning rate", "Step size of that step, by the schedule");
  install_latest (object_class, LATEST (gradient_norm), "gradient-norm", "Gradient norm", "Norm of that "
      "step's gradient over all parameters, before it was clipped");
  install_latest (object_class, LATEST (images_per_second), "images-per-second", "Images per second",
      "Pictures that have been trained with per second, lately");
#undef LATEST

  element_class->change_state = GST_DEBUG_FUNCPTR (grad_train_sink_change_state);
  sink_class->render = GST_DEBUG_FUNCPTR (grad_train_sink_render);
  sink_class->event = GST_DEBUG_FUNCPTR (grad_train_sink_event);
  sink_class->query = GST_DEBUG_FUNCPTR (grad_train_sink_query);
  sink_class->unlock = GST_DEBUG_FUNCPTR (grad_train_sink_unlock);
  sink_class->unlock_stop = GST_DEBUG_FUNCPTR (grad_train_sink_unlock_stop);

  gst_type_mark_as_plugin_api (GRAD_TYPE_TRAIN_SINK, 0);
  gst_type_mark_as_plugin_api (GRAD_TYPE_SAVE, 0);
}

static void
grad_train_sink_init (GradTrainSink * self)
{
  gst_base_sink_set_sync (GST_BASE_SINK (self), FALSE);
  gst_base_sink_set_qos_enabled (GST_BASE_SINK (self), FALSE);
  gst_base_sink_set_last_sample_enabled (GST_BASE_SINK (self), FALSE);
}
