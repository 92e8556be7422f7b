/* GradStreamer: two axes and what is drawn between them
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradpanel.h"

#include <math.h>

#define LABEL 0.85              /* of em: ticks */
#define MARK 0.26
#define MIN_MARK 0.1

void
grad_page_begin (cairo_t * cr, gint width, gint height)
{
  cairo_save (cr);
  cairo_rectangle (cr, 0, 0, width, height);
  cairo_clip (cr);
  cairo_set_source_rgb (cr, GRAD_PLOT_PAPER);
  cairo_paint (cr);
}

void
grad_page_end (cairo_t * cr)
{
  cairo_restore (cr);
}

gdouble
grad_axis_choose_step (gdouble range, guint n_ticks)
{
  gdouble least = range / n_ticks, power = pow (10, floor (log10 (least)));

  for (guint i = 0; i < 3; i++)
    if ((1 + i * i) * power >= least * (1 - 1e-9))      /* 1, 2, 5 */
      return (1 + i * i) * power;
  return 10 * power;
}

GradAxis
grad_axis_around (gdouble low, gdouble high, guint n_ticks)
{
  gdouble step;

  if (high - low <= 1e-6 * MAX (fabs (low), fabs (high))) {     /* one value */
    low = MIN (low, 0);
    high = MAX (high, 0);
  }
  step = grad_axis_choose_step (high > low ? high - low : 1, n_ticks);
  high = MAX (high, low + step);
  return (GradAxis) {
  step * floor (low / step + 1e-9), step * ceil (high / step - 1e-9), step, 1};
}

static gdouble
at_x (const GradPanel * panel, gdouble x)
{
  return panel->left + panel->width * (x - panel->x.low) / (panel->x.high - panel->x.low);
}

/* What is far outside is still a number that cairo can take. */
static gdouble
at_y (const GradPanel * panel, gdouble y)
{
  gdouble at = (panel->y.high - y) / (panel->y.high - panel->y.low);

  return panel->top + panel->height * CLAMP (at, -9, 9);
}

/* Sharp, on the pixels */
static void
draw_rule (const GradPanel * panel, gdouble x0, gdouble y0, gdouble x1, gdouble y1)
{
  cairo_t *cr = panel->pen->cr;

  cairo_move_to (cr, floor (x0) + 0.5, floor (y0) + 0.5);
  cairo_line_to (cr, floor (x1) + 0.5, floor (y1) + 0.5);
  cairo_set_line_width (cr, MAX (1, floor (panel->pen->em / 12)));
  cairo_stroke (cr);
}

static void
draw_tick (const GradPanel * panel, gdouble value, gboolean vertical)
{
  GradPen *pen = panel->pen;
  const GradAxis *axis = vertical ? &panel->y : &panel->x;
  gdouble em = pen->em, x = at_x (panel, value), y = at_y (panel, value);
  g_autofree gchar *text = g_strdup_printf ("%.6g", fabs (value) < axis->step / 2 ? 0
      : value / axis->unit);

  grad_pen_set_text (pen, text, LABEL, FALSE, vertical ? panel->margin - 0.5 * em - MAX (0.1 * em, 1.5) : 0);
  if (vertical) {
    cairo_set_source_rgb (pen->cr, GRAD_PLOT_FAINT);
    draw_rule (panel, panel->left, y, panel->left + panel->width, y);
    cairo_set_source_rgb (pen->cr, GRAD_PLOT_MUTED);
    grad_pen_show (pen, panel->left - 0.5 * em, y, 1);
  } else {
    cairo_set_source_rgb (pen->cr, GRAD_PLOT_MUTED);
    draw_rule (panel, x, panel->top + panel->height, x, panel->top + panel->height + 0.3 * em);
    x = MIN (x, panel->left + panel->width + 0.8 * em - grad_pen_get_width (pen) / 2.);
    grad_pen_show (pen, x, panel->top + panel->height + em, 0.5);
  }
}

static void
draw_ticks (const GradPanel * panel, const GradAxis * axis, gboolean vertical)
{
  if (axis->step > 0)
    for (gdouble i = ceil (axis->low / axis->step - 1e-6);
        i * axis->step <= axis->high + 1e-6 * axis->step; i++)
      draw_tick (panel, i * axis->step, vertical);
}

