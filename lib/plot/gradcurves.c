/* GradStreamer: the curves of a training
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All lengths are multiples of em, the size of the letters, which follows the size of the picture. */
#include "gradplot.h"
#include "gradpanel.h"

#include <math.h>

#define EM (1 / 31.)            /* of the height, where that is 9/16 of the width */
#define MARGIN 3.8
#define SMOOTHING (1 / 70.)     /* of all points: neighbours on each side that are averaged */
#define MIN_SMOOTHING 3

/* What a panel shows of the history */
typedef struct
{
  GArray *raw, *smooth;         /* GradPoint: of steps */
  GArray *train, *test;         /* GradPoint: of passes */
} Series;

static Series
series_new (void)
{
  GArray *arrays[4];

  for (guint i = 0; i < 4; i++)
    arrays[i] = g_array_new (FALSE, FALSE, sizeof (GradPoint));
  return (Series) {
  arrays[0], arrays[1], arrays[2], arrays[3]};
}

static void
series_clear (Series * series)
{
  g_array_unref (series->raw);
  g_array_unref (series->smooth);
  g_array_unref (series->train);
  g_array_unref (series->test);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Series, series_clear);

/* The mean of the neighbours on both sides: fewer where the curve begins, those of the left side where it ends, so that it
 * neither lags nor wags its tail. */
static void
smooth (GArray * raw, GArray * smooth)
{
  guint n = raw->len, most = MAX (MIN_SMOOTHING, n * SMOOTHING);
  g_autofree gdouble *sums = g_new0 (gdouble, n + 1);   /* of the values before each */
  g_autofree guint *counts = g_new0 (guint, n + 1);

  for (guint i = 0; i < n; i++) {
    GradPoint *p = &g_array_index (raw, GradPoint, i);
    gboolean drawn = grad_point_is_drawn (p);

    sums[i + 1] = sums[i] + (drawn ? p->y : 0);
    counts[i + 1] = counts[i] + drawn;
  }
  for (guint i = 0; i < n; i++) {
    GradPoint p = g_array_index (raw, GradPoint, i);
    guint left = MIN (i, most), from = i - left, to = i + MIN (left, n - 1 - i) + 1;

    if (grad_point_is_drawn (&p))
      p.y = (sums[to] - sums[from]) / (counts[to] - counts[from]);
    g_array_append_val (smooth, p);
  }
}

static Series
collect (const GradHistory * history, gsize in_step, gsize in_pass, gdouble scale)
{
  Series series = series_new ();

  for (guint i = 0; i < history->steps->len; i++) {
    GradHistoryStep *step = &g_array_index (history->steps, GradHistoryStep, i);
    GradPoint p = { step->step, scale * G_STRUCT_MEMBER (gdouble, step, in_step) };

    g_array_append_val (series.raw, p);
  }
  if (in_pass == 0) {           /* exact, and with no passes */
    GArray *exact = g_steal_pointer (&series.raw);

    series.raw = g_steal_pointer (&series.smooth);
    series.smooth = exact;
    return series;
  }
  smooth (series.raw, series.smooth);
  for (guint i = 0; i < history->passes->len; i++) {
    GradHistoryPass *pass = &g_array_index (history->passes, GradHistoryPass, i);
    GradPoint p = { pass->step, scale * G_STRUCT_MEMBER (gdouble, pass, in_pass) };

    g_array_append_val (pass->test ? series.test : series.train, p);
  }
  return series;
}

static gint
compare (gconstpointer a, gconstpointer b)
{
  gdouble x = *(const gdouble *) a, y = *(const gdouble *) b;

  return (x > y) - (x < y);
}

/* Takes in all values but that part of them at each end. */
static void
extend (GArray * points, gdouble part, gdouble * low, gdouble * high)
{
  g_autofree gdouble *values = g_new (gdouble, points->len + 1);
  guint n = 0;

  for (guint i = 0; i < points->len; i++) {
    GradPoint *p = &g_array_index (points, GradPoint, i);

    if (grad_point_is_drawn (p))
      values[n++] = p->y;
  }
  if (n == 0)
    return;
  qsort (values, n, sizeof *values, compare);
  *low = MIN (*low, values[(guint) (part * (n - 1))]);
  *high = MAX (*high, values[n - 1 - (guint) (part * (n - 1))]);
}

