/* GradStreamer tests: networks that classify without a pipeline say what they say in one
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <gmodule.h>
#include <math.h>
#include <string.h>

#define MODEL "model.safetensors"

static void
train (void)
{
  g_autoptr (TestResult) result = test_train ("idxsrc " TEST_DATA
      " ! gradresize width=12 height=12" TEST_BODY ("") " ! gradloss ! gradadamsink "
      "learning-rate=0.02 location=" MODEL);
}

static GradDevice *
open_device (const gchar * name)
{
  g_autoptr (GError) error = NULL;
  GradDevice *device = grad_device_open (&(GradDeviceSettings) {.name = name,.threads = 1}, &error);

  g_assert_no_error (error);
  return device;
}

static GradClassifier *
get (const gchar * location, GradDevice * device)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GradModel) model = grad_model_open (location, &error);
  GradClassifier *classifier;

  g_assert_no_error (error);
  classifier = grad_classifier_get (model, device, &error);
  g_assert_no_error (error);
  return classifier;
}

static void
run (GradClassifier * classifier, GradDevice * device, const gfloat * pictures, guint n,
    gfloat * probabilities)
{
  GradShape shape = GRAD_SHAPE (n, 1, 12, 12);
  g_autoptr (GError) error = NULL;
  g_autoptr (GradTensor) tensor = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &shape, &error);

  g_assert_no_error (error);
  g_assert_true (grad_tensor_upload (tensor, pictures, n * 144 * sizeof (gfloat), &error));
  grad_classifier_run (classifier, tensor, probabilities, &error);
  g_assert_no_error (error);
}

/* The pictures and the logits of a pipeline are what the classifier gets and has to say. */
static void
test_as_pipeline (gconstpointer name)
{
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (TestTap) pictures = NULL, logits = NULL;
  g_autoptr (TestResult) result = NULL;
  g_autoptr (GradDevice) device = open_device (name);
  g_autoptr (GradClassifier) classifier = NULL;
  gfloat got[TEST_TRAIN_SAMPLES * TEST_CLASSES];
  gdouble worst = 0, least = 1;

  train ();
  pipeline = test_launch ("idxsrc phase=infer " TEST_DATA TEST_HEAD ("") TEST_BODY ("")
      " model=" MODEL " device=%s threads=1 ! fakesink name=tap", (const gchar *) name);
  pictures = test_tap (pipeline, "stem");
  logits = test_tap (pipeline, "tap");
  result = test_play (pipeline);
  g_assert_true (result->eos);

  classifier = get (MODEL, device);
  g_assert_cmpuint (grad_classifier_get_n_classes (classifier), ==, TEST_CLASSES);
  g_assert_cmpuint (grad_classifier_get_version (classifier), ==, TEST_STEPS);
  g_assert_cmpstr (grad_model_get_location (grad_classifier_get_model (classifier)), ==, MODEL);
  for (guint i = 0; i < TEST_TRAIN_SAMPLES; i += TEST_BATCH)    /* the last one is smaller */
    run (classifier, device, (const gfloat *) pictures->bytes->data + i * 144,
        MIN (TEST_BATCH, TEST_TRAIN_SAMPLES - i), got + i * TEST_CLASSES);

  g_assert_cmpuint (logits->bytes->len, ==, sizeof got);
  for (guint i = 0; i < TEST_TRAIN_SAMPLES; i++) {
    const gfloat *x = (const gfloat *) logits->bytes->data + i * TEST_CLASSES;
    gdouble sum = 0;

    for (guint k = 0; k < TEST_CLASSES; k++)
      sum += exp (x[k]);
    for (guint k = 0; k < TEST_CLASSES; k++) {
      gfloat p = got[i * TEST_CLASSES + k];

      worst = MAX (worst, fabs (p - exp (x[k]) / sum));
      least = MIN (least, p);
    }
  }
  g_assert_cmpfloat (worst, <, 1e-6);
  g_assert_cmpfloat (least, >, 0);
  g_assert_cmpfloat (least, <, 0.19);    /* 0.2 is to know nothing */
  g_clear_object (&classifier);
  test_assert_files (MODEL, NULL);
}

static void
test_softmax (void)
{
  const gfloat logits[] = { 0, 0, 0, 0, 1000, 1000, -1000, 0, -INFINITY, -1, -2, -3 };
  const gfloat expected[] = { 0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 0, 0, 0, 0.66524096, 0.24472847,
    0.09003057
  };
  gfloat got[12];

  memcpy (got, logits, sizeof got);
  grad_softmax (got, 3, 4, got);
  for (guint i = 0; i < 12; i++)
    g_assert_cmpfloat_with_epsilon (got[i], expected[i], 1e-7);
}

