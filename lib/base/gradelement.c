/* GradStreamer: what every element does with the bus, its device and errors
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradelement.h"
#include "../autograd/gradnetwork-private.h"
#include "../device/graddevice-private.h"

/* Calls CASE (fundamental type, C type, name in g_value_…) for each type that a property can have. */
#define FIELD_TYPES(CASE) \
  CASE (G_TYPE_BOOLEAN, gboolean, boolean) \
  CASE (G_TYPE_INT, gint, int) \
  CASE (G_TYPE_UINT, guint, uint) \
  CASE (G_TYPE_UINT64, guint64, uint64) \
  CASE (G_TYPE_DOUBLE, gdouble, double) \
  CASE (G_TYPE_ENUM, gint, enum)

/**
 * grad_element_set_property: (skip)
 * @object: an element
 * @id: bytes from the instance to the field, which are negative for private data
 * @value: its new value: boolean, int, uint, uint64, double, enumeration, string or fraction (two ints)
 * @pspec: the property
 */
void
grad_element_set_property (GObject * object, guint id, const GValue * value, GParamSpec * pspec)
{
  gpointer field = G_STRUCT_MEMBER_P (object, (gint) id);

  GST_OBJECT_LOCK (object);
  switch (G_TYPE_FUNDAMENTAL (G_VALUE_TYPE (value))) {
#define CASE(type, ctype, name) \
    case type: *(ctype *) field = g_value_get_##name (value); break;
      FIELD_TYPES (CASE)
#undef CASE
    case G_TYPE_STRING:
      g_free (*(gchar **) field);
      *(gchar **) field = g_value_dup_string (value);
      break;
    default:
      ((gint *) field)[0] = gst_value_get_fraction_numerator (value);
      ((gint *) field)[1] = gst_value_get_fraction_denominator (value);
  }
  GST_OBJECT_UNLOCK (object);
}

/**
 * grad_element_get_property: (skip)
 * @object: an element
 * @id: as for grad_element_set_property()
 * @value: where its value goes
 * @pspec: the property
 */
void
grad_element_get_property (GObject * object, guint id, GValue * value, GParamSpec * pspec)
{
  gpointer field = G_STRUCT_MEMBER_P (object, (gint) id);

  GST_OBJECT_LOCK (object);
  switch (G_TYPE_FUNDAMENTAL (G_VALUE_TYPE (value))) {
#define CASE(type, ctype, name) \
    case type: g_value_set_##name (value, *(ctype *) field); break;
      FIELD_TYPES (CASE)
#undef CASE
    case G_TYPE_STRING:
      g_value_set_string (value, *(gchar **) field);
      break;
    default:
      gst_value_set_fraction (value, ((gint *) field)[0], ((gint *) field)[1]);
  }
  GST_OBJECT_UNLOCK (object);
}

/* A value that GObject would leave out, with the default: a field is never without a value. */
static void
check_value (GType type, GObjectConstructParam * param, GValue * checked)
{
  GstElementFactory *factory = GST_ELEMENT_CLASS (g_type_class_peek (type))->elementfactory;
  const gchar *element = factory ? GST_OBJECT_NAME (factory) : g_type_name (type);
  GParamSpec *pspec = param->pspec;
  g_autofree gchar *given = NULL, *used = NULL;

  g_value_init (checked, pspec->value_type);
  if (g_value_transform (param->value, checked) && !g_param_value_validate (pspec, checked))
    return;
  g_param_value_set_default (pspec, checked);
  given = g_strdup_value_contents (param->value);
  used = g_strdup_value_contents (checked);
  g_warning ("%s: %s cannot be %s (gst-inspect-1.0 %s says what it can be); by default it is %s", element,
      pspec->name, given, element, used);
  param->value = checked;
}

/* Parsers set properties while they make an element. */
static GObject *
construct (GType type, guint n, GObjectConstructParam * params)
{
  g_autofree GValue *checked = g_new0 (GValue, n);
  GType base = type;
  GObject *object;

  for (guint i = 0; i < n; i++)
    check_value (type, &params[i], &checked[i]);
  while (G_OBJECT_CLASS (g_type_class_peek (base))->constructor == construct)
    base = g_type_parent (base);
  object = G_OBJECT_CLASS (g_type_class_peek (base))->constructor (type, n, params);
  for (guint i = 0; i < n; i++)
    g_value_unset (&checked[i]);
  return object;
}

