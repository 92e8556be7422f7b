/* GradStreamer kernels: loops over the threads of the cpu device, and over vectors
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu.h"
#include "lib/device/gradcpudevice-private.h"

#define PARTS 8                 /* that each thread takes of a loop, if all are as fast */

typedef struct
{
  GradParallelFunc func;
  GradWorkerFunc work;
  gpointer data;
} Loop;

/* NULL in a thread that has no cpu device's turn, as the members of a team */
static GradTeam *
peek_team (void)
{
  GradDevice *device = grad_device_peek_current ();

  return device ? grad_cpu_device_peek_team (device) : NULL;
}

static void
run (gsize n, gsize step, GradTeamFunc func, Loop * loop)
{
  GradTeam *team = peek_team ();

  if (team != NULL)
    grad_team_run (team, n, step, func, loop);
  else
    func (0, n, 0, loop);
}

static void
call_func (gsize from, gsize to, guint worker, gpointer data)
{
  const Loop *loop = data;

  for (gsize i = from; i < to; i++)
    loop->func (i, loop->data);
}

static void
call_work (gsize from, gsize to, guint worker, gpointer data)
{
  const Loop *loop = data;

  for (gsize i = from; i < to; i++)
    loop->work (i, worker, loop->data);
}

void
grad_parallel_for (gsize n, GradParallelFunc func, gpointer data)
{
  Loop loop = {.func = func,.data = data };

  run (n, MAX (1, n / (PARTS * grad_parallel_n_workers ())), call_func, &loop);
}

void
grad_parallel_work (gsize n, GradWorkerFunc func, gpointer data)
{
  Loop loop = {.work = func,.data = data };

  run (n, 1, call_work, &loop);
}

guint
grad_parallel_n_workers (void)
{
  GradTeam *team = peek_team ();

  return team ? grad_team_get_n_threads (team) : 1;
}

void
grad_parallel_rest (void)
{
  GradTeam *team = peek_team ();

  if (team != NULL)
    grad_team_rest (team);
}
