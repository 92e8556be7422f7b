/* GradStreamer tests: what the tests of kernels have in common
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tests/testutil.h"

#include <math.h>
#include <string.h>

/* The generator of tests/data/make-kernel-goldens.py: 24 bits at a time */
static inline guint32
lcg_bits (guint32 * state)
{
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

/* Uniform in [low, high); on the reference device with the exact doubles that the script has. */
static inline GradTensor *
lcg_tensor (GradDevice * device, GradShape shape, guint32 * state, gdouble low, gdouble high)
{
  GradTensor *tensor = test_new (device, shape);
  gdouble *to = grad_tensor_data (tensor);

  g_assert_cmpstr (grad_device_get_name (device), ==, "ref");
  for (gsize i = 0; i < grad_shape_n_elements (&shape); i++)
    to[i] = low + (high - low) * (lcg_bits (state) / 16777216.0);
  return tensor;
}

/* Every element of a tensor of the reference device, to the last few bits. */
static inline void
assert_golden (GradTensor * tensor, const gdouble * golden, gdouble tolerance)
{
  const gdouble *got = grad_tensor_data (tensor);

  for (gsize i = 0; i < grad_shape_n_elements (grad_tensor_get_shape (tensor)); i++)
    g_assert_cmpfloat_with_epsilon (got[i], golden[i], tolerance);
}

/* The cpu device with so many threads, or NULL. */
static inline GradDevice *
device_with_threads (guint threads)
{
  GradDeviceSettings settings = {.name = "cpu",.threads = threads };

  for (const gchar * const *name = test_devices (); *name; name++)
    if (g_str_equal (*name, "cpu"))
      return grad_device_open (&settings, NULL);
  return NULL;
}

static inline void
assert_same_bits (GradTensor * a, GradTensor * b)
{
  gsize size = grad_shape_n_elements (grad_tensor_get_shape (a)) * sizeof (gfloat);
  g_autofree gfloat *as = test_download (a), *bs = test_download (b);

  g_assert_cmpmem (as, size, bs, size);
}

/* |got - expected| <= tolerance * max |expected|, and half of the last bit more where that is stored as bfloat16 */
static inline void
assert_close_stored (GradTensor * got, GradTensor * expected, gdouble tolerance)
{
  gsize n = grad_shape_n_elements (grad_tensor_get_shape (expected));
  g_autofree gfloat *a = test_download (got), *b = test_download (expected);
  gdouble half = test_stored (got, 1 + 1 / 512.f) == 1 ? 1 / 256. : 0, scale = 0;

  for (gsize i = 0; i < n; i++)
    scale = MAX (scale, fabs (b[i]));
  for (gsize i = 0; i < n; i++)
    if (!(fabs ((gdouble) a[i] - b[i]) <= tolerance * scale + half * fabs (b[i])))
      g_error ("element %" G_GSIZE_FORMAT " is %g, expected %g; the largest is %g, allowed %g of it", i, a[i],
          b[i], scale, tolerance);
}

/* Gives a tensor the values that another one has in its storage. */
static inline void
copy_stored (GradTensor * to, GradTensor * from)
{
  gsize size = grad_shape_n_elements (grad_tensor_get_shape (to)) * sizeof (gfloat);
  g_autofree gfloat *values = test_download (from);

  g_assert_true (grad_tensor_upload (to, values, size, NULL));
}

/* Checks dx of the reference device: df/dx(i) by central differences, f being what `func`
 * computes. */
static inline void
assert_gradient (GradTensor * x, GradTensor * dx, gdouble (*func) (gpointer data), gpointer data)
{
  const gdouble step = 1e-5;
  gdouble *xs = grad_tensor_data (x), scale = 0;
  const gdouble *dxs = grad_tensor_data (dx);
  gsize n = grad_shape_n_elements (grad_tensor_get_shape (x));

  for (gsize i = 0; i < n; i++)
    scale = MAX (scale, fabs (dxs[i]));
  g_assert_cmpfloat (scale, >, 0);
  for (gsize i = 0; i < n; i++) {
    gdouble saved = xs[i], up, down;

    xs[i] = saved + step;
    up = func (data);
    xs[i] = saved - step;
    down = func (data);
    xs[i] = saved;
    g_assert_cmpfloat_with_epsilon ((up - down) / (2 * step), dxs[i], 1e-7 * scale);
  }
}
