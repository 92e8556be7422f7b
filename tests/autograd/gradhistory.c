/* GradStreamer tests: the course of a training, as it is kept and as it is read from a log
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/autograd/gradhistory-private.h"

#include <glib/gstdio.h>
#include <math.h>

static void
add (GradHistory * history, guint n)
{
  for (guint i = 1; i <= n; i++) {
    GradHistoryStep step = { i, 1 + i / 1000, 1, i, i * 0.5, 0.25 };

    grad_history_add_step (history, &step);
  }
}

/* However many steps there are, the points are few, none is lost, and each is the mean of its steps. */
static void
test_stays_small (void)
{
  static const guint lengths[] = { 1, 4095, 4096, 4097, 8192, 8193, 100003 };

  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++) {
    g_autoptr (GradHistory) history = grad_history_new ();
    guint64 before = 0;

    add (history, lengths[i]);
    g_assert_cmpuint (history->steps->len, <=, 4096);
    g_assert_cmpuint (history->steps->len, >, MIN (lengths[i] - 1, 2047));
    for (guint k = 0; k < history->steps->len; k++) {
      GradHistoryStep *step = &g_array_index (history->steps, GradHistoryStep, k);

      g_assert_cmpuint (step->step, ==, before + step->n);
      g_assert_cmpfloat_with_epsilon (step->loss, (before + 1 + step->step) / 2., 1e-6);
      g_assert_cmpfloat_with_epsilon (step->accuracy, step->loss / 2, 1e-6);
      g_assert_cmpfloat (step->learning_rate, ==, 0.25);
      before = step->step;
    }
    g_assert_cmpuint (before, ==, lengths[i]);
  }
}

/* A copy is made when there is something new, and goes its own way. */
static void
test_copy (void)
{
  g_autoptr (GradHistory) history = grad_history_new (), copy = NULL, later = NULL;
  guint64 n_changes = 0;

  g_assert_null (grad_history_copy (history, &n_changes));
  grad_history_begin (history);
  add (history, 3);
  grad_history_add_pass (history, 1, TRUE, 2, 0.5);
  copy = grad_history_copy (history, &n_changes);
  g_assert_cmpuint (copy->steps->len, ==, 3);
  g_assert_cmpuint (copy->passes->len, ==, 1);
  g_assert_cmpuint (g_array_index (copy->passes, GradHistoryPass, 0).step, ==, 3);
  g_assert_null (grad_history_copy (history, &n_changes));
  add (history, 1);
  later = grad_history_copy (history, &n_changes);
  g_assert_cmpuint (later->steps->len, ==, 4);
  g_assert_cmpuint (copy->steps->len, ==, 3);
}

static gpointer
end_later (gpointer history)
{
  g_usleep (20 * G_TIME_SPAN_MILLISECOND);
  grad_history_end (history);
  return NULL;
}

static void
test_wait (void)
{
  g_autoptr (GradHistory) history = grad_history_new ();
  gboolean flushing = FALSE, running;
  GThread *thread;
  gint64 now = g_get_monotonic_time ();

  grad_history_begin (history);
  g_assert_true (grad_history_wait (history, now + 5000, &flushing, &running));
  g_assert_true (running);
  g_assert_cmpint (g_get_monotonic_time () - now, >=, 5000);
  thread = g_thread_new (NULL, end_later, history);
  g_assert_true (grad_history_wait (history, G_MAXINT64, &flushing, &running));
  g_assert_false (running);
  g_thread_join (thread);
  grad_history_begin (history); /* again */
  grad_history_set_flushing (history, &flushing, TRUE);
  g_assert_false (grad_history_wait (history, G_MAXINT64, &flushing, &running));
  g_assert_true (running && grad_history_is_running (history));
}

static GradHistory *
read_text (const gchar * text, GError ** error)
{
  GradHistory *history;

  g_assert_true (g_file_set_contents ("history.jsonl", text, -1, NULL));
  history = grad_history_read ("history.jsonl", error);
  g_unlink ("history.jsonl");
  return history;
}

