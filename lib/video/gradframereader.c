#include "gradframereader.h"
#include "../data/gradresizer.h"
#include "../data/gradvideo.h"
#include "../data/gradvideoinfo.h"

GType
grad_region_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GRAD_REGION_CENTER, "The largest centred part with the network's aspect ratio", "center"},
    {GRAD_REGION_LETTERBOX, "The whole frame, with black bars", "letterbox"},
    {GRAD_REGION_STRETCH, "The whole frame, stretched", "stretch"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradRegion", values));
  return type;
}
struct _GradFrameReader { GradDevice *device; GradModelInput input; GradRegion region; GradResizer *resizer; };
GradFrameReader *grad_frame_reader_new (GradDevice * device, const GradModelInput * input,
    GradRegion region)
{
  GradFrameReader *self = g_new0 (GradFrameReader, 1);
  self->device = g_object_ref (device); self->input = *input; self->region = region;
  self->resizer = grad_resizer_new (device, input->mean, input->std);
  return self;
}
void grad_frame_reader_free (GradFrameReader * reader)
{ grad_resizer_free (reader->resizer); g_object_unref (reader->device); g_free (reader); }
gboolean grad_frame_reader_check (const GstVideoInfo * info, GError ** error)
{
  GradVideoFrame frame;
  if (GST_VIDEO_INFO_IS_INTERLACED (info)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "interlaced video: put deinterlace in front");
    return FALSE;
  }
  return grad_video_frame_describe (&frame, info, error);
}
GradTensor *grad_frame_reader_read (GradFrameReader * self, GstBuffer * const *frames,
    const GstVideoInfo * infos, guint n, GError ** error)
{
  GradVideoFrame frame; GstVideoFrame map; gboolean ok;
  gint w = GST_VIDEO_INFO_WIDTH (infos), h = GST_VIDEO_INFO_HEIGHT (infos);
  g_autoptr (GradTensor) y = NULL;
  if (!grad_video_frame_describe (&frame, infos, error)) return NULL;
  if (self->region == GRAD_REGION_CENTER) {
    gint cw = MIN (w, h * self->input.width / self->input.height), ch = MIN (h, w * self->input.height / self->input.width);
    frame.crop_width = MAX (1, cw); frame.crop_height = MAX (1, ch);
    frame.x = (w - frame.crop_width) / 2; frame.y = (h - frame.crop_height) / 2;
  }
  y = grad_tensor_new_plain (self->device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (1, self->input.channels, frame.crop_height, frame.crop_width), error);
  if (!y) return NULL;
  if (!gst_video_frame_map (&map, (GstVideoInfo *) infos, frames[0], GST_MAP_READ)) { g_set_error (error, GRAD_ERROR, GRAD_ERROR_FAILED, "cannot map"); return NULL; }
  for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES (&map); p++) { frame.planes[p] = GST_VIDEO_FRAME_PLANE_DATA (&map, p); frame.strides[p] = GST_VIDEO_FRAME_PLANE_STRIDE (&map, p); }
  ok = grad_video_convert (self->device, &frame, y, 0, error);
  gst_video_frame_unmap (&map);
  return ok ? grad_resizer_run (self->resizer, y, self->input.width, self->input.height, error) : NULL;
}
