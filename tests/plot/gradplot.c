/* GradStreamer tests: pictures of a training: that there is something to see, in its colours, and nothing over the edge
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/plot/gradplot.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#define PAPER 0xffffff
#define BLUE 0x0072b2
#define VERMILION 0xd55e00
#define BEYOND 40               /* pixels of the surface that do not belong to the picture */

/* Pixels of a picture */
typedef struct
{
  guint drawn, blue, vermilion;
  guint edge;                   /* drawn ones at the very edge */
} Look;

static Look
look (GradPlotFunc func, gconstpointer data, gint width, gint height)
{
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, width + BEYOND,
      height + BEYOND);
  cairo_t *cr = cairo_create (surface);
  const guint8 *pixels = cairo_image_surface_get_data (surface);
  gint stride = cairo_image_surface_get_stride (surface);
  Look look = { 0 };

  func (cr, width, height, data);
  g_assert_cmpint (cairo_status (cr), ==, CAIRO_STATUS_SUCCESS);
  cairo_surface_flush (surface);
  for (gint y = 0; y < height + BEYOND; y++)
    for (gint x = 0; x < width + BEYOND; x++) {
      guint32 pixel = ((const guint32 *) (pixels + y * stride))[x] & 0xffffff;

      if (x >= width || y >= height) {
        g_assert_cmphex (pixel, ==, 0);
        continue;
      }
      look.drawn += pixel != PAPER;
      look.blue += pixel == BLUE;
      look.vermilion += pixel == VERMILION;
      look.edge += pixel != PAPER && (x == 0 || y == 0 || x == width - 1 || y == height - 1);
    }
  cairo_destroy (cr);
  cairo_surface_destroy (surface);
  return look;
}

/* ---- curves */

typedef struct
{
  const gchar *name;
  guint n_steps, n_per_epoch;   /* 0: no pass has ended */
  gdouble loss;                 /* the first one */
  gdouble odd;                  /* the loss of every fifth step, 0: like the others */
  gboolean blue, vermilion;
} Course;

static const Course courses[] = {
  {"empty", 0, 0, 0, 0, FALSE, FALSE},
  {"one-step", 1, 0, 2.3, 0, TRUE, FALSE},
  {"one-epoch", 50, 50, 2.3, 0, TRUE, TRUE},
  {"ten-epochs", 500, 50, 2.3, 0, TRUE, TRUE},
  {"long", 100000, 500, 2.3, 0, TRUE, TRUE},
  {"nan", 50, 25, 2.3, NAN, TRUE, TRUE},
  {"all-nan", 50, 25, NAN, 0, TRUE, TRUE},      /* accuracy is left */
  {"infinite", 50, 25, 2.3, INFINITY, TRUE, TRUE},
  {"huge", 50, 25, 1e305, -1e305, TRUE, TRUE},
  {"outlier", 50, 25, 2.3, 1e30, TRUE, TRUE},
  {"tiny", 50, 25, 1e-300, 0, TRUE, TRUE},
  {"negative", 50, 25, -3, 0, TRUE, TRUE},
};

/* An axis between two neighbouring numbers has no room for ticks. */
static const Course flat = { "flat", 50, 25, 0, 1, TRUE, TRUE };

static GradHistory *
make_history (const Course * course)
{
  GradHistory *history = grad_history_new ();

  for (guint i = 1; i <= course->n_steps; i++) {
    guint epoch = course->n_per_epoch ? 1 + (i - 1) / course->n_per_epoch : 1;
    gdouble loss = course->odd != 0 && i % 5 == 0 ? course->odd : course->loss / (1 + i * 0.01);
    GradHistoryStep step = { i, epoch, 1, loss, 1 - 1 / (1 + i * 0.01), 0.1 / i };

    if (course == &flat) {
      step.loss = nextafter (1e10, i % 2 ? 0 : 1e11);
      step.learning_rate = nextafter (1e-10, i % 2);
    }
    grad_history_add_step (history, &step);
    if (course->n_per_epoch && i % course->n_per_epoch == 0)
      for (guint test = 0; test < 2; test++)
        grad_history_add_pass (history, epoch, test, loss, step.accuracy - 0.1 * test);
  }
  return history;
}

