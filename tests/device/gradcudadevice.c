/* Tests of the cuda device, on the emulated one: what opens, what is refused, what lies where
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/testutil.h"

#include <string.h>

static GradDevice *
open_device (const gchar * name, GradPrecision precision, GError ** error)
{
  return grad_device_open (&(GradDeviceSettings) {.name = name,.precision = precision}, error);
}

static void
test_open (void)
{
  static const struct
  {
    GradPrecision asked, got;
  } cases[] = {
    {GRAD_PRECISION_DEFAULT, GRAD_PRECISION_BF16}, {GRAD_PRECISION_AUTO, GRAD_PRECISION_BF16}, {GRAD_PRECISION_F32, GRAD_PRECISION_F32},
    {GRAD_PRECISION_BF16, GRAD_PRECISION_BF16}, {GRAD_PRECISION_TF32, GRAD_PRECISION_TF32},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GradDevice) device = open_device ("cuda:0", cases[i].asked, &error);

    g_assert_no_error (error);
    g_assert_cmpint (grad_device_get_precision (device), ==, cases[i].got);
    g_assert_cmpstr (grad_device_get_name (device), ==, "cuda:0");
  }
}

static void
test_refused (void)
{
  static const struct
  {
    const gchar *name, *status, *text;
    GradError code;
  } cases[] = {
    {"cuda", "35", "install NVIDIA's driver", GRAD_ERROR_DEVICE},
    {"cuda", "100", "no CUDA-capable device", GRAD_ERROR_DEVICE},
    {"cuda:1", NULL, "GPUs are cuda:0 to cuda:0", GRAD_ERROR_DEVICE},
    {"cuda:one", NULL, "cuda:0, cuda:1", GRAD_ERROR_SETTINGS},
    {"cudax", NULL, "no device \"cudax\"", GRAD_ERROR_DEVICE},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;

    if (cases[i].status)
      g_setenv ("EMULATED_GPU_ERROR", cases[i].status, TRUE);
    g_assert_null (open_device (cases[i].name, GRAD_PRECISION_DEFAULT, &error));
    g_assert_error (error, GRAD_ERROR, (gint) cases[i].code);
    g_assert_nonnull (strstr (error->message, cases[i].text));
    g_unsetenv ("EMULATED_GPU_ERROR");
  }
}

static void
test_out_of_memory (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GradDevice) device = open_device ("cuda", GRAD_PRECISION_F32, &error);
  g_autoptr (GradTensor) small = NULL;

  g_assert_no_error (error);
  g_setenv ("EMULATED_GPU_MEMORY", "10000000", TRUE);
  g_assert_null (grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &GRAD_SHAPE (256, 64, 48, 48),
          &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_NO_MEMORY);
  g_assert_nonnull (strstr (error->message, "cuda: 144 MB asked for"));
  g_assert_nonnull (strstr (error->message, "batch-size"));
  g_assert_nonnull (strstr (error->message, "width/height on gradresize"));
  small = test_random (device, GRAD_SHAPE (2, 3, 4, 5), 1, -1, 1);      /* life goes on */
  g_unsetenv ("EMULATED_GPU_MEMORY");
}

/* (N, C, H, W) by columns, rows, channels */
static gsize
nhwc (const GradShape * s, gint n, gint c, gint h, gint w)
{
  return (((gsize) n * s->dims[2] + h) * s->dims[3] + w) * s->dims[1] + c;
}

/* Where there is no memory left for the dense values, they are the same. */
static void
assert_downloaded_without_memory (GradTensor * tensor, const gfloat * expected)
{
  gsize size = grad_shape_n_elements (grad_tensor_get_shape (tensor)) * sizeof (gfloat);
  g_autoptr (GPtrArray) taken = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_tensor_unref);
  g_autofree gfloat *got = NULL;

  g_setenv ("EMULATED_GPU_MEMORY", "1", TRUE);
  for (gint left = 1 << 20; left > 0; left /= 2) {
    GradTensor *t;

    while ((t = grad_tensor_new (grad_tensor_get_device (tensor), GRAD_DTYPE_UINT8, &GRAD_SHAPE (left), NULL)))
      g_ptr_array_add (taken, t);
  }
  got = test_download (tensor);
  g_unsetenv ("EMULATED_GPU_MEMORY");
  g_assert_cmpmem (got, size, expected, size);
}

static void
test_layout (gconstpointer data)
{
  const gchar *name = data;
  gboolean bf16 = g_str_has_suffix (name, "bf16");
  static const GradShape shapes[] = { {4, {2, 3, 5, 7}}, {4, {3, 64, 9, 40}}, {4, {1, 1, 33, 1}} };
  g_autoptr (GradDevice) device = test_device (name);

  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
    const GradShape *s = &shapes[i];
    g_autoptr (GradTensor) t = test_random (device, *s, 1, -1, 1);
    g_autofree gfloat *values = test_download (t);
    const gfloat *dense = values;
    GstMapInfo map;

    g_assert_cmpstr (grad_tensor_get_layout_name (t), ==, bf16 ? "nhwc-bf16" : "nhwc-f32");
    g_assert_true (gst_memory_map (GST_MEMORY_CAST (t), &map, GST_MAP_READ | GRAD_MAP_DEVICE));
    for (gint n = 0; n < s->dims[0]; n++)
      for (gint c = 0; c < s->dims[1]; c++)
        for (gint h = 0; h < s->dims[2]; h++)
          for (gint w = 0; w < s->dims[3]; w++, dense++) {
            gsize at = nhwc (s, n, c, h, w);
            guint32 bits = bf16 ? (guint32) ((guint16 *) map.data)[at] << 16
                : ((guint32 *) map.data)[at];
            gfloat value;

            memcpy (&value, &bits, sizeof value);
            g_assert_cmpfloat (value, ==, *dense);
          }
    gst_memory_unmap (GST_MEMORY_CAST (t), &map);
    assert_downloaded_without_memory (t, values);
  }
}

/* Vectors are plain floats, filters lie as pictures do, in floats; pictures are stored in half the bytes with bf16. */
static void
test_storage (void)
{
  g_autoptr (GradDevice) device = test_device ("cuda/bf16");
  guint64 before = grad_device_get_bytes_allocated (device);
  g_autoptr (GradTensor) vector = test_new (device, GRAD_SHAPE (7, 10));
  g_autoptr (GradTensor) weights = test_new_parameter (device, GRAD_SHAPE (8, 3, 3, 3));
  g_autoptr (GradTensor) pictures = NULL;

  g_assert_cmpstr (grad_tensor_get_layout_name (vector), ==, "plain");
  g_assert_cmpstr (grad_tensor_get_layout_name (weights), ==, "nhwc-f32");
  g_assert_cmpuint (grad_device_get_bytes_allocated (device) - before, ==, 4 * (70 + 216));
  pictures = test_new (device, GRAD_SHAPE (2, 8, 9, 11));
  g_assert_cmpuint (grad_device_get_bytes_allocated (device) - before, ==,
      4 * (70 + 216) + 2 * 2 * 8 * 9 * 11);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cuda-device/open", test_open);
  g_test_add_func ("/cuda-device/refused", test_refused);
  g_test_add_func ("/cuda-device/out-of-memory", test_out_of_memory);
  g_test_add_data_func ("/cuda-device/layout/f32", "cuda/f32", test_layout);
  g_test_add_data_func ("/cuda-device/layout/bf16", "cuda/bf16", test_layout);
  g_test_add_func ("/cuda-device/storage", test_storage);
  return g_test_run ();
}
