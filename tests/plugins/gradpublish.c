/* GradStreamer tests: classifications as lines and as text
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <string.h>

static const gchar *const names[] = { "a \"quoted\" \\ name\n", "Füße", NULL };

/* Frame n says class n / 3 % 2, a new result every third frame. */
typedef struct
{
  guint n;
  GradClassification *c;
} Source;

static GstPadProbeReturn
attach (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Source *source = data;
  GstBuffer *buffer = gst_buffer_make_writable (GST_PAD_PROBE_INFO_BUFFER (info));

  GST_PAD_PROBE_INFO_DATA (info) = buffer;
  if (source->n % 3 == 0) {
    gfloat p[2] = { source->n / 3 % 2 ? 0.25 : 0.75, source->n / 3 % 2 ? 0.75 : 0.25 };

    g_clear_pointer (&source->c, grad_classification_unref);
    source->c = grad_classification_new (p, 2, names, 2, 0, GST_BUFFER_PTS (buffer), 5, 7);
  }
  source->n++;
  grad_buffer_add_classification_meta (buffer, source->c);
  return GST_PAD_PROBE_OK;
}

static GstElement *
launch (Source * source, const gchar * rest)
{
  GstElement *pipeline = test_launch ("videotestsrc name=source num-buffers=9 "
      "! video/x-raw,width=32,height=24,framerate=10/1 ! identity name=in ! gradpublish name=p %s",
      rest);
  g_autoptr (GstElement) in = test_get (pipeline, "in");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (in, "src");

  *source = (Source) { 0, NULL };
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, attach, source, NULL);
  return pipeline;
}

static void
run (const gchar * rest)
{
  Source source;
  g_autoptr (GstElement) pipeline = launch (&source, rest);
  g_autoptr (TestResult) result = test_play (pipeline);

  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_clear_pointer (&source.c, grad_classification_unref);
}

#define LINE(pts, first, second) "{\"pts\":" pts ",\"latency\":5,\"version\":7,\"results\":[{\"class\":" \
  first ",\"probability\":0.75},{\"class\":" second ",\"probability\":0.25}]}\n"
#define ZERO "0,\"label\":\"a \\\"quoted\\\" \\\\ name\\u000a\""
#define ONE "1,\"label\":\"Füße\""

