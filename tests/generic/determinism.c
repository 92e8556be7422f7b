/* GradStreamer tests: the same bits in every run
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <string.h>

/* Three epochs with evaluation between, something after each element, more on the source */
#define RUN(q, more) "idxsrc name=source epochs=3 " more TEST_DATA TEST_EVALUATION q \
  TEST_NETWORK (q) "gradadamsink name=sink learning-rate=0.01 location=model.safetensors " \
  "log-location=log.jsonl"

static gchar *reference, *reference_log;
static gsize reference_size;

static gboolean
same_as_reference (void)
{
  g_autofree gchar *model = NULL, *log = test_read_log ();
  gsize size;
  gboolean same;

  g_assert_true (g_file_get_contents ("model.safetensors", &model, &size, NULL));
  same = size == reference_size && memcmp (model, reference, size) == 0;
  g_assert_cmpint (same, ==, g_str_equal (log, reference_log));
  test_assert_files ("model.safetensors", "log.jsonl", NULL);
  return same;
}

static void
make_reference (void)
{
  g_autoptr (TestResult) result = test_train (RUN ("", ""));

  g_assert_true (g_file_get_contents ("model.safetensors", &reference, &reference_size, NULL));
  reference_log = test_read_log ();
  test_assert_files ("model.safetensors", "log.jsonl", NULL);
}

static const struct
{
  const gchar *name, *launch;
  gboolean same;
} runs[] = {
  {"again", RUN ("", ""), TRUE},
  {"queues", RUN (" ! queue", ""), TRUE},
  {"short-queues", RUN (" ! queue max-size-buffers=1", ""), TRUE},
  {"identities", RUN (" ! identity", ""), TRUE},
  {"tees", RUN (" ! tee ! queue", ""), TRUE},
  {"explicit-phase", RUN ("", "phase=train "), TRUE},
  {"seed", RUN ("", "seed=1 "), FALSE},
  {"unshuffled", RUN ("", "shuffle=false "), FALSE},
};

static void
test_run (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);

  for (guint again = 0; again < 3; again++) {
    g_autoptr (TestResult) result = test_train ("%s", runs[i].launch);

    g_assert_cmpint (same_as_reference (), ==, runs[i].same);
  }
}

/* Another number of threads sums in another order, but always in the same one. */
static void
test_threads (void)
{
  g_autofree gchar *first = NULL;
  gsize first_size = 0;

  if (g_get_num_processors () < 2) {
    g_test_skip ("one processor: oneDNN 3 then adds up in any order");
    return;
  }
  for (guint i = 0; i < 5; i++) {
    g_autoptr (GstElement) pipeline = test_launch ("%s", RUN (" ! queue", ""));
    g_autoptr (GstElement) stem = test_get (pipeline, "stem");
    g_autofree gchar *model = NULL;
    g_autoptr (TestResult) result = NULL;
    gsize size;

    g_object_set (stem, "threads", 2, NULL);
    result = test_play (pipeline);
    g_assert_true (result->eos);
    g_assert_true (g_file_get_contents ("model.safetensors", &model, &size, NULL));
    test_assert_files ("model.safetensors", "log.jsonl", NULL);
    if (first == NULL) {
      first = g_steal_pointer (&model);
      first_size = size;
    } else
      g_assert_cmpmem (model, size, first, first_size);
  }
}

/* Pauses, also between the layers of a step, lose nothing. */
static void
test_pauses (gconstpointer launch)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", (const gchar *) launch);
  g_autoptr (TestResult) result = test_result_new ();
  g_autoptr (GRand) random = g_rand_new_with_seed (1);

  test_watchdog (60);
  for (guint i = 0; i < 200 && !result->eos; i++) {
    gst_element_set_state (pipeline, i % 2 ? GST_STATE_PAUSED : GST_STATE_PLAYING);
    /* one change at a time: GStreamer 1.22 can lose the second of two, with any elements */
    gst_element_get_state (pipeline, NULL, NULL, 5 * GST_SECOND);
    g_usleep (g_rand_int_range (random, 0, 1500));
    test_collect (result, pipeline, GST_MESSAGE_EOS, 0);
  }
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  if (!result->eos)
    test_collect (result, pipeline, GST_MESSAGE_EOS, 20 * GST_SECOND);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_true (same_as_reference ());
}

/* A side branch that looks at activations */
static void
test_side_branch (void)
{
  g_autoptr (TestResult) result = test_train ("idxsrc epochs=3 " TEST_DATA TEST_EVALUATION
      TEST_HEAD ("") " ! tee name=a" TEST_BODY (" ! queue") " ! tee name=b ! gradloss "
      "! gradadamsink learning-rate=0.01 location=model.safetensors log-location=log.jsonl "
      "a. ! queue ! fakesink async=false b. ! queue ! fakesink async=false sync=false");

  g_assert_true (same_as_reference ());
}

int
main (int argc, char **argv)
{
  int status;

  test_init (&argc, &argv);
  make_reference ();
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++) {
    g_autofree gchar *path = g_strconcat ("/determinism/", runs[i].name, NULL);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_run);
  }
  g_test_add_func ("/determinism/threads", test_threads);
  g_test_add_data_func ("/determinism/pauses", RUN ("", ""), test_pauses);
  g_test_add_data_func ("/determinism/pauses-queues", RUN (" ! queue", ""), test_pauses);
  g_test_add_func ("/determinism/side-branch", test_side_branch);
  status = test_run_all ();
  g_free (reference);
  g_free (reference_log);
  return status;
}
