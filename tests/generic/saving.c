/* GradStreamer tests: models and logs are saved whole or not at all, and load again
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <errno.h>
#include <gmodule.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SAVE TEST_TRAINING "location=model.safetensors "
#define LOAD(more) \
  "idxsrc " TEST_DATA more TEST_HEAD ("") TEST_BODY ("") " model=model.safetensors ! fakesink"

static gdouble
evaluate (void)
{
  g_autoptr (TestResult) result = test_train ("idxsrc phase=evaluate " TEST_DATA
      TEST_NETWORK ("") "gradadamsink init-location=model.safetensors");
  gdouble loss;

  g_assert_true (gst_structure_get_double (result->epochs->pdata[0], "loss", &loss));
  g_assert_cmpuint (result->warnings->len, ==, 0);
  return loss;
}

static void
test_eos (void)
{
  g_autoptr (TestResult) result = test_train (SAVE "init-location=\"\"");
  gdouble first = evaluate (), again = evaluate ();

  g_assert_cmpfloat (first, ==, again);
  g_assert_cmpuint (result->saved->len, ==, 1);
  test_assert_files ("model.safetensors", NULL);
}

/* From READY, which keeps weights, a training that was complete begins once more. */
static void
test_again (void)
{
  g_autoptr (GstElement) pipeline = test_launch (SAVE);
  g_autoptr (TestResult) result = test_result_new ();
  guint64 step;

  test_watchdog (60);
  for (guint i = 1; i <= 2; i++) {
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    test_collect (result, pipeline, GST_MESSAGE_EOS | GST_MESSAGE_ERROR, 30 * GST_SECOND);
    g_assert_cmpuint (result->errors->len, ==, 0);
    g_assert_cmpuint (result->saved->len, ==, i);
    g_assert_true (gst_structure_get_uint64 (result->saved->pdata[i - 1], "step", &step));
    g_assert_cmpuint (step, ==, i * TEST_STEPS);
    gst_element_set_state (pipeline, GST_STATE_READY);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  test_assert_files ("model.safetensors", NULL);
}

/* A training that begins once more has its schedule to itself. */
static void
test_again_scheduled (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc epochs=2 " TEST_DATA TEST_NETWORK ("")
      "gradadamsink learning-rate=0.01 schedule=linear warmup-steps=2");
  g_autoptr (TestResult) result = test_result_new ();
  gdouble rate;

  test_watchdog (60);
  for (guint i = 0; i < 2; i++) {
    g_ptr_array_set_size (result->steps, 0);
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    test_collect (result, pipeline, GST_MESSAGE_EOS | GST_MESSAGE_ERROR, 60 * GST_SECOND);
    g_assert_cmpuint (result->errors->len, ==, 0);
    g_assert_true (gst_structure_get_double (result->steps->pdata[0], "learning-rate", &rate));
    g_assert_cmpfloat (rate, ==, 0.005);
    gst_element_set_state (pipeline, GST_STATE_READY);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  test_watchdog (0);
  test_assert_files (NULL, NULL);
}

/* Losses of the steps of log.jsonl, as they are written there */
static GPtrArray *
read_losses (void)
{
  g_autoptr (GRegex) step = g_regex_new ("\"phase\":\"train\",.*\"loss\":([^,}]*)", 0, 0, NULL);
  g_autoptr (GMatchInfo) match = NULL;
  g_autofree gchar *text = NULL;
  GPtrArray *losses = g_ptr_array_new_with_free_func (g_free);

  g_assert_true (g_file_get_contents ("log.jsonl", &text, NULL, NULL));
  for (g_regex_match (step, text, 0, &match); g_match_info_matches (match);
      g_match_info_next (match, NULL))
    g_ptr_array_add (losses, g_match_info_fetch (match, 1));
  return losses;
}

/* Trains on batches in the order of the file. */
static GPtrArray *
train_unshuffled (const gchar * source, const gchar * sink)
{
  g_autoptr (TestResult) result = test_train ("idxsrc shuffle=false %s " TEST_DATA
      TEST_NETWORK ("") "gradadamsink log-location=log.jsonl %s", source, sink);

  g_assert_cmpuint (result->warnings->len, ==, 0);
  return read_losses ();
}

static GradSafetensors *
open_model (const gchar * location)
{
  GradSafetensors *file = grad_safetensors_open (location, NULL);

  g_assert_nonnull (file);
  return file;
}

static gint64
count_batches (const gchar * location)
{
  g_autoptr (GradSafetensors) file = open_model (location);
  gint64 n;

  memcpy (&n, grad_safetensors_find (file, "bn1.num_batches_tracked")->data, sizeof n);
  return n;
}

/* In how many tensors two networks differ, without statistics on request */
static guint
count_differences (const gchar * location, const gchar * other, gboolean statistics)
{
  g_autoptr (GradSafetensors) a = open_model (location), b = open_model (other);
  guint n = 0;

  g_assert_cmpuint (grad_safetensors_get_n_entries (a), ==, grad_safetensors_get_n_entries (b));
  for (guint i = 0; i < grad_safetensors_get_n_entries (a); i++) {
    const GradSafetensorsEntry *x = grad_safetensors_get_entry (a, i);
    const GradSafetensorsEntry *y = grad_safetensors_find (b, x->name);

    g_assert_cmpuint (x->size, ==, y->size);
    if (g_str_has_prefix (x->name, "optimizer."))
      continue;
    if (statistics || (!strstr (x->name, ".running_") && !strstr (x->name, ".num_batches")))
      n += memcmp (x->data, y->data, x->size) != 0;
  }
  return n;
}

/* Training goes on from a file, whatever the seed: with its weights, bit for bit. */
static void
test_init_location (void)
{
  g_autoptr (GPtrArray) saved = train_unshuffled ("", "learning-rate=0.02 location=saved");
  g_autoptr (GPtrArray) unsaved = train_unshuffled ("epochs=2", "learning-rate=0.02");
  g_autoptr (GPtrArray) one = train_unshuffled ("seed=1", "init-location=saved location=one");
  g_autoptr (GPtrArray) two = train_unshuffled ("seed=2", "init-location=saved location=two");
  g_autoptr (GPtrArray) random = train_unshuffled ("seed=1", "location=random");

  /* the next step, as it is without saving and loading */
  g_assert_cmpuint (unsaved->len, ==, 2 * TEST_STEPS);
  g_assert_cmpstr (one->pdata[0], ==, unsaved->pdata[TEST_STEPS]);
  g_assert_cmpstr (one->pdata[0], !=, random->pdata[0]);
  for (guint i = 0; i < TEST_STEPS; i++) {
    g_assert_cmpstr (saved->pdata[i], ==, unsaved->pdata[i]);
    g_assert_cmpstr (one->pdata[i], ==, two->pdata[i]);
  }
  g_assert_cmpuint (count_differences ("one", "two", TRUE), ==, 0);
  g_assert_cmpuint (count_differences ("one", "saved", FALSE), >, 0);
  g_assert_cmpuint (count_differences ("one", "random", FALSE), >, 0);
  test_assert_files ("saved", "one", "two", "random", "log.jsonl", NULL);
}

/* The same of statistics: one pass and another one after loading are two. */
static void
test_init_location_statistics (void)
{
  g_autoptr (GPtrArray) first = train_unshuffled ("", "learning-rate=0 location=first");
  g_autoptr (GPtrArray) second = train_unshuffled ("", "learning-rate=0 location=second "
      "init-location=first");
  g_autoptr (GPtrArray) both = train_unshuffled ("epochs=2", "learning-rate=0 location=both");

  g_assert_cmpuint (count_differences ("second", "both", TRUE), ==, 0);
  g_assert_cmpuint (count_differences ("second", "first", TRUE), >, 0);
  g_assert_cmpuint (count_differences ("second", "first", FALSE), ==, 0);
  g_assert_cmpint (count_batches ("second"), ==, 2 * TEST_STEPS);
  test_assert_files ("first", "second", "both", "log.jsonl", NULL);
}

/* The network with places for an identity that ends the run. All batches are of one size: new caps
 * bring an allocation query, and if GStreamer 1.22's queue drops it at such an end, whoever asked
 * waits forever. */
#define ENDING(q) "idxsrc epochs=1000000 drop-last=true " TEST_DATA q " ! identity name=a" \
  TEST_HEAD (q) " ! identity name=b" TEST_BODY (q) " ! identity name=c ! gradloss" q \
  " ! identity name=d ! gradadamsink name=sink location=model.safetensors"

#define END 10
#define END_BATCHES (TEST_TRAIN_SAMPLES / TEST_BATCH)   /* in an epoch */

/* GStreamer 1.22's identity forgets that it has ended, and a full queue gives it one more. */
static GstPadProbeReturn
refuse_later (GstPad * pad, GstPadProbeInfo * info, gpointer n)
{
  if (++*(guint *) n <= END)
    return GST_PAD_PROBE_OK;
  gst_buffer_unref (GST_PAD_PROBE_INFO_BUFFER (info));
  GST_PAD_PROBE_INFO_FLOW_RETURN (info) = GST_FLOW_EOS;
  return GST_PAD_PROBE_HANDLED;
}

static void
end_at (const gchar * name, const gchar * launch)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", launch);
  g_autoptr (GstElement) identity = test_get (pipeline, name);
  g_autoptr (GstPad) pad = gst_element_get_static_pad (identity, "sink");
  g_autoptr (TestTap) tap = test_tap (pipeline, "sink");
  g_autoptr (TestResult) result = NULL;
  guint64 step;
  guint n = 0;

  g_object_set (identity, "eos-after", END, NULL);
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, refuse_later, &n, NULL);
  result = test_play (pipeline);
  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_true (g_str_has_suffix (result->progress->str, "O"));
  g_assert_cmpuint (result->saved->len, ==, 1 + END / END_BATCHES);
  g_assert_true (gst_structure_get_uint64 (result->saved->pdata[END / END_BATCHES], "step",
          &step));
  g_assert_cmpuint (step, ==, tap->n);
  g_assert_true (step == END || step == END - 1);       /* 1.22 drops the last one */
}

