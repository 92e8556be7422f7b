/* GradStreamer: a panel with labels and probability bars
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All lengths are multiples of the size of the font, which is a part of the frame's height. */
#include "gradlabels.h"

#include <math.h>
#include <pango/pangocairo.h>
#include <string.h>

#define FONT (1 / 22.)          /* of the frame's height */
#define MIN_FONT 9              /* pixels that can still be read */
#define ROW 1.6
#define PADDING 0.6
#define GAP 0.6
#define BAR 5.0
#define BAR_HEIGHT 0.5
#define PERCENT 2.9
#define MAX_LABEL 0.5           /* of the frame's width */
#define NOTE 0.72               /* of the font */

typedef struct
{
  cairo_t *cr;
  PangoLayout *layout;
  const gchar *family;
  gdouble em;                   /* pixels */
} Pen;

static void
set_text (Pen * pen, const gchar * text, gdouble size, gboolean bold, gint max_width)
{
  PangoFontDescription *font = pango_font_description_from_string (pen->family);

  pango_font_description_set_absolute_size (font, size * pen->em * PANGO_SCALE);
  pango_font_description_set_weight (font, bold ? PANGO_WEIGHT_BOLD : PANGO_WEIGHT_NORMAL);
  pango_layout_set_font_description (pen->layout, font);
  pango_layout_set_text (pen->layout, text, -1);
  pango_layout_set_width (pen->layout, max_width > 0 ? max_width * PANGO_SCALE : -1);
  pango_layout_set_ellipsize (pen->layout, PANGO_ELLIPSIZE_END);
  pango_font_description_free (font);
}

static gint
text_width (Pen * pen)
{
  gint width;

  pango_layout_get_pixel_size (pen->layout, &width, NULL);
  return width;
}

/* Centred on the line y */
static void
show_text (Pen * pen, gdouble x, gdouble y, gdouble alpha)
{
  gint height;

  pango_layout_get_pixel_size (pen->layout, NULL, &height);
  cairo_set_source_rgba (pen->cr, 1, 1, 1, alpha);
  cairo_move_to (pen->cr, x, y - height / 2.);
  pango_cairo_show_layout (pen->cr, pen->layout);
}

static void
rounded (cairo_t * cr, gdouble x, gdouble y, gdouble w, gdouble h, gdouble r)
{
  r = MIN (r, MIN (w, h) / 2);
  cairo_new_sub_path (cr);
  cairo_arc (cr, x + w - r, y + r, r, -G_PI / 2, 0);
  cairo_arc (cr, x + w - r, y + h - r, r, 0, G_PI / 2);
  cairo_arc (cr, x + r, y + h - r, r, G_PI / 2, G_PI);
  cairo_arc (cr, x + r, y + r, r, G_PI, 3 * G_PI / 2);
  cairo_close_path (cr);
}

static void
draw_row (Pen * pen, const GradClassification * c, guint rank, gint label_width, gint max_label)
{
  gdouble em = pen->em, y = em * (PADDING + ROW * (rank + 0.5));
  gdouble p = grad_classification_get_probability (c, rank), strong = rank == 0 ? 1 : 0.72;
  gdouble x = em * PADDING;
  g_autofree gchar *percent = g_strdup_printf ("%.0f %%", 100 * p);

  set_text (pen, grad_classification_get_label (c, rank), 1, rank == 0, max_label);
  show_text (pen, x, y, strong);
  x += label_width + em * GAP;
  rounded (pen->cr, x, y - em * BAR_HEIGHT / 2, em * BAR, em * BAR_HEIGHT, em * BAR_HEIGHT / 2);
  cairo_set_source_rgba (pen->cr, 1, 1, 1, 0.18);
  cairo_fill_preserve (pen->cr);
  cairo_save (pen->cr);
  cairo_clip (pen->cr);
  cairo_rectangle (pen->cr, x, y - em * BAR_HEIGHT / 2, em * BAR * p, em * BAR_HEIGHT);
  cairo_set_source_rgba (pen->cr, 0.25, 0.72, 0.98, rank == 0 ? 1 : 0.6);
  cairo_fill (pen->cr);
  cairo_restore (pen->cr);
  x += em * (BAR + PERCENT);
  set_text (pen, percent, 1, FALSE, 0);
  show_text (pen, x - text_width (pen), y, strong);
}

GstBuffer *
grad_labels_draw (const GradClassification * classification, const gchar * note,
    const GradLabelsStyle * style, gint frame_width, gint frame_height, gint * width,
    gint * height)
{
  guint n = MIN (grad_classification_get_n_results (classification), style->max_results);
  gdouble em = MAX (MIN_FONT, frame_height * FONT * style->scale);
  gint label_width = 0, max_label = MAX (em, frame_width * MAX_LABEL - em * (BAR + PERCENT));
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_ARGB32, 1, 1);
  Pen pen = { cairo_create (surface), NULL, style->font_family, em };
  GstBuffer *buffer;
  GstMapInfo map;

  pen.layout = pango_cairo_create_layout (pen.cr);
  for (guint rank = 0; rank < n; rank++) {
    set_text (&pen, grad_classification_get_label (classification, rank), 1, rank == 0, max_label);
    label_width = MAX (label_width, text_width (&pen));
  }
  g_object_unref (pen.layout);
  cairo_destroy (pen.cr);
  cairo_surface_destroy (surface);

  *width = MIN (ceil (label_width + em * (2 * PADDING + GAP + BAR + PERCENT)), frame_width);
  *height = MIN (ceil (em * (2 * PADDING + ROW * n + (note ? ROW * NOTE : 0))), frame_height);
  buffer = gst_buffer_new_allocate (NULL, (gsize) * width * *height * 4, NULL);
  gst_buffer_memset (buffer, 0, 0, -1);
  gst_buffer_add_video_meta (buffer, GST_VIDEO_FRAME_FLAG_NONE,
      GST_VIDEO_OVERLAY_COMPOSITION_FORMAT_RGB, *width, *height);
  gst_buffer_map (buffer, &map, GST_MAP_READWRITE);
  surface = cairo_image_surface_create_for_data (map.data, CAIRO_FORMAT_ARGB32, *width, *height,
      *width * 4);
  pen.cr = cairo_create (surface);
  pen.layout = pango_cairo_create_layout (pen.cr);
  rounded (pen.cr, 0, 0, *width, *height, em * PADDING);
  cairo_set_source_rgba (pen.cr, 0.07, 0.08, 0.1, 0.72);
  cairo_fill (pen.cr);
  for (guint rank = 0; rank < n; rank++)
    draw_row (&pen, classification, rank, label_width, max_label);
  if (note != NULL) {
    set_text (&pen, note, NOTE, FALSE, 0);
    show_text (&pen, em * PADDING, em * (PADDING + ROW * (n + NOTE / 2)), 0.72);
  }
  g_object_unref (pen.layout);
  cairo_destroy (pen.cr);
  cairo_surface_flush (surface);
  cairo_surface_destroy (surface);
  gst_buffer_unmap (buffer, &map);
  return buffer;
}
