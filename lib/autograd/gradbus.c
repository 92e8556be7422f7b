/* GradStreamer: the gradient bus, shared by the elements of a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradbus.h"
#include "gradnetwork-private.h"

struct _GradBus
{
  GObject parent;

  GMutex lock;                  /* guards the rest */
  GHashTable *networks;         /* model name -> GradNetwork */
  gchar *device_name;
  GradDeviceSettings settings;
  GradDevice *device;
  guint64 seed;
  gboolean seeded;
  gboolean one_run;             /* made by an element: over when the last one has left */
  guint n_users;
  gboolean over;
};

G_DEFINE_FINAL_TYPE (GradBus, grad_bus, G_TYPE_OBJECT);

enum
{
  PARAMETER_GRADIENT,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

/**
 * grad_bus_new:
 *
 * Returns: (transfer full): a bus without networks
 */
GradBus *
grad_bus_new (void)
{
  return g_object_new (GRAD_TYPE_BUS, NULL);
}

/* A bus that ends with the run that it is made for: when all elements that joined it have left. */
GradBus *
grad_bus_new_for_run (void)
{
  GradBus *bus = grad_bus_new ();

  bus->one_run = TRUE;
  return bus;
}

/* FALSE when its run is over: a bin whose change of state failed still has the context. */
gboolean
grad_bus_join (GradBus * bus)
{
  gboolean ok;

  g_mutex_lock (&bus->lock);
  ok = !bus->over;
  bus->n_users += ok;
  g_mutex_unlock (&bus->lock);
  return ok;
}

void
grad_bus_leave (GradBus * bus)
{
  g_mutex_lock (&bus->lock);
  bus->over = --bus->n_users == 0 && bus->one_run;
  g_mutex_unlock (&bus->lock);
}

/**
 * grad_bus_to_context:
 * @bus: a bus
 *
 * Returns: (transfer full): a context for gst_element_set_context(), so that several pipelines share @bus
 */
GstContext *
grad_bus_to_context (GradBus * bus)
{
  GstContext *context = gst_context_new (GRAD_BUS_CONTEXT_TYPE, !bus->one_run);    /* what an application has set stays */

  gst_structure_set (gst_context_writable_structure (context), "bus", GRAD_TYPE_BUS, bus, NULL);
  return context;
}

/**
 * grad_bus_from_context:
 * @context: any context
 *
 * Returns: (transfer full) (nullable): the bus in it, or %NULL when it carries something else
 */
GradBus *
grad_bus_from_context (GstContext * context)
{
  GradBus *bus = NULL;

  if (gst_context_has_context_type (context, GRAD_BUS_CONTEXT_TYPE))
    gst_structure_get (gst_context_get_structure (context), "bus", GRAD_TYPE_BUS, &bus, NULL);
  return bus;
}

/**
 * grad_bus_get_network:
 * @bus: a bus
 * @model_name: (nullable): name of the network, or %NULL or "" for "main"
 *
 * Returns: (transfer full): the network of that name, made when there was none
 */
GradNetwork *
grad_bus_get_network (GradBus * bus, const gchar * model_name)
{
  GradNetwork *network;

  model_name = grad_network_name_or_main (model_name);
  g_mutex_lock (&bus->lock);
  network = g_hash_table_lookup (bus->networks, model_name);
  if (network == NULL) {
    network = grad_network_new (model_name);
    network->bus = bus;
    grad_parameter_store_set_seed (network->store, bus->seed);
    g_hash_table_insert (bus->networks, network->name, network);
  }
  g_object_ref (network);
  g_mutex_unlock (&bus->lock);
  return network;
}

/**
 * grad_bus_set_seed:
 * @bus: a bus
 * @seed: seed of everything random in the run
 * @error: location of a #GError
 *
 * Returns: %FALSE with %GRAD_ERROR_SETTINGS when another seed was set
 */
gboolean
grad_bus_set_seed (GradBus * bus, guint64 seed, GError ** error)
{
  GHashTableIter iter;
  gpointer network;
  gboolean ok;

  g_mutex_lock (&bus->lock);
  ok = !bus->seeded || bus->seed == seed;
  if (ok) {
    bus->seeded = TRUE;
    bus->seed = seed;
    g_hash_table_iter_init (&iter, bus->networks);
    while (g_hash_table_iter_next (&iter, NULL, &network))
      grad_parameter_store_set_seed (((GradNetwork *) network)->store, seed);
  } else
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "seed=%" G_GUINT64_FORMAT
        " contradicts seed=%" G_GUINT64_FORMAT ", that of another source or of the training to resume",
        seed, bus->seed);
  g_mutex_unlock (&bus->lock);
  return ok;
}

/**
 * grad_bus_get_seed:
 * @bus: a bus
 *
 * Returns: the seed of the run, 0 when none was set
 */
