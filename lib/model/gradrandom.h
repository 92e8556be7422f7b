/* GradStreamer: counter-based random numbers
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../gradtypes.h"

G_BEGIN_DECLS

/**
 * GradRandom:
 *
 * A stream of random numbers that depends on nothing but its key: Philox4x32-10 (Salmon et al.,
 * "Parallel random numbers: as easy as 1, 2, 3", 2011). Plain data, lives on the stack.
 */
typedef struct
{
  guint32 key[2];               /* the seed */
  guint32 stream[2];            /* the rest of the key: upper half of Philox's counter */
  guint64 counter;              /* blocks taken: its lower half */
  guint32 block[4];
  guint used;
} GradRandom;

/* The stream of (seed, purpose, name, epoch); name may be NULL. */
GRAD_API void grad_random_init (GradRandom * random, guint64 seed, const gchar * purpose,
    const gchar * name, guint64 epoch);
GRAD_API guint32 grad_random_uint32 (GradRandom * random);
/* uniform in [0, bound), unbiased; bound > 0 */
GRAD_API guint32 grad_random_below (GradRandom * random, guint32 bound);
/* uniform in [0, 1), 24 bits */
GRAD_API gfloat grad_random_float (GradRandom * random);

G_END_DECLS
