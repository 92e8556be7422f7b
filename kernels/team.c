/* GradStreamer kernels: the threads of a cpu device
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whoever has something to compute is the master of the team for that time, and opens a gate. Members come in, and
 * everybody takes items from one counter. When there are no more, the master shuts the gate and waits for those who are
 * inside: never for one who has not come in, so that a member that the system does not run costs nothing.
 *
 * Waking a thread takes the system some 50 us, so whoever waits spins before it sleeps: for a time that doubles with
 * each wait that was short enough for it, and is halved by each that was not. A member spins in vain when nothing
 * comes, but also where the machine has other work and does not run it: then it soon sleeps at once. (Spinning that
 * adapts is that of glibc's PTHREAD_MUTEX_ADAPTIVE_NP; members that spin between loops are those of Eigen's and ONNX
 * Runtime's thread pools.) */
#include "team.h"

#define SPIN_MAX 100            /* us */
#define N_LOOKS 8               /* at the gate between two at the clock */
#define LINE 64                 /* bytes that processors hand each other */

/* The gate is one word, which is all that idle members look at. */
enum
{
  OPEN = 1 << 0,                /* members may come in */
  AWAITED = 1 << 1,             /* the master sleeps until nobody is inside */
  REST = 1 << 2,                /* nothing to be expected soon */
  QUIT = 1 << 3,
  INSIDE = 1 << 4,              /* times the number of members that are inside */
  ALL_INSIDE = 0x7ff * INSIDE,
  ROUND = ALL_INSIDE + INSIDE   /* times the number of loops up to now: nobody comes in twice */
};

typedef struct
{
  GradTeam *team;
  guint number;
  GThread *thread;
} Member;

struct _GradTeam
{
  guint gate;                   /* atomic */
  gboolean asleep;              /* atomic: members may have to be woken */

  /* what is computed, written while nobody is inside */
  GradTeamFunc func __attribute__ ((aligned (LINE)));
  gpointer data;
  gsize n, step;
  gsize next;                   /* atomic */

  /* the master's */
  guint n_threads __attribute__ ((aligned (LINE)));
  gboolean busy;
  gint64 spin;
  Member *members;

  GMutex lock;                  /* whoever goes to sleep looks again under it */
  GCond opened, left;
};

static inline void
pause_thread (void)
{
#if defined (__x86_64__) || defined (__i386__)
  __builtin_ia32_pause ();
#endif
}

static guint
look (GradTeam * self)
{
  return g_atomic_int_get (&self->gate);
}

static guint
round_of (guint gate)
{
  return gate / ROUND;
}

/* whether there is nothing new since that round */
static gboolean
is_over (guint gate, guint round)
{
  return round_of (gate) == round && !(gate & QUIT);
}

/* from how long a wait took: how long the next one may spin */
static void
learn (gint64 * spin, gint64 waited)
{
  *spin = waited <= SPIN_MAX ? MIN (2 * *spin + 4, SPIN_MAX) : *spin / 2;
}

/* Waits for what comes after that round. */
static guint
await_round (GradTeam * self, guint round, gint64 * spin)
{
  gint64 start = g_get_monotonic_time (), now = start;
  gboolean rest = FALSE;
  guint gate;

  while (is_over (gate = look (self), round) && !(gate & REST) && now - start < *spin) {
    for (guint i = 0; i < N_LOOKS && look (self) == gate; i++)
      pause_thread ();
    now = g_get_monotonic_time ();
  }
  if (is_over (gate, round)) {
    g_mutex_lock (&self->lock);
    while (is_over (gate = look (self), round)) {
      rest |= (gate & REST) != 0;
      if (self->asleep)
        g_cond_wait (&self->opened, &self->lock);
      else
        g_atomic_int_set (&self->asleep, TRUE); /* and looks again */
    }
    g_mutex_unlock (&self->lock);
    now = g_get_monotonic_time ();
  }
  if (!rest)
    learn (spin, now - start);
  return gate;
}

static void
work (GradTeam * self, guint worker)
{
  GradTeamFunc func = self->func;
  gpointer data = self->data;
  gsize n = self->n, step = self->step, from;

  while ((from = g_atomic_pointer_add (&self->next, step)) < n)
    func (from, MIN (from + step, n), worker, data);
}

