/* GradStreamer: the unit, the smallest thing with forward, backward and parameters
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradunit-private.h"
#include "../device/gradrecording.h"
#include "../model/gradparameter-private.h"

#include <string.h>

/* What a unit keeps per combination of input shapes and mode. */
typedef struct
{
  GradShape inputs[GRAD_UNIT_MAX_INPUTS];
  GradShape output;
  GradUnitMode mode;
  gpointer plan;                /* the subclass's */
  gint users;                   /* atomic: nodes, plus one for the list */
} Entry;

/* More shapes than these (videos of changing size, say) push out what has not been used for longest. */
#define MAX_PLANS 16

typedef struct
{
  GradDevice *device;
  GradParameterStore *store;
  guint64 id;
  gpointer owner;               /* not owned, see grad_unit_get_owner() */
  gint frozen;                  /* atomic */
  gchar *owner_name;
  GPtrArray *parameters;        /* not owned: the store's; fixed after the first prepare */
  gint channels;                /* that the parameters were made for */
  GQueue plans;                 /* Entry, last used first */
} GradUnitPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (GradUnit, grad_unit, G_TYPE_OBJECT);
#define PRIV(u) ((GradUnitPrivate *) grad_unit_get_instance_private (u))

/**
 * grad_value_clear:
 * @value: a value
 *
 * Drops both references.
 */
void
grad_value_clear (GradValue * value)
{
  g_clear_pointer (&value->tensor, grad_tensor_unref);
  g_clear_pointer (&value->node, grad_node_unref);
}

GradDevice *
grad_unit_get_device (GradUnit * unit)
{
  return PRIV (unit)->device;
}

guint64
grad_unit_get_id (GradUnit * unit)
{
  return PRIV (unit)->id;
}

gpointer
grad_unit_get_owner (GradUnit * unit)
{
  return PRIV (unit)->owner;
}

const gchar *
grad_unit_get_owner_name (GradUnit * unit)
{
  return PRIV (unit)->owner_name;
}

void
grad_unit_set_owner (GradUnit * unit, gpointer owner)
{
  GradUnitPrivate *priv = PRIV (unit);

  priv->owner = owner;
  g_free (priv->owner_name);
  priv->owner_name = GST_IS_OBJECT (owner) ? gst_object_get_name (owner) : NULL;
}

void
grad_unit_set_frozen (GradUnit * unit, gboolean frozen)
{
  g_atomic_int_set (&PRIV (unit)->frozen, frozen);
}

gboolean
grad_unit_is_frozen (GradUnit * unit)
{
  return g_atomic_int_get (&PRIV (unit)->frozen);
}

GradParameter *
grad_unit_add_parameter (GradUnit * unit, const gchar * prefix, const gchar * name,
    GradParameterKind kind, const GradShape * shape, GradInit init, gsize fan_in, GError ** error)
{
  GradUnitPrivate *priv = PRIV (unit);
  g_autofree gchar *full = g_strconcat (prefix, ".", name, NULL);
  GradParameter *parameter = grad_parameter_store_add (priv->store, priv->device, full, kind,
      shape, init, fan_in, error);
  g_autofree gchar *layer = g_strdup (priv->owner_name);

  if (parameter == NULL)
    return NULL;
  g_ptr_array_add (priv->parameters, parameter);
  /* units in other threads may share it: the first is named */
  if (g_atomic_pointer_compare_and_exchange (&parameter->layer, NULL, layer))
    layer = NULL;
  return parameter;
}

guint
grad_unit_get_n_parameters (GradUnit * unit)
{
  return PRIV (unit)->parameters->len;
}

GradParameter *
grad_unit_get_parameter (GradUnit * unit, guint index)
{
  return PRIV (unit)->parameters->pdata[index];
}

/**
 * grad_unit_infer_shape:
 * @unit: a unit
 * @inputs: (array length=n_inputs): shapes of its inputs
 * @n_inputs: how many
 * @output: (out): shape of its output
 * @error: location of a #GError
 *
 * Says what shape comes out, without preparing anything.
 *
 * Returns: %FALSE with %GRAD_ERROR_SHAPE that names what was got and expected
 */
gboolean
grad_unit_infer_shape (GradUnit * unit, const GradShape * inputs, guint n_inputs,
    GradShape * output, GError ** error)
{
  g_return_val_if_fail (n_inputs >= 1 && n_inputs <= GRAD_UNIT_MAX_INPUTS, FALSE);

  return GRAD_UNIT_GET_CLASS (unit)->infer_shape (unit, inputs, output, error);
}