/* Who asks for the same file on the same device gets the same weights, as long as anybody has them. */
static void
test_shared (void)
{
  g_autoptr (GradDevice) device = open_device ("ref"), other = open_device ("ref");
  g_autoptr (GradClassifier) a = NULL, b = NULL, elsewhere = NULL, copied = NULL, changed = NULL;
  g_autofree gchar *path = NULL, *bytes = NULL;
  gpointer weak;
  gsize size;

  train ();
  path = g_canonicalize_filename (MODEL, NULL);
  a = get (MODEL, device);
  b = get (path, device);
  g_assert_true (a == b);
  elsewhere = get (MODEL, other);
  g_assert_true (elsewhere != a);
  g_assert_true (g_file_get_contents (MODEL, &bytes, &size, NULL));
  test_write ("copy", bytes, size);
  copied = get ("copy", device);
  g_assert_true (copied != a);
  test_write (MODEL, bytes, size);      /* replaced */
  changed = get (MODEL, device);
  g_assert_true (changed != a);

  weak = changed;
  g_object_add_weak_pointer (G_OBJECT (changed), &weak);
  g_clear_object (&changed);
  g_assert_null (weak);
  changed = get (MODEL, device);
  g_assert_cmpuint (grad_classifier_get_n_classes (changed), ==, TEST_CLASSES);
  test_assert_files (MODEL, "copy", NULL);
}

typedef struct
{
  GradDevice *device;
  GradClassifier *classifier;
  guint n;                      /* pictures at a time */
  gfloat pictures[6 * 144], expected[6 * TEST_CLASSES];
} Work;

static gpointer
work (gpointer data)
{
  Work *w = data;

  for (guint i = 0; i < 30; i++) {
    gfloat got[6 * TEST_CLASSES];

    run (w->classifier, w->device, w->pictures, w->n, got);
    g_assert_cmpmem (got, w->n * TEST_CLASSES * sizeof (gfloat), w->expected,
        w->n * TEST_CLASSES * sizeof (gfloat));
  }
  return NULL;
}

static void
test_threads (gconstpointer name)
{
  g_autoptr (GradDevice) device = open_device (name);
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  g_autoptr (GradClassifier) classifier = NULL;
  GThread *threads[4];
  Work works[4];
  glong n_repeated = -1;

  train ();
  classifier = get (MODEL, device);
  for (guint i = 0; i < G_N_ELEMENTS (works); i++) {
    Work *w = &works[i];

    w->device = device;
    w->classifier = classifier;
    w->n = 1 + 5 * (i % 2);     /* shapes change from call to call */
    for (guint p = 0; p < G_N_ELEMENTS (w->pictures); p++)
      w->pictures[p] = g_rand_double (random);
    run (classifier, device, w->pictures, w->n, w->expected);
  }
  for (guint i = 0; i < G_N_ELEMENTS (works); i++)
    threads[i] = g_thread_new (NULL, work, &works[i]);
  for (guint i = 0; i < G_N_ELEMENTS (works); i++)
    g_thread_join (threads[i]);

  /* the second run of a shape records, and is repeated from then on */
  if (g_str_equal (name, "cuda"))
    n_repeated = test_count_repeated ();
  works[0].n = 6;
  run (classifier, device, works[0].pictures, 6, works[0].expected);
  work (&works[0]);
  if (n_repeated >= 0)
    g_assert_cmpint (test_count_repeated () - n_repeated, >=, 29);
  g_clear_object (&classifier);
  test_assert_files (MODEL, NULL);
}

/* The trained weights with other metadata */
static void
rewrite (const gchar * network, const gchar * input_size)
{
  g_autoptr (GradSafetensors) file = grad_safetensors_open (MODEL, NULL);
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  guint n = grad_safetensors_get_n_entries (file);
  g_autofree GradSafetensorsEntry *entries = g_new (GradSafetensorsEntry, n);

  for (guint i = 0; i < n; i++)
    entries[i] = *grad_safetensors_get_entry (file, i);
  g_hash_table_insert (metadata, "network", (gpointer) network);
  if (input_size != NULL)
    g_hash_table_insert (metadata, "input_size", (gpointer) input_size);
  g_assert_true (grad_safetensors_write ("bad", entries, n, metadata, NULL));
}

#define STEM "gradconvstem channels=4 kernel-size=3 stride=1"