static void
leave (GradTeam * self)
{
  guint before = g_atomic_int_add (&self->gate, -INSIDE);

  if ((before & ALL_INSIDE) == INSIDE && before & AWAITED) {
    g_mutex_lock (&self->lock);
    g_cond_signal (&self->left);
    g_mutex_unlock (&self->lock);
  }
}

static gpointer
member_thread (gpointer data)
{
  Member *member = data;
  GradTeam *self = member->team;
  gint64 spin = 0;
  guint gate = 0;

  while (!((gate = await_round (self, round_of (gate), &spin)) & QUIT)) {
    while (gate & OPEN
        && !g_atomic_int_compare_and_exchange (&self->gate, gate, gate + INSIDE))
      gate = look (self);
    if (gate & OPEN) {
      work (self, member->number);
      leave (self);
    }
  }
  return NULL;
}

/* The gate is shut. */
static void
await_members (GradTeam * self)
{
  gint64 start = g_get_monotonic_time (), now = start;

  while (look (self) & ALL_INSIDE && now - start < self->spin) {
    for (guint i = 0; i < N_LOOKS && look (self) & ALL_INSIDE; i++)
      pause_thread ();
    now = g_get_monotonic_time ();
  }
  if (look (self) & ALL_INSIDE) {
    g_mutex_lock (&self->lock);
    g_atomic_int_or (&self->gate, AWAITED);
    while (look (self) & ALL_INSIDE)
      g_cond_wait (&self->left, &self->lock);
    g_mutex_unlock (&self->lock);
    now = g_get_monotonic_time ();
  }
  learn (&self->spin, now - start);
}

void
grad_team_run (GradTeam * self, gsize n, gsize step, GradTeamFunc func, gpointer data)
{
  if (self->n_threads == 1 || n <= step || self->busy) {
    func (0, n, 0, data);
    return;
  }
  self->busy = TRUE;
  self->func = func;
  self->data = data;
  self->n = n;
  self->step = step;
  g_atomic_pointer_set (&self->next, 0);
  g_atomic_int_set (&self->gate, (round_of (look (self)) + 1) * ROUND | OPEN);
  if (g_atomic_int_get (&self->asleep)) {
    g_mutex_lock (&self->lock);
    g_atomic_int_set (&self->asleep, FALSE);
    g_cond_broadcast (&self->opened);
    g_mutex_unlock (&self->lock);
  }
  work (self, 0);
  if (g_atomic_int_and (&self->gate, ~OPEN) & ALL_INSIDE)
    await_members (self);
  self->busy = FALSE;
}

void
grad_team_rest (GradTeam * self)
{
  g_atomic_int_or (&self->gate, REST);
}

guint
grad_team_get_n_threads (const GradTeam * self)
{
  return self->n_threads;
}

GradTeam *
grad_team_new (guint n_threads, GError ** error)
{
  GradTeam *self = g_aligned_alloc0 (1, sizeof (GradTeam), LINE);

  self->n_threads = n_threads;
  g_mutex_init (&self->lock);
  g_cond_init (&self->opened);
  g_cond_init (&self->left);
  self->members = g_new (Member, n_threads);
  for (guint i = 1; i < n_threads; i++) {
    self->members[i] = (Member) { self, i };
    self->members[i].thread = g_thread_try_new ("grad-team", member_thread, &self->members[i], error);
    if (self->members[i].thread == NULL) {
      self->n_threads = i;      /* are to be joined */
      grad_team_free (self);
      return NULL;
    }
  }
  return self;
}

void
grad_team_free (GradTeam * self)
{
  g_mutex_lock (&self->lock);
  g_atomic_int_or (&self->gate, QUIT);
  g_cond_broadcast (&self->opened);
  g_mutex_unlock (&self->lock);
  for (guint i = 1; i < self->n_threads; i++)
    g_thread_join (self->members[i].thread);
  g_cond_clear (&self->opened);
  g_cond_clear (&self->left);
  g_mutex_clear (&self->lock);
  g_free (self->members);
  g_aligned_free (self);
}
