/* GradStreamer: draw what was classified over the video
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-gradoverlay
 * @title: gradoverlay
 * @short_description: labels and probabilities, drawn over the video
 *
 * Draws the #GradClassification that a frame carries: a label and a bar for each result. Sizes follow the height of the frame. Where the
 * sink blends overlays itself (`meta:GstVideoOverlayComposition`) it is given one, elsewhere the frame is painted on. What is shown is
 * drawn only when it changes; frames that carry nothing pass untouched.
 *
 * ## Example
 * <!-- run: s|gradclassify [^!]*!|identity !|; s/autovideosink/fakesink/ -->
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=30 ! gradclassify location=resnet18.safetensors ! gradoverlay show-rate=true ! videoconvert ! autovideosink
 * ]|
 */
#include "config.h"
#include "lib/base/gradelement.h"
#include "lib/video/gradframereader.h"
#include "lib/video/gradlabels.h"
#include "gradstreamerelements.h"

#include <gst/base/gstbasetransform.h>
#include <string.h>

GST_DEBUG_CATEGORY_STATIC (grad_overlay_debug);
#define GST_CAT_DEFAULT grad_overlay_debug

#define GRAD_TYPE_OVERLAY (grad_overlay_get_type ())
G_DECLARE_FINAL_TYPE (GradOverlay, grad_overlay, GRAD, OVERLAY, GstBaseTransform)

typedef enum
{
  GRAD_CORNER_TOP_LEFT,
  GRAD_CORNER_TOP_RIGHT,
  GRAD_CORNER_BOTTOM_LEFT,
  GRAD_CORNER_BOTTOM_RIGHT
} GradCorner;

struct _GradOverlay
{
  GstBaseTransform parent;

  /* properties, object lock */
  GradCorner position;
  GradLabelsStyle style;
  gboolean show_rate;

  /* streaming thread */
  GstVideoInfo info;
  gboolean attach;              /* downstream blends */
  GradClassification *last;
  gdouble interval;             /* seconds from result to result, smoothed; 0 when unknown */
  gint64 changed;               /* when the last one came, monotonic time */
  gchar *note;                  /* what is said of it */
  gint64 noted;                 /* when it was written */
  gchar *drawn;                 /* what the composition shows */
  GstVideoOverlayComposition *composition;
};


#define MARGIN (1 / 30.)        /* of the frame's height */
#define NOTE_INTERVAL (G_TIME_SPAN_SECOND / 2)
#define FEATURE GST_CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION
#define CAPS "video/x-raw(ANY)"

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (CAPS));

G_DEFINE_FINAL_TYPE (GradOverlay, grad_overlay, GST_TYPE_BASE_TRANSFORM);
GST_ELEMENT_REGISTER_DEFINE (gradoverlay, "gradoverlay", GST_RANK_NONE, GRAD_TYPE_OVERLAY);

#define GRAD_TYPE_CORNER (grad_corner_get_type ())
static GType
grad_corner_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GRAD_CORNER_TOP_LEFT, "Top left", "top-left"},
    {GRAD_CORNER_TOP_RIGHT, "Top right", "top-right"},
    {GRAD_CORNER_BOTTOM_LEFT, "Bottom left", "bottom-left"},
    {GRAD_CORNER_BOTTOM_RIGHT, "Bottom right", "bottom-right"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradCorner", values));
  return type;
}

static gboolean
has_overlay (const GstCaps * caps, guint i)
{
  GstCapsFeatures *features = gst_caps_get_features (caps, i);

  return features && !gst_caps_features_is_any (features)
      && gst_caps_features_contains (features, FEATURE);
}

