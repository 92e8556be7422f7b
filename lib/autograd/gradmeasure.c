/* GradStreamer: the norm of a step's gradient, and whether all of it is finite
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradnetwork-private.h"
#include "gradunit-private.h"
#include "../tensor/gradtensor-private.h"

#include <math.h>

GradMeasured *
grad_measured_ref (GradMeasured * measured)
{
  return g_rc_box_acquire (measured);
}

static void
clear (gpointer data)
{
  GradMeasured *measured = data;

  grad_tensor_unref (measured->result);
  g_clear_pointer (&measured->loss, grad_tensor_unref);
}

void
grad_measured_unref (GradMeasured * measured)
{
  g_rc_box_release_full (measured, clear);
}

gboolean
grad_measured_is_there (GradMeasured * measured)
{
  return measured->read || grad_tensor_is_fetched (measured->result);
}

gboolean
grad_measured_read (GradMeasured * measured, GError ** error)
{
  gdouble values[3];

  if (measured->read)
    return TRUE;
  if (!grad_tensor_download (measured->result, values, sizeof values, error))
    return FALSE;
  measured->norm = values[0];
  measured->scale = values[1];
  measured->bad = values[2];
  measured->read = TRUE;
  return TRUE;
}

static gboolean
not_finite (GradNetwork * network, GradMeasured * m, GError ** error)
{
  g_autoptr (GPtrArray) list = grad_network_list_graded (network);
  GradParameter *p = m->bad > 0 && m->bad <= list->len ? list->pdata[m->bad - 1] : NULL;
  gdouble loss = 0;
  guint correct;

  if (m->loss != NULL)
    grad_loss_result_read (m->loss, &loss, &correct);
  if (!isfinite (loss) || p == NULL)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_NOT_FINITE, "step %" G_GUINT64_FORMAT ": the loss of "
        "%s is not finite: the step was not applied; lower learning-rate, set clip-norm, or look "
        "for values in the data that are not finite", m->step, network->loss_name
        ? network->loss_name : "the network");
  else
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_NOT_FINITE, "step %" G_GUINT64_FORMAT ": the gradient "
        "of %s of %s is not finite, the first one on the way back: the step was not applied; "
        "lower learning-rate, or set clip-norm", m->step, p->name, p->layer ? p->layer
        : "the network");
  return FALSE;
}

/* What the device did not do was counted all the same. */
static void
uncount (GradNetwork * network)
{
  network->n_updates--;
  for (guint i = 0; i < grad_parameter_store_get_n_parameters (network->store); i++) {
    GradParameter *p = grad_parameter_store_get_parameter (network->store, i);

    if (p->step != network->measured->step)
      continue;
    p->count -= p->kind == GRAD_PARAMETER_COUNTER ? network->measured_batches : 1;
    p->step = 0;
  }
}

/**
 * grad_network_settle: (skip)
 * @network: a network
 * @error: location of a #GError
 *
 * Waits for what has been measured last. Where a device computes on its own nobody waits within a step: there a
 * gradient that is not finite keeps everything on the device from changing a parameter or a statistic, until this says so.
 *
 * Returns: %FALSE with %GRAD_ERROR_NOT_FINITE when loss or gradient were not finite: nothing was changed by that step;
 *   or with the device's error
 */
gboolean
grad_network_settle (GradNetwork * network, GError ** error)
{
  g_autoptr (GradMeasured) m = NULL;

  if (!network->unsettled)
    return TRUE;
  network->unsettled = FALSE;
  if (!grad_measured_read (network->measured, error))
    return FALSE;
  if (isfinite (network->measured->scale))
    return TRUE;
  if (network->n_updates == network->measured->step)
    uncount (network);
  m = g_steal_pointer (&network->measured);
  return not_finite (network, m, error);
}

typedef struct
{
  GradDevice *device;
  GradUnit *unit;
  GPtrArray *list;              /* GradParameter */
  GradMeasureArgs args;
  GradTensor *result;
} Measure;

static gboolean
measure_job (gpointer data, GError ** error)
{
  Measure *m = data;
  g_autofree GradOptimTensor *tensors = g_new0 (GradOptimTensor, m->list->len);
  g_autoptr (GradTensor) result = grad_tensor_new_plain (m->device, GRAD_DTYPE_UINT8,
      &GRAD_SHAPE (GRAD_MEASURE_SIZE), error);
  GradJob job;

  grad_job_begin (&job, GRAD_JOB_MEASURE, m->unit);
  for (guint i = 0; i < m->list->len; i++) {
    tensors[i].grad = ((GradParameter *) m->list->pdata[i])->grad;
    grad_job_add (&job, tensors[i].grad, 1);
  }
  if (result == NULL || !grad_device_kernels (m->device)->optim->measure (m->device, tensors,
          m->list->len, &m->args, result, error) || !grad_job_end (&job, error))
    return FALSE;
  m->result = g_steal_pointer (&result);
  return TRUE;
}

/**
 * grad_network_measure: (skip)
 * @network: a network
 * @loss: (nullable): result of the last loss, see grad_loss_unit_get_result()
 * @max_norm: what the norm of the gradient is clipped to, or 0
 * @error: location of a #GError
 *
 * Computes the norm of the step's gradient over all parameters, in one pass over their gradients. The update that
 * follows scales gradients so that they are the mean over all samples of the step, and their norm is @max_norm at most, as
 * PyTorch's clip_grad_norm_() does it.
 *
 * Returns: %FALSE as grad_network_settle(), for this step or the one before
 */
gboolean
grad_network_measure (GradNetwork * network, GradTensor * loss, gdouble max_norm, GError ** error)
{
  g_autoptr (GPtrArray) list = grad_network_list_graded (network);
  GradUnit *unit = grad_network_get_root_unit (network);
  Measure m = {.list = list,.unit = unit };

  if (!grad_network_settle (network, error))
    return FALSE;
  if (list->len == 0)
    return TRUE;
  m.device = grad_tensor_get_device (((GradParameter *) list->pdata[0])->grad);
  m.args = (GradMeasureArgs) {
    .mean = network->n_samples ? network->divisor / (gdouble) network->n_samples : 1,
    .max_norm = max_norm,.before = network->measured ? network->measured->result : NULL
  };
  if (!grad_device_call (m.device, FALSE, measure_job, &m, error))
    return FALSE;
  grad_tensor_fetch (m.result);
  g_clear_pointer (&network->measured, grad_measured_unref);
  network->measured = g_rc_box_new0 (GradMeasured);
  network->measured->result = m.result;
  network->measured->loss = loss ? grad_tensor_ref (loss) : NULL;
  network->measured->step = network->n_updates + 1;
  network->measured_batches = network->n_batches;
  network->unsettled = TRUE;
  if (network->loss_name == NULL && unit != NULL)
    network->loss_name = g_strdup (grad_unit_get_owner_name (unit));
  return !grad_measured_is_there (network->measured) || grad_network_settle (network, error);
}

/**
 * grad_network_get_measured: (skip)
 * @network: a network
 *
 * Returns: (transfer none) (nullable): what has been measured of the last step
 */
GradMeasured *
grad_network_get_measured (GradNetwork * network)
{
  return network->measured;
}
