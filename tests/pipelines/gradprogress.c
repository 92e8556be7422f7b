/* GradStreamer tests: what the runner prints
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipelines/gradprogress.h"

#include <math.h>
#include <string.h>

#define STEP "grad-step, phase=train, epoch=(uint)2, epochs=(uint)5, step=(guint64)355, " \
  "batch=(uint)120, batches=(uint)235, samples=(uint)256, loss=0.28114, accuracy=0.8971, " \
  "learning-rate=0.001, "

static GstStructure *
structure (const gchar * text)
{
  GstStructure *s = gst_structure_from_string (text, NULL);

  g_assert_nonnull (s);
  return s;
}

static const struct
{
  const gchar *step;
  guint columns;
  const gchar *bar;
} bars[] = {
  {STEP "images-per-second=182.3, seconds-left=41.2", 71,
      "epoch 2/5 [====>    ] 120/235 loss 0.2811 acc 0.897 182 img/s 0:41 left"},
  {STEP "images-per-second=182.3, seconds-left=41.2", 200,
      "epoch 2/5 [===============>              ] 120/235 loss 0.2811 acc 0.897 182 img/s 0:41 left"},
  {STEP "images-per-second=182.3, seconds-left=41.2", 60,
      "epoch 2/5 [====>   ] 120/235 loss 0.2811 acc 0.897 0:41 left"},
  {STEP "images-per-second=182.3, seconds-left=41.2", 50,
      "epoch 2/5 [====>   ] 120/235 loss 0.2811 0:41 left"},
  {STEP "images-per-second=182.3, seconds-left=41.2", 30, "epoch 2/5 [=====>    ] 120/235"},
  {STEP "images-per-second=182.3, seconds-left=41.2", 20, "epoch 2/5 120/235"},
  {STEP "images-per-second=182.3, seconds-left=41.2", 12, "epoch 2/5 12"},
  {STEP "images-per-second=0.53, seconds-left=36061.0", 80,
      "epoch 2/5 [=======>      ] 120/235 loss 0.2811 acc 0.897 0.5 img/s 10:01:01 left"},
  {STEP "images-per-second=0.0, seconds-left=-1.0", 56,
      "epoch 2/5 [=======>      ] 120/235 loss 0.2811 acc 0.897"},
  {"grad-step, phase=evaluate, epoch=(uint)1, epochs=(uint)1, batch=(uint)4, batches=(uint)4", 40,
      "epoch 1/1 test [===================] 4/4"},
  {"grad-step, phase=train, epoch=(uint)1, batch=(uint)9, loss=1.5", 40,
      "epoch 1 9 loss 1.5000"},
};

static void
test_bar (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (bars); i++) {
    g_autoptr (GstStructure) step = structure (bars[i].step);
    g_autofree gchar *bar = grad_progress_bar (step, bars[i].columns);

    g_assert_cmpstr (bar, ==, bars[i].bar);
  }
}

/* whatever the width, the line fits and the bar grows from empty to full */
static void
test_bar_widths (void)
{
  g_autoptr (GstStructure) step = structure (STEP "images-per-second=182.3, seconds-left=41.2");

  for (guint columns = 1; columns < 300; columns++) {
    for (guint batch = 0; batch <= 235; batch += 47) {
      g_autofree gchar *bar = NULL;

      gst_structure_set (step, "batch", G_TYPE_UINT, batch, NULL);
      bar = grad_progress_bar (step, columns);
      g_assert_cmpuint (strlen (bar), <=, columns);
      if (strchr (bar, '[') != NULL) {
        g_assert_true ((strstr (bar, "[>") != NULL) == (batch == 0));
        g_assert_true ((strstr (bar, "=]") != NULL) == (batch == 235));
        if (columns >= 92)
          g_assert_cmpint (strchr (bar, ']') - strchr (bar, '['), ==, 31);
      }
    }
  }
}

static void
test_line (void)
{
  g_autoptr (GstStructure) step = structure (STEP "images-per-second=182.3, seconds-left=41.2");
  g_autofree gchar *line = grad_progress_line (step), *nan = NULL;

  g_assert_cmpstr (line, ==,
      "epoch 2/5, batch 120/235, loss 0.2811, acc 0.897, 182 img/s, 0:41 left");
  gst_structure_set (step, "phase", G_TYPE_STRING, "evaluate", "loss", G_TYPE_DOUBLE, NAN,
      "batches", G_TYPE_UINT, 0, "images-per-second", G_TYPE_DOUBLE, NAN, NULL);
  gst_structure_remove_field (step, "seconds-left");
  nan = grad_progress_line (step);
  g_assert_cmpstr (nan, ==, "epoch 2/5, test, batch 120, loss nan, acc 0.897");
}

static void
test_epoch (void)
{
  g_autoptr (GstStructure) train = structure ("grad-epoch, phase=train-epoch, epoch=(uint)1, "
      "samples=(guint64)60000, loss=0.38, accuracy=0.8534, seconds=28.1");
  g_autoptr (GstStructure) test = structure ("grad-epoch, phase=evaluate, epoch=(uint)1, "
      "samples=(guint64)10000, loss=0.31, accuracy=0.885, seconds=31.04");
  g_autofree gchar *both = grad_progress_epoch (train, test);
  g_autofree gchar *alone = grad_progress_epoch (train, NULL);
  g_autofree gchar *tested = grad_progress_epoch (NULL, test);

  g_assert_cmpstr (both, ==, "epoch 1, loss 0.3800, train acc 0.853, test acc 0.885, time 31.0 s");
  g_assert_cmpstr (alone, ==, "epoch 1, loss 0.3800, train acc 0.853, time 28.1 s");
  g_assert_cmpstr (tested, ==, "epoch 1, loss 0.3100, test acc 0.885, time 31.0 s");
}

static void
test_others (void)
{
  g_autoptr (GstStructure) device =
      structure ("grad-device, name=cpu, precision=f32, threads=(uint)2");
  g_autoptr (GstStructure) bare = structure ("grad-device, name=ref, threads=(uint)1");
  g_autoptr (GstStructure) saved =
      structure ("grad-saved, location=\"runs/a b.safetensors\", step=(guint64)1175");
  g_autofree gchar *a = grad_progress_device (device), *b = grad_progress_device (bare);
  g_autofree gchar *c = grad_progress_saved (saved);

  g_assert_cmpstr (a, ==, "computing on cpu, f32, 2 threads");
  g_assert_cmpstr (b, ==, "computing on ref, 1 thread");
  g_assert_cmpstr (c, ==, "saved runs/a b.safetensors (step 1175)");
}

static void
test_unknown (void)
{
  g_autoptr (GradProgress) progress = grad_progress_new (FALSE, FALSE);
  g_autoptr (GstStructure) other = structure ("level, rms=1.0");

  g_assert_false (grad_progress_handle (progress, other, 0));
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/progress/bar", test_bar);
  g_test_add_func ("/progress/bar-widths", test_bar_widths);
  g_test_add_func ("/progress/line", test_line);
  g_test_add_func ("/progress/epoch", test_epoch);
  g_test_add_func ("/progress/others", test_others);
  g_test_add_func ("/progress/unknown", test_unknown);
  return g_test_run ();
}
