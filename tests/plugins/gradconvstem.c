/* GradStreamer tests: gradconvstem
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

static const struct
{
  const gchar *element, *input, *output;
} shapes[] = {
  {"gradconvstem channels=64", "224:224:1:1", "56:56:64:1"},
  {"gradconvstem channels=8", "28:28:1:3", "7:7:8:3"},
  {"gradconvstem channels=4 pool=false", "28:28:3:2", "14:14:4:2"},
  {"gradconvstem channels=4 kernel-size=3 stride=1", "12:12:1:2", "6:6:4:2"},
  {"gradconvstem channels=4 kernel-size=3 stride=1 pool=false bias=false", "5:9:2:2", "5:9:4:2"},
  {"gradconvstem channels=4", "1:1:1:1", "1:1:4:1"},
  {"gradconvstem channels=4 device=ref precision=f32", "28:28:1:2", "7:7:4:2"},
  /* other spellings: trimmed, padded */
  {"gradconvstem channels=4", "28:28", "7:7:4:1"},
  {"gradconvstem channels=4", "28:28:3", "7:7:4:1"},
  {"gradconvstem channels=4", "28:28:1:2:1:1:1:1", "7:7:4:2"},
  /* no pictures */
  {"gradconvstem channels=4", "28:28:1:2:3", ""},
  {"gradconvstem channels=4", "28:x:1:2", ""},
  {"gradconvstem channels=4 kernel-size=4", "28:28:1:2", ""},
};

static void
test_shape (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autofree gchar *got = test_output_dimensions (shapes[i].element, "float32", shapes[i].input);

  g_assert_cmpstr (got, ==, shapes[i].output);
}

static void
test_even_kernel (void)
{
  test_assert_error ("idxsrc " TEST_DATA "! gradresize ! gradconvstem name=stem kernel-size=4 "
      "! fakesink", "stem", "kernel-size=4", "odd", NULL);
}

static void
test_type (void)
{
  g_autofree gchar *got = test_output_dimensions ("gradconvstem", "uint8", "28:28:1:2");

  g_assert_cmpstr (got, ==, "");        /* pixels have to become numbers first */
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
    g_autofree gchar *path = g_strdup_printf ("/gradconvstem/shape/%u", i);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_shape);
  }
  g_test_add_func ("/gradconvstem/even-kernel", test_even_kernel);
  g_test_add_func ("/gradconvstem/type", test_type);
  return test_run_all ();
}
