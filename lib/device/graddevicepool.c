/* GradStreamer: a device's pool of storage
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradruns.h"

struct _GradDevicePool
{
  GMutex lock;                  /* guards the rest */
  GTree *free;                  /* capacity -> GPtrArray of free storage */
  guint64 n_allocations;
  guint64 bytes_allocated;

  gboolean fixed;               /* see grad_device_pool_new_fixed() */
  GradDevicePool *aside;        /* see grad_device_pool_get_aside() */
};

/* Storage is handed out again up to this many times larger than asked for: the last, smaller batch of an
 * epoch then allocates nothing, and a bias does not take the place of an activation. */
#define POOL_SLACK 16

static gint
compare_sizes (gconstpointer a, gconstpointer b, gpointer unused)
{
  return *(const gsize *) a < *(const gsize *) b ? -1 : *(const gsize *) a > *(const gsize *) b;
}

/* The thread's own, see grad_device_pool_keep() */
typedef struct
{
  GradDevice *device;
  GradDevicePool *pool;
} Kept;

static _Thread_local Kept kept;

/* In a job: what the device holds on to, and need not, goes to the pool. */
static void
give_all_back (GradDevice * device)
{
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (device);
  Kept now = kept;

  if (grad_device_peek_current () != device || (now.pool != NULL && now.pool->fixed))
    return;
  kept = (Kept) { NULL };       /* to the device's own */
  grad_device_settle (device, NULL);
  grad_runs_drop_recordings (device);
  if (klass->trim != NULL && now.device != device)
    klass->trim (device);
  kept = now;
}

/* Outside of a job only the pool is cleared. */
static gboolean
make_room (gpointer device, GError ** error)
{
  give_all_back (device);
  grad_device_pool_clear (device);
  return TRUE;
}

void
grad_device_make_room (GradDevice * device)
{
  grad_device_call (device, FALSE, make_room, device, NULL);
}

gpointer
grad_device_storage_new (GradDevice * device, gsize size, GError ** error)
{
  GradDevicePool *self = grad_device_peek_pool (device);
  gpointer data = GRAD_DEVICE_GET_CLASS (device)->alloc (device, size, NULL);

  if (data == NULL) {           /* what lies in the pool may be too small for anything that is still to come */
    make_room (device, NULL);
    data = GRAD_DEVICE_GET_CLASS (device)->alloc (device, size, error);
  }
  if (data != NULL) {
    g_mutex_lock (&self->lock);
    self->n_allocations++;
    self->bytes_allocated += size;
    g_mutex_unlock (&self->lock);
  }
  return data;
}

void
grad_device_storage_free (GradDevice * device, gpointer data, gsize size)
{
  GradDevicePool *self = grad_device_peek_pool (device);

  GRAD_DEVICE_GET_CLASS (device)->free (device, data, size);
  g_mutex_lock (&self->lock);
  self->bytes_allocated -= size;
  g_mutex_unlock (&self->lock);
}

void
grad_device_pool_keep (GradDevice * device, GradDevicePool * pool)
{
  kept = (Kept) { device, pool };
}

GradDevicePool *
grad_device_pool_peek_kept (GradDevice * device)
{
  return kept.device == device ? kept.pool : NULL;
}

static gpointer
take (GradDevicePool * self, gsize size, gsize * capacity)
{
  gpointer data = NULL;

  g_mutex_lock (&self->lock);
  for (GTreeNode * n = g_tree_lower_bound (self->free, &size); n != NULL;
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
  g_mutex_unlock (&self->lock);
  return data;
}

static void
give (GradDevicePool * self, gpointer data, gsize capacity)
{
  GPtrArray *list;

  g_mutex_lock (&self->lock);
  list = g_tree_lookup (self->free, &capacity);
  if (list == NULL) {
    list = g_ptr_array_new ();
    g_tree_insert (self->free, g_memdup2 (&capacity, sizeof capacity), list);
  }
  g_ptr_array_add (list, data);
  g_mutex_unlock (&self->lock);
}

gpointer
grad_device_pool_get (GradDevice * device, gsize size, gsize * capacity, GError ** error)
{
  GradDevicePool *self = kept.device == device ? kept.pool : grad_device_peek_pool (device);
  gpointer data = take (self, size, capacity);

  if (data == NULL && self->fixed)
    data = take (grad_device_peek_pool (device), size, capacity);
  if (data == NULL) {
    *capacity = size;
    data = grad_device_storage_new (device, size, error);
  }
  return data;
}

void
grad_device_pool_put (GradDevice * device, gpointer data, gsize capacity)
{
  give (kept.device == device ? kept.pool : grad_device_peek_pool (device), data, capacity);
}

static gboolean
give_storage (gpointer key, gpointer value, gpointer pool)
{
  GPtrArray *list = value;

  for (guint i = 0; i < list->len; i++)
    give (pool, list->pdata[i], *(gsize *) key);
  g_ptr_array_unref (list);
  return FALSE;
}

void
grad_device_pool_merge (GradDevice * device, GradDevicePool * other)
{
  g_tree_foreach (other->free, give_storage, grad_device_peek_pool (device));
  if (other->aside != NULL)
    grad_device_pool_merge (device, g_steal_pointer (&other->aside));
  grad_device_pool_free (other);
}

static gboolean
free_storage (gpointer key, gpointer value, gpointer data)
{
  GPtrArray *list = value;
  gsize size = *(gsize *) key;

  for (guint i = 0; i < list->len; i++)
    GRAD_DEVICE_GET_CLASS (data)->free (data, list->pdata[i], size);
  grad_device_peek_pool (data)->bytes_allocated -= list->len * size;
  g_ptr_array_unref (list);
  return FALSE;
}

void
grad_device_pool_clear (GradDevice * device)
{
  GradDevicePool *self = grad_device_peek_pool (device);

  g_mutex_lock (&self->lock);
  g_tree_foreach (self->free, free_storage, device);
  g_tree_remove_all (self->free);
  g_mutex_unlock (&self->lock);
}

GradDevicePool *
grad_device_pool_new (void)
{
  GradDevicePool *self = g_new0 (GradDevicePool, 1);

  g_mutex_init (&self->lock);
  self->free = g_tree_new_full (compare_sizes, NULL, g_free, NULL);
  return self;
}

GradDevicePool *
grad_device_pool_new_fixed (void)
{
  GradDevicePool *self = grad_device_pool_new ();

  self->fixed = TRUE;
  return self;
}

GradDevicePool *
grad_device_pool_get_aside (GradDevicePool * pool)
{
  if (pool->aside == NULL)
    pool->aside = grad_device_pool_new_fixed ();
  return pool->aside;
}

void
grad_device_pool_free (GradDevicePool * self)
{
  g_clear_pointer (&self->aside, grad_device_pool_free);
  g_tree_unref (self->free);
  g_mutex_clear (&self->lock);
  g_free (self);
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
  GradDevicePool *self = grad_device_peek_pool (device);
  guint64 n;

  g_mutex_lock (&self->lock);
  n = self->n_allocations;
  g_mutex_unlock (&self->lock);
  return n;
}

/**
 * grad_device_get_bytes_allocated:
 * @device: a device
 *
 * Returns: bytes of storage, in use or in the pool
 */
guint64
grad_device_get_bytes_allocated (GradDevice * device)
{
  GradDevicePool *self = grad_device_peek_pool (device);
  guint64 n;

  g_mutex_lock (&self->lock);
  n = self->bytes_allocated;
  g_mutex_unlock (&self->lock);
  return n;
}
