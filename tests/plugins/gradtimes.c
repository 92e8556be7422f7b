/* GradStreamer tests: the tracer gradtimes, in a process of its own
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NETWORK " ! gradresize width=24 height=24" TEST_BODY ("")
#define TRAINING "idxsrc " TEST_DATA TEST_EVALUATION NETWORK " ! gradloss name=loss ! gradadamsink"
#define INFERENCE "idxsrc location=test-images phase=infer batch-size=8" NETWORK " ! fakesink"

/* FLOPs of forward for one sample: 24x24 in the stem, 12x12 in stage1, 6x6 in stage2 */
static const struct
{
  const gchar *element, *unit;
  gdouble flops;
} units[] = {
  {"stem", "conv1+bn1", 2 * 24 * 24 * 4 * 9},
  {"stage1", "layer1.0.conv1+bn1", 2 * 12 * 12 * 4 * 4 * 9},
  {"stage1", "layer1.0.conv2+bn2", 2 * 12 * 12 * 4 * 4 * 9},
  {"stage2", "layer2.0.downsample.0", 2 * 6 * 6 * 8 * 4},
  {"stage2", "layer2.0.conv1+bn1", 2 * 6 * 6 * 8 * 4 * 9},
  {"stage2", "layer2.0.conv2+bn2", 2 * 6 * 6 * 8 * 8 * 9},
  {"pool", "mean", 0},
  {"fc", "fc", 2 * 8 * 5},
  {"loss", "cross-entropy", 0},
};

/* ---- the process that is traced */

/* Plays twice; to stdout goes what the tracer, if there is one, says when asked at the end. */
static int
play (int *argc, char ***argv)
{
  GstElement *pipeline;

  gst_init (argc, argv);
  test_watchdog (100);
  pipeline = test_launch ("%s", (*argv)[2]);
  for (guint i = 0; i < 2; i++) {
    g_autoptr (TestResult) result = test_result_new ();
    GList *tracers = gst_tracing_get_active_tracers ();

    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    test_collect (result, pipeline, GST_MESSAGE_EOS | GST_MESSAGE_ERROR, 100 * GST_SECOND);
    g_assert_true (result->eos);
    if (tracers != NULL) {
      g_autofree gchar *table = NULL;

      g_signal_emit_by_name (tracers->data, "get-table", &table);
      g_print ("%s", table);
    }
    g_list_free_full (tracers, gst_object_unref);
    gst_element_set_state (pipeline, GST_STATE_NULL);
  }
  gst_object_unref (pipeline);
  gst_deinit ();
  return 0;
}

/* What it printed to stderr. */
static gchar *
trace (const gchar * tracers, const gchar * launch)
{
  g_auto (GStrv) env = g_environ_setenv (g_get_environ (), "GST_TRACERS", tracers, TRUE);
  gchar *argv[] = { "/proc/self/exe", "--play", (gchar *) launch, NULL };
  g_autofree gchar *asked = NULL;
  g_autoptr (GError) error = NULL;
  gchar *printed, *table;
  gint status;

  g_spawn_sync (NULL, argv, env, G_SPAWN_DEFAULT, NULL, NULL, &asked, &printed, &status, &error);
  g_assert_no_error (error);
  g_spawn_check_wait_status (status, &error);
  if (error != NULL)
    g_error ("%s: %s", error->message, printed);
  table = strstr (printed, "\ngradtimes: ");    /* sanitizers may say something before */
  g_assert_cmpstr (asked, ==, table ? table : "");
  return printed;
}

/* ---- reading the table */

enum
{ TOTAL, PER_BATCH, PERCENT, FLOPS, FLOP_RATE, BYTES, BYTE_RATE, N_COLUMNS };

#define NAME_WIDTH 34

static void
read_line (const gchar * line, gdouble * columns)
{
  g_auto (GStrv) words = NULL;
  g_autofree gchar *numbers = g_strdup (line + NAME_WIDTH);
  guint n = 0;

  words = g_strsplit (numbers, " ", -1);
  for (guint i = 0; words[i] != NULL; i++)
    if (*words[i] != '\0' && n < N_COLUMNS)
      columns[n++] = g_str_equal (words[i], "-") ? 0 : g_ascii_strtod (words[i], NULL);
  g_assert_cmpuint (n, ==, N_COLUMNS);
}

