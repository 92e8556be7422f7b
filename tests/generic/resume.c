/* GradStreamer tests: a training that was stopped goes on as if it had not been
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define EPOCHS 3
#define STRIDE (g_getenv ("TEST_SLOWDOWN") ? 5 : 1)      /* under sanitizers */
#define AUGMENT "! gradaugment horizontal-flip=0.5 padding=2 rotate=10 erase=0.5 "
#define RUN RUN_THROUGH ("")
#define RUN_THROUGH(more) "idxsrc name=source epochs=3 seed=5 " TEST_DATA TEST_EVALUATION more AUGMENT TEST_NETWORK ("") \
  "gradadamsink name=sink learning-rate=0.01 schedule=cosine location=model.safetensors " \
  "log-location=log.jsonl "

static gchar *reference, *reference_log;
static gsize reference_size;

static void
make_reference (const gchar * launch)
{
  g_autoptr (TestResult) result = test_train ("%s", launch);

  g_assert_true (g_file_get_contents ("model.safetensors", &reference, &reference_size, NULL));
  reference_log = test_read_log ();
  test_assert_files ("model.safetensors", "log.jsonl", NULL);
}

/* To be called where nothing is left over. */
static void
begin (void)
{
  if (reference == NULL)
    make_reference (RUN);
  test_write ("expected", reference, reference_size);
}

static void
end (void)
{
  test_assert_files ("model.safetensors", "log.jsonl", "expected", NULL);
}

static void
assert_as_expected (void)
{
  g_autofree gchar *log = test_read_log ();

  test_assert_same_file ("model.safetensors", "expected");
  g_assert_cmpstr (log, ==, reference_log);
}

typedef struct
{
  GstElement *pipeline;
  guint n;                      /* batches until it is stopped */
  gboolean hold;                /* and none later: until it is stopped the sink's pad is blocked */
} Stop;

static GstPadProbeReturn
count (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Stop *stop = data;

  if (stop->n == G_MAXUINT || stop->n-- > 0)
    return stop->hold ? GST_PAD_PROBE_PASS : GST_PAD_PROBE_OK;
  gst_element_post_message (stop->pipeline, gst_message_new_application (GST_OBJECT
          (stop->pipeline), gst_structure_new_empty ("enough")));
  return GST_PAD_PROBE_OK;
}

static gboolean
play (const gchar * launch, guint n, gboolean hold)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", launch);
  g_autoptr (GstElement) sink = test_get (pipeline, "sink");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (sink, "sink");
  g_autoptr (TestResult) result = test_result_new ();
  Stop stop = { pipeline, n, hold };

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER | (hold ? GST_PAD_PROBE_TYPE_BLOCK : 0), count, &stop, NULL);
  test_watchdog (60);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  test_collect (result, pipeline, GST_MESSAGE_APPLICATION | GST_MESSAGE_EOS, 50 * GST_SECOND);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_cmpuint (result->warnings->len, ==, 0);
  return result->eos;
}

/* Plays until n more batches have come to the sink, and stops wherever it is then. Whether it came to its end */
static gboolean
play_for (const gchar * launch, guint n)
{
  return play (launch, n, FALSE);
}

/* Likewise, but exactly there: so many batches have been trained with, or evaluated */
static gboolean
play_only (const gchar * launch, guint n)
{
  return play (launch, n, TRUE);
}

/* Stopped after each number of batches, in all passes and between them */
static void
test_stopped (void)
{
  guint all = EPOCHS * (TEST_STEPS + (TEST_TEST_SAMPLES + TEST_BATCH - 1) / TEST_BATCH);

  for (guint n = 0; n < all; n += STRIDE) {
    begin ();
    g_test_message ("after %u batches", n);
    play_for (RUN, n);
    g_assert_true (play_for (RUN "resume=true", G_MAXUINT));
    assert_as_expected ();
    end ();
  }
}

static void
forget_reference (void)
{
  g_clear_pointer (&reference, g_free);
  g_clear_pointer (&reference_log, g_free);
}

