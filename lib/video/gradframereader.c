/* GradStreamer: frames of video to what a network wants to see
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradframereader.h"
#include "../data/gradresizer.h"
#include "../data/gradvideo.h"
#include "../data/gradvideoinfo.h"

/* What a frame may be enlarged to by black bars: 8K video in a square */
#define MAX_PIXELS (1 << 26)

struct _GradFrameReader
{
  GradDevice *device;           /* owned */
  GradModelInput input;
  GradRegion region;
  GradResizer *resizer;
};

static const GEnumValue regions[] = {
  {GRAD_REGION_CENTER, "The largest part around the centre that has the network's aspect ratio", "center"},
  {GRAD_REGION_LETTERBOX, "The whole frame, with black bars", "letterbox"},
  {GRAD_REGION_STRETCH, "The whole frame, stretched", "stretch"},
  {0, NULL, NULL}
};

GType
grad_region_get_type (void)
{
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradRegion", regions));
  return type;
}

GradFrameReader *
grad_frame_reader_new (GradDevice * device, const GradModelInput * input, GradRegion region)
{
  GradFrameReader *self = g_new0 (GradFrameReader, 1);

  self->device = g_object_ref (device);
  self->input = *input;
  self->region = region;
  self->resizer = grad_resizer_new (device, input->mean, input->std);
  return self;
}

void
grad_frame_reader_free (GradFrameReader * reader)
{
  grad_resizer_free (reader->resizer);
  g_object_unref (reader->device);
  g_free (reader);
}

static gboolean
describe (GradVideoFrame * frame, const GstVideoInfo * info, GError ** error)
{
  if (GST_VIDEO_INFO_IS_INTERLACED (info)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "cannot read interlaced video (%s): put deinterlace "
        "in front", gst_video_interlace_mode_to_string (GST_VIDEO_INFO_INTERLACE_MODE (info)));
    return FALSE;
  }
  if (GST_VIDEO_INFO_WIDTH (info) < 1 || GST_VIDEO_INFO_HEIGHT (info) < 1
      || GST_VIDEO_INFO_PAR_N (info) < 1 || GST_VIDEO_INFO_PAR_D (info) < 1) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "cannot read video of %dx%d pixels whose aspect ratio "
        "is %d/%d: put capssetter in front", GST_VIDEO_INFO_WIDTH (info), GST_VIDEO_INFO_HEIGHT (info),
        GST_VIDEO_INFO_PAR_N (info), GST_VIDEO_INFO_PAR_D (info));
    return FALSE;
  }
  return grad_video_frame_describe (frame, info, error);
}

gboolean
grad_frame_reader_check (const GstVideoInfo * info, GError ** error)
{
  GradVideoFrame frame;

  return describe (&frame, info, error);
}

/* Crops the frame to the region. */
static gboolean
choose_crop (const GradFrameReader * self, const GstVideoInfo * info, GradVideoFrame * frame,
    GError ** error)
{
  guint64 across = (guint64) self->input.width * GST_VIDEO_INFO_PAR_D (info);
  guint64 down = (guint64) self->input.height * GST_VIDEO_INFO_PAR_N (info);
  /* with the network's aspect ratio: what is as high as the frame, and what is as wide */
  guint64 width = gst_util_uint64_scale_round (frame->height, across, down);
  guint64 height = gst_util_uint64_scale_round (frame->width, down, across);

  if (self->region == GRAD_REGION_CENTER) {
    width = CLAMP (width, 1, (guint64) frame->width);
    height = CLAMP (height, 1, (guint64) frame->height);
  } else if (self->region == GRAD_REGION_LETTERBOX) {
    width = MAX (width, (guint64) frame->width);
    height = MAX (height, (guint64) frame->height);
  } else {
    width = frame->width;
    height = frame->height;
  }
  if (width > MAX_PIXELS / height) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "cannot read %" G_GUINT64_FORMAT "x%"
        G_GUINT64_FORMAT " pixels, bars included, of video of %dx%d: put videoscale in front", width, height,
        frame->width, frame->height);
    return FALSE;
  }
  frame->crop_width = width;
  frame->crop_height = height;
  frame->x = (frame->width - frame->crop_width) / 2;
  frame->y = (frame->height - frame->crop_height) / 2;
  return TRUE;
}

/* A GstVideoMeta may say anything: whether it is of that video. */
static gboolean
meta_fits (const GstVideoMeta * meta, const GstVideoInfo * info)
{
  return meta == NULL || (meta->format == GST_VIDEO_INFO_FORMAT (info)
      && meta->n_planes == GST_VIDEO_INFO_N_PLANES (info)
      && meta->width >= (guint) GST_VIDEO_INFO_WIDTH (info)
      && meta->height >= (guint) GST_VIDEO_INFO_HEIGHT (info));
}

