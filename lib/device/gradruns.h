/* GradStreamer: work that comes again, and what is recorded of it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradrecording.h"

G_BEGIN_DECLS

/* Work that one caller asks for again and again, told apart by a key: all that decides what it asks of the device, addresses of tensors
 * among it. The first run of a key is done as it is; in the second one it is recorded, and all others repeat that. */
typedef struct _GradRuns GradRuns;

typedef struct
{
  GradRecording *recording;     /* NULL: there is none yet */
  gpointer made;                /* the caller's: what was made when it was recorded, and is to be kept */
} GradRun;

/* max: keys that are remembered; free_made: called with what a run has made, in a job of the device; constant: weights
 * change nowhere but before grad_runs_forget(), which saves looking at them each time */
GradRuns *grad_runs_new (guint max, GDestroyNotify free_made, gboolean constant);
void grad_runs_free (GradRuns * runs);
/* All runs are the first ones again. */
void grad_runs_forget (GradRuns * runs);
/* In a job of a device, by which memory is needed: what is recorded of all runs but those between take() and give_back() is dropped, and not
 * recorded again too often. */
void grad_runs_drop_recordings (GradDevice * device);

/* In a job of the device, always the same one: the run of a key, or NULL: it is not to be recorded, or not yet. known: words of it, the first ones,
 * that say what is planned and allocated, while the others say where; a key that begins with them is enough to be the first run of this one, too, and
 * only one of these keys has a recording */
GradRun *grad_runs_take (GradRuns * runs, GradDevice * device, const GArray * key, guint known);
/* As grad_recording_new(); func may set run->made. */
gboolean grad_runs_record (GradRuns * runs, GradRun * run, GradDeviceFunc func, gpointer data, GError ** error);
/* While it is recorded or right after: keeps the tensor as long as the recording, so that an address in the key stays its own. */
void grad_run_hold (GradRun * run, GradTensor * tensor);
/* error: (nullable): why it could not be recorded or repeated: then it is forgotten, and after some times not tried again. */
void grad_runs_give_back (GradRuns * runs, GradRun * run, const GError * error);

/* in graddevice.c: those of a device that have been taken from, in its jobs; not owned */
GPtrArray *grad_device_peek_runs (GradDevice * device);

static inline GArray *
grad_key_new (void)
{
  return g_array_sized_new (FALSE, FALSE, sizeof (gsize), 512);
}

static inline void
grad_key_add (GArray * key, gsize word)
{
  g_array_append_val (key, word);
}

static inline void
grad_key_add_shape (GArray * key, const GradShape * shape)
{
  grad_key_add (key, shape->rank);
  for (guint i = 0; i < shape->rank; i++)
    grad_key_add (key, shape->dims[i]);
}

G_END_DECLS
