/* GradStreamer: a GPU's second stream, for what nobody waits for yet
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Backward is a chain of gradients of activations, and weight gradients that nothing in it waits for. Small layers do not fill a
 * GPU, and batch norms leave its arithmetic idle: there the second stream has its turn, at a lower priority. It holds on to
 * what it reads until the main stream has waited for it. Scratch memory is its own: what other threads have given back to the
 * device's pool meanwhile may still be in use on the main stream, which they share. When a thread records, the second stream is
 * recorded with it. */
#include "gradcudaside.h"
#include "graddevicepool-private.h"
#include "../tensor/gradtensor-private.h"

struct _GradCudaSide
{
  GradDevice *device;           /* not owned */
  cudaStream_t main, stream;
  cudaStream_t recording;       /* between begin and end: that the thread is recorded on, NULL: it is not */
  cudaEvent_t begun, done;
  GradDevicePool *pool;
  GradDevicePool *outer;        /* between begin and end: what the thread has kept until then, NULL: nothing */
  GPtrArray *tensors;           /* held (grad_tensor_hold); empty: nothing is to be settled */
};

GradCudaSide *
grad_cuda_side_new (GradDevice * device, cudaStream_t stream, GError ** error)
{
  GradCudaSide *self = g_new0 (GradCudaSide, 1);

  self->device = device;
  self->main = stream;
  self->pool = grad_device_pool_new ();
  self->tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_tensor_release);
  if (grad_cuda_check (device, cudaStreamCreateWithPriority (&self->stream, cudaStreamNonBlocking, 0), "creating a stream", error)
      && grad_cuda_check (device, cudaEventCreateWithFlags (&self->begun, cudaEventDisableTiming), "creating an event", error)
      && grad_cuda_check (device, cudaEventCreateWithFlags (&self->done, cudaEventDisableTiming), "creating an event", error))
    return self;
  grad_cuda_side_free (self);
  return NULL;
}

/* `second` waits for all that `first` was asked for. */
static gboolean
order (GradCudaSide * self, cudaStream_t first, cudaEvent_t event, cudaStream_t second, GError ** error)
{
  return grad_cuda_check (self->device, cudaEventRecord (event, first), "recording an event", error)
      && grad_cuda_check (self->device, cudaStreamWaitEvent (second, event, 0), "waiting for an event", error);
}

gboolean
grad_cuda_side_begin (GradCudaSide * self, GError ** error)
{
  cudaStream_t main = grad_cuda_device_stream (self->device);

  if (!order (self, main, self->begun, self->stream, error))
    return FALSE;
  self->recording = main != self->main ? main : NULL;
  self->outer = grad_device_pool_peek_kept (self->device);
  if (!grad_cuda_device_use_stream (self->device, self->stream, error)) {
    grad_cuda_device_use_stream (self->device, self->recording, NULL);
    return FALSE;
  }
  grad_device_pool_keep (self->device, self->outer ? grad_device_pool_get_aside (self->outer) : self->pool);
  return TRUE;
}

gboolean
grad_cuda_side_end (GradCudaSide * self, const GradTensor * a, const GradTensor * b, GError ** error)
{
  grad_device_pool_keep (self->outer ? self->device : NULL, self->outer);
  g_ptr_array_add (self->tensors, grad_tensor_hold ((GradTensor *) a));
  g_ptr_array_add (self->tensors, grad_tensor_hold ((GradTensor *) b));
  return grad_cuda_device_use_stream (self->device, self->recording, error);
}

gboolean
grad_cuda_side_settle (GradCudaSide * self, GError ** error)
{
  gboolean ok;

  if (self->tensors->len == 0)
    return TRUE;
  ok = order (self, self->stream, self->done, grad_cuda_device_stream (self->device), error);
  g_ptr_array_set_size (self->tensors, 0);
  return ok;
}

void
grad_cuda_side_trim (GradCudaSide * self)
{
  grad_device_pool_merge (self->device, self->pool);
  self->pool = grad_device_pool_new ();
}

void
grad_cuda_side_free (GradCudaSide * self)
{
  if (self == NULL)
    return;
  grad_device_pool_free (self->pool);
  if (self->stream != NULL)
    cudaStreamDestroy (self->stream);
  if (self->begun != NULL)
    cudaEventDestroy (self->begun);
  if (self->done != NULL)
    cudaEventDestroy (self->done);
  g_ptr_array_unref (self->tensors);
  g_free (self);
}
