/* GradStreamer: gradients as live video
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradbusview
 * @title: gradbusview
 * @short_description: shows the gradient of a parameter while a network trains
 *
 * Shows gradients as they are announced on the #GradBus, as gradtovideo shows activations: a convolution's gradient (O, I, H, W) becomes
 * a grid with a tile of HxW for each input of each output, (O, I) is one tile of O rows, (O) a row; as large as the frame
 * has room for, unless `scale` says otherwise. In the colours for signed values, the default, zero is white, and each tile goes as
 * far as its own largest value.
 *
 * A gradient is copied when the last one has been drawn, and so `framerate` times a second at most: the training waits for these
 * copies, and for nothing else, and its weights are the same without them. When it ends or is stopped, the stream ends.
 *
 * ## Example
 * <!-- run: s,/usr/share/datasets/fashion-mnist,$D,g; s/autovideosink/fakevideosink/ -->
 * |[
 * gst-launch-1.0 idxsrc location=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz labels=/usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz ! gradresize ! gradconvstem ! gradglobalpool ! gradfc ! gradloss ! gradadamsink gradbusview parameter=conv1.weight ! videoconvert ! autovideosink
 * ]|
 */
#include "config.h"
#include "lib/video/gradtensorview.h"
#include "lib/video/gradtrainingview.h"
#include "gradstreamerelements.h"

GST_DEBUG_CATEGORY_STATIC (grad_bus_view_debug);
#define GST_CAT_DEFAULT grad_bus_view_debug

#define GRAD_TYPE_BUS_VIEW (grad_bus_view_get_type ())
G_DECLARE_FINAL_TYPE (GradBusView, grad_bus_view, GRAD, BUS_VIEW, GradTrainingView)

struct _GradBusView
{
  GradTrainingView parent;

  /* properties, object lock */
  gchar *parameter;
  GradTensorView asked;         /* as far as it can be asked for */

  gulong handler;
  GMutex lock;                  /* guards the following, which the optimizer's thread hands over */
  const gchar *model;           /* NULL while nothing is wanted */
  gchar *wanted;                /* beginning of a name, and then the first name that had it */
  GPtrArray *others;            /* names until then */
  GradShape shape;
  gfloat *values;               /* a gradient that was not yet drawn */
  GError *error;
  gboolean too_large;           /* for the frame: nothing more is taken */
  /* streaming thread */
  GradTensorView view;
};

static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (GRAD_TRAINING_VIEW_CAPS ("RGB")));

G_DEFINE_FINAL_TYPE (GradBusView, grad_bus_view, GRAD_TYPE_TRAINING_VIEW);
GST_ELEMENT_REGISTER_DEFINE (gradbusview, "gradbusview", GST_RANK_NONE, GRAD_TYPE_BUS_VIEW);

/* ---- the optimizer's thread */

/* A name that comes again was in the last step, and all of that have come. */
static void
pass_by (GradBusView * self, const gchar * name)
{
  if (!g_ptr_array_find_with_equal_func (self->others, name, g_str_equal, NULL)) {
    g_ptr_array_add (self->others, g_strdup (name));
  } else if (self->error == NULL) {
    g_autofree gchar *names = NULL;

    g_ptr_array_add (self->others, NULL);
    names = g_strjoinv (", ", (gchar **) self->others->pdata);
    g_ptr_array_set_size (self->others, self->others->len - 1);
    g_set_error (&self->error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "no parameter whose name begins with \"%s\" has "
        "a gradient: set parameter to one of %s", self->wanted, names);
  }
}

static void
take_gradient (GradBus * bus, const gchar * model, const gchar * name, GradTensor * gradient,
    GradBusView * self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  gboolean found = self->shape.rank > 0;
  gsize size;

  if (g_strcmp0 (model, self->model) != 0 || self->values != NULL || self->error != NULL || self->too_large
      || (found && !g_str_equal (name, self->wanted)))
    return;
  if (!g_str_has_prefix (name, self->wanted)) {
    pass_by (self, name);
    return;
  }
  if (!found) {
    g_free (self->wanted);
    self->wanted = g_strdup (name);
    self->shape = *grad_tensor_get_shape (gradient);
  }
  size = grad_shape_n_elements (&self->shape) * sizeof (gfloat);
  self->values = g_malloc (size);
  if (!grad_tensor_download (gradient, self->values, size, &self->error))
    g_clear_pointer (&self->values, g_free);
}

/* ---- the video */

static gboolean
plan (GradBusView * self, const GradShape * shape, const GstVideoInfo * info, GError ** error)
{
  g_autoptr (GstCaps) caps = grad_caps_new (GRAD_DTYPE_FLOAT32, shape, 0, 1);

  GST_OBJECT_LOCK (self);
  self->view = self->asked;
  GST_OBJECT_UNLOCK (self);
  self->view.colored = TRUE;
  self->view.max_width = info->width;
  self->view.max_height = info->height;
  return grad_tensor_view_plan (&self->view, caps, NULL, error);
}

