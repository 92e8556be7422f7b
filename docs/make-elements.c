/* GradStreamer: make-elements prints docs/elements.md, made from the elements of a plugin file
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: make-elements PLUGIN.so >docs/elements.md */
#include <gst/gst.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* text in a table's cell */
static void
print_cell (const gchar * text)
{
  for (; *text != '\0'; text++) {
    if (*text == '|')
      putchar ('\\');
    putchar (*text == '\n' ? ' ' : *text);
  }
}

static void
append_number (GString * s, gdouble value)
{
  if (value >= G_MAXDOUBLE || value <= -G_MAXDOUBLE)
    g_string_append (s, value > 0 ? "∞" : "-∞");
  else
    g_string_append_printf (s, "%.15g", value);
}

#define RANGE(PSPEC, CAST, high, format) \
  if (G_IS_PARAM_SPEC_##CAST (pspec)) { \
    GParamSpec##PSPEC *p = G_PARAM_SPEC_##CAST (pspec); \
    g_string_append_printf (s, "%" format, p->minimum); \
    if (p->maximum != high) \
      g_string_append_printf (s, " to %" format, p->maximum); \
    else \
      g_string_append (s, " or more"); \
  }

/* "1 to 10", "0 or more", or the nicks of an enumeration */
static gchar *
describe_range (GParamSpec * pspec)
{
  GString *s = g_string_new (NULL);

  RANGE (Int, INT, G_MAXINT, "d")
  else RANGE (UInt, UINT, G_MAXUINT, "u")
  else RANGE (Int64, INT64, G_MAXINT64, G_GINT64_FORMAT)
  else RANGE (UInt64, UINT64, G_MAXUINT64, G_GUINT64_FORMAT)
  else if (G_IS_PARAM_SPEC_DOUBLE (pspec)) {
    append_number (s, G_PARAM_SPEC_DOUBLE (pspec)->minimum);
    g_string_append (s, " to ");
    append_number (s, G_PARAM_SPEC_DOUBLE (pspec)->maximum);
  } else if (G_IS_PARAM_SPEC_ENUM (pspec)) {
    GEnumClass *klass = G_PARAM_SPEC_ENUM (pspec)->enum_class;

    for (guint i = 0; i < klass->n_values; i++)
      g_string_append_printf (s, "%s%s", i > 0 ? ", " : "", klass->values[i].value_nick);
  }
  return g_string_free (s, FALSE);
}

/* of an enumeration: ". `nick`: What it means; …" */
static void
print_values (GParamSpec * pspec)
{
  GEnumClass *klass = G_IS_PARAM_SPEC_ENUM (pspec) ? G_PARAM_SPEC_ENUM (pspec)->enum_class : NULL;

  for (guint i = 0; klass != NULL && i < klass->n_values; i++) {
    printf ("%s`%s`: ", i > 0 ? "; " : ". ", klass->values[i].value_nick);
    print_cell (klass->values[i].value_name);
  }
}

static const gchar *
describe_type (GParamSpec * pspec)
{
  if (pspec->value_type == GST_TYPE_FRACTION)
    return "fraction";
  switch (G_TYPE_FUNDAMENTAL (pspec->value_type)) {
    case G_TYPE_BOOLEAN:
      return "boolean";
    case G_TYPE_INT:
    case G_TYPE_UINT:
    case G_TYPE_INT64:
    case G_TYPE_UINT64:
      return "integer";
    case G_TYPE_FLOAT:
    case G_TYPE_DOUBLE:
      return "number";
    case G_TYPE_ENUM:
      return "one of";
    case G_TYPE_STRING:
      return "string";
    default:
      return g_type_name (pspec->value_type);
  }
}

static gchar *
describe_default (GParamSpec * pspec)
{
  const GValue *value = g_param_spec_get_default_value (pspec);
  GString *s;

  if (!(pspec->flags & G_PARAM_WRITABLE))
    return g_strdup ("read-only");
  if (G_VALUE_HOLDS_STRING (value))
    return g_strdup (g_value_get_string (value) ? g_value_get_string (value) : "");
  if (G_VALUE_HOLDS_ENUM (value)) {
    GEnumValue *v = g_enum_get_value (G_PARAM_SPEC_ENUM (pspec)->enum_class,
        g_value_get_enum (value));

    return g_strdup (v->value_nick);
  }
  if (G_VALUE_HOLDS_DOUBLE (value)) {
    s = g_string_new (NULL);
    append_number (s, g_value_get_double (value));
    return g_string_free (s, FALSE);
  }
  return gst_value_serialize (value);
}

