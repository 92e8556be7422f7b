/* Tests of sharing the cuda device with GStreamer's own CUDA elements: with the real libgstcuda, the device and the driver
 * emulated, or both real; with TEST_NO_DRIVER in the environment, without a driver
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/testutil.h"
#include "lib/base/gradelement.h"
#include "lib/data/gradvideo.h"
#include "lib/data/gradvideoinfo.h"

#include <gst/cuda/gstcudacontext.h>
#include <gst/cuda/gstcudaloader.h>
#include <gst/cuda/gstcudamemory.h>
#include <gst/cuda/gstcudautils.h>
#include <string.h>

static GradDevice *
open_cuda (void)
{
  return test_device ("cuda/f32");
}

static GstContext *
share (GradDevice * device, const gchar * type)
{
  return GRAD_DEVICE_GET_CLASS (device)->share_context (device, type);
}

static GstCudaContext *
shared_context (GradDevice * device)
{
  g_autoptr (GstContext) context = share (device, GST_CUDA_CONTEXT_TYPE);
  GstCudaContext *cuda = NULL;

  g_assert_nonnull (context);
  g_assert_true (gst_structure_get (gst_context_get_structure (context), GST_CUDA_CONTEXT_TYPE,
          GST_TYPE_CUDA_CONTEXT, &cuda, NULL));
  return cuda;
}

/* A frame of memory:CUDAMemory, written on the host, as cudaupload does it */
static GstBuffer *
cuda_frame (GstCudaContext * context, GstVideoInfo * info, guint8 first)
{
  g_autoptr (GstAllocator) allocator = NULL;
  GstBuffer *buffer = gst_buffer_new ();
  GstVideoFrame frame;
  GstMemory *memory;

  gst_cuda_memory_init_once ();
  allocator = gst_allocator_find (GST_CUDA_MEMORY_TYPE_NAME);
#if GST_CHECK_VERSION (1, 24, 0)
  {
    GstCudaStream *stream = gst_cuda_stream_new (context);

    memory = gst_cuda_allocator_alloc (GST_CUDA_ALLOCATOR (allocator), context, stream, info);
    gst_cuda_stream_unref (stream);
  }
#else
  memory = gst_cuda_allocator_alloc (GST_CUDA_ALLOCATOR (allocator), context, info);
#endif
  g_assert_nonnull (memory);
  gst_buffer_append_memory (buffer, memory);
  g_assert_true (gst_video_frame_map (&frame, &GST_CUDA_MEMORY_CAST (memory)->info, buffer,
          GST_MAP_WRITE));
  for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES (&frame); p++)
    for (gint y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (&frame, p); y++)
      for (gint x = 0; x < GST_VIDEO_FRAME_COMP_WIDTH (&frame, p)
          * GST_VIDEO_FRAME_COMP_PSTRIDE (&frame, p); x++)
        ((guint8 *) GST_VIDEO_FRAME_PLANE_DATA (&frame, p))[y
            * GST_VIDEO_FRAME_PLANE_STRIDE (&frame, p) + x] = first + 37 * p + 11 * y + 5 * x;
  gst_video_frame_unmap (&frame);
  return buffer;
}

/* What the reference makes of it, through the host */
static guint8 *
expected (GstBuffer * buffer, const GstVideoInfo * info, const GradVideoFrame * described, gsize size)
{
  g_autoptr (GradDevice) ref = test_device ("ref");
  g_autoptr (GradTensor) y = grad_tensor_new (ref, GRAD_DTYPE_UINT8, &GRAD_SHAPE (1, 3,
          described->crop_height, described->crop_width), NULL);
  GradVideoFrame frame = *described;
  GstVideoFrame mapped;

  g_assert_true (gst_video_frame_map (&mapped, info, buffer, GST_MAP_READ));
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (&mapped); i++) {
    frame.planes[i] = GST_VIDEO_FRAME_PLANE_DATA (&mapped, i);
    frame.strides[i] = GST_VIDEO_FRAME_PLANE_STRIDE (&mapped, i);
  }
  g_assert_true (grad_video_convert (ref, &frame, y, 0, NULL));
  gst_video_frame_unmap (&mapped);
  return g_memdup2 (grad_tensor_data (y), size);
}

