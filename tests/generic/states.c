/* GradStreamer tests: what holds for every element: states, properties, description
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <string.h>

static const gchar *const elements[] = { "gradadamsink", "gradaugment", "gradconvstem", "gradfc",
  "gradglobalpool", "gradloss", "gradmodel", "gradpublish", "gradresize", "gradresstage",
  "gradsgdsink", "idxsrc",
#ifdef HAVE_VIDEO
  "gradbusview", "gradclassify", "gradfromvideo", "gradtovideo",
#ifdef HAVE_PANGO
  "gradoverlay", "gradplotsrc",
#endif
#endif
};

static void
test_description (gconstpointer name)
{
  static const gchar *const keys[] =
      { GST_ELEMENT_METADATA_LONGNAME, GST_ELEMENT_METADATA_KLASS,
    GST_ELEMENT_METADATA_DESCRIPTION, GST_ELEMENT_METADATA_AUTHOR
  };
  g_autoptr (GstElementFactory) factory = gst_element_factory_find (name);
  const gchar *class;
  const GList *templates;

  g_assert_nonnull (factory);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++) {
    const gchar *text = gst_element_factory_get_metadata (factory, keys[i]);

    g_assert_true (text != NULL && *text != '\0');
  }
  class = gst_element_factory_get_metadata (factory, GST_ELEMENT_METADATA_KLASS);
  g_assert_true (strstr (class, "Tensor") || strstr (class, "Video"));
  templates = gst_element_factory_get_static_pad_templates (factory);
  g_assert_nonnull (templates);
  for (; templates != NULL; templates = templates->next) {
    g_autoptr (GstCaps) caps = gst_static_pad_template_get_caps (templates->data);
    const GstStructure *s = gst_caps_is_any (caps) ? NULL : gst_caps_get_structure (caps, 0);

    /* whatever carries results passes */
    g_assert_true (s ? gst_structure_has_name (s, "other/tensors")
        || gst_structure_has_name (s, "video/x-raw") || gst_structure_has_name (s, "text/x-raw")
        : g_str_equal (name, "gradpublish"));
  }
}

/* Another valid value than the one that is there */
static void
set_other (GObject * object, GParamSpec * spec)
{
  g_auto (GValue) value = G_VALUE_INIT, got = G_VALUE_INIT;

  g_value_init (&value, spec->value_type);
  if (G_VALUE_HOLDS_STRING (&value))
    g_value_set_string (&value, "other");
  else if (G_VALUE_HOLDS_BOOLEAN (&value))
    g_value_set_boolean (&value, !G_PARAM_SPEC_BOOLEAN (spec)->default_value);
  else if (G_VALUE_HOLDS_ENUM (&value))
    g_value_set_enum (&value, 1);
  else if (G_VALUE_HOLDS_INT (&value))
    g_value_set_int (&value, 3);
  else if (G_VALUE_HOLDS_UINT (&value))
    g_value_set_uint (&value, 3);
  else if (G_VALUE_HOLDS_UINT64 (&value))
    g_value_set_uint64 (&value, G_MAXUINT64);
  else if (GST_VALUE_HOLDS_FRACTION (&value))
    gst_value_set_fraction (&value, 3, 2);
  else
    g_value_set_double (&value, 0.25);
  g_object_set_property (object, spec->name, &value);
  g_value_init (&got, spec->value_type);
  g_object_get_property (object, spec->name, &got);
  g_assert_cmpint (g_param_values_cmp (spec, &value, &got), ==, 0);
}

