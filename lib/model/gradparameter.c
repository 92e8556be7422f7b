/* GradStreamer: parameters of a network
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradparameter-private.h"
#include "gradrandom.h"

#include <math.h>

G_DEFINE_FINAL_TYPE (GradParameterStore, grad_parameter_store, G_TYPE_OBJECT);

static void
parameter_free (GradParameter * parameter)
{
  g_free (parameter->name);
  g_clear_pointer (&parameter->value, grad_tensor_unref);
  g_clear_pointer (&parameter->grad, grad_tensor_unref);
  g_clear_pointer (&parameter->m, grad_tensor_unref);
  g_clear_pointer (&parameter->v, grad_tensor_unref);
  g_clear_pointer (&parameter->own, grad_tensor_unref);
  g_clear_pointer (&parameter->average, grad_tensor_unref);
  g_free (parameter->layer);
  g_free (parameter);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradParameter, parameter_free);

void
grad_parameter_set_value (GradParameter * parameter, GradTensor * value)
{
  GradTensor *before = parameter->value;

  parameter->value = grad_tensor_ref (value);
  grad_tensor_unref (before);
}

GradTensor *
grad_parameter_get_result (const GradParameter * parameter)
{
  return parameter->average ? parameter->average : parameter->value;
}

GradTensor *
grad_parameter_get_own (const GradParameter * parameter)
{
  return parameter->own ? parameter->own : parameter->value;
}

static gboolean
init_parameter (GradParameter * parameter, GradInit init, gsize fan_in, guint64 seed,
    gfloat * values, GError ** error)
{
  gsize n = grad_shape_n_elements (&parameter->shape);

  if (parameter->kind == GRAD_PARAMETER_COUNTER)
    return TRUE;
  if (init == GRAD_INIT_UNIFORM_FAN_IN) {
    gfloat bound = 1 / sqrt (fan_in);
    GradRandom random;

    grad_random_init (&random, seed, "init", parameter->name, 0);
    for (gsize i = 0; i < n; i++)
      values[i] = bound * (2 * grad_random_float (&random) - 1);
  } else
    for (gsize i = 0; i < n; i++)
      values[i] = init == GRAD_INIT_ONES;
  return grad_tensor_upload (parameter->value, values, n * sizeof (gfloat), error);
}

/**
 * grad_parameter_store_new:
 *
 * Returns: (transfer full): a store without parameters
 */
GradParameterStore *
grad_parameter_store_new (void)
{
  return g_object_new (GRAD_TYPE_PARAMETER_STORE, NULL);
}

/**
 * grad_parameter_store_set_seed:
 * @store: a store
 * @seed: seed of the run
 *
 * Sets what parameters that are added from now on are initialised with. The values of each depend
 * on the seed and its name alone, not on the order in which layers start.
 */
void
grad_parameter_store_set_seed (GradParameterStore * store, guint64 seed)
{
  g_mutex_lock (&store->lock);
  store->seed = seed;
  g_mutex_unlock (&store->lock);
}

/* A parameter with values from the file, or else from its initialisation. */
static GradParameter *
create (GradParameterStore * store, GradDevice * device, const gchar * name,
    GradParameterKind kind, const GradShape * shape, GradInit init, gsize fan_in, GError ** error)
{
  g_autoptr (GradParameter) self = g_new0 (GradParameter, 1);
  g_autofree gfloat *values = NULL;
  const GradSafetensorsEntry *entry;
  GradSafetensors *file;
  guint64 seed;
  gboolean resume, ok;

  self->name = g_strdup (name);
  self->kind = kind;
  self->rate_scale = 1;
  if (kind != GRAD_PARAMETER_COUNTER)
    self->shape = *shape;
  g_mutex_lock (&store->lock);
  file = store->file;
  seed = store->seed;
  resume = store->resume;
  g_mutex_unlock (&store->lock);
  /* nothing is allocated for what the file does not have */
  if (file != NULL && !grad_parameter_find_entry (file, store->location, self, device != NULL, &entry, error))
    return NULL;
  if (device == NULL)
    return g_steal_pointer (&self);

  if (kind != GRAD_PARAMETER_COUNTER) {
    self->value = grad_tensor_new_parameter (device, shape, error);
    if (self->value == NULL)
      return NULL;
  }
  values = grad_parameter_new_values (grad_parameter_bytes (self), error);
  if (values == NULL)
    return NULL;
  ok = file ? grad_parameter_read (self, entry, values, error)
      : init_parameter (self, init, fan_in, seed, values, error);
  ok = ok && (!resume || grad_parameter_read_state (self, file, store->location, values, error));
  return ok ? g_steal_pointer (&self) : NULL;
}

static gchar *
describe (GradParameterKind kind, const GradShape * shape)
{
  static const gchar *const names[] = { "trainable", "statistic", "counter" };
  g_autofree gchar *text = kind == GRAD_PARAMETER_COUNTER ? NULL : grad_shape_to_string (shape);

  return g_strjoin (" ", names[kind], text, NULL);
}

