/* GradStreamer tests: labels over the video
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <gst/check/gstharness.h>
#include <gst/video/video.h>
#include <string.h>

static const gchar *const long_names[] =
    { "a label that is much longer than what there is room for", "Füße", "靴", NULL };

typedef struct
{
  GradClassification *classification;
  GPtrArray *frames;            /* GstBuffer, as they come out */
  GPtrArray *compositions;      /* not owned: of each frame, NULL without */
  guint n_metas, n_rectangles;  /* of the last frame */
} Run;

static GradClassification *
classification (gfloat first, guint64 version)
{
  gfloat p[] = { first, (1 - first) / 2, (1 - first) / 2 };

  return grad_classification_new (p, 3, long_names, 3, 0, 0, 3 * GST_MSECOND, version);
}

static GstPadProbeReturn
attach (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Run *run = data;
  GstBuffer *buffer = gst_buffer_make_writable (GST_PAD_PROBE_INFO_BUFFER (info));

  GST_PAD_PROBE_INFO_DATA (info) = buffer;
  if (run->classification != NULL)
    grad_buffer_add_classification_meta (buffer, run->classification);
  return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn
keep (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Run *run = data;
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  GstVideoOverlayCompositionMeta *meta = gst_buffer_get_video_overlay_composition_meta (buffer);

  g_ptr_array_add (run->frames, gst_buffer_copy_deep (buffer));
  g_ptr_array_add (run->compositions, meta ? meta->overlay : NULL);
  run->n_metas = gst_buffer_get_n_meta (buffer, GST_VIDEO_OVERLAY_COMPOSITION_META_API_TYPE);
  run->n_rectangles = meta ? gst_video_overlay_composition_n_rectangles (meta->overlay) : 0;
  return GST_PAD_PROBE_OK;
}

/* Frames of a plain colour in, what comes out in the run */
static void
play (Run * run, GradClassification * c, const gchar * caps, const gchar * overlay, guint n)
{
  g_autoptr (GstElement) pipeline = test_launch ("videotestsrc num-buffers=%u pattern=blue ! %s "
      "! identity name=in ! gradoverlay name=overlay %s ! fakesink name=out", n, caps, overlay);
  g_autoptr (GstElement) in = test_get (pipeline, "in"), out = test_get (pipeline, "out");
  g_autoptr (GstPad) source = gst_element_get_static_pad (in, "src");
  g_autoptr (GstPad) sink = gst_element_get_static_pad (out, "sink");
  g_autoptr (TestResult) result = NULL;

  *run = (Run) { c, g_ptr_array_new_with_free_func ((GDestroyNotify) gst_buffer_unref),
    g_ptr_array_new ()
  };
  gst_pad_add_probe (source, GST_PAD_PROBE_TYPE_BUFFER, attach, run, NULL);
  gst_pad_add_probe (sink, GST_PAD_PROBE_TYPE_BUFFER, keep, run, NULL);
  result = test_play (pipeline);
  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_cmpuint (run->frames->len, ==, n);
}

static void
clear (Run * run)
{
  g_ptr_array_unref (run->frames);
  g_ptr_array_unref (run->compositions);
  if (run->classification != NULL)
    grad_classification_unref (run->classification);
}

static gboolean
same_pixels (Run * a, Run * b)
{
  GstMapInfo x, y;
  gboolean same;

  g_assert_true (gst_buffer_map (a->frames->pdata[0], &x, GST_MAP_READ));
  g_assert_true (gst_buffer_map (b->frames->pdata[0], &y, GST_MAP_READ));
  same = x.size == y.size && memcmp (x.data, y.data, x.size) == 0;
  gst_buffer_unmap (a->frames->pdata[0], &x);
  gst_buffer_unmap (b->frames->pdata[0], &y);
  return same;
}

/* Something is drawn in every format, and nothing without a result. */
static void
test_formats (void)
{
  static const gchar *const formats[] =
      { "I420", "NV12", "YUY2", "RGB", "BGRA", "GRAY8", "I420_10LE", "ARGB64" };

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++) {
    g_autofree gchar *caps =
        g_strdup_printf ("video/x-raw,format=%s,width=200,height=150", formats[i]);
    Run with, without, few;

    play (&with, classification (0.6, 1), caps, "", 1);
    play (&without, NULL, caps, "", 1);
    play (&few, grad_classification_new (NULL, 0, NULL, 3, 0, 0, 0, 0), caps, "", 1);
    g_assert_false (same_pixels (&with, &without));
    g_assert_true (same_pixels (&few, &without));
    g_assert_null (with.compositions->pdata[0]);
    clear (&with);
    clear (&without);
    clear (&few);
  }
}

/* The rectangle of what has changed in a GRAY8 frame */
static void
changed_box (Run * with, Run * without, gint width, gint height, gint box[4])
{
  GstMapInfo x, y;

  box[0] = width, box[1] = height, box[2] = box[3] = -1;
  g_assert_true (gst_buffer_map (with->frames->pdata[0], &x, GST_MAP_READ));
  g_assert_true (gst_buffer_map (without->frames->pdata[0], &y, GST_MAP_READ));
  for (gint row = 0; row < height; row++)
    for (gint column = 0; column < width; column++)
      if (x.data[row * width + column] != y.data[row * width + column]) {
        box[0] = MIN (box[0], column), box[1] = MIN (box[1], row);
        box[2] = MAX (box[2], column), box[3] = MAX (box[3], row);
      }
  gst_buffer_unmap (with->frames->pdata[0], &x);
  gst_buffer_unmap (without->frames->pdata[0], &y);
}

