/* GradStreamer tests: data files that are not what they should be give one clear error each
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

typedef struct
{
  const gchar *name;
  const gchar *bytes;
  gsize size;
  const gchar *text;            /* in the error, beside the name of the file */
} BadFile;

#define BYTES(s) s, sizeof s - 1

/* In the place of the pictures */
static const BadFile pictures[] = {
  {"empty", BYTES (""), "empty"},
  {"short", BYTES ("\0\0\x8"), ""},
  {"magic", BYTES ("\1\2\3\4\0\0\0\1\0\0\0\1\0\0\0\1x"), ""},
  {"type", BYTES ("\0\0\xd\3\0\0\0\1\0\0\0\1\0\0\0\1xxxx"), ""},
  {"labels", BYTES ("\0\0\x8\1\0\0\0\1x"), "labels"},
  {"no-pictures", BYTES ("\0\0\x8\3\0\0\0\0\0\0\0\1\0\0\0\1"), ""},
  {"truncated", BYTES ("\0\0\x8\3\0\0\0\2\0\0\0\1\0\0\0\1x"), ""},
  {"too-long", BYTES ("\0\0\x8\3\0\0\0\1\0\0\0\1\0\0\0\1xxx"), ""},
  {"overflow", BYTES ("\0\0\x8\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffx"), ""},
  {"wrapped", BYTES ("\0\0\x8\3\x40\0\0\0\0\0\0\4\x40\0\0\0x"), ""},
  {"gz", BYTES ("\x1f\x8b\x8\0\0\0\0\0\0\3\x63\x60"), ""},
  {"gz-garbage", BYTES ("\x1f\x8b\x8\0\0\0\0\0\0\3garbage garbage"), ""},
};

static void
test_pictures (gconstpointer data)
{
  const BadFile *file = data;

  test_write ("bad", file->bytes, file->size);
  test_assert_error ("idxsrc name=source location=bad ! fakesink", "source", "bad", file->text,
      NULL);
  test_assert_error ("idxsrc name=source location=bad labels=train-labels" TEST_NETWORK ("")
      "gradadamsink location=model.safetensors", "source", "bad", NULL);
  test_assert_error ("idxsrc name=source test-location=bad test-labels=test-labels " TEST_DATA
      TEST_NETWORK ("") "gradadamsink location=model.safetensors", "source", "bad", NULL);
  test_assert_files ("bad", NULL);
}

static const struct
{
  const gchar *name, *source, *text1, *text2;
} cases[] = {
  {"missing", "location=nowhere labels=train-labels", "nowhere", "No such file"},
  {"folder", "location=. labels=train-labels", "cannot read", "directory"},
  {"missing-labels", "location=train-images labels=nowhere", "nowhere", "No such file"},
  {"swapped", "location=train-labels labels=train-images", "train-labels", "labels where images belong"},
  {"label-count", "location=train-images labels=test-labels", "37 images", "21 labels"},
  {"test-label-count", TEST_DATA "test-location=test-images test-labels=train-labels",
      "21 images", "37 labels"},
  {"test-size", TEST_DATA "test-location=other-images test-labels=other-labels", "12x12", "6x3"},
};

static void
test_case (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autofree gchar *launch = g_strconcat ("idxsrc name=source ", cases[i].source,
      TEST_NETWORK ("") "gradadamsink location=model.safetensors", NULL);
  const guint32 dims[] = { 1, 3, 6 };

  test_write_idx ("other-images", 3, dims, (const guint8 *) "eighteen bytes ...");
  test_write_idx ("other-labels", 1, dims, (const guint8 *) "");
  test_assert_error (launch, "source", cases[i].text1, cases[i].text2, NULL);
  test_assert_files ("other-images", "other-labels", NULL);
}

