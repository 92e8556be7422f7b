/* GradStreamer benchmark: classifying live video, on the camera's stand-in
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/gradstreamer.h"
#include "pipelines/gradlaunchfile.h"

#include <gst/controller/gstdirectcontrolbinding.h>
#include <gst/controller/gstinterpolationcontrolsource.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define SHOWN 15                /* frames a picture, as the recipe says */
#define MARGIN 24               /* pixels around it */

static const gchar description[] =
    "Measures how well and how fast gradclassify labels the frames of camera-stand-in.launch, whose pictures drift besides.\n"
    "Offline, every frame waits for its classification and none is dropped. Live, frames come at a real clock's times, one\n"
    "waits at most while another is classified, and what a frame carries is the newest result that there is. For each run:\n"
    "  accuracy   of the labels that frames carry, of all frames that arrive\n"
    "  unlabelled frames that carry none, in percent\n"
    "  dropped    frames that do not arrive, in percent\n"
    "  added      what the classifier adds to the way of a frame, in ms, median and 99th percentile\n"
    "  result     from a frame to its classification, in ms, median\n"
    "  rate       frames per second that the stand-in made\n"
    "  CPU        load in percent of a processor, and the same without a classifier";

typedef struct
{
  const gchar *name, *data, *classifier;
  guint fps, n_frames;
  gboolean live;
  GradDataset *pictures;

  /* one streaming thread each */
  guint made;
  gint64 *entered;              /* microseconds, by frame */
  guint arrived, labelled, right;
  GArray *added, *results;      /* milliseconds */
  GstClockTime last_result;     /* timestamp of the frame that the last one was about */
  gdouble seconds, cpu;
} Run;

static void
die (const gchar * text)
{
  fprintf (stderr, "live: %s\n", text);
  exit (EXIT_FAILURE);
}

static guint
frame_number (const Run * run, GstBuffer * frame)
{
  guint64 n = gst_util_uint64_scale_round (GST_BUFFER_PTS (frame), run->fps, GST_SECOND);

  if (n >= run->n_frames)
    die ("a frame has a timestamp that the stand-in did not give it");
  return n;
}

static GstPadProbeReturn
on_made (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  ((Run *) data)->made++;
  return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn
on_entry (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Run *run = data;

  run->entered[frame_number (run, GST_PAD_PROBE_INFO_BUFFER (info))] = g_get_monotonic_time ();
  return GST_PAD_PROBE_OK;
}

static void
judge (Run * run, guint frame, GradClassification * result)
{
  GstClockTime latency = grad_classification_get_latency (result);
  gdouble ms = latency / (gdouble) GST_MSECOND;

  run->labelled++;
  if (grad_classification_get_n_results (result) > 0)
    run->right += grad_classification_get_index (result, 0)
        == (guint) grad_dataset_get_label (run->pictures, frame / SHOWN);
  if (grad_classification_get_pts (result) != run->last_result && GST_CLOCK_TIME_IS_VALID (latency))
    g_array_append_val (run->results, ms);
  run->last_result = grad_classification_get_pts (result);
}

static GstPadProbeReturn
on_arrival (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Run *run = data;
  GstBuffer *frame = GST_PAD_PROBE_INFO_BUFFER (info);
  guint n = frame_number (run, frame);
  gdouble ms = (g_get_monotonic_time () - run->entered[n]) / 1000.;
  GradClassification *result = grad_buffer_get_classification (frame);

  run->arrived++;
  g_array_append_val (run->added, ms);
  if (result != NULL)
    judge (run, n, result);
  return GST_PAD_PROBE_OK;
}

static void
watch (GstElement * pipeline, const gchar * name, const gchar * pad_name,
    GstPadProbeCallback callback, Run * run)
{
  g_autoptr (GstElement) element = gst_bin_get_by_name (GST_BIN (pipeline), name);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element, pad_name);

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, callback, run, NULL);
}

