/* GradStreamer example: print what a trained network sees in a video
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cc classify.c -o classify $(pkg-config --cflags --libs gradstreamer-1.0) && ./classify file:///… resnet18.safetensors */
#include <gradstreamer/gradstreamer.h>
#include <locale.h>

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
  GstElement *pipeline, *source, *classify, *sink;
  GstMessage *message;

  setlocale (LC_ALL, "");       /* names of classes may be any */
  gst_init (&argc, &argv);
  if (argc != 3) {
    g_printerr ("usage: classify URI MODEL\n");
    return 2;
  }
  pipeline = gst_parse_launch ("uridecodebin name=source ! videoconvert "
      "! gradclassify name=classify sync=true ! fakesink name=sink", &error);
  if (error != NULL) {          /* such as an element that there is not; the rest is made all the same */
    g_printerr ("%s\n", error->message);
    return 1;
  }
  source = gst_bin_get_by_name (GST_BIN (pipeline), "source");
  classify = gst_bin_get_by_name (GST_BIN (pipeline), "classify");
  g_object_set (source, "uri", argv[1], NULL);
  g_object_set (classify, "location", argv[2], NULL);
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
  gst_object_unref (source);
  gst_object_unref (classify);
  gst_object_unref (sink);
  gst_object_unref (pipeline);
  return error != NULL;
}
