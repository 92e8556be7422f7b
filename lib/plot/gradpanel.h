/* GradStreamer: two axes and what is drawn between them
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradpen.h"

G_BEGIN_DECLS

/* Colours as cairo_set_source_rgb() takes them. Blue and vermilion of Okabe and Ito's palette, which everybody can tell apart
 * (https://jfly.uni-koeln.de/color/). */
#define GRAD_PLOT_PAPER 1, 1, 1
#define GRAD_PLOT_INK 0.16, 0.17, 0.19
#define GRAD_PLOT_MUTED 0.45, 0.47, 0.5
#define GRAD_PLOT_FAINT 0.9, 0.905, 0.915
#define GRAD_PLOT_BLUE 0, 0.447, 0.698
#define GRAD_PLOT_VERMILION 0.835, 0.369, 0

/* Paper of that size, which nothing is drawn beyond */
void grad_page_begin (cairo_t * cr, gint width, gint height);
void grad_page_end (cairo_t * cr);

typedef struct
{
  gdouble x, y;
} GradPoint;

/* Others are gaps: what is not a number, infinite, or near it. */
static inline gboolean
grad_point_is_drawn (const GradPoint * point)
{
  return point->y > -1e100 && point->y < 1e100;
}

typedef struct
{
  gdouble low, high;
  gdouble step;                 /* from one tick to the next, 0 for none */
  gdouble unit;                 /* what a tick says is its value in these */
} GradAxis;

typedef struct
{
  GradPen *pen;
  gdouble margin;               /* room for ticks at the left, pixels */
  gdouble left, top, width, height;     /* of the area between the axes */
  GradAxis x, y;
} GradPanel;

/* The size of n_ticks steps or fewer that make up the range: 1, 2 or 5 times a power of ten */
gdouble grad_axis_choose_step (gdouble range, guint n_ticks);
/* An axis that begins and ends with a tick */
GradAxis grad_axis_around (gdouble low, gdouble high, guint n_ticks);

void grad_panel_draw_axes (const GradPanel * panel, const gchar * title, const gchar * values);
/* In the colour of the source: */
void grad_panel_draw_line (const GradPanel * panel, GArray * points, gdouble width);
void grad_panel_draw_marks (const GradPanel * panel, GArray * points, gboolean square);

G_END_DECLS
