/* GradStreamer tests: looking at what pipelines do: data, leaks, hangs
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "pipelineutil.h"

#include <execinfo.h>
#include <gst/check/gstharness.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* ---- watchdog */

static void
bark (int number)
{
  static const char text[] = "watchdog: the case hangs\n";
  void *frames[64];

  (void) !write (STDERR_FILENO, text, sizeof text - 1);
  backtrace_symbols_fd (frames, backtrace (frames, G_N_ELEMENTS (frames)), STDERR_FILENO);
  abort ();
}

void
test_watchdog (guint seconds)
{
  const gchar *slow = g_getenv ("TEST_SLOWDOWN");       /* under valgrind and the like */

  signal (SIGALRM, bark);
  alarm (seconds * (slow ? atoi (slow) : 1));
}

/* ---- leaks */

/* Static objects of GStreamer and its plugins */
static gboolean
is_ours (const gchar * type)
{
  return !g_str_equal (type, "GstCaps") && !g_str_equal (type, "GstLeaksTracer");
}

static guint
count_live_objects (gpointer tracer, gboolean show)
{
  GstStructure *info = NULL;
  const GValue *list;
  guint n = 0;

  g_signal_emit_by_name (tracer, "get-live-objects", &info);
  list = gst_structure_get_value (info, "live-objects-list");
  for (guint i = 0; i < gst_value_list_get_size (list); i++) {
    const GstStructure *s = gst_value_get_structure (gst_value_list_get_value (list, i));
    const gchar *type = G_VALUE_TYPE_NAME (gst_structure_get_value (s, "object"));

    if (!is_ours (type))
      continue;
    n++;
    if (show)
      g_test_message ("leak: %s", type);
  }
  gst_structure_free (info);
  return n;
}

void
test_assert_no_leaks (void)
{
  GList *tracers = gst_tracing_get_active_tracers ();
  guint n = 1;

  g_assert_nonnull (tracers);   /* GST_TRACERS=leaks */
  gst_task_cleanup_all ();
  /* threads of pools let go of their objects a little later */
  for (guint i = 0; i < 1000 && n > 0; i++) {
    g_usleep (10000);
    n = count_live_objects (tracers->data, FALSE);
  }
  if (n > 0)
    n = count_live_objects (tracers->data, TRUE);
  g_list_free_full (tracers, gst_object_unref);
  g_assert_cmpuint (n, ==, 0);
}

/* ---- looking at data */

static GstPadProbeReturn
tap_buffer (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  TestTap *tap = data;
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  GstMapInfo map;

  g_ptr_array_add (tap->dimensions, g_strdup (gst_structure_get_string (gst_caps_get_structure
              (caps, 0), "dimensions")));
  g_assert_true (gst_buffer_map (GST_PAD_PROBE_INFO_BUFFER (info), &map, GST_MAP_READ));
  g_byte_array_append (tap->bytes, map.data, map.size);
  gst_buffer_unmap (GST_PAD_PROBE_INFO_BUFFER (info), &map);
  tap->n++;
  return GST_PAD_PROBE_OK;
}

TestTap *
test_tap (GstElement * pipeline, const gchar * name)
{
  TestTap *tap = g_new0 (TestTap, 1);
  g_autoptr (GstElement) element = test_get (pipeline, name);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element, "sink");

  tap->dimensions = g_ptr_array_new_with_free_func (g_free);
  tap->bytes = g_byte_array_new ();
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, tap_buffer, tap, NULL);
  return tap;
}

void
test_tap_free (TestTap * tap)
{
  g_ptr_array_unref (tap->dimensions);
  g_byte_array_unref (tap->bytes);
  g_free (tap);
}

static GstPadProbeReturn
note_frame (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  TestVideo *video = data;

  g_mutex_lock (&video->lock);
  g_ptr_array_add (video->frames, gst_buffer_ref (GST_PAD_PROBE_INFO_BUFFER (info)));
  g_free (video->caps);
  video->caps = gst_caps_to_string (caps);
  g_mutex_unlock (&video->lock);
  return GST_PAD_PROBE_OK;
}

TestVideo *
test_video (GstElement * pipeline, const gchar * name)
{
  TestVideo *video = g_new0 (TestVideo, 1);
  g_autoptr (GstElement) element = test_get (pipeline, name);

  g_mutex_init (&video->lock);
  video->frames = g_ptr_array_new_with_free_func ((GDestroyNotify) gst_buffer_unref);
  video->pad = gst_element_get_static_pad (element, "sink");
  video->probe = gst_pad_add_probe (video->pad, GST_PAD_PROBE_TYPE_BUFFER, note_frame, video, NULL);
  return video;
}

void
test_video_forget (TestVideo * video)
{
  g_mutex_lock (&video->lock);
  g_ptr_array_set_size (video->frames, 0);
  g_mutex_unlock (&video->lock);
}

void
test_video_await (TestVideo * video, guint n)
{
  guint have;

  do {
    g_usleep (1000);
    g_mutex_lock (&video->lock);
    have = video->frames->len;
    g_mutex_unlock (&video->lock);
  } while (have < n);
}

void
test_video_free (TestVideo * video)
{
  gst_pad_remove_probe (video->pad, video->probe);
  gst_object_unref (video->pad);
  g_mutex_clear (&video->lock);
  g_ptr_array_unref (video->frames);
  g_free (video->caps);
  g_free (video);
}

static gsize
product (const gchar * dimensions)
{
  g_auto (GStrv) sizes = g_strsplit (dimensions, ":", -1);
  gsize n = 1;

  for (guint i = 0; sizes[i] != NULL; i++)
    n *= MAX (1, atoi (sizes[i]));
  return n;
}

gchar *
test_output_dimensions (const gchar * element, const gchar * type, const gchar * dimensions)
{
  GstHarness *harness = gst_harness_new_parse (element);
  g_autoptr (GstCaps) caps = gst_caps_new_simple ("other/tensors", "format", G_TYPE_STRING,
      "static", "num_tensors", G_TYPE_INT, 1, "types", G_TYPE_STRING, type, "dimensions",
      G_TYPE_STRING, dimensions, "framerate", GST_TYPE_FRACTION, 0, 1, NULL);
  GstSegment segment;
  gsize n = product (dimensions) * (g_str_equal (type, "uint8") ? 1 : 4);
  g_autoptr (GstBuffer) out = NULL;
  gchar *result = g_strdup ("");

  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (harness, gst_event_new_stream_start ("test"));
  if (gst_harness_push_event (harness, gst_event_new_caps (caps))
      && gst_harness_push_event (harness, gst_event_new_segment (&segment))
      && gst_harness_push (harness, gst_buffer_new_wrapped (g_malloc0 (n), n)) == GST_FLOW_OK) {
    g_autoptr (GstCaps) got = gst_pad_get_current_caps (harness->sinkpad);
    const GstStructure *s = gst_caps_get_structure (got, 0);
    g_free (result);
    result = g_strdup (gst_structure_get_string (s, "dimensions"));
    g_assert_cmpstr (gst_structure_get_string (s, "types"), ==, "float32");
    out = gst_harness_pull (harness);
    g_assert_cmpuint (gst_buffer_get_size (out), ==, 4 * product (result));
  }
  gst_harness_teardown (harness);
  return result;
}
