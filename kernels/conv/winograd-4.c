/* GradStreamer kernels: loops of Winograd's convolution, 4 floats at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lanes-4.h"
#include "winograd-loops.h"
