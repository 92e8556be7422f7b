/* GradStreamer: what a training run tells about itself: messages, JSON lines, progress
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradmetrics-private.h"
#include "../autograd/gradunit.h"
#include "../tensor/gradtensor-private.h"

#include <errno.h>
#include <math.h>

/* Nobody may be reading the bus: messages per batch and progress are limited by time. */
#define MESSAGE_INTERVAL (50 * G_TIME_SPAN_MILLISECOND)
#define PROGRESS_INTERVAL G_TIME_SPAN_SECOND
/* With interval 0: how often it is looked which results are there, or sooner when so many are waited for. */
#define LOOK_INTERVAL (100 * G_TIME_SPAN_MILLISECOND)
#define MAX_PENDING 1024

void
grad_metrics_start (GradMetrics * metrics, GstElement * element, guint interval,
    gboolean progress)
{
  GST_OBJECT_LOCK (element);
  *metrics = (GradMetrics) {.element = element,.interval = interval,.progress = progress,
    .test_accuracy = -1,.latest = {NAN, NAN, NAN, NAN, NAN}
  };
  GST_OBJECT_UNLOCK (element);
}

void
grad_metrics_resume (GradMetrics * metrics, const GradCheckpoint * from)
{
  metrics->resumed = TRUE;
  metrics->pass = (GradMetricsPass) {
    from->pass_samples > 0, GRAD_PHASE_TRAIN, from->position.epoch, from->pass_samples, from->pass_correct,
    from->pass_loss
  };
  metrics->seconds_skipped = from->pass_seconds;
}

void
grad_metrics_set_beside (GradMetrics * metrics)
{
  for (guint i = 0; metrics->pending != NULL && i < metrics->pending->len; i++)
    g_array_index (metrics->pending, GradMetricsBatch, i).beside = TRUE;
  metrics->beside = metrics->pass;
  metrics->pass.active = FALSE;
  metrics->samples_done = 0;
  metrics->run_start = metrics->last_batch = g_get_monotonic_time ();
  metrics->test_accuracy = -1;
  metrics->log.is_old = TRUE;
  if (metrics->history != NULL)
    grad_history_begin (metrics->history);
}

void
grad_metrics_set_dataset (GradMetrics * metrics, const GstStructure * dataset)
{
  gst_structure_get (dataset, "train-samples", G_TYPE_UINT, &metrics->train_samples,
      "test-samples", G_TYPE_UINT, &metrics->test_samples, "train-batches", G_TYPE_UINT,
      &metrics->train_batches, "epochs", G_TYPE_UINT, &metrics->epochs, NULL);
  if (!metrics->started)        /* the first batch leaves the source now */
    metrics->last_batch = g_get_monotonic_time ();
}

/* A log that cannot be written is no reason to lose a training: one warning, and on without it. */
static void
flush_log (GradMetrics * metrics)
{
  if (!grad_log_flush (&metrics->log))
    GST_ELEMENT_WARNING (metrics->element, RESOURCE, WRITE, ("Cannot write the log: %s. Training goes "
            "on without it.", g_strerror (errno)), (NULL));
}

static void end_pass (GradMetrics * metrics, GradMetricsPass * pass);

static void
clear_batch (gpointer data)
{
  GradMetricsBatch *batch = data;

  grad_tensor_unref (batch->result);
  g_clear_pointer (&batch->step.measured, grad_measured_unref);
}

static void
post (GradMetrics * metrics, GstStructure * s)
{
  gst_element_post_message (metrics->element,
      gst_message_new_element (GST_OBJECT (metrics->element), s));
}

static gdouble
seconds_since (gint64 start, gint64 now)
{
  return (now - start) / (gdouble) G_TIME_SPAN_SECOND;
}

static gdouble
seconds_left (GradMetrics * metrics, gint64 now)
{
  gdouble all = metrics->epochs * (metrics->train_samples + metrics->test_samples / 3.);
  gdouble left = all - metrics->samples_skipped - metrics->samples_done;

  if (metrics->samples_done <= 0 || metrics->train_samples == 0)
    return -1;
  return seconds_since (metrics->run_start, now) * MAX (0, left) / metrics->samples_done;
}

