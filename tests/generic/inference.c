/* GradStreamer tests: trained networks at work, and what others see of the data
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <string.h>

#define MODEL " model=model.safetensors"
#define INFER "idxsrc phase=infer " TEST_DATA TEST_HEAD ("") TEST_BODY ("")

static TestTap *
run (const gchar * launch, guint n_warnings)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", launch);
  TestTap *tap = test_tap (pipeline, "tap");
  g_autoptr (TestResult) result = test_play (pipeline);

  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_cmpuint (result->warnings->len, ==, n_warnings);
  return tap;
}

static void
train (void)
{
  g_autoptr (TestResult) result = test_train (TEST_TRAINING "location=model.safetensors");
}

static gdouble
distance (TestTap * a, TestTap * b)
{
  const gfloat *x = (const gfloat *) a->bytes->data, *y = (const gfloat *) b->bytes->data;
  gdouble worst = 0;

  g_assert_cmpuint (a->bytes->len, ==, b->bytes->len);
  for (guint i = 0; i < a->bytes->len / sizeof (gfloat); i++)
    worst = MAX (worst, ABS (x[i] - y[i]));
  return worst;
}

static void
test_logits (void)
{
  g_autoptr (TestTap) infer = NULL, queued = NULL, evaluate = NULL;

  train ();
  infer = run (INFER MODEL " ! fakesink name=tap", 0);
  queued = run ("idxsrc phase=infer " TEST_DATA TEST_HEAD (" ! queue") " ! gradconvstem channels=4 "
      "kernel-size=3 stride=1" MODEL " ! queue ! gradresstage channels=4 blocks=1 first-block=true "
      "! queue ! gradresstage channels=8 blocks=1 ! queue ! gradglobalpool ! queue "
      "! gradfc units=5 ! queue ! fakesink name=tap", 0);
  evaluate = run ("idxsrc phase=evaluate " TEST_DATA TEST_HEAD ("") TEST_BODY ("") MODEL
      " ! gradloss ! fakesink name=tap", 0);
  g_assert_cmpuint (infer->bytes->len, ==, TEST_TRAIN_SAMPLES * TEST_CLASSES * sizeof (gfloat));
  g_assert_cmpstr (infer->dimensions->pdata[0], ==, "5:8");
  g_assert_cmpstr (infer->dimensions->pdata[4], ==, "5:5");
  g_assert_cmpfloat (distance (infer, evaluate), <, 1e-5);
  g_assert_cmpfloat (distance (infer, queued), ==, 0);
  test_assert_files ("model.safetensors", NULL);
}

#define BLOCKS \
  "! gradresize ! gradconvstem channels=16 kernel-size=3 stride=1 param-prefix=\"\" " \
  "! gradresstage channels=32 blocks=1 param-prefix=layer1 ! gradglobalpool " \
  "! gradfc units=5 param-prefix=fc "

/* A network that was trained in floats classifies in bytes: nearly the same logits, but not the same. */
static void
test_int8 (void)
{
  g_autoptr (TestResult) trained = NULL;
  g_autoptr (TestTap) f32 = NULL, int8 = NULL;
  g_autoptr (GradDevice) device = NULL;
  g_autoptr (GError) error = NULL;

  device = grad_device_open (&(GradDeviceSettings) {.name = "cpu",.precision = GRAD_PRECISION_INT8}, &error);
  if (device == NULL) {
    g_test_skip (error->message);
    return;
  }
  trained = test_train ("idxsrc " TEST_DATA BLOCKS "! gradloss ! gradadamsink location=model.safetensors");
  f32 = run ("idxsrc phase=infer " TEST_DATA BLOCKS MODEL " device=cpu precision=f32 ! fakesink name=tap", 0);
  int8 = run ("idxsrc phase=infer " TEST_DATA BLOCKS MODEL " device=cpu precision=int8 ! fakesink name=tap", 0);
  g_assert_cmpfloat (distance (f32, int8), >, 0);
  g_assert_cmpfloat (distance (f32, int8), <, 0.05);

  test_assert_error ("idxsrc " TEST_DATA "! gradresize ! gradconvstem name=stem channels=16 device=cpu precision=int8 "
      "! gradglobalpool ! gradfc units=5 ! gradloss ! gradadamsink", "stem", "int8", "inference", "bf16", NULL);
  test_assert_files ("model.safetensors", NULL);
}

static void
test_random_weights (void)
{
  g_autoptr (TestTap) tap = run (INFER " ! fakesink name=tap", 1);

  g_assert_cmpuint (tap->n, ==, TEST_STEPS);
}

