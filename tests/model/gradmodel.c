/* GradStreamer tests: what model files say of their networks, honest and hostile ones
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"
#include "lib/base/gradlayer.h"
#include "lib/model/gradmodelfile.h"

#include <string.h>

static void
assert_refused (gpointer got, GError ** error, const gchar * problem)
{
  if (got != NULL)
    g_error ("accepted, expected \"%s\"", problem);
  g_assert_error (*error, GRAD_ERROR, GRAD_ERROR_FILE);
  if (strstr ((*error)->message, problem) == NULL)
    g_error ("got \"%s\", expected \"%s\"", (*error)->message, problem);
  g_clear_error (error);
}

static void
assert_property (GstElement * element, const gchar * name, const gchar * expected)
{
  g_auto (GValue) value = G_VALUE_INIT;
  g_autofree gchar *got = NULL;

  g_object_get_property (G_OBJECT (element), name, &value);
  got = gst_value_serialize (&value);
  g_assert_cmpstr (got, ==, expected);
}

/* What a training saves */
static void
test_saved (void)
{
  static const gchar *const factories[] =
      { "gradconvstem", "gradresstage", "gradresstage", "gradglobalpool", "gradfc" };
  g_autoptr (TestResult) result = test_train ("idxsrc class-names=\"a, b ,c,d\" " TEST_DATA
      " ! gradresize width=10 height=9 mean=0.5,0.25 std=2 " TEST_BODY ("")
      " ! gradloss ! gradadamsink location=model.safetensors");
  g_autoptr (GError) error = NULL;
  g_autoptr (GradModel) model = grad_model_open ("model.safetensors", &error);
  g_autoptr (GPtrArray) layers = NULL;
  const GradModelInput *input;

  g_assert_no_error (error);
  input = grad_model_get_input (model);
  g_assert_cmpstr (grad_model_get_location (model), ==, "model.safetensors");
  g_assert_cmpstr (grad_model_get_class_names (model)[1], ==, "b");
  g_assert_cmpuint (g_strv_length ((GStrv) grad_model_get_class_names (model)), ==, 4);
  g_assert_cmpuint (grad_model_get_steps (model), ==, TEST_STEPS);
  g_assert_cmpint (input->width, ==, 10);
  g_assert_cmpint (input->height, ==, 9);
  g_assert_cmpint (input->channels, ==, 1);
  g_assert_cmpfloat (input->mean[0], ==, 0.5);
  g_assert_cmpfloat (input->mean[3], ==, 0.25);
  g_assert_cmpfloat (input->std[0], ==, 2);

  layers = grad_model_create_layers (model, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (layers->len, ==, G_N_ELEMENTS (factories));
  for (guint i = 0; i < layers->len; i++) {
    GstElement *layer = layers->pdata[i];

    g_assert_cmpstr (GST_OBJECT_NAME (gst_element_get_factory (layer)), ==, factories[i]);
    g_assert_false (g_object_is_floating (layer));
    g_assert_null (GST_OBJECT_PARENT (layer));
  }
  assert_property (layers->pdata[0], "kernel-size", "3");
  assert_property (layers->pdata[0], "param-prefix", "\"\"");
  assert_property (layers->pdata[1], "first-block", "true");
  assert_property (layers->pdata[2], "param-prefix", "layer2");
  assert_property (layers->pdata[4], "units", "5");
  test_assert_files ("model.safetensors", NULL);
}

/* ---- every structural property of every layer survives */

static gboolean
is_structural (GParamSpec * spec)
{
  return (spec->flags & GRAD_PARAM_STRUCTURAL) != 0;
}

/* The n-th odd value; FALSE when there are no more */
static gboolean
odd_value (GParamSpec * spec, guint n, GValue * value)
{
  static const gchar *const texts[] = { "", " ", "NULL", "a!b", "\"quoted\\\"", "channels=3", "Größe 5µ",
    "a.b-c_d/e:f+g"
  };

  g_value_init (value, spec->value_type);
  if (G_IS_PARAM_SPEC_INT (spec))
    g_value_set_int (value, n ? G_PARAM_SPEC_INT (spec)->maximum : G_PARAM_SPEC_INT (spec)->minimum);
  else if (G_IS_PARAM_SPEC_BOOLEAN (spec))
    g_value_set_boolean (value, n);
  else if (G_IS_PARAM_SPEC_ENUM (spec)) {
    GEnumClass *klass = G_PARAM_SPEC_ENUM (spec)->enum_class;

    if (n < klass->n_values)
      g_value_set_enum (value, klass->values[n].value);
    return n < klass->n_values;
  } else if (G_IS_PARAM_SPEC_STRING (spec)) {
    if (n < G_N_ELEMENTS (texts))
      g_value_set_string (value, texts[n]);
    return n < G_N_ELEMENTS (texts);
  } else
    g_error ("%s has a type that fragments cannot have", spec->name);
  return n < 2;
}

static void
assert_survives (const gchar * factory, GParamSpec * spec, const GValue * value)
{
  g_autoptr (GstElement) pipeline = gst_pipeline_new (NULL);
  GstElement *layer = gst_element_factory_make (factory, NULL);
  GstElement *sink = gst_element_factory_make ("fakesink", NULL);
  g_autofree gchar *fragment = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GradModel) model = NULL;
  g_autoptr (GPtrArray) layers = NULL;
  g_auto (GValue) got = G_VALUE_INIT;

  gst_object_ref_sink (pipeline);
  gst_bin_add_many (GST_BIN (pipeline), layer, sink, NULL);
  g_assert_true (gst_element_link (layer, sink));
  g_object_set_property (G_OBJECT (layer), spec->name, value);
  fragment = grad_model_fragment (sink->sinkpads->data, "main");
  g_test_message ("%s", fragment);
  model = grad_model_new (fragment, NULL, 1, &error);
  g_assert_no_error (error);
  layers = grad_model_create_layers (model, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (layers->len, ==, 1);
  g_object_get_property (layers->pdata[0], spec->name, &got);
  g_assert_cmpint (g_param_values_cmp (spec, &got, value), ==, 0);
}

static void
test_round_trip (void)
{
  GList *features = gst_registry_get_feature_list_by_plugin (gst_registry_get (), "gradstreamer");
  guint n_values = 0;

  for (GList * l = features; l != NULL; l = l->next) {
    g_autoptr (GstElement) element = GST_IS_ELEMENT_FACTORY (l->data)
        ? gst_object_ref_sink (gst_element_factory_make (GST_OBJECT_NAME (l->data), NULL)) : NULL;
    g_autofree GParamSpec **specs = NULL;
    guint n;

    if (!GRAD_IS_LAYER (element) || GRAD_LAYER_GET_CLASS (element)->before)
      continue;
    specs = g_object_class_list_properties (G_OBJECT_GET_CLASS (element), &n);
    for (guint i = 0; i < n; i++)
      for (guint k = 0; is_structural (specs[i]); k++, n_values++) {
        g_auto (GValue) value = G_VALUE_INIT;

        if (!odd_value (specs[i], k, &value))
          break;
        assert_survives (GST_OBJECT_NAME (l->data), specs[i], &value);
      }
  }
  gst_plugin_feature_list_free (features);
  g_assert_cmpuint (n_values, >, 30);
}

/* ---- fragments */

static void
test_accepted (void)
{
  static const gchar *const fragments[] = {
    "gradfc", " gradfc ", "gradglobalpool!gradfc", "gradfc\tunits=3\n!\r\n gradfc bias=false",
    "gradfc param-prefix=\"\\303\\251\" units=\"3\"", "gradconvstem channels=65536 kernel-size=63",
  };

  for (guint i = 0; i < G_N_ELEMENTS (fragments); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GradModel) model = grad_model_new (fragments[i], NULL, 0, &error);

    g_assert_no_error (error);
    g_assert_cmpstr (grad_model_get_fragment (model), ==, fragments[i]);
    g_assert_null (grad_model_get_location (model));
    g_assert_null (grad_model_get_class_names (model));
  }
}

