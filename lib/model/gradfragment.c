/* GradStreamer: the network that a model file describes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   fragment = layer *("!" layer)
 *   layer = factory *(property "=" value)
 *   value = 1*(letter / digit / "_" / "-" / "+" / "/" / ":" / ".") / quoted string as gst_value_serialize() writes it
 *
 * Looks like a launch string, but strangers wrote it: it can make layers and set what they are, and nothing else. */
#include "gradmodel-private.h"
#include "../base/gradlayer.h"

#include <string.h>

#define PLUGIN "gradstreamer"
#define MAX_BYTES 65536
#define MAX_LAYERS 256
#define MAX_WORD 64             /* of factories and properties */
#define MAX_VALUE 256

#define LETTERS "abcdefghijklmnopqrstuvwxyz0123456789"
#define BARE LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-+/:."

typedef struct
{
  const gchar *text, *p;
  guint n_layers;
  GstElement *layer;            /* that is read, not owned */
  GradNetwork *network;         /* numbers prefixes */
} Reader;

static gboolean fail (Reader * r, GError ** error, const gchar * format, ...)
    G_GNUC_PRINTF (3, 4);

static gboolean
fail (Reader * r, GError ** error, const gchar * format, ...)
{
  g_autofree gchar *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "network, byte %u, layer %u%s%s: %s",
      (guint) (r->p - r->text), r->n_layers + 1, r->layer ? ", " : "", r->layer
      ? GST_OBJECT_NAME (gst_element_get_factory (r->layer)) : "", what);
  return FALSE;
}

static void
skip_space (Reader * r)
{
  r->p += strspn (r->p, " \t\r\n");
}

/* NULL when there is none, or one too long */
static gchar *
read_word (Reader * r, const gchar * letters, gsize max)
{
  gsize n = strspn (r->p, letters);
  gchar *word = n > 0 && n <= max ? g_strndup (r->p, n) : NULL;

  r->p += word ? n : 0;
  return word;
}

