/* Tests of pipelines on the cuda device, the emulated one, when its memory is used up
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

#include <string.h>

static void
assert_advice (TestResult * result)
{
  const gchar *text;

  g_assert_cmpuint (result->errors->len, >, 0);
  text = result->errors->pdata[0];
  g_assert_nonnull (strstr (text, "out of memory on cuda: "));
  g_assert_nonnull (strstr (text, " MB asked for, "));
  g_assert_nonnull (strstr (text, "lower batch-size on idxsrc or width/height on gradresize"));
}

static void
test_first_step (void)
{
  g_autoptr (TestResult) result = NULL;
  g_autoptr (GstElement) pipeline = test_launch (TEST_TRAINING "location=model.safetensors");

  g_setenv ("EMULATED_GPU_MEMORY", "45000", TRUE);
  result = test_play (pipeline);
  assert_advice (result);
  test_assert_files (NULL, NULL);       /* nothing was learnt */

  /* the same pipeline, with more memory */
  g_unsetenv ("EMULATED_GPU_MEMORY");
  g_clear_pointer (&result, test_result_free);
  result = test_play (pipeline);
  g_assert_true (result->eos);
  g_assert_cmpuint (result->errors->len, ==, 0);
  test_assert_files ("model.safetensors", NULL);
}

typedef struct
{
  GradBus *bus;
  GPtrArray *taken;
  guint n_batches;
} Thief;

/* Takes all memory away after three batches: the rest of the GPU's, and what the pool has. */
static GstPadProbeReturn
take_all (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Thief *thief = data;
  g_autoptr (GradDevice) device = grad_bus_get_device (thief->bus, NULL);

  if (++thief->n_batches != 4)
    return GST_PAD_PROBE_OK;
  g_setenv ("EMULATED_GPU_MEMORY", "1", TRUE);
  for (gint size = 1 << 22; size > 0; size /= 2) {
    GradTensor *tensor;

    while ((tensor = grad_tensor_new (device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (size), NULL)))
      g_ptr_array_add (thief->taken, tensor);
  }
  return GST_PAD_PROBE_OK;
}

/* Plays with a probe in front of the stem. n_taken: (nullable): tensors that it took */
static TestResult *
play (const gchar * launch, GstPadProbeCallback probe, guint * n_taken)
{
  g_autoptr (GstElement) pipeline = test_launch ("%s", launch);
  g_autoptr (GstElement) stem = test_get (pipeline, "stem");
  g_autoptr (GstPad) pad = gst_element_get_static_pad (stem, "sink");
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  g_autoptr (GPtrArray) taken =
      g_ptr_array_new_with_free_func ((GDestroyNotify) grad_tensor_unref);
  Thief thief = { bus, taken, 0 };
  TestResult *result;

  gst_element_set_context (pipeline, context);
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, probe, &thief, NULL);
  result = test_play (pipeline);
  g_unsetenv ("EMULATED_GPU_MEMORY");
  if (n_taken != NULL)
    *n_taken = taken->len;
  return result;
}

/* What was learnt until then is saved. */
static void
test_later (void)
{
  g_autoptr (TestResult) result = play (TEST_TRAINING "location=model.safetensors", take_all, NULL);
  guint64 step;

  assert_advice (result);
  g_assert_cmpuint (result->saved->len, ==, 1);
  g_assert_true (gst_structure_get_uint64 (result->saved->pdata[0], "step", &step));
  g_assert_cmpuint (step, ==, 3);
  test_assert_files ("model.safetensors", NULL);
}

/* In the third epoch somebody else wants memory, of which there is only what recordings and the pool hold. */
static GstPadProbeReturn
want_some (GstPad * pad, GstPadProbeInfo * info, gpointer data)
{
  Thief *thief = data;
  g_autoptr (GradDevice) device = grad_bus_get_device (thief->bus, NULL);
  guint64 used = grad_device_get_bytes_allocated (device);
  g_autofree gchar *memory = g_strdup_printf ("%" G_GUINT64_FORMAT, used);
  g_autoptr (GError) error = NULL;
  GradTensor *tensor;

  if (++thief->n_batches != 2 * TEST_STEPS + 2)
    return GST_PAD_PROBE_OK;
  g_setenv ("EMULATED_GPU_MEMORY", memory, TRUE);
  tensor = grad_tensor_new (device, GRAD_DTYPE_UINT8, &GRAD_SHAPE (used / 4), &error);
  g_assert_no_error (error);
  g_ptr_array_add (thief->taken, tensor);
  return GST_PAD_PROBE_OK;
}

/* Then steps are no longer recorded until there is memory again, and training goes on. */
static void
test_recordings (void)
{
  guint n_taken;
  g_autoptr (TestResult) result = play ("idxsrc epochs=4 " TEST_DATA TEST_NETWORK ("") "gradadamsink name=sink", want_some, &n_taken);

  g_assert_cmpuint (result->errors->len, ==, 0);
  g_assert_true (result->eos);
  g_assert_cmpuint (n_taken, ==, 1);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  g_test_add_func ("/out-of-memory/first-step", test_first_step);
  g_test_add_func ("/out-of-memory/later", test_later);
  g_test_add_func ("/out-of-memory/recordings", test_recordings);
  return test_run_all ();
}