/* The line of that name in a section, from its heading to an empty line. */
static gboolean
find_line (gchar ** lines, const gchar * section, const gchar * name, gdouble * columns)
{
  g_autofree gchar *padded = g_strdup_printf ("%-*s", NAME_WIDTH, name);

  while (*lines != NULL && !g_str_has_prefix (*lines, section))
    lines++;
  for (; *lines != NULL && **lines != '\0'; lines++)
    if (g_str_has_prefix (*lines, padded)) {
      read_line (*lines, columns);
      return TRUE;
    }
  return FALSE;
}

/* Rates are those of the time; slow ones are rounded to 0.0001. */
static void
assert_rate (const gdouble * columns, guint rate, guint amount)
{
  g_assert_cmpfloat_with_epsilon (columns[rate] * columns[PER_BATCH], columns[amount],
      0.01 * columns[amount] + 0.00006 * columns[PER_BATCH]);
}

static void
assert_per_batch (const gdouble * columns, guint batches)
{
  g_assert_cmpfloat_with_epsilon (columns[PER_BATCH] * batches, columns[TOTAL],
      0.001 * columns[TOTAL] + 0.00051);
}

/* A section has every unit and element, and what it says of them agrees. samples: in all batches;
 * passes: over the weights, one where no gradient of the input is wanted. Returns the total. */
static gdouble
assert_layers (gchar ** lines, const gchar * section, guint batches, guint samples, guint passes)
{
  g_autofree gchar *heading = g_strdup_printf ("%s (%u batches)", section, batches);
  gdouble all[N_COLUMNS], element[N_COLUMNS], unit[N_COLUMNS], flops = 0, total = 0;
  gboolean with_loss = !g_str_equal (section, "inference");

  g_assert_true (find_line (lines, heading, "all", all));
  for (guint i = 0; i < G_N_ELEMENTS (units) - !with_loss; i++) {
    g_autofree gchar *name = g_strconcat ("  ", units[i].unit, NULL);
    gdouble expected = units[i].flops * samples / batches / 1e6 * (i == 0 ? 1 : passes);

    g_assert_true (find_line (lines, heading, units[i].element, element));
    g_assert_true (find_line (lines, heading, name, unit));
    g_assert_cmpfloat_with_epsilon (unit[FLOPS], expected, 0.000051);
    g_assert_cmpfloat (unit[TOTAL], >, 0);
    g_assert_cmpfloat (unit[TOTAL], <=, element[TOTAL]);
    assert_per_batch (unit, batches);
    if (!g_str_equal (units[i].element, "loss"))
      g_assert_cmpfloat (unit[BYTES], >, 0);
    flops += expected;
    total += unit[TOTAL];
  }
  g_assert_cmpfloat_with_epsilon (all[FLOPS], flops, 0.00051);
  g_assert_cmpfloat_with_epsilon (all[TOTAL], total, 0.001 * total + 0.001);
  assert_rate (all, FLOP_RATE, FLOPS);
  assert_rate (all, BYTE_RATE, BYTES);
  return total;
}

/* The lines of the two tables: one thread computes, so that it took no longer than the run, and
 * both runs no longer than the process. */
static GStrv
read_tables (const gchar * printed, gdouble seconds, GStrv * second)
{
  g_auto (GStrv) tables = g_strsplit (printed, "gradtimes: ", -1);
  const gchar *waiting = strstr (printed, ", waited for after each unit: computed");

  g_assert_cmpuint (g_strv_length (tables), ==, 3);
  g_assert_true ((waiting != NULL) == (g_strcmp0 (g_getenv ("GRAD_DEVICE"), "cuda") == 0));
  for (guint i = 1; i < 3; i++) {
    gdouble computed, run;
    gchar *numbers = strstr (tables[i], "computed for ");

    g_assert_true (g_str_has_prefix (tables[i], "pipeline0 on "));
    g_assert_cmpint (sscanf (numbers, "computed for %lf of %lf s\n", &computed, &run), ==, 2);
    g_assert_cmpfloat (computed, >, 0);
    g_assert_cmpfloat (computed, <=, run);
    seconds -= run;
  }
  g_assert_cmpfloat (seconds, >, 0);
  *second = g_strsplit (tables[2], "\n", -1);
  return g_strsplit (tables[1], "\n", -1);
}

