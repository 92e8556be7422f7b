/* GradStreamer: frames of video to classifications, while the video goes on
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A thread takes the newest frame when it is done with the last one, so that a slow network skips frames and never holds up
 * the video. The same thread reads model files again. What is classified with is changed and used under a lock of its own. */
#include "gradframeclassifier.h"
#include "../model/gradclassifier.h"

#include <glib/gstdio.h>
#include <string.h>

/* How often it is looked whether the model file was replaced */
#define POLL_INTERVAL (500 * G_TIME_SPAN_MILLISECOND)
#define RETRY_INTERVAL G_TIME_SPAN_SECOND

struct _GradFrameClassifier
{
  GradDevice *device;           /* owned */
  GradFrameClassifierFunc func;
  gpointer data;
  GThread *thread;

  GMutex lock;                  /* guards the following */
  GCond work;
  gboolean quit, reload;
  GradFrameClassifierSettings settings;
  GstBuffer *frame;             /* that waits */
  GstVideoInfo info;
  gint64 submitted;             /* monotonic time */
  GradClassification *latest;
  guint flushes;

  GMutex running;               /* guards the following; taken before the other one */
  GradClassifier *classifier;
  GradFrameReader *reader;
  GradRegion reader_region;
  gfloat *probabilities, *smoothed;     /* (K) */
  guint smoothed_flushes;
  gboolean has_smoothed;
  gint64 refreshed, retry;      /* monotonic times: of the last look at a network, when it is worth the next try */

  GStatBuf file;                /* of the model that was read last; of the thread */
};

void
grad_frame_classifier_settings_copy (GradFrameClassifierSettings * to,
    const GradFrameClassifierSettings * from)
{
  *to = *from;
  to->location = g_strdup (from->location);
  to->class_names = g_strdupv (from->class_names);
  if (to->network != NULL)
    g_object_ref (to->network);
}

void
grad_frame_classifier_settings_clear (GradFrameClassifierSettings * settings)
{
  g_clear_pointer (&settings->location, g_free);
  g_clear_pointer (&settings->class_names, g_strfreev);
  g_clear_object (&settings->network);
}

/* with running held */
static void
use (GradFrameClassifier * self, GradClassifier * classifier)
{
  guint n = grad_classifier_get_n_classes (classifier);

  g_set_object (&self->classifier, classifier);
  g_clear_pointer (&self->reader, grad_frame_reader_free);
  self->probabilities = g_renew (gfloat, self->probabilities, n);
  self->smoothed = g_renew (gfloat, self->smoothed, n);
  self->has_smoothed = FALSE;
}

/* A first picture, so that all is planned before a frame waits for it. */
static gboolean
warm_up (GradClassifier * classifier, GradDevice * device, GError ** error)
{
  const GradModelInput *input =
      grad_model_get_input (grad_classifier_get_model (classifier));
  GradShape shape = GRAD_SHAPE (1, input->channels, input->height, input->width);
  gsize size = grad_shape_n_elements (&shape) * sizeof (gfloat);
  g_autofree gfloat *black = g_try_malloc0 (size);
  g_autoptr (GradTensor) picture = black ? grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &shape, error) : NULL;
  g_autofree gfloat *probabilities = g_new (gfloat, grad_classifier_get_n_classes (classifier));

  if (black == NULL)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_NO_MEMORY, "no memory for a picture of %dx%d", input->width, input->height);
  return picture != NULL && grad_tensor_upload (picture, black, size, error)
      && grad_classifier_run (classifier, picture, probabilities, error);
}

/* Reads the model file and goes over to it. */
static gboolean
load (GradFrameClassifier * self, const gchar * location, GError ** error)
{
  g_autoptr (GradModel) model = NULL;
  g_autoptr (GradClassifier) classifier = NULL;

  memset (&self->file, 0, sizeof self->file);
  g_stat (location, &self->file);
  model = grad_model_open (location, error);
  if (model == NULL)
    return FALSE;
  classifier = grad_classifier_get (model, self->device, error);
  if (classifier == NULL || !warm_up (classifier, self->device, error))
    return FALSE;
  g_mutex_lock (&self->running);
  use (self, classifier);
  g_mutex_unlock (&self->running);
  return TRUE;
}

static gboolean
was_replaced (GradFrameClassifier * self, const gchar * location)
{
  GStatBuf now;

  return g_stat (location, &now) == 0 && (now.st_ino != self->file.st_ino
      || now.st_size != self->file.st_size || now.st_mtim.tv_sec != self->file.st_mtim.tv_sec
      || now.st_mtim.tv_nsec != self->file.st_mtim.tv_nsec);
}