static const struct
{
  const gchar *fragment, *problem;
} refused[] = {
  {"", "byte 0, layer 1: expected the name of a layer"},
  {" ! gradfc", "byte 1, layer 1: expected the name"},
  {"gradfc !", "byte 8, layer 2: expected the name"},
  {"gradfc ! ! gradfc", "byte 9, layer 2: expected the name"},
  {"gradfc; gradfc", "byte 6, layer 1: expected the name"},
  {"gradfc. ! gradfc", "expected the name"},
  {"( gradfc )", "expected the name"},
  {"GradFc", "expected the name"},
  /* elements that are no layers, of ours and of others */
  {"filesrc location=/etc/passwd", "\"filesrc\" is no layer"},
  {"fakesink", "\"fakesink\" is no layer"},
  {"gradadamsink", "\"gradadamsink\" is no layer"},
  {"gradresize", "\"gradresize\" is no layer"},
  {"idxsrc", "\"idxsrc\" is no layer"},
  {"gradfc ! gradloss", "byte 17, layer 2: \"gradloss\" is no layer"},
  {"nosuchelement", "\"nosuchelement\" is no layer"},
  {"gradmodel", "\"gradmodel\" is no layer"},
  /* properties */
  {"gradfc units", "byte 12, layer 1, gradfc: expected property=value"},
  {"gradfc units = 3", "expected property=value"},
  {"gradfc =3", "expected property=value"},
  {"gradfc Units=3", "expected property=value"},
  {"gradfc name=x", "no property \"name\" of it"},
  {"gradfc model=/etc/passwd", "no property \"model\" of it"},
  {"gradfc device=cuda", "no property \"device\" of it"},
  {"gradfc model-name=main", "no property \"model-name\" of it"},
  {"gradglobalpool units=3", "no property \"units\" of it"},
  {"gradfc units=3 units=3", "units is there twice"},
  {"gradfc param_prefix=x", "expected property=value"},
  /* values */
  {"gradfc units=", "expected a value of units"},
  {"gradfc units=\"3", "expected a value of units"},
  {"gradfc units=\"3\"4", "expected a value of units"},
  {"gradfc units=3;4", "expected a value of units"},
  {"gradfc units=(int)3", "expected a value of units"},
  {"gradfc units=0", "units cannot be \"0\""},
  {"gradfc units=-1", "units cannot be"},
  {"gradfc units=1e3", "units cannot be"},
  {"gradfc units=0x10", "units cannot be"},
  {"gradfc units=1.0", "units cannot be"},
  {"gradfc units=\" 1\"", "units cannot be"},
  {"gradfc units=4294967297", "units cannot be"},
  {"gradfc units=99999999999999999999999", "units cannot be"},
  {"gradfc bias=yes", "bias cannot be"},
  {"gradfc bias=1", "bias cannot be"},
  {"gradfc bias=TRUE", "bias cannot be"},
  {"gradresstage block=0", "block cannot be"},
  {"gradresstage block=Basic", "block cannot be"},
  {"gradresstage blocks=1001", "blocks cannot be"},
  {"gradfc param-prefix=\"\\", "expected a value"},
  {"gradfc param-prefix=\"\\\"", "expected a value"},
  {"gradfc param-prefix=\"\\000\"", "expected a value"},
  {"gradfc param-prefix=\"\\033[2J\"", "expected a value"},
  {"gradfc param-prefix=\"\\377\"", "expected a value"},
  {"gradfc param-prefix=\"\303\251\"", "expected a value"},
};

