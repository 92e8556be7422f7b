/* Tests of the cpu device: what it refuses, how tensors lie in its memory, and whose turn it is
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/cpu.h"
#include "lib/device/gradcpudevice-private.h"
#include "tests/testutil.h"

#include <math.h>
#include <string.h>

static GradDevice *
open_cpu (GradPrecision precision, GError ** error)
{
  return grad_device_open (&(GradDeviceSettings) {.name = "cpu",.precision = precision}, error);
}

/* as the kernel says */
static gboolean
has_bf16 (void)
{
  g_autofree gchar *cpuinfo = NULL;

  return grad_cpu_block () == 16 && g_file_get_contents ("/proc/cpuinfo", &cpuinfo, NULL, NULL)
      && strstr (cpuinfo, " avx512_bf16");
}

static void
test_precision (void)
{
  const struct
  {
    GradPrecision asked, got;
  } cases[] = {
    {GRAD_PRECISION_AUTO, has_bf16 () ? GRAD_PRECISION_BF16 : GRAD_PRECISION_F32},
    {GRAD_PRECISION_DEFAULT, GRAD_PRECISION_F32}, {GRAD_PRECISION_F32, GRAD_PRECISION_F32},
    {GRAD_PRECISION_BF16, GRAD_PRECISION_BF16}
  };
  g_autoptr (GError) refused = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GradDevice) device = open_cpu (cases[i].asked, &error);

    g_assert_no_error (error);
    g_assert_cmpint (grad_device_get_precision (device), ==, cases[i].got);
  }
  g_assert_null (open_cpu (GRAD_PRECISION_TF32, &refused));
  g_assert_error (refused, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (refused->message, "use precision=f32, bf16 or auto"));
}

/* value n, c, h, w of (N, C, H, W) in blocks of B channels */
static gfloat
blocked (gconstpointer data, const GradShape * s, gsize block, gboolean bf16, gint n, gint c,
    gint h, gint w)
{
  gsize at = (((n * s->dims[1] / block + c / block) * s->dims[2] + h) * s->dims[3] + w) * block
      + c % block;
  guint32 bits = bf16 ? (guint32) ((const guint16 *) data)[at] << 16
      : ((const guint32 *) data)[at];
  gfloat value;

  memcpy (&value, &bits, sizeof value);
  return value;
}

static void
test_layout (gconstpointer name)
{
  gboolean bf16 = g_str_equal (name, "cpu/bf16");
  GradShape shape = GRAD_SHAPE (2, 48, 3, 5);
  g_autoptr (GradDevice) device = test_device (name);
  g_autoptr (GradTensor) t = test_random (device, shape, 1, -1, 1);
  g_autofree gfloat *values = test_download (t);
  const gchar *layout = grad_tensor_get_layout_name (t);
  const gfloat *dense = values;
  gsize block = g_ascii_strtoull (layout + strlen ("nChw"), NULL, 10);
  GstMapInfo map;

  g_assert_true (gst_memory_map (GST_MEMORY_CAST (t), &map, GST_MAP_READ | GRAD_MAP_DEVICE));
  g_assert_true (g_str_has_prefix (layout, "nChw"));
  g_assert_cmpint (g_str_has_suffix (layout, "-bf16"), ==, bf16);
  for (gint n = 0; n < 2; n++)
    for (gint c = 0; c < 48; c++)
      for (gint h = 0; h < 3; h++)
        for (gint w = 0; w < 5; w++)
          g_assert_cmpfloat (blocked (map.data, &shape, block, bf16, n, c, h, w), ==, *dense++);
  gst_memory_unmap (GST_MEMORY_CAST (t), &map);
}

