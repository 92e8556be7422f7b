/* GradStreamer: the curves of a training as live video
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradplotsrc
 * @title: gradplotsrc
 * @short_description: shows loss and accuracy of a training while it runs
 *
 * Draws the curves of the training that runs on the same #GradBus, as a rule in the same launch string: loss and accuracy of each
 * step, pale, with a smooth curve through them; those of each whole pass over the training and the test set; the learning rate if it
 * changes. It is drawn when there is something new, `framerate` times a second at most, in a thread of its own; the training does
 * not wait for it, and its weights are the same without it.
 *
 * When the training ends or is stopped, the stream ends with its last state, and so gst-launch-1.0 does, too.
 *
 * ## Example
 * <!-- run: s,/usr/share/datasets/fashion-mnist,$D,g; s/autovideosink/fakevideosink/ -->
 * |[
 * gst-launch-1.0 idxsrc location=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz labels=/usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz ! gradresize ! gradconvstem ! gradglobalpool ! gradfc ! gradloss ! gradadamsink gradplotsrc ! videoconvert ! autovideosink
 * ]|
 */
#include "config.h"
#include "lib/plot/gradplot.h"
#include "lib/video/gradtrainingview.h"
#include "gradstreamerelements.h"

GST_DEBUG_CATEGORY_STATIC (grad_plot_src_debug);
#define GST_CAT_DEFAULT grad_plot_src_debug

#define GRAD_TYPE_PLOT_SRC (grad_plot_src_get_type ())
G_DECLARE_FINAL_TYPE (GradPlotSrc, grad_plot_src, GRAD, PLOT_SRC, GradTrainingView)

struct _GradPlotSrc
{
  GradTrainingView parent;

  /* streaming thread */
  guint64 n_changes;            /* of the history, when it was drawn */
};

/* cairo's pixels are numbers */
#if G_BYTE_ORDER == G_LITTLE_ENDIAN
#define FORMAT "BGRx"
#else
#define FORMAT "xRGB"
#endif

static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_TRAINING_VIEW_CAPS (FORMAT)));

G_DEFINE_FINAL_TYPE (GradPlotSrc, grad_plot_src, GRAD_TYPE_TRAINING_VIEW);
GST_ELEMENT_REGISTER_DEFINE (gradplotsrc, "gradplotsrc", GST_RANK_NONE, GRAD_TYPE_PLOT_SRC);

static GstBuffer *
draw_curves (const GradHistory * history, const GstVideoInfo * info)
{
  GstBuffer *frame = gst_buffer_new_allocate (NULL, GST_VIDEO_INFO_SIZE (info), NULL);
  cairo_surface_t *surface;
  GstMapInfo map;
  cairo_t *cr;

  gst_buffer_map (frame, &map, GST_MAP_WRITE);
  surface = cairo_image_surface_create_for_data (map.data, CAIRO_FORMAT_RGB24, info->width,
      info->height, GST_VIDEO_INFO_PLANE_STRIDE (info, 0));
  cr = cairo_create (surface);
  grad_plot_curves (cr, info->width, info->height, history);
  cairo_destroy (cr);
  cairo_surface_flush (surface);
  cairo_surface_destroy (surface);
  gst_buffer_unmap (frame, &map);
  return frame;
}

static gboolean
grad_plot_src_draw (GradTrainingView * view, const GstVideoInfo * info, gboolean first,
    GstBuffer ** frame, GError ** error)
{
  GradPlotSrc *self = GRAD_PLOT_SRC (view);
  GradHistory *all = grad_network_get_history (grad_training_view_get_network (view));
  g_autoptr (GradHistory) history = NULL;

  if (first)
    self->n_changes = 0;        /* one that has begun has more */
  history = grad_history_copy (all, &self->n_changes);
  if (history != NULL)
    *frame = draw_curves (history, info);
  return TRUE;
}

static void
grad_plot_src_class_init (GradPlotSrcClass * klass)
{
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_plot_src_debug, "gradplotsrc", 0, "Curves of a training");
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Curves of a training", "Source/Video",
      "Draws loss, accuracy and learning rate of a training while it runs", PACKAGE_AUTHOR);
  GRAD_TRAINING_VIEW_CLASS (klass)->draw = grad_plot_src_draw;
}

static void
grad_plot_src_init (GradPlotSrc * self)
{
}
