/* GradStreamer: the cuda device and GStreamer's own CUDA elements (GstCuda: decoders, cudaupload, cudaconvert …)
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All of CUDA's runtime, and so all of ours, works in the primary context of a GPU. Elements that ask for a context get it
 * in a GstCudaContext, and then allocate where we can read. An element that has made a context of its own keeps it; frames in
 * its memory go through the host.
 *
 * Nobody waits for a GPU here. A frame is read on our stream behind what its producer has enqueued, and what the producer
 * enqueues next, in order to use the memory again, comes behind that. Since GStreamer 1.24 a GstCudaMemory knows the stream
 * whose order counts. Before, and when it is that of default, it is CUDA's legacy stream: that waits for all streams which
 * are not "non-blocking", and they wait for it; GStreamer's are none, in all versions. */
#include "config.h"
#include "gradgstcuda.h"
#include "gradcudadevice-private.h"
#include "lib/data/gradvideoinfo.h"

#include <gst/cuda/cuda-gst.h>
#include <gst/cuda/gstcudacontext.h>
#include <gst/cuda/gstcudaloader.h>
#include <gst/cuda/gstcudamemory.h>
#include <gst/cuda/gstcudautils.h>
#if GST_CHECK_VERSION (1, 24, 0)
#include <gst/cuda/gstcudastream.h>
#endif

GST_DEBUG_CATEGORY_STATIC (grad_gst_cuda_debug);
#define GST_CAT_DEFAULT grad_gst_cuda_debug

/* One for each device that was asked, kept with it */
typedef struct
{
  GstCudaContext *context;      /* of our GPU's primary context; NULL: nothing can be shared */
  GMutex lock;                  /* guards the rest */
  cudaEvent_t event;
  gboolean told;                /* that frames go through the host */
} Peer;

static GMutex peers;            /* guards the making of them */

static void
peer_free (gpointer data)
{
  Peer *peer = data;

  if (peer->event != NULL)
    cudaEventDestroy (peer->event);
  gst_clear_object (&peer->context);
  g_mutex_clear (&peer->lock);
  g_free (peer);
}

/* The primary context is the current one of a thread that has chosen its GPU through the runtime. */
static GstCudaContext *
wrap_primary (GradDevice * device)
{
  CUcontext primary;
  CUdevice gpu;
  int index;

  GRAD_DEVICE_GET_CLASS (device)->enter_thread (device);
  if (cudaGetDevice (&index) != cudaSuccess || CuDeviceGet (&gpu, index) != CUDA_SUCCESS
      || CuCtxPopCurrent (&primary) != CUDA_SUCCESS)
    return NULL;
  CuCtxPushCurrent (primary);
  return gst_cuda_context_new_wrapped (primary, gpu);
}

static Peer *
peer_new (GradDevice * device)
{
  Peer *peer = g_new0 (Peer, 1);

  g_mutex_init (&peer->lock);
  if (!gst_cuda_load_library ())
    GST_INFO ("nothing of %s is shared: GStreamer's CUDA library finds no driver that it can use",
        grad_device_get_name (device));
  else if (CuInit (0) != CUDA_SUCCESS || !(peer->context = wrap_primary (device)))
    GST_INFO ("nothing of %s is shared: its context cannot be had", grad_device_get_name (device));
  else if (cudaEventCreateWithFlags (&peer->event, cudaEventDisableTiming) != cudaSuccess)
    gst_clear_object (&peer->context);
  else
    GST_INFO ("%s is shared as %" GST_PTR_FORMAT, grad_device_get_name (device), peer->context);
  return peer;
}

/* NULL when nothing can be shared */
static Peer *
peer_of (GradDevice * device)
{
  static GQuark quark;
  Peer *peer;

  g_mutex_lock (&peers);
  if (quark == 0)
    quark = g_quark_from_static_string ("grad-gst-cuda-peer");
  peer = g_object_get_qdata (G_OBJECT (device), quark);
  if (peer == NULL) {
    peer = peer_new (device);
    g_object_set_qdata_full (G_OBJECT (device), quark, peer, peer_free);
  }
  g_mutex_unlock (&peers);
  return peer->context ? peer : NULL;
}

static GstContext *
grad_gst_cuda_share_context (GradDevice * device, const gchar * type)
{
  Peer *peer = g_str_equal (type, GST_CUDA_CONTEXT_TYPE) ? peer_of (device) : NULL;

  return peer ? gst_context_new_cuda_context (peer->context) : NULL;
}

