/* GradStreamer tests: training that is interrupted anywhere neither hangs nor leaks
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#define TIMES 100
#define ENDLESS "idxsrc name=source epochs=1000000 " TEST_DATA TEST_EVALUATION

typedef struct
{
  GstElement *pipeline;
  GRand *random;
  gint n_buffers;               /* atomic: that reached the sink */
  gint fail;                    /* atomic: the next buffer at the probe meets an error */
} Run;

static GstPadProbeReturn
count_buffer (GstPad * pad, GstPadProbeInfo * info, gpointer run)
{
  g_atomic_int_inc (&((Run *) run)->n_buffers);
  return GST_PAD_PROBE_OK;
}

/* Anything but waiting for each other: a few batches get through. */
static void
assert_goes_on (Run * run)
{
  gint n = g_atomic_int_get (&run->n_buffers);

  while (g_atomic_int_get (&run->n_buffers) < n + 3)
    g_usleep (100);
}

static void
wait_a_moment (Run * run)
{
  g_usleep (g_rand_int_range (run->random, 0, 3000));
}

/* One change at a time: GStreamer 1.22 can lose the second of two, PAUSED and PLAYING in quick succession, and
 * stay PAUSED for good; so does a pipeline of audiotestsrc, queues and fakesink on a busy machine. */
static void
change_state (Run * run, GstState state)
{
  gst_element_set_state (run->pipeline, state);
  gst_element_get_state (run->pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
}

static void
go_through (Run * run, GstState state)
{
  wait_a_moment (run);
  change_state (run, state);
  change_state (run, GST_STATE_PLAYING);
}

static void
to_paused (Run * run)
{
  go_through (run, GST_STATE_PAUSED);
}

static void
to_ready (Run * run)
{
  go_through (run, GST_STATE_READY);
}

static void
to_null (Run * run)
{
  go_through (run, GST_STATE_NULL);
}

static void
assert_no_error (Run * run)
{
  g_autoptr (TestResult) result = test_result_new ();

  test_collect (result, run->pipeline, 0, 0);
  if (result->errors->len > 0)
    g_error ("%s", (gchar *) result->errors->pdata[0]);
}

static void
flush (Run * run)
{
  g_autoptr (GstElement) source = test_get (run->pipeline, "source");

  /* not on the way to PLAYING, which is a change of state, too */
  gst_element_get_state (run->pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
  wait_a_moment (run);
  gst_element_send_event (source, gst_event_new_flush_start ());
  if (g_rand_boolean (run->random))
    wait_a_moment (run);
  gst_element_send_event (source, gst_event_new_flush_stop (TRUE));
  assert_no_error (run);
}

/* A flush that comes while another thread stops the pipeline. GStreamer 1.22's queue itself can hang then. */
static gpointer
flush_thread (gpointer run)
{
  g_autoptr (GstElement) source = test_get (((Run *) run)->pipeline, "source");

  for (guint i = 0; i < 5; i++) {
    gst_element_send_event (source, gst_event_new_flush_start ());
    gst_element_send_event (source, gst_event_new_flush_stop (TRUE));
  }
  return NULL;
}

static void
flush_and_stop (Run * run)
{
  GThread *thread;

  wait_a_moment (run);
  thread = g_thread_new ("flush", flush_thread, run);
  gst_element_set_state (run->pipeline, GST_STATE_READY);
  g_thread_join (thread);
  gst_element_set_state (run->pipeline, GST_STATE_NULL);
  gst_element_set_state (run->pipeline, GST_STATE_PLAYING);
}

static void
wait_for (Run * run, GstMessageType type)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (run->pipeline);

  gst_message_unref (gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, type));
  gst_element_set_state (run->pipeline, GST_STATE_NULL);
  gst_element_set_state (run->pipeline, GST_STATE_PLAYING);
}

