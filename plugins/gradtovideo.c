/* GradStreamer: tensors to video
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradtovideo
 * @title: gradtovideo
 * @short_description: shows tensors: pictures, feature maps, logits
 *
 * Makes video of tensors, for a branch of a `tee` that shows what a stage sees while the network trains. (N, C, H, W), uint8 or
 * float32, becomes a grid of tiles, with a pixel between them: a tile is a sample where C is 1 (grey) or 3 (red, green, blue), else
 * a channel in colours; (N, K) is one tile of N rows. Tiles are magnified until a frame has 320 columns or rows, unless `scale` says
 * otherwise. With `mode=frames` each sample is a frame of its own, which carries its
 * label and index as #GradSampleMeta.
 *
 * Bytes are shown as they are. Floats go from the least value of their tile to the largest, unless `minimum` and `maximum` say
 * otherwise: from 0 in the colours for unsigned values, with 0 in the middle in those for signed ones. Grey goes from 0 to 255;
 * where it is to become YUV, convert it to RGB first: `videoconvert` takes grey for 16 to 235 there.
 *
 * Nothing of the tape is passed on, and the tensor is only read, which is what costs: `interval` limits how often. When batches
 * get smaller, the video keeps its size. In a launch string the branch with the queue stands first: the sink at the end of the
 * other one waits for all sinks before it lets go of its first batch.
 *
 * ## Example
 * <!-- run: s,/usr/share/datasets/fashion-mnist,$D,g; s/autovideosink/fakevideosink/ -->
 * |[
 * gst-launch-1.0 idxsrc location=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz labels=/usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz ! gradresize ! gradconvstem ! tee name=stem ! queue leaky=downstream max-size-buffers=1 ! gradtovideo interval=100000000 ! videoconvert ! autovideosink sync=false stem. ! gradglobalpool ! gradfc ! gradloss ! gradadamsink
 * ]|
 */
#include "config.h"
#include "lib/autograd/gradsamplemeta.h"
#include "lib/base/gradelement.h"
#include "lib/video/gradtensorview.h"
#include "gradstreamerelements.h"

#include <gst/base/gstbasetransform.h>
#include <gst/video/video.h>

GST_DEBUG_CATEGORY_STATIC (grad_to_video_debug);
#define GST_CAT_DEFAULT grad_to_video_debug

/**
 * GradToVideoMode:
 * @GRAD_TO_VIDEO_GRID: a frame for each tensor
 * @GRAD_TO_VIDEO_FRAMES: a frame for each sample
 *
 * What a frame shows.
 */
typedef enum
{
  GRAD_TO_VIDEO_GRID,
  GRAD_TO_VIDEO_FRAMES
} GradToVideoMode;

#define GRAD_TYPE_TO_VIDEO (grad_to_video_get_type ())
G_DECLARE_FINAL_TYPE (GradToVideo, grad_to_video, GRAD, TO_VIDEO, GstBaseTransform)

struct _GradToVideo
{
  GstBaseTransform parent;

  /* properties, object lock */
  GradToVideoMode mode;
  gint fps_n, fps_d;            /* a fraction */
  guint64 interval;
  GradTensorView asked;         /* as far as it can be asked for */
  /* streaming thread */
  GradTensorView view;
  GstVideoInfo info;
  gboolean timed;               /* timestamps follow from the number of the frame */
  guint frame;                  /* of the tensor */
  guint64 n_frames;
  gint64 last;                  /* when a tensor was read last, microseconds, 0: never */
  GstCaps *refused;             /* they come again with the next event, and one error is enough */
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_CAPS ("{ uint8, float32 }")));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GST_VIDEO_CAPS_MAKE ("{ GRAY8, RGB }")));

G_DEFINE_FINAL_TYPE (GradToVideo, grad_to_video, GST_TYPE_BASE_TRANSFORM);
GST_ELEMENT_REGISTER_DEFINE (gradtovideo, "gradtovideo", GST_RANK_NONE, GRAD_TYPE_TO_VIDEO);

#define GRAD_TYPE_TO_VIDEO_MODE (grad_to_video_mode_get_type ())

static GType
grad_to_video_mode_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GRAD_TO_VIDEO_GRID, "A frame for each tensor", "grid"},
    {GRAD_TO_VIDEO_FRAMES, "A frame for each sample", "frames"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradToVideoMode", values));
  return type;
}

/* ---- caps */

