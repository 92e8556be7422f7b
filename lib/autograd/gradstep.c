/* GradStreamer: a network's open step, and whose turn it is
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradnetwork-private.h"
#include "gradunit-private.h"
#include "kernels/kernels.h"

/* source -> sequence */
static void
remember (GHashTable * table, guint64 source, guint64 sequence)
{
  guint64 *pair = g_new (guint64, 2);

  pair[0] = source;
  pair[1] = sequence;
  g_hash_table_replace (table, &pair[0], &pair[1]);
}

/* This number of the source's, or a later one */
static gboolean
is_remembered (GHashTable * table, guint64 source, guint64 sequence)
{
  guint64 *last = g_hash_table_lookup (table, &source);

  return last != NULL && *last >= sequence;
}

/* Whether the batch may not compute yet. Of one source, only older steps are waited for: a later one is
 * open when this batch comes late through a side branch. Of another source, a batch to evaluate that is let in stays so: it may be in
 * a queue in front of the very batch whose step is open. */
static gboolean
must_wait (GradNetwork * self, GradPhase phase, guint64 source, guint64 sequence)
{
  return self->open != NULL && (self->open->source == source ? self->open->sequence < sequence
      : phase == GRAD_PHASE_TRAIN || !is_remembered (self->evaluated, source, sequence));
}

/**
 * grad_network_enter: (skip)
 * @network: a network
 * @phase: what the batch is for
 * @source: id of the batch's source
 * @sequence: its number there
 * @flushing: the caller's flag, see grad_network_set_flushing()
 * @step: (out) (transfer full) (nullable): the step to record on, or %NULL when nothing is to be recorded
 *
 * Waits until no older step is open, and opens the batch's step when it is for training and an optimizer is
 * there. Infer never waits. So every layer sees the weights that all earlier batches have made, with
 * queues between the layers or without; but an evaluate batch that waited once, at its first layer, does not wait for
 * another source's step that began since.
 *
 * Returns: %FALSE when @flushing became %TRUE
 */
gboolean
grad_network_enter (GradNetwork * network, GradPhase phase, guint64 source, guint64 sequence,
    const gboolean * flushing, GradStep ** step)
{
  gboolean ok;

  *step = NULL;
  if (phase == GRAD_PHASE_INFER)
    return TRUE;

  g_mutex_lock (&network->lock);
  while (!*flushing && must_wait (network, phase, source, sequence))
    g_cond_wait (&network->turn, &network->lock);
  ok = !*flushing;
  if (ok && phase == GRAD_PHASE_EVALUATE && !is_remembered (network->evaluated, source, sequence))
    remember (network->evaluated, source, sequence);
  if (ok && phase == GRAD_PHASE_TRAIN && network->optimizer != NULL) {
    if (network->open != NULL && network->open->source == source && network->open->sequence == sequence) {
      *step = network->open;
      (*step)->ref_count++;
    } else if (network->open == NULL && !is_remembered (network->applied, source, sequence)) {
      *step = network->open = g_new0 (GradStep, 1);
      (*step)->ref_count = 1;
      (*step)->network = g_object_ref (network);
      (*step)->source = source;
      (*step)->sequence = sequence;
    }
  }
  g_mutex_unlock (&network->lock);
  return ok;
}

/**
 * grad_network_set_flushing: (skip)
 * @network: a network
 * @flushing: flag that a caller of grad_network_enter() waits with
 * @value: its new value
 *
 * Sets the flag and wakes whoever waits.
 */
void
grad_network_set_flushing (GradNetwork * network, gboolean * flushing, gboolean value)
{
  g_mutex_lock (&network->lock);
  *flushing = value;
  g_cond_broadcast (&network->turn);
  g_mutex_unlock (&network->lock);
}

/**
 * grad_step_ref: (skip)
 * @step: a step
 *
 * Returns: (transfer full): @step
 */
GradStep *
grad_step_ref (GradStep * step)
{
  g_mutex_lock (&step->network->lock);
  step->ref_count++;
  g_mutex_unlock (&step->network->lock);
  return step;
}

/**
 * grad_step_unref: (skip)
 * @step: (transfer full): a step
 *
 * Dropping the last reference to a step that was not applied aborts it.
 */
