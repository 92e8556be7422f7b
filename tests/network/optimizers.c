/* GradStreamer tests: optimizers and schedules against PyTorch: data/make-optimizer-goldens.py says what is compared
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <math.h>
#include <string.h>

#define BATCH 8
#define ROWS 12
#define PIXELS (ROWS * ROWS)
#define CLASSES 5

static GradSafetensors *goldens;
static gchar *goldens_location;

static void
write_pictures (const gchar * images, const gchar * labels, guint n, guint64 seed)
{
  const guint32 dims[] = { n, ROWS, ROWS };
  g_autofree guint8 *pixels = g_new (guint8, n * PIXELS), *classes = g_new (guint8, n);
  guint64 state = seed * 0x9e3779b97f4a7c15u + 1;

  for (guint i = 0; i < n * PIXELS; i++) {      /* splitmix64, as the script has it */
    guint64 z = (state += 0x9e3779b97f4a7c15u);
    guint c = 7 * (i / PIXELS) % CLASSES;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    pixels[i] = MIN (255, (z >> 56) + (i % PIXELS / ROWS / 2 == c ? 64 : 0));
    classes[i / PIXELS] = c;
  }
  test_write_idx (images, 3, dims, pixels);
  test_write_idx (labels, 1, dims, classes);
}

static const gdouble *
golden (const gchar * name, const gchar * what, guint * n)
{
  g_autofree gchar *full = g_strdup_printf ("%s/%s", name, what);
  const GradSafetensorsEntry *entry = grad_safetensors_find (goldens, full);

  g_assert_nonnull (entry);
  g_assert_cmpstr (entry->dtype, ==, "F64");
  *n = entry->size / sizeof (gdouble);
  return g_memdup2 (entry->data, entry->size);
}

/* The member of each line of the log that has this phase, in order */
static GArray *
read_log (const gchar * phase, const gchar * member)
{
  GArray *values = g_array_new (FALSE, FALSE, sizeof (gdouble));
  g_autofree gchar *text = NULL, *key = g_strdup_printf ("\"%s\":", member);
  g_autofree gchar *start = g_strdup_printf ("{\"phase\":\"%s\",", phase);
  g_auto (GStrv) lines = NULL;

  g_assert_true (g_file_get_contents ("log.jsonl", &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++) {
    gdouble value;

    if (!g_str_has_prefix (lines[i], start))
      continue;
    g_assert_nonnull (strstr (lines[i], key));
    value = g_ascii_strtod (strstr (lines[i], key) + strlen (key), NULL);
    g_array_append_val (values, value);
  }
  return values;
}

static void
assert_trajectory (const gchar * name, const gchar * what, const gchar * phase,
    const gchar * member, gdouble tolerance)
{
  g_autoptr (GArray) got = read_log (phase, member);
  guint n;
  g_autofree const gdouble *expected = golden (name, what, &n);
  gdouble worst = 0;

  g_assert_cmpuint (got->len, ==, n);
  for (guint i = 0; i < n; i++) {
    gdouble value = g_array_index (got, gdouble, i);
    gdouble off = fabs (value - expected[i]) / MAX (1e-3, fabs (expected[i]));

    worst = MAX (worst, off);
    if (!(off <= tolerance))
      g_error ("%s: %s [%u] is %.9g, PyTorch's is %.9g", name, what, i, value, expected[i]);
  }
  g_test_message ("%s: %s off by at most %.2g of %.2g", name, what, worst, tolerance);
}

/* ref computes in double; how far floats get away from that is a matter of the network. */
static void
run (const gchar * name, const gchar * device, gdouble tolerance)
{
  guint n;
  g_autofree const gdouble *evaluations = golden (name, "evaluation", &n);
  g_autoptr (TestResult) result = NULL;

  write_pictures ("x", "y", 37, 1);
  write_pictures ("test-x", "test-y", 21, 2);
  result = test_train ("idxsrc location=x labels=y test-location=test-x "
      "test-labels=test-y batch-size=8 shuffle=false epochs=%u ! gradresize device=%s precision=f32 "
      "! gradconvstem channels=4 kernel-size=3 stride=1 param-prefix=\"\" ! gradglobalpool "
      "! gradfc units=5 param-prefix=fc ! %s init-location=%s log-location=log.jsonl", n, device,
      grad_safetensors_get_metadata (goldens, name), goldens_location);

  assert_trajectory (name, "rate", "train", "learning_rate", 1e-8);
  assert_trajectory (name, "loss", "train", "loss", tolerance);
  assert_trajectory (name, "norm", "train", "gradient_norm", tolerance);
  assert_trajectory (name, "evaluation", "evaluate", "loss", tolerance);
  test_assert_files ("x", "y", "test-x", "test-y", "log.jsonl", NULL);
}

static void
test_case (gconstpointer name)
{
  const gchar *device = g_getenv ("GRAD_DEVICE");

  if (device == NULL)
    run (name, "ref", 2e-8);
  run (name, device ? device : "auto", 1e-3);
}

static const gchar *const cases[] = { "adam", "adam-decay", "adam-decoupled", "adam-betas", "sgd",
  "sgd-decay", "sgd-momentum", "sgd-nesterov", "constant-warmup", "linear", "linear-warmup",
  "cosine", "cosine-warmup", "step", "step-warmup", "one-cycle", "one-cycle-warmup", "clip",
  "accumulate", "ema", "label-smoothing", "all"
};

int
main (int argc, char **argv)
{
  int status;

  goldens_location = g_build_filename (g_getenv ("TEST_DATA"), "optimizer-goldens.safetensors",
      NULL);
  test_init (&argc, &argv);
  goldens = grad_safetensors_open (goldens_location, NULL);
  g_assert_nonnull (goldens);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *path = g_strdup_printf ("/optimizers/%s", cases[i]);

    g_test_add_data_func (path, cases[i], test_case);
  }
  status = test_run_all ();
  g_object_unref (goldens);
  g_free (goldens_location);
  return status;
}
