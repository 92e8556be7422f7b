/* GradStreamer kernels: loops of the direct convolution, 8 floats at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lanes-8.h"
#include "direct-loops.h"