static void
post_progress (GradMetrics * metrics, GstProgressType type, const gchar * text)
{
  if (metrics->progress)
    gst_element_post_message (metrics->element,
        gst_message_new_progress (GST_OBJECT (metrics->element), type, "train", text));
}

/* Those of earlier epochs, and of this one before the first batch of this run */
static gdouble
skipped_samples (GradMetrics * metrics, const GradMetricsBatch * batch)
{
  gdouble test = metrics->test_samples / 3.;

  return (batch->epoch - 1) * (metrics->train_samples + test)
      + (batch->phase == GRAD_PHASE_EVALUATE ? metrics->train_samples : metrics->pass.samples);
}

/* A pass begins where the one before ended, the first one when the source said what it has. Returns that of the batch */
static GradMetricsPass *
begin (GradMetrics * metrics, const GradMetricsBatch * batch, gint64 now)
{
  GradMetricsPass *pass = batch->beside ? &metrics->beside : &metrics->pass;

  if (!metrics->started) {
    metrics->started = TRUE;
    if (metrics->last_batch == 0)
      metrics->last_batch = now;
    metrics->run_start = metrics->last_batch;
    metrics->epoch_start = metrics->pass.start = metrics->last_batch
        - (gint64) (metrics->seconds_skipped * G_TIME_SPAN_SECOND);
    post_progress (metrics, GST_PROGRESS_TYPE_START, "training");
  }
  if (metrics->resumed && !batch->beside) {
    metrics->samples_skipped = skipped_samples (metrics, batch);
    metrics->resumed = FALSE;
  }
  if (pass->active && (pass->phase != batch->phase || pass->epoch != batch->epoch))
    end_pass (metrics, pass);
  if (!pass->active) {
    *pass = (GradMetricsPass) {
      TRUE, batch->phase, batch->epoch,.start = metrics->last_batch
    };
    if (batch->phase == GRAD_PHASE_TRAIN && !batch->beside)
      metrics->epoch_start = pass->start;
  }
  return pass;
}

/* For the element's properties */
static void
remember (GradMetrics * metrics, const GstStructure * s)
{
  GST_OBJECT_LOCK (metrics->element);
  gst_structure_get (s, "loss", G_TYPE_DOUBLE, &metrics->latest.loss,
      "accuracy", G_TYPE_DOUBLE, &metrics->latest.accuracy,
      "learning-rate", G_TYPE_DOUBLE, &metrics->latest.learning_rate,
      "images-per-second", G_TYPE_DOUBLE, &metrics->latest.images_per_second, NULL);
  gst_structure_get_double (s, "gradient-norm", &metrics->latest.gradient_norm);
  GST_OBJECT_UNLOCK (metrics->element);
}

/* Adds what was before it in its step; FALSE when others follow. */
static gboolean
close_step (GradMetrics * metrics, GradMetricsBatch * batch)
{
  if (batch->phase != GRAD_PHASE_TRAIN)
    return TRUE;
  if (batch->step.batch > 1) {  /* else those before were given up */
    batch->n_samples += metrics->open_samples;
    batch->correct += metrics->open_correct;
    batch->loss_sum += metrics->open_loss;
  }
  metrics->open_samples = batch->n_samples;
  metrics->open_correct = batch->correct;
  metrics->open_loss = batch->loss_sum;
  return !batch->step.open;
}

static void
add_step (GradMetrics * metrics, const GradMetricsBatch * batch)
{
  const GradHistoryStep step = { batch->step.number, batch->epoch, 1,
    batch->loss_sum / batch->n_samples, batch->correct / (gdouble) batch->n_samples,
    batch->step.learning_rate
  };

  if (metrics->history != NULL)
    grad_history_add_step (metrics->history, &step);
}

