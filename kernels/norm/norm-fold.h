/* GradStreamer kernels: a batch norm folded into the convolution in front of it, on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Included by norm-ref.c and norm-cpu.c, which say what GRAD_REAL is. */
#pragma once

#include "norm-body.h"
#include "kernels/kernels.h"
#include "lib/device/gradcpudevice-private.h"

static gboolean
grad_norm_fold (GradDevice * device, const GradNormFold * f, GError ** error)
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