/* Only what both sides share, which is nothing: tensors are judged in set_caps(), where an error can say what is wrong. */
static GstCaps *
grad_to_video_transform_caps (GstBaseTransform * trans, GstPadDirection direction, GstCaps * caps,
    GstCaps * filter)
{
  GstPad *other = direction == GST_PAD_SINK ? trans->srcpad : trans->sinkpad;
  GstCaps *template = gst_pad_get_pad_template_caps (other), *result;

  if (filter == NULL)
    return template;
  result = gst_caps_intersect_full (filter, template, GST_CAPS_INTERSECT_FIRST);
  gst_caps_unref (template);
  return result;
}

/* What the tensors say of it, else the property, which then makes the timestamps, too */
static void
choose_framerate (GradToVideo * self, const GstCaps * caps, guint n_frames, GstVideoInfo * info,
    gboolean * timed)
{
  gint n = 0, d = 1;

  gst_structure_get_fraction (gst_caps_get_structure (caps, 0), "framerate", &n, &d);
  *timed = FALSE;
  if (n == 0) {
    GST_OBJECT_LOCK (self);
    n = self->fps_n;
    d = self->fps_d;
    GST_OBJECT_UNLOCK (self);
    *timed = n > 0;
  } else if (!gst_util_fraction_multiply (n, d, n_frames, 1, &n, &d)) {
    n = 0;                      /* a rate that cannot be written */
    d = 1;
  }
  info->fps_n = n;
  info->fps_d = d;
}

static gboolean
plan (GradToVideo * self, const GstCaps * caps, GradTensorView * view, GstVideoInfo * info,
    gboolean * timed, GError ** error)
{
  GST_OBJECT_LOCK (self);
  *view = self->asked;
  view->per_sample = self->mode == GRAD_TO_VIDEO_FRAMES;
  GST_OBJECT_UNLOCK (self);
  if (!grad_tensor_view_plan (view, caps, &self->view, error))
    return FALSE;
  gst_video_info_set_format (info, view->pixel_size == 1 ? GST_VIDEO_FORMAT_GRAY8
      : GST_VIDEO_FORMAT_RGB, view->width, view->height);
  choose_framerate (self, caps, view->n_frames, info, timed);
  return TRUE;
}

static GstCaps *
grad_to_video_fixate_caps (GstBaseTransform * trans, GstPadDirection direction, GstCaps * caps,
    GstCaps * othercaps)
{
  GradTensorView view;
  GstVideoInfo info;
  gboolean timed;

  if (direction == GST_PAD_SINK && plan (GRAD_TO_VIDEO (trans), caps, &view, &info, &timed, NULL)) {
    g_autoptr (GstCaps) made = gst_video_info_to_caps (&info);

    /* a caps filter behind that asks for something else keeps its word: set_caps() tells */
    if (gst_caps_can_intersect (made, othercaps))
      gst_caps_replace (&othercaps, made);
  }
  return gst_caps_fixate (othercaps);
}

static gboolean
grad_to_video_set_caps (GstBaseTransform * trans, GstCaps * incaps, GstCaps * outcaps)
{
  GradToVideo *self = GRAD_TO_VIDEO (trans);
  g_autoptr (GstCaps) made = NULL;
  GError *error = NULL;
  GradTensorView view;
  GstVideoInfo info;
  gboolean timed;

  if (self->refused != NULL && gst_caps_is_equal (incaps, self->refused))
    return FALSE;
  gst_caps_replace (&self->refused, incaps);
  if (!plan (self, incaps, &view, &info, &timed, &error))
    return grad_element_fail (self, error);
  made = gst_video_info_to_caps (&info);
  if (!gst_caps_can_intersect (made, outcaps)) {
    g_autofree gchar *asked = gst_caps_to_string (outcaps);

    g_set_error (&error, GRAD_ERROR, GRAD_ERROR_SHAPE, "makes %s of %dx%d at %d/%d, but the caps filter "
        "behind it asks for %s: put videoconvert, videoscale or videorate between them",
        gst_video_format_to_string (GST_VIDEO_INFO_FORMAT (&info)), info.width, info.height, info.fps_n, info.fps_d,
        asked);
    return grad_element_fail (self, error);
  }
  gst_clear_caps (&self->refused);
  self->view = view;
  self->info = info;
  self->timed = timed;
  return TRUE;
}

static gboolean
grad_to_video_transform_size (GstBaseTransform * trans, GstPadDirection direction, GstCaps * caps,
    gsize size, GstCaps * othercaps, gsize * othersize)
{
  *othersize = GST_VIDEO_INFO_SIZE (&GRAD_TO_VIDEO (trans)->info);
  return direction == GST_PAD_SINK;
}

/* ---- frames */