static void
test_refused (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++) {
    g_autoptr (GError) error = NULL;

    assert_refused (grad_model_new (refused[i].fragment, NULL, 1, &error), &error,
        refused[i].problem);
  }
}

/* A text that is repeated */
static gchar *
many (const gchar * text, guint n)
{
  GString *s = g_string_new (NULL);

  for (guint i = 0; i < n; i++)
    g_string_append (s, text);
  return g_string_free (s, FALSE);
}

static void
test_limits (void)
{
  g_autofree gchar *layers = many ("gradfc!", 255);
  g_autofree gchar *most = g_strconcat (layers, "gradfc", NULL);
  g_autofree gchar *more = g_strconcat (layers, "gradfc!gradfc", NULL);
  g_autofree gchar *bytes = many (" ", 65536 - 6);
  g_autofree gchar *longest = g_strconcat ("gradfc", bytes, NULL);
  g_autofree gchar *longer = g_strconcat ("gradfc ", bytes, NULL);
  g_autofree gchar *letters = many ("a", 257);
  g_autofree gchar *word = g_strconcat ("gradfc units=", letters, NULL);
  g_autofree gchar *quoted = g_strconcat ("gradfc param-prefix=\"", letters, "\"", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GradModel) a = grad_model_new (most, NULL, 1, &error);
  g_autoptr (GradModel) b = grad_model_new (longest, NULL, 1, &error);

  g_assert_no_error (error);
  assert_refused (grad_model_new (more, NULL, 1, &error), &error, "more than 256 layers");
  assert_refused (grad_model_new (longer, NULL, 1, &error), &error, "longer than 65536 bytes");
  assert_refused (grad_model_new (letters, NULL, 1, &error), &error, "name of a layer");
  assert_refused (grad_model_new (word, NULL, 1, &error), &error, "at most 256 bytes");
  assert_refused (grad_model_new (quoted, NULL, 1, &error), &error, "at most 256 bytes");
}

