/* GradStreamer tests: idxsrc
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <string.h>

/* Everything that the source sends, batch by batch */
typedef struct
{
  GstElement *pipeline;
  GString *phases;              /* a letter each */
  GString *sizes;               /* "8 8 5 " */
  guint64 sequence;
  guint32 seen[2][TEST_TRAIN_SAMPLES];  /* epoch -> how often each sample came */
  guint32 order[2][TEST_TRAIN_SAMPLES], n[2];
  guint events;
} Record;

static GstPadProbeReturn
record (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Record *r = data;
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  GradSampleMeta *meta;
  const guint32 *indices;
  const gint32 *labels;
  GstMapInfo map;

  if (info->type & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM) {
    const GstStructure *s = grad_event_parse_dataset (GST_PAD_PROBE_INFO_EVENT (info));

    r->events += s != NULL;
    return GST_PAD_PROBE_OK;
  }
  meta = grad_buffer_get_sample_meta (buffer);
  g_string_append_c (r->phases, "ITE"[meta->phase]);
  g_string_append_printf (r->sizes, "%u ", meta->n_samples);
  g_assert_cmpuint (meta->sequence, ==, ++r->sequence);
  g_assert_cmpuint (meta->batch, ==, meta->index / TEST_BATCH + 1);
  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
  g_assert_cmpuint (map.size, ==, meta->n_samples * 144);
  indices = g_bytes_get_data (meta->indices, NULL);
  labels = meta->labels ? g_bytes_get_data (meta->labels, NULL) : NULL;
  for (guint i = 0; labels && i < meta->n_samples; i++) /* the bright rows tell the label */
    g_assert_cmpint (map.data[i * 144 + labels[i] * 24], >=, 150);
  for (guint i = 0; meta->phase == GRAD_PHASE_TRAIN && i < meta->n_samples; i++) {
    r->seen[meta->epoch - 1][indices[i]]++;
    r->order[meta->epoch - 1][r->n[meta->epoch - 1]++] = indices[i];
  }
  gst_buffer_unmap (buffer, &map);
  return GST_PAD_PROBE_OK;
}

static void
record_run (Record * r, const gchar * launch)
{
  g_autoptr (GstElement) source = NULL;
  g_autoptr (GstPad) pad = NULL;
  g_autoptr (TestResult) result = NULL;

  *r = (Record) {test_launch ("%s", launch), g_string_new (NULL), g_string_new (NULL)};
  source = test_get (r->pipeline, "source");
  pad = gst_element_get_static_pad (source, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, record,
      r, NULL);
  result = test_play (r->pipeline);
  g_assert_true (result->eos);
  g_assert_cmpuint (r->events, ==, 1);
}

static void
record_clear (Record * r)
{
  g_string_free (r->phases, TRUE);
  g_string_free (r->sizes, TRUE);
  gst_object_unref (r->pipeline);
}

static void
test_passes (void)
{
  Record r;

  record_run (&r, "idxsrc name=source epochs=2 " TEST_DATA TEST_EVALUATION TEST_NETWORK ("")
      "gradadamsink");
  g_assert_cmpstr (r.phases->str, ==, "TTTTTEEETTTTTEEE");
  g_assert_cmpstr (r.sizes->str, ==, "8 8 8 8 5 8 8 5 8 8 8 8 5 8 8 5 ");
  for (guint e = 0; e < 2; e++)
    for (guint i = 0; i < TEST_TRAIN_SAMPLES; i++)
      g_assert_cmpuint (r.seen[e][i], ==, 1);
  g_assert_true (memcmp (r.order[0], r.order[1], sizeof r.order[0]) != 0);
  record_clear (&r);

  record_run (&r, "idxsrc name=source drop-last=true shuffle=false " TEST_DATA TEST_NETWORK ("")
      "gradadamsink");
  g_assert_cmpstr (r.sizes->str, ==, "8 8 8 8 ");
  for (guint i = 0; i < 32; i++)
    g_assert_cmpuint (r.order[0][i], ==, i);
  record_clear (&r);
}

