/* GradStreamer tests: gradaugment
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <gst/check/gstharness.h>
#include <stdio.h>
#include <string.h>

#define EPOCHS 2
#define SIDE 12
#define PICTURE (SIDE * SIDE)
#define ALL "horizontal-flip=0.5 padding=2 translate=0.1 rotate=20 erase=0.5 "
/* source properties, element behind it, properties */
#define RUN "idxsrc name=source epochs=2 location=train-images labels=train-labels %s %s " \
  "! gradaugment name=augment %s" TEST_NETWORK ("") "gradadamsink"

/* A picture before and after, of each sample in each epoch; those of the test set */
typedef struct
{
  guint8 before[EPOCHS][TEST_TRAIN_SAMPLES][PICTURE], after[EPOCHS][TEST_TRAIN_SAMPLES][PICTURE];
  guint n_before, n_after;
  GByteArray *test_before, *test_after;
} Record;

static void
record (Record * r, GstBuffer * buffer, gboolean after)
{
  GradSampleMeta *meta = grad_buffer_get_sample_meta (buffer);
  const guint32 *indices = g_bytes_get_data (meta->indices, NULL);
  GstMapInfo map;

  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
  g_assert_cmpuint (map.size, ==, meta->n_samples * PICTURE);
  if (meta->phase != GRAD_PHASE_TRAIN)
    g_byte_array_append (after ? r->test_after : r->test_before, map.data, map.size);
  else
    for (guint i = 0; i < meta->n_samples; i++)
      memcpy ((after ? r->after : r->before)[meta->epoch - 1][indices[i]], map.data + i * PICTURE,
          PICTURE);
  *(after ? &r->n_after : &r->n_before) += meta->n_samples;
  gst_buffer_unmap (buffer, &map);
}

static GstPadProbeReturn
record_before (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  record (data, GST_PAD_PROBE_INFO_BUFFER (info), FALSE);
  return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn
record_after (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  record (data, GST_PAD_PROBE_INFO_BUFFER (info), TRUE);
  return GST_PAD_PROBE_OK;
}

static void
watch (GstElement * element, const gchar * pad_name, GstPadProbeCallback callback, Record * r)
{
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element, pad_name);

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, callback, r, NULL);
}

static Record *
record_run (const gchar * source, const gchar * behind, const gchar * properties)
{
  g_autoptr (GstElement) pipeline = test_launch (RUN, source, behind, properties);
  g_autoptr (GstElement) augment = test_get (pipeline, "augment");
  g_autoptr (TestResult) result = NULL;
  Record *r = g_new0 (Record, 1);

  r->test_before = g_byte_array_new ();
  r->test_after = g_byte_array_new ();
  watch (augment, "sink", record_before, r);
  watch (augment, "src", record_after, r);
  result = test_play (pipeline);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_true (result->eos);
  g_assert_cmpuint (r->n_before, >=, EPOCHS * TEST_TRAIN_SAMPLES);
  g_assert_cmpuint (r->n_after, ==, r->n_before);
  return r;
}

static void
record_free (Record * r)
{
  g_byte_array_unref (r->test_before);
  g_byte_array_unref (r->test_after);
  g_free (r);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Record, record_free)

static gboolean
same_pictures (const Record * a, const Record * b)
{
  return memcmp (a->after, b->after, sizeof a->after) == 0;
}

static void
test_off (void)
{
  g_autoptr (Record) r = record_run ("batch-size=8", "", "");

  g_assert_cmpmem (r->after, sizeof r->after, r->before, sizeof r->before);
}

static gboolean
is_moved (const guint8 * before, const guint8 * after, gint x, gint y, gboolean flip)
{
  for (gint row = 0; row < SIDE; row++)
    for (gint column = 0; column < SIDE; column++) {
      gint from_row = row + y, from = (flip ? SIDE - 1 - column : column) + x;
      guint8 expected = from_row < 0 || from_row >= SIDE || from < 0 || from >= SIDE
          ? 0 : before[from_row * SIDE + from];

      if (after[row * SIDE + column] != expected)
        return FALSE;
    }
  return TRUE;
}