/* The same caps, and the same with the overlay beside the pixels: added downstream, taken away upstream. */
static GstCaps *
grad_overlay_transform_caps (GstBaseTransform * trans, GstPadDirection direction, GstCaps * caps,
    GstCaps * filter)
{
  GstCaps *result = gst_caps_copy (caps), *intersection;

  for (guint i = 0; i < gst_caps_get_size (caps); i++) {
    GstCapsFeatures *features = gst_caps_get_features (caps, i);
    GstCapsFeatures *other = features ? gst_caps_features_copy (features)
        : gst_caps_features_new_empty ();

    if (gst_caps_features_is_any (other)) {
      gst_caps_features_free (other);
      continue;
    }
    if (direction == GST_PAD_SINK && !has_overlay (caps, i))
      gst_caps_features_add (other, FEATURE);
    else if (direction == GST_PAD_SRC && has_overlay (caps, i))
      gst_caps_features_remove (other, FEATURE);
    gst_caps_append_structure_full (result,
        gst_structure_copy (gst_caps_get_structure (caps, i)), other);
  }
  if (filter != NULL) {
    intersection = gst_caps_intersect_full (filter, result, GST_CAPS_INTERSECT_FIRST);
    gst_caps_unref (result);
    result = intersection;
  }
  return result;
}

/* Downstream is given an overlay to blend if it says so itself, and not if it just takes anything. */
static GstCaps *
grad_overlay_fixate_caps (GstBaseTransform * trans, GstPadDirection direction, GstCaps * caps,
    GstCaps * othercaps)
{
  gboolean blends = FALSE;

  if (direction == GST_PAD_SINK) {
    g_autoptr (GstCaps) peer = gst_pad_peer_query_caps (trans->srcpad, NULL);

    for (guint i = 0; peer && i < gst_caps_get_size (peer) && !blends; i++)
      blends = has_overlay (peer, i);
  }
  othercaps = gst_caps_make_writable (othercaps);
  for (guint i = 0; i < gst_caps_get_size (othercaps); i++)
    if (has_overlay (othercaps, i) == (blends || has_overlay (caps, 0))) {
      GstCaps *chosen = gst_caps_copy_nth (othercaps, i);

      gst_caps_unref (othercaps);
      return gst_caps_fixate (chosen);
    }
  return gst_caps_fixate (othercaps);
}

static void
forget (GradOverlay * self)
{
  g_clear_pointer (&self->drawn, g_free);
  g_clear_pointer (&self->composition, gst_video_overlay_composition_unref);
}

static gboolean
grad_overlay_set_caps (GstBaseTransform * trans, GstCaps * in, GstCaps * out)
{
  GradOverlay *self = GRAD_OVERLAY (trans);

  forget (self);
  self->attach = has_overlay (out, 0);
  return gst_video_info_from_caps (&self->info, in);
}

static void
take_result (GradOverlay * self, GradClassification * c)
{
  gint64 now = g_get_monotonic_time ();
  gdouble seconds = (now - self->changed) / (gdouble) G_TIME_SPAN_SECOND;

  if (c == self->last)
    return;
  if (self->last != NULL)
    self->interval = self->interval > 0 ? 0.9 * self->interval + 0.1 * seconds : seconds;
  self->changed = now;
  g_clear_pointer (&self->last, grad_classification_unref);
  self->last = grad_classification_ref (c);
}

/* Numbers that a person can read stand for a while, and so does what was drawn. */
static const gchar *
note_rate (GradOverlay * self)
{
  GstClockTime latency = grad_classification_get_latency (self->last);
  GString *note;

  if (self->note != NULL && self->changed - self->noted < NOTE_INTERVAL)
    return self->note;
  note = g_string_new (NULL);
  if (GST_CLOCK_TIME_IS_VALID (latency))
    g_string_printf (note, "%.1f ms  ", latency / (gdouble) GST_MSECOND);
  if (self->interval > 0)
    g_string_append_printf (note, "%.0f/s", 1 / self->interval);
  g_free (self->note);
  self->note = g_string_free (note, FALSE);
  self->noted = self->changed;
  return self->note;
}

/* All that decides what is drawn */
static gchar *
describe (GradOverlay * self, const gchar * note)
{
  GString *text = g_string_new (note);
  guint n = MIN (grad_classification_get_n_results (self->last), self->style.max_results);

  for (guint rank = 0; rank < n; rank++)
    g_string_append_printf (text, "\n%s\t%.0f", grad_classification_get_label (self->last, rank),
        100 * grad_classification_get_probability (self->last, rank));
  g_string_append_printf (text, "\n%d %g %s", self->position, self->style.scale,
      self->style.font_family);
  return g_string_free (text, FALSE);
}

