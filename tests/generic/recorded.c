/* GradStreamer tests: steps that a device records and repeats have the same bits as those that it is asked for one by one
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * On devices that do not record, both are the same. */
#include "config.h"
#include "lib/autograd/gradjob-private.h"
#include "tests/pipelineutil.h"

#include <string.h>

#define SOURCE "idxsrc name=source epochs=4 " TEST_DATA TEST_EVALUATION
#define SINK "gradadamsink name=sink learning-rate=0.01 location=model.safetensors log-location=log.jsonl "
/* A branch that holds on to what is behind each layer: until the next batch, or for as long as it likes */
#define HOLD(name, last) " " name ". ! queue ! fakesink async=false sync=false enable-last-sample=" last

typedef struct
{
  GstElement *pipeline;
  GradBus *bus;
  guint n;                      /* batches that have come to the stem */
  GThread *thread;              /* NULL: none looks */
  GstMemory *looked_at;
  gint over;                    /* atomic */
} Run;

typedef void (*Act) (Run * run);

/* What nobody listens to is recorded. */
static void
listen (const GradJob * job, gpointer unused)
{
}

static void
freeze (Run * run, const gchar * name, gboolean frozen)
{
  g_autoptr (GstElement) layer = test_get (run->pipeline, name);

  g_object_set (layer, "frozen", frozen, NULL);
}

/* In the middle, and at the beginning, where no gradient goes: long enough to be recorded, and again when weights have changed */
static void
act_frozen (Run * run)
{
  guint n = run->n % 8;         /* five batches of training and three of evaluation */

  if (n == 2 || n == 4)
    freeze (run, run->n < 16 ? "stage1" : "stem", n == 2);
}

/* Over evaluations, which fold averages */
static void
act_frozen_long (Run * run)
{
  if (run->n == 3 || run->n == 20)
    freeze (run, "stage1", run->n == 3);
}

/* The application changes weights now and then: those of a convolution, which are kept in bf16, too, and of a norm. */
static void
act_written (Run * run)
{
  g_autoptr (GradNetwork) network = grad_bus_get_network (run->bus, "main");
  GradParameterStore *store = grad_network_get_store (network);
  const gchar *name = run->n % 10 == 4 ? "layer2.0.conv2.weight" : run->n % 10 == 9 ? "layer1.0.bn2.weight" : NULL;
  GstMapInfo map;

  if (name == NULL)
    return;
  g_assert_true (gst_memory_map (GST_MEMORY_CAST (grad_parameter_store_find (store, name)->value), &map, GST_MAP_READWRITE));
  for (gsize i = 0; i < map.size / sizeof (gfloat); i++)
    ((gfloat *) map.data)[i] *= 0.75f;
  gst_memory_unmap (GST_MEMORY_CAST (grad_parameter_store_find (store, name)->value), &map);
}

/* In some epochs somebody looks at gradients, or takes the time. */
static void
hear (GradBus * bus, GradNetwork * network, GradParameter * parameter, gpointer unused)
{
}

static void
act_heard (Run * run)
{
  if (run->n % 16 == 10)
    g_signal_connect (run->bus, "parameter-gradient", G_CALLBACK (hear), NULL);
  else if (run->n % 16 == 15)
    g_signal_handlers_disconnect_by_func (run->bus, hear, NULL);
}

/* Another thread looks at weights on the device all the time, also while a step is recorded. */
static gpointer
look (gpointer data)
{
  Run *run = data;
  GstMapInfo map;

  while (!g_atomic_int_get (&run->over)) {
    g_assert_true (gst_memory_map (run->looked_at, &map, GST_MAP_READ | GRAD_MAP_DEVICE));
    gst_memory_unmap (run->looked_at, &map);
    g_usleep (100);
  }
  return NULL;
}

