/* GradStreamer: the device that tensors live on: opening, turns, compute thread
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "gradruns.h"

#include <stdlib.h>

GST_DEBUG_CATEGORY_STATIC (grad_device_debug);
#define GST_CAT_DEFAULT grad_device_debug

/* A job waits on the stack of whoever asked for it. */
typedef struct
{
  GradDeviceFunc func;
  gpointer data;
  GError **error;
  gboolean here;                /* it runs in the thread that asked for it, else in the compute thread */
  gboolean part;                /* of another one, which has the turn */
  gboolean result, turn, done;
} Job;

typedef struct
{
  gchar *name;
  GradDeviceSettings settings;  /* name points to the above */

  GradDevicePool *pool;
  GPtrArray *runs;              /* of GradRuns, not owned; of jobs */

  GThread *thread;
  GMutex lock;                  /* guards the rest */
  GCond work, progress;
  GQueue jobs[2];               /* normal, urgent; that wait for their turn */
  gboolean busy;                /* some job has the turn */
  Job *job;                     /* for the compute thread */
  gboolean quit;
} GradDevicePrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (GradDevice, grad_device, G_TYPE_OBJECT);
#define PRIV(d) ((GradDevicePrivate *) grad_device_get_instance_private (d))

static _Thread_local GradDevice *current;

GradDevice *
grad_device_peek_current (void)
{
  return current;
}

static void
run (GradDevice * device, Job * job)
{
  GradDevice *outer = current;
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (device);

  if (job->here && klass->enter_thread)
    klass->enter_thread (device);
  current = device;
  job->result = job->func (job->data, job->error);
  current = outer;
}

/* with the lock held */
static void
give_turn (GradDevicePrivate * priv, Job * job)
{
  priv->busy = TRUE;
  job->turn = TRUE;
  if (!job->here) {
    priv->job = job;
    g_cond_signal (&priv->work);
  }
}

/* with the lock held */
static void
end_turn (GradDevicePrivate * priv)
{
  Job *next = g_queue_pop_head (&priv->jobs[1]);

  if (next == NULL)
    next = g_queue_pop_head (&priv->jobs[0]);
  priv->busy = FALSE;
  if (next == NULL)
    return;
  give_turn (priv, next);
  if (next->here)
    g_cond_broadcast (&priv->progress);
}

static gpointer
compute_thread (gpointer data)
{
  GradDevice *device = data;    /* joined before the device goes */
  GradDevicePrivate *priv = PRIV (device);
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (device);

  if (klass->enter_thread)
    klass->enter_thread (device);
  g_mutex_lock (&priv->lock);
  while (TRUE) {
    Job *job = g_steal_pointer (&priv->job);

    if (job == NULL) {
      if (priv->quit)
        break;
      g_cond_wait (&priv->work, &priv->lock);
      continue;
    }
    g_mutex_unlock (&priv->lock);
    run (device, job);
    g_mutex_lock (&priv->lock);
    job->done = TRUE;
    g_cond_broadcast (&priv->progress);
    if (!job->part)
      end_turn (priv);
  }
  g_mutex_unlock (&priv->lock);
  return NULL;
}

gboolean
grad_device_call (GradDevice * device, gboolean urgent, GradDeviceFunc func, gpointer data,
    GError ** error)
{
  GradDevicePrivate *priv = PRIV (device);
  Job job = {.func = func,.data = data,.error = error,
    .here = GRAD_DEVICE_GET_CLASS (device)->any_thread >= (urgent ? GRAD_DEVICE_JOBS_URGENT : GRAD_DEVICE_JOBS_ALL)
  };

  if (current == device)
    return func (data, error);

  g_object_ref (device);        /* the job must not be what drops the last reference */
  g_mutex_lock (&priv->lock);
  if (priv->busy)
    g_queue_push_tail (&priv->jobs[urgent ? 1 : 0], &job);
  else
    give_turn (priv, &job);
  while (!(job.here ? job.turn : job.done))
    g_cond_wait (&priv->progress, &priv->lock);
  if (job.here) {
    g_mutex_unlock (&priv->lock);
    run (device, &job);
    g_mutex_lock (&priv->lock);
    end_turn (priv);
  }
  g_mutex_unlock (&priv->lock);
  g_object_unref (device);
  return job.result;
}

gboolean
grad_device_call_compute_thread (GradDevice * device, GradDeviceFunc func, gpointer data,
    GError ** error)
{
  GradDevicePrivate *priv = PRIV (device);
  Job job = {.func = func,.data = data,.error = error,.part = TRUE };

  g_assert (current == device);
  if (g_thread_self () == priv->thread)
    return func (data, error);

  g_mutex_lock (&priv->lock);
  give_turn (priv, &job);
  while (!job.done)
    g_cond_wait (&priv->progress, &priv->lock);
  g_mutex_unlock (&priv->lock);
  return job.result;
}

static gboolean
settle_job (gpointer device, GError ** error)
{
  return GRAD_DEVICE_GET_CLASS (device)->settle (device, error);
}

gboolean
grad_device_settle (GradDevice * device, GError ** error)
{
  return GRAD_DEVICE_GET_CLASS (device)->settle == NULL || grad_device_call (device, FALSE, settle_job, device, error);
}

GradDevicePool *
grad_device_peek_pool (GradDevice * device)
{
  return PRIV (device)->pool;
}

GPtrArray *
grad_device_peek_runs (GradDevice * device)
{
  return PRIV (device)->runs;
}

const GradDeviceSettings *
grad_device_settings (GradDevice * device)
{
  return &PRIV (device)->settings;
}

