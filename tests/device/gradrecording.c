/* Tests of what a device records once and repeats
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/device/gradrecording.h"
#include "tests/testutil.h"

#define SHAPE GRAD_SHAPE (3, 8, 5, 7)
#define N (3 * 8 * 5 * 7)

typedef struct
{
  GradDevice *device;
  GradTensor *x, *y;            /* y is made while it is recorded */
  gint fail;
  GradTensor *elsewhere;
} Work;

static gpointer
upload (gpointer tensor)
{
  gfloat values[N];

  for (guint i = 0; i < N; i++)
    values[i] = i;
  g_assert_true (grad_tensor_upload (tensor, values, sizeof values, NULL));
  return NULL;
}

/* y = max (x, 0) + x */
static gboolean
compute (gpointer data, GError ** error)
{
  Work *w = data;
  const GradElementwiseOps *ops = grad_device_kernels (w->device)->elementwise;
  g_autoptr (GradTensor) between = test_new (w->device, SHAPE);
  g_autoptr (GradTensor) y = test_new (w->device, SHAPE);

  if (w->elsewhere != NULL)
    g_thread_join (g_thread_new (NULL, upload, w->elsewhere));
  if (!ops->relu (w->device, w->x, between, error) || !ops->add (w->device, between, w->x, y, error))
    return FALSE;
  if (w->fail) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "as asked");
    return FALSE;
  }
  w->y = g_steal_pointer (&y);
  return TRUE;
}

static GradRecording *
record (Work * w)
{
  GradRecording *recording;

  TEST_RUN (w->device, compute (w, &error));    /* storage is there */
  g_clear_pointer (&w->y, grad_tensor_unref);
  TEST_RUN (w->device, (recording = grad_recording_new (w->device, compute, w, &error)) != NULL);
  return recording;
}

static void
assert_y (Work * w, guint64 seed)
{
  g_autoptr (GradTensor) x = test_random (w->device, SHAPE, seed, -1, 1);
  g_autofree gfloat *xs = test_download (x), *ys = test_download (w->y);

  for (guint i = 0; i < N; i++)
    g_assert_cmpfloat_with_epsilon (ys[i], MAX (xs[i], 0) + xs[i], 0.01);
}

/* Neither does it write into what others have got from the pool since, nor do they into what lies between its kernels. */
static void
test_repeated (gconstpointer name)
{
  g_autoptr (GradDevice) device = test_device (name);
  g_autoptr (GradTensor) x = test_random (device, SHAPE, 1, -1, 1);
  GradTensor *others[8];
  Work w = { device, x, NULL, 0, NULL };
  GradRecording *recording = record (&w);
  guint64 n_allocations;

  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    others[i] = test_random (device, SHAPE, 100 + i, -1, 1);
  for (guint seed = 2; seed < 5; seed++) {
    g_autoptr (GradTensor) next = test_random (device, SHAPE, seed, -1, 1);
    const GradElementwiseOps *ops = grad_device_kernels (device)->elementwise;

    TEST_RUN (device, ops->copy (device, next, x, &error));
    TEST_RUN (device, grad_recording_play (recording, &error));
    assert_y (&w, seed);
  }
  for (guint i = 0; i < G_N_ELEMENTS (others); i++) {
    g_autoptr (GradTensor) same = test_random (device, SHAPE, 100 + i, -1, 1);
    g_autofree gfloat *got = test_download (others[i]), *expected = test_download (same);

    g_assert_cmpmem (got, N * sizeof (gfloat), expected, N * sizeof (gfloat));
    grad_tensor_unref (others[i]);
  }
  grad_tensor_unref (w.y);
  TEST_RUN (device, (grad_recording_free (recording), TRUE));

  /* all of it is in the pool */
  n_allocations = grad_device_get_n_allocations (device);
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    others[i] = test_new (device, SHAPE);
  g_assert_cmpuint (grad_device_get_n_allocations (device), ==, n_allocations);
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    grad_tensor_unref (others[i]);
}

/* What other threads ask for meanwhile is done at once. */
static void
test_others (gconstpointer name)
{
  g_autoptr (GradDevice) device = test_device (name);
  g_autoptr (GradTensor) x = test_random (device, SHAPE, 1, -1, 1), elsewhere = test_new (device, SHAPE);
  Work w = { device, x, NULL, 0, elsewhere };
  GradRecording *recording = record (&w);
  g_autofree gfloat *values = test_download (elsewhere);

  for (guint i = 0; i < N; i++)
    g_assert_cmpfloat (values[i], ==, test_stored (elsewhere, i));
  grad_tensor_unref (w.y);
  TEST_RUN (device, (grad_recording_free (recording), TRUE));
}

static void
test_failed (gconstpointer name)
{
  g_autoptr (GradDevice) device = test_device (name);
  g_autoptr (GradTensor) x = test_random (device, SHAPE, 1, -1, 1);
  g_autoptr (GError) why = NULL;
  Work w = { device, x, NULL, TRUE, NULL };

  TEST_RUN (device, grad_recording_new (device, compute, &w, &why) == NULL);
  g_assert_error (why, GRAD_ERROR, GRAD_ERROR_SHAPE);
  w.fail = FALSE;
  TEST_RUN (device, compute (&w, &error));      /* is done, and not recorded */
  assert_y (&w, 1);
  grad_tensor_unref (w.y);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  for (const gchar * const *name = test_devices (); *name != NULL; name++) {
    static const struct
    {
      const gchar *name;
      GTestDataFunc func;
    } tests[] = { {"repeated", test_repeated}, {"others", test_others}, {"failed", test_failed} };
    g_autoptr (GradDevice) device = test_device (*name);

    for (guint i = 0; i < G_N_ELEMENTS (tests) && grad_recording_is_supported (device); i++) {
      g_autofree gchar *path = g_strdup_printf ("/recording/%s/%s", *name, tests[i].name);

      g_test_add_data_func (path, *name, tests[i].func);
    }
  }
  return g_test_run ();
}
