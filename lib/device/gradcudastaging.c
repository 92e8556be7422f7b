/* GradStreamer: page-locked host memory, through which data comes from and goes to a GPU at full speed
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradcudastaging.h"

#include <string.h>

#define N_UPLOADS 4
#define MAX_UPLOAD (8 << 20)    /* bytes at a time */

typedef struct _GradCudaFetch Buffer;
struct _GradCudaFetch
{
  gpointer data;
  gsize size;
  cudaEvent_t done;             /* the last copy from or to it */
};

struct _GradCudaStaging
{
  GradDevice *device;           /* not owned */
  cudaStream_t stream;

  GMutex lock;                  /* guards the rest */
  Buffer *uploads[N_UPLOADS];
  guint next_upload;
  GPtrArray *idle;              /* Buffer, the smallest first */
};

static void
buffer_free (gpointer data)
{
  Buffer *buffer = data;

  if (buffer != NULL) {
    cudaFreeHost (buffer->data);
    cudaEventDestroy (buffer->done);
    g_free (buffer);
  }
}

/* The buffer, made if there is none, with room for size bytes */
static gboolean
reserve (GradCudaStaging * self, Buffer ** buffer, gsize size, GError ** error)
{
  if (*buffer == NULL) {
    cudaEvent_t done;

    if (!grad_cuda_check (self->device, cudaEventCreateWithFlags (&done, cudaEventDisableTiming),
            "creating an event", error))
      return FALSE;
    *buffer = g_new0 (Buffer, 1);
    (*buffer)->done = done;
  }
  if ((*buffer)->size >= size)
    return TRUE;
  cudaEventSynchronize ((*buffer)->done);
  cudaFreeHost ((*buffer)->data);
  (*buffer)->size = 0;
  (*buffer)->data = NULL;
  if (cudaMallocHost (&(*buffer)->data, size) != cudaSuccess) {
    cudaGetLastError ();        /* or the next launch would report it */
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_NO_MEMORY, "out of page-locked memory for %s: %" G_GSIZE_FORMAT
        " MB asked for: lower batch-size on idxsrc or width/height on gradresize",
        grad_device_get_name (self->device), size >> 20);
    return FALSE;
  }
  (*buffer)->size = size;
  return TRUE;
}

static gboolean
copy (GradCudaStaging * self, Buffer * buffer, gpointer to, gconstpointer from, gsize size,
    enum cudaMemcpyKind kind, GError ** error)
{
  return grad_cuda_check (self->device, cudaMemcpyAsync (to, from, size, kind, self->stream),
      "copying", error)
      && grad_cuda_check (self->device, cudaEventRecord (buffer->done, self->stream),
      "recording an event", error);
}

/* With the lock */
static gboolean
upload (GradCudaStaging * self, gpointer to, gconstpointer dense, gsize size, GError ** error)
{
  Buffer **buffer = &self->uploads[self->next_upload++ % N_UPLOADS];

  if (!reserve (self, buffer, size, error)
      || !grad_cuda_check (self->device, cudaEventSynchronize ((*buffer)->done), "waiting for a copy", error))
    return FALSE;
  memcpy ((*buffer)->data, dense, size);
  return copy (self, *buffer, to, (*buffer)->data, size, cudaMemcpyHostToDevice, error);
}

gboolean
grad_cuda_staging_upload (GradCudaStaging * self, gpointer to, gconstpointer dense, gsize size,
    GError ** error)
{
  gboolean ok = TRUE;

  g_mutex_lock (&self->lock);
  for (gsize done = 0; done < size && ok; done += MAX_UPLOAD)
    ok = upload (self, (gchar *) to + done, (const gchar *) dense + done, MIN (size - done, MAX_UPLOAD), error);
  g_mutex_unlock (&self->lock);
  return ok;
}

/* The smallest that is large enough; else the largest, which is to grow; else NULL */
static Buffer *
take_idle (GradCudaStaging * self, gsize size)
{
  Buffer *buffer = NULL;
  guint i = 0;

  g_mutex_lock (&self->lock);
  while (i + 1 < self->idle->len && ((Buffer *) self->idle->pdata[i])->size < size)
    i++;
  if (i < self->idle->len)
    buffer = g_ptr_array_steal_index (self->idle, i);
  g_mutex_unlock (&self->lock);
  return buffer;
}

static void
put_idle (GradCudaStaging * self, Buffer * buffer)
{
  guint i = 0;

  g_mutex_lock (&self->lock);
  while (i < self->idle->len && ((Buffer *) self->idle->pdata[i])->size < buffer->size)
    i++;
  g_ptr_array_insert (self->idle, i, buffer);
  g_mutex_unlock (&self->lock);
}

static void
free_idle (GradCudaStaging * self)
{
  g_mutex_lock (&self->lock);
  g_ptr_array_set_size (self->idle, 0);
  g_mutex_unlock (&self->lock);
}

static gboolean
reserve_or_free (GradCudaStaging * self, Buffer ** buffer, gsize size, GError ** error)
{
  if (reserve (self, buffer, size, NULL))
    return TRUE;
  free_idle (self);
  return reserve (self, buffer, size, error);
}

GradCudaFetch *
grad_cuda_staging_fetch (GradCudaStaging * self, gconstpointer from, gsize size, GError ** error)
{
  Buffer *buffer = take_idle (self, size);

  if (reserve_or_free (self, &buffer, size, error)
      && copy (self, buffer, buffer->data, from, size, cudaMemcpyDeviceToHost, error))
    return buffer;
  if (buffer != NULL)
    put_idle (self, buffer);
  return NULL;
}

gboolean
grad_cuda_fetch_is_done (GradCudaFetch * fetch)
{
  if (cudaEventQuery (fetch->done) != cudaErrorNotReady)
    return TRUE;
  cudaGetLastError ();          /* or the next launch would report it */
  return FALSE;
}

gboolean
grad_cuda_staging_end_fetch (GradCudaStaging * self, GradCudaFetch * fetch, gpointer dense,
    gsize size, GError ** error)
{
  gboolean ok = dense == NULL
      || grad_cuda_check (self->device, cudaEventSynchronize (fetch->done), "computing", error);

  if (ok && dense != NULL)
    memcpy (dense, fetch->data, size);
  put_idle (self, fetch);
  return ok;
}

GradCudaStaging *
grad_cuda_staging_new (GradDevice * device, cudaStream_t stream)
{
  GradCudaStaging *self = g_new0 (GradCudaStaging, 1);

  self->device = device;
  self->stream = stream;
  g_mutex_init (&self->lock);
  self->idle = g_ptr_array_new_with_free_func (buffer_free);
  return self;
}

void
grad_cuda_staging_free (GradCudaStaging * self)
{
  for (guint i = 0; i < N_UPLOADS; i++)
    buffer_free (self->uploads[i]);
  g_ptr_array_unref (self->idle);
  g_mutex_clear (&self->lock);
  g_free (self);
}