/* The end comes from the middle: what got further is trained and saved, what is in front stops. */
static void
test_eos_after (void)
{
  static const gchar *const names[] = { "a", "b", "c", "d" };

  end_at ("a", ENDING (""));
  g_assert_cmpint (g_rename ("model.safetensors", "expected"), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    end_at (names[i], ENDING (""));
    g_assert_cmpuint (count_differences ("model.safetensors", "expected", TRUE), ==, 0);
    end_at (names[i], ENDING (" ! queue"));
    g_assert_cmpuint (count_differences ("model.safetensors", "expected", TRUE), ==, 0);
  }
  g_assert_cmpfloat (evaluate (), >, 0);
  test_assert_files ("model.safetensors", "expected", NULL);
}

/* Ctrl-C without -e */
static void
test_stopped (void)
{
  for (guint i = 0; i < 2; i++) {
    g_autoptr (GstElement) pipeline = test_launch ("%s", i ? SAVE : TEST_QUEUES
        "location=model.safetensors");
    g_autoptr (GstElement) source = test_get (pipeline, "source");
    g_autoptr (TestResult) result = test_result_new ();

    test_watchdog (60);
    g_object_set (source, "epochs", 1000000, NULL);
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    test_collect (result, pipeline, GST_MESSAGE_ELEMENT | GST_MESSAGE_PROGRESS, 10 * GST_SECOND);
    test_collect (result, pipeline, GST_MESSAGE_ELEMENT, 10 * GST_SECOND);
    g_usleep (g_getenv ("TEST_SLOWDOWN") ? 1000000 : 20000);
    gst_element_set_state (pipeline, GST_STATE_NULL);
    test_watchdog (0);
    g_assert_cmpfloat (evaluate (), >, 0);
    test_assert_files ("model.safetensors", NULL);
  }
}

