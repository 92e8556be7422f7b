/* GradStreamer: the update of a network's parameters
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradnetwork-private.h"
#include "gradunit-private.h"
#include "../model/gradparameter-private.h"
#include "../tensor/gradtensor-private.h"
#include "kernels/kept.h"

typedef gboolean (*EnsureFunc) (GradDevice * device, GradParameter * parameter, GError ** error);

typedef struct
{
  GradNetwork *network;
  GradDevice *device;
  GPtrArray *list;              /* GradParameter */
  GradOptimTensor *tensors;     /* the same in this order */
  EnsureFunc ensure;
  GradOptimStep step;
  const GradAdamArgs *adam;     /* one of these */
  const GradSgdArgs *sgd;
} Update;

/* A tensor of the parameter's shape, zero at the start. */
static gboolean
ensure (GradDevice * device, const GradParameter * parameter, GradTensor ** tensor, GError ** error)
{
  if (*tensor == NULL) {
    *tensor = grad_tensor_new_parameter (device, &parameter->shape, error);
    return *tensor != NULL
        && grad_device_kernels (device)->elementwise->zero (device, *tensor, error);
  }
  return TRUE;
}

static gboolean
ensure_moments (GradDevice * device, GradParameter * p, GError ** error)
{
  return ensure (device, p, &p->m, error) && ensure (device, p, &p->v, error);
}

static gboolean
ensure_momentum (GradDevice * device, GradParameter * p, GError ** error)
{
  return ensure (device, p, &p->m, error);
}

static gboolean
ensure_nothing (GradDevice * device, GradParameter * p, GError ** error)
{
  return TRUE;
}

/* The average begins as the values are; without one any longer, the values are what they are in training. */
static gboolean
ensure_average (GradNetwork * network, GradDevice * device, GradParameter * p, GError ** error)
{
  if (network->decay == 0) {
    if (p->own != NULL)
      grad_parameter_set_value (p, p->own);
    g_clear_pointer (&p->own, grad_tensor_unref);
    g_clear_pointer (&p->average, grad_tensor_unref);
    return TRUE;
  }
  if (p->average != NULL)
    return TRUE;
  if (!ensure (device, p, &p->average, error)
      || !grad_device_kernels (device)->elementwise->copy (device, p->value, p->average, error))
    return FALSE;
  p->own = grad_tensor_ref (p->value);
  return TRUE;
}

/* What the parameter's update needs is there when it is first needed. */
static gboolean
prepare (Update * u, GradParameter * p, GradOptimTensor * t, GError ** error)
{
  if (p->average != NULL)       /* else the first update is the first thing to be averaged */
    u->step.decay = u->network->decay;
  if (!u->ensure (u->device, p, error) || !ensure_average (u->network, u->device, p, error))
    return FALSE;
  *t = (GradOptimTensor) {
    .value = grad_parameter_get_own (p),.m = p->m,.v = p->v,.average = p->average,
    .grad = p->grad,.rate_scale = p->rate_scale,.number = p->count + 1
  };
  return TRUE;
}

static gboolean
update_job (gpointer data, GError ** error)
{
  Update *u = data;
  const GradOptimOps *ops = grad_device_kernels (u->device)->optim;
  guint n = u->list->len;
  GradJob job;

  for (guint i = 0; i < n; i++)
    if (!prepare (u, u->list->pdata[i], &u->tensors[i], error))
      return FALSE;
  grad_job_begin (&job, GRAD_JOB_UPDATE, grad_network_get_root_unit (u->network));
  if (!(u->adam ? ops->adam (u->device, u->tensors, n, u->adam, &u->step, error)
          : ops->sgd (u->device, u->tensors, n, u->sgd, &u->step, error)))
    return FALSE;
  for (guint i = 0; i < n; i++) {
    GradOptimTensor *t = &u->tensors[i];

    grad_tensor_touch (t->value);
    if (t->kept != 0)
      grad_kept_follow (t->value, t->kept);
    if (t->average != NULL)
      grad_tensor_touch (t->average);
    grad_job_add (&job, t->grad, 1);
    grad_job_add (&job, t->value, 2);
    grad_job_add (&job, t->m, 2);
    grad_job_add (&job, t->v, 2);
    grad_job_add (&job, t->average, 2);
  }
  return grad_job_end (&job, error);
}

static gboolean
update (GradNetwork * network, Update * u, gdouble learning_rate, GError ** error)
{
  g_autoptr (GPtrArray) list = grad_network_list_graded (network);
  g_autofree GradOptimTensor *tensors = g_new (GradOptimTensor, list->len);
  gboolean ok;

  u->network = network;
  u->list = list;
  u->tensors = tensors;
  u->step = (GradOptimStep) {
    .learning_rate = learning_rate,
    .measured = network->measured ? network->measured->result : NULL
  };
  if (list->len > 0)
    u->device = grad_tensor_get_device (((GradParameter *) list->pdata[0])->grad);
  g_mutex_lock (&network->values);
  network->half = TRUE;
  ok = list->len == 0 || grad_device_call (u->device, FALSE, update_job, u, error);
  if (ok) {
    network->n_updates++;
    network->n_samples = 0;
    for (guint i = 0; i < list->len; i++) {
      GradParameter *p = list->pdata[i];

      p->count++;
      p->step = network->n_updates;
    }
  }
  g_mutex_unlock (&network->values);
  return ok;
}