/* The grid in the middle of a black frame, or nothing but that without values */
static GstBuffer *
draw_frame (const GradTensorView * view, const gfloat * values, const GstVideoInfo * info)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, GST_VIDEO_INFO_SIZE (info), NULL);
  GstVideoFrame frame;
  guint8 *pixels;
  gint stride;

  gst_buffer_memset (buffer, 0, 0, -1);
  if (values == NULL)
    return buffer;
  gst_video_frame_map (&frame, info, buffer, GST_MAP_WRITE);
  pixels = GST_VIDEO_FRAME_PLANE_DATA (&frame, 0);
  stride = GST_VIDEO_FRAME_PLANE_STRIDE (&frame, 0);
  pixels += (info->height - view->height) / 2 * stride + (info->width - view->width) / 2 * 3;
  grad_tensor_view_draw (view, values, 0, pixels, stride);
  gst_video_frame_unmap (&frame);
  return buffer;
}

static gboolean
grad_bus_view_draw (GradTrainingView * base, const GstVideoInfo * info, gboolean first,
    GstBuffer ** frame, GError ** error)
{
  GradBusView *self = GRAD_BUS_VIEW (base);
  g_autofree gfloat *values = NULL;
  g_autoptr (GError) cause = NULL;
  GError *failure;
  GradShape shape;

  g_mutex_lock (&self->lock);
  values = g_steal_pointer (&self->values);
  failure = g_steal_pointer (&self->error);
  shape = self->shape;
  g_mutex_unlock (&self->lock);
  if (failure != NULL) {
    g_propagate_error (error, failure);
    return FALSE;
  }
  if (values != NULL && !plan (self, &shape, info, &cause)) {
    /* the training is worth more than its view */
    GST_ELEMENT_WARNING (self, STREAM, FORMAT, ("%s: it is not shown", cause->message), (NULL));
    g_mutex_lock (&self->lock);
    self->too_large = TRUE;
    g_clear_pointer (&self->values, g_free);
    g_mutex_unlock (&self->lock);
    g_clear_pointer (&values, g_free);
  }
  if (values != NULL || first)
    *frame = draw_frame (&self->view, values, info);
  return TRUE;
}

/* ---- states */

static gboolean
grad_bus_view_begin (GradTrainingView * base, GError ** error)
{
  GradBusView *self = GRAD_BUS_VIEW (base);
  GradTensorView asked;

  GST_OBJECT_LOCK (self);
  asked = self->asked;
  self->wanted = g_strdup (self->parameter ? self->parameter : "");
  GST_OBJECT_UNLOCK (self);
  if (!grad_tensor_view_check (&asked, error)) {
    g_clear_pointer (&self->wanted, g_free);
    return FALSE;
  }
  self->others = g_ptr_array_new_with_free_func (g_free);
  self->too_large = FALSE;
  self->model = grad_network_get_name (grad_training_view_get_network (base));
  self->handler = g_signal_connect_data (grad_training_view_get_bus (base), "parameter-gradient",
      G_CALLBACK (take_gradient), g_object_ref (self), (GClosureNotify) (void (*) (void))
      g_object_unref, 0);
  return TRUE;
}

static void
grad_bus_view_end (GradTrainingView * base)
{
  GradBusView *self = GRAD_BUS_VIEW (base);

  g_signal_handler_disconnect (grad_training_view_get_bus (base), self->handler);
  g_mutex_lock (&self->lock);   /* it may be running */
  self->model = NULL;
  self->shape.rank = 0;
  g_clear_pointer (&self->wanted, g_free);
  g_clear_pointer (&self->others, g_ptr_array_unref);
  g_clear_pointer (&self->values, g_free);
  g_clear_error (&self->error);
  g_mutex_unlock (&self->lock);
}

/* ---- properties */

static void
grad_bus_view_finalize (GObject * object)
{
  GradBusView *self = GRAD_BUS_VIEW (object);

  g_free (self->parameter);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (grad_bus_view_parent_class)->finalize (object);
}

static void
grad_bus_view_class_init (GradBusViewClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GradTrainingViewClass *view_class = GRAD_TRAINING_VIEW_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_bus_view_debug, "gradbusview", 0, "Gradients to video");
  grad_element_class_init_properties (object_class);
  object_class->finalize = grad_bus_view_finalize;
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradBusView, parameter),
      g_param_spec_string ("parameter", "Parameter", "Name of the parameter whose gradient is shown, or the "
          "beginning of names: of these, the one that backward comes to first", NULL,
          GRAD_PARAM_STATIC));
  grad_tensor_view_install_properties (object_class, G_STRUCT_OFFSET (GradBusView, asked), GRAD_COLOR_MAP_SIGNED);

  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Gradients to video", "Source/Video",
      "Shows the gradient of a parameter while a network trains", PACKAGE_AUTHOR);
  view_class->begin = grad_bus_view_begin;
  view_class->end = grad_bus_view_end;
  view_class->draw = grad_bus_view_draw;
}

static void
grad_bus_view_init (GradBusView * self)
{
  g_mutex_init (&self->lock);
}
