/* GradStreamer: counter-based random numbers
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradrandom-private.h"

#include <string.h>

void
grad_philox (const guint32 counter[4], const guint32 key[2], guint32 block[4])
{
  guint32 c[4], k0 = key[0], k1 = key[1];

  memcpy (c, counter, sizeof c);
  for (guint round = 0; round < 10; round++) {
    guint64 a = (guint64) 0xd2511f53 * c[0], b = (guint64) 0xcd9e8d57 * c[2];

    c[0] = (guint32) (b >> 32) ^ c[1] ^ k0;
    c[1] = (guint32) b;
    c[2] = (guint32) (a >> 32) ^ c[3] ^ k1;
    c[3] = (guint32) a;
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  memcpy (block, c, sizeof c);
}

/* splitmix64's finaliser: every bit of z moves every bit of the result; one to one */
static guint64
mix (guint64 z)
{
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/* FNV-1a over the text and its terminator, which tells ("ab", "c") from ("a", "bc") */
static guint64
hash (guint64 state, const gchar * text)
{
  do
    state = (state ^ (guint8) * text) * 0x100000001b3;
  while (*text++ != '\0');
  return state;
}

/**
 * grad_random_init:
 * @random: (out caller-allocates): the stream
 * @seed: seed of the run
 * @purpose: what the numbers are for: "init", "shuffle", …
 * @name: (nullable): for which one: the name of a parameter, say
 * @epoch: in which epoch
 *
 * Starts the stream of that key. Streams of different keys have nothing to do with each other, so
 * it does not matter in which order, or by which thread, numbers are drawn from them.
 */
void
grad_random_init (GradRandom * random, guint64 seed, const gchar * purpose, const gchar * name,
    guint64 epoch)
{
  guint64 stream = hash (0xcbf29ce484222325, purpose);

  if (name != NULL)
    stream = hash (stream, name);
  stream = mix (mix (stream) + epoch);
  *random = (GradRandom) {
    .key = {(guint32) seed, seed >> 32},
    .stream = {(guint32) stream, stream >> 32},
    .used = 4,
  };
}

/**
 * grad_random_uint32:
 * @random: a stream
 *
 * Returns: the next number, uniform in all 32 bits
 */
guint32
grad_random_uint32 (GradRandom * random)
{
  if (random->used == 4) {
    guint32 counter[4] = { (guint32) random->counter, random->counter >> 32,
      random->stream[0], random->stream[1]
    };

    grad_philox (counter, random->key, random->block);
    random->counter++;
    random->used = 0;
  }
  return random->block[random->used++];
}

/**
 * grad_random_below:
 * @random: a stream
 * @bound: at least 1
 *
 * Returns: a number in [0, @bound), each equally likely (Lemire, "Fast random integer
 *   generation in an interval", 2019)
 */
guint32
grad_random_below (GradRandom * random, guint32 bound)
{
  guint64 product;

  g_return_val_if_fail (bound > 0, 0);
  do
    product = (guint64) grad_random_uint32 (random) * bound;
  while ((guint32) product < -bound % bound);
  return product >> 32;
}

/**
 * grad_random_float:
 * @random: a stream
 *
 * Returns: a multiple of 2^-24 in [0, 1), each equally likely
 */
gfloat
grad_random_float (GradRandom * random)
{
  return (grad_random_uint32 (random) >> 8) * 0x1p-24f;
}