/* What a batch gave, in its turn. */
static void
take (GradMetrics * metrics, const GradMetricsBatch * batch, gdouble rate, gint64 now)
{
  static const gchar *const fields[] = { "phase", "epoch", "step", "samples", "loss", "accuracy",
    "learning-rate", "gradient-norm", "images-per-second", NULL
  };
  gboolean train = batch->phase == GRAD_PHASE_TRAIN;
  GradMetricsPass *pass = begin (metrics, batch, now);
  g_autoptr (GstStructure) s = NULL;

  metrics->last_batch = now;
  pass->samples += batch->n_samples;
  pass->correct += batch->correct;
  pass->loss_sum += batch->loss_sum;
  if (!batch->beside)
    metrics->samples_done += batch->n_samples * (train ? 1 : 1 / 3.);

  s = gst_structure_new ("grad-step", "phase", G_TYPE_STRING, grad_phase_to_string (batch->phase),
      "epoch", G_TYPE_UINT, batch->epoch, "epochs", G_TYPE_UINT, batch->epochs,
      "step", G_TYPE_UINT64, batch->step.number, "batch", G_TYPE_UINT, batch->batch,
      "batches", G_TYPE_UINT, batch->batches, "samples", G_TYPE_UINT, batch->n_samples,
      "loss", G_TYPE_DOUBLE, batch->loss_sum / batch->n_samples,
      "accuracy", G_TYPE_DOUBLE, batch->correct / (gdouble) batch->n_samples,
      "learning-rate", G_TYPE_DOUBLE, batch->step.learning_rate, "images-per-second", G_TYPE_DOUBLE,
      rate, "seconds-left", G_TYPE_DOUBLE, seconds_left (metrics, now), NULL);
  if (batch->step.measured != NULL)
    gst_structure_set (s, "gradient-norm", G_TYPE_DOUBLE, batch->step.measured->norm, NULL);
  if (train) {
    grad_log_add (&metrics->log, s, fields);
    remember (metrics, s);
    add_step (metrics, batch);
  }
  if (train && now - metrics->last_progress >= PROGRESS_INTERVAL) {
    g_autofree gchar *text = g_strdup_printf ("epoch %u/%u batch %u/%u loss %.4f accuracy %.3f "
        "%.0f images/s", batch->epoch, batch->epochs, batch->batch, batch->batches,
        pass->loss_sum / pass->samples, pass->correct / (gdouble) pass->samples, rate);

    post_progress (metrics, GST_PROGRESS_TYPE_CONTINUE, text);
    metrics->last_progress = now;
  }
  if (now - metrics->last_message >= MESSAGE_INTERVAL) {
    post (metrics, g_steal_pointer (&s));
    metrics->last_message = now;
  }
  if (batch->last)
    end_pass (metrics, pass);
}

static gboolean
is_there (const GradMetricsBatch * batch)
{
  return grad_tensor_is_fetched (batch->result)
      && (batch->step.measured == NULL || grad_measured_is_there (batch->step.measured));
}

/* Takes the batches whose results are there, or waits for all of them, though for no work that came later. Each gets an equal
 * share of the time. */
static void
look (GradMetrics * metrics, gboolean wait)
{
  GArray *pending = metrics->pending;
  guint64 samples = 0;
  gint64 now, from;
  gdouble rate;
  guint n = 0;

  for (; pending != NULL && n < pending->len; n++) {
    GradMetricsBatch *batch = &g_array_index (pending, GradMetricsBatch, n);

    if (!wait && !is_there (batch))
      break;
    grad_loss_result_read (batch->result, &batch->loss_sum, &batch->correct);
    if (batch->step.measured != NULL && !grad_measured_read (batch->step.measured, NULL))
      batch->step.measured->norm = NAN;
    samples += batch->n_samples;
  }
  now = metrics->last_look = g_get_monotonic_time ();
  if (n == 0)
    return;
  from = metrics->last_batch ? metrics->last_batch : now;
  rate = now > from ? samples / seconds_since (from, now) : 0;   /* nobody knows since when */
  for (guint i = 0; i < n; i++) {
    GradMetricsBatch *batch = &g_array_index (pending, GradMetricsBatch, i);

    if (close_step (metrics, batch))
      take (metrics, batch, rate, from + (now - from) * (i + 1) / n);
  }
  g_array_remove_range (pending, 0, n);
  flush_log (metrics);
}