static void
test_curves (gconstpointer data)
{
  static const gint sizes[][2] = { {640, 360}, {1280, 720}, {360, 640}, {160, 90} };
  const Course *course = data;
  g_autoptr (GradHistory) history = make_history (course);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    Look seen = look (GRAD_PLOT_FUNC (grad_plot_curves), history, sizes[i][0], sizes[i][1]);

    g_assert_cmpuint (seen.drawn, >, 300);
    g_assert_cmpuint (seen.drawn, <, sizes[i][0] * sizes[i][1] / 2);
    g_assert_cmpuint (seen.edge, ==, 0);
  }
  if (course->blue && course->vermilion) {
    g_autoptr (GradHistory) none = grad_history_new ();
    Look empty = look (GRAD_PLOT_FUNC (grad_plot_curves), none, 640, 360);
    Look seen = look (GRAD_PLOT_FUNC (grad_plot_curves), history, 640, 360);

    /* more than what the legend has of it */
    g_assert_cmpuint (seen.blue, >, empty.blue + 20);
    g_assert_cmpuint (seen.vermilion, >, empty.vermilion + 10);
  }
}

/* ---- confusion matrices */

#define LONG "a name that is much longer than what there is room for in any picture, however large it may be"

static void
test_confusion (gconstpointer data)
{
  guint n = GPOINTER_TO_UINT (data);
  g_autofree guint64 *counts = g_new0 (guint64, n * n + 1);
  g_autofree const gchar **names = g_new0 (const gchar *, n + 1);
  GradPlotConfusion m = { counts, n, NULL };
  Look nothing, right, wrong;

  for (guint i = 0; i < n; i++)
    names[i] = i % 2 ? LONG : "x";
  nothing = look (GRAD_PLOT_FUNC (grad_plot_confusion), &m, 400, 400);
  g_assert_cmpuint (nothing.drawn, >, 100);     /* that nothing was classified */
  g_assert_cmpuint (nothing.blue + nothing.vermilion + nothing.edge, ==, 0);
  for (guint i = 0; i < n; i++)
    counts[i * n + i] = i + 1;
  for (guint named = 0; named < 2; named++) {
    m.names = named ? names : NULL;
    right = look (GRAD_PLOT_FUNC (grad_plot_confusion), &m, 400, 400);
    g_assert_cmpuint (right.edge + right.vermilion, ==, 0);
    g_assert_true (n == 0 || n > 100 || right.blue > 100);     /* cells are smaller than pixels */
  }
  if (n < 2)
    return;
  memset (counts, 0, n * n * sizeof *counts);
  for (guint i = 0; i < n; i++) /* all of a class are taken for the next one */
    counts[i * n + (i + 1) % n] = G_MAXUINT64 / n / 2;
  wrong = look (GRAD_PLOT_FUNC (grad_plot_confusion), &m, 400, 400);
  g_assert_cmpuint (wrong.edge + wrong.blue, ==, 0);
  g_assert_true (n > 100 || wrong.vermilion > 100);
}

/* ---- contact sheets */

static void
test_sheet (gconstpointer data)
{
  static const guint8 grey[] = { 10, 200, 90, 0, 255, 77 };     /* (2, 3), or one colour pixel above another */
  static const gchar *const names[] = { "x", LONG };
  guint n = GPOINTER_TO_UINT (data);
  g_autofree GradPlotImage *images = g_new0 (GradPlotImage, n + 1);
  GradPlotSheet sheet = { images, n, names, 2 };

  for (guint all_right = 0; all_right < 2; all_right++) {
    static const gint sizes[][2] = { {500, 400}, {200, 700} };

    for (guint i = 0; i < n; i++)       /* class 2 has no name */
      images[i] = (GradPlotImage) {
      grey, i % 2 ? 3 : 1, 2, i % 2 ? 1 : 3, all_right ? i % 3 : 2, i % 3, i / (gdouble) n};
    for (guint i = 0; i < 2; i++) {
      Look seen = look (GRAD_PLOT_FUNC (grad_plot_sheet), &sheet, sizes[i][0], sizes[i][1]);

      g_assert_cmpuint (seen.drawn, >, 50);
      g_assert_cmpuint (seen.edge, ==, 0);
      if (n < 100)              /* else frames are as thin as a pixel */
        g_assert_true ((seen.vermilion > 0) == (n > 0 && !all_right));
    }
  }
}

