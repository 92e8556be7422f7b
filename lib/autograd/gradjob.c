/* GradStreamer: what each job of a unit takes, told to whoever listens
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradjob-private.h"
#include "gradunit-private.h"

#include <string.h>

static gint listening;          /* atomic */
static GMutex lock;             /* guards the rest, and the call */
static GradJobFunc listener;
static gpointer listener_data;

gboolean
grad_job_set_listener (GradJobFunc func, gpointer data)
{
  gboolean ok;

  g_mutex_lock (&lock);
  ok = func == NULL ? listener_data == data : listener == NULL;
  if (ok) {
    listener = func;
    listener_data = func ? data : NULL;
    g_atomic_int_set (&listening, func != NULL);
  }
  g_mutex_unlock (&lock);
  return ok;
}

gboolean
grad_job_is_heard (void)
{
  return g_atomic_int_get (&listening);
}

gchar *
grad_unit_dup_name (GradUnit * unit)
{
  GString *name = g_string_new (NULL);

  for (guint i = 0; i < grad_unit_get_n_parameters (unit); i++) {
    const gchar *full = grad_unit_get_parameter (unit, i)->name;
    g_autofree gchar *prefix = NULL;
    const gchar *dot;

    if (!g_str_has_suffix (full, ".weight"))
      continue;
    prefix = g_strndup (full, strlen (full) - strlen (".weight"));
    dot = name->len > 0 ? strrchr (prefix, '.') : NULL;
    g_string_append_printf (name, "%s%s", name->len > 0 ? "+" : "", dot ? dot + 1 : prefix);
  }
  if (name->len == 0)
    g_string_append (name, GRAD_UNIT_GET_CLASS (unit)->name);
  return g_string_free (name, FALSE);
}

static gboolean
wait_for (GradUnit * unit, GError ** error)
{
  GradDevice *device = grad_unit_get_device (unit);
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (device);

  return grad_device_settle (device, error) && (klass->finish == NULL || klass->finish (device, error));
}

static void
start (GradJob * job)
{
  wait_for (job->unit, NULL);   /* for what is not this job's; an error comes again */
  job->start = gst_util_get_timestamp ();
}

static gboolean
stop (GradJob * job, GError ** error)
{
  gboolean ok = wait_for (job->unit, error);

  job->time = gst_util_get_timestamp () - job->start;
  return ok;
}

static void
report (GradJob * job)
{
  g_mutex_lock (&lock);
  if (listener != NULL)
    listener (job, listener_data);
  g_mutex_unlock (&lock);
}

static void
init (GradJob * job, GradJobKind kind, GradUnit * unit)
{
  *job = (GradJob) {
  kind, grad_job_is_heard ()? unit : NULL};
}

void
grad_job_begin (GradJob * job, GradJobKind kind, GradUnit * unit)
{
  init (job, kind, unit);
  if (job->unit != NULL)
    start (job);
}

gboolean
grad_job_end (GradJob * job, GError ** error)
{
  if (job->unit == NULL)
    return TRUE;
  if (!stop (job, error))
    return FALSE;
  report (job);
  return TRUE;
}

void
grad_job_add (GradJob * job, const GradTensor * tensor, guint times)
{
  gdouble size;

  if (job->unit == NULL || tensor == NULL)
    return;
  size = GRAD_DEVICE_GET_CLASS (tensor->device)->storage_size (tensor->device, tensor->dtype,
      &tensor->shape, tensor->layout);
  job->bytes += times * size;
}

/* Each weight of a kernel or matrix is used once for each sample and pixel of what it makes. */
gdouble
grad_unit_count_flops (GradUnit * unit, const GradShape * input, const GradShape * output)
{
  GradUnitClass *klass = GRAD_UNIT_GET_CLASS (unit);
  GradShape made = klass->get_product_shape ? klass->get_product_shape (unit, input) : *output;
  gdouble flops = 0;

  for (guint i = 0; i < grad_unit_get_n_parameters (unit); i++) {
    const GradParameter *p = grad_unit_get_parameter (unit, i);

    if (p->kind == GRAD_PARAMETER_TRAINABLE && p->shape.rank > 1)
      flops += 2.0 * grad_shape_n_elements (&p->shape) * grad_shape_n_elements (&made) / made.dims[1];
  }
  return flops;
}

static void
add_parameters (GradJob * job, const GradShape * input, const GradTensor * output, guint products,
    guint times)
{
  for (guint i = 0; i < grad_unit_get_n_parameters (job->unit); i++) {
    const GradParameter *p = grad_unit_get_parameter (job->unit, i);

    if (p->kind == GRAD_PARAMETER_TRAINABLE && !p->dead)
      grad_job_add (job, p->value, times);
  }
  job->flops += products * grad_unit_count_flops (job->unit, input, &output->shape);
}

static gboolean
contains (GradTensor * const *tensors, guint n, const GradTensor * tensor)
{
  for (guint i = 0; i < n; i++)
    if (tensors[i] == tensor)
      return TRUE;
  return FALSE;
}

gboolean
grad_job_end_forward (GradJob * job, GradTensor * const *inputs, guint n_inputs,
    GradTensor * output, GradNode * node, GError ** error)
{
  if (job->unit == NULL)
    return TRUE;
  if (!stop (job, error))
    return FALSE;
  for (guint i = 0; i < n_inputs; i++)
    grad_job_add (job, inputs[i], 1);
  if (!contains (inputs, n_inputs, output))
    grad_job_add (job, output, 1);
  add_parameters (job, &inputs[0]->shape, output, 1, 1);
  for (guint i = 0; node != NULL && i < GRAD_NODE_MAX_SAVED; i++)
    if (node->saved[i] != output && !contains (inputs, n_inputs, node->saved[i]))
      grad_job_add (job, node->saved[i], 1);
  report (job);
  return TRUE;
}

void
grad_job_begin_backward (GradJob * job, GradNode * node, GradTensor * dy, gboolean dx_wanted)
{
  init (job, GRAD_JOB_BACKWARD, node->unit);
  if (job->unit == NULL)
    return;
  if (dy != NULL) {             /* else it hands on what it has kept: nothing is moved */
    grad_job_add (job, dy, 1);
    for (guint i = 0; i < GRAD_NODE_MAX_SAVED; i++)
      grad_job_add (job, node->saved[i], 1);
    add_parameters (job, grad_node_get_input_shape (node), dy,
        dx_wanted && !node->frozen ? 2 : 1, 2);
  }
  start (job);
}
