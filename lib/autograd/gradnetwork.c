/* GradStreamer: a network: its parameters, its optimizer, what it is made of
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
 * Returns: (transfer full): a prefix that was not given out before; a layer with the same param-prefix shares its parameters
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
  grad_runs_free (self->runs);
  g_clear_pointer (&self->measured, grad_measured_unref);
  g_free (self->loss_name);
  g_hash_table_unref (self->graded);
  g_hash_table_unref (self->applied);
  g_hash_table_unref (self->evaluated);
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
  self->evaluated = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  self->prefixes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}