void
grad_step_unref (GradStep * step)
{
  GradNetwork *network = step->network;
  gboolean last;

  g_mutex_lock (&network->lock);
  last = --step->ref_count == 0;
  if (last && network->open == step) {
    network->open = NULL;
    g_cond_broadcast (&network->turn);
  }
  g_mutex_unlock (&network->lock);
  if (last) {
    g_free (step);
    g_object_unref (network);
  }
}

gboolean
grad_network_is_open (GradNetwork * network, const GradNode * root)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&network->lock);

  return root->step != NULL && network->open == root->step;
}

void
grad_network_forget_open (GradNetwork * network)
{
  g_mutex_lock (&network->lock);
  network->open = NULL;
  g_cond_broadcast (&network->turn);
  g_mutex_unlock (&network->lock);
}

gdouble
grad_step_get_divisor (GradStep * step, guint n_samples)
{
  return step->network->n_samples > 0 ? step->network->divisor : n_samples;
}

void
grad_step_add_samples (GradStep * step, guint n_samples)
{
  GradNetwork *network = step->network;

  network->divisor = grad_step_get_divisor (step, n_samples);
  network->n_samples += n_samples;
}

guint64
grad_step_get_number (GradStep * step)
{
  return step->network->n_updates;
}

/**
 * grad_network_end_batch: (skip)
 * @network: a network
 *
 * Lets the next batch come: the one that backward was called for is closed as applied. Gradients and running
 * statistics wait for grad_network_commit().
 */
void
grad_network_end_batch (GradNetwork * network)
{
  GPtrArray *tape = network->tape;
  GradStep *step = ((GradNode *) tape->pdata[tape->len - 1])->step;

  g_mutex_lock (&network->lock);
  remember (network->applied, step->source, step->sequence);
  if (network->open == step)
    network->open = NULL;
  g_cond_broadcast (&network->turn);
  g_mutex_unlock (&network->lock);
}

/* All units' in one call, in forward order: the order in which PyTorch updates */
static gboolean
commit_job (gpointer data, GError ** error)
{
  GradNetwork *network = data;
  GradUnit *root = grad_network_get_root_unit (network);
  GradDevice *device = grad_unit_get_device (root);
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (GradNormRunning));
  GradJob job;

  for (guint i = 0; i < network->tape->len; i++) {
    GradNode *node = network->tape->pdata[i];
    GradUnitClass *klass = GRAD_UNIT_GET_CLASS (node->unit);

    if (!node->frozen && klass->commit != NULL)
      klass->commit (node->unit, node, list);
  }
  grad_job_begin (&job, GRAD_JOB_COMMIT, root);
  return grad_device_kernels (device)->norm->update_running (device, (GradNormRunning *) list->data, list->len,
      network->measured ? network->measured->result : NULL, error) && grad_job_end (&job, error);
}

/**
 * grad_network_commit:
 * @network: a network
 * @error: location of a #GError
 *
 * Ends the step: running statistics take in its batches, and the last one is closed as applied.
 *
 * Returns: %FALSE with the device's error
 */
gboolean
grad_network_commit (GradNetwork * network, GError ** error)
{
  GPtrArray *tape = network->tape;
  gboolean ok;

  g_mutex_lock (&network->values);
  ok = tape->len == 0 || grad_device_call (grad_unit_get_device (grad_network_get_root_unit (network)), FALSE,
      commit_job, network, error);
  ok = ok && grad_network_average_statistics (network, error);
  network->half &= !ok;
  g_mutex_unlock (&network->values);
  for (guint i = 0; i < tape->len; i++)         /* others hold nodes a little longer, and the next step wants what they have saved */
    for (guint k = 0; k < GRAD_NODE_MAX_SAVED; k++)
      grad_node_drop_saved (tape->pdata[i], k);
  if (ok && tape->len > 0)
    grad_network_end_batch (network);
  g_ptr_array_set_size (tape, 0);
  network->n_batches = 0;
  return ok;
}

/**
 * grad_network_discard: (skip)
 * @network: a network
 *
 * Lets go of the step's tape and gradients, without an update. The step is over when nobody else holds the tape.
 */
void
grad_network_discard (GradNetwork * network)
{
  g_ptr_array_set_size (network->tape, 0);
  g_hash_table_remove_all (network->graded);
  network->n_batches = network->n_samples = 0;
}