/* Of a network in training: takes its parameters of this moment, if the time has come. With running held. */
static gboolean
look_at_network (GradFrameClassifier * self, GradNetwork * network, GstClockTime refresh,
    GError ** error)
{
  gint64 now = g_get_monotonic_time ();

  if (self->classifier == NULL || grad_classifier_get_network (self->classifier) != network) {
    g_autoptr (GradModel) model = grad_network_get_model (network);
    g_autoptr (GradClassifier) classifier = NULL;

    if (self->classifier != NULL) {     /* what another network saw holds no longer */
      g_clear_object (&self->classifier);
      g_mutex_lock (&self->lock);
      g_clear_pointer (&self->latest, grad_classification_unref);
      g_mutex_unlock (&self->lock);
    }
    if (model == NULL || now < self->retry)     /* nothing has been trained yet, or it cannot be used */
      return TRUE;
    self->retry = now + RETRY_INTERVAL;
    classifier = grad_classifier_new_live (network, self->device, error);
    if (classifier == NULL || !warm_up (classifier, self->device, error))
      return FALSE;
    self->retry = 0;
    use (self, classifier);
  } else if ((guint64) (now - self->refreshed) * GST_USECOND < refresh)
    return TRUE;
  self->refreshed = now;
  return grad_classifier_refresh (self->classifier, error);
}

static gboolean
compute (GradFrameClassifier * self, GradRegion region, GstBuffer * frame,
    const GstVideoInfo * info, GError ** error)
{
  GradModel *model = grad_classifier_get_model (self->classifier);
  g_autoptr (GradTensor) pictures = NULL;

  if (self->reader == NULL || self->reader_region != region) {
    g_clear_pointer (&self->reader, grad_frame_reader_free);
    self->reader = grad_frame_reader_new (self->device, grad_model_get_input (model), region);
    self->reader_region = region;
  }
  pictures = grad_frame_reader_read (self->reader, &frame, info, 1, error);
  return pictures != NULL
      && grad_classifier_run (self->classifier, pictures, self->probabilities, error);
}

/* p = s p(before) + (1 - s) p(now) */
static const gfloat *
smooth (GradFrameClassifier * self, gfloat smoothing, guint flushes)
{
  guint n = grad_classifier_get_n_classes (self->classifier);
  gfloat old = self->has_smoothed && self->smoothed_flushes == flushes ? smoothing : 0;

  for (guint i = 0; i < n; i++)
    self->smoothed[i] = old > 0 ? old * self->smoothed[i] + (1 - old) * self->probabilities[i]
        : self->probabilities[i];
  self->has_smoothed = TRUE;
  self->smoothed_flushes = flushes;
  return self->smoothed;
}