static const struct
{
  const gchar *network, *input_size;
  GradError code;
  const gchar *problem;
} refused[] = {
  {STEM " ! gradglobalpool", NULL, GRAD_ERROR_FILE, "what pictures it wants"},
  {"gradfc units=4", "12x12", GRAD_ERROR_FILE, "what pictures it wants"},
  {STEM, "12x12", GRAD_ERROR_SHAPE, "the network makes 1x4x6x6 of a picture"},
  {STEM " ! gradfc", "12x12", GRAD_ERROR_SHAPE, "layer 2, gradfc: "},
  {STEM " ! gradglobalpool ! gradglobalpool", "12x12", GRAD_ERROR_SHAPE, "layer 3, gradglobalpool: "},
  {STEM " ! gradglobalpool ! gradresstage", "12x12", GRAD_ERROR_SHAPE, "layer 3, gradresstage: "},
  {"gradconvstem channels=4 kernel-size=4", "12x12", GRAD_ERROR_SETTINGS, "kernel-size=4 is even"},
  {"gradconvstem channels=4 kernel-size=5", "12x12", GRAD_ERROR_FILE, "conv1.weight is F32 4x1x3x3"},
  {"gradconvstem channels=65536 kernel-size=63", "12x12", GRAD_ERROR_FILE, "conv1.weight is F32"},
  {"gradconvstem channels=4 kernel-size=3 stride=1 pool=false", "4096x4096", GRAD_ERROR_SHAPE, "1x4x4096x4096"},
  {STEM " ! gradglobalpool ! gradfc units=2147483647 param-prefix=fc", "12x12", GRAD_ERROR_FILE,
      "layer 3, gradfc: "},
  {STEM " ! gradglobalpool ! gradfc units=5 param-prefix=other", "12x12", GRAD_ERROR_FILE,
      "has no tensor other.weight"},
};

static void
test_refused (void)
{
  g_autoptr (GradDevice) device = open_device ("ref");

  train ();
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GradModel) model = NULL;

    rewrite (refused[i].network, refused[i].input_size);
    model = grad_model_open ("bad", &error);
    g_assert_no_error (error);
    g_assert_null (grad_classifier_get (model, device, &error));
    g_assert_error (error, GRAD_ERROR, (gint) refused[i].code);
    if (strstr (error->message, refused[i].problem) == NULL)
      g_error ("got \"%s\", expected \"%s\"", error->message, refused[i].problem);
  }
  test_assert_files (MODEL, "bad", NULL);
}

/* What does not fit is an error, and changes nothing. */
static void
test_wrong_pictures (void)
{
  static const GradShape shapes[] = { {4, {1, 3, 12, 12}}, {2, {1, 144}} };
  g_autoptr (GradDevice) device = open_device ("ref");
  g_autoptr (GradClassifier) classifier = NULL;
  gfloat pictures[144] = { 0 }, before[TEST_CLASSES], after[TEST_CLASSES];

  train ();
  classifier = get (MODEL, device);
  run (classifier, device, pictures, 1, before);
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GradTensor) tensor = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &shapes[i], NULL);

    g_assert_false (grad_classifier_run (classifier, tensor, after, &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
    g_assert_true (g_str_has_prefix (error->message, "layer 1, gradconvstem: "));
  }
  run (classifier, device, pictures, 1, after);
  g_assert_cmpmem (before, sizeof before, after, sizeof after);
  g_clear_object (&classifier);
  test_assert_files (MODEL, NULL);
}

int
main (int argc, char **argv)
{
  const gchar *devices[] = { "ref", "cpu" };
  guint n = 1;

  test_init (&argc, &argv);
#ifdef HAVE_ONEDNN
  n = 2;
#endif
  if (g_getenv ("GRAD_DEVICE")) {
    devices[1] = g_getenv ("GRAD_DEVICE");
    n = 2;
  }
  for (guint i = 0; i < n; i++) {
    g_autofree gchar *pipeline = g_strconcat ("/gradclassifier/as-pipeline/", devices[i], NULL);
    g_autofree gchar *threads = g_strconcat ("/gradclassifier/threads/", devices[i], NULL);

    g_test_add_data_func (pipeline, devices[i], test_as_pipeline);
    g_test_add_data_func (threads, devices[i], test_threads);
  }
  g_test_add_func ("/gradclassifier/softmax", test_softmax);
  g_test_add_func ("/gradclassifier/shared", test_shared);
  g_test_add_func ("/gradclassifier/refused", test_refused);
  g_test_add_func ("/gradclassifier/wrong-pictures", test_wrong_pictures);
  return test_run_all ();
}