static GstVideoOverlayComposition *
compose (GradOverlay * self, const gchar * note)
{
  gint w = GST_VIDEO_INFO_WIDTH (&self->info), h = GST_VIDEO_INFO_HEIGHT (&self->info);
  gint margin = h * MARGIN, width, height, x, y;
  g_autoptr (GstBuffer) pixels = grad_labels_draw (self->last, note, &self->style, w, h, &width,
      &height);
  GstVideoOverlayRectangle *rectangle;
  GstVideoOverlayComposition *composition;

  x = self->position == GRAD_CORNER_TOP_LEFT || self->position == GRAD_CORNER_BOTTOM_LEFT
      ? margin : w - margin - width;
  y = self->position == GRAD_CORNER_TOP_LEFT || self->position == GRAD_CORNER_TOP_RIGHT
      ? margin : h - margin - height;
  x = CLAMP (x, 0, w - width);
  y = CLAMP (y, 0, h - height);
  GST_DEBUG_OBJECT (self, "drawing %dx%d at %d, %d", width, height, x, y);
  rectangle = gst_video_overlay_rectangle_new_raw (pixels, x, y, width, height,
      GST_VIDEO_OVERLAY_FORMAT_FLAG_PREMULTIPLIED_ALPHA);
  composition = gst_video_overlay_composition_new (rectangle);
  gst_video_overlay_rectangle_unref (rectangle);
  return composition;
}

/* What to show over the frame; NULL: nothing */
static GstVideoOverlayComposition *
get_composition (GradOverlay * self, GstBuffer * frame)
{
  GradClassification *c = grad_buffer_get_classification (frame);
  g_autofree gchar *text = NULL;
  const gchar *note;

  if (c == NULL || grad_classification_get_n_results (c) == 0)
    return NULL;
  take_result (self, c);
  GST_OBJECT_LOCK (self);
  note = self->show_rate ? note_rate (self) : NULL;
  text = describe (self, note);
  if (g_strcmp0 (text, self->drawn) != 0) {
    forget (self);
    self->composition = compose (self, note);
    self->drawn = g_steal_pointer (&text);
  }
  GST_OBJECT_UNLOCK (self);
  return self->composition;
}

/* Over what the frame carries already, so that there is one composition. */
static void
attach (GstBuffer * frame, GstVideoOverlayComposition * ours)
{
  GstVideoOverlayCompositionMeta *meta = gst_buffer_get_video_overlay_composition_meta (frame);
  GstVideoOverlayComposition *both;

  if (meta == NULL) {
    gst_buffer_add_video_overlay_composition_meta (frame, ours);
    return;
  }
  both = gst_video_overlay_composition_copy (meta->overlay);
  for (guint i = 0; i < gst_video_overlay_composition_n_rectangles (ours); i++)
    gst_video_overlay_composition_add_rectangle (both,
        gst_video_overlay_composition_get_rectangle (ours, i));
  gst_buffer_remove_video_overlay_composition_meta (frame, meta);
  gst_buffer_add_video_overlay_composition_meta (frame, both);
  gst_video_overlay_composition_unref (both);
}

/* A frame is copied only if it is going to be changed, and someone else has it, too. */
static GstFlowReturn
grad_overlay_prepare_output_buffer (GstBaseTransform * trans, GstBuffer * in, GstBuffer ** out)
{
  *out = get_composition (GRAD_OVERLAY (trans), in) == NULL || gst_buffer_is_writable (in) ? in
      : gst_buffer_copy (in);
  return GST_FLOW_OK;
}