/**
 * grad_unit_prepare:
 * @unit: a unit
 * @device: (nullable): where it computes, always the same; %NULL: nowhere, and its parameters get no values
 * @store: where its parameters are, always the same
 * @inputs: (array length=n_inputs): shapes of its inputs
 * @n_inputs: how many
 * @output: (out): shape of its output
 * @error: location of a #GError
 *
 * Checks shapes and, at the first call, creates the parameters.
 *
 * Returns: %FALSE with %GRAD_ERROR_SHAPE that names what was got and expected, or an error of
 *   grad_parameter_store_add()
 */
gboolean
grad_unit_prepare (GradUnit * unit, GradDevice * device, GradParameterStore * store,
    const GradShape * inputs, guint n_inputs, GradShape * output, GError ** error)
{
  GradUnitClass *klass = GRAD_UNIT_GET_CLASS (unit);
  GradUnitPrivate *priv = PRIV (unit);
  gboolean first = priv->device == NULL;

  g_return_val_if_fail (first || (priv->device == device && priv->store == store), FALSE);

  if (!grad_unit_infer_shape (unit, inputs, n_inputs, output, error))
    return FALSE;
  g_set_object (&priv->device, device);
  g_set_object (&priv->store, store);
  if (klass->create_parameters == NULL)
    return TRUE;
  if (priv->parameters->len == 0) {
    priv->channels = inputs[0].dims[1];
    if (klass->create_parameters (unit, inputs, error))
      return TRUE;
    g_ptr_array_set_size (priv->parameters, 0);         /* some of them are none */
    return FALSE;
  }
  if (priv->channels != inputs[0].dims[1]) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE,
        "got %d channels, the parameters were made for %d", inputs[0].dims[1], priv->channels);
    return FALSE;
  }
  return TRUE;
}

static void
entry_release (GradUnit * unit, Entry * entry)
{
  if (!g_atomic_int_dec_and_test (&entry->users))
    return;
  if (entry->plan != NULL)
    GRAD_UNIT_GET_CLASS (unit)->free_plan (entry->plan);
  g_free (entry);
}

gpointer
grad_unit_hold_plan (gpointer entry)
{
  g_atomic_int_inc (&((Entry *) entry)->users);
  return entry;
}

void
grad_unit_release_plan (GradUnit * unit, gpointer entry)
{
  entry_release (unit, entry);
}

gpointer
grad_node_get_plan (GradNode * node)
{
  return ((Entry *) node->plan)->plan;
}

const GradShape *
grad_node_get_input_shape (GradNode * node)
{
  return ((Entry *) node->plan)->inputs;
}

static gboolean
make_plan (GradUnit * unit, Entry * entry, GError ** error)
{
  GradUnitClass *klass = GRAD_UNIT_GET_CLASS (unit);
  GradJob job;

  if (klass->plan == NULL)
    return TRUE;
  if (grad_recording_spoil (PRIV (unit)->device)) {        /* ways are tried and timed */
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "it is not planned yet");
    return FALSE;
  }
  grad_job_begin (&job, GRAD_JOB_PLAN, unit);
  entry->plan = klass->plan (unit, entry->inputs, &entry->output, entry->mode, error);
  return entry->plan != NULL && grad_job_end (&job, error);
}

static Entry *
get_plan (GradUnit * unit, const GradShape * inputs, guint n_inputs, GradUnitMode mode,
    GError ** error)
{
  GradUnitClass *klass = GRAD_UNIT_GET_CLASS (unit);
  GradUnitPrivate *priv = PRIV (unit);
  Entry *entry;

  for (GList * l = priv->plans.head; l != NULL; l = l->next) {
    gboolean same;

    entry = l->data;
    same = entry->mode == mode;
    for (guint i = 0; i < n_inputs; i++)
      same = same && grad_shape_equal (&entry->inputs[i], &inputs[i]);
    if (same) {
      g_queue_unlink (&priv->plans, l);
      g_queue_push_head_link (&priv->plans, l);
      return entry;
    }
  }

  entry = g_new0 (Entry, 1);
  memcpy (entry->inputs, inputs, n_inputs * sizeof (GradShape));
  entry->mode = mode;
  entry->users = 1;
  if (!klass->infer_shape (unit, inputs, &entry->output, error)
      || !make_plan (unit, entry, error)) {
    entry_release (unit, entry);
    return NULL;
  }
  g_queue_push_head (&priv->plans, entry);
  if (priv->plans.length > MAX_PLANS)
    entry_release (unit, g_queue_pop_tail (&priv->plans));
  return entry;
}

