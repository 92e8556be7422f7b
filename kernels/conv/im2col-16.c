/* GradStreamer kernels: loops of the gradient of a stem's weights, 16 floats at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lanes-16.h"
#include "im2col-loops.h"