/* Steps, spelled as epochs when two have ended */
static GradAxis
choose_x (const GradHistory * history)
{
  guint n_steps = history->steps->len, n_passes = history->passes->len;
  GradAxis axis = {.low = 0,.high = 1,.unit = 1 };
  guint64 per_epoch = 0;

  if (n_steps > 0) {
    GradHistoryStep *steps = (GradHistoryStep *) history->steps->data;

    axis.low = steps[0].step - MIN (steps[0].step, steps[0].n);
    axis.high = MAX (steps[n_steps - 1].step, axis.low + 1);
  }
  for (guint i = 0; i < n_passes; i++) {
    GradHistoryPass *pass = &g_array_index (history->passes, GradHistoryPass, i);

    axis.high = MAX (axis.high, pass->step);
    if (!pass->test && pass->epoch > 1)
      per_epoch = pass->step / pass->epoch;
  }
  if (per_epoch > 0)
    axis.unit = per_epoch;
  axis.step = axis.unit * MAX (1, grad_axis_choose_step ((axis.high - axis.low) / axis.unit, 6));
  return axis;
}

static GradAxis
choose_y (const Series * series, guint n_ticks)
{
  gdouble low = INFINITY, high = -INFINITY;

  extend (series->raw, 0.02, &low, &high);
  extend (series->smooth, 0.02, &low, &high);
  extend (series->train, 0, &low, &high);
  extend (series->test, 0, &low, &high);
  if (low > high)
    return (GradAxis) {
    .high = 1};
  if (low > 0 && (low < 0.4 * high || series->raw->len == 0))   /* a learning rate */
    low = 0;
  return grad_axis_around (low, high, n_ticks);
}

static void
set_blue (cairo_t * cr, gdouble alpha)
{
  cairo_set_source_rgba (cr, GRAD_PLOT_BLUE, alpha);
}

static gdouble
last (GArray * points)
{
  return points->len ? g_array_index (points, GradPoint, points->len - 1).y : NAN;
}

/* "0.170, test 0.206" */
static gchar *
describe (const Series * series, const gchar * format)
{
  GArray *train = series->train->len ? series->train : series->smooth;
  g_autofree gchar *a = g_strdup_printf (format, last (train));
  g_autofree gchar *b = g_strdup_printf (format, last (series->test));

  if (train->len == 0)
    return g_strdup ("");
  return series->test->len ? g_strdup_printf ("%s, test %s", a, b) : g_strdup (a);
}

static void
draw_panel (GradPanel panel, const Series * series, const gchar * title, const gchar * format)
{
  cairo_t *cr = panel.pen->cr;
  g_autofree gchar *values = describe (series, format);

  panel.y = choose_y (series, MAX (2, panel.height / panel.pen->em / 2.2));
  grad_panel_draw_axes (&panel, title, values);
  set_blue (cr, 0.28);
  grad_panel_draw_line (&panel, series->raw, 0.08);
  set_blue (cr, 1);
  grad_panel_draw_line (&panel, series->smooth, 0.17);
  cairo_set_source_rgb (cr, GRAD_PLOT_VERMILION);
  grad_panel_draw_line (&panel, series->test, 0.13);
  set_blue (cr, 1);
  grad_panel_draw_marks (&panel, series->smooth->len == 1 ? series->smooth : series->train, FALSE);
  cairo_set_source_rgb (cr, GRAD_PLOT_VERMILION);
  grad_panel_draw_marks (&panel, series->test, TRUE);
}

static gboolean
changes (const Series * series)
{
  gdouble low = INFINITY, high = -INFINITY;

  extend (series->smooth, 0, &low, &high);
  return high > low;
}

