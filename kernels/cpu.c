/* GradStreamer kernels: loops over the threads of the cpu device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu.h"

#include <omp.h>

void
grad_parallel_for (gsize n, GradParallelFunc func, gpointer data)
{
#pragma omp parallel for schedule (static) if (n > 1)
  for (gsize i = 0; i < n; i++)
    func (i, data);
}

void
grad_parallel_work (gsize n, GradWorkerFunc func, gpointer data)
{
#pragma omp parallel for schedule (dynamic) if (n > 1)
  for (gsize i = 0; i < n; i++)
    func (i, omp_get_thread_num (), data);
}

guint
grad_parallel_n_workers (void)
{
  return omp_get_max_threads ();
}