/* The same with what else there is to be kept: averages, momentum, and the batches of a step that was not over */
static void
test_options (void)
{
  static const gchar *const sinks[] =
      { "gradadamsink accumulate=3 ema=0.8 clip-norm=0.5 schedule=one-cycle warmup-steps=2",
    "gradsgdsink learning-rate=0.1 momentum=0.9 nesterov=true ema=0.9"
  };

  for (guint i = 0; i < G_N_ELEMENTS (sinks); i++) {
    g_autofree gchar *launch = g_strdup_printf ("idxsrc epochs=2 seed=5 " TEST_DATA TEST_EVALUATION
        TEST_NETWORK ("") "%s name=sink location=model.safetensors log-location=log.jsonl", sinks[i]);
    g_autofree gchar *resume = g_strconcat (launch, " resume=true", NULL);

    forget_reference ();
    make_reference (launch);
    for (guint n = 1; n < 2 * TEST_STEPS + 3; n += STRIDE) {
      begin ();
      g_test_message ("%s: after %u batches", sinks[i], n);
      play_for (launch, n);
      g_assert_true (play_for (resume, G_MAXUINT));
      assert_as_expected ();
      end ();
    }
  }
  forget_reference ();
}

/* Again and again, with data that are read ahead */
static void
test_often (void)
{
  guint runs = 1;

  begin ();
  for (; !play_only (runs % 2 ? RUN "resume=true" : "idxsrc epochs=3 seed=5 " TEST_DATA
          TEST_EVALUATION AUGMENT " ! queue max-size-buffers=2" TEST_NETWORK (" ! queue")
          "gradadamsink name=sink learning-rate=0.01 schedule=cosine resume=true "
          "location=model.safetensors log-location=log.jsonl", 4); runs++)       /* more than are tested with */
    g_assert_cmpuint (runs, <, 100);
  g_assert_cmpuint (runs, >, 3);
  assert_as_expected ();
  end ();
}

/* What is complete stays as it is, and has nothing that only a training needs. */
static void
test_complete (void)
{
  g_autoptr (GradSafetensors) file = NULL;

  begin ();
  g_assert_true (play_for (RUN, G_MAXUINT));
  g_assert_true (play_for (RUN "resume=true", G_MAXUINT));
  assert_as_expected ();
  file = grad_safetensors_open ("model.safetensors", NULL);
  for (guint i = 0; i < grad_safetensors_get_n_entries (file); i++)
    g_assert_false (g_str_has_prefix (grad_safetensors_get_entry (file, i)->name, "optimizer."));
  test_assert_error ("idxsrc epochs=4 seed=5 " TEST_DATA TEST_EVALUATION TEST_NETWORK ("")
      "gradadamsink name=sink location=model.safetensors resume=true", "sink", "init-location", NULL);
  assert_as_expected ();
  end ();
}

/* ---- kill -9 */

/* In a process of its own: trains until the end, and is killed before. */
static int
run_child (void)
{
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (GstBus) bus = NULL;
  g_autoptr (GstMessage) message = NULL;

  gst_init (NULL, NULL);
  pipeline = gst_parse_launch (RUN_THROUGH ("! identity sleep-time=10000 ") "resume=true save-steps=1", NULL);
  bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE,
      GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return GST_MESSAGE_TYPE (message) != GST_MESSAGE_EOS;
}

static gint64
child_file_time (void)
{
  GStatBuf info;

  return g_stat ("model.safetensors", &info) == 0
      ? info.st_mtim.tv_sec * G_USEC_PER_SEC + info.st_mtim.tv_nsec / 1000 : 0;
}