static void
test_frames (void)
{
  static const GstVideoFormat formats[] = {
    GST_VIDEO_FORMAT_NV12, GST_VIDEO_FORMAT_I420, GST_VIDEO_FORMAT_BGRA, GST_VIDEO_FORMAT_RGB,
  };
  g_autoptr (GradDevice) device = open_cuda ();
  GstCudaContext *context = shared_context (device);

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++) {
    gsize size = 3 * 23 * 31;
    g_autoptr (GradTensor) y = grad_tensor_new (device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (2, 3, 23, 31), NULL);
    g_autofree guint8 *got = g_malloc (2 * size), *want = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (GstBuffer) buffer = NULL;
    GstVideoInfo info, *laid_out;
    GradVideoFrame frame;
    gboolean done = FALSE;

    gst_video_info_set_format (&info, formats[i], 46, 34);
    buffer = cuda_frame (context, &info, i);
    laid_out = &GST_CUDA_MEMORY_CAST (gst_buffer_peek_memory (buffer, 0))->info;
    g_assert_true (grad_video_frame_describe (&frame, &info, &error));
    frame.x = 3, frame.y = 5, frame.crop_width = 31, frame.crop_height = 23;
    grad_video_convert_buffer (device, buffer, &frame, y, 1, &done, &error);
    g_assert_no_error (error);
    g_assert_true (done);
    g_assert_true (grad_tensor_download (y, got, 2 * size, NULL));
    want = expected (buffer, laid_out, &frame, size);
    g_assert_cmpmem (got + size, size, want, size);

    /* it is not what its caps say */
    frame.format = GRAD_VIDEO_UYVY;
    g_assert_false (grad_video_convert_buffer (device, buffer, &frame, y, 1, &done, &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
  }
  gst_object_unref (context);
}

typedef struct
{
  const gchar *text;
  gint n;                       /* lines with it */
} Lines;

static void
count_line (GstDebugCategory * category, GstDebugLevel level, const gchar * file,
    const gchar * function, gint line, GObject * object, GstDebugMessage * message, gpointer data)
{
  Lines *lines = data;

  if (strstr (gst_debug_message_get (message), lines->text))
    g_atomic_int_inc (&lines->n);
}

/* How many lines of the log have `text` in them while func runs */
static gint
count_lines (const gchar * text, void (*func) (GradDevice * device), GradDevice * device)
{
  Lines lines = { text, 0 };

  gst_debug_remove_log_function (gst_debug_log_default);
  gst_debug_set_threshold_for_name ("gradgstcuda", GST_LEVEL_INFO);
  gst_debug_add_log_function (count_line, &lines, NULL);
  func (device);
  gst_debug_remove_log_function (count_line);
  gst_debug_unset_threshold_for_name ("gradgstcuda");
  gst_debug_add_log_function (gst_debug_log_default, NULL, NULL);
  return lines.n;
}

/* A decoder that had a context before: its frames are left to the host, which is said once */
static void
convert_foreign (GradDevice * device)
{
  GstCudaContext *own = gst_cuda_context_new (0), *ours = shared_context (device);
  g_autoptr (GradTensor) y = grad_tensor_new (device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (1, 3, 8, 8), NULL);

  g_assert_nonnull (own);
  g_assert_true (gst_cuda_context_get_handle (own) != gst_cuda_context_get_handle (ours));
  for (guint i = 0; i < 3; i++) {
    g_autoptr (GstBuffer) buffer = NULL;
    g_autoptr (GError) error = NULL;
    GstVideoInfo info;
    GradVideoFrame frame;
    gboolean done = TRUE;

    gst_video_info_set_format (&info, GST_VIDEO_FORMAT_NV12, 8, 8);
    buffer = cuda_frame (own, &info, 1);
    g_assert_true (grad_video_frame_describe (&frame, &info, &error));
    g_assert_true (grad_video_convert_buffer (device, buffer, &frame, y, 0, &done, &error));
    g_assert_no_error (error);
    g_assert_false (done);
  }
  gst_object_unref (own);
  gst_object_unref (ours);
}

static void
test_foreign (void)
{
  g_autoptr (GradDevice) device = open_cuda ();

  g_assert_cmpint (count_lines ("go through the host", convert_foreign, device), ==, 1);
}

/* One context for all, which lives as long as somebody has it */
static void
test_context (void)
{
  GradDevice *device = open_cuda ();
  GstCudaContext *a = shared_context (device), *b = shared_context (device);
  guint id = 9;

  g_assert_true (a == b);
  g_object_get (a, "cuda-device-id", &id, NULL);
  g_assert_cmpuint (id, ==, 0);
  g_assert_null (share (device, "gst.gl.GLDisplay"));
  gst_object_unref (b);
  g_object_unref (device);
  g_assert_true (gst_cuda_context_push (a) && gst_cuda_context_pop (NULL));
  gst_object_unref (a);
}

/* What nvcodec's elements do */
typedef struct
{
  GstElement parent;
  GstCudaContext *context;
} Decoder;
typedef GstElementClass DecoderClass;
GType decoder_get_type (void);
G_DEFINE_TYPE (Decoder, decoder, GST_TYPE_ELEMENT);

static void
decoder_set_context (GstElement * element, GstContext * context)
{
  gst_cuda_handle_set_context (element, context, -1, &((Decoder *) element)->context);
  GST_ELEMENT_CLASS (decoder_parent_class)->set_context (element, context);
}

static void
decoder_finalize (GObject * object)
{
  gst_clear_object (&((Decoder *) object)->context);
  G_OBJECT_CLASS (decoder_parent_class)->finalize (object);
}

static void
decoder_class_init (DecoderClass * klass)
{
  klass->set_context = decoder_set_context;
  G_OBJECT_CLASS (klass)->finalize = decoder_finalize;
}

static void
decoder_init (Decoder * self)
{
  gst_element_add_pad (GST_ELEMENT (self), gst_pad_new ("src", GST_PAD_SRC));
}

/* and one of ours behind it */
static gboolean
answer (GstPad * pad, GstObject * parent, GstQuery * query)
{
  return grad_element_query_context (GST_ELEMENT (parent), query,
      g_object_get_data (G_OBJECT (parent), "bus"));
}

/* linked: it asks its neighbour, which then opens the device; else the pipeline, which has heard from an open one */
static void
test_decoder (gconstpointer linked)
{
  g_autoptr (GstElement) pipeline = gst_object_ref_sink (gst_pipeline_new (NULL));
  GstElement *decoder = g_object_new (decoder_get_type (), NULL), *ours = gst_bin_new (NULL);
  GstPad *sink = gst_pad_new ("sink", GST_PAD_SINK);
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GradDevice) device = NULL;
  GstCudaContext **context = &((Decoder *) decoder)->context, *expected;

  g_assert_true (grad_bus_add_settings (bus, &(GradDeviceSettings) {.name = "cuda"}, NULL));
  g_object_set_data (G_OBJECT (ours), "bus", bus);
  gst_pad_set_query_function (sink, answer);
  gst_element_add_pad (ours, sink);
  gst_bin_add_many (GST_BIN (pipeline), decoder, ours, NULL);
  if (linked)
    g_assert_true (gst_element_link_pads (decoder, "src", ours, "sink"));
  else
    g_object_unref (grad_element_open_device (ours, bus, NULL));
  g_assert_true (gst_cuda_ensure_element_context (decoder, -1, context));
  device = grad_bus_get_device (bus, NULL);
  expected = shared_context (device);
  g_assert_true (*context == expected);
  gst_object_unref (expected);
}

