/* GradStreamer tests: gradglobalpool
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <gst/check/gstharness.h>

static void
test_shapes (void)
{
  g_autofree gchar *book = test_output_dimensions ("gradglobalpool", "float32", "7:7:512:1");
  g_autofree gchar *batch = test_output_dimensions ("gradglobalpool", "float32", "1:3:5:4");
  g_autofree gchar *trimmed = test_output_dimensions ("gradglobalpool", "float32", "7:7:6");

  g_assert_cmpstr (book, ==, "512:1");
  g_assert_cmpstr (batch, ==, "5:4");
  g_assert_cmpstr (trimmed, ==, "6:1");
}

/* Plain memory in, plain floats out */
static void
test_values (void)
{
  const gfloat x[] = { 1, 2, 3, 4, 10, 20, 30, 60, 0, 0, 0, 1, -1, -2, -3, -6 };
  const gfloat y[] = { 2.5, 30, 0.25, -3 };
  GstHarness *harness = gst_harness_new ("gradglobalpool");
  g_autoptr (GstBuffer) out = NULL;
  GstMapInfo map;

  gst_harness_set_src_caps_str (harness, "other/tensors,format=static,num_tensors=1,"
      "types=float32,dimensions=(string)2:2:2:2,framerate=0/1");
  out = gst_harness_push_and_pull (harness, gst_buffer_new_memdup (x, sizeof x));
  g_assert_nonnull (out);
  g_assert_true (gst_buffer_map (out, &map, GST_MAP_READ));
  g_assert_cmpmem (map.data, map.size, y, sizeof y);
  gst_buffer_unmap (out, &map);
  g_clear_pointer (&out, gst_buffer_unref);
  gst_harness_teardown (harness);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradglobalpool/shapes", test_shapes);
  g_test_add_func ("/gradglobalpool/values", test_values);
  return test_run_all ();
}