void
grad_panel_draw_axes (const GradPanel * panel, const gchar * title, const gchar * values)
{
  GradPen *pen = panel->pen;
  gdouble bottom = panel->top + panel->height, line = panel->top - 0.9 * pen->em;

  draw_ticks (panel, &panel->y, TRUE);
  draw_ticks (panel, &panel->x, FALSE);
  cairo_set_source_rgb (pen->cr, GRAD_PLOT_MUTED);
  draw_rule (panel, panel->left, bottom, panel->left + panel->width, bottom);
  cairo_set_source_rgb (pen->cr, GRAD_PLOT_INK);
  grad_pen_set_text (pen, title, 1, TRUE, panel->width);
  grad_pen_show (pen, panel->left, line, 0);
  cairo_set_source_rgb (pen->cr, GRAD_PLOT_MUTED);
  grad_pen_set_text (pen, values, LABEL, FALSE, MAX (1, panel->width - 0.8 * pen->em
          - grad_pen_get_width (pen)));
  grad_pen_show (pen, panel->left + panel->width, line, 1);
}

static void
clip (const GradPanel * panel, gdouble room)
{
  cairo_t *cr = panel->pen->cr;

  cairo_save (cr);
  cairo_rectangle (cr, panel->left - room, panel->top - room, panel->width + 2 * room,
      panel->height + 2 * room);
  cairo_clip (cr);
}

/* Points of the same column of pixels are drawn as what they reach over: a curve costs as much as it is wide. */
static void
trace (const GradPanel * panel, GArray * points)
{
  cairo_t *cr = panel->pen->cr;
  gdouble x = 0, low = 0, high = 0;
  gboolean drawing = FALSE;

  for (guint i = 0; i <= points->len; i++) {
    const GradPoint *p = &g_array_index (points, GradPoint, i);
    gboolean drawn = i < points->len && grad_point_is_drawn (p);
    gdouble new_x = drawn ? at_x (panel, p->x) : NAN, y = drawn ? at_y (panel, p->y) : NAN;

    if (drawing && floor (new_x) == floor (x)) {
      low = MIN (low, y);
      high = MAX (high, y);
      continue;
    }
    if (drawing) {
      cairo_line_to (cr, x, low);
      cairo_line_to (cr, x, high);
    }
    if (!drawn)
      cairo_new_sub_path (cr);
    drawing = drawn;
    x = new_x;
    low = high = y;
  }
}

void
grad_panel_draw_line (const GradPanel * panel, GArray * points, gdouble width)
{
  cairo_t *cr = panel->pen->cr;

  width *= panel->pen->em;
  clip (panel, width);
  trace (panel, points);
  cairo_set_line_width (cr, width);
  cairo_set_line_join (cr, CAIRO_LINE_JOIN_ROUND);
  cairo_set_line_cap (cr, CAIRO_LINE_CAP_ROUND);
  cairo_set_antialias (cr, CAIRO_ANTIALIAS_FAST);
  cairo_stroke (cr);
  cairo_restore (cr);
}

/* Squares are filled, circles are open. */
void
grad_panel_draw_marks (const GradPanel * panel, GArray * points, gboolean square)
{
  cairo_t *cr = panel->pen->cr;
  gdouble em = panel->pen->em;
  gdouble r = CLAMP (panel->width / MAX (1, points->len) / 3, MIN_MARK * em, MARK * em);

  clip (panel, 2 * r);
  for (guint i = 0; i < points->len; i++) {
    const GradPoint *p = &g_array_index (points, GradPoint, i);
    gdouble x = at_x (panel, p->x), y = at_y (panel, p->y);

    if (!grad_point_is_drawn (p))
      continue;
    if (square)
      cairo_rectangle (cr, x - r, y - r, 2 * r, 2 * r);
    else {
      cairo_new_sub_path (cr);
      cairo_arc (cr, x, y, r, 0, 2 * G_PI);
    }
  }
  if (square)
    cairo_fill (cr);
  else {
    cairo_pattern_t *color = cairo_pattern_reference (cairo_get_source (cr));

    cairo_set_source_rgb (cr, GRAD_PLOT_PAPER);
    cairo_fill_preserve (cr);
    cairo_set_source (cr, color);
    cairo_pattern_destroy (color);
    cairo_set_line_width (cr, MIN (0.13 * em, r));
    cairo_stroke (cr);
  }
  cairo_restore (cr);
}
