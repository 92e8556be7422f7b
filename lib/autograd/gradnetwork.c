/* GradStreamer: a network: its parameters, its open step, its turn
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradnetwork-private.h"
#include "kernels/kernels.h"
#include "../model/gradparameter-private.h"

G_DEFINE_FINAL_TYPE (GradNetwork, grad_network, G_TYPE_OBJECT);

/**
 * grad_network_new:
 * @name: the model name
 *
 * Returns: (transfer full): a network without parameters
 */
GradNetwork *
grad_network_new (const gchar * name)
{
  GradNetwork *self = g_object_new (GRAD_TYPE_NETWORK, NULL);

  self->name = g_strdup (name);
  return self;
}

/**
 * grad_network_get_name:
 * @network: a network
 *
 * Returns: (transfer none): its model name
 */
const gchar *
grad_network_get_name (GradNetwork * network)
{
  return network->name;
}

/**
 * grad_network_get_store:
 * @network: a network
 *
 * Returns: (transfer none): its parameters
 */
GradParameterStore *
grad_network_get_store (GradNetwork * network)
{
  return network->store;
}

/**
 * grad_network_next_prefix:
 * @network: a network
 * @kind: "layer", "fc", "" …
 *
 * Gives out names for layers that have none: "layer1", "layer2" …; the first of another kind is
 * @kind itself, later ones "fc2" ….
 *
 * Returns: (transfer full): a prefix that was not given out before
 */
gchar *
grad_network_next_prefix (GradNetwork * network, const gchar * kind)
{
  guint n;

  g_mutex_lock (&network->lock);
  n = GPOINTER_TO_UINT (g_hash_table_lookup (network->prefixes, kind)) + 1;
  g_hash_table_insert (network->prefixes, g_strdup (kind), GUINT_TO_POINTER (n));
  g_mutex_unlock (&network->lock);
  if (n == 1 && !g_str_equal (kind, "layer"))
    return g_strdup (kind);
  return g_strdup_printf ("%s%u", *kind ? kind : "stem", n);
}

/**
 * grad_network_register_optimizer:
 * @network: a network
 * @owner: (type gpointer): who optimizes
 * @error: location of a #GError
 *
 * Returns: %FALSE with %GRAD_ERROR_SETTINGS when there is one already
 */
gboolean
grad_network_register_optimizer (GradNetwork * network, gpointer owner, GError ** error)
{
  gboolean ok;

  g_mutex_lock (&network->lock);
  ok = network->optimizer == NULL || network->optimizer == owner;
  if (ok)
    network->optimizer = owner;
  g_mutex_unlock (&network->lock);
  if (!ok)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "the network \"%s\" has an optimizer "
        "already: remove one of the two, or give them different model-name", network->name);
  return ok;
}

/**
 * grad_network_unregister_optimizer:
 * @network: a network
 * @owner: (type gpointer): who optimized
 */
void
grad_network_unregister_optimizer (GradNetwork * network, gpointer owner)
{
  g_mutex_lock (&network->lock);
  if (network->optimizer == owner)
    network->optimizer = NULL;
  g_mutex_unlock (&network->lock);
}

/**
 * grad_network_has_optimizer:
 * @network: a network
 *
 * Returns: whether it is being trained
 */
gboolean
grad_network_has_optimizer (GradNetwork * network)
{
  gboolean has;

  g_mutex_lock (&network->lock);
  has = network->optimizer != NULL;
  g_mutex_unlock (&network->lock);
  return has;
}

GradHistory *
grad_network_get_history (GradNetwork * network)
{
  return network->history;
}

/* Whether the batch may not compute yet. Of one source, only older steps are waited for: a later one is
 * open when this batch comes late through a side branch. */
static gboolean
must_wait (GradNetwork * self, guint64 source, guint64 sequence)
{
  return self->open != NULL
      && (self->open->source != source || self->open->sequence < sequence);
}

/**
 * grad_network_enter:
 * @network: a network
 * @phase: what the batch is for
 * @source: id of the batch's source
 * @sequence: its number there
 * @flushing: the caller's flag, see grad_network_set_flushing()
 * @step: (out) (transfer full) (nullable): the step to record on, or %NULL when nothing is to be recorded
 *
 * Waits until no older step is open, and opens the batch's step when it is for training and an optimizer is
 * there. Infer never waits. So every layer sees the weights that all earlier batches have made, with
 * queues between the layers or without.
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
  while (!*flushing && must_wait (network, source, sequence))
    g_cond_wait (&network->turn, &network->lock);
  ok = !*flushing;
  if (ok && phase == GRAD_PHASE_TRAIN && network->optimizer != NULL) {
    guint64 *applied = g_hash_table_lookup (network->applied, &source);

    if (network->open != NULL && network->open->sequence == sequence) {
      *step = network->open;
      (*step)->ref_count++;
    } else if (network->open == NULL && (applied == NULL || sequence > *applied)) {
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
 * grad_network_set_flushing:
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

GPtrArray *
grad_network_list_graded (GradNetwork * network)
{
  GPtrArray *list = g_ptr_array_new ();

  for (guint i = 0; i < grad_parameter_store_get_n_parameters (network->store); i++) {
    GradParameter *p = grad_parameter_store_get_parameter (network->store, i);

    if (g_hash_table_contains (network->graded, p))
      g_ptr_array_add (list, p);
  }
  return list;
}

GradUnit *
grad_network_get_root_unit (GradNetwork * network)
{
  GPtrArray *tape = network->tape;

  return tape->len > 0 ? ((GradNode *) tape->pdata[tape->len - 1])->unit : NULL;
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

GradTensor *
grad_step_get_measured (GradStep * step)
{
  return step->network->measured ? step->network->measured->result : NULL;
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
  guint64 *applied = g_new (guint64, 2);

  g_mutex_lock (&network->lock);
  applied[0] = step->source;
  applied[1] = step->sequence;
  g_hash_table_replace (network->applied, &applied[0], &applied[1]);
  if (network->open == step)
    network->open = NULL;
  g_cond_broadcast (&network->turn);
  g_mutex_unlock (&network->lock);
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
  gboolean ok = TRUE;
  GPtrArray *tape = network->tape;

  g_mutex_lock (&network->values);
  /* forward order: the order in which PyTorch updates */
  for (guint i = 0; i < tape->len && ok; i++)
    ok = grad_node_commit (tape->pdata[i], error);
  network->half &= !ok;
  g_mutex_unlock (&network->values);
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

