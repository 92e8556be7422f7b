/* GradStreamer tests: a loss or gradient that is not finite stops a training, and spoils nothing
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <math.h>
#include <string.h>

#define TRAIN(epochs) "idxsrc epochs=" epochs " " TEST_DATA TEST_NETWORK ("") \
  "%s name=sink location=model.safetensors log-location=log.jsonl"

/* The first error that comes; the source, too, has one, for it cannot go on */
static gchar *
get_error (GstElement * pipeline)
{
  g_autoptr (TestResult) result = test_play (pipeline);

  g_assert_cmpuint (result->errors->len, >, 0);
  return g_strdup (result->errors->pdata[0]);
}

static void
assert_contains (const gchar * text, const gchar * part)
{
  if (strstr (text, part) == NULL)
    g_error ("\"%s\" does not say \"%s\"", text, part);
}

static void
assert_finite (const gchar * location, guint64 steps)
{
  g_autoptr (GradSafetensors) file = grad_safetensors_open (location, NULL);
  g_autofree gchar *text = g_strdup_printf ("%" G_GUINT64_FORMAT, steps);

  g_assert_nonnull (file);
  g_assert_cmpstr (grad_safetensors_get_metadata (file, "steps"), ==, text);
  for (guint i = 0; i < grad_safetensors_get_n_entries (file); i++) {
    const GradSafetensorsEntry *entry = grad_safetensors_get_entry (file, i);

    for (gsize k = 0; g_str_equal (entry->dtype, "F32") && k < entry->size / 4; k++)
      g_assert_true (isfinite (((const gfloat *) entry->data)[k]));
  }
}

/* The first steps are so large that what comes of them is not finite. */
static void
test_loss (void)
{
  static const gchar *const sinks[] = { "gradsgdsink learning-rate=1e30",
    "gradsgdsink learning-rate=1e30 momentum=0.9 accumulate=2", "gradadamsink learning-rate=1e30"
  };

#ifndef HAVE_ONEDNN             /* then cpu computes in double */
  if (g_strcmp0 (g_getenv ("GRAD_DEVICE"), "cuda") != 0) {
    g_test_skip ("in double it takes weights that no file can hold");
    return;
  }
#endif
  for (guint i = 0; i < G_N_ELEMENTS (sinks); i++) {
    g_autoptr (GstElement) pipeline = test_launch (TRAIN ("1000"), sinks[i]);
    g_autofree gchar *error = get_error (pipeline);
    guint64 step;

    g_assert_true (g_str_has_prefix (error, "sink: step "));
    assert_contains (error, "the loss of loss is not finite");
    assert_contains (error, "was not applied");
    step = g_ascii_strtoull (error + strlen ("sink: step "), NULL, 10);
    g_assert_cmpuint (step, >, 1);
    assert_finite ("model.safetensors", step - 1);
    test_assert_files ("model.safetensors", "log.jsonl", NULL);
  }
}

typedef struct
{
  const gchar *name;            /* parameter */
  guint left;                   /* gradients of it that are to be left alone */
  gfloat value;
} Spoiler;

static void
spoil (GradBus * bus, const gchar * model_name, const gchar * name, GradTensor * gradient,
    gpointer data)
{
  Spoiler *s = data;
  gsize size = grad_shape_n_elements (grad_tensor_get_shape (gradient)) * sizeof (gfloat);
  g_autofree gfloat *values = NULL;

  if (!g_str_equal (name, s->name) || s->left-- > 0)
    return;
  values = g_malloc (size);
  g_assert_true (grad_tensor_download (gradient, values, size, NULL));
  values[size / sizeof (gfloat) / 2] = s->value;
  g_assert_true (grad_tensor_upload (gradient, values, size, NULL));
}

/* One number in one gradient: its step leaves no trace, and the file is that of a training up to there. */
static void
test_gradient (void)
{
  static const struct
  {
    const gchar *parameter, *element;
    gfloat value;
  } cases[] = {
    {"conv1.weight", "stem", NAN},
    {"bn1.bias", "stem", INFINITY},
    {"layer1.0.conv1.weight", "stage1", -INFINITY},
    {"layer2.0.bn2.weight", "stage2", NAN},
    {"fc.bias", "fc", NAN},
  };
  static const gchar *const sinks[] =
      { "gradadamsink", "gradadamsink ema=0.9 accumulate=2 clip-norm=1", "gradsgdsink momentum=0.9" };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const gchar *sink = sinks[i % G_N_ELEMENTS (sinks)];
    guint steps = i % G_N_ELEMENTS (sinks) == 1 ? 6 : 2 * TEST_STEPS;
    g_autoptr (TestResult) result = test_train (TRAIN ("1000 num-buffers=10"), sink);       /* two epochs */
    g_autoptr (GstElement) pipeline = test_launch (TRAIN ("1000"), sink);
    g_autoptr (GradBus) bus = grad_bus_new ();
    g_autoptr (GstContext) context = grad_bus_to_context (bus);
    Spoiler spoiler = { cases[i].parameter, steps, cases[i].value };
    g_autofree gchar *error = NULL;
    g_autofree gchar *expected = g_strdup_printf ("step %u: the gradient of %s of %s is not finite",
        steps + 1, cases[i].parameter, cases[i].element);

    g_assert_cmpint (g_rename ("model.safetensors", "expected"), ==, 0);
    g_signal_connect (bus, "parameter-gradient", G_CALLBACK (spoil), &spoiler);
    gst_element_set_context (pipeline, context);
    error = get_error (pipeline);
    g_assert_true (g_str_has_prefix (error, "sink: "));
    assert_contains (error, expected);
    test_assert_same_file ("model.safetensors", "expected");
    test_assert_files ("model.safetensors", "expected", "log.jsonl", NULL);
  }
}

/* Several at once: the one that is nearest to the loss is named. */
static void
test_first (void)
{
  g_autoptr (GstElement) pipeline = test_launch (TRAIN ("1"), "gradadamsink");
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  Spoiler near = { "layer2.0.conv1.weight", 0, NAN }, far = { "conv1.weight", 0, NAN };
  g_autofree gchar *error = NULL;

  g_signal_connect (bus, "parameter-gradient", G_CALLBACK (spoil), &far);
  g_signal_connect (bus, "parameter-gradient", G_CALLBACK (spoil), &near);
  gst_element_set_context (pipeline, context);
  error = get_error (pipeline);
  assert_contains (error, "step 1: the gradient of layer2.0.conv1.weight of stage2");
  test_assert_files ("log.jsonl", NULL);
}

/* An update that leaves no numbers is no reason to lose the last good file. */
static void
test_weights (void)
{
  g_autoptr (TestResult) first = test_train (TEST_TRAINING "location=model.safetensors");
  g_autoptr (TestResult) bad = NULL;
  g_autofree gchar *good = NULL;
  gsize size;

  g_assert_true (g_file_get_contents ("model.safetensors", &good, &size, NULL));
  bad = test_play (test_launch (TEST_TRAINING "learning-rate=1e300 location=model.safetensors"));
  g_assert_cmpuint (bad->errors->len, >=, 1);
  g_assert_cmpuint (bad->saved->len, ==, 0);
  g_assert_true (g_file_set_contents ("expected", good, size, NULL));
  test_assert_same_file ("model.safetensors", "expected");
  test_assert_files ("model.safetensors", "expected", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/not-finite/loss", test_loss);
  g_test_add_func ("/not-finite/gradient", test_gradient);
  g_test_add_func ("/not-finite/first", test_first);
  g_test_add_func ("/not-finite/weights", test_weights);
  return test_run_all ();
}
