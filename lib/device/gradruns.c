/* GradStreamer: work that comes again, and what is recorded of it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradruns.h"

#include <string.h>

#define MAX_FAILURES 2          /* each may cost what lies in the device's pool */
#define WORTH 16                /* repeats that a recording was worth its while for */

typedef struct
{
  GradRun run;                  /* first: what the caller has is this */
  gsize *key;
  guint n, known;               /* words */
  guint failures, n_taken;      /* the latter since it was recorded */
  GPtrArray *held;              /* NULL: nothing */
} Run;

struct _GradRuns
{
  GradDevice *device;           /* owned; NULL until the first take() */
  guint max;
  GDestroyNotify free_made;
  gboolean constant;
  GQueue runs;                  /* of Run, last used first */
  gboolean taken;
};

GradRuns *
grad_runs_new (guint max, GDestroyNotify free_made, gboolean constant)
{
  GradRuns *self = g_new0 (GradRuns, 1);

  self->max = max;
  self->free_made = free_made;
  self->constant = constant;
  g_queue_init (&self->runs);
  return self;
}

static void
forget_recording (GradRuns * self, GradRun * run)
{
  g_clear_pointer (&run->recording, grad_recording_free);
  g_clear_pointer (&((Run *) run)->held, g_ptr_array_unref);
  if (run->made != NULL)
    self->free_made (g_steal_pointer (&run->made));
}

static void
free_run (GradRuns * self, Run * run)
{
  forget_recording (self, &run->run);
  g_free (run->key);
  g_free (run);
}

static gboolean
forget_job (gpointer runs, GError ** error)
{
  GradRuns *self = runs;
  Run *run;

  while ((run = g_queue_pop_head (&self->runs)) != NULL)
    free_run (self, run);
  return TRUE;
}

void
grad_runs_forget (GradRuns * runs)
{
  if (runs->device != NULL)
    grad_device_call (runs->device, TRUE, forget_job, runs, NULL);
}

/* What does not last is not to be recorded over and over. */
static void
drop (GradRuns * self, Run * run)
{
  run->failures += run->run.recording != NULL && run->n_taken < WORTH;
  forget_recording (self, &run->run);
}

static gboolean
leave_job (gpointer runs, GError ** error)
{
  GradRuns *self = runs;

  g_ptr_array_remove_fast (grad_device_peek_runs (self->device), self);
  return forget_job (runs, error);
}

void
grad_runs_free (GradRuns * runs)
{
  if (runs == NULL)
    return;
  if (runs->device != NULL) {
    grad_device_call (runs->device, TRUE, leave_job, runs, NULL);
    g_object_unref (runs->device);
  }
  g_free (runs);
}

void
grad_runs_drop_recordings (GradDevice * device)
{
  GPtrArray *all = grad_device_peek_runs (device);

  for (guint i = 0; i < all->len; i++) {
    GradRuns *self = all->pdata[i];

    for (GList * l = self->taken ? NULL : self->runs.head; l != NULL; l = l->next)
      drop (self, l->data);
  }
}

static gboolean
same_words (const Run * run, gconstpointer key, guint n)
{
  return run->n >= n && memcmp (run->key, key, n * sizeof (gsize)) == 0;
}

/* Moves it to the front. seen: whether the first words of some key are the same */
static Run *
find (GradRuns * self, const GArray * key, guint known, gboolean * seen)
{
  *seen = FALSE;
  for (GList * l = self->runs.head; l != NULL; l = l->next) {
    Run *run = l->data;

    if (!same_words (run, key->data, known))
      continue;
    *seen = TRUE;
    if (run->n == key->len && same_words (run, key->data, key->len)) {
      g_queue_unlink (&self->runs, l);
      g_queue_push_head_link (&self->runs, l);
      return run;
    }
  }
  return NULL;
}

static Run *
add (GradRuns * self, const GArray * key, guint known)
{
  Run *run = g_new0 (Run, 1);

  run->key = g_memdup2 (key->data, key->len * sizeof (gsize));
  run->n = key->len;
  run->known = known;
  g_queue_push_head (&self->runs, run);
  if (self->runs.length > self->max)
    free_run (self, g_queue_pop_tail (&self->runs));
  return run;
}

GradRun *
grad_runs_take (GradRuns * runs, GradDevice * device, const GArray * key, guint known)
{
  gboolean seen;
  Run *run;

  g_assert (grad_device_peek_current () == device && !runs->taken);
  if (runs->device == NULL) {
    runs->device = g_object_ref (device);
    g_ptr_array_add (grad_device_peek_runs (device), runs);
  }
  run = find (runs, key, known, &seen);
  if (run == NULL)
    run = add (runs, key, known);
  else if (!runs->constant && run->run.recording != NULL && !grad_recording_is_good (run->run.recording)) {
    forget_recording (runs, &run->run);
    seen = FALSE;
  }
  run->n_taken++;
  runs->taken = seen && run->failures < MAX_FAILURES;
  return runs->taken ? &run->run : NULL;
}

/* The same work elsewhere: memory for one is enough. */
static void
drop_others (GradRuns * self, const Run * run)
{
  for (GList * l = self->runs.head; l != NULL; l = l->next) {
    Run *other = l->data;

    if (other != run && other->known == run->known && same_words (other, run->key, run->known))
      drop (self, other);
  }
}

gboolean
grad_runs_record (GradRuns * runs, GradRun * run, GradDeviceFunc func, gpointer data, GError ** error)
{
  run->recording = grad_recording_new (runs->device, func, data, error);
  if (run->recording == NULL)
    return FALSE;
  drop_others (runs, (Run *) run);
  ((Run *) run)->n_taken = 0;
  return TRUE;
}

void
grad_run_hold (GradRun * run, GradTensor * tensor)
{
  Run *self = (Run *) run;

  if (self->held == NULL)
    self->held = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_tensor_unref);
  g_ptr_array_add (self->held, grad_tensor_ref (tensor));
}

void
grad_runs_give_back (GradRuns * runs, GradRun * run, const GError * error)
{
  runs->taken = FALSE;
  if (error == NULL)
    return;
  GST_INFO ("not recorded: %s", error->message);
  forget_recording (runs, run);
  ((Run *) run)->failures++;
}