/**
 * grad_network_update_adam:
 * @network: a network
 * @options: what to update with
 * @error: location of a #GError
 *
 * Updates every parameter that has got a gradient in this step with Adam, all in one pass. A
 * parameter whose gradient is zero by construction (a bias in front of a batch norm) stays as it
 * is.
 *
 * Returns: %FALSE with the device's error
 */
gboolean
grad_network_update_adam (GradNetwork * network, const GradAdamOptions * options, GError ** error)
{
  GradAdamArgs args = { options->beta1, options->beta2, options->epsilon, options->weight_decay,
    options->decoupled
  };
  Update u = {.ensure = ensure_moments,.adam = &args };

  return update (network, &u, options->learning_rate, error);
}

/**
 * grad_network_update_sgd:
 * @network: a network
 * @options: what to update with
 * @error: location of a #GError
 *
 * Updates every parameter that has got a gradient in this step by stochastic gradient descent, all in one pass.
 *
 * Returns: %FALSE with the device's error
 */
gboolean
grad_network_update_sgd (GradNetwork * network, const GradSgdOptions * options, GError ** error)
{
  GradSgdArgs args = { options->momentum, options->weight_decay, options->nesterov };
  Update u = {.ensure = options->momentum > 0 ? ensure_momentum : ensure_nothing,.sgd = &args };

  return update (network, &u, options->learning_rate, error);
}

static gboolean
average_job (gpointer data, GError ** error)
{
  Update *u = data;
  guint n = 0;

  for (guint i = 0; i < u->list->len; i++) {
    GradParameter *p = u->list->pdata[i];
    gboolean first = p->average == NULL;

    if (!ensure_average (u->network, u->device, p, error))
      return FALSE;
    if (p->average == NULL || first)
      continue;
    /* its gradient does not matter */
    u->tensors[n++] = (GradOptimTensor) {.value = p->own,.grad = p->own,.average = p->average };
    grad_tensor_touch (p->average);
  }
  return n == 0 || grad_device_kernels (u->device)->optim->sgd (u->device, u->tensors, n, u->sgd, &u->step,
      error);
}

/* What is to be averaged but was not updated: running statistics of layers that are not frozen, where they have averages or shall
 * have them, and what was frozen after it got one */
static GPtrArray *
list_averaged (GradNetwork * network)
{
  GPtrArray *list = g_ptr_array_new ();

  for (guint i = 0; i < grad_parameter_store_get_n_parameters (network->store); i++) {
    GradParameter *p = grad_parameter_store_get_parameter (network->store, i);

    if (p->average != NULL && !g_hash_table_contains (network->graded, p))
      g_ptr_array_add (list, p);
  }
  for (guint i = 0; i < network->tape->len; i++) {
    GradNode *node = network->tape->pdata[i];
    guint n = node->frozen ? 0 : grad_unit_get_n_parameters (node->unit);

    for (guint k = 0; k < n; k++) {
      GradParameter *p = grad_unit_get_parameter (node->unit, k);

      if (p->kind == GRAD_PARAMETER_STATISTIC && network->decay > 0 && !g_ptr_array_find (list, p, NULL))
        g_ptr_array_add (list, p);
    }
  }
  return list;
}

/* A step of gradient descent at a rate of zero is what makes averages: the kernels have it, and leave all as it is when the step's
 * gradient was not finite. */
gboolean
grad_network_average_statistics (GradNetwork * network, GError ** error)
{
  g_autoptr (GPtrArray) list = list_averaged (network);
  g_autofree GradOptimTensor *tensors = g_new (GradOptimTensor, list->len);
  const GradSgdArgs args = { 0 };
  Update u = {.network = network,.list = list,.tensors = tensors,.sgd = &args,
    .step = {.decay = network->decay,
          .measured = network->measured ? network->measured->result : NULL}
  };

  if (list->len > 0)
    u.device = grad_tensor_get_device (((GradParameter *) list->pdata[0])->value);
  return list->len == 0 || grad_device_call (u.device, FALSE, average_job, &u, error);
}

/**
 * grad_network_set_average: (skip)
 * @network: a network
 * @decay: 0 for none, below 1
 *
 * From the next update on, keeps an average of the parameters: decay average + (1 - decay) value after each update, the first
 * one's being the value, as PyTorch's AveragedModel does it with use_buffers=True and get_ema_multi_avg_fn(): running statistics
 * have averages, too, since those of the weights in training do not fit to the averages of the weights. Whatever does not train
 * computes with the averages, and so does who reads the file.
 */
void
grad_network_set_average (GradNetwork * network, gdouble decay)
{
  network->decay = decay;
}
