/* Tests of lib/tensor: shapes, caps, memory
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/testutil.h"

#include <string.h>

static void
test_caps (void)
{
  static const struct
  {
    const gchar *dimensions;
    guint rank;
    GradShape shape;            /* rank 0: refused */
  } cases[] = {
    {"96:96:1:256", 4, {4, {256, 1, 96, 96}}},
    {"96:96", 4, {4, {1, 1, 96, 96}}},
    {"96:96:1:256:1:1", 4, {4, {256, 1, 96, 96}}},
    {"10:256", 2, {2, {256, 10}}},
    {"10:256:1:1", 2, {2, {256, 10}}},
    {"1:1:10:256", 2, {2, {256, 10}}},
    {"10", 2, {2, {1, 10}}},
    {"3:3:10:256", 2, {0}},
    {"0:3", 2, {0}},
    {"-1:3", 2, {0}},
    {"4294967297:3", 2, {0}},
    {"65536:65536:65536:65536", 4, {0}},
    {"", 2, {0}},
    {"3:", 2, {0}},
    {"1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1", 2, {0}},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GstCaps) caps = gst_caps_new_simple ("other/tensors", "types", G_TYPE_STRING,
        "float32", "dimensions", G_TYPE_STRING, cases[i].dimensions, NULL);
    g_autoptr (GError) error = NULL;
    GradDType dtype;
    GradShape shape;

    if (grad_caps_parse (caps, cases[i].rank, &dtype, &shape, &error)) {
      g_assert_cmpint (dtype, ==, GRAD_DTYPE_FLOAT32);
      g_assert_true (grad_shape_equal (&shape, &cases[i].shape));
    } else {
      g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
      g_assert_cmpuint (cases[i].shape.rank, ==, 0);
    }
  }
}

static void
test_caps_new (void)
{
  g_autoptr (GstCaps) caps = grad_caps_new (GRAD_DTYPE_UINT8, &GRAD_SHAPE (256, 1, 28, 28), 0, 1);
  g_autofree gchar *text = gst_caps_to_string (caps);

  g_assert_cmpstr (text, ==, "other/tensors, format=(string)static, num_tensors=(int)1, "
      "types=(string)uint8, dimensions=(string)28:28:1:256, framerate=(fraction)0/1");
}

static void
test_map (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    g_autoptr (GradTensor) t = test_random (device, GRAD_SHAPE (2, 32, 3, 5), 1, -1, 1);
    g_autofree gfloat *values = test_download (t), *again = NULL;
    GstMapInfo map;

    g_assert_true (gst_memory_map (GST_MEMORY_CAST (t), &map, GST_MAP_READ));
    g_assert_cmpuint (map.size, ==, 2 * 32 * 3 * 5 * 4);
    g_assert_cmpmem (map.data, map.size, values, map.size);
    gst_memory_unmap (GST_MEMORY_CAST (t), &map);

    /* what is written through a map is what kernels see */
    g_assert_true (gst_memory_map (GST_MEMORY_CAST (t), &map, GST_MAP_WRITE));
    ((gfloat *) map.data)[7] = 42;
    gst_memory_unmap (GST_MEMORY_CAST (t), &map);
    grad_tensor_data (t);
    values[7] = 42;
    again = test_download (t);
    g_assert_cmpmem (again, map.size, values, map.size);
  }
}

static void
test_buffer_operations (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    GradTensor *t = test_random (device, GRAD_SHAPE (4, 16, 2, 2), 1, -1, 1);
    g_autofree gfloat *values = test_download (t);
    g_autoptr (GstBuffer) buffer = gst_buffer_new (), region = NULL, copy = NULL;
    gfloat got[4];

    gst_buffer_append_memory (buffer, GST_MEMORY_CAST (t));
    /* a region of a tensor is a copy (an allocator without mem_share would crash here) */
    region = gst_buffer_copy_region (buffer, GST_BUFFER_COPY_MEMORY, 16, 16);
    g_assert_cmpuint (gst_buffer_extract (region, 0, got, 16), ==, 16);
    g_assert_cmpmem (got, 16, values + 4, 16);
    /* a shallow copy shares the tensor */
    copy = gst_buffer_copy (buffer);
    g_assert_true (gst_buffer_peek_memory (copy, 0) == GST_MEMORY_CAST (t));
    /* several memories in one buffer still map */
    gst_buffer_append_memory (copy, gst_memory_ref (gst_buffer_peek_memory (region, 0)));
    g_assert_cmpuint (gst_buffer_extract (copy, 256 * 4, got, 16), ==, 16);
    g_assert_cmpmem (got, 16, values + 4, 16);
  }
}

