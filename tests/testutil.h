/* GradStreamer tests: tensors with known values, and comparing them
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/gradstreamer.h"
#include "lib/tensor/gradtensor-private.h"
#include "lib/device/graddevice-private.h"
#include "kernels/kernels.h"

/* NULL-terminated names of devices, "ref" first: "ref", "cpu" and "cpu/bf16" if this build has it, or what TEST_DEVICES in the environment says:
 * names, separated by commas, with "/f32", "/tf32" or "/bf16" behind them for a precision. */
const gchar *const *test_devices (void);
GradDevice *test_device (const gchar * name);
GradDevice *test_device_with_threads (const gchar * name, guint threads);

/* What a module exports for tests, when an open cuda device has loaded it; NULL: nothing of that name */
gpointer test_cuda_symbol (const gchar * name);

/* Uniform in [low, high), the same on every device for the same seed, and in every run without TEST_SEED. test_random_parameter() is for parameters. */
GradTensor *test_random (GradDevice * device, GradShape shape, guint64 seed, gfloat low,
    gfloat high);
GradTensor *test_random_parameter (GradDevice * device, GradShape shape, guint64 seed, gfloat low,
    gfloat high);
GradTensor *test_new (GradDevice * device, GradShape shape);
GradTensor *test_new_parameter (GradDevice * device, GradShape shape);
GradTensor *test_values (GradDevice * device, GradShape shape, const gfloat * values);
/* g_malloc'ed dense values */
gfloat *test_download (GradTensor * tensor);

/* What becomes of a value in such a tensor: bfloat16 has 8 bits. */
gfloat test_stored (GradTensor * tensor, gfloat value);

/* Runs one kernel call in the device's compute thread and asserts that it succeeds. Used through
 *   TEST_RUN (device, ops->forward (plan, x, w, NULL, NULL, y, &error)); */
#define TEST_RUN(device, call) G_STMT_START { \
  gboolean _func (gpointer _unused, GError ** _error) { \
    g_autoptr (GError) error = NULL; \
    gboolean _ok = (call); \
    g_assert_no_error (error); \
    return _ok; \
  } \
  g_assert_true (grad_device_call (device, FALSE, _func, NULL, NULL)); \
} G_STMT_END

/* What rounding of inputs, outputs and what lies between them may cost, of the largest value */
#define TEST_BF16_TOLERANCE 0.02
#define TEST_TF32_TOLERANCE 0.002

/* |got - expected| <= tolerance * max |expected| for every element; says where and how far off otherwise. */
void test_assert_close_full (const gchar * what, GradTensor * got, GradTensor * expected,
    gdouble tolerance);
#define test_assert_close(got, expected, tolerance) \
  test_assert_close_full (G_STRLOC ": " #got, got, expected, tolerance)
/* The same, of what is made of floats alone on a bf16 device, too: tolerance as it is */
void test_assert_close_f32_full (const gchar * what, GradTensor * got, GradTensor * expected,
    gdouble tolerance);
#define test_assert_close_f32(got, expected, tolerance) \
  test_assert_close_f32_full (G_STRLOC ": " #got, got, expected, tolerance)
