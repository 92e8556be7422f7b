/* GradStreamer: tracer that prints where the time of a run goes
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:tracer-gradtimes
 * @title: gradtimes
 * @short_description: where the time goes
 *
 * Prints a table to stderr when a pipeline has stopped (PAUSED to READY): how long each layer, and
 * in it each unit, took, and how many FLOP/s and bytes that comes to; training forward and
 * backward, evaluation and inference apart, and what there is besides them. The tracer's action
 * signal `get-table` returns the table up to now; gst_tracing_get_active_tracers() finds the
 * tracer.
 *
 * Times do not include what a unit waits for its turn on the device. A device that computes on its
 * own (cuda) is waited for before and after each unit: times are those of the units, but nothing
 * overlaps any more, so that the run takes longer than without the tracer.
 *
 * FLOPs are counted for convolutions and fully connected layers, as if computed directly: 2 for
 * each weight and place that it is used at. Winograd's algorithm does fewer, so that the rate may
 * be above what the processor can do. Bytes are those that no implementation can save: what a unit
 * is given, makes and keeps for backward, and its parameters, once each.
 *
 * ## Example
 * |[
 * GST_TRACERS=gradtimes gst-launch-1.0 idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz phase=infer num-buffers=4 ! gradresize ! gradconvstem channels=16 ! gradresstage channels=32 ! gradglobalpool ! gradfc ! fakesink
 * ]|
 */
#include "config.h"
#include "lib/autograd/gradjob-private.h"
#include "lib/device/graddevice-private.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_TIMES (grad_times_get_type ())
G_DECLARE_FINAL_TYPE (GradTimes, grad_times, GRAD, TIMES, GstTracer)

typedef struct
{
  guint64 n;                    /* batches */
  gdouble time, flops, bytes;   /* of all of them; nanoseconds */
} Sum;

/* A unit. Its element is compared only: it may be gone. */
typedef struct
{
  guint64 id;
  gconstpointer element;
  gchar *element_name, *name;
  Sum sums[GRAD_N_JOBS];
} Row;

/* All units in a pipeline, which is compared only */
typedef struct
{
  gconstpointer pipeline;
  gchar *name;
  GPtrArray *rows;              /* Row, in the order of the network */
  GstClockTime first, last;     /* start of the first job, end of the last one */
  gdouble time;                 /* of all jobs */
} Run;

struct _GradTimes
{
  GstTracer parent;

  GMutex lock;
  GPtrArray *runs;              /* Run, of what has not been printed */
};

G_DEFINE_FINAL_TYPE (GradTimes, grad_times, GST_TYPE_TRACER);

/* ---- measuring */

static void
free_row (gpointer data)
{
  Row *row = data;

  g_free (row->element_name);
  g_free (row->name);
  g_free (row);
}

static void
free_run (gpointer data)
{
  Run *run = data;

  g_free (run->name);
  g_ptr_array_unref (run->rows);
  g_free (run);
}

/* The run of what an element, which may be NULL, is in. */
static Run *
ensure_run (GradTimes * self, GstElement * element, const GradJob * job)
{
  GradDevice *device = grad_unit_get_device (job->unit);
  g_autoptr (GEnumClass) precisions = g_type_class_ref (GRAD_TYPE_PRECISION);
  g_autoptr (GstObject) top = element ? gst_object_ref (GST_OBJECT (element)) : NULL;
  GstObject *parent;
  Run *run;

  while (top != NULL && (parent = gst_object_get_parent (top)) != NULL) {
    gst_object_unref (top);
    top = parent;
  }
  for (guint i = 0; i < self->runs->len; i++) {
    run = self->runs->pdata[i];
    if (run->pipeline == top)
      return run;
  }
  run = g_new0 (Run, 1);
  run->pipeline = top;
  run->name = g_strdup_printf ("%s on %s, %s, %u threads%s",
      top ? GST_OBJECT_NAME (top) : "no pipeline", grad_device_get_name (device),
      g_enum_get_value (precisions, grad_device_get_precision (device))->value_nick,
      grad_device_get_threads (device),
      GRAD_DEVICE_GET_CLASS (device)->finish ? ", waited for after each unit" : "");
  run->rows = g_ptr_array_new_with_free_func (free_row);
  run->first = job->start;
  g_ptr_array_add (self->runs, run);
  return run;
}