/* What `stream` does from now on, it does behind all that `before` has been asked to do. */
static gboolean
order (GradDevice * device, Peer * peer, cudaStream_t before, cudaStream_t stream, GError ** error)
{
  gboolean ok;

  g_mutex_lock (&peer->lock);   /* or another thread records in between */
  ok = grad_cuda_check (device, cudaEventRecord (peer->event, before), "recording an event", error)
      && grad_cuda_check (device, cudaStreamWaitEvent (stream, peer->event, 0),
          "waiting for an event", error);
  g_mutex_unlock (&peer->lock);
  return ok;
}

static cudaStream_t
stream_of (GstCudaMemory * memory)
{
  cudaStream_t stream = NULL;

#if GST_CHECK_VERSION (1, 24, 0)
  stream = (cudaStream_t) gst_cuda_stream_get_handle (gst_cuda_memory_get_stream (memory));
#endif
  return stream ? stream : cudaStreamLegacy;
}

/* NULL when it is in other memory */
static GstCudaMemory *
peek_memory (GstBuffer * buffer)
{
  GstMemory *memory = gst_buffer_n_memory (buffer) == 1 ? gst_buffer_peek_memory (buffer, 0) : NULL;

  return gst_is_cuda_memory (memory) ? GST_CUDA_MEMORY_CAST (memory) : NULL;
}

/* Whether the memory is of our GPU's primary context; says once if not. */
static gboolean
is_ours (Peer * peer, GstCudaMemory * memory)
{
  gboolean tell;

  if (gst_cuda_context_get_handle (memory->context) == gst_cuda_context_get_handle (peer->context))
    return TRUE;
  g_mutex_lock (&peer->lock);
  tell = !peer->told;
  peer->told = TRUE;
  g_mutex_unlock (&peer->lock);
  if (tell)
    GST_INFO ("frames of %" GST_PTR_FORMAT " go through the host: it is not %" GST_PTR_FORMAT
        ", which our elements give to those that ask", memory->context, peer->context);
  return FALSE;
}

/* Adds the mapped frame's planes, which must be those of `frame`. */
static gboolean
take_planes (GradVideoFrame * frame, const GstVideoFrame * mapped, GError ** error)
{
  GradVideoFormat format;

  if (!grad_video_format_from_gst (GST_VIDEO_FRAME_FORMAT (mapped), &format)
      || format != frame->format || GST_VIDEO_FRAME_WIDTH (mapped) < frame->width
      || GST_VIDEO_FRAME_HEIGHT (mapped) < frame->height) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "a video frame of %dx%d is %s of %dx%d in memory",
        frame->width, frame->height, gst_video_format_to_string (GST_VIDEO_FRAME_FORMAT (mapped)),
        GST_VIDEO_FRAME_WIDTH (mapped), GST_VIDEO_FRAME_HEIGHT (mapped));
    return FALSE;
  }
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (mapped); i++) {
    frame->planes[i] = GST_VIDEO_FRAME_PLANE_DATA (mapped, i);
    frame->strides[i] = GST_VIDEO_FRAME_PLANE_STRIDE (mapped, i);
  }
  return TRUE;
}

static gboolean
grad_gst_cuda_convert_video (GradDevice * device, GstBuffer * buffer, const GradVideoFrame * frame,
    GradTensor * y, gint n, gboolean * done, GError ** error)
{
  GstCudaMemory *memory = peek_memory (buffer);
  Peer *peer = memory ? peer_of (device) : NULL;
  cudaStream_t stream = grad_cuda_device_stream (device);       /* this thread's GPU is ours now */
  GradVideoFrame whole = *frame;
  GstVideoFrame mapped;
  gboolean ok;

  *done = peer != NULL && is_ours (peer, memory);
  if (!*done)
    return TRUE;
  /* strides are those of the GstVideoMeta, or without one the memory's */
  if (!gst_video_frame_map (&mapped, &memory->info, buffer, GST_MAP_READ | GST_MAP_CUDA)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FAILED, "cannot map a video frame in CUDA memory");
    return FALSE;
  }
  ok = take_planes (&whole, &mapped, error)
      && order (device, peer, stream_of (memory), stream, error)
      && GRAD_DEVICE_GET_CLASS (device)->kernels->video->convert (device, &whole, y, n, error)
      && order (device, peer, stream, stream_of (memory), error);
  gst_video_frame_unmap (&mapped);
  return ok;
}

void
grad_gst_cuda_class_init (GradDeviceClass * klass)
{
  GST_DEBUG_CATEGORY_INIT (grad_gst_cuda_debug, "gradgstcuda", 0, "GradStreamer's cuda device and GstCuda");
  klass->share_context = grad_gst_cuda_share_context;
  klass->convert_video = grad_gst_cuda_convert_video;
}
