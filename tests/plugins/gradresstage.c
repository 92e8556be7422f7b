/* GradStreamer tests: gradresstage
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

static const struct
{
  const gchar *element, *input, *output;
} shapes[] = {
  /* the book's checks */
  {"gradresstage channels=3 blocks=1 first-block=true", "6:6:3:4", "6:6:3:4"},
  {"gradresstage channels=6 blocks=1", "6:6:3:4", "3:3:6:4"},
  {"gradresstage channels=64 first-block=true", "56:56:64:1", "56:56:64:1"},
  {"gradresstage channels=128", "56:56:64:1", "28:28:128:1"},
  {"gradresstage channels=256", "28:28:128:1", "14:14:256:1"},
  {"gradresstage channels=512", "14:14:256:1", "7:7:512:1"},
  /* others */
  {"gradresstage channels=6 blocks=3 stride=1", "6:5:3:4", "6:5:6:4"},
  {"gradresstage channels=4 blocks=1 stride=3", "7:7:3:4", "3:3:4:4"},
  {"gradresstage channels=4 blocks=1 shortcut=conv-norm bias=false", "1:1:3:4", "1:1:4:4"},
  {"gradresstage channels=8 blocks=2 block=bottleneck", "6:6:3:4", "3:3:8:4"},
  {"gradresstage channels=4 blocks=1 device=ref precision=f32", "6:6:3:2", "3:3:4:2"},
  {"gradresstage channels=6 block=bottleneck", "6:6:3:4", ""},
};

static const struct
{
  const gchar *properties, *text1, *text2;
} refused[] = {
  {"channels=6 first-block=true", "4 channels", "channels=6"},
  {"channels=4 first-block=true stride=2", "stride=2", "first-block"},
  {"channels=6 block=bottleneck", "multiple of 4", "channels=6"},
};

static void
test_shape (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autofree gchar *got = test_output_dimensions (shapes[i].element, "float32", shapes[i].input);

  g_assert_cmpstr (got, ==, shapes[i].output);
}

static void
test_refused (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autofree gchar *launch = g_strconcat ("idxsrc " TEST_DATA "phase=infer ! gradresize "
      "! gradconvstem channels=4 ! gradresstage name=stage ", refused[i].properties,
      " ! fakesink", NULL);

  test_assert_error (launch, "stage", refused[i].text1, refused[i].text2, NULL);
}

/* A caps filter that asks for something else than what the element makes */
static void
test_filter (void)
{
  const gchar *format = "idxsrc " TEST_DATA "phase=infer ! gradresize ! gradconvstem channels=4 "
      "! gradresstage name=stage channels=4 first-block=true "
      "! other/tensors,dimensions=(string)%s ! fakesink";
  g_autofree gchar *right = g_strdup_printf (format, "3:3:4:8");
  g_autofree gchar *wrong = g_strdup_printf (format, "3:3:5:8");
  g_autofree gchar *nonsense = g_strdup_printf (format, "3:");

  test_assert_error (wrong, "stage", "3:3:4:8", "3:3:5:8", NULL);
  test_assert_error (nonsense, "stage", "3:3:4:8", "3:", NULL);
  /* holds for four batches; then comes the smaller one */
  test_assert_error (right, "stage", "3:3:4:5", "3:3:4:8", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
    g_autofree gchar *path = g_strdup_printf ("/gradresstage/shape/%u", i);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_shape);
  }
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++) {
    g_autofree gchar *path = g_strdup_printf ("/gradresstage/refused/%u", i);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_refused);
  }
  g_test_add_func ("/gradresstage/filter", test_filter);
  return test_run_all ();
}
