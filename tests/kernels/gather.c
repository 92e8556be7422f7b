/* Tests of kernels/gather, which only devices with memory of their own have: exact
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../testutil.h"

static GradTensor *
new_bytes (GradDevice * device, GradShape shape)
{
  g_autoptr (GError) error = NULL;
  GradTensor *tensor = grad_tensor_new (device, GRAD_DTYPE_UINT8, &shape, &error);

  g_assert_no_error (error);
  return tensor;
}

static void
test_samples (gconstpointer name)
{
  static const struct
  {
    gint m, n, h, w;
  } cases[] = { {10, 4, 28, 28}, {3, 7, 5, 7}, {1, 1, 1, 1}, {100, 961, 4, 4}, {50, 2000, 3, 3}, {5, 9, 40, 40}, {2, 3, 1, 1040} };
  g_autoptr (GradDevice) device = test_device (name);
  const GradGatherOps *ops = grad_device_kernels (device)->gather;
  g_autoptr (GRand) random = g_rand_new_with_seed (1);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    gint m = cases[i].m, n = cases[i].n, h = cases[i].h, w = cases[i].w;
    gsize size = (gsize) h * w;
    g_autoptr (GradTensor) set = new_bytes (device, GRAD_SHAPE (m, 1, h, w));
    g_autoptr (GradTensor) y = new_bytes (device, GRAD_SHAPE (n, 1, h, w));
    g_autofree guint8 *bytes = g_malloc (m * size), *got = g_malloc (n * size);
    g_autofree guint32 *indices = g_new (guint32, n);
    g_autoptr (GError) error = NULL;

    for (gsize k = 0; k < m * size; k++)
      bytes[k] = g_rand_int (random);
    for (gint k = 0; k < n; k++)
      indices[k] = k == 0 ? m - 1 : g_rand_int_range (random, 0, m);
    g_assert_true (grad_tensor_upload (set, bytes, m * size, &error));
    g_assert_true (ops->samples (device, set, indices, y, &error));
    g_assert_true (grad_tensor_download (y, got, n * size, &error));
    for (gint k = 0; k < n; k++)
      g_assert_cmpmem (got + k * size, size, bytes + indices[k] * size, size);
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  for (const gchar * const *name = test_devices (); *name != NULL; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    g_autofree gchar *path = g_strdup_printf ("/kernels/gather/%s", *name);

    if (grad_device_kernels (device)->gather != NULL)
      g_test_add_data_func (path, *name, test_samples);
  }
  return g_test_run ();
}