/* Killed at ten moments, or as many as there are, some time after the file has changed: within steps, and within the writing of files */
static void
test_killed (void)
{
  gchar *argv[] = { (gchar *) "/proc/self/exe", (gchar *) "--child", NULL };
  g_autoptr (GRand) random = g_rand_new_with_seed (3);
  guint kills = 0;
  int status = -1;

  begin ();
  for (guint run = 0; run < 200 && status != 0; run++) {
    gint64 before = child_file_time ();
    GPid pid;

    g_assert_true (g_spawn_async (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid,
            NULL));
    if (kills < 10) {
      pid_t ended = 0;

      while (child_file_time () == before && (ended = waitpid (pid, &status, WNOHANG)) == 0)
        g_usleep (100);
      g_usleep (g_rand_int_range (random, 0, 3000));
      if (ended == 0)
        kill (pid, SIGKILL);
      else
        continue;
    }
    if (waitpid (pid, &status, 0) == pid)
      kills += WIFSIGNALED (status);
  }
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpuint (kills, >=, 3);
  assert_as_expected ();
  {
    /* of a file that was being written, the temporary one may be left */
    g_autoptr (GDir) dir = g_dir_open (".", 0, NULL);
    const gchar *name;

    while ((name = g_dir_read_name (dir)) != NULL)
      if (strstr (name, ".tmp-"))
        g_unlink (name);
  }
  end ();
}

/* ---- what goes wrong */

/* A file that was cut off is refused, and nothing happens to it. */
static void
test_cut (void)
{
  g_autofree gchar *whole = NULL;
  gsize size;

  begin ();
  play_only (RUN, TEST_STEPS / 2);
  g_assert_true (g_file_get_contents ("model.safetensors", &whole, &size, NULL));
  for (guint percent = 0; percent < 100; percent += STRIDE) {
    gsize part = size * percent / 100;
    g_autofree gchar *after = NULL;
    gsize after_size;

    test_write ("model.safetensors", whole, part);
    test_assert_error (RUN "resume=true", "sink", "cannot resume", "model.safetensors", NULL);
    g_assert_true (g_file_get_contents ("model.safetensors", &after, &after_size, NULL));
    g_assert_cmpmem (after, after_size, whole, part);
  }
  end ();
}

/* A disk that is full from now on, as far as a process can make believe so: no file may grow beyond this. */
static void
set_room (rlim_t bytes)
{
  struct rlimit limit;

  getrlimit (RLIMIT_FSIZE, &limit);
  limit.rlim_cur = MIN (bytes, limit.rlim_max);
  setrlimit (RLIMIT_FSIZE, &limit);
}

/* What is there already stays, the training goes on, and its end says what was lost. */
static void
test_full (void)
{
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (TestResult) result = NULL;

  begin ();
  play_only (RUN, TEST_STEPS / 2);
  g_assert_cmpint (g_rename ("model.safetensors", "half"), ==, 0);
  g_assert_true (g_file_test ("half", G_FILE_TEST_EXISTS));
  {
    g_autofree gchar *text = NULL;
    gsize size;

    g_assert_true (g_file_get_contents ("half", &text, &size, NULL));
    test_write ("model.safetensors", text, size);
  }
  pipeline = test_launch ("idxsrc epochs=3 seed=5 " TEST_DATA TEST_EVALUATION TEST_NETWORK ("")
      "gradadamsink name=sink location=model.safetensors resume=true");
  signal (SIGXFSZ, SIG_IGN);
  set_room (1000);
  result = test_play (pipeline);
  set_room (RLIM_INFINITY);
  g_assert_cmpuint (result->warnings->len, ==, EPOCHS);
  g_assert_nonnull (strstr (result->warnings->pdata[0], "model.safetensors"));
  g_assert_nonnull (strstr (result->warnings->pdata[0], "Training goes on"));
  g_assert_cmpuint (result->errors->len, >=, 1);        /* at the end, and again when stopped */
  g_assert_nonnull (strstr (result->errors->pdata[0], "model.safetensors"));
  test_assert_same_file ("model.safetensors", "half");
  /* and from there it ends as it should */
  g_assert_true (play_for (RUN "resume=true", G_MAXUINT));
  assert_as_expected ();
  g_unlink ("half");
  end ();
}