static GstFlowReturn
grad_overlay_transform_ip (GstBaseTransform * trans, GstBuffer * frame)
{
  GradOverlay *self = GRAD_OVERLAY (trans);
  GstVideoOverlayComposition *composition = get_composition (self, frame);
  GstVideoFrame map;
  gboolean ok;

  if (composition == NULL)
    return GST_FLOW_OK;
  if (self->attach) {
    attach (frame, composition);
    return GST_FLOW_OK;
  }
  ok = gst_video_frame_map (&map, &self->info, frame, GST_MAP_READWRITE);
  if (ok) {
    ok = gst_video_overlay_composition_blend (composition, &map);
    gst_video_frame_unmap (&map);
  }
  if (ok)
    return GST_FLOW_OK;
  GST_ELEMENT_ERROR (self, STREAM, FORMAT, ("Frames of this kind cannot be painted on: put "
          "videoconvert in front."), (NULL));
  return GST_FLOW_ERROR;
}

static gboolean
grad_overlay_stop (GstBaseTransform * trans)
{
  GradOverlay *self = GRAD_OVERLAY (trans);

  forget (self);
  g_clear_pointer (&self->last, grad_classification_unref);
  g_clear_pointer (&self->note, g_free);
  self->interval = 0;
  return TRUE;
}

static void
grad_overlay_finalize (GObject * object)
{
  g_free (GRAD_OVERLAY (object)->style.font_family);
  G_OBJECT_CLASS (grad_overlay_parent_class)->finalize (object);
}

static gboolean
grad_overlay_propose_allocation (GstBaseTransform * trans, GstQuery * decided, GstQuery * query)
{
  gboolean ok = GST_BASE_TRANSFORM_CLASS (grad_overlay_parent_class)->propose_allocation (trans, decided, query);

  grad_query_remove_crop (query);
  return ok;
}

static void
grad_overlay_class_init (GradOverlayClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (grad_overlay_debug, "gradoverlay", 0, "GradStreamer overlay");
  grad_element_class_init_properties (object_class);
  object_class->finalize = grad_overlay_finalize;
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradOverlay, position),
      g_param_spec_enum ("position", "Position", "Corner of the frame that the results are in",
          GRAD_TYPE_CORNER, GRAD_CORNER_TOP_LEFT, GRAD_PARAM_PLAYING));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradOverlay, style.max_results),
      g_param_spec_uint ("max-results", "Maximum results", "How many of the results to show at most",
          1, 20, 3, GRAD_PARAM_PLAYING));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradOverlay, style.font_family),
      g_param_spec_string ("font-family", "Font family", "Font of the labels, as Pango knows it",
          "Sans", GRAD_PARAM_PLAYING));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradOverlay, style.scale),
      g_param_spec_double ("scale", "Scale", "Size of what is drawn; 1 suits the height of the frame",
          0.25, 8, 1, GRAD_PARAM_PLAYING));
  g_object_class_install_property (object_class, G_STRUCT_OFFSET (GradOverlay, show_rate),
      g_param_spec_boolean ("show-rate", "Show rate", "Whether to show how many results there are in a "
          "second, and how long one takes", FALSE, GRAD_PARAM_PLAYING));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Classification overlay",
      "Filter/Effect/Video", "Draws labels and probabilities over the video that gradclassify has "
      "looked at", PACKAGE_AUTHOR);
  trans_class->transform_caps = GST_DEBUG_FUNCPTR (grad_overlay_transform_caps);
  trans_class->fixate_caps = GST_DEBUG_FUNCPTR (grad_overlay_fixate_caps);
  trans_class->set_caps = GST_DEBUG_FUNCPTR (grad_overlay_set_caps);
  trans_class->prepare_output_buffer = GST_DEBUG_FUNCPTR (grad_overlay_prepare_output_buffer);
  trans_class->propose_allocation = GST_DEBUG_FUNCPTR (grad_overlay_propose_allocation);
  trans_class->transform_ip = GST_DEBUG_FUNCPTR (grad_overlay_transform_ip);
  trans_class->stop = GST_DEBUG_FUNCPTR (grad_overlay_stop);
  trans_class->transform_ip_on_passthrough = TRUE;
  gst_type_mark_as_plugin_api (GRAD_TYPE_CORNER, 0);
}

static void
grad_overlay_init (GradOverlay * self)
{
}