/* @flushes is the count when the frame was taken: what came before a flush is not told after it */
static gboolean
classify (GradFrameClassifier * self, GstBuffer * frame, const GstVideoInfo * info, gint64 from,
    guint flushes, GradClassification ** result, GError ** error)
{
  g_autoptr (GMutexLocker) running = g_mutex_locker_new (&self->running);
  g_auto (GradFrameClassifierSettings) settings = { NULL };
  GradClassifier *before = self->classifier;
  GradModel *model;

  *result = NULL;
  g_mutex_lock (&self->lock);
  grad_frame_classifier_settings_copy (&settings, &self->settings);
  g_mutex_unlock (&self->lock);

  if (settings.network != NULL
      && !look_at_network (self, settings.network, settings.refresh, error))
    return FALSE;
  if (self->classifier != before)       /* its making is not the frame's latency */
    from = g_get_monotonic_time ();
  if (self->classifier == NULL
      || (settings.network && grad_classifier_get_version (self->classifier) == 0))
    return TRUE;                /* nothing has been learnt yet */
  if (!compute (self, settings.region, frame, info, error))
    return FALSE;
  model = grad_classifier_get_model (self->classifier);
  *result = grad_classification_new (smooth (self, settings.smoothing, flushes),
      grad_classifier_get_n_classes (self->classifier),
      settings.class_names ? (const gchar * const *) settings.class_names
      : grad_model_get_class_names (model), settings.top_k, settings.threshold,
      GST_BUFFER_PTS (frame), (g_get_monotonic_time () - from) * GST_USECOND,
      grad_classifier_get_version (self->classifier));

  g_mutex_lock (&self->lock);
  if (flushes == self->flushes) {
    g_clear_pointer (&self->latest, grad_classification_unref);
    self->latest = grad_classification_ref (*result);
  } else
    g_clear_pointer (result, grad_classification_unref);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

gboolean
grad_frame_classifier_run (GradFrameClassifier * self, GstBuffer * frame,
    const GstVideoInfo * info, GradClassification ** result, GError ** error)
{
  guint flushes;

  g_mutex_lock (&self->lock);
  flushes = self->flushes;
  g_mutex_unlock (&self->lock);
  return classify (self, frame, info, g_get_monotonic_time (), flushes, result, error);
}

/* with the lock held, which is let go of meanwhile */
static void
work_on_frame (GradFrameClassifier * self)
{
  g_autoptr (GstBuffer) frame = g_steal_pointer (&self->frame);
  g_autoptr (GradClassification) result = NULL;
  g_autoptr (GError) error = NULL;
  GstVideoInfo info = self->info;
  gint64 from = self->submitted;
  guint flushes = self->flushes;

  g_mutex_unlock (&self->lock);
  classify (self, frame, &info, from, flushes, &result, &error);
  if (result != NULL || error != NULL)
    self->func (self->data, result, error);
  g_clear_pointer (&frame, gst_buffer_unref);
  g_mutex_lock (&self->lock);
}

static void
work_on_file (GradFrameClassifier * self)
{
  g_autofree gchar *location = g_strdup (self->settings.location);
  g_autoptr (GError) error = NULL;
  gboolean again = self->reload;

  self->reload = FALSE;
  g_mutex_unlock (&self->lock);
  if (location != NULL && (again || was_replaced (self, location))
      && !load (self, location, &error))
    self->func (self->data, NULL, error);
  g_mutex_lock (&self->lock);
}

static gpointer
work (gpointer data)
{
  GradFrameClassifier *self = data;
  gint64 poll = g_get_monotonic_time () + POLL_INTERVAL;

  g_mutex_lock (&self->lock);
  while (!self->quit)
    if (self->reload || (self->settings.location && g_get_monotonic_time () >= poll)) {
      work_on_file (self);
      poll = g_get_monotonic_time () + POLL_INTERVAL;
    } else if (self->frame != NULL)
      work_on_frame (self);
    else if (self->settings.location)
      g_cond_wait_until (&self->work, &self->lock, poll);
    else
      g_cond_wait (&self->work, &self->lock);
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* Of what is set to begin with; while it plays, a model and its names come one after the other. */
static gboolean
check_names (GradFrameClassifier * self, GError ** error)
{
  gchar **names = self->settings.class_names;
  guint n = grad_classifier_get_n_classes (self->classifier);

  if (names == NULL || g_strv_length (names) == n)
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "class-names has %u names, but the model has %u classes",
      g_strv_length (names), n);
  return FALSE;
}

GradFrameClassifier *
grad_frame_classifier_new (GradDevice * device, const GradFrameClassifierSettings * settings,
    GradFrameClassifierFunc func, gpointer data, GError ** error)
{
  GradFrameClassifier *self = g_new0 (GradFrameClassifier, 1);

  self->device = g_object_ref (device);
  self->func = func;
  self->data = data;
  g_mutex_init (&self->lock);
  g_mutex_init (&self->running);
  g_cond_init (&self->work);
  grad_frame_classifier_settings_copy (&self->settings, settings);
  if (self->settings.location != NULL && (!load (self, self->settings.location, error) || !check_names (self, error))) {
    grad_frame_classifier_free (self);
    return NULL;
  }
  self->thread = g_thread_new ("grad-classify", work, self);
  return self;
}

void
grad_frame_classifier_free (GradFrameClassifier * self)
{
  g_mutex_lock (&self->lock);
  self->quit = TRUE;
  g_cond_signal (&self->work);
  g_mutex_unlock (&self->lock);
  if (self->thread != NULL)
    g_thread_join (self->thread);
  gst_clear_buffer (&self->frame);
  g_clear_pointer (&self->latest, grad_classification_unref);
  g_clear_pointer (&self->reader, grad_frame_reader_free);
  g_clear_object (&self->classifier);
  grad_frame_classifier_settings_clear (&self->settings);
  g_free (self->probabilities);
  g_free (self->smoothed);
  g_mutex_clear (&self->lock);
  g_mutex_clear (&self->running);
  g_cond_clear (&self->work);
  g_object_unref (self->device);
  g_free (self);
}

void
grad_frame_classifier_configure (GradFrameClassifier * self,
    const GradFrameClassifierSettings * settings)
{
  g_mutex_lock (&self->lock);
  self->reload |= g_strcmp0 (self->settings.location, settings->location) != 0;
  grad_frame_classifier_settings_clear (&self->settings);
  grad_frame_classifier_settings_copy (&self->settings, settings);
  g_cond_signal (&self->work);
  g_mutex_unlock (&self->lock);
}

gboolean
grad_frame_classifier_submit (GradFrameClassifier * self, GstBuffer * frame,
    const GstVideoInfo * info)
{
  gboolean skipped;

  g_mutex_lock (&self->lock);
  skipped = self->frame != NULL;
  gst_buffer_replace (&self->frame, frame);
  self->info = *info;
  self->submitted = g_get_monotonic_time ();
  g_cond_signal (&self->work);
  g_mutex_unlock (&self->lock);
  return skipped;
}

GradClassification *
grad_frame_classifier_get_latest (GradFrameClassifier * self)
{
  GradClassification *latest;

  g_mutex_lock (&self->lock);
  latest = self->latest ? grad_classification_ref (self->latest) : NULL;
  g_mutex_unlock (&self->lock);
  return latest;
}

void
grad_frame_classifier_flush (GradFrameClassifier * self)
{
  g_mutex_lock (&self->lock);
  gst_clear_buffer (&self->frame);
  g_clear_pointer (&self->latest, grad_classification_unref);
  self->flushes++;
  g_mutex_unlock (&self->lock);
}