/* To and fro along an axis, in the frame's margin */
static void
drift (const Run * run, GstElement * pipeline, const gchar * property, gint center,
    gdouble frequency)
{
  g_autoptr (GstElement) mixer = gst_bin_get_by_name (GST_BIN (pipeline), "mixer");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (mixer, "sink_0");
  GstControlSource *path = gst_interpolation_control_source_new ();

  g_object_set (path, "mode", GST_INTERPOLATION_MODE_LINEAR, NULL);
  for (guint tenths = 0; tenths <= 10 * run->n_frames / run->fps; tenths++)
    gst_timed_value_control_source_set (GST_TIMED_VALUE_CONTROL_SOURCE (path),
        tenths * GST_SECOND / 10, center + MARGIN * sin (2 * G_PI * frequency * tenths / 10));
  gst_object_add_control_binding (GST_OBJECT (pad),
      gst_direct_control_binding_new_absolute (GST_OBJECT (pad), property, path));
  gst_object_unref (path);
}

static GstElement *
make_pipeline (Run * run)
{
  /* of n frames, identity lets n - 1 pass */
  g_autofree gchar *sink = g_strdup_printf ("sink=identity eos-after=%u ! identity name=camera ! %s "
      "identity name=entry ! %s fakesink name=sink sync=false", run->n_frames + 1, run->live ?
      "clocksync ! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0 !" : "",
      run->classifier);
  g_autofree gchar *data = g_strconcat ("data=", run->data, NULL);
  g_autofree gchar *fps = g_strdup_printf ("fps=%u", run->fps);
  const gchar *arguments[] = { sink, data, fps, NULL };
  g_autoptr (GError) error = NULL;
  g_autofree gchar *launch = grad_launch_file_load (CAMERA, arguments, &error);
  GstElement *pipeline = launch ? gst_parse_launch_full (launch, NULL,
      GST_PARSE_FLAG_FATAL_ERRORS, &error) : NULL;

  if (pipeline == NULL)
    die (error->message);
  drift (run, pipeline, "xpos", (640 - 480) / 2 + MARGIN, 0.31);
  drift (run, pipeline, "ypos", MARGIN, 0.23);
  watch (pipeline, "camera", "src", on_made, run);
  watch (pipeline, "entry", "src", on_entry, run);
  watch (pipeline, "sink", "sink", on_arrival, run);
  return pipeline;
}

static gdouble
cpu_seconds (void)
{
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
      + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void
play (Run * run)
{
  g_autoptr (GstElement) pipeline = make_pipeline (run);
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message = NULL;
  gdouble cpu = cpu_seconds ();
  gint64 start = g_get_monotonic_time ();

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE,
      GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
    g_autoptr (GError) error = NULL;

    gst_message_parse_error (message, &error, NULL);
    die (error->message);
  }
  run->seconds = (g_get_monotonic_time () - start) / 1e6;
  run->cpu = cpu_seconds () - cpu;
  gst_element_set_state (pipeline, GST_STATE_NULL);
  if (run->made != run->n_frames || (!run->live && run->arrived != run->made))
    die ("frames are missing that nothing may drop");
}

static gint
compare (gconstpointer a, gconstpointer b)
{
  gdouble x = *(const gdouble *) a, y = *(const gdouble *) b;

  return (x > y) - (x < y);
}

/* "-" of nothing */
static void
print_percentile (GArray * values, guint percent)
{
  g_array_sort (values, compare);
  if (values->len == 0)
    printf (" %8s", "-");
  else
    printf (" %8.2f", g_array_index (values, gdouble,
            MIN (values->len - 1, values->len * percent / 100)));
}

static void
report (const Run * run, gdouble idle_cpu)
{
  printf ("%-8s %3u", run->name, run->fps);
  if (run->labelled > 0)
    printf (" %8.4f", run->right / (gdouble) run->arrived);
  else
    printf (" %8s", "-");
  printf (" %10.1f %7.1f", 100. * (run->arrived - run->labelled) / MAX (run->arrived, 1),
      100. * (run->made - run->arrived) / MAX (run->made, 1));
  print_percentile (run->added, 50);
  print_percentile (run->added, 99);
  print_percentile (run->results, 50);
  printf (" %7.1f %5.0f %5.0f\n", run->made / run->seconds, 100 * run->cpu / run->seconds,
      idle_cpu);
  fflush (stdout);
}