/**
 * grad_element_class_init_properties: (skip)
 * @object_class: a class of elements
 *
 * Its properties are fields. A value that is not possible is replaced by the default, with a warning, in construction, too.
 */
void
grad_element_class_init_properties (GObjectClass * object_class)
{
  object_class->constructor = construct;
  object_class->set_property = grad_element_set_property;
  object_class->get_property = grad_element_get_property;
}

static gboolean
query_pad (GstElement * element, GstPad * pad, gpointer query)
{
  return !gst_pad_peer_query (pad, query);      /* stop at the first that answers */
}

/* Joins the bus that the element's own contexts know. */
static gboolean
join_known (GstElement * element, GradBus ** bus)
{
  g_autoptr (GstContext) context = gst_element_get_context (element, GRAD_BUS_CONTEXT_TYPE);
  g_autoptr (GradBus) known = context ? grad_bus_from_context (context) : NULL;

  if (known != NULL && grad_bus_join (known))
    *bus = g_steal_pointer (&known);
  return *bus != NULL;
}

static gboolean
join_neighbour (GstElement * element, GradBus ** bus)
{
  g_autoptr (GstQuery) query = gst_query_new_context (GRAD_BUS_CONTEXT_TYPE);
  GstContext *context = NULL;

  if (gst_element_foreach_src_pad (element, query_pad, query)
      && gst_element_foreach_sink_pad (element, query_pad, query))
    return FALSE;
  gst_query_parse_context (query, &context);
  if (context != NULL)
    gst_element_set_context (element, context);
  return join_known (element, bus);
}

/**
 * grad_element_join_bus: (skip)
 * @element: an element that goes from NULL to READY
 * @bus: (out): where it keeps its bus
 *
 * Finds the pipeline's bus: its own context, a neighbour's, that of a bin or the application; or makes one and
 * tells everybody.
 */
void
grad_element_join_bus (GstElement * element, GradBus ** bus)
{
  *bus = NULL;
  if (join_known (element, bus) || join_neighbour (element, bus))
    return;

  gst_element_post_message (element,
      gst_message_new_need_context (GST_OBJECT (element), GRAD_BUS_CONTEXT_TYPE));
  if (!join_known (element, bus)) {
    g_autoptr (GradBus) own = grad_bus_new_for_run ();
    g_autoptr (GstContext) context = grad_bus_to_context (own);

    gst_element_set_context (element, context);
    join_known (element, bus);
    gst_element_post_message (element,
        gst_message_new_have_context (GST_OBJECT (element), gst_context_ref (context)));
  }
}

/**
 * grad_element_leave_bus: (skip)
 * @bus: (inout): where an element keeps its bus, which may be %NULL
 */
void
grad_element_leave_bus (GradBus ** bus)
{
  if (*bus != NULL)
    grad_bus_leave (*bus);
  g_clear_object (bus);
}

static GstContext *
share_context (GradDevice * device, const gchar * type)
{
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (device);

  return klass->share_context ? klass->share_context (device, type) : NULL;
}

/* A decoder asks before it opens its device, and then takes ours: so it may be we who have to open ours now. */
static GstContext *
query_device (GstElement * element, GradBus * bus, const gchar * type)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GradDevice) device = NULL;

  if (!g_strv_contains (grad_backend_context_types (), type))
    return NULL;
  device = grad_bus_get_device (bus, &error);
  if (device == NULL)           /* who needs it will say so */
    GST_INFO_OBJECT (element, "no %s to share: %s", type, error->message);
  return device ? share_context (device, type) : NULL;
}

/**
 * grad_element_query_context: (skip)
 * @element: an element
 * @query: any query
 * @bus: (nullable): its bus
 *
 * Returns: whether @query asked for the bus or for what the device shares, and was answered
 */
gboolean
grad_element_query_context (GstElement * element, GstQuery * query, GradBus * bus)
{
  const gchar *type;
  g_autoptr (GstContext) context = NULL;

  if (GST_QUERY_TYPE (query) != GST_QUERY_CONTEXT || bus == NULL
      || !gst_query_parse_context_type (query, &type))
    return FALSE;
  context = g_str_equal (type, GRAD_BUS_CONTEXT_TYPE) ? grad_bus_to_context (bus)
      : query_device (element, bus, type);
  if (context != NULL)
    gst_query_set_context (query, context);
  return context != NULL;
}