/* what the tape holds is not overwritten by an in-place element */
static void
test_hold (void)
{
  g_autoptr (GradDevice) device = test_device ("ref");
  GradTensor *t = test_random (device, GRAD_SHAPE (4, 4), 1, -1, 1);
  g_autofree gfloat *before = test_download (t), *after = NULL;
  GstBuffer *buffer = gst_buffer_new ();
  GstMapInfo map;

  gst_buffer_append_memory (buffer, GST_MEMORY_CAST (grad_tensor_ref (t)));
  grad_tensor_hold (t);
  g_assert_true (gst_buffer_is_writable (buffer));
  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_WRITE));
  memset (map.data, 0, map.size);
  gst_buffer_unmap (buffer, &map);
  g_assert_true (gst_buffer_peek_memory (buffer, 0) != GST_MEMORY_CAST (t));
  after = test_download (t);
  g_assert_cmpmem (before, 64, after, 64);
  grad_tensor_release (t);
  grad_tensor_unref (t);
  gst_buffer_unref (buffer);
}

/* storage is reused, also by a smaller batch */
static void
test_pool (void)
{
  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < 5; i++)
      grad_tensor_unref (test_new (device, GRAD_SHAPE (i == 3 ? 96 : 256, 16, 4, 4)));
    g_assert_cmpuint (grad_device_get_n_allocations (device), ==, 1);
    grad_tensor_unref (test_new (device, GRAD_SHAPE (16)));
    g_assert_cmpuint (grad_device_get_n_allocations (device), ==, 2);
  }
}

/* Parameters have storage of their own, lest they keep that of an activation, and give it back. */
static void
test_own_storage (void)
{
  GradShape shape = GRAD_SHAPE (64, 64, 3, 3);

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);
    guint64 bytes;

    grad_tensor_unref (test_new (device, shape));
    bytes = grad_device_get_bytes_allocated (device);
    for (guint i = 0; i < 3; i++) {
      g_autoptr (GradTensor) parameter = test_new_parameter (device, shape);

      grad_tensor_unref (test_new (device, shape));
      g_assert_cmpuint (grad_device_get_n_allocations (device), ==, 2 + i);
      g_assert_cmpuint (grad_device_get_bytes_allocated (device), >, bytes);
    }
    g_assert_cmpuint (grad_device_get_bytes_allocated (device), ==, bytes);
  }
}

static void
test_foreign_buffer (void)
{
  g_autoptr (GradDevice) device = test_device ("ref");
  GradShape shape = GRAD_SHAPE (2, 3);
  gfloat values[6] = { 1, 2, 3, 4, 5, 6 };
  g_autoptr (GstBuffer) buffer = gst_buffer_new_memdup (values, sizeof values);
  g_autoptr (GradTensor) t = NULL;
  g_autofree gfloat *got = NULL;
  g_autoptr (GError) error = NULL;

  t = grad_tensor_from_buffer (buffer, device, GRAD_DTYPE_FLOAT32, &shape, &error);
  g_assert_no_error (error);
  got = test_download (t);
  g_assert_cmpmem (got, sizeof values, values, sizeof values);
  shape.dims[0] = 3;
  g_assert_null (grad_tensor_from_buffer (buffer, device, GRAD_DTYPE_FLOAT32, &shape, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE);
}

/* What is left is what was there, whatever the layout, and all that a buffer has */
static void
test_truncate (void)
{
  static const gint channels[] = { 3, 16 };

  for (const gchar * const *name = test_devices (); *name; name++) {
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < G_N_ELEMENTS (channels); i++) {
      gint sample = channels[i] * 2 * 5;
      GradTensor *t = test_random (device, GRAD_SHAPE (4, channels[i], 2, 5), 1, -1, 1);
      g_autofree gfloat *before = test_download (t), *after = NULL;
      g_autoptr (GstBuffer) buffer = gst_buffer_new ();

      grad_tensor_truncate (t, 3);
      g_assert_true (grad_shape_equal (grad_tensor_get_shape (t), &GRAD_SHAPE (3, channels[i], 2, 5)));
      after = test_download (t);
      g_assert_cmpmem (after, 3 * sample * sizeof (gfloat), before, 3 * sample * sizeof (gfloat));
      gst_buffer_append_memory (buffer, GST_MEMORY_CAST (t));
      g_assert_cmpuint (gst_buffer_get_size (buffer), ==, 3 * sample * sizeof (gfloat));
      g_assert_cmpint (gst_buffer_memcmp (buffer, 0, before, 3 * sample * sizeof (gfloat)), ==, 0);
    }
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tensor/caps", test_caps);
  g_test_add_func ("/tensor/caps-new", test_caps_new);
  g_test_add_func ("/tensor/map", test_map);
  g_test_add_func ("/tensor/buffer-operations", test_buffer_operations);
  g_test_add_func ("/tensor/hold", test_hold);
  g_test_add_func ("/tensor/pool", test_pool);
  g_test_add_func ("/tensor/own-storage", test_own_storage);
  g_test_add_func ("/tensor/truncate", test_truncate);
  g_test_add_func ("/tensor/foreign-buffer", test_foreign_buffer);
  return g_test_run ();
}
