/* GradStreamer tests: a training that runs on allocates nothing
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <stdio.h>
#include <unistd.h>

typedef struct
{
  GradBus *bus;
  guint n;
  guint64 allocations, resident;        /* after the first epochs */
  guint64 last_allocations, last_resident;
} Watch;

static guint64
resident (void)
{
  g_autofree gchar *text = NULL;
  gulong total, pages;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  g_assert_cmpint (sscanf (text, "%lu %lu", &total, &pages), ==, 2);
  return (guint64) pages * sysconf (_SC_PAGESIZE);
}

static GstPadProbeReturn
watch (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Watch *w = data;
  g_autoptr (GradDevice) device = grad_bus_get_device (w->bus, NULL);

  w->last_allocations = grad_device_get_n_allocations (device);
  w->last_resident = resident ();
  if (++w->n == 3 * (TEST_STEPS + 3)) { /* each epoch has 3 batches of evaluation, too */
    w->allocations = w->last_allocations;
    w->resident = w->last_resident;
  }
  return GST_PAD_PROBE_OK;
}

/* Losses are read batch by batch: by default it is up to the clock how many wait. */
#define LAUNCH(q) "idxsrc name=source " TEST_DATA TEST_EVALUATION q TEST_NETWORK (q) \
  "gradadamsink name=sink log-interval=1"
#define QUEUE " ! queue max-size-buffers=2"

/* How many batches to evaluate are on their way at once is up to the threads. Behind each element
 * it is at most one in the making, two in the queue and one on its way out, and it may take more
 * than the first epochs until all of these were there. */
static const struct
{
  const gchar *launch;
  guint late;                   /* allocations */
} cases[] = {
  {LAUNCH (""), 0},
  {LAUNCH (QUEUE), 8 * 4},
};

/* A GPU that is none of ours on the host: its driver takes memory of its own, and how many results wait for it is up to the clock. */
static gboolean
is_gpu (void)
{
  return g_strcmp0 (g_getenv ("GRAD_DEVICE"), "cuda") == 0 && test_count_repeated () < 0;
}

/* 500 steps with smaller last batches and evaluation */
static void
test_steady (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data), epochs = g_getenv ("TEST_SLOWDOWN") ? 20 : 100;
  g_autoptr (GstElement) pipeline = test_launch ("%s", cases[i].launch);
  g_autoptr (GstElement) source = test_get (pipeline, "source"), sink = test_get (pipeline, "sink");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (sink, "sink");
  Watch w = { grad_bus_new () };
  g_autoptr (GstContext) context = grad_bus_to_context (w.bus);
  g_autoptr (TestResult) result = NULL;

  g_object_set (source, "epochs", epochs, NULL);
  gst_element_set_context (pipeline, context);
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, watch, &w, NULL);
  result = test_play (pipeline);
  g_assert_true (result->eos);
  g_assert_cmpuint (w.n, ==, epochs * (TEST_STEPS + 3));
  g_test_message ("%" G_GUINT64_FORMAT " allocations, then %" G_GUINT64_FORMAT "; %" G_GUINT64_FORMAT
      " kB, then %" G_GUINT64_FORMAT, w.allocations, w.last_allocations, w.resident / 1024,
      w.last_resident / 1024);
  g_assert_cmpuint (w.last_allocations, <=, w.allocations + cases[i].late + (is_gpu ()? 16 : 0));
  if (g_getenv ("TEST_SLOWDOWN") == NULL)       /* a sanitizer keeps what is freed */
    g_assert_cmpuint (w.last_resident, <, w.resident + ((is_gpu ()? 64 : 8) << 20));
  g_object_unref (w.bus);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_data_func ("/memory/steady", GUINT_TO_POINTER (0), test_steady);
  g_test_add_data_func ("/memory/steady-queues", GUINT_TO_POINTER (1), test_steady);
  return test_run_all ();
}