static void
set_time (GradToVideo * self, GstBuffer * buffer)
{
  guint i = self->frame, n = self->view.n_frames;
  GstClockTime start = GST_BUFFER_PTS (buffer), duration = GST_BUFFER_DURATION (buffer), end;

  if (self->timed) {
    GstClockTime base = GST_BASE_TRANSFORM (self)->segment.start;
    gint fps_n = self->info.fps_n, fps_d = self->info.fps_d;

    start = base + gst_util_uint64_scale (self->n_frames, GST_SECOND * fps_d, fps_n);
    end = base + gst_util_uint64_scale (self->n_frames + 1, GST_SECOND * fps_d, fps_n);
  } else if (GST_CLOCK_TIME_IS_VALID (start) && GST_CLOCK_TIME_IS_VALID (duration)) {
    end = start + gst_util_uint64_scale (duration, i + 1, n);
    start += gst_util_uint64_scale (duration, i, n);
  } else
    end = start;                /* none, or all at once */
  GST_BUFFER_PTS (buffer) = start;
  GST_BUFFER_DURATION (buffer) = end != start ? end - start : GST_CLOCK_TIME_NONE;
  GST_BUFFER_OFFSET (buffer) = self->n_frames++;
  GST_BUFFER_OFFSET_END (buffer) = self->n_frames;
  if (i > 0)
    GST_BUFFER_FLAG_UNSET (buffer, GST_BUFFER_FLAG_DISCONT);
}

static gboolean
draw (GradToVideo * self, const GstMapInfo * values, GstBuffer * out)
{
  gsize expected = grad_shape_n_elements (&self->view.shape) * grad_dtype_size (self->view.dtype);
  GstVideoFrame frame;

  if (values->size != expected) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT, ("got a buffer of %" G_GSIZE_FORMAT " bytes where the "
            "caps say %" G_GSIZE_FORMAT, values->size, expected), (NULL));
    return FALSE;
  }
  if (!gst_video_frame_map (&frame, &self->info, out, GST_MAP_WRITE)) {
    GST_ELEMENT_ERROR (self, RESOURCE, WRITE, ("cannot write a frame of video"), (NULL));
    return FALSE;
  }
  grad_tensor_view_draw (&self->view, values->data, self->frame,
      GST_VIDEO_FRAME_PLANE_DATA (&frame, 0), GST_VIDEO_FRAME_PLANE_STRIDE (&frame, 0));
  gst_video_frame_unmap (&frame);
  return TRUE;
}

static GstFlowReturn
grad_to_video_transform (GstBaseTransform * trans, GstBuffer * in, GstBuffer * out)
{
  GradToVideo *self = GRAD_TO_VIDEO (trans);
  GradSampleMeta *sample;
  GstMapInfo map;
  gboolean ok;

  if (!gst_buffer_map (in, &map, GST_MAP_READ)) {
    GST_ELEMENT_ERROR (self, RESOURCE, READ, ("cannot read the tensor"), (NULL));
    return GST_FLOW_ERROR;
  }
  ok = draw (self, &map, out);
  gst_buffer_unmap (in, &map);
  if (!ok)
    return GST_FLOW_ERROR;
  set_time (self, out);
  sample = grad_buffer_get_sample_meta (out);
  if (sample != NULL && self->view.per_sample)
    grad_sample_meta_select (sample, self->frame);
  return GST_FLOW_OK;
}

/* All frames of a tensor but the last are pushed here: it is not kept for longer than the chain call takes. */
static GstFlowReturn
grad_to_video_generate_output (GstBaseTransform * trans, GstBuffer ** out)
{
  GradToVideo *self = GRAD_TO_VIDEO (trans);
  g_autoptr (GstBuffer) in = g_steal_pointer (&trans->queued_buf);
  gint64 now = g_get_monotonic_time ();
  GstFlowReturn ret = GST_FLOW_OK;

  *out = NULL;
  if (in == NULL || (self->last && (guint64) (now - self->last) * GST_USECOND < self->interval))
    return GST_FLOW_OK;
  self->last = now;
  for (self->frame = 0; ret >= GST_FLOW_OK && self->frame < self->view.n_frames; self->frame++) {
    if (*out != NULL)
      ret = gst_pad_push (trans->srcpad, g_steal_pointer (out));
    if (ret >= GST_FLOW_OK) {
      trans->queued_buf = gst_buffer_ref (in);
      ret = GST_BASE_TRANSFORM_CLASS (grad_to_video_parent_class)->generate_output (trans, out);
    }
  }
  return ret;
}