static Row *
find_row (GradTimes * self, guint64 id, Run ** run)
{
  for (guint i = 0; i < self->runs->len; i++) {
    *run = self->runs->pdata[i];
    for (guint k = 0; k < (*run)->rows->len; k++) {
      Row *row = (*run)->rows->pdata[k];

      if (row->id == id)
        return row;
    }
  }
  return NULL;
}

static Row *
add_row (GradTimes * self, const GradJob * job, Run ** run)
{
  GstElement *element = grad_unit_get_owner (job->unit);
  Row *row = g_new0 (Row, 1);
  guint i;

  row->id = grad_unit_get_id (job->unit);
  row->element = element;
  row->element_name = g_strdup (element ? GST_OBJECT_NAME (element) : "no element");
  row->name = grad_unit_dup_name (job->unit);
  *run = ensure_run (self, element, job);
  for (i = (*run)->rows->len; i > 0 && ((Row *) (*run)->rows->pdata[i - 1])->id > row->id;)
    i--;
  g_ptr_array_insert ((*run)->rows, i, row);
  return row;
}

static void
on_job (const GradJob * job, gpointer data)
{
  GradTimes *self = data;
  Row *row;
  Run *run;

  g_mutex_lock (&self->lock);
  row = find_row (self, grad_unit_get_id (job->unit), &run);
  /* a unit begins with forward or planning for it, and then its element is alive */
  if (row == NULL && job->kind != GRAD_JOB_BACKWARD && job->kind != GRAD_JOB_MEASURE
      && job->kind != GRAD_JOB_UPDATE && job->kind != GRAD_JOB_COMMIT)
    row = add_row (self, job, &run);
  if (row != NULL) {
    Sum *sum = &row->sums[job->kind];

    sum->n++;
    sum->time += job->time;
    sum->flops += job->flops;
    sum->bytes += job->bytes;
    run->time += job->time;
    run->last = job->start + job->time;
  }
  g_mutex_unlock (&self->lock);
}

/* ---- printing */

static void
append_heading (GString * s, const gchar * name)
{
  g_string_append_printf (s, "\n%-34s%10s%10s%6s%12s%9s%10s%8s\n", name, "total ms", "ms/batch",
      "%", "MFLOP/batch", "GFLOP/s", "MB/batch", "GB/s");
}

static void
append_number (GString * s, gint width, gdouble value)
{
  gint decimals = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : value >= 1 ? 3 : 4;

  if (value > 0)
    g_string_append_printf (s, "%*.*f", width, decimals, value);
  else
    g_string_append_printf (s, "%*s", width, "-");
}

static void
append_line (GString * s, const gchar * name, const Sum * sum, gdouble all)
{
  if (sum->n == 0)
    return;
  g_string_append_printf (s, "%-34s", name);
  append_number (s, 10, sum->time / 1e6);
  append_number (s, 10, sum->time / 1e6 / sum->n);
  g_string_append_printf (s, "%6.1f", 100 * sum->time / all);
  append_number (s, 12, sum->flops / 1e6 / sum->n);
  append_number (s, 9, sum->flops / sum->time);
  append_number (s, 10, sum->bytes / 1e6 / sum->n);
  append_number (s, 8, sum->bytes / sum->time);
  g_string_append_c (s, '\n');
}

/* Sum over the units of one element, or over all for NULL. */
static Sum
sum_rows (GPtrArray * rows, GradJobKind kind, gconstpointer element)
{
  Sum sum = { 0 };

  for (guint i = 0; i < rows->len; i++) {
    const Row *row = rows->pdata[i];

    if (element != NULL && row->element != element)
      continue;
    sum.n = MAX (sum.n, row->sums[kind].n);
    sum.time += row->sums[kind].time;
    sum.flops += row->sums[kind].flops;
    sum.bytes += row->sums[kind].bytes;
  }
  return sum;
}

