/* GradStreamer: what happens to a picture before a network is trained on it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

/* What may happen to pictures */
typedef struct
{
  gdouble horizontal_flip;      /* probability */
  gint padding;                 /* pixels of black around a picture, of which a crop is taken as large as it */
  gdouble translate;            /* largest shift, as a fraction of width and height */
  gdouble rotate;               /* largest angle, in degrees */
  gdouble erase;                /* probability */
} GradAugmentationOptions;

/* What happens to one: the crop, then the flip, the rotation clockwise around the centre, the shift, the box */
typedef struct
{
  gint crop_x, crop_y;          /* column and row of the picture where the crop begins */
  gboolean flip;
  gdouble angle;                /* degrees */
  gint shift_x, shift_y;        /* pixels to the right and down */
  gint left, top, right, bottom;        /* of what is erased, or all 0 */
} GradAugmentation;

GRAD_API void grad_augmentation_draw (GradAugmentation * augmentation,
    const GradAugmentationOptions * options, gint width, gint height, guint64 seed, guint sample,
    guint epoch);
GRAD_API void grad_augmentation_get_map (const GradAugmentation * augmentation, gint width,
    gint height, GradAugmentMap * map);
GRAD_API GradTensor *grad_augmentation_run (const GradAugmentationOptions * options,
    GradTensor * pictures, const guint32 * samples, guint64 seed, guint epoch, GError ** error);

G_END_DECLS