/* Pixels keep their colours, and frames are round what is wrong. */
static void
test_sheet_pixels (void)
{
  const guint8 green[] = { 0, 255, 0 };
  GradPlotImage image = { green, 1, 1, 3, 0, 0, 1 };
  GradPlotSheet sheet = { &image, 1, NULL, 0 };
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, 200, 300);
  cairo_t *cr = cairo_create (surface);
  const guint32 *pixels = (const guint32 *) cairo_image_surface_get_data (surface);
  gint stride = cairo_image_surface_get_stride (surface) / 4;

  for (guint wrong = 0; wrong < 2; wrong++) {
    guint n_green = 0, n_vermilion = 0;

    image.truth = wrong;
    grad_plot_sheet (cr, 200, 300, &sheet);
    cairo_surface_flush (surface);
    for (gint i = 0; i < 300 * stride; i++) {
      n_green += (pixels[i] & 0xffffff) == 0x00ff00;
      n_vermilion += (pixels[i] & 0xffffff) == VERMILION;
    }
    g_assert_cmpuint (n_green, >, 100 * 100);
    g_assert_true (wrong ? n_vermilion > 1000 : n_vermilion == 0);
  }
  cairo_destroy (cr);
  cairo_surface_destroy (surface);
}

/* ---- files */

static void
test_png (void)
{
  g_autoptr (GradHistory) history = make_history (&courses[3]);
  g_autoptr (GError) error = NULL;
  cairo_surface_t *surface;

  g_assert_true (grad_plot_write_png ("curves.png", 320, 180, GRAD_PLOT_FUNC (grad_plot_curves),
          history, &error));
  g_assert_no_error (error);
  surface = cairo_image_surface_create_from_png ("curves.png");
  g_assert_cmpint (cairo_image_surface_get_width (surface), ==, 320);
  g_assert_cmpint (cairo_image_surface_get_height (surface), ==, 180);
  cairo_surface_destroy (surface);
  g_unlink ("curves.png");
}

static void
test_png_errors (void)
{
  static const gint sizes[][2] = { {-1, 10}, {10, 40000} };
  g_autoptr (GradHistory) history = make_history (&courses[3]);
  g_autoptr (GError) error = NULL;

  g_assert_false (grad_plot_write_png ("missing/curves.png", 320, 180,
          GRAD_PLOT_FUNC (grad_plot_curves), history, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "missing/curves.png"));
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    g_clear_error (&error);
    g_assert_false (grad_plot_write_png ("curves.png", sizes[i][0], sizes[i][1],
            GRAD_PLOT_FUNC (grad_plot_curves), history, &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
    g_assert_false (g_file_test ("curves.png", G_FILE_TEST_EXISTS));
  }
}

int
main (int argc, char **argv)
{
  static const guint n_classes[] = { 0, 1, 2, 10, 100, 300 }, n_images[] = { 0, 1, 7, 200 };
  g_autofree gchar *folder = g_dir_make_tmp ("grad-test-XXXXXX", NULL);
  int status;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (g_chdir (folder), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (courses); i++) {
    g_autofree gchar *path = g_strconcat ("/plot/curves/", courses[i].name, NULL);

    g_test_add_data_func (path, &courses[i], test_curves);
  }
  g_test_add_data_func ("/plot/curves/flat", &flat, test_curves);
  for (guint i = 0; i < G_N_ELEMENTS (n_classes); i++) {
    g_autofree gchar *path = g_strdup_printf ("/plot/confusion/%u", n_classes[i]);

    g_test_add_data_func (path, GUINT_TO_POINTER (n_classes[i]), test_confusion);
  }
  for (guint i = 0; i < G_N_ELEMENTS (n_images); i++) {
    g_autofree gchar *path = g_strdup_printf ("/plot/sheet/%u", n_images[i]);

    g_test_add_data_func (path, GUINT_TO_POINTER (n_images[i]), test_sheet);
  }
  g_test_add_func ("/plot/sheet/pixels", test_sheet_pixels);
  g_test_add_func ("/plot/png", test_png);
  g_test_add_func ("/plot/png-errors", test_png_errors);
  status = g_test_run ();
  g_assert_cmpint (g_chdir ("/"), ==, 0);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
  return status;
}
