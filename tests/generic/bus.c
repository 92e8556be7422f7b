/* GradStreamer tests: who shares a gradient bus, and what they must agree on
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <string.h>

static GradBus *
bus_of (GstElement * pipeline, const gchar * name)
{
  g_autoptr (GstElement) element = test_get (pipeline, name);
  g_autoptr (GstQuery) query = gst_query_new_context (GRAD_BUS_CONTEXT_TYPE);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element, "sink");
  GstContext *context;
  GradBus *bus;

  if (pad == NULL)
    pad = gst_element_get_static_pad (element, "src");
  if (!gst_pad_query (pad, query))
    return NULL;
  gst_query_parse_context (query, &context);
  bus = grad_bus_from_context (context);
  g_object_unref (bus);         /* the pipeline holds it */
  return bus;
}

static void
assert_one_bus (GstElement * pipeline)
{
  static const gchar *const names[] = { "source", "resize", "stem", "stage2", "fc", "sink" };
  GradBus *bus = bus_of (pipeline, "sink");

  g_assert_nonnull (bus);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_true (bus_of (pipeline, names[i]) == bus);
}

static void
test_shared (gconstpointer launch)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", (const gchar *) launch);

  for (guint i = 0; i < 2; i++) {
    gst_element_set_state (pipeline, GST_STATE_READY);
    assert_one_bus (pipeline);
    gst_element_set_state (pipeline, GST_STATE_NULL);
    g_assert_null (bus_of (pipeline, "sink"));
  }
}

#define NESTED \
  "bin.( idxsrc name=source " TEST_DATA " ! gradresize name=resize ) ! queue ! " \
  "bin.( bin.( gradconvstem name=stem channels=4 ! gradresstage name=stage2 channels=4 ) " \
  "! gradglobalpool ! gradfc name=fc units=5 ) ! gradloss ! bin.( gradadamsink name=sink )"

