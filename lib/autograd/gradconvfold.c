/* GradStreamer: a convolution with the norm behind it folded in
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradconvfold-private.h"
#include "../device/gradrecording.h"

static gboolean
make (GradConvFold * self, GradDevice * device, const GradNormFold * parts, GError ** error)
{
  GradNormFold fold = *parts;

  if ((self->weight == NULL && !(self->weight =
              grad_tensor_new_parameter (device, &parts->weight->shape, error)))
      || (self->bias == NULL && !(self->bias =
              grad_tensor_new_plain (device, GRAD_DTYPE_FLOAT32, &parts->gamma->shape, error))))
    return FALSE;
  fold.folded_weight = self->weight;
  fold.folded_bias = self->bias;
  if (!grad_device_kernels (device)->norm->fold (device, &fold, error))
    return FALSE;
  grad_tensor_touch (self->weight);
  grad_tensor_touch (self->bias);
  return TRUE;
}

gboolean
grad_conv_fold_update (GradConvFold * self, GradDevice * device, const GradNormFold * parts,
    GError ** error)
{
  const GradTensor *const from[G_N_ELEMENTS (self->versions)] = {
    parts->weight, parts->bias, parts->gamma, parts->beta, parts->mean, parts->var
  };
  gboolean good = self->weight != NULL;

  for (guint i = 0; i < G_N_ELEMENTS (from); i++) {
    guint64 version = from[i] ? from[i]->version : 0;

    good = good && self->versions[i] == version;
    self->versions[i] = version;
    if (from[i] != NULL)
      grad_recording_depends_on (from[i]);
  }
  if (good || make (self, device, parts, error)) {
    grad_recording_depends_on (self->weight);   /* averages may be folded in between, to evaluate */
    grad_recording_depends_on (self->bias);
    return TRUE;
  }
  grad_conv_fold_clear (self);
  return FALSE;
}

void
grad_conv_fold_clear (GradConvFold * self)
{
  g_clear_pointer (&self->weight, grad_tensor_unref);
  g_clear_pointer (&self->bias, grad_tensor_unref);
}
