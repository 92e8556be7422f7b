/* Tests of initialisation: units start as PyTorch's Conv2d, Linear and BatchNorm2d do
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * PyTorch 1.13: kaiming_uniform with a = sqrt 5 for weights, which is uniform in +-1/sqrt (fan_in),
 * the same for biases; norms 1 and 0. */
#include "tests/testutil.h"

#include <math.h>

/* The book's network in full. */
static GradGraph *
build (void)
{
  GradGraph *g = grad_graph_new ();
  guint x = grad_graph_add_stem (g, GRAD_GRAPH_INPUT, "", 64, 7, 2, TRUE, TRUE);

  for (gint i = 0; i < 4; i++)
    for (gint k = 0; k < 2; k++) {
      g_autofree gchar *prefix = g_strdup_printf ("layer%d.%d", i + 1, k);
      gboolean halve = i > 0 && k == 0;

      x = grad_graph_add_residual (g, x, prefix, 64 << i, halve ? 2 : 1, halve, GRAD_BLOCK_BASIC,
          GRAD_SHORTCUT_CONV, TRUE);
    }
  x = grad_graph_add (g, grad_global_pool_unit_new (), x);
  grad_graph_add (g, grad_linear_unit_new ("fc", 10, TRUE), x);
  return g;
}

static GradNetwork *
prepare (GradDevice * device, guint64 seed)
{
  GradNetwork *network = grad_network_new ("test");
  g_autoptr (GradGraph) graph = build ();
  g_autoptr (GError) error = NULL;
  GradShape out;

  grad_parameter_store_set_seed (grad_network_get_store (network), seed);
  grad_graph_prepare (graph, device, grad_network_get_store (network), &GRAD_SHAPE (1, 1, 96, 96),
      &out, &error);
  g_assert_no_error (error);
  return network;
}

/* Inputs of each output, of the weight that a parameter belongs to. */
static gsize
fan_in_of (GradParameterStore * store, const gchar * name)
{
  g_autofree gchar *layer = g_strndup (name, strrchr (name, '.') - name);
  g_autofree gchar *weight_name = g_strconcat (layer, ".weight", NULL);
  GradParameter *weight = grad_parameter_store_find (store, weight_name);

  return grad_shape_n_elements (&weight->shape) / weight->shape.dims[0];
}

/* Moments of a uniform distribution, each with 5 standard errors of slack; its bounds; no
 * correlation of neighbours. */
static void
assert_uniform (const gchar * name, const gfloat * values, gsize n, gdouble bound)
{
  gdouble mean = 0, square = 0, fourth = 0, neighbour = 0, largest = 0;

  for (gsize i = 0; i < n; i++) {
    gdouble u = values[i] / bound;

    g_assert_cmpfloat (fabs (u), <=, 1 + 1e-6);
    mean += u / n;
    square += u * u / n;
    fourth += pow (u, 4) / n;
    neighbour += i > 0 ? u * values[i - 1] / bound / n : 0;
    largest = MAX (largest, fabs (u));
  }
  g_test_message ("%s: %" G_GSIZE_FORMAT " values, mean %.4f, mean square %.4f", name, n, mean,
      square);
  g_assert_cmpfloat (fabs (mean), <, 5 * sqrt (1. / 3 / n));
  g_assert_cmpfloat (fabs (square - 1. / 3), <, 5 * sqrt (4. / 45 / n));
  g_assert_cmpfloat (fabs (fourth - 1. / 5), <, 5 * sqrt (16. / 225 / n));
  g_assert_cmpfloat (fabs (neighbour), <, 5 * sqrt (1. / 9 / n));
  g_assert_cmpfloat (largest, >, 1 - 20. / n);
}

static void
test_distribution (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    g_autoptr (GradNetwork) network = prepare (device, 3);
    GradParameterStore *store = grad_network_get_store (network);

    g_assert_cmpuint (grad_parameter_store_count_values (store), ==, 11178378);
    for (guint i = 0; i < grad_parameter_store_get_n_parameters (store); i++) {
      GradParameter *p = grad_parameter_store_get_parameter (store, i);
      gsize n = grad_shape_n_elements (&p->shape);
      gboolean norm = strstr (p->name, "bn") != NULL;
      g_autofree gfloat *values = NULL;

      g_assert_cmpint (p->count, ==, 0);
      if (p->kind == GRAD_PARAMETER_COUNTER)
        continue;
      values = test_download (p->value);
      if (norm) {
        gboolean one = g_str_has_suffix (p->name, "weight") || g_str_has_suffix (p->name, "_var");

        for (gsize k = 0; k < n; k++)
          g_assert_cmpfloat (values[k], ==, one);
      } else
        assert_uniform (p->name, values, n, 1 / sqrt (fan_in_of (store, p->name)));
    }
  }
}

/* Values depend on the seed and the name: not on the device, and no two parameters have the
 * same. */
static void
test_seed (void)
{
  static const gchar *const names[] = { "layer1.0.conv1.weight", "layer1.0.conv2.weight",
    "layer1.1.conv1.weight"
  };
  gsize size = 64 * 64 * 9 * sizeof (gfloat);

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) ref = test_device ("ref"), device = test_device (*name);
    g_autoptr (GradNetwork) expected = prepare (ref, 3), same = prepare (device, 3);
    g_autoptr (GradNetwork) other = prepare (device, 4);
    GradNetwork *networks[] = { expected, same, other };
    gfloat *values[3][3];

    for (guint i = 0; i < 3; i++)
      for (guint k = 0; k < 3; k++)
        values[i][k] = test_download (grad_parameter_store_find (grad_network_get_store
                (networks[i]), names[k])->value);
    for (guint k = 0; k < 3; k++) {
      g_assert_cmpmem (values[0][k], size, values[1][k], size);
      g_assert_cmpint (memcmp (values[0][k], values[2][k], size), !=, 0);
      g_assert_cmpint (memcmp (values[0][k], values[0][(k + 1) % 3], size), !=, 0);
    }
    for (guint i = 0; i < 3; i++)
      for (guint k = 0; k < 3; k++)
        g_free (values[i][k]);
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/gradinit/distribution", test_distribution);
  g_test_add_func ("/gradinit/seed", test_seed);
  return g_test_run ();
}