/* Upstream counts in its own time. */
static gboolean
grad_to_video_query (GstBaseTransform * trans, GstPadDirection direction, GstQuery * query)
{
  GradToVideo *self = GRAD_TO_VIDEO (trans);

  if (GST_QUERY_TYPE (query) == GST_QUERY_DURATION && self->timed)
    return FALSE;
  return GST_BASE_TRANSFORM_CLASS (grad_to_video_parent_class)->query (trans, direction, query);
}

static gboolean
grad_to_video_sink_event (GstBaseTransform * trans, GstEvent * event)
{
  if (GST_EVENT_TYPE (event) == GST_EVENT_SEGMENT)
    GRAD_TO_VIDEO (trans)->n_frames = 0;
  return GST_BASE_TRANSFORM_CLASS (grad_to_video_parent_class)->sink_event (trans, event);
}

static gboolean
grad_to_video_start (GstBaseTransform * trans)
{
  GradToVideo *self = GRAD_TO_VIDEO (trans);
  GradTensorView asked;
  GError *error = NULL;

  GST_OBJECT_LOCK (self);
  asked = self->asked;
  GST_OBJECT_UNLOCK (self);
  if (!grad_tensor_view_check (&asked, &error))
    return grad_element_fail (self, error);
  self->n_frames = 0;
  self->last = 0;
  return TRUE;
}

static gboolean
grad_to_video_stop (GstBaseTransform * trans)
{
  GradToVideo *self = GRAD_TO_VIDEO (trans);

  gst_clear_caps (&self->refused);
  self->view = (GradTensorView) { 0 };
  self->timed = FALSE;
  return TRUE;
}

/* ---- properties */

static void
install_properties (GObjectClass * klass)
{
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradToVideo, mode),
      g_param_spec_enum ("mode", "Mode", "What a frame shows: a whole batch (grid) or one sample "
          "(frames)", GRAD_TYPE_TO_VIDEO_MODE, GRAD_TO_VIDEO_GRID, GRAD_PARAM_STATIC));
  grad_tensor_view_install_properties (klass, G_STRUCT_OFFSET (GradToVideo, asked), GRAD_COLOR_MAP_AUTO);
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradToVideo, fps_n),
      gst_param_spec_fraction ("framerate", "Frame rate", "Frames per second where tensors come without a rate: "
          "gives frames new timestamps; 0/1 keeps those of the tensors", 0, 1, G_MAXINT, 1, 0, 1,
          GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradToVideo, interval),
      g_param_spec_uint64 ("interval", "Interval", "Nanoseconds of real time that pass at least from one "
          "tensor that is shown to the next; those between are skipped unread", 0, G_MAXUINT64, 0,
          GRAD_PARAM_STATIC));
}

static void
grad_to_video_finalize (GObject * object)
{
  gst_clear_caps (&GRAD_TO_VIDEO (object)->refused);
  G_OBJECT_CLASS (grad_to_video_parent_class)->finalize (object);
}

static void
grad_to_video_class_init (GradToVideoClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_to_video_debug, "gradtovideo", 0, "Tensors to video");
  grad_element_class_init_properties (object_class);
  object_class->finalize = grad_to_video_finalize;
  install_properties (object_class);

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Tensors to video",
      "Filter/Converter/Tensor/Video", "Shows pictures, feature maps and vectors as video",
      PACKAGE_AUTHOR);
  trans_class->transform_caps = GST_DEBUG_FUNCPTR (grad_to_video_transform_caps);
  trans_class->fixate_caps = GST_DEBUG_FUNCPTR (grad_to_video_fixate_caps);
  trans_class->set_caps = GST_DEBUG_FUNCPTR (grad_to_video_set_caps);
  trans_class->transform_size = GST_DEBUG_FUNCPTR (grad_to_video_transform_size);
  trans_class->transform = GST_DEBUG_FUNCPTR (grad_to_video_transform);
  trans_class->generate_output = GST_DEBUG_FUNCPTR (grad_to_video_generate_output);
  trans_class->query = GST_DEBUG_FUNCPTR (grad_to_video_query);
  trans_class->sink_event = GST_DEBUG_FUNCPTR (grad_to_video_sink_event);
  trans_class->start = GST_DEBUG_FUNCPTR (grad_to_video_start);
  trans_class->stop = GST_DEBUG_FUNCPTR (grad_to_video_stop);
  gst_type_mark_as_plugin_api (GRAD_TYPE_TO_VIDEO_MODE, 0);
}

static void
grad_to_video_init (GradToVideo * self)
{
}
