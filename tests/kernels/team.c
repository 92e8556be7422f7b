/* Tests of the cpu device's threads: every item once, by the threads that there are, and nothing while there is nothing to do
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/cpu.h"
#include "kernels/team.h"
#include "tests/testutil.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_THREADS 9

static const guint thread_counts[] = { 1, 2, 3, MAX_THREADS };
static const gsize item_counts[] = { 0, 1, 2, 3, 7, 8, 64, 1000, 4097 };

/* how often each item was computed, and in which threads */
typedef struct
{
  gint counts[4097];            /* atomic */
  gint inside[MAX_THREADS];     /* atomic: a worker's threads */
  guint n_workers;
} Record;

static void
count_range (gsize from, gsize to, guint worker, gpointer data)
{
  Record *r = data;

  g_assert_cmpuint (worker, <, r->n_workers);
  g_assert_cmpint (g_atomic_int_add (&r->inside[worker], 1), ==, 0);
  for (gsize i = from; i < to; i++)
    g_atomic_int_inc (&r->counts[i]);
  g_atomic_int_add (&r->inside[worker], -1);
}

static void
assert_once (const Record * r, gsize n)
{
  for (gsize i = 0; i < G_N_ELEMENTS (r->counts); i++)
    g_assert_cmpint (r->counts[i], ==, i < n ? 1 : 0);
}

static void
test_items (void)
{
  for (guint t = 0; t < G_N_ELEMENTS (thread_counts); t++) {
    GradTeam *team = grad_team_new (thread_counts[t], NULL);

    g_assert_cmpuint (grad_team_get_n_threads (team), ==, thread_counts[t]);
    for (guint i = 0; i < 200 * G_N_ELEMENTS (item_counts); i++) {
      gsize n = item_counts[i % G_N_ELEMENTS (item_counts)];
      Record r = {.n_workers = thread_counts[t] };

      grad_team_run (team, n, 1 + i % 5, count_range, &r);
      assert_once (&r, n);
      if (i % 7 == 0)
        grad_team_rest (team);
      if (i % 100 == 0)
        g_usleep (300);         /* until all sleep */
    }
    grad_team_free (team);
  }
}

typedef struct
{
  GThread *threads[MAX_THREADS];
  gint n_arrived;               /* atomic */
} Meeting;

/* Waits for the other threads: two items take two of them. */
static void
meet (gsize from, gsize to, guint worker, gpointer data)
{
  Meeting *m = data;
  gint64 deadline = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;

  m->threads[worker] = g_thread_self ();
  g_atomic_int_inc (&m->n_arrived);
  while (g_atomic_int_get (&m->n_arrived) < 3 && g_get_monotonic_time () < deadline)
    g_usleep (10);
}

/* All of them work, and it is the same one that has a number. */
static void
test_workers (void)
{
  GradTeam *team = grad_team_new (3, NULL);
  Meeting first = { {NULL} };

  grad_team_run (team, 3, 1, meet, &first);
  for (guint i = 0; i < 50; i++) {
    Meeting m = { {NULL} };

    if (i % 10 == 0)
      g_usleep (1000);
    grad_team_run (team, 3, 1, meet, &m);
    g_assert_cmpint (memcmp (m.threads, first.threads, sizeof m.threads), ==, 0);
  }
  g_assert_true (first.threads[0] == g_thread_self ());
  for (guint i = 0; i < 3; i++)
    g_assert_true (first.threads[i] != NULL && first.threads[i] != first.threads[(i + 1) % 3]);
  grad_team_free (team);
}

/* ---- grad_parallel_for() and grad_parallel_work() */

static void
count_item (gsize i, gpointer data)
{
  g_atomic_int_inc (&((gint *) data)[i]);
}

static void
count_work (gsize i, guint worker, gpointer data)
{
  g_assert_cmpuint (worker, <, 3);
  count_item (i, data);
}

static void
count_nested (gsize i, gpointer data)
{
  grad_parallel_for (10, count_item, (gint *) data + 10 * i);
}

