/* Tests of the second stream of the cuda device
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/testutil.h"

#define SHAPE GRAD_SHAPE (4, 8, 16, 16)
#define SIZE (4 * 8 * 16 * 16 * 2)      /* at least */

static gboolean (*begin_aside) (GradDevice * device, GError ** error);
static gboolean (*end_aside) (GradDevice * device, const GradTensor * a, const GradTensor * b, GError ** error);

static GradDevice *
open_device (const gchar * name)
{
  GradDevice *device = test_device (name);

  begin_aside = test_cuda_symbol ("grad_cuda_device_begin_aside");
  end_aside = test_cuda_symbol ("grad_cuda_device_end_aside");
  return device;
}

/* Storage, given back at once */
static gpointer
scratch (GradDevice * device, gsize size)
{
  gsize capacity;
  gpointer data = grad_device_pool_get (device, size, &capacity, NULL);

  g_assert_nonnull (data);
  grad_device_pool_put (device, data, capacity);
  return data;
}

static gpointer
scratch_elsewhere (gpointer device)
{
  return scratch (device, SIZE);
}

/* What other threads have given back may be in use on the main stream, behind all that the second one waits for. */
static gboolean
use_scratch (gpointer data, GError ** error)
{
  GradDevice *device = data;
  g_autoptr (GradTensor) a = test_new (device, SHAPE);
  gpointer theirs, ours;

  g_assert_true (begin_aside (device, error));
  theirs = g_thread_join (g_thread_new (NULL, scratch_elsewhere, device));
  ours = scratch (device, SIZE);
  g_assert_true (ours != theirs);
  g_assert_true (scratch (device, SIZE) == ours);
  g_assert_true (end_aside (device, a, a, error));
  g_assert_true (scratch (device, SIZE) != ours);       /* which the second stream still uses */
  return grad_device_settle (device, error);
}

static void
test_scratch (gconstpointer name)
{
  g_autoptr (GradDevice) device = open_device (name);

  g_assert_true (grad_device_call (device, FALSE, use_scratch, device, NULL));
}

/* It holds on to what it reads, but not when memory is short, aside or not. */
static gboolean
use_memory (gpointer data, GError ** error)
{
  GradDevice *device = data;
  GradTensor *a = test_new (device, SHAPE), *b = test_new (device, SHAPE);
  g_autofree gchar *memory = NULL;

  g_assert_true (begin_aside (device, error) && end_aside (device, a, b, error));
  grad_tensor_unref (a);
  grad_tensor_unref (b);
  memory = g_strdup_printf ("%" G_GUINT64_FORMAT, grad_device_get_bytes_allocated (device));
  g_setenv ("EMULATED_GPU_MEMORY", memory, TRUE);
  g_assert_true (begin_aside (device, error));
  scratch (device, SIZE + SIZE / 2);
  a = test_new (device, GRAD_SHAPE (1, 8, 1, 1));
  g_assert_true (end_aside (device, a, a, error) && grad_device_settle (device, error));
  grad_tensor_unref (a);
  scratch (device, 2 * SIZE - 256);
  g_unsetenv ("EMULATED_GPU_MEMORY");
  return TRUE;
}

static void
test_memory (gconstpointer name)
{
  g_autoptr (GradDevice) device = open_device (name);

  if (test_cuda_symbol ("emulated_slow") == NULL)
    g_test_skip ("memory of a GPU that is there is not to be used up");
  else
    g_assert_true (grad_device_call (device, FALSE, use_memory, device, NULL));
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  for (const gchar * const *name = test_devices (); *name != NULL; name++)
    if (g_str_has_prefix (*name, "cuda")) {
      g_autofree gchar *of_scratch = g_strdup_printf ("/side/%s/scratch", *name);
      g_autofree gchar *of_memory = g_strdup_printf ("/side/%s/memory", *name);

      g_test_add_data_func (of_scratch, *name, test_scratch);
      g_test_add_data_func (of_memory, *name, test_memory);
    }
  return g_test_run ();
}