guint64
grad_bus_get_seed (GradBus * bus)
{
  guint64 seed;

  g_mutex_lock (&bus->lock);
  seed = bus->seed;
  g_mutex_unlock (&bus->lock);
  return seed;
}

static gboolean
contradiction (GError ** error, const gchar * what)
{
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
      "two elements ask for a different %s: a pipeline has one device; set it on one element", what);
  return FALSE;
}

/**
 * grad_bus_add_settings:
 * @bus: a bus
 * @settings: what one element asks for; name %NULL, precision default, 0 threads ask for nothing; precision auto
 *   agrees with any other
 * @error: location of a #GError
 *
 * Collects what the device is to be opened with.
 *
 * Returns: %FALSE with %GRAD_ERROR_SETTINGS when it contradicts what another element asked for, or comes after
 *   the device was opened with something else
 */
gboolean
grad_bus_add_settings (GradBus * bus, const GradDeviceSettings * settings, GError ** error)
{
  GradDeviceSettings *have = &bus->settings;
  gboolean ok = TRUE;

  g_mutex_lock (&bus->lock);
  if (bus->device != NULL) {    /* too late to choose */
    have->name = grad_device_get_name (bus->device);
    have->precision = grad_device_get_precision (bus->device);
    have->threads = grad_device_get_threads (bus->device);
  }
  if (settings->name && have->name && !g_str_equal (settings->name, have->name))
    ok = contradiction (error, "device");
  else if (settings->precision > GRAD_PRECISION_AUTO && have->precision > GRAD_PRECISION_AUTO
      && settings->precision != have->precision)
    ok = contradiction (error, "precision");
  else if (settings->threads && have->threads && settings->threads != have->threads)
    ok = contradiction (error, "number of threads");
  else if (bus->device && settings->deterministic && !have->deterministic)
    ok = contradiction (error, "value of deterministic");
  else {
    if (settings->name && !have->name)
      have->name = bus->device_name = g_strdup (settings->name);
    have->precision = MAX (have->precision, settings->precision);
    if (settings->threads)
      have->threads = settings->threads;
    have->deterministic |= settings->deterministic;
  }
  g_mutex_unlock (&bus->lock);
  return ok;
}

/**
 * grad_bus_get_device:
 * @bus: a bus
 * @error: location of a #GError
 *
 * Returns: (transfer full) (nullable): the pipeline's device, opened at the first call, or %NULL as
 *   grad_device_open()
 */
GradDevice *
grad_bus_get_device (GradBus * bus, GError ** error)
{
  GradDevice *device;

  g_mutex_lock (&bus->lock);
  if (bus->device == NULL)
    bus->device = grad_device_open (&bus->settings, error);
  device = bus->device ? g_object_ref (bus->device) : NULL;
  g_mutex_unlock (&bus->lock);
  return device;
}

/* Whether anybody wants to know of gradients. */
gboolean
grad_bus_is_heard (GradBus * bus)
{
  return g_signal_has_handler_pending (bus, signals[PARAMETER_GRADIENT], 0, TRUE);
}

void
grad_bus_announce (GradBus * bus, GradNetwork * network, GradParameter * parameter)
{
  g_signal_emit (bus, signals[PARAMETER_GRADIENT], 0, network->name, parameter->name, parameter->grad);
}

static void
orphan_network (gpointer network)
{
  ((GradNetwork *) network)->bus = NULL;
  g_object_unref (network);
}

static void
grad_bus_finalize (GObject * object)
{
  GradBus *self = GRAD_BUS (object);

  g_hash_table_unref (self->networks);
  g_clear_object (&self->device);
  g_free (self->device_name);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (grad_bus_parent_class)->finalize (object);
}

/* What gst-launch-1.0 prints when it hears of the bus. */
static void
bus_to_string (const GValue * bus, GValue * string)
{
  g_value_set_static_string (string, g_value_get_object (bus) ? "here" : "none");
}

static void
grad_bus_class_init (GradBusClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = grad_bus_finalize;
  g_value_register_transform_func (GRAD_TYPE_BUS, G_TYPE_STRING, bus_to_string);

  /**
   * GradBus::parameter-gradient:
   * @bus: the bus
   * @model_name: the network
   * @name: name of the parameter
   * @gradient: its gradient, valid until the end of the step
   *
   * A parameter's gradient is final, while earlier layers still compute theirs. Emitted in the thread of the
   * optimizer sink, which waits: the place to look at gradients, or to change them (all-reduce).
   */
  signals[PARAMETER_GRADIENT] = g_signal_new ("parameter-gradient", GRAD_TYPE_BUS,
      G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 3, G_TYPE_STRING, G_TYPE_STRING,
      GRAD_TYPE_TENSOR);
}

static void
grad_bus_init (GradBus * self)
{
  g_mutex_init (&self->lock);
  self->networks = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, orphan_network);
}