static void
ask (GradDevice * device)
{
  g_assert_null (share (device, GST_CUDA_CONTEXT_TYPE));
  g_assert_null (share (device, GST_CUDA_CONTEXT_TYPE));
}

static void
test_no_driver (void)
{
  g_autoptr (GradDevice) device = open_cuda ();

  if (gst_cuda_load_library ()) {
    g_test_skip ("there is a driver here");
    return;
  }
  g_assert_cmpint (count_lines ("finds no driver", ask, device), ==, 1);
}

/* Memory of no special kind is the host's business */
static void
test_other_memory (void)
{
  g_autoptr (GradDevice) device = open_cuda ();
  g_autoptr (GradTensor) y = grad_tensor_new (device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (1, 1, 2, 2), NULL);
  GradVideoFrame frame = {.format = GRAD_VIDEO_GRAY8,.width = 2,.height = 2,.crop_width = 2,
    .crop_height = 2
  };

  for (guint i = 0; i < 3; i++) {
    g_autoptr (GstBuffer) buffer = gst_buffer_new ();
    g_autoptr (GError) error = NULL;
    gboolean done = TRUE;

    for (guint k = 0; k < i; k++)
      gst_buffer_append_memory (buffer, gst_allocator_alloc (NULL, 8, NULL));
    g_assert_true (grad_video_convert_buffer (device, buffer, &frame, y, 0, &done, &error));
    g_assert_no_error (error);
    g_assert_false (done);
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/gst-cuda/other-memory", test_other_memory);
  if (g_getenv ("TEST_NO_DRIVER")) {
    g_test_add_func ("/gst-cuda/no-driver", test_no_driver);
    return g_test_run ();
  }
  g_test_add_func ("/gst-cuda/context", test_context);
  g_test_add_func ("/gst-cuda/frames", test_frames);
  g_test_add_func ("/gst-cuda/foreign", test_foreign);
  g_test_add_data_func ("/gst-cuda/decoder/linked", "linked", test_decoder);
  g_test_add_data_func ("/gst-cuda/decoder/in-the-pipeline", NULL, test_decoder);
  return g_test_run ();
}