/* Each picture is one of the crops, of the mirrored ones or not, to the last bit; all of them come. */
static void
test_moved (void)
{
  g_autoptr (Record) r = record_run ("batch-size=8", "", "horizontal-flip=0.5 padding=2");
  guint flips = 0, found = 0, xs[5] = { 0 }, ys[5] = { 0 };

  for (guint i = 0; i < EPOCHS * TEST_TRAIN_SAMPLES; i++)
    for (gint k = 0; k < 50; k++) {
      gint x = k % 5, y = k / 5 % 5;
      gboolean flip = k >= 25;

      if (!is_moved (*r->before[0] + i * PICTURE, *r->after[0] + i * PICTURE, x - 2, y - 2, flip))
        continue;
      found++;
      flips += flip;
      xs[x]++;
      ys[y]++;
    }
  g_assert_cmpuint (found, ==, EPOCHS * TEST_TRAIN_SAMPLES);
  for (guint i = 0; i < 5; i++) {       /* of 74 */
    g_assert_cmpuint (xs[i], >, 4);
    g_assert_cmpuint (ys[i], >, 4);
  }
  g_assert_cmpuint (flips, >, 22);
  g_assert_cmpuint (flips, <, 52);
}

static void
test_flip_always (void)
{
  g_autoptr (Record) r = record_run ("batch-size=8", "", "horizontal-flip=1");

  for (guint i = 0; i < EPOCHS * TEST_TRAIN_SAMPLES; i++)
    g_assert_true (is_moved (*r->before[0] + i * PICTURE, *r->after[0] + i * PICTURE, 0, 0, TRUE));
}

/* Pixels that have changed are black, and fill a box. */
static void
test_erase (void)
{
  g_autoptr (Record) r = record_run ("batch-size=8", "", "erase=1");
  guint erased = 0;

  for (guint i = 0; i < EPOCHS * TEST_TRAIN_SAMPLES; i++) {
    const guint8 *before = *r->before[0] + i * PICTURE, *after = *r->after[0] + i * PICTURE;
    gint left = SIDE, top = SIDE, right = -1, bottom = -1, area;

    for (gint k = 0; k < PICTURE; k++)
      if (after[k] != before[k]) {
        g_assert_cmpuint (after[k], ==, 0);
        left = MIN (left, k % SIDE), right = MAX (right, k % SIDE);
        top = MIN (top, k / SIDE), bottom = MAX (bottom, k / SIDE);
      }
    if (right < 0)
      continue;                 /* no box fitted in ten tries, or it was black */
    for (gint k = 0; k < PICTURE; k++)
      if (k % SIDE >= left && k % SIDE <= right && k / SIDE >= top && k / SIDE <= bottom)
        g_assert_cmpuint (after[k], ==, 0);
    area = (right - left + 1) * (bottom - top + 1);
    g_assert_cmpint (area, <=, 0.45 * PICTURE); /* 33 %, of sides rounded up */
    erased++;
  }
  g_assert_cmpuint (erased, >, 70);     /* of 74 */
}

static void
test_only_training (void)
{
  g_autoptr (Record) r = record_run ("batch-size=8 " TEST_EVALUATION, "", ALL);

  g_assert_cmpuint (r->test_before->len, ==, EPOCHS * TEST_TEST_SAMPLES * PICTURE);
  g_assert_cmpmem (r->test_after->data, r->test_after->len, r->test_before->data,
      r->test_before->len);
  g_assert_true (memcmp (r->after, r->before, sizeof r->after) != 0);
}

/* Without a sample meta a buffer is for inference. Caps stay as they are, with all four dimensions. */
static void
test_inference (void)
{
  static const gchar *const shapes[][2] = {
    {"28:28:1:5", "28:28:1:5"}, {"17:40:3:2", "17:40:3:2"}, {"1:1:5:1", "1:1:5:1"},
    {"28:28", "28:28:1:1"}
  };
  guint8 pixels[17 * 40 * 6];

  for (guint i = 0; i < sizeof pixels; i++)
    pixels[i] = i * 7;
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
    GstHarness *harness = gst_harness_new_parse ("gradaugment " ALL);
    g_autoptr (GstCaps) caps = gst_caps_from_string ("other/tensors, format=static, num_tensors=1, "
        "types=uint8, framerate=0/1"), got = NULL;
    gint d[4] = { 1, 1, 1, 1 };
    gsize size;
    GstBuffer *out;

    sscanf (shapes[i][0], "%d:%d:%d:%d", d, d + 1, d + 2, d + 3);
    size = (gsize) d[0] * d[1] * d[2] * d[3];
    gst_caps_set_simple (caps, "dimensions", G_TYPE_STRING, shapes[i][0], NULL);
    gst_harness_set_src_caps (harness, gst_caps_copy (caps));
    out = gst_harness_push_and_pull (harness, gst_buffer_new_memdup (pixels, size));
    g_assert_nonnull (out);
    g_assert_cmpuint (gst_buffer_get_size (out), ==, size);
    g_assert_cmpint (gst_buffer_memcmp (out, 0, pixels, size), ==, 0);
    gst_buffer_unref (out);
    got = gst_pad_get_current_caps (harness->sinkpad);
    gst_caps_set_simple (caps, "dimensions", G_TYPE_STRING, shapes[i][1], NULL);
    g_assert_true (gst_caps_is_equal (got, caps));
    gst_harness_teardown (harness);
  }
}

