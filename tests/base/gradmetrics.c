/* Tests of lib/base/gradmetrics: what is told of a run, and when the device is asked for it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/testutil.h"
#include "lib/base/gradmetrics-private.h"

#include <glib/gstdio.h>
#include <string.h>

#define N_BATCHES 20
#define N_SAMPLES 4

typedef struct
{
  GradMetrics metrics;
  GradTensor *results[N_BATCHES];
  GstElement *element;
  GstBus *bus;
  gchar *log;
  guint n_told;                 /* batches */
} Run;

/* Batch i has a loss of i in all and i % 4 correct samples. The results are there from the start, as an upload has to wait. */
static void
run_start (Run * run, GradDevice * device, guint interval)
{
  gint fd = g_file_open_tmp ("gradmetrics-XXXXXX", &run->log, NULL);

  g_close (fd, NULL);
  run->n_told = 0;
  run->element = gst_object_ref_sink (gst_bin_new (NULL));
  run->bus = gst_bus_new ();
  gst_element_set_bus (run->element, run->bus);
  for (guint i = 0; i < N_BATCHES; i++) {
    gdouble values[] = { i, i % N_SAMPLES };

    run->results[i] = grad_tensor_new_plain (device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (sizeof values),
        NULL);
    g_assert_true (grad_tensor_upload (run->results[i], values, sizeof values, NULL));
  }
  grad_metrics_start (&run->metrics, run->element, interval, FALSE);
  g_assert_true (grad_log_open (&run->metrics.log, run->log, NULL, NULL));
}

static void
run_tell (Run * run, guint n)
{
  for (; n > 0; n--) {
    guint i = run->n_told++;
    GradSampleMeta sample = {.phase = GRAD_PHASE_TRAIN,.epoch = 1,.epochs = 1,.batch = i + 1,
      .batches = N_BATCHES,.n_samples = N_SAMPLES,.last = i + 1 == N_BATCHES
    };
    GradLossMeta loss = {.result = run->results[i],.n_samples = N_SAMPLES };

    grad_metrics_batch (&run->metrics, &sample, &loss, &(GradMetricsStep) {
        .number = i + 1,.learning_rate = 0.5}, FALSE);
  }
}

/* The log has the batches from the first on, in order. */
static void
run_assert_logged (Run * run, guint n)
{
  g_autofree gchar *text = NULL;
  g_auto (GStrv) lines = NULL;

  g_assert_true (g_file_get_contents (run->log, &text, NULL, NULL));
  lines = g_strsplit (g_strchomp (text), "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, n);
  for (guint i = 0; i < MIN (n, N_BATCHES); i++) {
    g_autofree gchar *start = g_strdup_printf ("{\"phase\":\"train\",\"epoch\":1,\"step\":%u,"
        "\"samples\":4,\"loss\":%g,\"accuracy\":%g,", i + 1, i / 4., i % 4 / 4.);

    g_assert_true (g_str_has_prefix (lines[i], start));
  }
}

static void
run_stop (Run * run)
{
  grad_metrics_stop (&run->metrics, TRUE);
  for (guint i = 0; i < N_BATCHES; i++)
    grad_tensor_unref (run->results[i]);
  gst_element_set_bus (run->element, NULL);
  gst_object_unref (run->bus);
  gst_object_unref (run->element);
  g_unlink (run->log);
  g_free (run->log);
}

static void
test_epoch (gconstpointer name)
{
  g_autoptr (GradDevice) device = test_device (name);
  GstMessage *message;
  gdouble loss, accuracy;
  guint64 samples;
  Run run;

  run_start (&run, device, 3);
  run_tell (&run, 2);
  run_assert_logged (&run, 0);
  run_tell (&run, 1);
  run_assert_logged (&run, 3);
  run_tell (&run, N_BATCHES - 3);
  run_assert_logged (&run, N_BATCHES + 1);
  do {
    message = gst_bus_pop (run.bus);
    g_assert_nonnull (message);
    if (gst_message_has_name (message, "grad-epoch"))
      break;
    gst_message_unref (message);
  } while (TRUE);
  g_assert_true (gst_structure_get (gst_message_get_structure (message), "loss", G_TYPE_DOUBLE,
          &loss, "accuracy", G_TYPE_DOUBLE, &accuracy, "samples", G_TYPE_UINT64, &samples, NULL));
  g_assert_cmpfloat (loss, ==, 190 / 80.);
  g_assert_cmpfloat (accuracy, ==, 30 / 80.);
  g_assert_cmpuint (samples, ==, 80);
  gst_message_unref (message);
  run_stop (&run);
}

/* Nobody waits for a GPU that has much to do, before the end of the epoch. */
static void
test_slow (gconstpointer name)
{
  g_autoptr (GradDevice) device = test_device (name);
  guint (*slow) (gboolean) = test_cuda_symbol ("emulated_slow");
  g_autoptr (GradTensor) pictures = NULL;
  Run run;

  if (slow == NULL) {
    g_test_skip ("real GPUs cannot be told to be slow");
    return;
  }
  run_start (&run, device, 1);
  slow (TRUE);
  run_tell (&run, 10);
  run_assert_logged (&run, 0);
  pictures = test_random (device, GRAD_SHAPE (1, 2, 3, 4), 1, 0, 1);    /* launches: nothing has failed */
  g_assert_cmpuint (slow (FALSE), ==, 0);
  slow (TRUE);
  run_tell (&run, 5);           /* the first of which finds that ten are there */
  run_assert_logged (&run, 10);
  g_assert_cmpuint (slow (TRUE), ==, 0);
  run_tell (&run, 5);
  run_assert_logged (&run, N_BATCHES + 1);
  g_assert_cmpuint (slow (FALSE), ==, 10);
  run_stop (&run);
}

/* Results that nobody takes are no leak, and come in nobody's way. */
static void
test_stopped (gconstpointer name)
{
  g_autoptr (GradDevice) device = test_device (name);

  for (guint i = 0; i < 2; i++) {
    Run run;

    run_start (&run, device, N_BATCHES);
    run_tell (&run, 7);
    for (guint k = 0; k < N_BATCHES; k++)
      grad_tensor_fetch (run.results[k]);
    grad_metrics_stop (&run.metrics, FALSE);
    run_assert_logged (&run, 7);
    run_stop (&run);
  }
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const gchar *name;
    GTestDataFunc func;
  } tests[] = {
    {"epoch", test_epoch}, {"stopped", test_stopped}, {"slow", test_slow}
  };

  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  for (const gchar * const *name = test_devices (); *name; name++)
    for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
      if (tests[i].func != test_slow || g_str_has_prefix (*name, "cuda")) {
        g_autofree gchar *test = g_strdup_printf ("/metrics/%s/%s", *name, tests[i].name);

        g_test_add_data_func (test, *name, tests[i].func);
      }
  return g_test_run ();
}