void
grad_metrics_sync (GradMetrics * metrics)
{
  look (metrics, TRUE);
  flush_log (metrics);
}

void
grad_metrics_batch (GradMetrics * metrics, const GradSampleMeta * sample,
    const GradLossMeta * loss, const GradMetricsStep * step, gboolean beside)
{
  GradMetricsBatch batch = { sample->phase, sample->epoch, sample->epochs, sample->batch,
    sample->batches, loss->n_samples, sample->last, beside, *step, grad_tensor_ref (loss->result)
  };

  if (step->measured != NULL)
    grad_measured_ref (step->measured);
  grad_tensor_fetch (batch.result);
  if (metrics->pending == NULL) {
    metrics->pending = g_array_new (FALSE, FALSE, sizeof batch);
    g_array_set_clear_func (metrics->pending, clear_batch);
  }
  g_array_append_val (metrics->pending, batch);
  if (sample->last || metrics->pending->len >= MAX_PENDING
      || (metrics->interval ? metrics->pending->len >= metrics->interval
          : g_get_monotonic_time () - metrics->last_look >= LOOK_INTERVAL))
    look (metrics, sample->last);
}

static void
end_pass (GradMetrics * metrics, GradMetricsPass * pass)
{
  static const gchar *const fields[] =
      { "phase", "epoch", "samples", "loss", "accuracy", "seconds", NULL };
  gint64 now = metrics->last_batch;
  gboolean train = pass->phase == GRAD_PHASE_TRAIN;
  gdouble loss = pass->loss_sum / pass->samples, accuracy = pass->correct / (gdouble) pass->samples;
  GstStructure *s;

  if (!pass->active)
    return;
  pass->active = FALSE;
  s = gst_structure_new ("grad-epoch", "phase", G_TYPE_STRING, train ? "train-epoch" : "evaluate",
      "epoch", G_TYPE_UINT, pass->epoch, "samples", G_TYPE_UINT64, pass->samples, "loss", G_TYPE_DOUBLE, loss,
      "accuracy", G_TYPE_DOUBLE, accuracy, "seconds", G_TYPE_DOUBLE, seconds_since (pass->start, now), NULL);
  if (pass == &metrics->beside) {       /* no part of the training, nor of what is written of it */
    gst_structure_set (s, "beside", G_TYPE_BOOLEAN, TRUE, NULL);
    post (metrics, s);
    return;
  }
  grad_log_add (&metrics->log, s, fields);
  flush_log (metrics);
  if (metrics->history != NULL)
    grad_history_add_pass (metrics->history, pass->epoch, !train, loss, accuracy);
  if (!train)
    metrics->test_accuracy = accuracy;
  /* whoever prints an epoch wants its time as a whole */
  if (!train && metrics->epoch_start)
    gst_structure_set (s, "seconds", G_TYPE_DOUBLE, seconds_since (metrics->epoch_start, now), NULL);
  post (metrics, s);
}

void
grad_metrics_stop (GradMetrics * metrics, gboolean complete)
{
  look (metrics, TRUE);
  g_clear_pointer (&metrics->pending, g_array_unref);
  if (metrics->started) {
    if (complete) {
      end_pass (metrics, &metrics->beside);
      if (metrics->samples_done > 0)    /* else it is as it was when it was resumed */
        end_pass (metrics, &metrics->pass);
    }
    post_progress (metrics, complete ? GST_PROGRESS_TYPE_COMPLETE : GST_PROGRESS_TYPE_CANCELED,
        complete ? "trained" : "stopped");
  }
  metrics->started = metrics->pass.active = metrics->beside.active = FALSE;
  if (metrics->history != NULL)
    grad_history_end (metrics->history);
  flush_log (metrics);
  grad_log_close (&metrics->log);
}