static void
draw_legend (GradPen * pen, gdouble right, gdouble y)
{
  static const gchar *const names[] = { "test", "whole epoch", "training" };
  gdouble em = pen->em;

  for (guint i = 0; i < 3; i++) {
    GradPanel panel = { pen, 0, 0, y - 1, 1, 2, {0, 1}, {0, 2} };
    GradPoint ends[] = { {0, 1}, {1, 1} }, middle = { 0.5, 1 };
    g_autoptr (GArray) line = g_array_new (FALSE, FALSE, sizeof (GradPoint));
    g_autoptr (GArray) mark = g_array_new (FALSE, FALSE, sizeof (GradPoint));

    grad_pen_set_text (pen, names[i], 0.9, FALSE, 0);
    cairo_set_source_rgb (pen->cr, GRAD_PLOT_INK);
    grad_pen_show (pen, right, y, 1);
    right -= grad_pen_get_width (pen) + 2.1 * em;
    panel.left = right;
    panel.width = 1.7 * em;
    g_array_append_vals (line, ends, 2);
    g_array_append_val (mark, middle);
    if (i == 0)
      cairo_set_source_rgb (pen->cr, GRAD_PLOT_VERMILION);
    else
      set_blue (pen->cr, 1);
    if (i != 1)
      grad_panel_draw_line (&panel, line, i == 0 ? 0.13 : 0.17);
    if (i != 2)
      grad_panel_draw_marks (&panel, mark, i == 0);
    right -= 1.2 * em;
  }
}

static gchar *
make_title (const GradHistory * history)
{
  guint n = history->steps->len;
  const GradHistoryStep *step;

  if (n == 0)
    return g_strdup ("Training: no step yet");
  step = &g_array_index (history->steps, GradHistoryStep, n - 1);
  return g_strdup_printf ("Training: epoch %u, step %" G_GUINT64_FORMAT, step->epoch, step->step);
}

void
grad_plot_curves (cairo_t * cr, gint width, gint height, const GradHistory * history)
{
  gdouble em = EM * MIN (height, width * 9 / 16.);
  GradPen pen = grad_pen_new (cr, "sans", em);
  g_autofree gchar *title = make_title (history);
  g_auto (Series) loss = collect (history, G_STRUCT_OFFSET (GradHistoryStep, loss),
      G_STRUCT_OFFSET (GradHistoryPass, loss), 1);
  g_auto (Series) accuracy = collect (history, G_STRUCT_OFFSET (GradHistoryStep, accuracy),
      G_STRUCT_OFFSET (GradHistoryPass, accuracy), 100);
  g_auto (Series) rate =
      collect (history, G_STRUCT_OFFSET (GradHistoryStep, learning_rate), 0, 1);
  gdouble margin = MARGIN * em, half = (width - 2 * em) / 2;
  GradPanel panel = { &pen, margin, margin, 5.2 * em, half - margin, height - 8.7 * em,
    choose_x (history)
  };
  const gchar *unit = panel.x.unit > 1 ? "epoch" : "step";

  grad_page_begin (cr, width, height);
  cairo_set_source_rgb (cr, GRAD_PLOT_INK);
  grad_pen_set_text (&pen, title, 1.25, TRUE, 0);
  grad_pen_show (&pen, em, 1.8 * em, 0);
  draw_legend (&pen, width - em, 1.8 * em);

  draw_panel (panel, &loss, "Loss", "%.4f");
  panel.left += half + em;
  if (changes (&rate)) {
    GradPanel below = panel;

    below.height = 0.2 * panel.height;
    below.top += panel.height - below.height;
    panel.height = below.top - panel.top - 3.4 * em;
    draw_panel (below, &rate, "Learning rate", "%.3g");
  }
  draw_panel (panel, &accuracy, "Accuracy in %", "%.2f");
  cairo_set_source_rgb (cr, GRAD_PLOT_MUTED);
  for (guint i = 0; i < 2; i++) {
    grad_pen_set_text (&pen, unit, 0.85, FALSE, 0);
    grad_pen_show (&pen, margin + panel.width / 2 + i * (half + em), height - 1.2 * em, 0.5);
  }
  grad_page_end (cr);
  grad_pen_clear (&pen);
}
