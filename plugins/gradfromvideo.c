/* GradStreamer: video to tensors
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradfromvideo
 * @title: gradfromvideo
 * @short_description: batches of frames as a network wants to see them
 *
 * Takes the `region` of each frame, resizes it bilinearly with antialiasing, scales it to 0 … 1 and normalises:
 * y = (v / 255 - mean) / std, R, G, B or luma. `batch-size` frames become one (N, C, H, W) float32. What a network wants to see
 * can be read from its model file.
 *
 * Frames of further streams, on request pads, come into the same batches, in order of arrival; they may differ in size and format.
 * Timestamps are then running times. Each batch has a #GradFramesMeta, which says of its samples from which pad and of which
 * time they are, and the labels that frames carry (#GradSampleMeta).
 *
 * A batch waits for as many frames as it needs, or for `batch-timeout`; it goes out with fewer at the end of the stream and before
 * caps or segments change. Live pipelines count that as latency. Frames are converted when they come and then let go.
 *
 * ## Example
 * |[
 * gst-launch-1.0 -v videotestsrc num-buffers=50 ! gradfromvideo width=96 height=96 channels=1 batch-size=8 ! gradconvstem ! fakesink
 * ]|
 */
#include "config.h"
#include "lib/base/gradelement.h"
#include "lib/data/gradresizer.h"
#include "lib/video/gradvideobatcher.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_FROM_VIDEO (grad_from_video_get_type ())
G_DECLARE_FINAL_TYPE (GradFromVideo, grad_from_video, GRAD, FROM_VIDEO, GradVideoBatcher)

struct _GradFromVideo
{
  GradVideoBatcher parent;

  /* properties, object lock */
  gchar *model;
  gint width, height, channels; /* 0: as the model says */
  gchar *mean, *std;
  GradRegion region;
};

G_DEFINE_FINAL_TYPE (GradFromVideo, grad_from_video, GRAD_TYPE_VIDEO_BATCHER);
GST_ELEMENT_REGISTER_DEFINE (gradfromvideo, "gradfromvideo", GST_RANK_NONE, GRAD_TYPE_FROM_VIDEO);

static gboolean
grad_from_video_get_input (GradVideoBatcher * batcher, GradModelInput * input, GradRegion * region,
    GError ** error)
{
  GradFromVideo *self = GRAD_FROM_VIDEO (batcher);
  g_autofree gchar *location = NULL;
  gboolean ok;

  *input = (GradModelInput) {.std = {1, 1, 1, 1} };
  GST_OBJECT_LOCK (self);
  location = g_strdup (self->model);
  GST_OBJECT_UNLOCK (self);
  if (location != NULL && *location != '\0') {
    g_autoptr (GradModel) model = grad_model_open (location, error);

    if (model == NULL)
      return FALSE;
    *input = *grad_model_get_input (model);
  }
  GST_OBJECT_LOCK (self);
  *region = self->region;
  input->width = self->width ? self->width : input->width;
  input->height = self->height ? self->height : input->height;
  input->channels = self->channels ? self->channels : input->channels ? input->channels : 3;
  ok = (self->mean == NULL || grad_resizer_parse ("mean", self->mean, input->mean, FALSE, error))
      && (self->std == NULL || grad_resizer_parse ("std", self->std, input->std, TRUE, error));
  GST_OBJECT_UNLOCK (self);
  if (ok && (input->width < 1 || input->height < 1)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "the size of pictures is unknown: set width and height, or "
        "model to a file that says them");
    return FALSE;
  }
  if (ok && input->channels != 1 && input->channels != 3) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "video cannot become pictures of %d channels: set channels "
        "to 1 or 3", input->channels);
    return FALSE;
  }
  return ok;
}

static void
grad_from_video_finalize (GObject * object)
{
  GradFromVideo *self = GRAD_FROM_VIDEO (object);

  g_free (self->model);
  g_free (self->mean);
  g_free (self->std);
  G_OBJECT_CLASS (grad_from_video_parent_class)->finalize (object);
}

static void
install_properties (GObjectClass * klass)
{
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradFromVideo, model),
      g_param_spec_string ("model", "Model file", "Safetensors file of the network that is to see the "
          "pictures: says what is not set here", NULL, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradFromVideo, width),
      g_param_spec_int ("width", "Width", "Columns to make, 0 for as many as the model says", 0, 32767,
          0, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradFromVideo, height),
      g_param_spec_int ("height", "Height", "Rows to make, 0 for as many as the model says", 0, 32767,
          0, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradFromVideo, channels),
      g_param_spec_int ("channels", "Channels", "Channels to make: 1 for luma, 3 for red, green and "
          "blue, 0 for what the model says, or 3 without", 0, 3, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradFromVideo, mean),
      g_param_spec_string ("mean", "Mean", "Number to subtract from pixels of 0 to 1, or one per channel "
          "separated by commas; by default what the model says, or 0", NULL, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradFromVideo, std),
      g_param_spec_string ("std", "Standard deviation", "Number to divide by after the mean is subtracted, "
          "or one per channel separated by commas; by default what the model says, or 1", NULL, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, G_STRUCT_OFFSET (GradFromVideo, region),
      g_param_spec_enum ("region", "Region", "Which part of a frame becomes a picture",
          GRAD_TYPE_REGION, GRAD_REGION_CENTER, GRAD_PARAM_STATIC));
}

static void
grad_from_video_class_init (GradFromVideoClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  grad_element_class_init_properties (object_class);
  object_class->finalize = grad_from_video_finalize;
  install_properties (object_class);

  gst_element_class_set_static_metadata (element_class, "Video to tensors", "Filter/Converter/Video/Tensor",
      "Crops, resizes and normalises frames of one or several videos and makes batches of them", PACKAGE_AUTHOR);
  GRAD_VIDEO_BATCHER_CLASS (klass)->get_input = grad_from_video_get_input;
  gst_type_mark_as_plugin_api (GRAD_TYPE_REGION, 0);
}

static void
grad_from_video_init (GradFromVideo * self)
{
}