/* For elements that are not linked to one of ours when they ask: bins answer NEED_CONTEXT with what they have heard of. */
static void
offer_contexts (GstElement * element, GradDevice * device)
{
  for (const gchar * const *type = grad_backend_context_types (); *type; type++) {
    GstContext *context = share_context (device, *type);

    if (context != NULL)
      gst_element_post_message (element,
          gst_message_new_have_context (GST_OBJECT (element), context));
  }
}

/**
 * grad_element_open_device: (skip)
 * @element: an element that goes from READY to PAUSED
 * @bus: its bus
 * @error: location of a #GError
 *
 * The pipeline's device. Whoever asks first says which it is at INFO and in an element message "grad-device", and offers
 * what other elements may share of it.
 *
 * Returns: (transfer full) (nullable): the device, or %NULL as grad_bus_get_device()
 */
GradDevice *
grad_element_open_device (GstElement * element, GradBus * bus, GError ** error)
{
  GradDevice *device = grad_bus_get_device (bus, error);
  g_autofree gchar *library = NULL;
  const gchar *precision;

  if (device == NULL || g_object_replace_qdata (G_OBJECT (device),
          g_quark_from_static_string ("grad-announced"), NULL, device, NULL, NULL) == FALSE)
    return device;
  precision = grad_precision_to_string (grad_device_get_precision (device));
  GST_INFO_OBJECT (element, "computing on %s, %s, %u threads", grad_device_get_name (device),
      precision, grad_device_get_threads (device));
  if (GRAD_DEVICE_GET_CLASS (device)->get_library)
    library = GRAD_DEVICE_GET_CLASS (device)->get_library (device);
  gst_element_post_message (element, gst_message_new_element (GST_OBJECT (element),
          gst_structure_new ("grad-device", "name", G_TYPE_STRING, grad_device_get_name (device),
              "precision", G_TYPE_STRING, precision, "threads", G_TYPE_UINT,
              grad_device_get_threads (device), "library", G_TYPE_STRING, library, NULL)));
  offer_contexts (element, device);
  return device;
}

static void
post_error (GstElement * element, const GError * error)
{
#define POST(domain, code) \
  GST_ELEMENT_ERROR (element, domain, code, ("%s", error->message), (NULL)); \
  break

  switch (error->domain == GRAD_ERROR ? (GradError) error->code : GRAD_ERROR_FAILED) {
    case GRAD_ERROR_SHAPE:
      POST (STREAM, FORMAT);
    case GRAD_ERROR_DEVICE:
      POST (RESOURCE, NOT_FOUND);
    case GRAD_ERROR_NO_MEMORY:
      POST (RESOURCE, NO_SPACE_LEFT);
    case GRAD_ERROR_FILE:
      POST (STREAM, WRONG_TYPE);
    case GRAD_ERROR_IO:
      POST (RESOURCE, OPEN_READ_WRITE);
    case GRAD_ERROR_UNSUPPORTED:
    case GRAD_ERROR_SETTINGS:
      POST (LIBRARY, SETTINGS);
    case GRAD_ERROR_LABEL:
    case GRAD_ERROR_NOT_FINITE:
      POST (STREAM, DECODE);
    default:
      POST (LIBRARY, FAILED);
  }
#undef POST
}

/**
 * grad_element_fail: (skip)
 * @element: a #GstElement
 * @error: (transfer full): what went wrong
 *
 * Posts an error message of the kind that fits. Not to be called with the object lock.
 *
 * Returns: %FALSE
 */
gboolean
grad_element_fail (gpointer element, GError * error)
{
  post_error (element, error);
  g_error_free (error);
  return FALSE;
}

/**
 * grad_query_add_latency: (skip)
 * @query: an answered latency query
 * @latency: what an element adds to it, in ns
 */
void
grad_query_add_latency (GstQuery * query, GstClockTime latency)
{
  GstClockTime min, max;
  gboolean live;

  gst_query_parse_latency (query, &live, &min, &max);
  gst_query_set_latency (query, live, min + latency,
      GST_CLOCK_TIME_IS_VALID (max) ? max + latency : max);
}

/**
 * grad_event_parse_dataset: (skip)
 * @event: any event
 *
 * Returns: (transfer none) (nullable): the structure of a #GRAD_DATASET_EVENT, or %NULL
 */
const GstStructure *
grad_event_parse_dataset (GstEvent * event)
{
  const GstStructure *s = gst_event_get_structure (event);

  return GST_EVENT_TYPE (event) == GST_EVENT_CUSTOM_DOWNSTREAM_STICKY && s
      && gst_structure_has_name (s, GRAD_DATASET_EVENT) ? s : NULL;
}