/* Both loops, and one in the other */
static gboolean
loops_job (gpointer data, GError ** error)
{
  g_assert_cmpuint (grad_parallel_n_workers (), ==, 3);
  for (guint round = 0; round < 300; round++) {
    gint counts[3][1000] = { {0} };

    grad_parallel_for (1000, count_item, counts[0]);
    grad_parallel_work (1000, count_work, counts[1]);
    grad_parallel_for (100, count_nested, counts[2]);
    for (guint i = 0; i < 3000; i++)
      g_assert_cmpint (counts[i / 1000][i % 1000], ==, 1);
  }
  return TRUE;
}

static gpointer
loops_thread (gpointer device)
{
  for (guint urgent = 0; urgent < 2; urgent++)
    g_assert_true (grad_device_call (device, urgent, loops_job, NULL, NULL));
  return NULL;
}

/* Two devices, each asked from two threads, in the compute thread and in their own */
static void
test_loops (void)
{
  g_autoptr (GradDevice) a = test_device_with_threads ("cpu", 3);
  g_autoptr (GradDevice) b = test_device_with_threads ("cpu", 3);
  GThread *threads[4];

  for (guint i = 0; i < 4; i++)
    threads[i] = g_thread_new ("loops", loops_thread, i % 2 ? a : b);
  for (guint i = 0; i < 4; i++)
    g_thread_join (threads[i]);
}

static gboolean
alone_job (gpointer data, GError ** error)
{
  gint counts[10] = { 0 };

  g_assert_cmpuint (grad_parallel_n_workers (), ==, 1);
  grad_parallel_work (10, count_work, counts);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpint (counts[i], ==, 1);
  return TRUE;
}

/* One thread is enough, and whoever has no device's turn is alone. */
static void
test_alone (void)
{
  g_autoptr (GradDevice) device = test_device_with_threads ("cpu", 1);

  g_assert_true (grad_device_call (device, TRUE, alone_job, NULL, NULL));
  alone_job (NULL, NULL);
}

/* ---- time */

static gint64
cpu_time (void)
{
  struct rusage u;

  getrusage (RUSAGE_SELF, &u);
  return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * (gint64) G_USEC_PER_SEC + u.ru_utime.tv_usec
      + u.ru_stime.tv_usec;
}

static void
test_idle (void)
{
  GradTeam *team = grad_team_new (MAX_THREADS, NULL);
  Record r = {.n_workers = MAX_THREADS };
  gint64 time = G_MAXINT64;

  for (guint i = 0; i < 1000; i++)
    grad_team_run (team, MAX_THREADS, 1, count_range, &r);
  /* on a busy machine it takes a while until all of them have come to rest */
  for (guint i = 0; i < 50 && time >= 2000; i++) {
    gint64 before = cpu_time ();

    g_usleep (100000);
    time = cpu_time () - before;
  }
  g_assert_cmpint (time, <, 2000);
  grad_team_free (team);
}

static gint
compare (gconstpointer a, gconstpointer b)
{
  return *(const gint64 *) a < *(const gint64 *) b ? -1 : 1;
}

/* Says what a loop costs, when the next one follows at once and when the threads sleep. */
static void
test_latency (void)
{
  GradTeam *team = grad_team_new (2, NULL);
  gint64 times[2][301];

  for (guint pause = 0; pause < 2; pause++)
    for (guint i = 0; i < G_N_ELEMENTS (times[0]); i++) {
      Record r = {.n_workers = 2 };
      gint64 start;

      g_usleep (pause ? 500 : 0);
      start = g_get_monotonic_time ();
      for (guint k = 0; k < (pause ? 1 : 100); k++)
        grad_team_run (team, 2, 1, count_range, &r);
      times[pause][i] = g_get_monotonic_time () - start;
    }
  for (guint pause = 0; pause < 2; pause++)
    qsort (times[pause], G_N_ELEMENTS (times[0]), sizeof (gint64), compare);
  g_test_message ("a loop takes %.2f us, after 0.5 ms of nothing %d us", times[0][150] / 100.0,
      (gint) times[1][150]);
  grad_team_free (team);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/team/items", test_items);
  g_test_add_func ("/team/workers", test_workers);
  g_test_add_func ("/team/loops", test_loops);
  g_test_add_func ("/team/alone", test_alone);
  g_test_add_func ("/team/idle", test_idle);
  g_test_add_func ("/team/latency", test_latency);
  return g_test_run ();
}
