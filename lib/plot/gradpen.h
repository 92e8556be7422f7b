/* GradStreamer: text and shapes for pictures
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <pango/pangocairo.h>

G_BEGIN_DECLS

typedef struct
{
  cairo_t *cr;
  PangoLayout *layout;
  const gchar *family;
  gdouble em;                   /* pixels */
} GradPen;

GradPen grad_pen_new (cairo_t * cr, const gchar * family, gdouble em);
void grad_pen_clear (GradPen * pen);

/* What is shown next: in multiples of em, cut with an ellipsis where it is wider than max_width, 0 for any width. */
void grad_pen_set_text (GradPen * pen, const gchar * text, gdouble size, gboolean bold,
    gint max_width);
gint grad_pen_get_width (GradPen * pen);
/* In the colour of the source, centred on the line y; align is 0 where x is its left end, 1 where it is its right one. */
void grad_pen_show (GradPen * pen, gdouble x, gdouble y, gdouble align);

void grad_pen_rounded (GradPen * pen, gdouble x, gdouble y, gdouble w, gdouble h, gdouble r);

G_END_DECLS
