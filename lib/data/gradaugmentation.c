/* GradStreamer: what happens to a picture before a network is trained on it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradaugmentation.h"
#include "../model/gradrandom.h"

#include <math.h>

#define ERASE_TRIES 10

/* [-1, 1) */
static gdouble
draw_signed (GradRandom * random)
{
  return 2 * (gdouble) grad_random_float (random) - 1;
}

static gint
draw_crop (GradRandom * random, gint padding)
{
  return (gint) grad_random_below (random, 2 * padding + 1) - padding;
}

/* Of 2 % to a third of the area, and an aspect ratio of 0.3 to 3.3, its logarithm uniform; a box that does not fit is drawn
 * again. */
static void
draw_box (GradRandom * random, gint width, gint height, GradAugmentation * a)
{
  for (guint i = 0; i < ERASE_TRIES; i++) {
    gdouble area = (gdouble) width * height * (0.02 + (0.33 - 0.02) * grad_random_float (random));
    gdouble ratio = exp (log (0.3) + (log (3.3) - log (0.3)) * grad_random_float (random));
    gint h = lrint (sqrt (area * ratio)), w = lrint (sqrt (area / ratio));

    if (h >= height || w >= width)
      continue;
    a->top = grad_random_below (random, height - h + 1);
    a->left = grad_random_below (random, width - w + 1);
    a->bottom = a->top + h;
    a->right = a->left + w;
    return;
  }
}

/**
 * grad_augmentation_draw: (skip)
 * @augmentation: (out caller-allocates): what happens to the picture
 * @options: what may happen
 * @width: of the picture
 * @height: of the picture
 * @seed: seed of the run
 * @sample: number of the picture in its data set
 * @epoch: in which epoch
 *
 * Draws from the stream of that seed, picture and epoch, so that it does not matter in which batch, or how often, a picture comes;
 * always as many numbers, so that one option does not change what another one does. Distributions are those of torchvision's
 * `RandomCrop`, `RandomHorizontalFlip`, `RandomAffine` and `RandomErasing` (Zhong et al., "Random Erasing Data Augmentation", 2017).
 */
void
grad_augmentation_draw (GradAugmentation * augmentation, const GradAugmentationOptions * options,
    gint width, gint height, guint64 seed, guint sample, guint epoch)
{
  GradAugmentation a = { 0 };
  GradRandom random;
  gchar name[16];

  g_snprintf (name, sizeof name, "%u", sample);
  grad_random_init (&random, seed, "augment", name, epoch);
  a.crop_x = draw_crop (&random, options->padding);
  a.crop_y = draw_crop (&random, options->padding);
  a.flip = grad_random_float (&random) < options->horizontal_flip;
  a.angle = draw_signed (&random) * options->rotate;
  a.shift_x = lrint (draw_signed (&random) * options->translate * width);
  a.shift_y = lrint (draw_signed (&random) * options->translate * height);
  if (grad_random_float (&random) < options->erase)
    draw_box (&random, width, height, &a);
  *augmentation = a;
}

static gint64
fixed (gdouble value)
{
  return llrint (value * 0x1p32);
}

/**
 * grad_augmentation_get_map: (skip)
 * @augmentation: what happens to a picture
 * @width: of it
 * @height: of it
 * @map: (out caller-allocates): the same for the kernel
 *
 * The map goes from a pixel (X, Y) that is made back to where it comes from: against shift and rotation, around the centre (cx, cy),
 * which is torchvision's `affine()` without scale and shear; mirrored; into the crop. With angle a and m = -1 if mirrored, else 1:
 * u = m (cos a (X - cx - shift_x) + sin a (Y - cy - shift_y)) + cx + crop_x,
 * v = -sin a (X - cx - shift_x) + cos a (Y - cy - shift_y) + cy + crop_y.
 */
void
grad_augmentation_get_map (const GradAugmentation * augmentation, gint width, gint height,
    GradAugmentMap * map)
{
  const GradAugmentation *a = augmentation;
  gdouble c = cos (a->angle * G_PI / 180), s = sin (a->angle * G_PI / 180);
  gdouble cx = (width - 1) / 2., cy = (height - 1) / 2.;
  gdouble dx = cx + a->shift_x, dy = cy + a->shift_y, mirror = a->flip ? -1 : 1;

  *map = (GradAugmentMap) {
    .u = {fixed (mirror * c), fixed (mirror * s),
          fixed (mirror * (-c * dx - s * dy) + cx + a->crop_x)},
    .v = {fixed (-s), fixed (c), fixed (s * dx - c * dy + cy + a->crop_y)},
    .left = a->left,.top = a->top,.right = a->right,.bottom = a->bottom,
  };
}

/**
 * grad_augmentation_run: (skip)
 * @options: what may happen
 * @pictures: uint8, N C H W
 * @samples: (array): their numbers in the data set
 * @seed: seed of the run
 * @epoch: in which epoch
 * @error: location of a #GError
 *
 * Works in the caller's thread, beside what the device computes.
 *
 * Returns: (transfer full) (nullable): the pictures as they have become, or %NULL with the device's error
 */
GradTensor *
grad_augmentation_run (const GradAugmentationOptions * options, GradTensor * pictures,
    const guint32 * samples, guint64 seed, guint epoch, GError ** error)
{
  const GradShape *shape = grad_tensor_get_shape (pictures);
  GradDevice *device = grad_tensor_get_device (pictures);
  gint n = shape->dims[0], height = shape->dims[2], width = shape->dims[3];
  g_autofree GradAugmentMap *maps = g_new (GradAugmentMap, n);
  g_autoptr (GradTensor) out = grad_tensor_new (device, GRAD_DTYPE_UINT8, shape, error);

  for (gint i = 0; i < n; i++) {
    GradAugmentation augmentation;

    grad_augmentation_draw (&augmentation, options, width, height, seed, samples[i], epoch);
    grad_augmentation_get_map (&augmentation, width, height, maps + i);
  }
  return out && grad_device_kernels (device)->augment->run (device, pictures, maps, out, error)
      ? g_steal_pointer (&out) : NULL;
}