/* phase=auto: without an optimizer nothing is trained, without labels nothing is measured */
static void
test_phases (void)
{
  static const struct
  {
    const gchar *launch, *phases;
  } runs[] = {
    {"idxsrc name=source " TEST_DATA "! fakesink", "EEEEE"},
    {"idxsrc name=source location=train-images batch-size=8 ! fakesink", "IIIII"},
    {"idxsrc name=source phase=infer " TEST_DATA TEST_EVALUATION "! fakesink", "IIIII"},
    {"idxsrc name=source model-name=other " TEST_DATA "! fakesink idxsrc " TEST_DATA
        TEST_NETWORK ("") "gradadamsink", "EEEEE"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (runs); i++) {
    Record r;

    record_run (&r, runs[i].launch);
    g_assert_cmpstr (r.phases->str, ==, runs[i].phases);
    record_clear (&r);
  }
}

static void
test_position (void)
{
  g_autoptr (GstElement) pipeline =
      test_launch ("idxsrc epochs=3 " TEST_DATA TEST_EVALUATION TEST_NETWORK ("")
      "gradadamsink name=sink");
  gint64 duration, position;
  g_autoptr (TestResult) result = test_result_new ();

  test_watchdog (60);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  g_assert_cmpint (gst_element_get_state (pipeline, NULL, NULL, 20 * GST_SECOND), ==,
      GST_STATE_CHANGE_SUCCESS);
  g_assert_true (gst_element_query_duration (pipeline, GST_FORMAT_TIME, &duration));
  g_assert_cmpint (duration, ==, 3 * (TEST_TRAIN_SAMPLES + TEST_TEST_SAMPLES) * GST_MSECOND);
  g_assert_true (gst_element_query_position (pipeline, GST_FORMAT_TIME, &position));
  g_assert_cmpint (position, ==, 0);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  while (!result->eos) {
    test_collect (result, pipeline, GST_MESSAGE_EOS, GST_MSECOND);
    /* GstBaseSink's answer, which on a busy machine may fall back to 0 for a moment */
    if (gst_element_query_position (pipeline, GST_FORMAT_TIME, &position)) {
      g_assert_cmpint (position, >=, 0);
      g_assert_cmpint (position, <=, duration);
    }
  }
  g_assert_true (gst_element_query_position (pipeline, GST_FORMAT_TIME, &position));
  g_assert_cmpint (position, ==, duration);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
}

static void
test_refused (void)
{
  static const struct
  {
    const gchar *launch, *text1, *text2;
  } runs[] = {
    {"idxsrc name=source ! fakesink", "location", "IDX"},
    {"idxsrc name=source phase=train " TEST_DATA "! fakesink", "phase=train", "gradadamsink"},
    {"idxsrc name=source phase=train location=train-images" TEST_NETWORK ("") "gradadamsink",
        "set labels", "train"},
    {"idxsrc name=source phase=evaluate location=train-images ! fakesink", "set labels", "evaluate"},
    {"idxsrc name=source test-location=test-images " TEST_DATA TEST_NETWORK ("") "gradadamsink",
        "test-labels", "test-location"},
    {"idxsrc name=source batch-size=64 location=train-images labels=train-labels drop-last=true"
        TEST_NETWORK ("") "gradadamsink", "drop-last", "batch-size=64"},
    {"idxsrc name=source seed=1 " TEST_DATA "! fakesink idxsrc seed=2 " TEST_DATA
        "! fakesink", "seed=", "contradicts"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    test_assert_error (runs[i].launch, "source", runs[i].text1, runs[i].text2, NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/idxsrc/passes", test_passes);
  g_test_add_func ("/idxsrc/phases", test_phases);
  g_test_add_func ("/idxsrc/position", test_position);
  g_test_add_func ("/idxsrc/refused", test_refused);
  return test_run_all ();
}
