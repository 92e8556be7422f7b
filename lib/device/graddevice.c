/* GradStreamer: the device that tensors live on: opening, memory pool, compute thread
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "graddevice-private.h"

#include <stdlib.h>

GST_DEBUG_CATEGORY_STATIC (grad_device_debug);
#define GST_CAT_DEFAULT grad_device_debug

/* A job waits on the stack of whoever asked for it. */
typedef struct
{
  GradDeviceFunc func;
  gpointer data;
  GError **error;
  gboolean result, done;
} Job;

typedef struct
{
  gchar *name;
  GradDeviceSettings settings;  /* name points to the above */

  GMutex lock;                  /* guards the rest */
  GTree *pool;                  /* capacity -> GPtrArray of free storage */
  guint64 n_allocations;
  guint64 bytes_allocated;

  GThread *thread;
  GCond work, done;
  GQueue jobs[2];               /* normal, urgent */
  gboolean quit;
} GradDevicePrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (GradDevice, grad_device, G_TYPE_OBJECT);
#define PRIV(d) ((GradDevicePrivate *) grad_device_get_instance_private (d))

/* Storage is handed out again up to this many times larger than asked for: the last, smaller batch of an
 * epoch then allocates nothing, and a bias does not take the place of an activation. */
#define POOL_SLACK 16

static gint
compare_sizes (gconstpointer a, gconstpointer b, gpointer unused)
{
  return *(const gsize *) a < *(const gsize *) b ? -1 : *(const gsize *) a > *(const gsize *) b;
}

gpointer
grad_device_pool_get (GradDevice * device, gsize size, gsize * capacity, GError ** error)
{
  GradDevicePrivate *priv = PRIV (device);
  gpointer data = NULL;

  g_mutex_lock (&priv->lock);
  for (GTreeNode * n = g_tree_lower_bound (priv->pool, &size); n != NULL;
      n = g_tree_node_next (n)) {
    GPtrArray *list = g_tree_node_value (n);

    *capacity = *(gsize *) g_tree_node_key (n);
    if (*capacity / POOL_SLACK > size)
      break;
    if (list->len > 0) {
      data = g_ptr_array_steal_index_fast (list, list->len - 1);
      break;
    }
  }
  if (data == NULL) {
    *capacity = size;
    data = GRAD_DEVICE_GET_CLASS (device)->alloc (device, size, error);
    if (data != NULL) {
      priv->n_allocations++;
      priv->bytes_allocated += size;
    }
  }
  g_mutex_unlock (&priv->lock);
  return data;
}

void
grad_device_pool_put (GradDevice * device, gpointer data, gsize capacity)
{
  GradDevicePrivate *priv = PRIV (device);
  GPtrArray *list;

  g_mutex_lock (&priv->lock);
  list = g_tree_lookup (priv->pool, &capacity);
  if (list == NULL) {
    list = g_ptr_array_new ();
    g_tree_insert (priv->pool, g_memdup2 (&capacity, sizeof capacity), list);
  }
  g_ptr_array_add (list, data);
  g_mutex_unlock (&priv->lock);
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
    Job *job = g_queue_pop_head (&priv->jobs[1]);

    if (job == NULL)
      job = g_queue_pop_head (&priv->jobs[0]);
    if (job == NULL) {
      if (priv->quit)
        break;
      g_cond_wait (&priv->work, &priv->lock);
      continue;
    }
    g_mutex_unlock (&priv->lock);
    job->result = job->func (job->data, job->error);
    g_mutex_lock (&priv->lock);
    job->done = TRUE;
    g_cond_broadcast (&priv->done);
  }
  g_mutex_unlock (&priv->lock);
  return NULL;
}

