/* GradStreamer: a model file that is written while training goes on
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradsavejob.h"

struct _GradSaveJob
{
  GstElement *element;
  GradSnapshot *snapshot;
  guint64 step;
  gchar *locations[2];
  GThread *thread;              /* NULL: there was none to be had, and it is written already */
  gint done;                    /* atomic */
  gboolean saved;               /* the first of them */
  GError *error;                /* the first one */
};

static gboolean
save (GradSaveJob * self, const gchar * location)
{
  g_autofree gchar *shown = g_filename_display_name (location);
  GError **error = self->error ? NULL : &self->error;

  if (!grad_snapshot_check (self->snapshot, location, error) || !grad_snapshot_write (self->snapshot, location, error))
    return FALSE;
  GST_INFO_OBJECT (self->element, "saved %s after %" G_GUINT64_FORMAT " steps", location, self->step);
  gst_element_post_message (self->element, gst_message_new_element (GST_OBJECT (self->element),
          gst_structure_new ("grad-saved", "location", G_TYPE_STRING, shown, "step", G_TYPE_UINT64, self->step, NULL)));
  return TRUE;
}

static gpointer
run (gpointer job)
{
  GradSaveJob *self = job;

  self->saved = save (self, self->locations[0]);
  if (self->locations[1] != NULL)
    save (self, self->locations[1]);
  g_atomic_int_set (&self->done, TRUE);
  return NULL;
}

GradSaveJob *
grad_save_job_new (GstElement * element, GradSnapshot * snapshot, guint64 step, const gchar * location,
    const gchar * extra)
{
  GradSaveJob *self = g_new0 (GradSaveJob, 1);

  self->element = element;
  self->snapshot = snapshot;
  self->step = step;
  self->locations[0] = g_strdup (location);
  self->locations[1] = g_strdup (extra);
  self->thread = g_thread_try_new ("grad-save", run, self, NULL);
  if (self->thread == NULL)
    run (self);
  return self;
}

gboolean
grad_save_job_is_done (GradSaveJob * job)
{
  return g_atomic_int_get (&job->done);
}

gboolean
grad_save_job_end (GradSaveJob * job, gboolean * saved, GError ** error)
{
  gboolean ok;

  if (job->thread != NULL)
    g_thread_join (job->thread);
  *saved = job->saved;
  ok = job->error == NULL;
  if (!ok)
    g_propagate_error (error, job->error);
  grad_snapshot_free (job->snapshot);
  g_free (job->locations[0]);
  g_free (job->locations[1]);
  g_free (job);
  return ok;
}