/* ---- the rest of the metadata */

static const struct
{
  const gchar *key, *value, *problem;
} metadata[] = {
  {"network", NULL, "does not describe the network"},
  {"network", "filesrc", "bad: network, byte 7, layer 1: \"filesrc\" is no layer"},
  {"input_size", "96", "input_size=\"96\": expected WIDTHxHEIGHT"},
  {"input_size", "96x96x1", "input_size"},
  {"input_size", "0x96", "input_size"},
  {"input_size", "96x-1", "input_size"},
  {"input_size", "4097x1", "at most 4096x4096"},
  {"input_size", "\033[2J", "input_size: too long, or no text"},
  {"mean", "", "mean"},
  {"mean", "0.5;0.5", "mean"},
  {"mean", "nan", "mean"},
  {"mean", "1,2,3,4,5", "1 to 4 numbers"},
  {"std", "0", "std"},
  {"std", "-1", "positive"},
  {"std", "inf", "std"},
  {"steps", "-1", "steps"},
  {"steps", "1e3", "steps=\"1e3\": expected a number"},
  {"steps", "18446744073709551616", "steps"},
  {"class_names", "", "class_names: got 0 class names"},
  {"class_names", "a,,b", "class_names: the name of class 1 is empty"},
  {"class_names", "a,\033[2J", "class_names: the name of class 1 has control characters"},
};

static void
test_metadata (void)
{
  const GradSafetensorsEntry weight = {.name = "conv1.weight",.dtype = "F32",.rank = 4,
    .dims = {1, 3, 1, 1},.data = "0123456789ab",.size = 12
  };

  for (gint i = -1; i < (gint) G_N_ELEMENTS (metadata); i++) {
    g_autoptr (GHashTable) table = g_hash_table_new (g_str_hash, g_str_equal);
    g_autoptr (GError) error = NULL;
    g_autoptr (GradModel) model = NULL;

    g_hash_table_insert (table, "network", "gradconvstem channels=1 kernel-size=1");
    if (i >= 0 && metadata[i].value == NULL)
      g_hash_table_remove (table, metadata[i].key);
    else if (i >= 0)
      g_hash_table_insert (table, (gpointer) metadata[i].key, (gpointer) metadata[i].value);
    g_assert_true (grad_safetensors_write ("bad", &weight, 1, table, NULL));
    model = grad_model_open ("bad", &error);
    if (i >= 0) {
      assert_refused (model, &error, metadata[i].problem);
      continue;
    }
    g_assert_no_error (error);  /* little is said, and nothing wrong */
    g_assert_cmpint (grad_model_get_input (model)->width, ==, 0);
    g_assert_cmpint (grad_model_get_input (model)->channels, ==, 3);
    g_assert_cmpfloat (grad_model_get_input (model)->mean[0], ==, 0);
    g_assert_cmpfloat (grad_model_get_input (model)->std[0], ==, 1);
    g_assert_cmpuint (grad_model_get_steps (model), ==, 0);
  }
  test_assert_files ("bad", NULL);
}

