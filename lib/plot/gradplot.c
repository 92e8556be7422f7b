/* GradStreamer: pictures of a training and of what came of it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradplot.h"
#include "../gradfile-private.h"

static cairo_status_t
append (gpointer file, const guchar * data, guint size)
{
  g_byte_array_append (file, data, size);
  return CAIRO_STATUS_SUCCESS;
}

gboolean
grad_plot_write_png (const gchar * location, gint width, gint height, GradPlotFunc func,
    gconstpointer data, GError ** error)
{
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, width, height);
  cairo_t *cr = cairo_create (surface);
  g_autoptr (GByteArray) file = g_byte_array_new ();
  cairo_status_t status = cairo_status (cr);

  if (status == CAIRO_STATUS_SUCCESS) {
    func (cr, width, height, data);
    status = cairo_status (cr);
  }
  if (status == CAIRO_STATUS_SUCCESS)
    status = cairo_surface_write_to_png_stream (surface, append, file);
  cairo_destroy (cr);
  cairo_surface_destroy (surface);
  if (status != CAIRO_STATUS_SUCCESS) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "cannot draw %s with %dx%d pixels: %s: choose "
        "another size", location, width, height, cairo_status_to_string (status));
    return FALSE;
  }
  return grad_file_replace (location, &(struct iovec) {file->data, file->len}, 1, error);
}
