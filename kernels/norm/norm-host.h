/* GradStreamer kernels: what batch norms of all devices whose memory is the host's do in the same way
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Included by norm-ref.c and norm-cpu.c, which say what GRAD_REAL is. */
#pragma once

#include "norm-body.h"
#include "kernels/kernels.h"
#include "lib/device/gradcpudevice-private.h"

static gboolean
grad_norm_host_fold (GradDevice * device, const GradNormFold * f, GError ** error)
{
  gsize c = f->gamma->shape.dims[0], size = grad_shape_n_elements (&f->weight->shape) / c;
  gsize block = grad_cpu_layout_block (f->weight->layout);  /* so many outputs lie side by side */
  const GRAD_REAL *w = grad_tensor_data (f->weight), *b = f->bias ? grad_tensor_data (f->bias) : NULL;
  const GRAD_REAL *gamma = grad_tensor_data (f->gamma), *beta = grad_tensor_data (f->beta);
  const GRAD_REAL *mean = grad_tensor_data (f->mean), *var = grad_tensor_data (f->var);
  GRAD_REAL *wf = grad_tensor_data (f->folded_weight), *bf = grad_tensor_data (f->folded_bias);

  for (gsize i = 0; i < c; i++) {
    GRAD_REAL scale = grad_norm_scale (gamma[i], var[i], f->eps);

    for (gsize k = 0, at = i / block * block * size + i % block; k < size; k++, at += block)
      wf[at] = scale * w[at];
    bf[i] = grad_norm_folded_bias (scale, b ? b[i] : 0, beta[i], mean[i]);
  }
  return TRUE;
}

static gboolean
grad_norm_host_update_running (GradDevice * device, const GradNormRunning * list, guint n, const GradTensor * measured,
    GError ** error)
{
  if (measured != NULL && isnan (((gdouble *) grad_tensor_data (measured))[1]))
    return TRUE;
  for (const GradNormRunning * r = list; r < list + n; r++) {
    const GRAD_REAL *means = grad_tensor_data (r->mean), *vars = grad_tensor_data (r->var);
    const GRAD_REAL *offsets = r->offset ? grad_tensor_data (r->offset) : NULL;
    GRAD_REAL *rm = grad_tensor_data (r->running_mean), *rv = grad_tensor_data (r->running_var);

    for (gint c = 0; c < r->mean->shape.dims[0]; c++)
      grad_norm_running (means[c], vars[c], offsets ? offsets[c] : 0, r->count, r->momentum, rm + c, rv + c);
  }
  return TRUE;
}