/* In its corner, as high as it should be, from 240p to 4K, and never beyond the frame. */
static void
test_places (void)
{
  static const gchar *const corners[] = { "top-left", "top-right", "bottom-left", "bottom-right" };
  static const gint sizes[][2] = { {424, 240}, {3840, 2160}, {64, 48}, {20, 400} };

  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++)
    for (guint c = 0; c < 4; c++) {
      gint w = sizes[s][0], h = sizes[s][1], box[4];
      g_autofree gchar *caps =
          g_strdup_printf ("video/x-raw,format=GRAY8,width=%d,height=%d", w, h);
      g_autofree gchar *overlay = g_strdup_printf ("show-rate=true position=%s", corners[c]);
      Run with, without;

      play (&with, classification (0.6, 1), caps, overlay, 1);
      play (&without, NULL, caps, overlay, 1);
      changed_box (&with, &without, w, h, box);
      g_assert_cmpint (box[2], >, box[0]);
      if (s < 2) {
        g_assert_cmpint (box[3] - box[1], >, h / 6);
        g_assert_cmpint (box[3] - box[1], <, h / 2);
        g_assert_cmpint (box[2] - box[0], <, w * 0.8);
        g_assert_true ((c % 2 ? w - 1 - box[2] : box[0]) < w / 20);
        g_assert_true ((c / 2 ? h - 1 - box[3] : box[1]) < h / 20);
      }
      clear (&with);
      clear (&without);
    }
}

/* A sink that blends gets the composition, the same one as long as nothing changes, and an untouched picture. */
static void
test_composition (void)
{
  const gchar *caps = "video/x-raw,format=I420,width=200,height=150";
  Run attached, without;

  play (&attached, classification (0.6, 1), caps,
      "! video/x-raw(memory:SystemMemory,meta:GstVideoOverlayComposition)", 3);
  play (&without, NULL, caps, "", 1);
  g_assert_true (same_pixels (&attached, &without));
  g_assert_nonnull (attached.compositions->pdata[0]);
  g_assert_true (attached.compositions->pdata[1] == attached.compositions->pdata[0]);
  g_assert_true (attached.compositions->pdata[2] == attached.compositions->pdata[0]);
  clear (&attached);
  clear (&without);
}

/* What comes with an overlay leaves with one more rectangle in it. */
static void
test_merged (void)
{
  Run run;

  play (&run, classification (0.6, 1), "video/x-raw,format=I420,width=200,height=150",
      "! gradoverlay position=bottom-right ! video/x-raw(memory:SystemMemory,meta:GstVideoOverlayComposition)",
      2);
  g_assert_cmpuint (run.n_metas, ==, 1);
  g_assert_cmpuint (run.n_rectangles, ==, 2);
  clear (&run);
}

/* What is drawn follows what is said. */
static void
test_choices (void)
{
  const gchar *caps = "video/x-raw,format=GRAY8,width=400,height=300";
  static const gchar *const overlays[] =
      { "max-results=1", "max-results=2", "scale=1.5", "font-family=Serif", "show-rate=true" };
  Run plain, other;

  play (&plain, classification (0.6, 1), caps, "", 1);
  for (guint i = 0; i < G_N_ELEMENTS (overlays); i++) {
    play (&other, classification (0.6, 1), caps, overlays[i], 1);
    /* where there is but one font, its families look the same */
    if (strstr (overlays[i], "font") == NULL)
      g_assert_false (same_pixels (&plain, &other));
    clear (&other);
  }
  play (&other, classification (0.9, 1), caps, "", 1);
  g_assert_false (same_pixels (&plain, &other));
  clear (&other);
  play (&other, classification (0.6, 2), caps, "", 1);
  g_assert_true (same_pixels (&plain, &other));
  clear (&other);
  clear (&plain);
}

/* Frames whose border only a meta cuts off would be read, and painted on, as a whole. */
static void
test_no_crop (gconstpointer launch)
{
  GstHarness *h = gst_harness_new_parse (launch);
  g_autoptr (GstCaps) caps = gst_caps_from_string ("video/x-raw,format=RGB,width=8,height=8,framerate=1/1");
  GstQuery *query = gst_query_new_allocation (caps, TRUE);

  gst_harness_add_propose_allocation_meta (h, GST_VIDEO_META_API_TYPE, NULL);
  gst_harness_add_propose_allocation_meta (h, GST_VIDEO_CROP_META_API_TYPE, NULL);
  gst_harness_set_src_caps (h, gst_caps_ref (caps));
  g_assert_true (gst_pad_peer_query (h->srcpad, query));
  g_assert_true (gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL));
  g_assert_false (gst_query_find_allocation_meta (query, GST_VIDEO_CROP_META_API_TYPE, NULL));
  gst_query_unref (query);
  gst_harness_teardown (h);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradoverlay/formats", test_formats);
  g_test_add_func ("/gradoverlay/places", test_places);
  g_test_add_func ("/gradoverlay/composition", test_composition);
  g_test_add_func ("/gradoverlay/merged", test_merged);
  g_test_add_func ("/gradoverlay/choices", test_choices);
  g_test_add_data_func ("/gradoverlay/no-crop", "gradoverlay", test_no_crop);
  g_test_add_data_func ("/gradoverlay/no-crop/gradclassify", "gradclassify model-name=main", test_no_crop);
  return test_run_all ();
}
