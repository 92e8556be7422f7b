/* GradStreamer: a network: its parameters, its open step, its turn
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradunit.h"

G_BEGIN_DECLS

#define GRAD_TYPE_NETWORK (grad_network_get_type ())
GRAD_API G_DECLARE_FINAL_TYPE (GradNetwork, grad_network, GRAD, NETWORK, GObject)

GRAD_API GradNetwork *grad_network_new (const gchar * name);
GRAD_API const gchar *grad_network_get_name (GradNetwork * network);
GRAD_API GradParameterStore *grad_network_get_store (GradNetwork * network);
GRAD_API gchar *grad_network_next_prefix (GradNetwork * network, const gchar * kind);

/* Exactly one optimizer per network; owner is only compared. */
GRAD_API gboolean grad_network_register_optimizer (GradNetwork * network, gpointer owner,
    GError ** error);
GRAD_API void grad_network_unregister_optimizer (GradNetwork * network, gpointer owner);
GRAD_API gboolean grad_network_has_optimizer (GradNetwork * network);

/* Turns: who may compute now. flushing is a flag of the caller's, changed by
 * grad_network_set_flushing() only. */
GRAD_API gboolean grad_network_enter (GradNetwork * network, GradPhase phase, guint64 source,
    guint64 sequence, const gboolean * flushing, GradStep ** step);
GRAD_API void grad_network_set_flushing (GradNetwork * network, gboolean * flushing,
    gboolean value);

GRAD_API GradStep *grad_step_ref (GradStep * step);
GRAD_API void grad_step_unref (GradStep * step);

/**
 * GradAdamOptions:
 * @learning_rate: step size
 * @beta1: decay of the first moment
 * @beta2: decay of the second moment
 * @epsilon: added to the denominator
 * @weight_decay: L2 penalty added to the gradient, as PyTorch's Adam does it
 * @decoupled: weights are made smaller by themselves instead, as PyTorch's AdamW does it
 */
typedef struct
{
  gdouble learning_rate, beta1, beta2, epsilon, weight_decay;
  gboolean decoupled;
} GradAdamOptions;

#define GRAD_ADAM_DEFAULTS { 0.001, 0.9, 0.999, 1e-8, 0, FALSE }

/**
 * GradSgdOptions:
 * @learning_rate: step size
 * @momentum: how much of the last step goes into the next, 0 for none
 * @weight_decay: L2 penalty added to the gradient, as PyTorch's SGD does it
 * @nesterov: the gradient is added once more to what momentum has made of it
 */
typedef struct
{
  gdouble learning_rate, momentum, weight_decay;
  gboolean nesterov;
} GradSgdOptions;

/* One training step, in this order: backward from the loss's node, measure (optional), update, commit; with
 * several batches, backward and end_batch for each but the last. Whoever does not get to commit discards. A
 * function (nullable) is asked between two units whether to stop; it may wait. */
typedef gboolean (*GradInterruptFunc) (gpointer data);
GRAD_API gboolean grad_network_backward (GradNetwork * network, GradNode * root,
    gboolean accumulate, gboolean last, GradInterruptFunc interrupted, gpointer data,
    GError ** error);
GRAD_API gboolean grad_network_update_adam (GradNetwork * network,
    const GradAdamOptions * options, GError ** error);
GRAD_API gboolean grad_network_update_sgd (GradNetwork * network, const GradSgdOptions * options,
    GError ** error);
GRAD_API void grad_network_end_batch (GradNetwork * network);
GRAD_API gboolean grad_network_commit (GradNetwork * network, GError ** error);
GRAD_API void grad_network_discard (GradNetwork * network);
GRAD_API guint64 grad_network_get_n_updates (GradNetwork * network);

/**
 * GradMeasured: (skip)
 * @result: what the device makes, see GradMeasureArgs
 * @loss: (nullable): that of the step's last batch
 * @step: number of the update that it is for
 * @norm: of the gradient, before it is clipped; this and the rest by grad_measured_read()
 * @scale: what gradients are multiplied with; NaN: they are not finite
 * @bad: number, from 1, of the last gradient in the order of the parameters that is not finite, or 0
 *
 * What has been measured of a step's gradient. For one thread at a time.
 */
typedef struct
{
  GradTensor *result, *loss;
  guint64 step;
  gboolean read;
  gdouble norm, scale;
  guint bad;
} GradMeasured;

GRAD_API GradMeasured *grad_measured_ref (GradMeasured * measured);
GRAD_API void grad_measured_unref (GradMeasured * measured);
/* Whether nobody would have to wait for it. */
GRAD_API gboolean grad_measured_is_there (GradMeasured * measured);
GRAD_API gboolean grad_measured_read (GradMeasured * measured, GError ** error);

GRAD_API gboolean grad_network_measure (GradNetwork * network, GradTensor * loss,
    gdouble max_norm, GError ** error);
GRAD_API gboolean grad_network_settle (GradNetwork * network, GError ** error);
GRAD_API GradMeasured *grad_network_get_measured (GradNetwork * network);
GRAD_API void grad_network_set_average (GradNetwork * network, gdouble decay);

/**
 * GradPosition: (skip)
 * @epoch: from 1
 * @testing: whether it is in the pass over the test set
 * @samples: how many of the pass are done
 *
 * Where in its data a training is. Whoever resumes one tells the network, and its source begins there.
 */
typedef struct
{
  guint epoch;
  gboolean testing;
  guint samples;
} GradPosition;

GRAD_API void grad_network_set_start (GradNetwork * network, const GradPosition * start,
    guint64 n_updates);
GRAD_API GradPosition grad_network_get_start (GradNetwork * network);

/* Running a network elsewhere while it trains: what it is made of, and its parameters between two steps. */
GRAD_API void grad_network_set_model (GradNetwork * network, GradModel * model);
GRAD_API GradModel *grad_network_get_model (GradNetwork * network);
GRAD_API gboolean grad_network_copy_parameters (GradNetwork * network, GradParameterStore * to,
    guint64 * version, GError ** error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradMeasured, grad_measured_unref)

G_END_DECLS