typedef struct
{
  GradUnit *unit;
  GradStep *step;
  gboolean urgent;
  const GradValue *inputs;
  guint n_inputs;
  GradValue *output;
} Forward;

static gboolean
forward_job (gpointer data, GError ** error)
{
  Forward *f = data;
  GradUnitClass *klass = GRAD_UNIT_GET_CLASS (f->unit);
  GradShape shapes[GRAD_UNIT_MAX_INPUTS];
  GradTensor *tensors[GRAD_UNIT_MAX_INPUTS];
  GradNode *nodes[GRAD_UNIT_MAX_INPUTS];
  gboolean frozen = grad_unit_is_frozen (f->unit), wanted = !frozen;
  Entry *entry;
  GradValue output = { NULL, NULL };
  GradJob job;

  for (guint i = 0; i < f->n_inputs; i++) {
    tensors[i] = f->inputs[i].tensor;
    nodes[i] = f->inputs[i].node;
    shapes[i] = *grad_tensor_get_shape (tensors[i]);
    wanted |= nodes[i] != NULL && nodes[i]->wanted;     /* what is frozen hands it on */
  }
  wanted &= f->step != NULL;
  grad_unit_use_values (f->unit, f->step != NULL);
  entry = get_plan (f->unit, shapes, f->n_inputs, !wanted ? GRAD_UNIT_INFER
      : frozen ? GRAD_UNIT_FROZEN : GRAD_UNIT_TRAIN, error);
  if (entry == NULL)
    return FALSE;
  output.tensor = klass->passthrough ? grad_tensor_ref (tensors[0])
      : grad_tensor_new (PRIV (f->unit)->device, GRAD_DTYPE_FLOAT32, &entry->output, error);
  if (output.tensor == NULL)
    return FALSE;
  if (f->step != NULL) {
    output.node = grad_node_new (f->unit, grad_unit_hold_plan (entry), f->step, nodes, wanted ? f->n_inputs : 0);
    output.node->frozen = frozen;
    output.node->wanted = wanted;
    output.node->output = output.tensor;
    output.node->output_writes = output.tensor->n_writes;
  }
  grad_job_begin (&job, f->step ? GRAD_JOB_FORWARD : f->urgent ? GRAD_JOB_INFER
      : GRAD_JOB_EVALUATE, f->unit);
  if (!klass->forward (f->unit, entry->plan, tensors, output.tensor, wanted ? output.node : NULL,
          error)
      || !grad_job_end_forward (&job, tensors, f->n_inputs, output.tensor, output.node, error)) {
    grad_value_clear (&output);
    return FALSE;
  }
  *f->output = output;
  return TRUE;
}

/**
 * grad_unit_forward:
 * @unit: a prepared unit
 * @step: (nullable): the step to record on, or %NULL to evaluate or infer
 * @urgent: whether this goes before training (inference)
 * @inputs: (array length=n_inputs): inputs
 * @n_inputs: how many
 * @output: (out caller-allocates): where the output goes
 * @error: location of a #GError
 *
 * Computes in a job of the device and waits. With a step, batch statistics are used and a tape node
 * is recorded; without, running statistics. A frozen unit uses running statistics, too; its node wants a gradient only if there is
 * one to hand it on to.
 *
 * Returns: %FALSE with %GRAD_ERROR_NO_MEMORY or the device's error
 */
gboolean
grad_unit_forward (GradUnit * unit, GradStep * step, gboolean urgent, const GradValue * inputs,
    guint n_inputs, GradValue * output, GError ** error)
{
  Forward f = { unit, step, urgent, inputs, n_inputs, output };

  return grad_device_call (PRIV (unit)->device, urgent, forward_job, &f, error);
}

static void
grad_unit_finalize (GObject * object)
{
  GradUnit *self = GRAD_UNIT (object);
  GradUnitPrivate *priv = PRIV (self);
  Entry *entry;

  while ((entry = g_queue_pop_head (&priv->plans)) != NULL)
    entry_release (self, entry);
  g_ptr_array_unref (priv->parameters);
  g_clear_object (&priv->store);
  g_clear_object (&priv->device);
  g_free (priv->owner_name);
  G_OBJECT_CLASS (grad_unit_parent_class)->finalize (object);
}

static void
grad_unit_class_init (GradUnitClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = grad_unit_finalize;
}

static void
grad_unit_init (GradUnit * self)
{
  static gsize n_units;         /* atomic */
  GradUnitPrivate *priv = PRIV (self);

  priv->id = g_atomic_pointer_add (&n_units, 1);
  priv->parameters = g_ptr_array_new ();
  g_queue_init (&priv->plans);
}
