/* GradStreamer example: print what a trained network sees in a video
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cc classify.c -o classify $(pkg-config --cflags --libs gradstreamer-1.0) && ./classify file:///… resnet18.safetensors */
#include <gradstreamer/gradstreamer.h>

static GstPadProbeReturn
on_frame (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  GradClassification *c = grad_buffer_get_classification (GST_PAD_PROBE_INFO_BUFFER (info));

  if (c != NULL && grad_classification_get_n_results (c) > 0)
    g_print ("%8.3f s  %-12s %.0f %%\n", grad_classification_get_pts (c) / (gdouble) GST_SECOND,
        grad_classification_get_label (c, 0), 100 * grad_classification_get_probability (c, 0));
  return GST_PAD_PROBE_OK;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *launch = NULL, *text = NULL;
  GstElement *pipeline, *sink;
  GstMessage *message;

  gst_init (&argc, &argv);
  if (argc != 3) {
    g_printerr ("usage: classify URI MODEL\n");
    return 2;
  }
  launch = g_strdup_printf ("uridecodebin uri=%s ! videoconvert ! gradclassify sync=true location=%s "
      "! fakesink name=sink", argv[1], argv[2]);
  pipeline = gst_parse_launch (launch, &error);
  if (pipeline == NULL) {
    g_printerr ("%s\n", error->message);
    return 1;
  }
  sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
  gst_pad_add_probe (GST_PAD (sink->sinkpads->data), GST_PAD_PROBE_TYPE_BUFFER, on_frame, NULL, NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (GST_ELEMENT_BUS (pipeline), GST_CLOCK_TIME_NONE,
      GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
    gst_message_parse_error (message, &error, NULL);
    g_printerr ("%s\n", error->message);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_message_unref (message);
  gst_object_unref (sink);
  gst_object_unref (pipeline);
  return error != NULL;
}
