/* GradStreamer: an IDX data set (images and labels), and the order in which it is read
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../gradtypes.h"

G_BEGIN_DECLS

#define GRAD_TYPE_DATASET (grad_dataset_get_type ())
GRAD_API G_DECLARE_FINAL_TYPE (GradDataset, grad_dataset, GRAD, DATASET, GObject)

/* images: IDX file of rank 3, uint8 (magic 0x00000803); labels: of rank 1, uint8 (0x00000801), or NULL.
 * Plain or gzip, told apart by their contents. */
GRAD_API GradDataset *grad_dataset_open_idx (const gchar * images, const gchar * labels,
    GError ** error);
GRAD_API guint grad_dataset_get_n_samples (GradDataset * dataset);
GRAD_API gint grad_dataset_get_width (GradDataset * dataset);
GRAD_API gint grad_dataset_get_height (GradDataset * dataset);
GRAD_API gboolean grad_dataset_has_labels (GradDataset * dataset);
GRAD_API const guint8 *grad_dataset_get_image (GradDataset * dataset, guint index);
GRAD_API gint grad_dataset_get_label (GradDataset * dataset, guint index);

/* order[i] = index of the i-th sample: a Fisher-Yates shuffle keyed by (seed, epoch), or identity */
GRAD_API void grad_dataset_fill_order (GradDataset * dataset, gboolean shuffle, guint64 seed,
    guint epoch, guint32 * order);

G_END_DECLS
