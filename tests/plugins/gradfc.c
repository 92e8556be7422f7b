/* GradStreamer tests: gradfc
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

static const struct
{
  const gchar *element, *input, *output;
} shapes[] = {
  {"gradfc", "512:1", "10:1"},
  {"gradfc units=3 bias=false", "5:7", "3:7"},
  {"gradfc units=3 device=ref precision=f32", "5:7", "3:7"},
  {"gradfc units=3", "5", "3:1"},
  {"gradfc units=3", "1:1:5:7", "3:7"}, /* pictures of 1x1 */
  {"gradfc units=3", "5:7:1:1", "3:7"}, /* padded */
  {"gradfc units=3", "2:2:5:7", ""},
  {"gradfc units=3", "0:7", ""},
};

static void
test_shape (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autofree gchar *got = test_output_dimensions (shapes[i].element, "float32", shapes[i].input);

  g_assert_cmpstr (got, ==, shapes[i].output);
}

static void
test_pictures (void)
{
  test_assert_error ("idxsrc " TEST_DATA "phase=infer ! gradresize ! gradconvstem channels=4 "
      "! gradfc name=fc ! fakesink", "fc", "2 dimensions", "3:3:4:8", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
    g_autofree gchar *path = g_strdup_printf ("/gradfc/shape/%u", i);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_shape);
  }
  g_test_add_func ("/gradfc/pictures", test_pictures);
  return test_run_all ();
}