static void
assert_file (const gchar * name, const gchar * expected)
{
  g_autofree gchar *text = NULL;

  g_assert_true (g_file_get_contents (name, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, expected);
}

static void
test_lines (void)
{
  for (guint i = 0; i < 2; i++) {       /* the second time the file is written anew */
    run ("location=lines ! fakesink");
    assert_file ("lines", LINE ("0", ZERO, ONE) LINE ("300000000", ONE, ZERO)
        LINE ("600000000", ZERO, ONE));
  }
  run ("location=lines changes-only=true ! fakesink");
  assert_file ("lines", LINE ("0", ZERO, ONE) LINE ("300000000", ONE, ZERO)
      LINE ("600000000", ZERO, ONE));
  test_assert_files ("lines", NULL);
}

static void
test_errors (void)
{
  Source source;
  g_autoptr (GstElement) full = launch (&source, "location=/dev/full ! fakesink");
  g_autoptr (TestResult) result = test_play (full);

  g_assert_cmpuint (result->errors->len, >=, 1);
  g_assert_nonnull (strstr (result->errors->pdata[0], "p: Cannot write results to /dev/full"));
  g_clear_pointer (&source.c, grad_classification_unref);
  test_assert_error ("videotestsrc ! gradpublish name=p location=no/such/folder ! fakesink", "p",
      "no/such/folder", NULL);
  test_assert_files (NULL, NULL);
}

/* Text, with its times, for each frame or for each result */
static void
test_text (void)
{
  run ("text-format=json ! fakesink p.text ! filesink location=text");
  assert_file ("text", LINE ("0", ZERO, ONE) LINE ("300000000", ONE, ZERO)
      LINE ("600000000", ZERO, ONE));
  run ("! fakesink p.text ! filesink location=text");
  assert_file ("text", "a \"quoted\" \\ name\n 75 %a \"quoted\" \\ name\n 75 %a \"quoted\" \\ name\n 75 %"
      "Füße 75 %Füße 75 %Füße 75 %"
      "a \"quoted\" \\ name\n 75 %a \"quoted\" \\ name\n 75 %a \"quoted\" \\ name\n 75 %");
  test_assert_files ("text", NULL);
}

/* One element that waits for both streams, without a queue; and one that takes no text at all */
static void
test_no_deadlock (void)
{
  Source source;
  g_autoptr (GstElement) pipeline = NULL, publish = NULL;
  g_autoptr (GstPad) pad = NULL;
  g_autoptr (TestResult) result = NULL;

  if (gst_element_factory_find ("textoverlay"))
    run ("! textoverlay name=t ! fakesink p.text ! t.text_sink");
  pipeline = launch (&source, "! fakesink");
  publish = test_get (pipeline, "p");
  pad = gst_element_request_pad_simple (publish, "text");
  result = test_play (pipeline);
  g_assert_true (result->eos);
  gst_element_release_request_pad (publish, pad);
  g_clear_pointer (&source.c, grad_classification_unref);
  test_assert_files (NULL, NULL);
}

/* After a seek the text begins again. */
static void
test_seek (void)
{
  Source source;
  g_autoptr (GstElement) pipeline =
      launch (&source, "! fakesink sync=true p.text ! fakesink name=text sync=true");
  g_autoptr (GstElement) text = test_get (pipeline, "text"), src = test_get (pipeline, "source");
  g_autoptr (TestTap) tap = test_tap (pipeline, "text");
  g_autoptr (TestResult) result = NULL;

  g_object_set (src, "num-buffers", -1, NULL);
  test_watchdog (60);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  for (guint i = 0; i < 10; i++) {
    gst_element_get_state (pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
    g_assert_true (gst_element_seek_simple (pipeline, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH,
            i * GST_SECOND));
    g_usleep (20000);
  }
  result = test_result_new ();
  test_collect (result, pipeline, 0, 0);        /* a bus that was emptied may be waited for in vain */
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  g_assert_cmpuint (tap->n, >=, 10);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_clear_pointer (&source.c, grad_classification_unref);
  test_assert_files (NULL, NULL);
}

/* A pad that is asked for while frames flow: fatal warnings tell if its stream did not begin as it must. */
static void
test_late (void)
{
  Source source;
  g_autoptr (GstElement) pipeline = launch (&source, "! fakesink name=frames sync=true");
  g_autoptr (GstElement) publish = test_get (pipeline, "p"), src = test_get (pipeline, "source");
  GstElement *sink = gst_element_factory_make ("fakesink", "text");
  g_autoptr (TestTap) frames = test_tap (pipeline, "frames"), tap = NULL;
  g_autoptr (TestResult) result = test_result_new ();

  g_object_set (src, "num-buffers", -1, NULL);
  test_watchdog (60);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  while (g_atomic_int_get (&frames->n) < 3)
    g_usleep (1000);
  gst_bin_add (GST_BIN (pipeline), sink);
  g_object_set (sink, "async", FALSE, NULL);
  tap = test_tap (pipeline, "text");
  g_assert_true (gst_element_link_pads (publish, "text", sink, "sink"));
  gst_element_sync_state_with_parent (sink);
  while (g_atomic_int_get (&tap->n) < 3)
    g_usleep (1000);
  test_collect (result, pipeline, 0, 0);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_clear_pointer (&source.c, grad_classification_unref);
  test_assert_files (NULL, NULL);
}

static GstFlowReturn
refuse (GstPad * pad, GstObject * parent, GstBuffer * text)
{
  gst_buffer_unref (text);
  return GST_FLOW_ERROR;
}

/* What goes wrong behind the text pad is not kept secret. */
static void
test_refused_text (void)
{
  Source source;
  g_autoptr (GstElement) pipeline = launch (&source, "! fakesink sync=true p.text ! fakesink name=t");
  g_autoptr (GstElement) sink = test_get (pipeline, "t");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (sink, "sink");
  g_autoptr (TestResult) result = NULL;

  g_object_set (sink, "async", FALSE, NULL);
  gst_pad_set_chain_function (pad, refuse);
  result = test_play (pipeline);
  g_assert_cmpuint (result->errors->len, ==, 1);
  g_assert_true (g_str_has_prefix (result->errors->pdata[0], "p: "));
  g_clear_pointer (&source.c, grad_classification_unref);
  test_assert_files (NULL, NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradpublish/lines", test_lines);
  g_test_add_func ("/gradpublish/errors", test_errors);
  g_test_add_func ("/gradpublish/text", test_text);
  g_test_add_func ("/gradpublish/no-deadlock", test_no_deadlock);
  g_test_add_func ("/gradpublish/seek", test_seek);
  g_test_add_func ("/gradpublish/late", test_late);
  g_test_add_func ("/gradpublish/refused-text", test_refused_text);
  return test_run_all ();
}