gboolean
grad_device_call (GradDevice * device, gboolean urgent, GradDeviceFunc func, gpointer data,
    GError ** error)
{
  GradDevicePrivate *priv = PRIV (device);
  Job job = {.func = func,.data = data,.error = error };

  if (g_thread_self () == priv->thread)
    return func (data, error);

  g_object_ref (device);        /* the job must not be what drops the last reference */
  g_mutex_lock (&priv->lock);
  g_queue_push_tail (&priv->jobs[urgent ? 1 : 0], &job);
  g_cond_signal (&priv->work);
  while (!job.done)
    g_cond_wait (&priv->done, &priv->lock);
  g_mutex_unlock (&priv->lock);
  g_object_unref (device);
  return job.result;
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

static gboolean
env_precision (GradPrecision * precision, GError ** error)
{
  const gchar *env = g_getenv ("GRAD_PRECISION");
  g_autoptr (GEnumClass) klass = g_type_class_ref (GRAD_TYPE_PRECISION);
  GEnumValue *value;

  if (env == NULL || *precision != GRAD_PRECISION_AUTO)
    return TRUE;
  value = g_enum_get_value_by_nick (klass, env);
  if (value == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "GRAD_PRECISION=%s: use auto, f32, tf32 or bf16", env);
    return FALSE;
  }
  *precision = value->value;
  return TRUE;
}

static gboolean
env_threads (guint * threads, GError ** error)
{
  const gchar *env = g_getenv ("GRAD_THREADS");
  guint64 value;

  if (env == NULL || *threads != 0)
    return TRUE;
  if (!g_ascii_string_to_unsigned (env, 10, 0, 1024, &value, NULL)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "GRAD_THREADS=%s: use a number from 0 (one per processor) to 1024", env);
    return FALSE;
  }
  *threads = value;
  return TRUE;
}

/* The settings are complete, and their name that of a backend. */
static GradDevice *
open_backend (const GradDeviceSettings * settings, GError ** error)
{
  GType type = grad_backend_find (settings->name, error);
  g_autoptr (GradDevice) device = NULL;
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
  if (priv->settings.precision == GRAD_PRECISION_AUTO)
    priv->settings.precision = GRAD_PRECISION_F32;
  priv->thread = g_thread_new ("grad-compute", compute_thread, device);
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
  if (!env_precision (&resolved.precision, error) || !env_threads (&resolved.threads, error))
    return NULL;
  if (resolved.name != NULL && *resolved.name != '\0' && !g_str_equal (resolved.name, "auto"))
    return open_backend (&resolved, error);

  for (const gchar * const *name = grad_backend_candidates ();; name++) {
    g_autoptr (GError) why = NULL;
    GradDevice *device;

    resolved.name = *name;
    device = open_backend (&resolved, &why);
    if (device != NULL)
      return device;
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
 * Returns: the precision that it computes in, never auto
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

/**
 * grad_device_get_n_allocations:
 * @device: a device
 *
 * Returns: how often storage was allocated since the device was opened: constant in a steady state
 */
guint64
grad_device_get_n_allocations (GradDevice * device)
{
  GradDevicePrivate *priv = PRIV (device);
  guint64 n;

  g_mutex_lock (&priv->lock);
  n = priv->n_allocations;
  g_mutex_unlock (&priv->lock);
  return n;
}

/**
 * grad_device_get_bytes_allocated:
 * @device: a device
 *
 * Returns: bytes of storage allocated since the device was opened, in use or in the pool
 */
guint64
grad_device_get_bytes_allocated (GradDevice * device)
{
  GradDevicePrivate *priv = PRIV (device);
  guint64 n;

  g_mutex_lock (&priv->lock);
  n = priv->bytes_allocated;
  g_mutex_unlock (&priv->lock);
  return n;
}

static gboolean
free_storage (gpointer key, gpointer value, gpointer data)
{
  GPtrArray *list = value;

  for (guint i = 0; i < list->len; i++)
    GRAD_DEVICE_GET_CLASS (data)->free (data, list->pdata[i], *(gsize *) key);
  g_ptr_array_unref (list);
  return FALSE;
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
  g_tree_foreach (priv->pool, free_storage, self);
  g_tree_remove_all (priv->pool);
  G_OBJECT_CLASS (grad_device_parent_class)->dispose (object);
}

static void
grad_device_finalize (GObject * object)
{
  GradDevicePrivate *priv = PRIV (GRAD_DEVICE (object));

  g_tree_unref (priv->pool);
  g_mutex_clear (&priv->lock);
  g_cond_clear (&priv->work);
  g_cond_clear (&priv->done);
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

  priv->pool = g_tree_new_full (compare_sizes, NULL, g_free, NULL);
  g_mutex_init (&priv->lock);
  g_cond_init (&priv->work);
  g_cond_init (&priv->done);
  g_queue_init (&priv->jobs[0]);
  g_queue_init (&priv->jobs[1]);
}