static void
end (Run * run)
{
  /* GStreamer hands EOS to a source between two buffers, of which the second may wait for PLAYING */
  gst_element_get_state (run->pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
  wait_a_moment (run);
  gst_element_send_event (run->pipeline, gst_event_new_eos ());
  wait_for (run, GST_MESSAGE_EOS);
}

static GstPadProbeReturn
maybe_fail (GstPad * pad, GstPadProbeInfo * info, gpointer run)
{
  g_autoptr (GstElement) element = NULL;

  if (!g_atomic_int_compare_and_exchange (&((Run *) run)->fail, TRUE, FALSE))
    return GST_PAD_PROBE_OK;
  element = gst_pad_get_parent_element (pad);
  GST_ELEMENT_ERROR (element, STREAM, FAILED, ("A test."), (NULL));
  gst_clear_buffer ((GstBuffer **) & info->data);
  GST_PAD_PROBE_INFO_FLOW_RETURN (info) = GST_FLOW_ERROR;
  return GST_PAD_PROBE_HANDLED;
}

static void
fail (Run * run)
{
  wait_a_moment (run);
  g_atomic_int_set (&run->fail, TRUE);
  wait_for (run, GST_MESSAGE_ERROR);
}

static GstPadProbeReturn
maybe_drop (GstPad * pad, GstPadProbeInfo * info, gpointer run)
{
  return g_rand_int_range (((Run *) run)->random, 0, 10) < 3 ? GST_PAD_PROBE_DROP
      : GST_PAD_PROBE_OK;
}

static void
add_probe (Run * run, const gchar * element, GstPadProbeCallback callback)
{
  g_autoptr (GstElement) at = test_get (run->pipeline, element);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (at, "sink");

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, callback, run, NULL);
}

static const struct
{
  const gchar *name;
  void (*interrupt) (Run * run);
  GstPadProbeCallback probe;
  const gchar *element;
  gboolean no_queues;
} cases[] = {
  {"paused", to_paused},
  {"ready", to_ready},
  {"null", to_null},
  {"flush", flush},
  {"flush-and-stop", flush_and_stop,.no_queues = TRUE},
  {"eos", end},
  {"error-first", fail, maybe_fail, "resize"},
  {"error-middle", fail, maybe_fail, "stage2"},
  {"error-last", fail, maybe_fail, "sink"},
  {"drop-first", assert_goes_on, maybe_drop, "stem"},
  {"drop-middle", assert_goes_on, maybe_drop, "stage2"},
  {"drop-last", assert_goes_on, maybe_drop, "loss"},
  {"drop-and-stop", to_ready, maybe_drop, "pool"},
};

static void
test_interrupt (guint i, const gchar * launch)
{
  Run run = { test_launch ("%s", launch), g_rand_new_with_seed (i) };

  add_probe (&run, "sink", count_buffer);
  if (cases[i].probe)
    add_probe (&run, cases[i].element, cases[i].probe);
  gst_element_set_state (run.pipeline, GST_STATE_PLAYING);
  for (guint n = 0; n < TIMES; n++) {
    test_watchdog (60);
    cases[i].interrupt (&run);
  }
  test_watchdog (60);
  assert_goes_on (&run);
  gst_element_set_state (run.pipeline, GST_STATE_NULL);
  test_watchdog (0);
  gst_object_unref (run.pipeline);
  g_rand_free (run.random);
  test_assert_no_leaks ();
}

static void
test_plain (gconstpointer i)
{
  test_interrupt (GPOINTER_TO_UINT (i), ENDLESS TEST_NETWORK ("") "gradadamsink name=sink");
}

static void
test_queues (gconstpointer i)
{
  test_interrupt (GPOINTER_TO_UINT (i), ENDLESS " ! queue" TEST_NETWORK (" ! queue")
      "gradadamsink name=sink");
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *plain = g_strconcat ("/interrupt/", cases[i].name, NULL);
    g_autofree gchar *queues = g_strconcat ("/interrupt-queues/", cases[i].name, NULL);

    g_test_add_data_func (plain, GUINT_TO_POINTER (i), test_plain);
    if (!cases[i].no_queues)
      g_test_add_data_func (queues, GUINT_TO_POINTER (i), test_queues);
  }
  return test_run_all ();
}