static void
test_files (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (grad_model_open ("nowhere", &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_IO);
  g_clear_error (&error);
  assert_refused (grad_model_open ("train-images", &error), &error, "no safetensors file");
}

/* What a source tells of a network that is being trained */
static void
test_dataset (void)
{
  g_autoptr (GstStructure) dataset = gst_structure_new ("grad-dataset", "width", G_TYPE_INT, 28,
      "height", G_TYPE_INT, 27, "class-names", G_TYPE_STRING, "", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GradModel) plain = grad_model_new ("gradfc", dataset, 3, &error);
  g_autoptr (GradModel) full = NULL;

  g_assert_no_error (error);
  g_assert_cmpint (grad_model_get_input (plain)->width, ==, 28);
  g_assert_cmpint (grad_model_get_input (plain)->channels, ==, 3);
  g_assert_null (grad_model_get_class_names (plain));
  gst_structure_set (dataset, "input-width", G_TYPE_INT, 96, "input-height", G_TYPE_INT, 95, "mean",
      G_TYPE_STRING, "0.5", "class-names", G_TYPE_STRING, "cat,dog", NULL);
  full = grad_model_new ("gradfc", dataset, 3, &error);
  g_assert_no_error (error);
  g_assert_cmpint (grad_model_get_input (full)->height, ==, 95);
  g_assert_cmpfloat (grad_model_get_input (full)->mean[2], ==, 0.5);
  g_assert_cmpstr (grad_model_get_class_names (full)[1], ==, "dog");
  gst_structure_set (dataset, "input-width", G_TYPE_INT, 5000, NULL);
  assert_refused (grad_model_new ("gradfc", dataset, 3, &error), &error, "input_size");
}

/* ---- class names */

static const struct
{
  const gchar *text;            /* of the argument, or of a file when it has no comma */
  const gchar *names;           /* with "|" between them, or the error after "!" */
} names[] = {
  {"cat,dog", "cat|dog"},
  {" cat , big dog ,", "cat|big dog"},
  {"cat,", "cat"},
  {"cat,,dog", "!class-names: the name of class 1 is empty"},
  {",cat", "!class 0 is empty"},
  {",", "!got 0 class names"},
  {"caf\303\251,\377", "!UTF-8"},
  {"cat,d\033og", "!class 1 has control characters"},
  {"cat\ndog\n", "cat|dog"},
  {"cat\r\nT-shirt/top\r\n\r\n\n", "cat|T-shirt/top"},
  {"cat", "cat"},
  {"cat\n\ndog", "!names: the name of class 1 is empty"},
  {"cat\nd\tog", "!class 1 has control characters"},
  {"caf\303\251", "caf\303\251"},
  {"caf\303", "!UTF-8"},
  {"\n\n", "!got 0 class names"},
  {"", "!the file is empty"},
};

static void
test_class_names (void)
{
  g_autofree gchar *most = many ("a\n", 65536), *more = many ("a\n", 65537);
  g_autofree gchar *large = many ("a", (1 << 20) + 1);
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) all = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    gboolean is_list = strchr (names[i].text, ',') != NULL;
    g_auto (GStrv) got = NULL;
    g_autofree gchar *joined = NULL;

    test_write ("names", names[i].text, strlen (names[i].text));
    got = grad_class_names_parse (is_list ? names[i].text : "names", &error);
    if (*names[i].names == '!') {
      assert_refused (got, &error, names[i].names + 1);
      continue;
    }
    g_assert_no_error (error);
    joined = g_strjoinv ("|", got);
    g_assert_cmpstr (joined, ==, names[i].names);
  }

  test_write ("names", "a\0b", 3);
  assert_refused (grad_class_names_parse ("names", &error), &error, "UTF-8");
  test_write ("names", most, strlen (most));
  all = grad_class_names_parse ("names", &error);
  g_assert_cmpuint (g_strv_length (all), ==, 65536);
  test_write ("names", more, strlen (more));
  assert_refused (grad_class_names_parse ("names", &error), &error, "expected 1 to 65536");
  test_write ("names", large, strlen (large));
  assert_refused (grad_class_names_parse ("names", &error), &error, "at most 1048576 bytes");
  g_assert_null (grad_class_names_parse ("nowhere", &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "neither names separated by commas nor a file"));
  test_assert_files ("names", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/gradmodel/saved", test_saved);
  g_test_add_func ("/gradmodel/round-trip", test_round_trip);
  g_test_add_func ("/gradmodel/fragment/accepted", test_accepted);
  g_test_add_func ("/gradmodel/fragment/refused", test_refused);
  g_test_add_func ("/gradmodel/fragment/limits", test_limits);
  g_test_add_func ("/gradmodel/metadata", test_metadata);
  g_test_add_func ("/gradmodel/files", test_files);
  g_test_add_func ("/gradmodel/dataset", test_dataset);
  g_test_add_func ("/gradmodel/class-names", test_class_names);
  return test_run_all ();
}