/* Nothing was trained: nothing is written, and what is there stays. */
static void
test_untrained (void)
{
  g_autoptr (GstElement) pipeline = test_launch (SAVE);

  test_write ("model.safetensors", "old", 3);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  gst_element_get_state (pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  {
    g_autofree gchar *text = NULL;

    g_assert_true (g_file_get_contents ("model.safetensors", &text, NULL, NULL));
    g_assert_cmpstr (text, ==, "old");
  }
  test_assert_files ("model.safetensors", NULL);
}

/* Known before hours of training are lost */
static void
test_unwritable (void)
{
  static const gchar *const properties[][2] = {
    {"location=file/model.safetensors", "file/model.safetensors"},
    {"location=missing/model.safetensors", "missing/model.safetensors"},
    {"location=.", "folder"},
    {"log-location=file/log.jsonl", "file/log.jsonl"},
    {"log-location=.", "log"},
    {"location=model.safetensors log-location=missing/log", "missing/log"},
  };

  test_write ("file", "", 0);
  for (guint i = 0; i < G_N_ELEMENTS (properties); i++) {
    g_autoptr (GstElement) pipeline = test_launch (TEST_TRAINING "%s", properties[i][0]);
    g_autoptr (TestTap) tap = test_tap (pipeline, "loss");
    g_autoptr (TestResult) result = test_play (pipeline);

    g_assert_cmpuint (result->errors->len, ==, 1);
    g_assert_true (g_str_has_prefix (result->errors->pdata[0], "sink: "));
    g_assert_nonnull (strstr (result->errors->pdata[0], properties[i][1]));
    g_assert_cmpuint (tap->n, ==, 0);
    g_assert_cmpstr (result->progress->str, ==, "");
  }
  test_assert_files ("file", NULL);
}

/* The folder goes while the training runs. */
static void
test_lost_folder (void)
{
  g_autoptr (GstElement) pipeline = test_launch (TEST_TRAINING "location=folder/model");
  g_autoptr (GstElement) source = test_get (pipeline, "source");
  g_autoptr (TestResult) result = NULL;

  g_assert_cmpint (g_mkdir ("folder", 0755), ==, 0);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  gst_element_get_state (pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
  g_assert_cmpint (g_rmdir ("folder"), ==, 0);
  result = test_play (pipeline);
  g_assert_cmpuint (result->errors->len, >=, 1);
  g_assert_nonnull (strstr (result->errors->pdata[0], "folder/model"));
  test_assert_files (NULL, NULL);
}

/* Model files that do not fit, each with one error that says what */
static void
test_wrong_model (void)
{
  static const struct
  {
    const gchar *saved, *text1, *text2;
  } files[] = {
    {"idxsrc " TEST_DATA "! gradresize ! gradconvstem channels=4 kernel-size=3 ! gradglobalpool "
        "! gradfc units=5 ! gradloss ! gradadamsink location=model.safetensors",
        "has no tensor", "layer1.0"},
    {"idxsrc " TEST_DATA "! gradresize ! gradconvstem channels=6 kernel-size=3 ! gradglobalpool "
        "! gradfc units=5 ! gradloss ! gradadamsink location=model.safetensors",
        "conv1.weight is F32 6x1x3x3", "4x1x3x3"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autoptr (TestResult) saved = test_train ("%s", files[i].saved);
    g_autoptr (GstElement) pipeline = test_launch (LOAD ("phase=infer"));
    g_autoptr (TestResult) result = test_play (pipeline);

    g_assert_nonnull (strstr (result->errors->pdata[0], files[i].text1));
    g_assert_nonnull (strstr (result->errors->pdata[0], files[i].text2));
    g_assert_nonnull (strstr (result->errors->pdata[0], "model.safetensors"));
    for (guint e = 1; e < result->errors->len; e++)
      g_assert_nonnull (strstr (result->errors->pdata[e], "Internal data stream error"));
  }
  test_assert_files ("model.safetensors", NULL);
}

/* Offsets that lie, no file at all, a folder */
static void
test_bad_model (void)
{
  static const gchar *const files[] = {
    "", "garbage", "{}",
    "\x40\0\0\0\0\0\0\0{\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,2000]}}   ",
    "\xff\xff\xff\xff\xff\xff\xff\x7f{}",
  };
  static const gsize sizes[] = { 0, 7, 2, 72, 10 };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    test_write ("model.safetensors", files[i], sizes[i]);
    test_assert_error (LOAD ("phase=infer "), "fc", "model.safetensors", NULL);
    test_assert_error (SAVE "init-location=model.safetensors", "sink", "model.safetensors", NULL);
  }
  test_assert_files ("model.safetensors", NULL);
  test_assert_error (LOAD ("phase=infer "), "fc", "model.safetensors", NULL);
  g_assert_cmpint (g_mkdir ("model.safetensors", 0755), ==, 0);
  test_assert_error (LOAD ("phase=infer "), "fc", "model.safetensors", NULL);
  g_assert_cmpint (g_rmdir ("model.safetensors"), ==, 0);
  test_assert_files (NULL, NULL);
}

/* Batches that have come, and those that the next fsync() waits for; atomic */
static gint n_come, n_awaited, n_synced;
/* Whether the disk takes one model, and then only what is less than three quarters of it; its size, 0 until then */
static gboolean only_one;
static gsize size_of_one;

/* Instead of the C library's */
G_MODULE_EXPORT int
fsync (int fd)
{
  g_autofree gchar *link = g_strdup_printf ("/proc/self/fd/%d", fd), *name = g_file_read_link (link, NULL);
  gboolean model = name && strstr (name, "/model.safetensors");
  gsize size = lseek (fd, 0, SEEK_CUR);
  gint awaited = model ? (gint) g_atomic_int_and ((guint *) & n_awaited, 0) : 0;

  if (model && only_one && size > size_of_one / 4 * 3 && size_of_one > 0) {
    errno = ENOSPC;
    return -1;
  }
  if (model && only_one)
    size_of_one = size;
  for (guint i = 0; i < 2000 && g_atomic_int_get (&n_come) < awaited; i++)
    g_usleep (10000);
  if (awaited > 0)
    g_atomic_int_set (&n_synced, g_atomic_int_get (&n_come));
  return syscall (SYS_fsync, fd);
}

static GstPadProbeReturn
come (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  g_atomic_int_inc (&n_come);
  return GST_PAD_PROBE_OK;
}

/* The file after the first epoch gets to the disk when there have been three more steps. */
static void
test_meanwhile (void)
{
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc epochs=3 " TEST_DATA TEST_NETWORK ("")
      "gradadamsink location=model.safetensors");
  g_autoptr (GstElement) stem = test_get (pipeline, "stem");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (stem, "sink");
  g_autoptr (TestResult) result = NULL;
  guint64 step;

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, come, NULL, NULL);
  g_atomic_int_set (&n_awaited, TEST_STEPS + 3);
  result = test_play (pipeline);
  g_assert_true (result->eos);
  g_assert_cmpint (g_atomic_int_get (&n_synced), >=, TEST_STEPS + 3);
  g_assert_cmpuint (result->saved->len, ==, 3);
  for (guint i = 0; i < 3; i++) {
    g_assert_true (gst_structure_get_uint64 (result->saved->pdata[i], "step", &step));
    g_assert_cmpuint (step, ==, (i + 1) * TEST_STEPS);
  }
  test_assert_files ("model.safetensors", NULL);
}