static void
test_refused (void)
{
  static const struct
  {
    const gchar *launch, *element, *text1, *text2;
  } runs[] = {
    {TEST_TRAINING "resume=true", "sink", "resume=true", "location"},
    {"idxsrc name=source seed=6 epochs=3 " TEST_DATA TEST_EVALUATION TEST_NETWORK ("")
        "gradadamsink resume=true location=model.safetensors", "source", "seed=6", "resume"},
    {"idxsrc location=train-images labels=train-labels seed=5 batch-size=7 epochs=3 "
          TEST_EVALUATION TEST_NETWORK ("")
          "gradadamsink name=sink resume=true location=model.safetensors", "sink",
        "batches of 8 of 37", "batches of 7 of 37"},
    {"idxsrc seed=5 epochs=3 " TEST_DATA TEST_NETWORK ("")
        "gradadamsink name=sink resume=true location=model.safetensors", "sink", "test set of 21",
        "and 0"},
    {"idxsrc seed=5 epochs=3 shuffle=false " TEST_DATA TEST_EVALUATION TEST_NETWORK ("")
        "gradadamsink name=sink resume=true location=model.safetensors", "sink", "shuffle=true", "resume=false"},
    {"idxsrc seed=5 epochs=3 " TEST_DATA TEST_EVALUATION "! gradresize ! queue ! funnel name=both "
          "idxsrc seed=5 epochs=3 " TEST_DATA TEST_EVALUATION "! gradresize ! queue ! both. both. ! queue "
          TEST_BODY ("") " ! gradloss ! gradadamsink name=sink resume=true location=model.safetensors", "sink",
        "two sources", "resume=false"},
  };

  begin ();
  play_only (RUN, TEST_STEPS / 2);
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    test_assert_error (runs[i].launch, runs[i].element, runs[i].text1, runs[i].text2, NULL);
  end ();
}

/* Others add up in another order: that is said, but no error. */
static void
test_other_threads (void)
{
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (TestResult) result = NULL;
  g_autofree gchar *before = g_strdup (g_getenv ("GRAD_THREADS"));

  if (g_getenv ("GRAD_DEVICE") != NULL) {
    g_test_skip ("for the cpu");
    return;
  }
  begin ();
  g_setenv ("GRAD_THREADS", "1", TRUE);
  play_only (RUN, TEST_STEPS / 2);
  g_setenv ("GRAD_THREADS", "2", TRUE);
  pipeline = test_launch (RUN "resume=true");
  result = test_play (pipeline);
  g_assert_true (result->eos);
  g_assert_cmpuint (result->warnings->len, ==, 1);
  g_assert_nonnull (strstr (result->warnings->pdata[0], "threads=2 what began with"));
  g_assert_nonnull (strstr (result->warnings->pdata[0], "threads=1: "));
  if (before != NULL)
    g_setenv ("GRAD_THREADS", before, TRUE);
  else
    g_unsetenv ("GRAD_THREADS");
  end ();
}

/* ---- which states are kept */

static gdouble
best_accuracy (TestResult * result, guint * epoch)
{
  gdouble best = -1, accuracy;

  for (guint i = 0; i < result->epochs->len; i++) {
    const GstStructure *s = result->epochs->pdata[i];

    if (!g_str_equal (gst_structure_get_string (s, "phase"), "evaluate"))
      continue;
    g_assert_true (gst_structure_get_double (s, "accuracy", &accuracy));
    if (accuracy > best) {
      best = accuracy;
      gst_structure_get_uint (s, "epoch", epoch);
    }
  }
  return best;
}

