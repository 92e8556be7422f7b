/* GradStreamer: the course of a training, for whoever draws it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * It stays small however long the training is: when there are too many points, neighbours become their mean. */
#include "gradhistory-private.h"

#define MAX_POINTS 4096

GradHistory *
grad_history_new (void)
{
  GradHistory *history = g_new0 (GradHistory, 1);

  history->steps = g_array_new (FALSE, FALSE, sizeof (GradHistoryStep));
  history->passes = g_array_new (FALSE, FALSE, sizeof (GradHistoryPass));
  history->stride = 1;
  g_mutex_init (&history->lock);
  g_cond_init (&history->ended);
  return history;
}

void
grad_history_free (GradHistory * history)
{
  g_array_unref (history->steps);
  g_array_unref (history->passes);
  g_mutex_clear (&history->lock);
  g_cond_clear (&history->ended);
  g_free (history);
}

void
grad_history_begin (GradHistory * history)
{
  g_mutex_lock (&history->lock);
  g_array_set_size (history->steps, 0);
  g_array_set_size (history->passes, 0);
  history->stride = 1;
  history->running = TRUE;
  history->n_changes++;
  g_mutex_unlock (&history->lock);
}

/* The later one of two takes in the one before. */
static void
merge (GradHistoryStep * into, const GradHistoryStep * other)
{
  gdouble share = other->n / (gdouble) (into->n + other->n);

  into->n += other->n;
  into->loss += share * (other->loss - into->loss);
  into->accuracy += share * (other->accuracy - into->accuracy);
  into->learning_rate += share * (other->learning_rate - into->learning_rate);
}

/* Whether the last point has all the steps that it is to have */
static gboolean
is_full (GradHistory * history)
{
  guint n = history->steps->len;

  return g_array_index (history->steps, GradHistoryStep, n - 1).n >= history->stride;
}

static void
halve (GradHistory * history)
{
  GradHistoryStep *steps = (GradHistoryStep *) history->steps->data;

  for (guint i = 0; i < MAX_POINTS / 2; i++) {
    merge (&steps[2 * i + 1], &steps[2 * i]);
    steps[i] = steps[2 * i + 1];
  }
  g_array_set_size (history->steps, MAX_POINTS / 2);
  history->stride *= 2;
}

void
grad_history_add_step (GradHistory * history, const GradHistoryStep * step)
{
  GArray *steps = history->steps;
  GradHistoryStep point = *step;

  g_mutex_lock (&history->lock);
  if (steps->len == MAX_POINTS && is_full (history))
    halve (history);
  if (steps->len > 0 && !is_full (history)) {
    merge (&point, &g_array_index (steps, GradHistoryStep, steps->len - 1));
    g_array_set_size (steps, steps->len - 1);
  }
  g_array_append_val (steps, point);
  history->n_changes++;
  g_mutex_unlock (&history->lock);
}

void
grad_history_add_pass (GradHistory * history, guint epoch, gboolean test, gdouble loss,
    gdouble accuracy)
{
  GradHistoryPass pass = { 0, epoch, test, loss, accuracy };

  g_mutex_lock (&history->lock);
  if (history->steps->len > 0)
    pass.step = g_array_index (history->steps, GradHistoryStep, history->steps->len - 1).step;
  g_array_append_val (history->passes, pass);
  history->n_changes++;
  g_mutex_unlock (&history->lock);
}

void
grad_history_end (GradHistory * history)
{
  g_mutex_lock (&history->lock);
  history->running = FALSE;
  g_cond_broadcast (&history->ended);
  g_mutex_unlock (&history->lock);
}

GradHistory *
grad_history_copy (GradHistory * history, guint64 * n_changes)
{
  GradHistory *copy = NULL;

  g_mutex_lock (&history->lock);
  if (history->n_changes != *n_changes) {
    copy = grad_history_new ();
    g_array_append_vals (copy->steps, history->steps->data, history->steps->len);
    g_array_append_vals (copy->passes, history->passes->data, history->passes->len);
    *n_changes = history->n_changes;
  }
  g_mutex_unlock (&history->lock);
  return copy;
}

gboolean
grad_history_is_running (GradHistory * history)
{
  gboolean running;

  g_mutex_lock (&history->lock);
  running = history->running;
  g_mutex_unlock (&history->lock);
  return running;
}

gboolean
grad_history_wait (GradHistory * history, gint64 until, const gboolean * flushing,
    gboolean * running)
{
  gboolean ok;

  g_mutex_lock (&history->lock);
  while (history->running && !*flushing
      && g_cond_wait_until (&history->ended, &history->lock, until));
  *running = history->running;
  ok = !*flushing;
  g_mutex_unlock (&history->lock);
  return ok;
}

void
grad_history_set_flushing (GradHistory * history, gboolean * flushing, gboolean value)
{
  g_mutex_lock (&history->lock);
  *flushing = value;
  g_cond_broadcast (&history->ended);
  g_mutex_unlock (&history->lock);
}
