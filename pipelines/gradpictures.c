/* GradStreamer: what became of a training, in pictures
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradpictures.h"
#include "lib/data/graddataset.h"
#include "lib/plot/gradplot.h"

#define CONFUSION_SIZE 900
#define N_TILES 40

static gboolean
write_picture (const GradPictures * self, const gchar * name, gint width, gint height,
    GradPlotFunc func, gconstpointer data, GPtrArray * files, GError ** error)
{
  g_autofree gchar *file = g_strdup_printf ("%s%s.png", name, self->suffix);
  g_autofree gchar *path = g_build_filename (self->folder, file, NULL);

  if (!grad_plot_write_png (path, width, height, func, data, error))
    return FALSE;
  g_ptr_array_add (files, g_steal_pointer (&file));
  return TRUE;
}

static gboolean
write_curves (const GradPictures * self, GPtrArray * files, GError ** error)
{
  g_autoptr (GradHistory) history = NULL;

  if (self->log == NULL || !g_file_test (self->log, G_FILE_TEST_EXISTS))
    return TRUE;
  if (!(history = grad_history_read (self->log, error)))
    return FALSE;
  return history->steps->len == 0
      || write_picture (self, "curves", 1280, 720, GRAD_PLOT_FUNC (grad_plot_curves), history,
      files, error);
}

static gboolean
write_confusion (const GradPictures * self, gchar ** names, GPtrArray * files, GError ** error)
{
  const GradPlotConfusion confusion = { self->evaluation->counts, self->evaluation->n_classes,
    (const gchar * const *) names
  };

  if (confusion.n_classes > CONFUSION_SIZE)     /* less than a pixel each */
    return TRUE;
  return write_picture (self, "confusion", CONFUSION_SIZE, CONFUSION_SIZE, GRAD_PLOT_FUNC (grad_plot_confusion),
      &confusion, files, error);
}

/* Appends n right or wrong answers, from all over the set. */
static void
choose (const GradEvaluation * evaluation, gboolean right, guint n, GArray * chosen)
{
  guint64 all = right ? evaluation->right : evaluation->labelled - evaluation->right;
  guint64 seen = 0, k = 0;

  for (guint i = 0; i < evaluation->answers->len && k < n; i++) {
    const GradAnswer *answer = &g_array_index (evaluation->answers, GradAnswer, i);

    if (answer->truth < 0 || (answer->truth == answer->predicted) != right)
      continue;
    if (seen++ == k * all / n) {
      g_array_append_val (chosen, *answer);
      k++;
    }
  }
}

static gboolean
make_tile (GradDataset * set, const GradAnswer * answer, GradPlotImage * tile, GError ** error)
{
  if (answer->index >= grad_dataset_get_n_samples (set)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "picture %u is no longer in its file: leave "
        "the test pictures as they are until the end", answer->index);
    return FALSE;
  }
  *tile = (GradPlotImage) {
    grad_dataset_get_image (set, answer->index), grad_dataset_get_width (set),
        grad_dataset_get_height (set), 1, answer->truth, answer->predicted, answer->probability};
  return TRUE;
}

static gchar *
make_title (const GradEvaluation * evaluation, guint wrong, guint right)
{
  guint64 n_wrong = evaluation->labelled - evaluation->right;

  if (n_wrong == 0)
    return g_strdup_printf ("All of %" G_GUINT64_FORMAT " test pictures right: %u of them",
        evaluation->labelled, right);
  return g_strdup_printf ("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " test pictures wrong: %u of "
      "them, and %u right ones", n_wrong, evaluation->labelled, wrong, right);
}

/* Half of them wrong ones, if there are as many of both */
static gboolean
write_sheet (const GradPictures * self, gchar ** names, GPtrArray * files, GError ** error)
{
  const GradEvaluation *evaluation = self->evaluation;
  guint64 n_wrong = evaluation->labelled - evaluation->right;
  guint half = N_TILES / 2, wrong = MIN (n_wrong, N_TILES - MIN (evaluation->right, half));
  guint right = MIN (evaluation->right, N_TILES - wrong);
  g_autoptr (GArray) chosen = g_array_new (FALSE, FALSE, sizeof (GradAnswer));
  g_autoptr (GradDataset) set = NULL;
  g_autofree gchar *title = make_title (evaluation, wrong, right);
  GradPlotImage tiles[N_TILES];
  const GradPlotSheet sheet = { tiles, wrong + right, (const gchar * const *) names,
    evaluation->n_classes, title
  };

  if (self->images == NULL)
    return TRUE;
  if (!(set = grad_dataset_open_idx (self->images, NULL, error)))
    return FALSE;
  choose (evaluation, FALSE, wrong, chosen);
  choose (evaluation, TRUE, right, chosen);
  for (guint i = 0; i < chosen->len; i++)
    if (!make_tile (set, &g_array_index (chosen, GradAnswer, i), &tiles[i], error))
      return FALSE;
  return write_picture (self, "sheet", 1600, 900, GRAD_PLOT_FUNC (grad_plot_sheet), &sheet, files,
      error);
}

gboolean
grad_pictures_write (const GradPictures * pictures, GPtrArray * files, GError ** error)
{
  guint n = pictures->evaluation->n_classes;
  g_auto (GStrv) names = g_new0 (gchar *, n + 1);

  for (guint k = 0; k < n; k++)
    names[k] = grad_class_name (pictures->names, k);
  if (!write_curves (pictures, files, error))
    return FALSE;
  return pictures->evaluation->labelled == 0    /* nothing to test with, or stopped before */
      || (write_confusion (pictures, names, files, error)
      && write_sheet (pictures, names, files, error));
}