void
grad_device_set_threads (GradDevice * device, guint threads)
{
  PRIV (device)->settings.threads = threads;
}

void
grad_device_set_precision (GradDevice * device, GradPrecision precision)
{
  PRIV (device)->settings.precision = precision;
}

const GradKernels *
grad_device_kernels (GradDevice * device)
{
  return GRAD_DEVICE_GET_CLASS (device)->kernels;
}

/* The settings are complete, and their name that of a backend. */
static GradDevice *
open_backend (const GradDeviceSettings * settings, GError ** error)
{
  GType type = grad_backend_find (settings->name, error);
  g_autoptr (GradDevice) device = NULL;
  g_autoptr (GError) why = NULL;
  GradDevicePrivate *priv;

  if (type == G_TYPE_INVALID)
    return NULL;
  device = g_object_new (type, NULL);
  priv = PRIV (device);
  priv->settings = *settings;
  priv->settings.name = priv->name = g_strdup (settings->name);
  if (priv->settings.threads == 0)
    priv->settings.threads = g_get_num_processors ();
  if (!GRAD_DEVICE_GET_CLASS (device)->open (device, error))
    return NULL;
  if (priv->settings.precision <= GRAD_PRECISION_AUTO)
    priv->settings.precision = GRAD_PRECISION_F32;
  priv->thread = g_thread_try_new ("grad-compute", compute_thread, device, &why);
  if (priv->thread == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_DEVICE, "cannot start a thread: %s", why->message);
    return NULL;
  }
  GST_INFO ("opened device %s, %u threads", priv->name, priv->settings.threads);
  return g_steal_pointer (&device);
}

/**
 * grad_device_open:
 * @settings: what to open
 * @error: location of a #GError
 *
 * Opens a device. "auto" takes a GPU that works, else the CPU; a device asked for by name is that device
 * or an error.
 *
 * Returns: (transfer full) (nullable): the device, or %NULL with %GRAD_ERROR_DEVICE,
 *   %GRAD_ERROR_SETTINGS or %GRAD_ERROR_UNSUPPORTED
 */
GradDevice *
grad_device_open (const GradDeviceSettings * settings, GError ** error)
{
  GradDeviceSettings resolved = *settings;

  if (resolved.name == NULL || g_str_equal (resolved.name, "auto"))
    resolved.name = g_getenv ("GRAD_DEVICE");
  if (!grad_device_settings_complete (&resolved, error))
    return NULL;
  if (resolved.name != NULL && *resolved.name != '\0' && !g_str_equal (resolved.name, "auto"))
    return open_backend (&resolved, error);

  for (const gchar * const *name = grad_backend_candidates ();; name++) {
    g_autoptr (GError) why = NULL;
    GradDevice *device;

    resolved.name = *name;
    device = open_backend (&resolved, &why);
    if (device != NULL) {
      if (!g_str_equal (*grad_backend_candidates (), "cuda"))
        GST_INFO ("not computing on cuda: there is no NVIDIA driver here");
      return device;
    }
    if (name[1] == NULL) {
      g_propagate_error (error, g_steal_pointer (&why));
      return NULL;
    }
    GST_INFO ("not computing on %s: %s", *name, why->message);
  }
}

/**
 * grad_device_get_name:
 * @device: a device
 *
 * Returns: (transfer none): "cpu", "ref", …
 */
const gchar *
grad_device_get_name (GradDevice * device)
{
  return PRIV (device)->name;
}

/**
 * grad_device_get_precision:
 * @device: a device
 *
 * Returns: the precision that it computes in, neither default nor auto
 */
GradPrecision
grad_device_get_precision (GradDevice * device)
{
  return PRIV (device)->settings.precision;
}

/**
 * grad_device_get_threads:
 * @device: a device
 *
 * Returns: number of compute threads
 */
guint
grad_device_get_threads (GradDevice * device)
{
  return PRIV (device)->settings.threads;
}

static void
grad_device_dispose (GObject * object)
{
  GradDevice *self = GRAD_DEVICE (object);
  GradDevicePrivate *priv = PRIV (self);

  if (priv->thread != NULL) {
    g_mutex_lock (&priv->lock);
    priv->quit = TRUE;
    g_cond_signal (&priv->work);
    g_mutex_unlock (&priv->lock);
    g_thread_join (g_steal_pointer (&priv->thread));
  }
  grad_device_pool_clear (self);
  G_OBJECT_CLASS (grad_device_parent_class)->dispose (object);
}

static void
grad_device_finalize (GObject * object)
{
  GradDevicePrivate *priv = PRIV (GRAD_DEVICE (object));

  grad_device_pool_free (priv->pool);
  g_ptr_array_unref (priv->runs);
  g_mutex_clear (&priv->lock);
  g_cond_clear (&priv->work);
  g_cond_clear (&priv->progress);
  g_free (priv->name);
  G_OBJECT_CLASS (grad_device_parent_class)->finalize (object);
}

static void
grad_device_class_init (GradDeviceClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_device_debug, "graddevice", 0, "GradStreamer devices");
  object_class->dispose = grad_device_dispose;
  object_class->finalize = grad_device_finalize;
}

static void
grad_device_init (GradDevice * self)
{
  GradDevicePrivate *priv = PRIV (self);

  priv->pool = grad_device_pool_new ();
  priv->runs = g_ptr_array_new ();
  g_mutex_init (&priv->lock);
  g_cond_init (&priv->work);
  g_cond_init (&priv->progress);
  g_queue_init (&priv->jobs[0]);
  g_queue_init (&priv->jobs[1]);
}