/**
 * grad_network_get_n_updates:
 * @network: a network
 *
 * Returns: how many updates its parameters have had
 */
guint64
grad_network_get_n_updates (GradNetwork * network)
{
  return network->n_updates;
}

/**
 * grad_network_set_start: (skip)
 * @network: a network that nobody trains at this moment
 * @start: where in its data training begins
 * @n_updates: how many updates its parameters have had by then
 */
void
grad_network_set_start (GradNetwork * network, const GradPosition * start, guint64 n_updates)
{
  g_mutex_lock (&network->lock);
  network->start = *start;
  g_mutex_unlock (&network->lock);
  network->n_updates = n_updates;
}

/**
 * grad_network_get_start: (skip)
 * @network: a network
 *
 * Returns: where in its data training begins
 */
GradPosition
grad_network_get_start (GradNetwork * network)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&network->lock);

  return network->start;
}

/**
 * grad_network_set_model: (skip)
 * @network: a network
 * @model: what it is made of
 *
 * Called by whoever trains it, when its layers are known.
 */
void
grad_network_set_model (GradNetwork * network, GradModel * model)
{
  g_mutex_lock (&network->lock);
  g_set_object (&network->model, model);
  g_mutex_unlock (&network->lock);
}

/**
 * grad_network_get_model:
 * @network: a network
 *
 * Returns: (transfer full) (nullable): what it is made of, or %NULL as long as nobody has trained it
 */
GradModel *
grad_network_get_model (GradNetwork * network)
{
  GradModel *model;

  g_mutex_lock (&network->lock);
  model = network->model ? g_object_ref (network->model) : NULL;
  g_mutex_unlock (&network->lock);
  return model;
}

typedef struct
{
  GradParameterStore *from, *to;
} Copy;

static gboolean
copy_job (gpointer data, GError ** error)
{
  Copy *copy = data;
  guint n = grad_parameter_store_get_n_parameters (copy->to);

  for (guint i = 0; i < n; i++) {
    GradParameter *to = grad_parameter_store_get_parameter (copy->to, i);
    GradParameter *from = grad_parameter_store_find (copy->from, to->name);
    GradDevice *device;

    if (from == NULL || from->kind != to->kind || !grad_shape_equal (&from->shape, &to->shape)) {
      g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "the network in training has no parameter "
          "%s of the same shape", to->name);
      return FALSE;
    }
    to->count = from->count;
    if (to->value == NULL)
      continue;
    device = grad_tensor_get_device (to->value);
    if (!grad_device_kernels (device)->elementwise->copy (device, grad_parameter_get_result (from),
            to->value, error))
      return FALSE;
    grad_tensor_touch (to->value);
  }
  return TRUE;
}

/**
 * grad_network_copy_parameters:
 * @network: a network
 * @to: where to; has parameters of the same names and shapes, on the same device
 * @version: (inout): number of updates that @to is of
 * @error: location of a #GError
 *
 * Copies parameters and statistics as they are between two steps, if there has been an update since @version. Does not wait
 * for a step: in the middle of one, @to stays as it is.
 *
 * Returns: %FALSE with %GRAD_ERROR_SHAPE or the device's error
 */
gboolean
grad_network_copy_parameters (GradNetwork * network, GradParameterStore * to, guint64 * version,
    GError ** error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&network->values);
  Copy copy = { network->store, to };
  GradParameter *first;

  if (network->half || network->n_updates == *version
      || grad_parameter_store_get_n_parameters (to) == 0)
    return TRUE;
  first = grad_parameter_store_get_parameter (to, 0);
  if (!grad_device_call (grad_tensor_get_device (first->value), TRUE, copy_job, &copy, error))
    return FALSE;
  *version = network->n_updates;
  return TRUE;
}

static void
grad_network_finalize (GObject * object)
{
  GradNetwork *self = GRAD_NETWORK (object);

  g_ptr_array_unref (self->tape);
  g_clear_pointer (&self->measured, grad_measured_unref);
  g_free (self->loss_name);
  g_hash_table_unref (self->graded);
  g_hash_table_unref (self->applied);
  g_hash_table_unref (self->prefixes);
  g_clear_object (&self->model);
  g_mutex_clear (&self->values);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->turn);
  grad_history_free (self->history);
  g_object_unref (self->store);
  g_free (self->name);
  G_OBJECT_CLASS (grad_network_parent_class)->finalize (object);
}

static void
grad_network_class_init (GradNetworkClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = grad_network_finalize;
}

static void
grad_network_init (GradNetwork * self)
{
  g_mutex_init (&self->lock);
  g_mutex_init (&self->values);
  g_cond_init (&self->turn);
  self->store = grad_parameter_store_new ();
  self->history = grad_history_new ();
  self->start.epoch = 1;
  self->tape = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_node_unref);
  self->graded = g_hash_table_new (NULL, NULL);
  self->applied = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  self->prefixes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}