/* "…" with \" and \377 in it; nothing but ASCII otherwise. NULL when it does not end, or is no text. */
static gchar *
read_quoted (Reader * r)
{
  g_autoptr (GString) s = g_string_new (NULL);
  const gchar *p;

  for (p = r->p + 1; *p != '"' && s->len < MAX_VALUE; p++) {
    gchar c = *p;

    if (c == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0'
        && p[3] <= '7') {
      c = (p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0');
      p += 3;
    } else if (c == '\\')
      c = *++p;
    if (!g_ascii_isprint (*p) || c == '\0')
      return NULL;
    g_string_append_c (s, c);
  }
  if (*p != '"')
    return NULL;
  r->p = p + 1;
  return grad_text_is_printable (s->str) ? g_string_free (g_steal_pointer (&s), FALSE) : NULL;
}

static gchar *
read_value (Reader * r)
{
  return *r->p == '"' ? read_quoted (r) : read_word (r, BARE, MAX_VALUE);
}

/* Properties that are structural have one of these types. */
static gboolean
parse_value (GParamSpec * spec, const gchar * text, GValue * value)
{
  g_value_init (value, spec->value_type);
  if (G_IS_PARAM_SPEC_STRING (spec)) {
    g_value_set_string (value, text);
    return TRUE;
  }
  if (G_IS_PARAM_SPEC_BOOLEAN (spec)) {
    g_value_set_boolean (value, g_str_equal (text, "true"));
    return g_value_get_boolean (value) || g_str_equal (text, "false");
  }
  if (G_IS_PARAM_SPEC_INT (spec)) {
    gint64 number = 0;

    if (!g_ascii_string_to_signed (text, 10, G_MININT, G_MAXINT, &number, NULL))
      return FALSE;
    g_value_set_int (value, number);
    return TRUE;
  }
  if (G_IS_PARAM_SPEC_ENUM (spec)) {
    GEnumValue *found = g_enum_get_value_by_nick (G_PARAM_SPEC_ENUM (spec)->enum_class, text);

    g_value_set_enum (value, found ? found->value : 0);
    return found != NULL;
  }
  g_return_val_if_reached (FALSE);
}

/* name=value */
static gboolean
read_property (Reader * r, GPtrArray * seen, GError ** error)
{
  g_autofree gchar *name = read_word (r, LETTERS "-", MAX_WORD), *text = NULL;
  g_auto (GValue) value = G_VALUE_INIT;
  GParamSpec *spec;

  if (name == NULL || *r->p != '=')
    return fail (r, error, "expected property=value, \"!\" or the end");
  spec = g_object_class_find_property (G_OBJECT_GET_CLASS (r->layer), name);
  if (spec == NULL || !(spec->flags & GRAD_PARAM_STRUCTURAL))
    return fail (r, error, "no property \"%s\" of it can be in a model", name);
  if (g_ptr_array_find (seen, spec, NULL))
    return fail (r, error, "%s is there twice", name);
  g_ptr_array_add (seen, spec);

  r->p++;
  text = read_value (r);
  if (text == NULL || strchr (" \t\r\n!", *r->p) == NULL)
    return fail (r, error, "expected a value of %s, at most %d bytes, quoted if need be", name,
        MAX_VALUE);
  if (!parse_value (spec, text, &value) || g_param_value_validate (spec, &value))
    return fail (r, error, "%s cannot be \"%s\"", name, text);
  g_object_set_property (G_OBJECT (r->layer), name, &value);
  return TRUE;
}

/* Nothing is loaded or made that is no layer of ours; what has before(), the loss, is not part of a network's structure. */
static GstElement *
create_layer (const gchar * name)
{
  g_autoptr (GstElementFactory) found = gst_element_factory_find (name), factory = NULL;
  g_autoptr (GTypeClass) klass = NULL;
  GType type;

  if (found == NULL || g_strcmp0 (gst_plugin_feature_get_plugin_name (GST_PLUGIN_FEATURE (found)),
          PLUGIN) != 0)
    return NULL;
  factory = GST_ELEMENT_FACTORY (gst_plugin_feature_load (GST_PLUGIN_FEATURE (found)));
  type = factory ? gst_element_factory_get_element_type (factory) : G_TYPE_INVALID;
  if (!g_type_is_a (type, GRAD_TYPE_LAYER))
    return NULL;
  klass = g_type_class_ref (type);
  return GRAD_LAYER_CLASS (klass)->before ? NULL : gst_element_factory_create (factory, NULL);
}

/* Layers that do not say their prefix get it now, and so the same one whatever network they join. */
static void
set_prefix (Reader * r)
{
  const gchar *kind = GRAD_LAYER_GET_CLASS (r->layer)->prefix_kind;
  g_autofree gchar *prefix = NULL;

  g_object_get (r->layer, "param-prefix", &prefix, NULL);
  if (prefix == NULL && kind != NULL) {
    prefix = grad_network_next_prefix (r->network, kind);
    g_object_set (r->layer, "param-prefix", prefix, NULL);
  }
}

static gboolean
read_layer (Reader * r, GPtrArray * layers, GError ** error)
{
  g_autofree gchar *name = NULL;
  g_autoptr (GPtrArray) seen = g_ptr_array_new ();

  r->layer = NULL;
  r->n_layers = layers->len;
  if (layers->len == MAX_LAYERS)
    return fail (r, error, "more than %d layers", MAX_LAYERS);
  skip_space (r);
  name = read_word (r, LETTERS, MAX_WORD);
  if (name == NULL || strchr (" \t\r\n!", *r->p) == NULL)
    return fail (r, error, "expected the name of a layer");
  r->layer = create_layer (name);
  if (r->layer == NULL)
    return fail (r, error, "\"%s\" is no layer of this version of GradStreamer", name);
  g_ptr_array_add (layers, gst_object_ref_sink (r->layer));
  for (skip_space (r); *r->p != '\0' && *r->p != '!'; skip_space (r))
    if (!read_property (r, seen, error))
      return FALSE;
  set_prefix (r);
  return TRUE;
}

GPtrArray *
grad_fragment_create_layers (const gchar * fragment, GError ** error)
{
  g_autoptr (GPtrArray) layers = g_ptr_array_new_with_free_func (gst_object_unref);
  g_autoptr (GradNetwork) network = grad_network_new ("model");
  Reader r = {.text = fragment,.p = fragment,.network = network };

  if (strlen (fragment) > MAX_BYTES) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "network: longer than %d bytes", MAX_BYTES);
    return NULL;
  }
  while (read_layer (&r, layers, error)) {
    if (*r.p == '\0')
      return g_steal_pointer (&layers);
    r.p++;                      /* "!" */
  }
  return NULL;
}
