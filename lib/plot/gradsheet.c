/* GradStreamer: pictures with what a network says of them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A tile is a picture with two lines of text below it: what it is said to be, and, where that is wrong, what it is. */
#include "gradplot.h"
#include "gradpanel.h"

#include <math.h>
#include <string.h>

#define EM (1 / 10.)            /* of a tile's width */
#define MIN_EM 4                /* pixels: nobody reads smaller letters */
#define TEXT 3.2                /* of em: height of the text */
#define GAP 0.14                /* of a tile's width */
#define HEAD (1 / 12.)          /* of the sheet's smaller side: its title */

typedef struct
{
  GradPen pen;
  const GradPlotSheet *sheet;
  gdouble size, text, gap;      /* of a tile, pixels */
  gdouble left, top;
  guint columns;
} Sheet;

static gchar *
get_name (const GradPlotSheet * sheet, guint class)
{
  return sheet->names && class < sheet->n_classes && sheet->names[class]
      ? g_strdup (sheet->names[class]) : g_strdup_printf ("%u", class);
}

/* The number of columns that makes tiles largest */
static void
choose_grid (Sheet * s, gdouble width, gdouble height)
{
  guint n = MAX (1, s->sheet->n_images);

  s->size = 0;
  for (guint columns = 1; columns <= n; columns++) {
    guint rows = (n + columns - 1) / columns;
    gdouble size = width / (columns + GAP * (columns + 1));

    size = MIN (size, height / (rows * (1 + GAP + TEXT * EM)));
    if (size > s->size) {
      s->size = size;
      s->columns = columns;
    }
  }
  s->pen.em = EM * s->size;
  s->gap = GAP * s->size;
  s->text = TEXT * EM * s->size;
  s->left = (width - s->columns * (s->size + s->gap) + s->gap) / 2;
}

static void
copy_pixel (const GradPlotImage * image, gint x, gint y, guint32 * to)
{
  gsize at = ((gsize) y * image->width + x) * image->channels;
  const guint8 *p = image->pixels + at;
  guint green = image->channels == 3 ? 1 : 0, blue = image->channels == 3 ? 2 : 0;

  *to = (guint32) p[0] << 16 | (guint32) p[green] << 8 | p[blue];
}

/* Small pictures keep their pixels, larger ones are averaged. */
static void
draw_pixels (const Sheet * s, const GradPlotImage * image, gdouble x, gdouble y)
{
  cairo_t *cr = s->pen.cr;
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, image->width,
      image->height);
  gdouble scale = s->size / MAX (1, MAX (image->width, image->height));

  if (cairo_surface_status (surface) == CAIRO_STATUS_SUCCESS) {
    guint8 *data = cairo_image_surface_get_data (surface);
    gint stride = cairo_image_surface_get_stride (surface);

    for (gint row = 0; row < image->height; row++)
      for (gint column = 0; column < image->width; column++)
        copy_pixel (image, column, row, (guint32 *) (data + (gsize) row * stride) + column);
    cairo_surface_mark_dirty (surface);
    cairo_save (cr);
    cairo_translate (cr, x + (s->size - scale * image->width) / 2,
        y + (s->size - scale * image->height) / 2);
    cairo_scale (cr, scale, scale);
    cairo_set_source_surface (cr, surface, 0, 0);
    cairo_pattern_set_filter (cairo_get_source (cr),
        scale > 1 ? CAIRO_FILTER_NEAREST : CAIRO_FILTER_GOOD);
    cairo_rectangle (cr, 0, 0, image->width, image->height);
    cairo_fill (cr);
    cairo_restore (cr);
  }
  cairo_surface_destroy (surface);
}

/* The name is cut where it is too long, never the number behind it. */
static void
draw_label (Sheet * s, const gchar * name, const gchar * behind, gdouble x, gdouble y,
    gboolean bold)
{
  gdouble number;

  if (s->pen.em < MIN_EM)
    return;
  grad_pen_set_text (&s->pen, behind, 1, bold, 0);
  number = grad_pen_get_width (&s->pen);
  grad_pen_show (&s->pen, x + s->size, y, 1);
  grad_pen_set_text (&s->pen, name, 1, bold, MAX (1, s->size - number - 0.3 * s->pen.em));
  grad_pen_show (&s->pen, x, y, 0);
}

static void
draw_tile (Sheet * s, const GradPlotImage * image, gdouble x, gdouble y)
{
  cairo_t *cr = s->pen.cr;
  gboolean wrong = image->predicted != image->truth;
  gdouble frame = MAX (1, s->size / 32), line = s->size + 1.1 * s->pen.em;
  g_autofree gchar *name = get_name (s->sheet, image->predicted);
  g_autofree gchar *percent = g_strdup_printf ("%.0f %%", 100 * image->probability);

  draw_pixels (s, image, x, y);
  if (wrong) {
    g_autofree gchar *truth = get_name (s->sheet, image->truth);
    g_autofree gchar *text = g_strconcat ("is ", truth, NULL);

    cairo_set_source_rgb (cr, GRAD_PLOT_VERMILION);
    cairo_rectangle (cr, x - frame / 2, y - frame / 2, s->size + frame, s->size + frame);
    cairo_set_line_width (cr, frame);
    cairo_stroke (cr);
    draw_label (s, text, "", x, y + line + 1.25 * s->pen.em, FALSE);
  } else
    cairo_set_source_rgb (cr, GRAD_PLOT_INK);
  draw_label (s, name, percent, x, y + line, wrong);
}

static gchar *
make_title (const GradPlotSheet * sheet)
{
  guint n = sheet->n_images, n_wrong = 0;

  if (sheet->title != NULL)
    return g_strdup (sheet->title);
  if (n == 0)
    return g_strdup ("No pictures");
  for (guint i = 0; i < n; i++)
    n_wrong += sheet->images[i].predicted != sheet->images[i].truth;
  return n_wrong == 0 ? g_strdup_printf ("%u test pictures, all right", n)
      : g_strdup_printf ("%u test pictures, %u wrong", n, n_wrong);
}

static void
draw_title (Sheet * s, gint width, gdouble height)
{
  g_autofree gchar *title = make_title (s->sheet);

  cairo_set_source_rgb (s->pen.cr, GRAD_PLOT_INK);
  grad_pen_set_text (&s->pen, title, 0.45 * height / s->pen.em, TRUE, width - height);
  grad_pen_show (&s->pen, width / 2., height / 2, 0.5);
}

void
grad_plot_sheet (cairo_t * cr, gint width, gint height, const GradPlotSheet * sheet)
{
  gdouble head = HEAD * MIN (width, height);
  Sheet s = { grad_pen_new (cr, "sans", 1), sheet };

  grad_page_begin (cr, width, height);
  choose_grid (&s, width, height - head);
  draw_title (&s, width, head);
  for (guint i = 0; i < sheet->n_images; i++)
    draw_tile (&s, &sheet->images[i], s.left + i % s.columns * (s.size + s.gap),
        head + i / s.columns * (s.size + s.text + s.gap));
  grad_page_end (cr);
  grad_pen_clear (&s.pen);
}