static void
assert_narrow (gchar ** lines)
{
  for (; *lines != NULL; lines++)
    g_assert_cmpuint (strlen (*lines), <=, 100);
}

/* ---- cases */

static void
test_training (void)
{
  gint64 start = g_get_monotonic_time ();
  g_autofree gchar *printed = trace ("gradtimes", TRAINING);
  g_auto (GStrv) second = NULL;
  g_auto (GStrv) first = read_tables (printed, (g_get_monotonic_time () - start) / 1e6, &second);

  for (guint i = 0; i < 2; i++) {
    gchar **lines = i == 0 ? first : second;
    gdouble norm[N_COLUMNS], update[N_COLUMNS], statistics[N_COLUMNS], planning[N_COLUMNS], total, computed;

    assert_narrow (lines);
    total = assert_layers (lines, "training, forward", TEST_STEPS, TEST_TRAIN_SAMPLES, 1);
    total += assert_layers (lines, "training, backward", TEST_STEPS, TEST_TRAIN_SAMPLES, 2);
    total += assert_layers (lines, "evaluation", 3, TEST_TEST_SAMPLES, 1);
    g_assert_false (find_line (lines, "inference", "all", update));
    g_assert_true (find_line (lines, "besides", "norm of the gradient", norm));
    g_assert_true (find_line (lines, "besides", "update of parameters", update));
    g_assert_true (find_line (lines, "besides", "update of running statistics", statistics));
    g_assert_true (find_line (lines, "besides", "planning, once per shape", planning));
    assert_per_batch (norm, TEST_STEPS);
    assert_per_batch (update, TEST_STEPS);
    total += norm[TOTAL] + update[TOTAL] + statistics[TOTAL] + planning[TOTAL];
    g_assert_cmpfloat_with_epsilon (100 * update[TOTAL] / total, update[PERCENT], 0.1);
    computed = g_ascii_strtod (strstr (lines[0], "computed for ") + strlen ("computed for "), NULL);
    g_assert_cmpfloat_with_epsilon (total / 1000, computed, 0.0011 + 0.001 * computed);        /* digits printed */
  }
}

static void
test_inference (void)
{
  gint64 start = g_get_monotonic_time ();
  g_autofree gchar *printed = trace ("gradtimes", INFERENCE);
  g_auto (GStrv) second = NULL;
  g_auto (GStrv) first = read_tables (printed, (g_get_monotonic_time () - start) / 1e6, &second);

  assert_layers (first, "inference", 3, TEST_TEST_SAMPLES, 1);
  assert_layers (second, "inference", 3, TEST_TEST_SAMPLES, 1);
  g_assert_null (strstr (printed, "training"));
  g_assert_null (strstr (printed, "evaluation"));
  g_assert_null (strstr (printed, "update"));
}

static void
test_silence (void)
{
  g_autofree gchar *untraced = trace ("", TRAINING);
  g_autofree gchar *idle = trace ("gradtimes", "fakesrc num-buffers=2 ! fakesink");

  g_assert_null (strstr (untraced, "gradtimes"));
  g_assert_null (strstr (idle, "gradtimes"));
}

int
main (int argc, char **argv)
{
  if (argc == 3 && g_str_equal (argv[1], "--play"))
    return play (&argc, &argv);
  test_init (&argc, &argv);
  g_test_add_func ("/gradtimes/training", test_training);
  g_test_add_func ("/gradtimes/inference", test_inference);
  g_test_add_func ("/gradtimes/silence", test_silence);
  return test_run_all ();
}
