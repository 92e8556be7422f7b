/* GradStreamer tests: gradients by finite differences
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradient.h"

#include <math.h>

static gdouble
dot (GradTensor * a, GradTensor * b)
{
  const gdouble *pa = grad_tensor_data (a), *pb = grad_tensor_data (b);
  gdouble sum = 0;

  for (gsize i = 0; i < grad_shape_n_elements (&a->shape); i++)
    sum += pa[i] * pb[i];
  return sum;
}

void
test_assert_gradient (GradTensor * gradient, GradTensor * input, GradTensor * output,
    GradTensor * d_output, TestForward forward, gpointer data, gdouble step, gdouble tolerance)
{
  gsize n = grad_shape_n_elements (&input->shape);
  const gdouble *got = grad_tensor_data (gradient);
  gdouble *values = grad_tensor_data (input);
  gdouble scale = 0;

  for (gsize i = 0; i < n; i++)
    scale = MAX (scale, fabs (got[i]));
  g_assert_cmpfloat (scale, >, 0);
  for (gsize i = 0; i < n; i++) {
    gdouble value = values[i], difference;

    values[i] = value + step;
    forward (data);
    difference = dot (output, d_output);
    values[i] = value - step;
    forward (data);
    difference = (difference - dot (output, d_output)) / (2 * step);
    values[i] = value;
    if (!(fabs (got[i] - difference) <= tolerance * scale))
      g_error ("gradient of element %" G_GSIZE_FORMAT " is %.12g, by differences %.12g", i, got[i],
          difference);
  }
  forward (data);
}
