/* GradStreamer kernels: ends what norm-vectors.h has begun
 * SPDX-License-Identifier: LGPL-2.1-or-later */

#undef Doubles
#undef Floats
#undef Bytes
#undef Half
#undef Bits
#undef Wide
#undef Vector
#undef NAME
#undef LANES