#define STEP "{\"phase\":\"train\",\"epoch\":2,\"step\":7,\"samples\":8,\"loss\":1.5,\"accuracy\":0.25," \
    "\"learning_rate\":0.003,\"images_per_second\":35.6}\n"

static void
test_read (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GradHistory) history = read_text (STEP
      "{ \"phase\" : \"evaluate\", \"epoch\": 2, \"loss\": null, \"accuracy\": 0.5, \"new\": \"\\\"\" }\n"
      "{\"phase\":\"train-epoch\",\"epoch\":2,\"loss\":1e-3,\"accuracy\":1}\n"
      "{\"phase\":\"later\",\"epoch\":2}\n" "{\"phase\":\"train\",\"epoch\":3,\"st", &error);
  GradHistoryStep *step;
  GradHistoryPass *passes;

  g_assert_no_error (error);
  g_assert_cmpuint (history->steps->len, ==, 1);
  g_assert_cmpuint (history->passes->len, ==, 2);
  step = &g_array_index (history->steps, GradHistoryStep, 0);
  g_assert_cmpuint (step->step, ==, 7);
  g_assert_cmpuint (step->epoch, ==, 2);
  g_assert_cmpfloat (step->loss, ==, 1.5);
  g_assert_cmpfloat (step->accuracy, ==, 0.25);
  g_assert_cmpfloat (step->learning_rate, ==, 0.003);
  passes = (GradHistoryPass *) history->passes->data;
  g_assert_true (passes[0].test && !passes[1].test);
  g_assert_true (isnan (passes[0].loss));
  g_assert_cmpfloat (passes[0].accuracy, ==, 0.5);
  g_assert_cmpfloat (passes[1].loss, ==, 1e-3);
  g_assert_cmpuint (passes[1].step, ==, 7);
}

static void
test_read_empty (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GradHistory) history = read_text ("", &error);

  g_assert_no_error (error);
  g_assert_cmpuint (history->steps->len + history->passes->len, ==, 0);
}

static const gchar *const wrong[] = {
  STEP "no log\n", STEP "\n", STEP "[]\n", STEP "{\"phase\":1,}\n", STEP "{\"loss\":[1]}\n",
  STEP "{\"loss\":1-2}\n", STEP "{\"loss\":}\n", STEP "{\"phase\":\"train\",\"step\":-1}\n",
  STEP "{\"phase\":\"train\",\"step\":1e300}\n", STEP "{\"phase\":\"train\",\"step\":null}\n",
  STEP "{\"phase\":\"train\",\"epoch\":1e14}\n", STEP "{\"loss\":1} {}\n", STEP "{\"loss\":true}\n",
};

static void
test_read_wrong (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (GError) error = NULL;

    g_test_message ("%s", wrong[i]);
    g_assert_null (read_text (wrong[i], &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_FILE);
    g_assert_nonnull (strstr (error->message, "line 2"));
  }
}

static void
test_read_missing (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (grad_history_read ("missing.jsonl", &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "missing.jsonl"));
}

int
main (int argc, char **argv)
{
  g_autofree gchar *folder = g_dir_make_tmp ("grad-test-XXXXXX", NULL);
  int status;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (g_chdir (folder), ==, 0);
  g_test_add_func ("/history/stays-small", test_stays_small);
  g_test_add_func ("/history/copy", test_copy);
  g_test_add_func ("/history/wait", test_wait);
  g_test_add_func ("/history/read", test_read);
  g_test_add_func ("/history/read-empty", test_read_empty);
  g_test_add_func ("/history/read-wrong", test_read_wrong);
  g_test_add_func ("/history/read-missing", test_read_missing);
  status = g_test_run ();
  g_assert_cmpint (g_chdir ("/"), ==, 0);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
  return status;
}