static void
test_nested_trains (void)
{
  g_autoptr (GstElement) pipeline = test_launch (NESTED), sink = test_get (pipeline, "sink");
  g_autoptr (TestResult) result = NULL;
  g_autoptr (GradModel) model = NULL;
  g_autoptr (GError) error = NULL;

  g_object_set (sink, "location", "nested.safetensors", NULL);
  result = test_play (pipeline);
  g_assert_true (result->eos);
  g_assert_cmpuint (result->epochs->len, ==, 1);
  /* the walls of bins are no ends of the network */
  model = grad_model_open ("nested.safetensors", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (grad_model_get_fragment (model), ==, "gradconvstem param-prefix=\"\" "
      "channels=4 ! gradresstage param-prefix=layer1 channels=4 ! gradglobalpool "
      "! gradfc param-prefix=fc units=5");
  test_assert_files ("nested.safetensors", NULL);
}

static void
test_late (void)
{
  g_autoptr (GstElement) pipeline = test_launch (TEST_TRAINING);
  GstElement *late = gst_element_factory_make ("gradglobalpool", "late");

  gst_element_set_state (pipeline, GST_STATE_READY);
  gst_bin_add (GST_BIN (pipeline), late);
  g_assert_true (gst_element_sync_state_with_parent (late));
  g_assert_true (bus_of (pipeline, "late") == bus_of (pipeline, "sink"));
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

static void
test_two_pipelines (void)
{
  g_autoptr (GstElement) a = test_launch (TEST_TRAINING), b = test_launch (TEST_TRAINING);

  gst_element_set_state (a, GST_STATE_READY);
  gst_element_set_state (b, GST_STATE_READY);
  g_assert_true (bus_of (a, "sink") != bus_of (b, "sink"));
  gst_element_set_state (a, GST_STATE_NULL);
  gst_element_set_state (b, GST_STATE_NULL);
}

/* The application's bus in two pipelines: two networks are trained, and steps of two sources are told apart. */
static void
test_application (void)
{
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  const gchar *format = "idxsrc name=source model-name=%s epochs=4 " TEST_DATA
      "! gradresize ! gradconvstem channels=4 model-name=%s ! gradglobalpool model-name=%s "
      "! gradfc units=5 model-name=%s ! gradloss model-name=%s ! gradadamsink name=sink "
      "model-name=%s";
  g_autoptr (GstElement) a = test_launch (format, "a", "a", "a", "a", "a", "a");
  g_autoptr (GstElement) b = test_launch (format, "b", "b", "b", "b", "b", "b");
  g_autoptr (GradNetwork) na = grad_bus_get_network (bus, "a"), nb =
      grad_bus_get_network (bus, "b");
  g_autoptr (TestResult) result = test_result_new ();

  gst_element_set_context (a, context);
  gst_element_set_context (b, context);
  test_watchdog (60);
  gst_element_set_state (a, GST_STATE_PLAYING);
  gst_element_set_state (b, GST_STATE_PLAYING);
  g_assert_true (bus_of (a, "sink") == bus && bus_of (b, "source") == bus);
  test_collect (result, a, GST_MESSAGE_EOS | GST_MESSAGE_ERROR, 20 * GST_SECOND);
  test_collect (result, b, GST_MESSAGE_EOS | GST_MESSAGE_ERROR, 20 * GST_SECOND);
  gst_element_set_state (a, GST_STATE_NULL);
  gst_element_set_state (b, GST_STATE_NULL);
  test_watchdog (0);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_cmpuint (grad_network_get_n_updates (na), ==, 4 * TEST_STEPS);
  g_assert_cmpuint (grad_network_get_n_updates (nb), ==, 4 * TEST_STEPS);
}

/* One network, two sources: every step of both is applied. */
static void
test_two_sources (void)
{
  g_autoptr (TestResult) result = test_train ("idxsrc " TEST_DATA "! queue ! funnel name=both "
      "idxsrc epochs=4 " TEST_DATA "! queue ! both. both. " TEST_NETWORK ("")
      "gradadamsink location=model.safetensors save-steps=1");
  g_autoptr (GradSafetensors) file = NULL;
  guint64 step;

  /* every step of both, also when one has ended */
  g_assert_cmpuint (result->saved->len, ==, 5 * TEST_STEPS);
  g_assert_true (gst_structure_get_uint64 (result->saved->pdata[result->saved->len - 1], "step",
          &step));
  g_assert_cmpuint (step, ==, 5 * TEST_STEPS);
  file = grad_safetensors_open ("model.safetensors", NULL);
  g_assert_nonnull (grad_safetensors_get_metadata (file, "finished"));
  test_assert_files ("model.safetensors", NULL);
}

/* A batch to evaluate, in a queue in front of the batch of another source whose step is open, does not wait for that. */
static void
test_evaluation_beside (void)
{
#define SOURCE(phase, data) "idxsrc epochs=%u phase=" phase " " data "! gradresize ! queue ! "
  guint epochs = g_getenv ("TEST_SLOWDOWN") ? 20 : 100, n_trained = 0, n_evaluated = 0;
  g_autoptr (TestResult) result = test_train (SOURCE ("train", TEST_DATA) "funnel name=both "
      SOURCE ("evaluate", "location=test-images labels=test-labels batch-size=3 ") "both. both. ! queue "
      TEST_BODY (" ! queue") " ! gradloss ! gradadamsink location=model.safetensors log-location=log.jsonl", epochs, epochs);
  g_autoptr (GradSafetensors) file = NULL;
  g_autofree gchar *log = NULL;
  guint64 step;

  g_assert_true (gst_structure_get_uint64 (result->saved->pdata[result->saved->len - 1], "step",
          &step));
  g_assert_cmpuint (step, ==, epochs * TEST_STEPS);
  /* each measured apart, however their batches come */
  for (guint i = 0; i < result->epochs->len; i++) {
    const GstStructure *pass = result->epochs->pdata[i];
    gboolean train = g_str_equal (gst_structure_get_string (pass, "phase"), "train-epoch");
    guint *n = train ? &n_trained : &n_evaluated, epoch;
    guint64 samples;

    g_assert_true (gst_structure_get (pass, "epoch", G_TYPE_UINT, &epoch, "samples", G_TYPE_UINT64, &samples, NULL));
    g_assert_cmpuint (epoch, ==, ++*n);
    g_assert_true (gst_structure_has_field (pass, "beside") == !train || n_trained == 0);
    g_assert_cmpuint (samples, ==, train ? TEST_TRAIN_SAMPLES : TEST_TEST_SAMPLES);
  }
  g_assert_cmpuint (n_trained, ==, epochs);
  g_assert_cmpuint (n_evaluated, ==, epochs);
  /* what the file says is of the training */
  file = grad_safetensors_open ("model.safetensors", NULL);
  g_assert_nonnull (strstr (grad_safetensors_get_metadata (file, "checkpoint"), "batch-size=8 train-samples=37 test-samples=0"));
  g_assert_true (g_file_get_contents ("log.jsonl", &log, NULL, NULL));
  g_assert_null (strstr (log, "evaluate"));
  test_assert_files ("model.safetensors", "log.jsonl", NULL);
}

static const struct
{
  const gchar *launch, *element, *text1, *text2;
} refused[] = {
  {"idxsrc " TEST_DATA TEST_NETWORK ("") "tee name=t ! queue ! gradadamsink name=sink "
      "t. ! queue ! gradadamsink name=sink2", "sink", "optimizer", "model-name"},
  {"idxsrc " TEST_DATA "! gradresize threads=1 ! gradconvstem name=stem threads=2 ! fakesink",
      NULL, "threads", "two elements"},
  {"idxsrc " TEST_DATA "! gradresize precision=f32 ! gradconvstem name=stem precision=bf16 "
      "! fakesink", NULL, "precision", "two elements"},
  {"idxsrc " TEST_DATA "! gradresize device=ref ! gradconvstem name=stem device=cpu ! fakesink",
      NULL, "device", "two elements"},
  {"idxsrc " TEST_DATA "! gradresize name=resize device=abacus ! fakesink", NULL, "abacus",
      "device=cpu"},
};

static void
test_refused (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autoptr (GstElement) pipeline = test_launch ("%s", refused[i].launch);

  for (guint again = 0; again < 2; again++) {
    g_autoptr (TestResult) result = test_play (pipeline);

    g_assert_cmpuint (result->errors->len, ==, 1);
    g_assert_nonnull (strstr (result->errors->pdata[0], refused[i].text1));
    g_assert_nonnull (strstr (result->errors->pdata[0], refused[i].text2));
  }
}

static const struct
{
  const gchar *launch, *element, *property, *value;
} corrected[] = {
  {"idxsrc " TEST_DATA "! gradresize threads=1 ! gradconvstem name=stem threads=2 ! fakesink",
      "stem", "threads", "1"},
  {"idxsrc " TEST_DATA "! gradresize name=resize device=abacus ! gradconvstem ! fakesink",
      "resize", "device", "cpu"},
  {"idxsrc " TEST_DATA TEST_NETWORK ("") "gradadamsink name=sink init-location=missing",
      "sink", "init-location", ""},
  {"idxsrc " TEST_DATA "! bin.( gradresize ) ! gradconvstem name=stem model=missing ! fakesink",
      "stem", "model", ""},
  /* not an element of ours; those in front of it were READY */
  {"idxsrc " TEST_DATA "! gradresize name=other threads=1 ! gradconvstem ! tee name=t ! queue "
      "! fakesink t. ! queue ! filesink name=file location=missing/file", "file", "location", "file"},
};

/* The same pipeline runs when what was refused is set right. */
static void
test_corrected (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autoptr (GstElement) pipeline = test_launch ("%s", corrected[i].launch);
  g_autoptr (GstElement) element = test_get (pipeline, corrected[i].element);
  g_autoptr (TestResult) first = test_play (pipeline), second = NULL;

  g_autoptr (GstElement) other = gst_bin_get_by_name (GST_BIN (pipeline), "other");

  g_assert_cmpuint (first->errors->len, >, 0);
  if (other != NULL)            /* a new run may ask for something new */
    g_object_set (other, "threads", 2, NULL);
  gst_util_set_object_arg (G_OBJECT (element), corrected[i].property, corrected[i].value);
  second = test_play (pipeline);
  g_assert_cmpuint (second->errors->len, ==, 0);
  g_assert_true (second->eos);
  g_remove ("file");
}

/* The device is open by then. */
static void
test_late_settings (void)
{
  g_autoptr (GstElement) pipeline = test_launch (TEST_TRAINING);
  g_autoptr (TestResult) result = test_result_new ();

  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  gst_element_get_state (pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
  for (guint i = 0; i < 2; i++) {
    GstElement *late = gst_element_factory_make ("gradglobalpool", NULL);

    if (i == 0)
      g_object_set (late, "threads", 7, NULL);
    else
      g_object_set (late, "deterministic", TRUE, NULL);
    gst_bin_add (GST_BIN (pipeline), late);
    g_assert_false (gst_element_sync_state_with_parent (late));
    test_collect (result, pipeline, 0, 0);
    g_assert_cmpuint (result->errors->len, ==, i + 1);
    g_assert_nonnull (strstr (result->errors->pdata[i], i == 0 ? "threads" : "deterministic"));
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_data_func ("/bus/launch-string", TEST_TRAINING, test_shared);
  g_test_add_data_func ("/bus/queues", TEST_QUEUES, test_shared);
  g_test_add_data_func ("/bus/nested", NESTED, test_shared);
  g_test_add_func ("/bus/nested-trains", test_nested_trains);
  g_test_add_func ("/bus/late", test_late);
  g_test_add_func ("/bus/two-pipelines", test_two_pipelines);
  g_test_add_func ("/bus/application", test_application);
  g_test_add_func ("/bus/two-sources", test_two_sources);
  g_test_add_func ("/bus/evaluation-beside", test_evaluation_beside);
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++) {
    g_autofree gchar *path = g_strdup_printf ("/bus/refused/%u", i);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_refused);
  }
  for (guint i = 0; i < G_N_ELEMENTS (corrected); i++) {
    g_autofree gchar *path = g_strdup_printf ("/bus/corrected/%u", i);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_corrected);
  }
  g_test_add_func ("/bus/late-settings", test_late_settings);
  return test_run_all ();
}
