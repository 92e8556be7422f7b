/* Tests of what a training step and an inference do once they are in the swing: no storage is allocated, no activation changes its
 * layout and weights at most twice per convolution, but with blocks of 4 and in bf16
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model.h"
#include "lib/device/gradcpudevice-private.h"

#define N_CONVOLUTIONS 20
#define N_LINEAR 3              /* the last layer's weights, forward, for its input, and as a gradient */

/* the book's: of other widths oneDNN has not all that is measured to be fast in the device's layout */
static const gint channels[4] = { 64, 128, 256, 512 };

/* oneDNN has kernels for blocks of 8 and 16 floats, and some of its convolutions are left in the network; how many is a matter of time,
 * and elsewhere gradients of weights want another layout, too. */
static gboolean
needs_no_reorders (const gchar * name)
{
  return g_str_equal (name, "cpu") && grad_cpu_block () > 4;
}

static void
count (gpointer data, GFunc call, GradCpuReorders * reorders, guint64 * allocations)
{
  Model *m = data;

  *reorders = grad_cpu_reorders;
  *allocations = grad_device_get_n_allocations (m->device);
  call (m, NULL);
  reorders->activations = grad_cpu_reorders.activations - reorders->activations;
  reorders->parameters = grad_cpu_reorders.parameters - reorders->parameters;
  *allocations = grad_device_get_n_allocations (m->device) - *allocations;
}

static void
train (gpointer m, gpointer number)
{
  model_train (m, GPOINTER_TO_UINT (number), 1e-3);
}

static void
evaluate (gpointer m, gpointer number)
{
  model_forward (m, GPOINTER_TO_UINT (number), NULL);
}

static void
test_training (gconstpointer name)
{
  GradCpuReorders reorders;
  guint64 allocations;
  Model m;

  model_init (&m, name, channels, 96);
  train (&m, NULL);
  train (&m, NULL);
  count (&m, train, &reorders, &allocations);
  g_test_message ("%u reorders of activations, %u of parameters", reorders.activations,
      reorders.parameters);
  g_assert_cmpuint (allocations, ==, 0);
  if (needs_no_reorders (name))
    g_assert_cmpuint (reorders.activations, ==, 0);
  g_assert_cmpuint (reorders.parameters, >, 0);
  g_assert_cmpuint (reorders.parameters, <=, (needs_no_reorders (name) ? 2 : 3) * N_CONVOLUTIONS + N_LINEAR);
  model_clear (&m);
}

/* Weights stay as they are, also in the layout that convolutions want. */
static void
test_inference (gconstpointer name)
{
  GradCpuReorders reorders;
  guint64 allocations;
  Model m;

  model_init (&m, name, channels, 96);
  evaluate (&m, NULL);
  evaluate (&m, NULL);
  count (&m, evaluate, &reorders, &allocations);
  g_assert_cmpuint (allocations, ==, 0);
  if (needs_no_reorders (name))
    g_assert_cmpuint (reorders.activations, ==, 0);
  g_assert_cmpuint (reorders.parameters, <=, 1);        /* the last layer's */
  /* until they change */
  train (&m, NULL);
  count (&m, evaluate, &reorders, &allocations);
  g_assert_cmpuint (reorders.parameters, >, 1);
  model_clear (&m);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/network/steady/training", "cpu", test_training);
  g_test_add_data_func ("/network/steady/training/bf16", "cpu/bf16", test_training);
  g_test_add_data_func ("/network/steady/inference", "cpu", test_inference);
  g_test_add_data_func ("/network/steady/inference/bf16", "cpu/bf16", test_inference);
  return g_test_run ();
}
