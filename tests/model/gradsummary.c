/* GradStreamer tests: the table of a network says what the network has
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/pipelineutil.h"

#include <math.h>
#include <string.h>

/* The elements of a launch string, in its order */
static GPtrArray *
parse (const gchar * launch, GstElement ** pipeline)
{
  GPtrArray *elements = g_ptr_array_new ();

  *pipeline = test_launch ("%s", launch);
  for (GList * l = g_list_last (GST_BIN_CHILDREN (*pipeline)); l != NULL; l = l->prev)
    g_ptr_array_add (elements, l->data);
  return elements;
}

static GPtrArray *
summarize (const gchar * launch, GradShape input, GError ** error)
{
  g_autoptr (GstElement) pipeline = NULL;
  g_autoptr (GPtrArray) elements = parse (launch, &pipeline);

  return grad_summary_new (elements, &input, error);
}

static void
add_up (GPtrArray * rows, GradSummaryRow * all)
{
  *all = (GradSummaryRow) { NULL };
  for (guint i = 0; i < rows->len; i++) {
    const GradSummaryRow *row = rows->pdata[i];

    all->trainable += row->trainable;
    all->statistics += row->statistics;
    all->flops += row->flops;
  }
}

/* The ResNet-18 of the book, whose numbers are known: 64 to 512 channels, biases everywhere */
static void
test_book (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) rows = summarize ("gradresize width=96 height=96 ! queue ! gradconvstem ! "
      "gradresstage channels=64 first-block=true ! gradresstage channels=128 ! "
      "gradresstage channels=256 ! gradresstage channels=512 ! gradglobalpool ! gradfc ! gradloss",
      GRAD_SHAPE (4, 1, 28, 28), &error);
  const GradSummaryRow *stem, *stage;
  GradSummaryRow all;

  g_assert_no_error (error);
  g_assert_cmpuint (rows->len, ==, 9);
  add_up (rows, &all);
  g_assert_cmpuint (all.trainable, ==, 11178378);
  /* means and variances of 17 norms: those of the shortcuts have none */
  g_assert_cmpuint (all.statistics, ==, 2 * (64 + 4 * (64 + 128 + 256 + 512)));

  stem = rows->pdata[1];
  g_assert_cmpstr (stem->factory, ==, "gradconvstem");
  g_assert_true (grad_shape_equal (&stem->output, &GRAD_SHAPE (4, 64, 24, 24)));
  g_assert_cmpfloat (stem->flops, ==, 2. * 4 * 49 * 64 * 48 * 48);      /* before the pooling */
  stage = rows->pdata[3];
  g_assert_cmpstr (stage->settings, ==, "channels=128");
  g_assert_true (grad_shape_equal (&stage->output, &GRAD_SHAPE (4, 128, 12, 12)));
  g_assert_cmpfloat (stage->flops, ==, 2. * 4 * 144 * 128 * (9 * 64 + 64 + 3 * 9 * 128));
}

/* Layers that share a prefix share their parameters. */
static void
test_shared (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) rows = summarize ("gradfc units=6 param-prefix=a ! gradfc units=6 "
      "param-prefix=a", GRAD_SHAPE (1, 6), &error);

  g_assert_no_error (error);
  g_assert_cmpuint (((GradSummaryRow *) rows->pdata[0])->trainable, ==, 42);
  g_assert_cmpuint (((GradSummaryRow *) rows->pdata[1])->trainable, ==, 0);
  g_assert_cmpfloat (((GradSummaryRow *) rows->pdata[1])->flops, ==, 72);
}

static void
test_wrong (void)
{
  static const struct
  {
    const gchar *launch;
    GradShape input;
    const gchar *text;
  } cases[] = {
    {"gradconvstem ! gradfc name=fc", {4, {1, 1, 8, 8}}, "fc: "},
    {"gradresize height=3 ! gradglobalpool name=pool", {4, {1, 1, 0, 0}}, "pool: it gets"},
    {"gradfc units=3 param-prefix=a ! gradfc name=b units=4 param-prefix=a", {2, {1, 3}}, "b: "},
    {"gradglobalpool ! gradglobalpool name=again", {4, {1, 1, 8, 8}}, "again: "},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) rows = summarize (cases[i].launch, cases[i].input, &error);

    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
    g_assert_null (rows);
    g_assert_true (g_str_has_prefix (error->message, cases[i].text));
  }
}

/* What the table counts is in the file, no more and no less. */
static void
test_model (void)
{
  g_autoptr (TestResult) result = test_train (TEST_TRAINING "location=model.safetensors");
  g_autoptr (GError) error = NULL;
  g_autoptr (GradModel) model = grad_model_open ("model.safetensors", &error);
  g_autoptr (GradSafetensors) file = grad_safetensors_open ("model.safetensors", &error);
  g_autoptr (GPtrArray) rows = NULL;
  guint64 trainable = 0, statistics = 0;
  GradSummaryRow all;

  g_assert_no_error (error);
  rows = grad_summary_new_from_model (model, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < grad_safetensors_get_n_entries (file); i++) {
    const GradSafetensorsEntry *entry = grad_safetensors_get_entry (file, i);

    if (g_str_has_prefix (entry->name, "optimizer."))    /* what it keeps of each parameter */
      continue;
    if (strstr (entry->name, ".running_"))
      statistics += entry->size / sizeof (gfloat);
    else if (g_str_equal (entry->dtype, "F32"))
      trainable += entry->size / sizeof (gfloat);
  }
  add_up (rows, &all);
  g_assert_cmpuint (all.trainable, ==, trainable);
  g_assert_cmpuint (all.statistics, ==, statistics);
  g_assert_cmpstr (((GradSummaryRow *) rows->pdata[0])->name, ==, "gradconvstem");
  g_assert_cmpstr (((GradSummaryRow *) rows->pdata[1])->name, ==, "layer1");
  test_assert_files ("model.safetensors", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/model/gradsummary/book", test_book);
  g_test_add_func ("/model/gradsummary/shared", test_shared);
  g_test_add_func ("/model/gradsummary/wrong", test_wrong);
  g_test_add_func ("/model/gradsummary/model", test_model);
  return test_run_all ();
}
