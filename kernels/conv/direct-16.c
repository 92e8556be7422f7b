/* GradStreamer kernels: loops of the direct convolution, 16 floats at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lanes-16.h"
#include "direct-loops.h"
