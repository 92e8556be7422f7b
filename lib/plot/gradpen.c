/* GradStreamer: text and shapes for pictures
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradpen.h"

GradPen
grad_pen_new (cairo_t * cr, const gchar * family, gdouble em)
{
  GradPen pen = { cr, pango_cairo_create_layout (cr), family, em };

  pango_layout_set_single_paragraph_mode (pen.layout, TRUE);
  return pen;
}

void
grad_pen_clear (GradPen * pen)
{
  g_clear_object (&pen->layout);
}

void
grad_pen_set_text (GradPen * pen, const gchar * text, gdouble size, gboolean bold, gint max_width)
{
  PangoFontDescription *font = pango_font_description_from_string (pen->family ? pen->family : "Sans");

  pango_font_description_set_absolute_size (font, size * pen->em * PANGO_SCALE);
  pango_font_description_set_weight (font, bold ? PANGO_WEIGHT_BOLD : PANGO_WEIGHT_NORMAL);
  pango_layout_set_font_description (pen->layout, font);
  pango_layout_set_text (pen->layout, text, -1);
  pango_layout_set_width (pen->layout, max_width > 0 ? max_width * PANGO_SCALE : -1);
  pango_layout_set_ellipsize (pen->layout, PANGO_ELLIPSIZE_END);
  pango_font_description_free (font);
}

gint
grad_pen_get_width (GradPen * pen)
{
  gint width;

  pango_layout_get_pixel_size (pen->layout, &width, NULL);
  return width;
}

void
grad_pen_show (GradPen * pen, gdouble x, gdouble y, gdouble align)
{
  gint width, height;

  pango_layout_get_pixel_size (pen->layout, &width, &height);
  cairo_move_to (pen->cr, x - align * width, y - height / 2.);
  pango_cairo_show_layout (pen->cr, pen->layout);
}

void
grad_pen_rounded (GradPen * pen, gdouble x, gdouble y, gdouble w, gdouble h, gdouble r)
{
  cairo_t *cr = pen->cr;

  r = MIN (r, MIN (w, h) / 2);
  cairo_new_sub_path (cr);
  cairo_arc (cr, x + w - r, y + r, r, -G_PI / 2, 0);
  cairo_arc (cr, x + w - r, y + h - r, r, 0, G_PI / 2);
  cairo_arc (cr, x + r, y + h - r, r, G_PI / 2, G_PI);
  cairo_arc (cr, x + r, y + r, r, G_PI, 3 * G_PI / 2);
  cairo_close_path (cr);
}