void
grad_query_remove_crop (GstQuery * query)
{
  guint i;

  while (gst_query_find_allocation_meta (query, GST_VIDEO_CROP_META_API_TYPE, &i))
    gst_query_remove_nth_allocation_meta (query, i);
}

/* Adds the planes; whether all their rows are in memory. */
static gboolean
take_planes (GradVideoFrame * frame, const GstVideoFrame * mapped)
{
  GradVideoFrame whole;
  gint rows[GRAD_VIDEO_MAX_PLANES], row_bytes[GRAD_VIDEO_MAX_PLANES];

  for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES (mapped); p++) {
    frame->planes[p] = GST_VIDEO_FRAME_PLANE_DATA (mapped, p);
    frame->strides[p] = GST_VIDEO_FRAME_PLANE_STRIDE (mapped, p);
  }
  whole = *frame;
  whole.x = whole.y = 0;
  whole.crop_width = whole.width;
  whole.crop_height = whole.height;
  grad_video_reduce (&whole, rows, row_bytes);
  for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES (mapped); p++) {
    const GstMapInfo *map = &mapped->map[mapped->meta ? p : 0];
    gint64 first = frame->planes[p] - map->data;
    gint64 last = first + (rows[p] - 1) * (gint64) frame->strides[p];

    if (MIN (first, last) < 0 || MAX (first, last) + row_bytes[p] > (gint64) map->size)
      return FALSE;
  }
  return TRUE;
}

static gboolean
refuse (GError ** error, GstBuffer * buffer, const GstVideoInfo * info)
{
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "a buffer of %" G_GSIZE_FORMAT " bytes %s is no frame of "
      "%s video of %dx%d pixels", gst_buffer_get_size (buffer),
      gst_buffer_get_video_meta (buffer) ? "with a GstVideoMeta" : "without a GstVideoMeta",
      GST_VIDEO_INFO_NAME (info), GST_VIDEO_INFO_WIDTH (info), GST_VIDEO_INFO_HEIGHT (info));
  return FALSE;
}

/* picture: (1, C, H, W) uint8 of the crop */
static gboolean
convert (GradFrameReader * self, GstBuffer * buffer, const GstVideoInfo * info,
    GradVideoFrame * frame, GradTensor * picture, GError ** error)
{
  GstVideoFrame mapped;
  gboolean done, ok;

  if (!grad_video_convert_buffer (self->device, buffer, frame, picture, 0, &done, error))
    return FALSE;
  if (done)
    return TRUE;
  if (!meta_fits (gst_buffer_get_video_meta (buffer), info)
      || !gst_video_frame_map (&mapped, info, buffer, GST_MAP_READ))
    return refuse (error, buffer, info);
  ok = take_planes (frame, &mapped) ? grad_video_convert (self->device, frame, picture, 0, error)
      : refuse (error, buffer, info);
  gst_video_frame_unmap (&mapped);
  return ok;
}

GradTensor *
grad_frame_reader_new_batch (GradFrameReader * reader, guint n, GError ** error)
{
  const GradModelInput *input = &reader->input;

  return grad_tensor_new (reader->device, GRAD_DTYPE_FLOAT32, &GRAD_SHAPE (n, input->channels,
          input->height, input->width), error);
}

gboolean
grad_frame_reader_read_into (GradFrameReader * reader, GstBuffer * frame,
    const GstVideoInfo * info, GradTensor * batch, guint sample, GError ** error)
{
  g_autoptr (GradTensor) picture = NULL;
  GradVideoFrame part;

  if (!describe (&part, info, error) || !choose_crop (reader, info, &part, error))
    return FALSE;
  picture = grad_tensor_new (reader->device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (1, reader->input.channels,
          part.crop_height, part.crop_width), error);
  return picture && convert (reader, frame, info, &part, picture, error)
      && grad_resizer_run_into (reader->resizer, picture, batch, sample, error);
}

GradTensor *
grad_frame_reader_read (GradFrameReader * reader, GstBuffer * const *frames,
    const GstVideoInfo * infos, guint n, GError ** error)
{
  g_autoptr (GradTensor) batch = grad_frame_reader_new_batch (reader, n, error);

  for (guint i = 0; batch && i < n; i++)
    if (!grad_frame_reader_read_into (reader, frames[i], &infos[i], batch, i, error))
      return NULL;
  return g_steal_pointer (&batch);
}
