/* GradStreamer: pictures of a training and of what came of it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each fills a picture of the size given; letters and lines follow its size. */
#pragma once

#include "../autograd/gradhistory-private.h"

#include <cairo.h>

G_BEGIN_DECLS

/* Loss, accuracy and, if it changes, learning rate; suits 640x360 and multiples. */
void grad_plot_curves (cairo_t * cr, gint width, gint height, const GradHistory * history);

typedef struct
{
  const guint64 *counts;        /* (K, K): rows are true classes, columns predicted ones */
  guint n_classes;
  const gchar *const *names;    /* K, or NULL for numbers */
} GradPlotConfusion;

/* Shaded row by row; suits a square. */
void grad_plot_confusion (cairo_t * cr, gint width, gint height,
    const GradPlotConfusion * confusion);

typedef struct
{
  const guint8 *pixels;         /* (height, width, channels), 1 (grey) or 3 (red, green, blue) channels */
  gint width, height, channels;
  guint truth, predicted;       /* classes */
  gdouble probability;          /* of the predicted one, 0 to 1 */
} GradPlotImage;

typedef struct
{
  const GradPlotImage *images;
  guint n_images;
  const gchar *const *names;    /* of the classes, or NULL for numbers */
  guint n_classes;
  const gchar *title;           /* or NULL: counts them */
} GradPlotSheet;

/* Pictures with what a network says of them, wrong ones marked. */
void grad_plot_sheet (cairo_t * cr, gint width, gint height, const GradPlotSheet * sheet);

typedef void (*GradPlotFunc) (cairo_t * cr, gint width, gint height, gconstpointer data);
#define GRAD_PLOT_FUNC(func) ((GradPlotFunc) (void (*) (void)) (func))

/* Draws into a PNG file, whole or not at all. FALSE with GRAD_ERROR_IO, or GRAD_ERROR_SHAPE for a size that cannot be
 * drawn:
 *   grad_plot_write_png ("curves.png", 1280, 720, GRAD_PLOT_FUNC (grad_plot_curves), history, &error) */
gboolean grad_plot_write_png (const gchar * location, gint width, gint height, GradPlotFunc func,
    gconstpointer data, GError ** error);

G_END_DECLS
