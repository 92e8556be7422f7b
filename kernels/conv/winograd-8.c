/* GradStreamer kernels: loops of Winograd's convolution, 8 floats at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lanes-8.h"
#include "winograd-loops.h"
