/* GradStreamer: a GPU's second stream, for what nobody waits for yet
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Backward is a chain of gradients of activations, and weight gradients that nothing in it waits for. Small layers do not fill a
 * GPU, and batch norms leave its arithmetic idle: there the second stream has its turn, at a lower priority. It holds on to
 * what it reads, and to what it has given back to the pool, until the main stream has waited for it. */
#include "gradcudaside.h"
#include "graddevicepool-private.h"

struct _GradCudaSide
{
  GradDevice *device;           /* not owned */
  cudaStream_t main, stream;
  cudaEvent_t begun, done;
  GradDevicePool *pool;         /* NULL: nothing is to be settled */
  GPtrArray *tensors;
};

GradCudaSide *
grad_cuda_side_new (GradDevice * device, cudaStream_t stream, GError ** error)
{
  GradCudaSide *self = g_new0 (GradCudaSide, 1);

  self->device = device;
  self->main = stream;
  self->tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_tensor_unref);
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
  if (!order (self, self->main, self->begun, self->stream, error))
    return FALSE;
  if (!grad_cuda_device_use_stream (self->device, self->stream, error)) {
    grad_cuda_device_use_stream (self->device, NULL, NULL);
    return FALSE;
  }
  if (self->pool == NULL)
    self->pool = grad_device_pool_new ();
  grad_device_pool_keep (self->device, self->pool);
  return TRUE;
}

gboolean
grad_cuda_side_end (GradCudaSide * self, const GradTensor * a, const GradTensor * b, GError ** error)
{
  grad_device_pool_keep (NULL, NULL);
  g_ptr_array_add (self->tensors, grad_tensor_ref ((GradTensor *) a));
  g_ptr_array_add (self->tensors, grad_tensor_ref ((GradTensor *) b));
  return grad_cuda_device_use_stream (self->device, NULL, error);
}

gboolean
grad_cuda_side_settle (GradCudaSide * self, GError ** error)
{
  gboolean ok;

  if (self->pool == NULL)
    return TRUE;
  ok = order (self, self->stream, self->done, self->main, error);
  grad_device_pool_merge (self->device, g_steal_pointer (&self->pool));
  g_ptr_array_set_size (self->tensors, 0);
  return ok;
}

void
grad_cuda_side_free (GradCudaSide * self)
{
  if (self == NULL)
    return;
  g_assert (self->pool == NULL);
  if (self->stream != NULL)
    cudaStreamDestroy (self->stream);
  if (self->begun != NULL)
    cudaEventDestroy (self->begun);
  if (self->done != NULL)
    cudaEventDestroy (self->done);
  g_ptr_array_unref (self->tensors);
  g_free (self);
}