/* The file is that of the best epoch, measured once more; the same after it was resumed. */
static void
test_best (void)
{
#define BEST "idxsrc epochs=12 seed=1 " TEST_DATA TEST_EVALUATION TEST_NETWORK ("") \
  "gradadamsink name=sink learning-rate=0.02 save=best location=model.safetensors "
  g_autoptr (TestResult) result = NULL, measured = NULL;
  guint64 step;
  guint epoch = 0, again = 0;
  gdouble best;

  begin ();
  result = test_train (BEST);
  best = best_accuracy (result, &epoch);
  g_assert_cmpuint (epoch, <, 12);      /* or the test would say nothing */
  g_assert_true (gst_structure_get_uint64 (result->saved->pdata[result->saved->len - 1], "step",
          &step));
  g_assert_cmpuint (step, ==, epoch * TEST_STEPS);
  measured = test_train ("idxsrc phase=evaluate location=test-images labels=test-labels batch-size=8"
      TEST_NETWORK ("") "gradadamsink init-location=model.safetensors");
  g_assert_cmpfloat (best_accuracy (measured, &again), ==, best);
  g_assert_cmpint (g_rename ("model.safetensors", "best"), ==, 0);
  play_for (BEST, 30);
  g_assert_true (play_for (BEST "resume=true", G_MAXUINT));
  test_assert_same_file ("model.safetensors", "best");
  test_assert_files ("model.safetensors", "best", "expected", NULL);
}

static GstBusSyncReply
give_room (GstBus * bus, GstMessage * message, gpointer data)
{
  guint *n = data;

  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_WARNING && --*n == 0)
    set_room (RLIM_INFINITY);
  return GST_BUS_PASS;
}

/* If the best state could not be written, the best of those that come later is kept. */
static void
test_best_lost (void)
{
  g_autoptr (TestResult) whole = test_train (BEST), result = NULL;
  g_autoptr (GstElement) pipeline = test_launch (BEST);
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  guint best, n;

  best_accuracy (whole, &best);
  g_assert_cmpuint (best, <, 12);
  g_assert_cmpint (g_unlink ("model.safetensors"), ==, 0);
  n = best;
  gst_bus_set_sync_handler (bus, give_room, &n, NULL);
  signal (SIGXFSZ, SIG_IGN);
  set_room (1000);
  result = test_play (pipeline);
  set_room (RLIM_INFINITY);
  g_assert_true (result->eos);
  g_assert_cmpuint (result->warnings->len, ==, best);
  g_assert_cmpuint (result->saved->len, >, 0);
  test_assert_files ("model.safetensors", NULL);
}

static void
test_every_epoch (void)
{
  g_autoptr (TestResult) result = NULL;

  begin ();
  result = test_train (RUN "save=every-epoch");
  assert_as_expected ();
  /* each is a whole one */
  g_assert_cmpint (g_rename ("model-epoch-3.safetensors", "model.safetensors"), ==, 0);
  g_assert_true (play_for (RUN "resume=true", G_MAXUINT));
  g_assert_cmpint (g_rename ("model-epoch-1.safetensors", "model.safetensors"), ==, 0);
  g_assert_true (play_for (RUN "resume=true", G_MAXUINT));
  assert_as_expected ();
  g_assert_cmpint (g_unlink ("model-epoch-2.safetensors"), ==, 0);
  end ();
}

int
main (int argc, char **argv)
{
  int status;

  if (argc > 1 && g_str_equal (argv[1], "--child"))
    return run_child ();
  test_init (&argc, &argv);
  g_test_add_func ("/resume/stopped", test_stopped);
  g_test_add_func ("/resume/options", test_options);
  g_test_add_func ("/resume/often", test_often);
  g_test_add_func ("/resume/complete", test_complete);
  g_test_add_func ("/resume/killed", test_killed);
  g_test_add_func ("/resume/cut", test_cut);
  g_test_add_func ("/resume/full", test_full);
  g_test_add_func ("/resume/refused", test_refused);
  g_test_add_func ("/resume/other-threads", test_other_threads);
  g_test_add_func ("/resume/best", test_best);
  g_test_add_func ("/resume/best-lost", test_best_lost);
  g_test_add_func ("/resume/every-epoch", test_every_epoch);
  status = test_run_all ();
  g_free (reference);
  g_free (reference_log);
  return status;
}
