/* GradStreamer kernels: the threads of a cpu device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _GradTeam GradTeam;

/* Computes items from, …, to - 1. worker: below the number of threads, different in each thread */
typedef void (*GradTeamFunc) (gsize from, gsize to, guint worker, gpointer data);

/* n_threads: the one that calls grad_team_run() among them. NULL: the system has no more threads */
GradTeam *grad_team_new (guint n_threads, GError ** error);
void grad_team_free (GradTeam * self);

guint grad_team_get_n_threads (const GradTeam * self);

/* n items, up to `step` of them a call of func; returns when all are done. One thread at a time; from within func, all
 * are computed at once, as worker 0. */
void grad_team_run (GradTeam * self, gsize n, gsize step, GradTeamFunc func, gpointer data);

/* The processors are for somebody else now: whoever spins sleeps at once. */
void grad_team_rest (GradTeam * self);

G_END_DECLS
