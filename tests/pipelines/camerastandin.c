/* GradStreamer tests: the camera's stand-in shows each picture when it says
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "pipelines/gradlaunchfile.h"
#include "tests/pipelineutil.h"

#define WIDTH 640
#define HEIGHT 480
#define PICTURES 5
#define SHOWN 15                /* frames a picture */

typedef struct
{
  guint n, fps;
} Frames;

/* Of luma, in a square around the centre */
static gdouble
brightness (const guint8 * luma, gint size)
{
  gdouble sum = 0;

  for (gint y = (HEIGHT - size) / 2; y < (HEIGHT + size) / 2; y++)
    for (gint x = (WIDTH - size) / 2; x < (WIDTH + size) / 2; x++)
      sum += luma[y * WIDTH + x];
  return sum / (size * size);
}

/* Pictures are black and white in turn, and there is room beside them. */
static void
check_frame (GstElement * sink, GstBuffer * buffer, GstPad * pad, gpointer data)
{
  Frames *frames = data;
  gboolean white = frames->n / SHOWN % 2;
  GstMapInfo map;
  gdouble inside, margin;

  g_assert_cmpuint (GST_BUFFER_PTS (buffer), ==,
      gst_util_uint64_scale (frames->n, GST_SECOND, frames->fps));
  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
  g_assert_cmpuint (map.size, ==, WIDTH * HEIGHT * 3 / 2);
  inside = brightness (map.data, 432);
  margin = (brightness (map.data, 480) * 480 * 480 - inside * 432 * 432)
      / (480 * 480 - 432 * 432);
  gst_buffer_unmap (buffer, &map);
  g_assert_cmpfloat (margin, <, 60);
  if (white)
    g_assert_cmpfloat (inside, >, 150);
  else
    g_assert_cmpfloat (inside, <, 60);
  frames->n++;
}

static void
test_camera (gconstpointer fps)
{
  g_autofree gchar *fps_argument = g_strdup_printf ("fps=%s", (const gchar *) fps);
  const gchar *arguments[] = { "data=.", fps_argument,
    "sink=fakesink name=sink signal-handoffs=true num-buffers=70", NULL
  };
  const guint32 dims[] = { PICTURES, 28, 28 };
  guint8 pixels[PICTURES * 28 * 28];
  g_autofree gchar *launch = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = NULL, sink = NULL;
  g_autoptr (TestResult) result = NULL;
  Frames frames = {.fps = atoi (fps) };

  for (guint i = 0; i < sizeof pixels; i++)
    pixels[i] = i / (28 * 28) % 2 ? 255 : 0;
  test_write_idx ("t10k-images-idx3-ubyte.gz", 3, dims, pixels);
  launch = grad_launch_file_load (g_getenv ("CAMERA"), arguments, &error);
  g_assert_no_error (error);
  pipeline = test_launch ("%s", launch);
  sink = test_get (pipeline, "sink");
  g_signal_connect (sink, "handoff", G_CALLBACK (check_frame), &frames);
  result = test_play (pipeline);
  for (guint i = 0; i < result->errors->len; i++)
    g_error ("%s", (gchar *) result->errors->pdata[i]);
  g_assert_cmpuint (frames.n, ==, 70);
  test_assert_files ("t10k-images-idx3-ubyte.gz", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_data_func ("/camerastandin/30", "30", test_camera);
  g_test_add_data_func ("/camerastandin/120", "120", test_camera);
  return test_run_all ();
}