static gboolean
check_same (const GradParameter * parameter, GradParameterKind kind, const GradShape * shape,
    GError ** error)
{
  g_autofree gchar *old = NULL, *new = NULL;

  if (parameter->kind == kind
      && (kind == GRAD_PARAMETER_COUNTER || grad_shape_equal (&parameter->shape, shape)))
    return TRUE;
  old = describe (parameter->kind, &parameter->shape);
  new = describe (kind, shape);
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE,
      "parameter %s is %s already, it cannot be %s, too: give each layer a param-prefix of its own",
      parameter->name, old, new);
  return FALSE;
}

/**
 * grad_parameter_store_add:
 * @store: a store
 * @device: (nullable): where its values shall live; %NULL: it has none, and only its shape is to be known
 * @name: name in model files: "layer1.0.conv1.weight"
 * @kind: what it is
 * @shape: (nullable): its shape; not looked at for a counter
 * @init: how it starts when no file says it
 * @fan_in: inputs of each output, at least 1, for %GRAD_INIT_UNIFORM_FAN_IN
 * @error: location of a #GError
 *
 * Gets a parameter, or makes it: with the values of the file of grad_parameter_store_set_source(),
 * else initialised. Without a device the file is only asked whether it has it. May be called from any thread.
 *
 * Returns: (transfer none) (nullable): the parameter, which lives as long as the store; %NULL with
 *   %GRAD_ERROR_SETTINGS when its name is one of an optimizer's, with
 *   %GRAD_ERROR_SHAPE when there is one of that name of another kind or shape, with
 *   %GRAD_ERROR_FILE when the file does not have it or has another shape, or with the device's
 *   error
 */
GradParameter *
grad_parameter_store_add (GradParameterStore * store, GradDevice * device, const gchar * name,
    GradParameterKind kind, const GradShape * shape, GradInit init, gsize fan_in, GError ** error)
{
  GradParameter *parameter = grad_parameter_store_find (store, name);
  g_autoptr (GradParameter) made = NULL;

  g_return_val_if_fail (init != GRAD_INIT_UNIFORM_FAN_IN || fan_in > 0, NULL);
  if (g_str_has_prefix (name, GRAD_PARAMETER_STATE)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "%s: names that begin with \"" GRAD_PARAMETER_STATE
        "\" are those of an optimizer: use another param-prefix", name);
    return NULL;
  }
  if (parameter == NULL) {
    made = create (store, device, name, kind, shape, init, fan_in, error);
    if (made == NULL)
      return NULL;
    g_mutex_lock (&store->lock);
    parameter = g_hash_table_lookup (store->by_name, name);
    if (parameter == NULL) {    /* no other thread was faster */
      parameter = g_steal_pointer (&made);
      g_ptr_array_add (store->list, parameter);
      g_hash_table_insert (store->by_name, parameter->name, parameter);
    }
    g_mutex_unlock (&store->lock);
  }
  return check_same (parameter, kind, shape, error) ? parameter : NULL;
}

/**
 * grad_parameter_store_find:
 * @store: a store
 * @name: a name
 *
 * Returns: (transfer none) (nullable): the parameter of that name, or %NULL
 */
GradParameter *
grad_parameter_store_find (GradParameterStore * store, const gchar * name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&store->lock);

  return g_hash_table_lookup (store->by_name, name);
}

/**
 * grad_parameter_store_get_n_parameters:
 * @store: a store
 *
 * Returns: number of parameters, statistics and counters included
 */
guint
grad_parameter_store_get_n_parameters (GradParameterStore * store)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&store->lock);

  return store->list->len;
}

/**
 * grad_parameter_store_get_parameter:
 * @store: a store
 * @index: less than grad_parameter_store_get_n_parameters()
 *
 * Returns: (transfer none) (nullable): a parameter, in the order in which they were added
 */
GradParameter *
grad_parameter_store_get_parameter (GradParameterStore * store, guint index)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&store->lock);

  g_return_val_if_fail (index < store->list->len, NULL);
  return g_ptr_array_index (store->list, index);
}

/**
 * grad_parameter_store_count_values:
 * @store: a store
 *
 * Returns: number of values in all trainable parameters
 */
gsize
grad_parameter_store_count_values (GradParameterStore * store)
{
  g_autoptr (GPtrArray) list = grad_parameter_store_list (store);
  gsize n = 0;

  for (guint i = 0; i < list->len; i++) {
    GradParameter *parameter = list->pdata[i];

    if (parameter->kind == GRAD_PARAMETER_TRAINABLE)
      n += grad_shape_n_elements (&parameter->shape);
  }
  return n;
}

GPtrArray *
grad_parameter_store_list (GradParameterStore * store)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&store->lock);
  GPtrArray *list = g_ptr_array_new ();

  g_ptr_array_extend (list, store->list, NULL, NULL);
  return list;
}

static void
grad_parameter_store_finalize (GObject * object)
{
  GradParameterStore *self = GRAD_PARAMETER_STORE (object);

  g_hash_table_unref (self->by_name);
  g_ptr_array_unref (self->list);
  g_free (self->location);
  g_clear_object (&self->file);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (grad_parameter_store_parent_class)->finalize (object);
}

static void
grad_parameter_store_class_init (GradParameterStoreClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = grad_parameter_store_finalize;
}

static void
grad_parameter_store_init (GradParameterStore * self)
{
  g_mutex_init (&self->lock);
  self->list = g_ptr_array_new_with_free_func ((GDestroyNotify) parameter_free);
  self->by_name = g_hash_table_new (g_str_hash, g_str_equal);
}