static void
act_mapped (Run * run)
{
  g_autoptr (GradNetwork) network = grad_bus_get_network (run->bus, "main");
  GradParameterStore *store = grad_network_get_store (network);

  if (run->n == 2) {
    run->looked_at = gst_memory_ref (GST_MEMORY_CAST (grad_parameter_store_find (store, "layer2.0.conv2.weight")->value));
    run->thread = g_thread_new (NULL, look, run);
  }
}

static const struct
{
  const gchar *name, *launch;
  Act act;
  glong repeated;               /* at least, of an emulated GPU */
} cases[] = {
  /* of 20 steps all but the first two, and the first of the smaller batch: five layers, and backward */
  {"plain", SOURCE TEST_NETWORK ("") SINK, NULL, 17 * 6},
  {"queues", SOURCE " ! queue" TEST_NETWORK (" ! queue") SINK, NULL, 10},
  {"no-smaller-batch", "idxsrc name=source epochs=4 drop-last=true " TEST_DATA TEST_NETWORK ("") SINK, NULL, 14 * 6},
  {"accumulate", SOURCE TEST_NETWORK ("") SINK "accumulate=2 clip-norm=0.5", NULL, 10},
  {"ema", SOURCE TEST_NETWORK ("") SINK "ema=0.9", NULL, 14 * 6},
  {"held-shortly", SOURCE TEST_HEAD ("") " ! tee name=a" TEST_BODY (" ! tee ! queue") " ! tee name=b ! gradloss ! " SINK
      HOLD ("a", "false") HOLD ("b", "false"), NULL, 10},
  {"held", SOURCE TEST_HEAD ("") " ! gradconvstem name=stem channels=4 kernel-size=3 stride=1 ! tee name=a"
      " ! gradresstage name=stage1 channels=4 blocks=1 first-block=true ! gradresstage name=stage2 channels=8 blocks=1"
      " ! gradglobalpool ! gradfc units=5 ! gradloss ! " SINK HOLD ("a", "true"), NULL, 10},
  {"frozen", SOURCE TEST_NETWORK ("") SINK, act_frozen, 10},
  {"frozen-ema", SOURCE TEST_NETWORK ("") SINK "ema=0.9", act_frozen_long, 10},
  {"written", SOURCE TEST_NETWORK ("") SINK, act_written, 10},
  {"heard", SOURCE TEST_NETWORK ("") SINK, act_heard, 12 * 6},
  {"mapped", SOURCE TEST_NETWORK ("") SINK, act_mapped, 17 * 6},
  {"sgd", SOURCE TEST_NETWORK ("") "gradsgdsink name=sink learning-rate=0.01 location=model.safetensors log-location=log.jsonl",
      NULL, 17 * 6},
};

static GstPadProbeReturn
come (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Run *run = data;
  guint i = GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (pad), "case"));

  run->n++;
  if (cases[i].act != NULL)
    cases[i].act (run);
  return GST_PAD_PROBE_OK;
}

static gchar *
train (guint i, gsize * size, gchar ** log)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", cases[i].launch);
  g_autoptr (GstElement) stem = test_get (pipeline, "stem");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (stem, "sink");
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  g_autoptr (TestResult) result = NULL;
  Run run = { pipeline, bus };
  GradNetwork *network;
  gchar *model;

  gst_element_set_context (pipeline, context);
  g_object_set_data (G_OBJECT (pad), "case", GUINT_TO_POINTER (i));
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, come, &run, NULL);
  result = test_play (pipeline);
  g_atomic_int_set (&run.over, TRUE);
  if (run.thread != NULL)
    g_thread_join (run.thread);
  g_clear_pointer (&run.looked_at, gst_memory_unref);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_true (result->eos);
  g_assert_true (g_file_get_contents ("model.safetensors", &model, size, NULL));
  *log = test_read_log ();
  test_assert_files ("model.safetensors", "log.jsonl", NULL);
  network = grad_bus_get_network (bus, "main");
  g_object_add_weak_pointer (G_OBJECT (network), (gpointer *) & network);
  g_object_unref (network);
  g_clear_object (&pad);
  g_clear_object (&stem);
  g_clear_object (&pipeline);
  g_clear_pointer (&context, gst_context_unref);
  g_clear_object (&bus);
  g_assert_null (network);      /* nobody holds a step of it */
  return model;
}