/* What filesink writes is what a probe sees: dense floats, row by row. */
static void
test_filesink (void)
{
  g_autoptr (TestTap) tap = run ("idxsrc " TEST_DATA TEST_HEAD ("") " ! gradconvstem channels=4 "
      "! filesink name=tap location=activations", 1);
  g_autofree gchar *bytes = NULL;
  gsize size;

  g_assert_true (g_file_get_contents ("activations", &bytes, &size, NULL));
  g_assert_cmpmem (bytes, size, tap->bytes->data, tap->bytes->len);
  g_assert_cmpuint (size, ==, TEST_TRAIN_SAMPLES * 4 * 9 * sizeof (gfloat));
  for (gsize i = 0; i < size / sizeof (gfloat); i++)
    g_assert_cmpfloat (((gfloat *) bytes)[i], >=, 0);   /* behind a ReLU */
  test_assert_files ("activations", NULL);
}

/* What gst_buffer_extract() and a region give of a part is what is there in the whole. */
static void
assert_parts (GstBuffer * buffer, const guint8 * whole, gsize size)
{
  const gsize offsets[] = { 0, 4, size / 2, size - 4 };
  guint8 got[40];

  for (guint i = 0; i < G_N_ELEMENTS (offsets); i++) {
    gsize n = MIN (sizeof got, size - offsets[i]);
    g_autoptr (GstBuffer) region =
        gst_buffer_copy_region (buffer, GST_BUFFER_COPY_ALL, offsets[i], n);

    g_assert_cmpuint (gst_buffer_extract (buffer, offsets[i], got, sizeof got), ==, n);
    g_assert_cmpmem (got, n, whole + offsets[i], n);
    g_assert_cmpuint (gst_buffer_get_size (region), ==, n);
    g_assert_cmpint (gst_buffer_memcmp (region, 0, whole + offsets[i], n), ==, 0);
  }
}

#define WIDE "idxsrc " TEST_DATA TEST_HEAD ("") " ! gradconvstem channels=16 "

/* An application reads with appsink what a probe sees, and what the reference computes: dense
 * floats, where the device itself has blocks of channels. */
static void
test_appsink (void)
{
  g_autoptr (GstElementFactory) factory = gst_element_factory_find ("appsink");
  g_autoptr (GPtrArray) samples =
      g_ptr_array_new_with_free_func ((GDestroyNotify) gst_sample_unref);
  g_autoptr (GstElement) pipeline = NULL, sink = NULL;
  g_autoptr (TestTap) probe = NULL, reference = NULL;
  GstSample *sample;
  gsize done = 0;

  if (factory == NULL) {
    g_test_skip ("no appsink here: it comes with GStreamer's plugins-base");
    return;
  }
  reference = run (WIDE "device=ref ! fakesink name=tap", 1);
  pipeline = test_launch (WIDE "! appsink name=tap sync=false");
  sink = test_get (pipeline, "tap");
  probe = test_tap (pipeline, "tap");
  test_watchdog (60);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  while (g_signal_emit_by_name (sink, "pull-sample", &sample), sample != NULL)
    g_ptr_array_add (samples, sample);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);

  g_assert_cmpuint (samples->len, ==, TEST_STEPS);
  for (guint i = 0; i < TEST_STEPS; i++) {
    const GstStructure *s = gst_caps_get_structure (gst_sample_get_caps (samples->pdata[i]), 0);
    GstBuffer *buffer = gst_sample_get_buffer (samples->pdata[i]);
    GstMapInfo map;

    g_assert_cmpstr (gst_structure_get_string (s, "dimensions"), ==, probe->dimensions->pdata[i]);
    g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READ));
    g_assert_cmpuint (done + map.size, <=, probe->bytes->len);
    g_assert_cmpmem (map.data, map.size, probe->bytes->data + done, map.size);
    assert_parts (buffer, map.data, map.size);
    done += map.size;
    gst_buffer_unmap (buffer, &map);
  }
  g_assert_cmpuint (done, ==, TEST_TRAIN_SAMPLES * 16 * 9 * sizeof (gfloat));
  g_assert_cmpfloat (distance (probe, reference), <, 1e-5);
}

/* Parameters of the same names in every pipeline */
#define NAMED \
  "! gradresize ! gradconvstem channels=4 kernel-size=3 stride=1 param-prefix=\"\" " \
  "! gradresstage channels=8 blocks=1 param-prefix=layer1 ! gradglobalpool " \
  "! gradfc units=5 param-prefix=fc "
#define NAMED_INFER "idxsrc phase=infer " TEST_DATA NAMED

typedef struct
{
  guint n;
  gint held;                    /* atomic */
} Hold;

static GstPadProbeReturn
hold_second (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Hold *hold = data;

  if (hold->n++ == 0)
    return GST_PAD_PROBE_PASS;
  g_atomic_int_set (&hold->held, TRUE);
  return GST_PAD_PROBE_OK;      /* blocks */
}

/* Starts, and returns when the pad has the second batch, and lets nothing through. */
static gulong
start_and_hold (GstElement * pipeline, GstPad * pad)
{
  Hold *hold = g_new0 (Hold, 1);
  gulong id = gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BLOCK | GST_PAD_PROBE_TYPE_BUFFER,
      hold_second, hold, g_free);

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  while (!g_atomic_int_get (&hold->held))
    g_usleep (100);
  return id;
}