/* The best state cannot be written over one that was less good: that is told, and the older one can be resumed from. */
static void
test_best_lost (void)
{
  g_autoptr (TestResult) result = NULL;
  g_autoptr (GstElement) pipeline = test_launch ("idxsrc epochs=8 " TEST_DATA TEST_EVALUATION TEST_NETWORK ("")
      "gradadamsink location=model.safetensors save=best learning-rate=0.01");
  g_autoptr (GradSafetensors) file = NULL;

  only_one = TRUE;
  result = test_play (pipeline);
  only_one = FALSE;
  size_of_one = 0;
  g_assert_cmpuint (result->saved->len, ==, 1);
  g_assert_cmpuint (result->warnings->len + result->errors->len, >=, 1);
  g_assert_nonnull (strstr (result->warnings->len ? result->warnings->pdata[0] : result->errors->pdata[0], "free some space"));
  file = open_model ("model.safetensors");
  g_assert_nonnull (grad_safetensors_find (file, "optimizer.conv1.weight.exp_avg"));
  g_clear_object (&file);
  test_assert_files ("model.safetensors", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/saving/eos", test_eos);
  g_test_add_func ("/saving/again", test_again);
  g_test_add_func ("/saving/again-scheduled", test_again_scheduled);
  g_test_add_func ("/saving/init-location", test_init_location);
  g_test_add_func ("/saving/init-location-statistics", test_init_location_statistics);
  g_test_add_func ("/saving/eos-after", test_eos_after);
  g_test_add_func ("/saving/stopped", test_stopped);
  g_test_add_func ("/saving/untrained", test_untrained);
  g_test_add_func ("/saving/unwritable", test_unwritable);
  g_test_add_func ("/saving/lost-folder", test_lost_folder);
  g_test_add_func ("/saving/wrong-model", test_wrong_model);
  g_test_add_func ("/saving/bad-model", test_bad_model);
  g_test_add_func ("/saving/meanwhile", test_meanwhile);
  g_test_add_func ("/saving/best-lost", test_best_lost);
  return test_run_all ();
}