static void
test_properties (gconstpointer name)
{
  g_autoptr (GstElement) element = gst_element_factory_make (name, NULL);
  g_autofree GParamSpec **specs = NULL;
  guint n;

  gst_object_ref_sink (element);
  specs = g_object_class_list_properties (G_OBJECT_GET_CLASS (element), &n);
  for (guint i = 0; i < n; i++) {
    const gchar *blurb = g_param_spec_get_blurb (specs[i]);
    g_auto (GValue) value = G_VALUE_INIT;

    if (!g_str_has_prefix (g_type_name (specs[i]->owner_type), "Grad"))
      continue;
    for (guint j = 0; j < i; j++)       /* a field belongs to one, and the order of listings is certain */
      g_assert_true (specs[j]->owner_type != specs[i]->owner_type
          || specs[j]->param_id != specs[i]->param_id);
    g_assert_true (blurb != NULL && *blurb != '\0');
    g_assert_cmpstr (blurb, !=, specs[i]->name);
    g_assert_cmpstr (blurb, !=, g_param_spec_get_nick (specs[i]));
    g_assert_true (g_ascii_isupper (*blurb) && !g_str_has_suffix (blurb, "."));
    if (G_IS_PARAM_SPEC_ENUM (specs[i]))        /* listed in the documentation of the plugin */
      g_assert_true (gst_type_is_plugin_api (specs[i]->value_type, NULL));
    if (!(specs[i]->flags & G_PARAM_WRITABLE))
      continue;
    g_value_init (&value, specs[i]->value_type);
    g_object_get_property (G_OBJECT (element), specs[i]->name, &value);
    g_assert_true (g_param_value_defaults (specs[i], &value));
    set_other (G_OBJECT (element), specs[i]);
  }
}

/* Every element alone, as far as it gets alone */
static void
test_ready (gconstpointer name)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", (const gchar *) name);

  for (guint i = 0; i < 2; i++) {
    g_assert_cmpint (gst_element_set_state (pipeline, GST_STATE_READY), ==,
        GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (gst_element_set_state (pipeline, GST_STATE_NULL), ==,
        GST_STATE_CHANGE_SUCCESS);
  }
}

/* All of them together, twice up and down, step by step */
static void
test_states (gconstpointer launch)
{
  static const GstState course[] = { GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_PLAYING,
    GST_STATE_PAUSED, GST_STATE_PLAYING, GST_STATE_PAUSED, GST_STATE_READY, GST_STATE_PAUSED,
    GST_STATE_READY, GST_STATE_NULL
  };
  GstElement *pipeline = test_launch ("%s", (const gchar *) launch);

  test_watchdog (60);
  for (guint i = 0; i < 2 * G_N_ELEMENTS (course); i++) {
    GstState state;

    gst_element_set_state (pipeline, course[i % G_N_ELEMENTS (course)]);
    g_assert_cmpint (gst_element_get_state (pipeline, &state, NULL, GST_CLOCK_TIME_NONE), ==,
        GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (state, ==, course[i % G_N_ELEMENTS (course)]);
  }
  test_watchdog (0);
  gst_object_unref (pipeline);
  test_assert_no_leaks ();
}

/* A second run starts from the beginning and gives the same file. */
static void
test_twice (void)
{
  g_autoptr (GstElement) pipeline = test_launch (TEST_TRAINING "location=model.safetensors");

  for (guint i = 0; i < 2; i++) {
    g_autoptr (TestResult) result = test_play (pipeline);

    g_assert_true (result->eos);
    g_assert_cmpuint (result->saved->len, ==, 1);
    if (i == 0)
      g_assert_cmpint (g_rename ("model.safetensors", "first.safetensors"), ==, 0);
  }
  test_assert_same_file ("first.safetensors", "model.safetensors");
  test_assert_files ("first.safetensors", "model.safetensors", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  for (guint i = 0; i < G_N_ELEMENTS (elements); i++) {
    static const struct
    {
      const gchar *name;
      GTestDataFunc func;
    } tests[] = {
      {"description", test_description}, {"properties", test_properties}, {"ready", test_ready}
    };

    for (guint t = 0; t < G_N_ELEMENTS (tests); t++) {
      g_autofree gchar *path = g_strdup_printf ("/%s/%s", elements[i], tests[t].name);

      if (g_str_equal (elements[i], "gradmodel") && tests[t].func == test_ready)
        continue;               /* needs a file, see its own test */
      g_test_add_data_func (path, elements[i], tests[t].func);
    }
  }
  g_test_add_data_func ("/states/plain", TEST_TRAINING, test_states);
  g_test_add_data_func ("/states/queues", TEST_QUEUES, test_states);
  g_test_add_func ("/states/twice", test_twice);
  return test_run_all ();
}
