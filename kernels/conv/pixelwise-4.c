/* GradStreamer kernels: loops of the convolution of small pictures, 4 floats at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lanes-4.h"
#include "pixelwise-loops.h"
