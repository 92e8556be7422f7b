/* GradStreamer: which classes are taken for which
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All lengths are multiples of em, the size of the letters, which follows the size of the picture. */
#include "gradplot.h"
#include "gradpanel.h"

#include <math.h>

#define EM (1 / 46.)            /* of the smaller side */
#define MIN_TEXT 7              /* pixels that can still be read */
#define MAX_NAME 8              /* of em */

typedef struct
{
  GradPen pen;
  const GradPlotConfusion *matrix;
  gdouble left, top, cell;      /* of the grid, pixels */
} Grid;

static guint64
row_sum (const GradPlotConfusion * m, guint row)
{
  guint64 sum = 0;

  for (guint i = 0; i < m->n_classes; i++)
    sum += m->counts[(gsize) row * m->n_classes + i];
  return sum;
}

static gchar *
make_title (const GradPlotConfusion * m)
{
  guint64 all = 0, right = 0;

  for (guint i = 0; i < m->n_classes; i++) {
    all += row_sum (m, i);
    right += m->counts[(gsize) i * m->n_classes + i];
  }
  return all == 0 ? g_strdup ("Nothing was classified") :
      g_strdup_printf ("Accuracy %.2f %%: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " right",
      100. * right / all, right, all);
}

static gchar *
get_name (const GradPlotConfusion * m, guint i)
{
  return m->names && m->names[i] ? g_strdup (m->names[i]) : g_strdup_printf ("%u", i);
}

/* As wide as the widest name, up to a limit */
static gdouble
measure_names (GradPen * pen, const GradPlotConfusion * m)
{
  gint width = 0;

  for (guint i = 0; i < m->n_classes; i++) {
    g_autofree gchar *name = get_name (m, i);

    grad_pen_set_text (pen, name, 1, FALSE, MAX_NAME * pen->em);
    width = MAX (width, grad_pen_get_width (pen));
  }
  return width;
}

/* Right answers from white to blue, wrong ones to vermilion: the square root shows rare ones, too. */
static void
set_color (cairo_t * cr, gboolean right, gdouble share)
{
  const gdouble blue[] = { GRAD_PLOT_BLUE }, vermilion[] = { GRAD_PLOT_VERMILION };
  const gdouble *full = right ? blue : vermilion;
  gdouble s = right ? share : sqrt (share);

  cairo_set_source_rgb (cr, 1 - s * (1 - full[0]), 1 - s * (1 - full[1]), 1 - s * (1 - full[2]));
}

static void
draw_cell (Grid * grid, guint row, guint column, guint64 count, guint64 sum)
{
  cairo_t *cr = grid->pen.cr;
  gdouble share = sum ? count / (gdouble) sum : 0, size = MIN (1, 0.36 * grid->cell / grid->pen.em);
  gdouble x = grid->left + column * grid->cell, y = grid->top + row * grid->cell;
  gdouble gap = MIN (1, 0.1 * grid->cell);
  g_autofree gchar *text = g_strdup_printf ("%" G_GUINT64_FORMAT, count);

  if (row == column || count > 0)
    set_color (cr, row == column, share);
  else
    cairo_set_source_rgb (cr, 0.965, 0.967, 0.97);
  cairo_rectangle (cr, x, y, grid->cell - gap, grid->cell - gap);
  cairo_fill (cr);
  if (count == 0 || size * grid->pen.em < MIN_TEXT)
    return;
  if (share > (row == column ? 0.5 : 0.35))
    cairo_set_source_rgb (cr, GRAD_PLOT_PAPER);
  else
    cairo_set_source_rgb (cr, GRAD_PLOT_INK);
  grad_pen_set_text (&grid->pen, text, size, row == column, 0);
  if (grad_pen_get_width (&grid->pen) > 0.95 * grid->cell)      /* a long number in a small cell */
    grad_pen_set_text (&grid->pen, text, size * 0.95 * grid->cell / grad_pen_get_width (&grid->pen),
        row == column, 0);
  grad_pen_show (&grid->pen, x + grid->cell / 2, y + grid->cell / 2, 0.5);
}

/* Beside the rows, and on end above the columns; as many as have room */
static void
draw_names (Grid * grid)
{
  GradPen *pen = &grid->pen;
  cairo_t *cr = pen->cr;
  gdouble size = CLAMP (0.7 * grid->cell / pen->em, MIN_TEXT / pen->em, 1);
  guint every = MAX (1, ceil (1.3 * size * pen->em / grid->cell));

  cairo_set_source_rgb (cr, GRAD_PLOT_INK);
  for (guint i = 0; i < grid->matrix->n_classes; i += every) {
    g_autofree gchar *name = get_name (grid->matrix, i);
    gdouble middle = (i + 0.5) * grid->cell;

    grad_pen_set_text (pen, name, size, FALSE, MAX_NAME * pen->em);
    grad_pen_show (pen, grid->left - 0.5 * pen->em, grid->top + middle, 1);
    cairo_save (cr);
    cairo_translate (cr, grid->left + middle, grid->top - 0.5 * pen->em);
    cairo_rotate (cr, -G_PI / 2);
    grad_pen_show (pen, 0, 0, 0);
    cairo_restore (cr);
  }
}

static void
draw_captions (Grid * grid, gdouble names)
{
  GradPen *pen = &grid->pen;
  gdouble middle = grid->matrix->n_classes * grid->cell / 2, away = names + 1.5 * pen->em;

  cairo_set_source_rgb (pen->cr, GRAD_PLOT_MUTED);
  grad_pen_set_text (pen, "predicted", 1, FALSE, 0);
  grad_pen_show (pen, grid->left + middle, grid->top - away, 0.5);
  cairo_save (pen->cr);
  cairo_translate (pen->cr, grid->left - away, grid->top + middle);
  cairo_rotate (pen->cr, -G_PI / 2);
  grad_pen_set_text (pen, "true", 1, FALSE, 0);
  grad_pen_show (pen, 0, 0, 0.5);
  cairo_restore (pen->cr);
}

void
grad_plot_confusion (cairo_t * cr, gint width, gint height, const GradPlotConfusion * m)
{
  gdouble em = EM * MIN (width, height), names, room_x, room_y;
  Grid grid = { grad_pen_new (cr, "sans", em), m };
  g_autofree gchar *title = make_title (m);

  grad_page_begin (cr, width, height);
  names = measure_names (&grid.pen, m);
  room_x = width - names - 4 * em;
  room_y = height - names - 7 * em;
  grid.cell = MIN (room_x, room_y) / MAX (1, m->n_classes);
  if (grid.cell > 4)            /* sharp, on the pixels */
    grid.cell = floor (grid.cell);
  grid.left = floor (names + 3 * em + (room_x - grid.cell * m->n_classes) / 2);
  grid.top = floor (names + 6 * em + (room_y - grid.cell * m->n_classes) / 2);
  cairo_set_source_rgb (cr, GRAD_PLOT_INK);
  grad_pen_set_text (&grid.pen, title, 1.4, TRUE, width - 2 * em);
  grad_pen_show (&grid.pen, width / 2., 2 * em, 0.5);
  for (guint row = 0; row < m->n_classes; row++) {
    guint64 sum = row_sum (m, row);

    for (guint column = 0; column < m->n_classes; column++)
      draw_cell (&grid, row, column, m->counts[(gsize) row * m->n_classes + column], sum);
  }
  draw_names (&grid);
  draw_captions (&grid, names);
  grad_page_end (cr);
  grad_pen_clear (&grid.pen);
}