/* A value that cannot be is the default, in construction, too, where parsers set it. */
static void
test_values (void)
{
  static const struct
  {
    const gchar *element, *property;
    gint value;
    const gchar *warning;
    gint used;
  } values[] = {
    {"idxsrc", "batch-size", 0, "idxsrc: batch-size cannot be 0 (*; by default it is 256", 256},
    {"gradresstage", "blocks", 0, "gradresstage: blocks cannot be 0 (*; by default it is 2", 2},
    {"gradconvstem", "stride", -1, "gradconvstem: stride cannot be *; by default it is 2", 2},
  };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++) {
    g_autoptr (GstElement) element = NULL;
    gint used;

    g_test_expect_message ("GradStreamer", G_LOG_LEVEL_WARNING, values[i].warning);
    element = gst_object_ref_sink (gst_element_factory_make_full (values[i].element, values[i].property,
            values[i].value, NULL));
    g_test_assert_expected_messages ();
    g_object_get (element, values[i].property, &used, NULL);
    g_assert_cmpint (used, ==, values[i].used);
  }
}

/* The tape of a batch is walked once. */
static void
test_two_ways (void)
{
  test_assert_error ("idxsrc name=source " TEST_DATA TEST_NETWORK ("") "tee name=t ! queue ! funnel name=f "
      "! gradadamsink name=sink t. ! queue ! f.", "sink", "trained with already", "one gradloss", NULL);
  test_assert_error ("idxsrc name=source " TEST_DATA TEST_HEAD ("") TEST_BODY ("") " ! tee name=t ! queue ! gradloss "
      "! funnel name=f ! gradadamsink name=sink t. ! queue ! gradloss ! f.", "sink", "trained with already", NULL);
}

/* Some weights of a file belong to a layer that is not there. */
static void
test_layer_missing (void)
{
  g_autoptr (TestResult) trained = test_train (TEST_TRAINING "location=model.safetensors");
  g_autoptr (TestResult) whole = test_train ("idxsrc name=source " TEST_DATA TEST_HEAD ("") TEST_BODY ("")
      " model=model.safetensors ! gradloss ! fakesink");
  g_autoptr (TestResult) part = test_train ("idxsrc name=source " TEST_DATA TEST_HEAD ("")
      " ! gradconvstem channels=4 kernel-size=3 stride=1 ! gradresstage channels=8 blocks=1 param-prefix=layer2 "
      "! gradglobalpool ! gradfc units=5 model=model.safetensors ! gradloss name=loss ! fakesink");

  g_assert_cmpuint (whole->warnings->len, ==, 0);
  g_assert_cmpuint (part->warnings->len, ==, 1);
  g_assert_nonnull (strstr (part->warnings->pdata[0], "that no layer here takes, layer1.0."));
  test_assert_files ("model.safetensors", NULL);
}

static void
test_nothing_trained (void)
{
  g_autoptr (TestResult) result = test_train ("idxsrc name=source phase=evaluate " TEST_DATA TEST_NETWORK ("")
      "gradadamsink name=sink location=model.safetensors");

  g_assert_cmpuint (result->warnings->len, >=, 1);
  g_assert_nonnull (strstr (result->warnings->pdata[result->warnings->len - 1], "model.safetensors was not written"));
}

static void
test_class_names (void)
{
  g_autoptr (TestResult) result = test_train ("idxsrc class-names=a,b " TEST_DATA TEST_NETWORK ("") "gradadamsink name=sink");

  g_assert_cmpuint (result->warnings->len, ==, 1);
  g_assert_nonnull (strstr (result->warnings->pdata[0], "class-names has 2 names, but the network ends in 5 classes"));
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/badinput/values", test_values);
  g_test_add_func ("/badinput/two-ways", test_two_ways);
  g_test_add_func ("/badinput/layer-missing", test_layer_missing);
  g_test_add_func ("/badinput/nothing-trained", test_nothing_trained);
  g_test_add_func ("/badinput/class-names", test_class_names);
  for (guint i = 0; i < G_N_ELEMENTS (pictures); i++) {
    g_autofree gchar *path = g_strconcat ("/badinput/pictures/", pictures[i].name, NULL);

    g_test_add_data_func (path, &pictures[i], test_pictures);
  }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *path = g_strconcat ("/badinput/", cases[i].name, NULL);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_case);
  }
  return test_run_all ();
}