/* What is no picture whose channels fill blocks is plain floats; the others take half the bytes. */
static void
test_storage (void)
{
  g_autoptr (GradDevice) device = test_device ("cpu/bf16");
  g_autoptr (GradTensor) vector = test_new (device, GRAD_SHAPE (7, 16));
  g_autoptr (GradTensor) weights = test_new_parameter (device, GRAD_SHAPE (16, 16, 3, 3));
  g_autoptr (GradTensor) narrow = test_new (device, GRAD_SHAPE (2, 18, 9, 11));
  guint64 before = grad_device_get_bytes_allocated (device);
  g_autoptr (GradTensor) pictures = NULL;

  g_assert_cmpstr (grad_tensor_get_layout_name (vector), ==, "plain");
  g_assert_true (g_str_has_prefix (grad_tensor_get_layout_name (weights), "OIhw"));
  g_assert_cmpstr (grad_tensor_get_layout_name (narrow), ==, "plain");
  pictures = test_new (device, GRAD_SHAPE (2, 32, 9, 11));
  g_assert_cmpuint (grad_device_get_bytes_allocated (device) - before, ==, 2 * 2 * 32 * 9 * 11);
}

/* to nearest, to even of two; beyond the largest is infinity; what is not a number stays so */
static void
test_rounding (void)
{
  static const struct
  {
    guint32 value;
    guint16 stored;
  } cases[] = {
    {0x3f800000, 0x3f80}, {0x3f807fff, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81},
    {0x3f818000, 0x3f82}, {0x3f817fff, 0x3f81}, {0xbf818000, 0xbf82}, {0x3fffffff, 0x4000},
    {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x00018000, 0x0002}, {0x7f7fffff, 0x7f80},
    {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x7f800001, 0x7fc0}, {0x7fffffff, 0x7fff},
    {0xffffffff, 0xffff},
  };
  GradShape shape = GRAD_SHAPE (1, 16, 1, G_N_ELEMENTS (cases));
  g_autoptr (GradDevice) device = test_device ("cpu/bf16");
  g_autoptr (GradTensor) t = test_new (device, shape);
  gfloat values[16][G_N_ELEMENTS (cases)];
  gsize block = g_ascii_strtoull (grad_tensor_get_layout_name (t) + strlen ("nChw"), NULL, 10);
  const guint16 *stored;

  for (guint c = 0; c < 16; c++)
    for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
      memcpy (&values[c][i], &cases[i].value, sizeof (gfloat));
  g_assert_true (grad_tensor_upload (t, values, sizeof values, NULL));
  stored = grad_tensor_data (t);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    gfloat back = grad_load (stored, block * i, TRUE);

    g_assert_cmphex (stored[block * i], ==, cases[i].stored);
    g_assert_true (isnan (back) || back == test_stored (t, values[0][i]));
  }
}

/* ---- turns */

typedef struct
{
  GradDevice *device;
  GThread *thread, *part, *nested;      /* that it ran in */
} Whereabouts;

static gboolean
note_thread (gpointer thread, GError ** error)
{
  *(GThread **) thread = g_thread_self ();
  return TRUE;
}

static gboolean
whereabouts_job (gpointer data, GError ** error)
{
  Whereabouts *w = data;

  w->thread = g_thread_self ();
  g_assert_true (grad_device_peek_current () == w->device);
  return grad_device_call_compute_thread (w->device, note_thread, &w->part, error)
      && grad_device_call (w->device, FALSE, note_thread, &w->nested, error);
}

/* It says what to do, and nothing is lost. */
static void
test_out_of_memory (void)
{
#ifdef __SANITIZE_ADDRESS__
  g_test_skip ("the sanitizer does not let so much be asked for");
#else
  g_autoptr (GradDevice) device = open_cpu (GRAD_PRECISION_DEFAULT, NULL);
  GradShape too_large = GRAD_SHAPE (1 << 15, 1 << 15, 1 << 9, 1 << 9), small = GRAD_SHAPE (2, 3);
  g_autoptr (GError) error = NULL;

  g_assert_null (grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &too_large, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_NO_MEMORY);
  g_assert_nonnull (strstr (error->message, "lower batch-size on idxsrc or width/height on gradresize"));
  grad_tensor_unref (test_new (device, small));
#endif
}

