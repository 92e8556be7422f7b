/* GradStreamer tests: what is drawn for pictures
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/data/gradaugmentation.h"

#include <math.h>

#define DRAWS 20000
#define WIDTH 40
#define HEIGHT 30

static const GradAugmentationOptions all = {.horizontal_flip = 0.25,.padding = 3,.translate = 0.2,
  .rotate = 30,.erase = 0.5
};

static GradAugmentation
draw (const GradAugmentationOptions * options, guint64 seed, guint sample, guint epoch)
{
  GradAugmentation a;

  grad_augmentation_draw (&a, options, WIDTH, HEIGHT, seed, sample, epoch);
  return a;
}

/* Five standard deviations: with another seed it would fail once in a million */
static void
assert_frequency (guint n, gdouble probability)
{
  g_assert_cmpfloat_with_epsilon ((gdouble) n / DRAWS, probability,
      5 * sqrt (probability * (1 - probability) / DRAWS));
}

static void
test_frequencies (void)
{
  guint flips = 0, boxes = 0, crops_x[7] = { 0 }, crops_y[7] = { 0 }, right = 0, clockwise = 0, far = 0;

  for (guint i = 0; i < DRAWS; i++) {
    GradAugmentation a = draw (&all, 1, i, 1);

    g_assert_cmpint (ABS (a.crop_x), <=, 3);
    g_assert_cmpint (ABS (a.crop_y), <=, 3);
    g_assert_cmpint (ABS (a.shift_x), <=, 8);
    g_assert_cmpint (ABS (a.shift_y), <=, 6);
    g_assert_cmpfloat (fabs (a.angle), <=, 30);
    crops_x[a.crop_x + 3]++;
    crops_y[a.crop_y + 3]++;
    flips += a.flip;
    boxes += a.right > a.left;
    right += a.shift_x > 0;
    clockwise += a.angle > 0;
    far += fabs (a.angle) > 20;
  }
  for (guint i = 0; i < 7; i++) {
    assert_frequency (crops_x[i], 1 / 7.);
    assert_frequency (crops_y[i], 1 / 7.);
  }
  assert_frequency (flips, 0.25);
  assert_frequency (boxes, 0.5);
  assert_frequency (right, 7.5 / 16);   /* of -8 to 8, what rounds to more than 0 */
  assert_frequency (clockwise, 0.5);
  assert_frequency (far, 1 / 3.);
}

/* Size and shape as torchvision draws them, anywhere in the picture */
static void
test_boxes (void)
{
  const GradAugmentationOptions options = {.erase = 1 };
  gdouble sum = 0;
  guint wide = 0, left = 0;

  for (guint i = 0; i < DRAWS; i++) {
    GradAugmentation a = draw (&options, 2, i, 1);
    gint w = a.right - a.left, h = a.bottom - a.top;

    g_assert_cmpint (a.left, >=, 0);
    g_assert_cmpint (a.top, >=, 0);
    g_assert_cmpint (a.right, <=, WIDTH);
    g_assert_cmpint (a.bottom, <=, HEIGHT);
    /* sides are rounded to whole pixels */
    g_assert_cmpfloat ((w + 0.5) * (h + 0.5), >=, 0.02 * WIDTH * HEIGHT);
    g_assert_cmpfloat ((w - 0.5) * (h - 0.5), <=, 0.33 * WIDTH * HEIGHT);
    g_assert_cmpfloat ((h + 0.5) / (w - 0.5), >=, 0.3);
    g_assert_cmpfloat ((h - 0.5) / (w + 0.5), <=, 3.3);
    sum += w * h;
    wide += w > h;
    left += a.left + a.right < WIDTH;
  }
  g_assert_cmpfloat_with_epsilon (sum / DRAWS / (WIDTH * HEIGHT), (0.02 + 0.33) / 2, 0.01);
  g_assert_cmpfloat_with_epsilon ((gdouble) wide / DRAWS, 0.5, 0.05);
  g_assert_cmpfloat_with_epsilon ((gdouble) left / DRAWS, 0.5, 0.05);
}

static gboolean
same (GradAugmentation a, GradAugmentation b)
{
  return a.crop_x == b.crop_x && a.crop_y == b.crop_y && a.flip == b.flip && a.angle == b.angle
      && a.shift_x == b.shift_x && a.shift_y == b.shift_y && a.left == b.left && a.top == b.top
      && a.right == b.right && a.bottom == b.bottom;
}

/* Seed, sample and epoch decide, each of them, and nothing else */
static void
test_keys (void)
{
  for (guint i = 0; i < 100; i++) {
    GradAugmentation a = draw (&all, 1, i, 1);

    g_assert_true (same (a, draw (&all, 1, i, 1)));
    g_assert_false (same (a, draw (&all, 2, i, 1)));
    g_assert_false (same (a, draw (&all, 1, i + 1, 1)));
    g_assert_false (same (a, draw (&all, 1, i, 2)));
  }
}

/* One option leaves alone what another one does. */
static void
test_options (void)
{
  const GradAugmentationOptions options[] = { {.horizontal_flip = 0.25}, {.padding = 3},
  {.translate = 0.2}, {.rotate = 30}, {.erase = 0.5}, {0}
  };
  const GradAugmentation none = { 0 };

  for (guint i = 0; i < 100; i++) {
    GradAugmentation a = draw (&all, 3, i, 7), alone[G_N_ELEMENTS (options)], sum;

    for (guint k = 0; k < G_N_ELEMENTS (options); k++)
      alone[k] = draw (options + k, 3, i, 7);
    sum = alone[4];
    sum.flip = alone[0].flip;
    sum.crop_x = alone[1].crop_x;
    sum.crop_y = alone[1].crop_y;
    sum.shift_x = alone[2].shift_x;
    sum.shift_y = alone[2].shift_y;
    sum.angle = alone[3].angle;
    g_assert_true (same (a, sum));
    g_assert_true (same (alone[5], none));
  }
}

/* What is drawn stays the same in later versions: runs can be repeated. */
static void
test_recorded (void)
{
  const GradAugmentation recorded = {.crop_x = 0,.crop_y = -2,.angle = -23.952816724777222,.shift_x = -2,
    .shift_y = 2,.left = 14,.top = 11,.right = 23,.bottom = 27
  };

  g_assert_true (same (draw (&all, 42, 59999, 3), recorded));
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/augmentation/frequencies", test_frequencies);
  g_test_add_func ("/augmentation/boxes", test_boxes);
  g_test_add_func ("/augmentation/keys", test_keys);
  g_test_add_func ("/augmentation/options", test_options);
  g_test_add_func ("/augmentation/recorded", test_recorded);
  return g_test_run ();
}
