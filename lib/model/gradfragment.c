/* GradStreamer: a network as a launch fragment
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradfragment.h"
#include "../base/gradlayer.h"

/* "factory name=value …" with the properties that say what the layer is, as far as they differ from defaults */
static gchar *
describe (GstElement * element)
{
  GstElementFactory *factory = gst_element_get_factory (element);
  GString *text = g_string_new (GST_OBJECT_NAME (factory));
  guint n;
  g_autofree GParamSpec **specs =
      g_object_class_list_properties (G_OBJECT_GET_CLASS (element), &n);

  for (guint i = 0; i < n; i++) {
    g_auto (GValue) value = G_VALUE_INIT;
    g_autofree gchar *s = NULL;

    if (!(specs[i]->flags & GRAD_PARAM_STRUCTURAL))
      continue;
    g_value_init (&value, specs[i]->value_type);
    g_object_get_property (G_OBJECT (element), specs[i]->name, &value);
    if (g_param_value_defaults (specs[i], &value))
      continue;
    s = gst_value_serialize (&value);
    g_string_append_printf (text, " %s=%s", specs[i]->name, s && *s ? s : "\"\"");
  }
  return g_string_free (text, FALSE);
}

/**
 * grad_fragment_from_pad: (skip)
 * @sinkpad: sink pad behind the network
 * @model_name: name of the network
 *
 * Walks upstream and writes down the network's layers, in the order of the flow. Elements that are no layers
 * (queue, identity, tee …) are left out, and so is the loss, which has no structure.
 *
 * Returns: (transfer full): "gradconvstem channels=64 ! gradresstage …"; empty when there are no layers
 */
gchar *
grad_fragment_from_pad (GstPad * sinkpad, const gchar * model_name)
{
  GString *text = g_string_new (NULL);
  GstPad *pad = gst_object_ref (sinkpad);

  while (pad != NULL) {
    g_autoptr (GstPad) peer = gst_pad_get_peer (pad);
    g_autoptr (GstElement) element = peer ? gst_pad_get_parent_element (peer) : NULL;

    gst_object_unref (pad);
    if (element == NULL)
      break;
    if (GRAD_IS_LAYER (element)) {
      g_autofree gchar *name = NULL;

      g_object_get (element, "model-name", &name, NULL);
      if (g_strcmp0 (name, model_name) == 0 && !GRAD_LAYER_GET_CLASS (element)->before) {
        g_autofree gchar *layer = describe (element);

        if (text->len > 0)
          g_string_prepend (text, " ! ");
        g_string_prepend (text, layer);
      }
    }
    pad = element->sinkpads ? gst_object_ref (element->sinkpads->data) : NULL;
  }
  return g_string_free (text, FALSE);
}