/* Inference computes where it is asked for, but for oneDNN; jobs of a job are not handed over. */
static void
test_threads (void)
{
  g_autoptr (GradDevice) device = open_cpu (GRAD_PRECISION_DEFAULT, NULL);
  Whereabouts normal = {.device = device }, urgent = {.device = device };

  g_assert_true (grad_device_call (device, FALSE, whereabouts_job, &normal, NULL));
  g_assert_true (grad_device_call (device, TRUE, whereabouts_job, &urgent, NULL));
  g_assert_true (urgent.thread == g_thread_self () && urgent.nested == g_thread_self ());
  g_assert_true (normal.thread != g_thread_self () && normal.nested == normal.thread);
  g_assert_true (normal.part == normal.thread && urgent.part == normal.thread);
  g_assert_null (grad_device_peek_current ());
}

#define N_CALLERS 6

typedef struct
{
  GradDevice *device;
  gint inside, n_called;        /* atomic: jobs that run, callers that are about to call */
  guint pause;                  /* us, until they wait for their turn, surely when it is long */
  GThread *threads[N_CALLERS];
  GString *order;               /* of jobs: - or u */
} Turns;

static gboolean
take_turn (Turns * t, gchar kind)
{
  g_assert_cmpint (g_atomic_int_add (&t->inside, 1), ==, 0);
  g_string_append_c (t->order, kind);
  g_usleep (100);
  g_atomic_int_add (&t->inside, -1);
  return TRUE;
}

static gboolean
normal_job (gpointer turns, GError ** error)
{
  return take_turn (turns, '-');
}

static gboolean
urgent_part (gpointer turns, GError ** error)
{
  return take_turn (turns, 'u');
}

static gboolean
urgent_job (gpointer turns, GError ** error)
{
  return grad_device_call_compute_thread (((Turns *) turns)->device, urgent_part, turns, error);
}

static gpointer
call_normal (gpointer turns)
{
  g_atomic_int_inc (&((Turns *) turns)->n_called);
  g_assert_true (grad_device_call (((Turns *) turns)->device, FALSE, normal_job, turns, NULL));
  return NULL;
}

static gpointer
call_urgent (gpointer turns)
{
  g_atomic_int_inc (&((Turns *) turns)->n_called);
  g_assert_true (grad_device_call (((Turns *) turns)->device, TRUE, urgent_job, turns, NULL));
  return NULL;
}

/* Has the turn until the others wait for it. */
static gboolean
long_job (gpointer turns, GError ** error)
{
  Turns *t = turns;

  for (gint i = 0; i < N_CALLERS; i++)
    t->threads[i] = g_thread_new ("caller", i < N_CALLERS / 2 ? call_normal : call_urgent, t);
  while (g_atomic_int_get (&t->n_called) < N_CALLERS)
    g_usleep (10);
  g_usleep (t->pause);
  g_assert_cmpuint (t->order->len, ==, 0);
  return TRUE;
}

/* One at a time, and inference goes first. */
static void
test_turns (void)
{
  g_autoptr (GString) order = g_string_new (NULL);

  for (guint pause = 1000; pause <= 1024000 && !g_str_equal (order->str, "uuu---"); pause *= 4) {
    g_autoptr (GradDevice) device = open_cpu (GRAD_PRECISION_DEFAULT, NULL);
    Turns turns = {.device = device,.pause = pause,.order = order };

    g_string_truncate (order, 0);
    g_assert_true (grad_device_call (device, FALSE, long_job, &turns, NULL));
    for (gint i = 0; i < N_CALLERS; i++)
      g_thread_join (turns.threads[i]);
  }
  g_assert_cmpstr (order->str, ==, "uuu---");
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cpu-device/precision", test_precision);
  g_test_add_data_func ("/cpu-device/layout/f32", "cpu", test_layout);
  g_test_add_data_func ("/cpu-device/layout/bf16", "cpu/bf16", test_layout);
  g_test_add_func ("/cpu-device/storage", test_storage);
  g_test_add_func ("/cpu-device/rounding", test_rounding);
  g_test_add_func ("/cpu-device/out-of-memory", test_out_of_memory);
  g_test_add_func ("/cpu-device/threads", test_threads);
  g_test_add_func ("/cpu-device/turns", test_turns);
  return g_test_run ();
}
