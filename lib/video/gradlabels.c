/* GradStreamer: a panel with labels and probability bars
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All lengths are multiples of the size of the font, which is a part of the frame's height. */
#include "gradlabels.h"
#include "../plot/gradpen.h"

#include <math.h>

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

static void
show_text (GradPen * pen, gdouble x, gdouble y, gdouble align, gdouble alpha)
{
  cairo_set_source_rgba (pen->cr, 1, 1, 1, alpha);
  grad_pen_show (pen, x, y, align);
}

static void
draw_row (GradPen * pen, const GradClassification * c, guint rank, gint label_width, gint max_label)
{
  gdouble em = pen->em, y = em * (PADDING + ROW * (rank + 0.5));
  gdouble p = grad_classification_get_probability (c, rank), strong = rank == 0 ? 1 : 0.72;
  gdouble x = em * PADDING;
  g_autofree gchar *percent = g_strdup_printf ("%.0f %%", 100 * p);

  grad_pen_set_text (pen, grad_classification_get_label (c, rank), 1, rank == 0, max_label);
  show_text (pen, x, y, 0, strong);
  x += label_width + em * GAP;
  grad_pen_rounded (pen, x, y - em * BAR_HEIGHT / 2, em * BAR, em * BAR_HEIGHT,
      em * BAR_HEIGHT / 2);
  cairo_set_source_rgba (pen->cr, 1, 1, 1, 0.18);
  cairo_fill_preserve (pen->cr);
  cairo_save (pen->cr);
  cairo_clip (pen->cr);
  cairo_rectangle (pen->cr, x, y - em * BAR_HEIGHT / 2, em * BAR * p, em * BAR_HEIGHT);
  cairo_set_source_rgba (pen->cr, 0.25, 0.72, 0.98, rank == 0 ? 1 : 0.6);
  cairo_fill (pen->cr);
  cairo_restore (pen->cr);
  x += em * (BAR + PERCENT);
  grad_pen_set_text (pen, percent, 1, FALSE, 0);
  show_text (pen, x, y, 1, strong);
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
  GradPen pen = grad_pen_new (cairo_create (surface), style->font_family, em);
  GstBuffer *buffer;
  GstMapInfo map;

  for (guint rank = 0; rank < n; rank++) {
    grad_pen_set_text (&pen, grad_classification_get_label (classification, rank), 1, rank == 0,
        max_label);
    label_width = MAX (label_width, grad_pen_get_width (&pen));
  }
  cairo_destroy (pen.cr);
  grad_pen_clear (&pen);
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
  pen = grad_pen_new (cairo_create (surface), style->font_family, em);
  grad_pen_rounded (&pen, 0, 0, *width, *height, em * PADDING);
  cairo_set_source_rgba (pen.cr, 0.07, 0.08, 0.1, 0.72);
  cairo_fill (pen.cr);
  for (guint rank = 0; rank < n; rank++)
    draw_row (&pen, classification, rank, label_width, max_label);
  if (note != NULL) {
    grad_pen_set_text (&pen, note, NOTE, FALSE, 0);
    show_text (&pen, em * PADDING, em * (PADDING + ROW * (n + NOTE / 2)), 0, 0.72);
  }
  cairo_destroy (pen.cr);
  grad_pen_clear (&pen);
  cairo_surface_flush (surface);
  cairo_surface_destroy (surface);
  gst_buffer_unmap (buffer, &map);
  return buffer;
}
