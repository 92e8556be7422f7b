/* GradStreamer kernels: loops of the gradient of a stem's weights, 8 floats at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lanes-8.h"
#include "im2col-loops.h"