/* the properties that this very type adds; returns their number */
static guint
print_properties (GObjectClass * klass, GType owner)
{
  guint n, printed = 0;
  g_autofree GParamSpec **pspecs = g_object_class_list_properties (klass, &n);

  for (guint i = 0; i < n; i++) {
    g_autofree gchar *range = NULL, *fallback = NULL;

    if (pspecs[i]->owner_type != owner)
      continue;
    if (printed++ == 0)
      printf ("| property | type | default | meaning |\n|---|---|---|---|\n");
    range = describe_range (pspecs[i]);
    fallback = describe_default (pspecs[i]);
    printf ("| `%s` | %s%s%s | ", pspecs[i]->name, describe_type (pspecs[i]), *range ? " " : "",
        range);
    if (fallback != NULL && *fallback != '\0') {
      putchar ('`');
      print_cell (fallback);
      putchar ('`');
    }
    printf (" | ");
    print_cell (g_param_spec_get_blurb (pspecs[i]) ? g_param_spec_get_blurb (pspecs[i]) : "");
    print_values (pspecs[i]);
    printf (" |\n");
  }
  if (printed > 0)
    putchar ('\n');
  return printed;
}

static void
print_pads (GstElementFactory * factory)
{
  const GList *l = gst_element_factory_get_static_pad_templates (factory);

  for (; l != NULL; l = l->next) {
    GstStaticPadTemplate *template = l->data;
    g_autoptr (GstCaps) caps = gst_static_pad_template_get_caps (template);
    g_autofree gchar *text = gst_caps_to_string (caps);

    printf ("- %s pad `%s`%s: `%s`\n", template->direction == GST_PAD_SRC ? "source" : "sink",
        template->name_template,
        template->presence == GST_PAD_REQUEST ? " (on request)" : "", text);
  }
  putchar ('\n');
}

/* base classes of ours, whose properties are described once for all elements */
static gboolean
is_shared (GType type)
{
  return !g_str_has_prefix (g_type_name (type), "Gst") && !g_str_equal (g_type_name (type),
      "GInitiallyUnowned") && !g_str_equal (g_type_name (type), "GObject");
}

static void
print_element (GstElementFactory * feature, GPtrArray * shared)
{
  g_autoptr (GstPluginFeature) loaded = gst_plugin_feature_load (GST_PLUGIN_FEATURE (feature));
  GstElementFactory *factory = GST_ELEMENT_FACTORY (loaded);
  GType type = gst_element_factory_get_element_type (factory);
  GObjectClass *klass = g_type_class_ref (type);
  guint n = 0;

  printf ("## %s\n\n%s (%s). %s\n\n", GST_OBJECT_NAME (factory),
      gst_element_factory_get_metadata (factory, GST_ELEMENT_METADATA_LONGNAME),
      gst_element_factory_get_metadata (factory, GST_ELEMENT_METADATA_KLASS),
      gst_element_factory_get_metadata (factory, GST_ELEMENT_METADATA_DESCRIPTION));
  print_pads (factory);
  print_properties (klass, type);
  for (type = g_type_parent (type); is_shared (type); type = g_type_parent (type)) {
    g_autofree gchar *anchor = g_ascii_strdown (g_type_name (type), -1);

    printf ("%s [%s](#%s)", n++ == 0 ? "And the properties of" : " and", g_type_name (type),
        anchor);
    if (!g_ptr_array_find (shared, GSIZE_TO_POINTER (type), NULL))
      g_ptr_array_add (shared, GSIZE_TO_POINTER (type));
  }
  if (n > 0)
    printf (".\n\n");
  g_type_class_unref (klass);
}

static gint
compare_features (gconstpointer a, gconstpointer b)
{
  return strcmp (GST_OBJECT_NAME (a), GST_OBJECT_NAME (b));
}

int
main (int argc, char **argv)
{
  g_autoptr (GPtrArray) shared = g_ptr_array_new ();
  g_autoptr (GstPlugin) plugin = NULL;
  g_autoptr (GError) error = NULL;
  GList *features;

  gst_init (&argc, &argv);
  if (argc != 2) {
    fprintf (stderr, "usage: make-elements PLUGIN.so\n");
    return 2;
  }
  plugin = gst_plugin_load_file (argv[1], &error);
  if (plugin == NULL) {
    fprintf (stderr, "make-elements: %s\n", error->message);
    return EXIT_FAILURE;
  }
  printf ("# Elements\n\n"
      "<!-- Made by make-elements from the elements themselves: do not edit. -->\n\n");
  features = gst_registry_get_feature_list_by_plugin (gst_registry_get (),
      gst_plugin_get_name (plugin));
  features = g_list_sort (features, compare_features);
  for (GList * l = features; l != NULL; l = l->next)
    if (GST_IS_ELEMENT_FACTORY (l->data))
      print_element (l->data, shared);
  gst_plugin_feature_list_free (features);

  for (guint i = 0; i < shared->len; i++) {
    GType type = GPOINTER_TO_SIZE (shared->pdata[i]);
    GObjectClass *klass = g_type_class_ref (type);

    printf ("## %s\n\nWhat the elements above that name it have in common.\n\n",
        g_type_name (type));
    print_properties (klass, type);
    g_type_class_unref (klass);
  }
  return EXIT_SUCCESS;
}
