/* GradStreamer kernels: loops of Winograd's convolution, 16 floats at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lanes-16.h"
#include "winograd-loops.h"