/* CPU load in percent */
static gdouble
measure (Run run, gdouble idle_cpu)
{
  run.entered = g_new0 (gint64, run.n_frames);
  run.added = g_array_new (FALSE, FALSE, sizeof (gdouble));
  run.results = g_array_new (FALSE, FALSE, sizeof (gdouble));
  run.last_result = GST_CLOCK_TIME_NONE;
  play (&run);
  if (run.name != NULL)
    report (&run, idle_cpu);
  g_free (run.entered);
  g_array_unref (run.added);
  g_array_unref (run.results);
  return 100 * run.cpu / run.seconds;
}

int
main (int argc, char **argv)
{
  const gchar *data = "/usr/share/datasets/fashion-mnist", *classifier = NULL;
  gint seconds = 20;
  g_auto (GStrv) rest = NULL;
  const GOptionEntry entries[] = {
    {"data", 0, 0, G_OPTION_ARG_FILENAME, &data, "Folder of the .gz files", "FOLDER"},
    {"seconds", 0, 0, G_OPTION_ARG_INT, &seconds, "Length of each run (20)", "N"},
    {"classifier", 0, 0, G_OPTION_ARG_STRING, &classifier,
        "What classifies, in the place of gradclassify", "'LAUNCH STRING'"},
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, NULL, "[MODEL]"},
    {NULL}
  };
  static const guint rates[] = { 30, 60, 120 };
  g_autoptr (GOptionContext) options = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_autofree gchar *images = NULL, *labels = NULL, *offline = NULL, *live = NULL;
  g_autoptr (GradDataset) pictures = NULL;
  Run run = { 0 };

  g_option_context_add_main_entries (options, entries, NULL);
  g_option_context_add_group (options, gst_init_get_option_group ());
  g_option_context_set_description (options, description);
  if (!g_option_context_parse (options, &argc, &argv, &error))
    die (error->message);
  if ((rest == NULL) == (classifier == NULL) || seconds < 1)
    die ("name a model, or a --classifier; --seconds=N is at least 1");
  images = g_build_filename (data, "t10k-images-idx3-ubyte.gz", NULL);
  labels = g_build_filename (data, "t10k-labels-idx1-ubyte.gz", NULL);
  pictures = grad_dataset_open_idx (images, labels, &error);
  if (pictures == NULL)
    die (error->message);
  offline = classifier ? g_strconcat (classifier, " !", NULL)
      : g_strdup_printf ("gradclassify sync=true location=\"%s\" !", rest[0]);
  live = classifier ? g_strdup (offline)
      : g_strdup_printf ("gradclassify sync=false location=\"%s\" !", rest[0]);

  printf ("%-8s %3s %8s %10s %7s %8s %8s %8s %7s %5s %5s\n", "", "fps", "accuracy", "unlabelled",
      "dropped", "added", "p99", "result", "rate", "CPU", "idle");
  run = (Run) {.data = data,.pictures = pictures,.name = "offline",
    .classifier = offline,.fps = rates[0],.n_frames = seconds * rates[0] };
  measure (run, 0);
  for (guint i = 0; i < G_N_ELEMENTS (rates); i++) {
    gdouble idle;

    run.live = TRUE;
    run.fps = rates[i];
    run.n_frames = seconds * rates[i];
    if (run.n_frames / SHOWN >= grad_dataset_get_n_samples (pictures))
      die ("there are not enough pictures: lower --seconds");
    run.name = NULL;
    run.classifier = "";
    idle = measure (run, 0);
    run.name = "live";
    run.classifier = live;
    measure (run, idle);
  }
  return EXIT_SUCCESS;
}