static void
test_same (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autofree gchar *one_by_one = NULL, *recorded = NULL, *first_log = NULL, *log = NULL;
  gsize first_size, size;
  glong n = test_count_repeated ();

  g_assert_true (grad_job_set_listener (listen, &n));
  one_by_one = train (i, &first_size, &first_log);
  g_assert_true (grad_job_set_listener (NULL, &n));
  g_assert_cmpint (test_count_repeated (), ==, n);
  recorded = train (i, &size, &log);
  g_assert_cmpstr (log, ==, first_log);
  g_assert_cmpmem (recorded, size, one_by_one, first_size);
  if (n >= 0) {
    g_test_message ("%ld repeated", test_count_repeated () - n);
    g_assert_cmpint (test_count_repeated () - n, >=, cases[i].repeated);
  }
}

/* Of an emulated GPU that cannot make a graph of what it has recorded */
static void
test_refused (void)
{
  g_autofree gchar *model = NULL, *refused = NULL, *first_log = NULL, *log = NULL;
  gsize first_size, size;
  glong n;

  model = train (0, &first_size, &first_log);
  n = test_count_repeated ();
  g_setenv ("EMULATED_GPU_NO_GRAPHS", "1", TRUE);
  refused = train (0, &size, &log);
  g_unsetenv ("EMULATED_GPU_NO_GRAPHS");
  g_assert_cmpint (test_count_repeated (), ==, n);
  g_assert_cmpstr (log, ==, first_log);
  g_assert_cmpmem (refused, size, model, first_size);
}

/* What comes to stage 2 */
typedef struct
{
  GstMemory *held;
  GBytes *values;
  guint n;
} Held;

static GBytes *
read_values (GstMemory * memory)
{
  GstMapInfo map;
  GBytes *values;

  g_assert_true (gst_memory_map (memory, &map, GST_MAP_READ));
  values = g_bytes_new (map.data, map.size);
  gst_memory_unmap (memory, &map);
  return values;
}

/* Holds every third one until the next one has come, which is elsewhere. */
static GstPadProbeReturn
hold (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Held *h = data;
  GstMemory *memory = gst_buffer_peek_memory (GST_PAD_PROBE_INFO_BUFFER (info), 0);

  if (h->held != NULL) {
    g_autoptr (GBytes) values = read_values (h->held);

    g_assert_true (g_bytes_equal (values, h->values));
    g_assert_true (memory != h->held);
    g_clear_pointer (&h->values, g_bytes_unref);
    g_clear_pointer (&h->held, gst_memory_unref);
  }
  if (h->n++ % 3 == 0) {
    h->held = gst_memory_ref (memory);
    h->values = read_values (memory);
  }
  return GST_PAD_PROBE_OK;
}

static void
test_held (void)
{
  g_autoptr (GstElement) pipeline = test_launch (SOURCE TEST_NETWORK ("") "gradadamsink name=sink");
  g_autoptr (GstElement) stage2 = test_get (pipeline, "stage2");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (stage2, "sink");
  g_autoptr (TestResult) result = NULL;
  Held held = { NULL };

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, hold, &held, NULL);
  result = test_play (pipeline);
  g_assert_true (result->eos);
  g_clear_pointer (&held.values, g_bytes_unref);
  g_clear_pointer (&held.held, gst_memory_unref);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *path = g_strconcat ("/recorded/", cases[i].name, NULL);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_same);
  }
  g_test_add_func ("/recorded/refused", test_refused);
  g_test_add_func ("/recorded/values", test_held);
  return test_run_all ();
}
