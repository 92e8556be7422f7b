/* GradStreamer: what is asked of a GPU, recorded as a CUDA graph
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A thread records on a stream of its own, so that what other threads ask for meanwhile is done, and not recorded. The capture is
 * relaxed: allocations are allowed, which take place at once. */
#include "gradcudarecording.h"

/* Or the next launch would report it, though all can be done without a recording. */
static gboolean
forget_error (void)
{
  cudaGetLastError ();
  return FALSE;
}

static gboolean
begin_recording (GradDevice * device, GError ** error)
{
  cudaStream_t stream;
  gint priority;

  grad_cuda_device_enter (device);
  if (!grad_cuda_check (device, cudaDeviceGetStreamPriorityRange (NULL, &priority), "asking for priorities", error)
      || !grad_cuda_check (device, cudaStreamCreateWithPriority (&stream, cudaStreamNonBlocking, priority),
          "creating a stream", error))
    return forget_error ();
  if (grad_cuda_device_use_stream (device, stream, error)
      && grad_cuda_check (device, cudaStreamBeginCapture (stream, cudaStreamCaptureModeRelaxed), "recording", error))
    return TRUE;
  grad_cuda_device_use_stream (device, NULL, NULL);
  cudaStreamDestroy (stream);
  return forget_error ();
}

static gpointer
end_recording (GradDevice * device, gboolean keep, GError ** error)
{
  cudaStream_t stream = grad_cuda_device_stream (device);
  cudaGraph_t graph = NULL;
  cudaGraphExec_t work = NULL;

  if (grad_cuda_check (device, cudaStreamEndCapture (stream, &graph), "recording", error) && keep
      && !grad_cuda_check (device, cudaGraphInstantiateWithFlags (&work, graph,
              cudaGraphInstantiateFlagUseNodePriority), "making a graph", error))
    work = NULL;
  if (graph != NULL)
    cudaGraphDestroy (graph);
  if (!grad_cuda_device_use_stream (device, NULL, work ? error : NULL) && work != NULL) {
    cudaGraphExecDestroy (work);
    work = NULL;
  }
  cudaStreamDestroy (stream);
  forget_error ();
  return work;
}

static gboolean
replay (GradDevice * device, gpointer work, GError ** error)
{
  return grad_cuda_check (device, cudaGraphLaunch (work, grad_cuda_device_stream (device)), "repeating what was recorded",
      error) || forget_error ();
}

static void
free_recording (GradDevice * device, gpointer work)
{
  grad_cuda_device_enter (device);
  cudaGraphExecDestroy (work);  /* when it has run, if it still does */
}

void
grad_cuda_recording_class_init (GradDeviceClass * klass)
{
  klass->begin_recording = begin_recording;
  klass->end_recording = end_recording;
  klass->replay = replay;
  klass->free_recording = free_recording;
}