static GstPadProbeReturn
drop_later (GstPad * pad, GstPadProbeInfo * info, gpointer n)
{
  return (*(guint *) n)++ == 0 ? GST_PAD_PROBE_OK : GST_PAD_PROBE_DROP;
}

/* A model after one step */
static void
train_once (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc " TEST_DATA NAMED
      "! gradloss name=loss ! gradadamsink location=model.safetensors");
  g_autoptr (GstElement) loss = test_get (pipeline, "loss");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (loss, "sink");
  g_autoptr (TestResult) result = NULL;
  guint n = 0;

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, drop_later, &n, NULL);
  result = test_play (pipeline);
  g_assert_true (result->eos);
  g_assert_cmpuint (n, ==, TEST_STEPS);
}

static void
assert_ends (GstElement * pipeline)
{
  g_autoptr (TestResult) result = test_result_new ();

  test_collect (result, pipeline, GST_MESSAGE_EOS | GST_MESSAGE_ERROR, 60 * GST_SECOND);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len, ==, 0);
}

/* In the middle of a step of another pipeline, infer runs with the weights that are there, and
 * evaluate waits. */
static void
test_never_waits (void)
{
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  g_autoptr (GradNetwork) network = grad_bus_get_network (bus, "main");
  g_autoptr (GstElement) training = test_launch ("idxsrc " TEST_DATA NAMED
      "! gradloss name=loss ! gradadamsink");
  g_autoptr (GstElement) evaluation = test_launch ("idxsrc phase=evaluate " TEST_DATA NAMED
      "! fakesink name=tap");
  g_autoptr (GstElement) inference = test_launch (NAMED_INFER "! fakesink name=tap");
  g_autoptr (TestTap) waiting = test_tap (evaluation, "tap"), seen = test_tap (inference, "tap");
  g_autoptr (GstElement) loss = test_get (training, "loss");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (loss, "sink");
  g_autoptr (TestResult) result = NULL;
  g_autoptr (TestTap) expected = NULL;
  gulong probe;

  train_once ();
  expected = run (NAMED_INFER MODEL " ! fakesink name=tap", 0);
  gst_element_set_context (training, context);
  gst_element_set_context (evaluation, context);
  gst_element_set_context (inference, context);

  test_watchdog (60);
  probe = start_and_hold (training, pad);
  gst_element_set_state (evaluation, GST_STATE_PLAYING);
  result = test_play (inference);
  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len + result->warnings->len, ==, 0);
  g_assert_cmpfloat (distance (seen, expected), ==, 0);
  g_assert_cmpuint (grad_network_get_n_updates (network), ==, 1);
  g_assert_cmpuint (waiting->n, ==, 0);

  test_watchdog (60);
  gst_pad_remove_probe (pad, probe);
  assert_ends (training);
  assert_ends (evaluation);
  test_watchdog (0);
  g_assert_cmpuint (grad_network_get_n_updates (network), ==, TEST_STEPS);
  g_assert_cmpuint (waiting->n, ==, TEST_STEPS);
  test_assert_files ("model.safetensors", NULL);
}

static GstPadProbeReturn
scribble (GstPad * pad, GstPadProbeInfo * info, gpointer unused)
{
  GstBuffer *buffer = gst_buffer_make_writable (GST_PAD_PROBE_INFO_BUFFER (info));
  GstMapInfo map;

  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_READWRITE));
  memset (map.data, 0, map.size);
  gst_buffer_unmap (buffer, &map);
  info->data = buffer;
  return GST_PAD_PROBE_OK;
}

/* Between two layers no gradient could flow back through it. */
static void
test_in_place (gconstpointer name)
{
  g_autoptr (GstElement) pipeline = test_launch (TEST_TRAINING);
  g_autoptr (GstElement) element = test_get (pipeline, name);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element, "sink");
  g_autoptr (TestResult) result = NULL;

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, scribble, NULL, NULL);
  result = test_play (pipeline);
  if (g_str_equal (name, "stem")) {     /* in front of the first layer it may */
    g_assert_true (result->eos);
    return;
  }
  g_assert_cmpuint (result->errors->len, >, 0);
  g_assert_true (g_str_has_prefix (result->errors->pdata[0], name));
  g_assert_nonnull (strstr (result->errors->pdata[0], "has changed"));
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/inference/logits", test_logits);
  g_test_add_func ("/inference/int8", test_int8);
  g_test_add_func ("/inference/random-weights", test_random_weights);
  g_test_add_func ("/inference/filesink", test_filesink);
  g_test_add_func ("/inference/appsink", test_appsink);
  g_test_add_func ("/inference/never-waits", test_never_waits);
  g_test_add_data_func ("/inference/in-place/stem", "stem", test_in_place);
  g_test_add_data_func ("/inference/in-place/stage2", "stage2", test_in_place);
  g_test_add_data_func ("/inference/in-place/fc", "fc", test_in_place);
  return test_run_all ();
}