/* Everything of one kind, by layer and unit. */
static void
append_layers (GString * s, const Run * run, GradJobKind kind, const gchar * title)
{
  Sum total = sum_rows (run->rows, kind, NULL);
  g_autofree gchar *heading =
      g_strdup_printf ("%s (%" G_GUINT64_FORMAT " batches)", title, total.n);
  gconstpointer element = NULL;

  if (total.n == 0)
    return;
  append_heading (s, heading);
  for (guint i = 0; i < run->rows->len; i++) {
    const Row *row = run->rows->pdata[i];
    g_autofree gchar *name = g_strconcat ("  ", row->name, NULL);

    if (row->element != element) {
      Sum sum = sum_rows (run->rows, kind, element = row->element);

      append_line (s, row->element_name, &sum, run->time);
    }
    append_line (s, name, &row->sums[kind], run->time);
  }
  append_line (s, "all", &total, run->time);
}

static void
append_run (GString * s, const Run * run)
{
  static const gchar *const titles[] = {
    [GRAD_JOB_FORWARD] = "training, forward",
    [GRAD_JOB_BACKWARD] = "training, backward",
    [GRAD_JOB_EVALUATE] = "evaluation",
    [GRAD_JOB_INFER] = "inference",
    [GRAD_JOB_MEASURE] = "norm of the gradient",
    [GRAD_JOB_UPDATE] = "update of parameters",
    [GRAD_JOB_COMMIT] = "update of running statistics",
    [GRAD_JOB_PLAN] = "planning, once per shape",
  };

  g_string_append_printf (s, "\ngradtimes: %s: computed for %.3f of %.3f s\n", run->name,
      run->time / 1e9, (run->last - run->first) / 1e9);
  for (GradJobKind kind = GRAD_JOB_FORWARD; kind <= GRAD_JOB_INFER; kind++)
    append_layers (s, run, kind, titles[kind]);
  append_heading (s, "besides");
  for (GradJobKind kind = GRAD_JOB_MEASURE; kind < GRAD_N_JOBS; kind++) {
    Sum sum = sum_rows (run->rows, kind, NULL);

    append_line (s, titles[kind], &sum, run->time);
  }
  g_string_append_c (s, '\n');
}

/* Prints what has run in a pipeline, or everything for NULL, and forgets it. */
static void
print (GradTimes * self, gconstpointer pipeline)
{
  g_autoptr (GString) s = g_string_new (NULL);

  g_mutex_lock (&self->lock);
  for (guint i = self->runs->len; i-- > 0;) {
    const Run *run = self->runs->pdata[i];

    if (pipeline == NULL || run->pipeline == pipeline) {
      append_run (s, run);
      g_ptr_array_remove_index (self->runs, i);
    }
  }
  g_mutex_unlock (&self->lock);
  g_printerr ("%s", s->str);
}

static gchar *
grad_times_get_table (GradTimes * self)
{
  GString *s = g_string_new (NULL);

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->runs->len; i++)
    append_run (s, self->runs->pdata[i]);
  g_mutex_unlock (&self->lock);
  return g_string_free (s, FALSE);
}

/* ---- the tracer */

static void
on_state_changed (GradTimes * self, GstClockTime time, GstElement * element,
    GstStateChange change, GstStateChangeReturn result)
{
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY)
    print (self, element);
}

static void
grad_times_constructed (GObject * object)
{
  G_OBJECT_CLASS (grad_times_parent_class)->constructed (object);
  if (grad_job_set_listener (on_job, object))
    gst_tracing_register_hook (GST_TRACER (object), "element-change-state-post",
        G_CALLBACK (on_state_changed));
  else
    GST_WARNING_OBJECT (object, "there is another one: this one sees nothing");
}

static void
grad_times_finalize (GObject * object)
{
  GradTimes *self = GRAD_TIMES (object);

  grad_job_set_listener (NULL, self);
  print (self, NULL);
  g_ptr_array_unref (self->runs);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (grad_times_parent_class)->finalize (object);
}

static void
grad_times_class_init (GradTimesClass * klass)
{
  G_OBJECT_CLASS (klass)->constructed = grad_times_constructed;
  G_OBJECT_CLASS (klass)->finalize = grad_times_finalize;
  g_signal_new_class_handler ("get-table", GRAD_TYPE_TIMES, G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION,
      G_CALLBACK (grad_times_get_table), NULL, NULL, NULL, G_TYPE_STRING, 0);
}

static void
grad_times_init (GradTimes * self)
{
  g_mutex_init (&self->lock);
  self->runs = g_ptr_array_new_with_free_func (free_run);
}
