/* GradStreamer tests: counter-based random numbers
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/model/gradrandom-private.h"

#include <math.h>
#include <string.h>

#define ONES 0xffffffff

/* known answers for philox4x32-10 that its authors publish with Random123 */
static const struct
{
  guint32 counter[4], key[2], block[4];
} known[] = {
  {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
  {{ONES, ONES, ONES, ONES}, {ONES, ONES}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
  {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
      {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void
test_known (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (known); i++) {
    guint32 block[4];

    grad_philox (known[i].counter, known[i].key, block);
    g_assert_cmpmem (block, sizeof block, known[i].block, sizeof block);
  }
}

/* Model files and resumed runs rely on these never changing. */
static void
test_stable (void)
{
  const guint32 expected[] = { 0xa75ee275, 0xf4eef8cc, 0x026f1c00,
    0x2702b96a, 0x5bae8dc8, 0x5c5a9eef
  };
  GradRandom random;

  grad_random_init (&random, 42, "init", "conv1.weight", 0);
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    g_assert_cmphex (grad_random_uint32 (&random), ==, expected[i]);
}

static void
test_keys (void)
{
  static const struct
  {
    guint64 seed;
    const gchar *purpose, *name;
    guint64 epoch;
  } keys[] = {
    {0, "init", "a", 0}, {1, "init", "a", 0}, {(guint64) 1 << 32, "init", "a", 0},
    {0, "shuffle", "a", 0}, {0, "init", "b", 0}, {0, "init", NULL, 0}, {0, "init", "", 0},
    {0, "ini", "ta", 0}, {0, "init", "a", 1}, {0, "init", "a", (guint64) 1 << 32},
  };
  guint32 first[G_N_ELEMENTS (keys)][8];

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++) {
    GradRandom random;

    for (guint again = 0; again < 2; again++) {
      grad_random_init (&random, keys[i].seed, keys[i].purpose, keys[i].name, keys[i].epoch);
      for (guint k = 0; k < 8; k++) {
        guint32 number = grad_random_uint32 (&random);

        if (again)
          g_assert_cmphex (number, ==, first[i][k]);
        first[i][k] = number;
      }
    }
    for (guint j = 0; j < i; j++)
      for (guint k = 0; k < 8; k++)
        for (guint l = 0; l < 8; l++)
          g_assert_cmphex (first[i][k], !=, first[j][l]);
  }
}

static void
test_float (void)
{
  enum { N = 1000000, BINS = 100 };
  guint counts[BINS] = { 0 };
  gdouble sum = 0, squares = 0, neighbours = 0, before = 0.5, chi = 0;
  GradRandom random;

  grad_random_init (&random, 7, "test", NULL, 0);
  for (guint i = 0; i < N; i++) {
    gdouble x = grad_random_float (&random);

    g_assert_true (x >= 0 && x < 1);
    g_assert_true (x * 0x1p24 == floor (x * 0x1p24));
    counts[(guint) (x * BINS)]++;
    sum += x;
    squares += x * x;
    neighbours += (x - 0.5) * (before - 0.5);
    before = x;
  }
  for (guint i = 0; i < BINS; i++)
    chi += pow (counts[i] - (gdouble) N / BINS, 2) / (N / BINS);
  g_assert_cmpfloat_with_epsilon (sum / N, 0.5, 5 * sqrt (1.0 / 12 / N));
  g_assert_cmpfloat_with_epsilon (squares / N, 1.0 / 3, 5 * sqrt (4.0 / 45 / N));
  g_assert_cmpfloat_with_epsilon (neighbours / N, 0, 5.0 / 12 / sqrt (N));
  g_assert_cmpfloat (chi, >, 45);       /* 99 degrees of freedom, one in 10^6 each side */
  g_assert_cmpfloat (chi, <, 180);
}

/* A bound of 3/4 of the range: by mere multiplication or remainder one number of three would come
 * twice as often as the others. */
static void
test_below (void)
{
  enum { N = 300000 };
  guint counts[3] = { 0 };
  GradRandom random;

  grad_random_init (&random, 7, "test", NULL, 0);
  for (guint i = 0; i < N; i++) {
    guint32 x = grad_random_below (&random, 0xc0000000);

    g_assert_cmpuint (x, <, 0xc0000000);
    counts[x % 3]++;
  }
  for (guint i = 0; i < 3; i++)
    g_assert_cmpfloat_with_epsilon (counts[i] / (gdouble) N, 1.0 / 3, 5 * sqrt (2.0 / 9 / N));

  memset (counts, 0, sizeof counts);
  for (guint i = 0; i < 1000; i++) {
    g_assert_cmpuint (grad_random_below (&random, 1), ==, 0);
    counts[grad_random_below (&random, 3)]++;
  }
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint (counts[i], >, 250);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/random/known", test_known);
  g_test_add_func ("/random/stable", test_stable);
  g_test_add_func ("/random/keys", test_keys);
  g_test_add_func ("/random/float", test_float);
  g_test_add_func ("/random/below", test_below);
  return g_test_run ();
}
