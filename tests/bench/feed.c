/* GradStreamer benchmark: ready batches through a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: feed train|infer BATCH SIZE WARMUP COUNT DESCRIPTION
 *   DESCRIPTION  a network and its sink, as for gst-launch-1.0: appsrc comes in front of it
 * Prints milliseconds as a JSON array, COUNT of them after WARMUP, 1 at least, that do not count:
 *   infer  from pushing a batch of float pictures into appsrc to reading the logits at the sink
 *   train  from one batch's arrival at the sink to the next one's: a whole step
 * environment: GST_PLUGIN_PATH, GRAD_DEVICE, GRAD_PRECISION, GRAD_THREADS */
#include "lib/gradstreamer.h"

#include <stdio.h>
#include <stdlib.h>

#define CLASSES 10
#define EXIT_SKIPPED 77         /* for meson */

typedef struct
{
  gboolean train;
  gint batch;
  GstElement *pipeline, *source;
  GstBus *bus;
  GBytes *pictures, *labels;
  guint64 source_id, sequence;
  gint64 arrival;               /* µs; streaming thread, until it has posted a message */
} Feed;

static GstPadProbeReturn
on_buffer (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Feed *self = data;
  GstMapInfo map;

  if (!self->train && gst_buffer_map (GST_PAD_PROBE_INFO_BUFFER (info), &map, GST_MAP_READ))
    gst_buffer_unmap (GST_PAD_PROBE_INFO_BUFFER (info), &map);
  self->arrival = g_get_monotonic_time ();
  gst_element_post_message (self->pipeline,
      gst_message_new_application (NULL, gst_structure_new_empty ("arrived")));
  return GST_PAD_PROBE_OK;
}

static void
watch_sink (Feed * self)
{
  g_autoptr (GstIterator) sinks = gst_bin_iterate_sinks (GST_BIN (self->pipeline));
  g_auto (GValue) item = G_VALUE_INIT;
  g_autoptr (GstPad) pad = NULL;

  if (gst_iterator_next (sinks, &item) != GST_ITERATOR_OK)
    g_error ("the description has no sink");
  pad = gst_element_get_static_pad (g_value_get_object (&item), "sink");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, self, NULL);
}

/* Exits when that is an error. */
static void
wait_for (Feed * self, GstMessageType type)
{
  g_autoptr (GstMessage) message = gst_bus_timed_pop_filtered (self->bus, GST_CLOCK_TIME_NONE,
      type | GST_MESSAGE_ERROR);
  g_autoptr (GError) error = NULL;

  if (GST_MESSAGE_TYPE (message) != GST_MESSAGE_ERROR)
    return;
  gst_message_parse_error (message, &error, NULL);
  fprintf (stderr, "feed: %s\n", error->message);
  exit (EXIT_FAILURE);
}

static void
push (Feed * self)
{
  gsize size;
  gconstpointer pictures = g_bytes_get_data (self->pictures, &size);
  GstBuffer *buffer = gst_buffer_new_wrapped_full (GST_MEMORY_FLAG_READONLY, (gpointer) pictures,
      size, 0, size, NULL, NULL);
  GstFlowReturn flow;

  if (self->train) {
    GradSampleMeta *meta = grad_buffer_add_sample_meta (buffer);

    meta->phase = GRAD_PHASE_TRAIN;
    meta->source = self->source_id;
    meta->sequence = ++self->sequence;
    meta->n_samples = self->batch;
    meta->labels = g_bytes_ref (self->labels);
  }
  g_signal_emit_by_name (self->source, "push-buffer", buffer, &flow);
  gst_buffer_unref (buffer);
}

static void
open_pipeline (Feed * self, const gchar * description, gint size)
{
  GradShape shape = GRAD_SHAPE (self->batch, 1, size, size);
  g_autoptr (GstCaps) caps = grad_caps_new (GRAD_DTYPE_FLOAT32, &shape, 0, 1);
  gsize n = grad_shape_n_elements (&shape);
  gfloat *pictures = g_new (gfloat, n);
  gint32 *labels = g_new (gint32, self->batch);
  g_autofree gchar *launch = g_strdup_printf ("appsrc name=source format=time ! %s", description);
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < n; i++)
    pictures[i] = g_rand_double (random);
  for (gint i = 0; i < self->batch; i++)
    labels[i] = i % CLASSES;
  self->pictures = g_bytes_new_take (pictures, n * sizeof (gfloat));
  self->labels = g_bytes_new_take (labels, self->batch * sizeof (gint32));
  self->source_id = grad_sample_meta_new_source ();
  self->pipeline = gst_parse_launch_full (launch, NULL, GST_PARSE_FLAG_FATAL_ERRORS, &error);
  if (self->pipeline == NULL) {
    fprintf (stderr, "feed: %s\n", error->message);
    exit (EXIT_FAILURE);
  }
  self->source = gst_bin_get_by_name (GST_BIN (self->pipeline), "source");
  self->bus = gst_element_get_bus (self->pipeline);
  g_object_set (self->source, "caps", caps, NULL);
  watch_sink (self);
  gst_element_set_state (self->pipeline, GST_STATE_PLAYING);
}

int
main (int argc, char **argv)
{
  g_autoptr (GstElementFactory) appsrc = NULL;
  Feed self = { 0 };
  gint warmup, count;
  gint64 before = 0;
  GstFlowReturn flow;

  gst_init (&argc, &argv);
  if (argc != 7)
    g_error ("usage: feed train|infer BATCH SIZE WARMUP COUNT DESCRIPTION");
  appsrc = gst_element_factory_find ("appsrc");
  if (appsrc == NULL) {
    fprintf (stderr, "feed: there is no appsrc: install gstreamer1.0-plugins-base\n");
    return EXIT_SKIPPED;
  }
  self.train = g_str_equal (argv[1], "train");
  self.batch = atoi (argv[2]);
  warmup = atoi (argv[4]) + self.train; /* a step ends when the next one's batch arrives */
  count = atoi (argv[5]);
  open_pipeline (&self, argv[6], atoi (argv[3]));
  for (gint i = 0; i < warmup + count; i++) {
    gint64 start = g_get_monotonic_time ();

    push (&self);
    wait_for (&self, GST_MESSAGE_APPLICATION);
    if (i >= warmup)
      printf ("%s%.3f", i == warmup ? "[" : ", ",
          (self.arrival - (self.train ? before : start)) / 1e3);
    before = self.arrival;
  }
  printf ("]\n");
  g_signal_emit_by_name (self.source, "end-of-stream", &flow);
  wait_for (&self, GST_MESSAGE_EOS);
  gst_element_set_state (self.pipeline, GST_STATE_NULL);
  gst_object_unref (self.bus);
  gst_object_unref (self.source);
  gst_object_unref (self.pipeline);
  g_bytes_unref (self.pictures);
  g_bytes_unref (self.labels);
  return EXIT_SUCCESS;
}