/* Neither batches, nor order, nor threads, nor the device change what happens to a picture; the seed does. */
static void
test_same (void)
{
  static const struct
  {
    const gchar *source, *behind, *properties;
    gboolean same;
  } runs[] = {
    {"batch-size=5", "", ALL, TRUE},
    {"batch-size=37", "", ALL, TRUE},
    {"batch-size=8 shuffle=false", "", ALL, TRUE},
    {"batch-size=8", "! queue", ALL, TRUE},
    {"batch-size=8", "! queue", ALL "threads=2", TRUE},
    {"batch-size=8", "", ALL "device=ref precision=f32", TRUE},
    {"batch-size=8 seed=1", "", ALL, FALSE},
  };
  g_autoptr (Record) first = record_run ("batch-size=8", "", ALL);

  g_assert_true (memcmp (first->before[0], first->before[1], sizeof first->before[0]) == 0);
  for (guint i = 0; i < TEST_TRAIN_SAMPLES; i++)        /* each epoch has its own */
    g_assert_true (memcmp (first->after[0][i], first->after[1][i], PICTURE) != 0);
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++) {
    g_autoptr (Record) r = record_run (runs[i].source, runs[i].behind, runs[i].properties);

    g_assert_cmpint (same_pictures (r, first), ==, runs[i].same);
  }
}

/* Floats are refused by the caps, tensors that are not pictures with an error. */
static void
test_refused (void)
{
  g_autoptr (GError) error = NULL;
  GstElement *pipeline = gst_parse_launch_full ("idxsrc " TEST_DATA "! gradresize ! gradaugment "
      "! fakesink", NULL, GST_PARSE_FLAG_FATAL_ERRORS, &error);

  g_assert_null (pipeline);
  g_assert_error (error, GST_PARSE_ERROR, GST_PARSE_ERROR_LINK);
  test_assert_error ("fakesrc sizetype=fixed sizemax=32 num-buffers=1 ! other/tensors,format=static,"
      "num_tensors=1,types=uint8,dimensions=(string)2:2:2:2:2,framerate=0/1 "
      "! gradaugment name=augment ! fakesink", "augment", "2:2:2:2:2", NULL);
}

static GstPadProbeReturn
forget_numbers (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  GradSampleMeta *meta = grad_buffer_get_sample_meta (GST_PAD_PROBE_INFO_BUFFER (info));

  g_clear_pointer (&meta->indices, g_bytes_unref);
  return GST_PAD_PROBE_OK;
}

static void
test_no_numbers (void)
{
  g_autoptr (GstElement) pipeline = test_launch (RUN, "batch-size=8", "", ALL);
  g_autoptr (GstElement) augment = test_get (pipeline, "augment");
  g_autoptr (TestResult) result = NULL;

  watch (augment, "sink", forget_numbers, NULL);
  result = test_play (pipeline);
  g_assert_cmpuint (result->errors->len, >=, 1);
  g_assert_nonnull (strstr (result->errors->pdata[0], "augment: "));
  g_assert_nonnull (strstr (result->errors->pdata[0], "8 pictures, and numbers of 0 samples"));
}

/* What is saved says nothing of it, and the model can be used. */
static void
test_model (void)
{
  g_autoptr (TestResult) result = test_train ("idxsrc name=source " TEST_DATA "! gradaugment " ALL
      TEST_NETWORK ("") "gradadamsink location=model.safetensors");
  g_autoptr (TestResult) inference = test_train ("idxsrc location=test-images phase=infer "
      "! gradaugment " ALL "! gradresize ! gradmodel location=model.safetensors ! fakesink");

  g_assert_cmpuint (result->saved->len, ==, 1);
  test_assert_files ("model.safetensors", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradaugment/off", test_off);
  g_test_add_func ("/gradaugment/moved", test_moved);
  g_test_add_func ("/gradaugment/flip-always", test_flip_always);
  g_test_add_func ("/gradaugment/erase", test_erase);
  g_test_add_func ("/gradaugment/only-training", test_only_training);
  g_test_add_func ("/gradaugment/inference", test_inference);
  g_test_add_func ("/gradaugment/same", test_same);
  g_test_add_func ("/gradaugment/refused", test_refused);
  g_test_add_func ("/gradaugment/no-numbers", test_no_numbers);
  g_test_add_func ("/gradaugment/model", test_model);
  return test_run_all ();
}
