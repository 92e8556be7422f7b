/* GradStreamer: an IDX data set (images and labels), and the order in which it is read
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graddataset-private.h"
#include "gradidx-private.h"
#include "../gradfile-private.h"
#include "../device/graddevice-private.h"
#include "../tensor/gradtensor-private.h"
#include "../model/gradrandom.h"

struct _GradDataset
{
  GObject parent;

  guint32 dims[3];              /* (N, H, W) */
  GBytes *images;               /* (N, H, W) */
  GBytes *labels;               /* (N), or NULL */

  GradDevice *device;           /* which was asked to take the images, not owned */
  GradTensor *on_device;        /* the images; NULL: it does not */
};

G_DEFINE_FINAL_TYPE (GradDataset, grad_dataset, G_TYPE_OBJECT);

static GBytes *
read_file (const gchar * location, guint rank, guint32 * dims, GError ** error)
{
  g_autoptr (GBytes) file = grad_file_map (location, error);

  return file ? grad_idx_parse (file, location, rank, dims, error) : NULL;
}

/**
 * grad_dataset_open_idx:
 * @images: (type filename): IDX file of unsigned bytes with three dimensions, plain or gzip
 * @labels: (nullable) (type filename): IDX file of unsigned bytes with one dimension
 * @error: location of a #GError
 *
 * Opens a data set. Plain files are mapped, so that only what is looked at needs memory; do not
 * change them in place while they are in use.
 *
 * Returns: (transfer full) (nullable): the data set, or %NULL with %GRAD_ERROR_IO when a file
 *   cannot be read and %GRAD_ERROR_FILE when its contents are wrong or there are not as many labels
 *   as images
 */
GradDataset *
grad_dataset_open_idx (const gchar * images, const gchar * labels, GError ** error)
{
  g_autoptr (GradDataset) self = g_object_new (GRAD_TYPE_DATASET, NULL);
  guint32 n_labels = 0;

  self->images = read_file (images, 3, self->dims, error);
  if (self->images == NULL)
    return NULL;
  if (labels != NULL) {
    self->labels = read_file (labels, 1, &n_labels, error);
    if (self->labels == NULL)
      return NULL;
    if (n_labels != self->dims[0]) {
      g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s has %u images, but %s has %u labels: name the "
          "labels of these images",
          images, self->dims[0], labels, n_labels);
      return NULL;
    }
  }
  return g_steal_pointer (&self);
}

/**
 * grad_dataset_get_n_samples:
 * @dataset: a data set
 *
 * Returns: number of images, at least 1
 */
guint
grad_dataset_get_n_samples (GradDataset * dataset)
{
  return dataset->dims[0];
}

/**
 * grad_dataset_get_width:
 * @dataset: a data set
 *
 * Returns: width of each image in pixels
 */
gint
grad_dataset_get_width (GradDataset * dataset)
{
  return dataset->dims[2];
}

/**
 * grad_dataset_get_height:
 * @dataset: a data set
 *
 * Returns: height of each image in pixels
 */
gint
grad_dataset_get_height (GradDataset * dataset)
{
  return dataset->dims[1];
}

/**
 * grad_dataset_has_labels:
 * @dataset: a data set
 *
 * Returns: whether it was opened with labels
 */
gboolean
grad_dataset_has_labels (GradDataset * dataset)
{
  return dataset->labels != NULL;
}

/**
 * grad_dataset_get_image: (skip)
 * @dataset: a data set
 * @index: less than grad_dataset_get_n_samples()
 *
 * Returns: (transfer none): height rows of width grey values
 */
const guint8 *
grad_dataset_get_image (GradDataset * dataset, guint index)
{
  const guint8 *images = g_bytes_get_data (dataset->images, NULL);

  g_return_val_if_fail (index < dataset->dims[0], NULL);
  return images + (gsize) index * dataset->dims[1] * dataset->dims[2];
}

/**
 * grad_dataset_get_label:
 * @dataset: a data set
 * @index: less than grad_dataset_get_n_samples()
 *
 * Returns: the label of that image, or -1 when the data set has none
 */
gint
grad_dataset_get_label (GradDataset * dataset, guint index)
{
  g_return_val_if_fail (index < dataset->dims[0], -1);
  if (dataset->labels == NULL)
    return -1;
  return ((const guint8 *) g_bytes_get_data (dataset->labels, NULL))[index];
}

/**
 * grad_dataset_fill_order: (skip)
 * @dataset: a data set
 * @shuffle: whether to shuffle
 * @seed: seed of the run
 * @epoch: which epoch
 * @order: space for grad_dataset_get_n_samples() numbers
 *
 * Says which image comes when in an epoch: @order[0] is read first. The same seed and epoch give
 * the same order; without @shuffle it is that of the file.
 */
void
grad_dataset_fill_order (GradDataset * dataset, gboolean shuffle, guint64 seed, guint epoch,
    guint32 * order)
{
  guint n = dataset->dims[0];
  GradRandom random;

  for (guint i = 0; i < n; i++)
    order[i] = i;
  if (!shuffle)
    return;
  grad_random_init (&random, seed, "shuffle", NULL, epoch);
  for (guint i = n - 1; i > 0; i--) {   /* Fisher-Yates */
    guint j = grad_random_below (&random, i + 1);
    guint32 other = order[j];

    order[j] = order[i];
    order[i] = other;
  }
}

static GradTensor *
upload (GradDataset * self, GradDevice * device)
{
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (device);
  GradShape shape = GRAD_SHAPE ((gint) self->dims[0], 1, (gint) self->dims[1], (gint) self->dims[2]);
  g_autoptr (GError) why = NULL;
  g_autoptr (GradTensor) tensor = NULL;
  gsize size;
  gconstpointer images = g_bytes_get_data (self->images, &size);

  if (klass->get_data_room == NULL || !grad_shape_is_valid (&shape) || size > klass->get_data_room (device))
    return NULL;
  tensor = grad_tensor_new_lasting (device, GRAD_DTYPE_UINT8, &shape, &why);
  if (tensor != NULL && grad_tensor_upload (tensor, images, size, &why))
    return g_steal_pointer (&tensor);
  GST_INFO ("pictures are read from the host: %s", why->message);
  return NULL;
}

GradTensor *
grad_dataset_peek_on_device (GradDataset * dataset, GradDevice * device)
{
  if (dataset->device != device) {
    g_clear_pointer (&dataset->on_device, grad_tensor_unref);
    dataset->device = device;
    dataset->on_device = upload (dataset, device);
  }
  return dataset->on_device;
}

static void
grad_dataset_finalize (GObject * object)
{
  GradDataset *self = GRAD_DATASET (object);

  g_clear_pointer (&self->on_device, grad_tensor_unref);
  g_clear_pointer (&self->images, g_bytes_unref);
  g_clear_pointer (&self->labels, g_bytes_unref);
  G_OBJECT_CLASS (grad_dataset_parent_class)->finalize (object);
}

static void
grad_dataset_class_init (GradDatasetClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = grad_dataset_finalize;
}

static void
grad_dataset_init (GradDataset * self)
{
}
