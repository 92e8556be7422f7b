/* GradStreamer kernels: ReLU of one element
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/body.h"

/* max (x, 0); what is not a number stays so, lest a network that diverged look well */
GRAD_BODY GRAD_REAL
grad_relu (GRAD_REAL x)
{
  return x < 0 ? 0 : x;
}

/* y is the output of grad_relu() */
GRAD_BODY GRAD_REAL
grad_relu_backward (GRAD_REAL y, GRAD_REAL dy)
{
  return y > 0 ? dy : 0;
}
