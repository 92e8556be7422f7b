/* GradStreamer tests: gradresize
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <gst/check/gstharness.h>

static void
test_shapes (void)
{
  static const struct
  {
    const gchar *element, *input, *output;
  } shapes[] = {
    {"gradresize", "28:28:1:5", "28:28:1:5"},
    {"gradresize width=96 height=96", "28:28:1:2", "96:96:1:2"},
    {"gradresize width=17 height=40", "28:28:3:2", "17:40:3:2"},
    {"gradresize height=7", "28:14:1:2", "28:7:1:2"},
    {"gradresize", "28:28", "28:28:1:1"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
    g_autofree gchar *got = test_output_dimensions (shapes[i].element, "uint8", shapes[i].input);

    g_assert_cmpstr (got, ==, shapes[i].output);
  }
}

static void
check_values (const gchar * element, gfloat (*expected) (guint8 pixel))
{
  GstHarness *harness = gst_harness_new_parse (element);
  guint8 pixels[28 * 28];
  g_autoptr (GstBuffer) out = NULL;
  GstMapInfo map;

  for (guint i = 0; i < sizeof pixels; i++)
    pixels[i] = i * 7;          /* all 256 values */
  gst_harness_set_src_caps_str (harness, "other/tensors,format=static,num_tensors=1,"
      "types=uint8,dimensions=(string)28:28:1:1,framerate=0/1");
  out = gst_harness_push_and_pull (harness, gst_buffer_new_memdup (pixels, sizeof pixels));
  g_assert_nonnull (out);
  g_assert_true (gst_buffer_map (out, &map, GST_MAP_READ));
  g_assert_cmpuint (map.size, ==, sizeof pixels * sizeof (gfloat));
  for (guint i = 0; i < sizeof pixels; i++)
    g_assert_cmphex (((guint32 *) map.data)[i], ==, ((union
            {
              gfloat value;
              guint32 bits;
            })
            {
            expected (pixels[i])}).bits);
  gst_buffer_unmap (out, &map);
  g_clear_pointer (&out, gst_buffer_unref);
  gst_harness_teardown (harness);
}

static gfloat
divided (guint8 pixel)
{
  return pixel / 255.f;
}

static gfloat
normalised (guint8 pixel)
{
  return (pixel / 255.f - 0.5f) / 0.25f;
}

/* A picture that has the size already is only divided by 255, to the bit as ToTensor does it */
static void
test_same_size (void)
{
  check_values ("gradresize width=28 height=28", divided);
  check_values ("gradresize", divided);
  check_values ("gradresize device=ref", divided);
  check_values ("gradresize mean=0.5 std=0.25", normalised);
}

static void
test_properties (void)
{
  test_assert_error ("idxsrc " TEST_DATA "! gradresize name=resize mean=a,b ! fakesink", "resize",
      "mean=\"a,b\"", NULL);
  test_assert_error ("idxsrc " TEST_DATA "! gradresize name=resize mean=1,2,3,4,5,6,7,8,9 "
      "! fakesink", "resize", "mean=", NULL);
  test_assert_error ("idxsrc " TEST_DATA "! gradresize name=resize std=0 ! fakesink", "resize",
      "std=\"0\"", NULL);
  test_assert_error ("idxsrc " TEST_DATA "! gradresize name=resize std=0.1,-1 ! fakesink",
      "resize", "std=\"0.1,-1\"", "positive", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradresize/shapes", test_shapes);
  g_test_add_func ("/gradresize/same-size", test_same_size);
  g_test_add_func ("/gradresize/properties", test_properties);
  return test_run_all ();
}
