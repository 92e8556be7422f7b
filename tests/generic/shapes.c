/* GradStreamer tests: the shapes of the book's network, along one launch string
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

/* What gst-launch-1.0 -v shows for a picture of 224x224: innermost first */
static void
test_book (void)
{
  static const struct
  {
    const gchar *element, *input;
  } cases[] = {
    {"stem", "224:224:1:1"},
    {"stage1", "56:56:64:1"},
    {"stage2", "56:56:64:1"},
    {"stage3", "28:28:128:1"},
    {"stage4", "14:14:256:1"},
    {"pool", "7:7:512:1"},
    {"fc", "512:1"},
    {"end", "10:1"},
  };
  GstElement *pipeline = test_launch ("idxsrc location=test-images phase=infer batch-size=1 "
      "num-buffers=1 ! gradresize width=224 height=224 ! gradconvstem name=stem "
      "! gradresstage name=stage1 channels=64 first-block=true "
      "! gradresstage name=stage2 channels=128 ! gradresstage name=stage3 channels=256 "
      "! gradresstage name=stage4 channels=512 ! gradglobalpool name=pool "
      "! gradfc name=fc units=10 ! fakesink name=end");
  TestTap *taps[G_N_ELEMENTS (cases)];
  g_autoptr (TestResult) result = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    taps[i] = test_tap (pipeline, cases[i].element);
  result = test_play (pipeline);
  g_assert_cmpuint (result->errors->len, ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_assert_cmpuint (taps[i]->dimensions->len, ==, 1);
    g_assert_cmpstr (taps[i]->dimensions->pdata[0], ==, cases[i].input);
    test_tap_free (taps[i]);
  }
  gst_object_unref (pipeline);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/shapes/book", test_book);
  return test_run_all ();
}
