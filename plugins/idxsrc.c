/* GradStreamer: batches of pictures from IDX files
 * SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * SECTION:element-idxsrc
 * @title: idxsrc
 * @short_description: reads IDX files, as MNIST and Fashion-MNIST come in
 *
 * Reads pictures (rank 3, uint8) and labels (rank 1, uint8), plain or gzip, and makes batches (N, 1, H, W) uint8.
 * For training, every epoch is one pass over the shuffled training set and one over the test set; without an
 * optimizer in the pipeline, `epochs` passes, 1 by default, over `location` in the order of the file.
 *
 * The last batch of a pass is smaller when the set is no multiple of `batch-size`. Timestamps count samples, 1 ms each.
 *
 * ## Example
 * |[
 * gst-launch-1.0 -v idxsrc location=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz batch-size=100 ! fakesink
 * ]|
 */
#include "config.h"
#include "lib/base/gradsource.h"
#include "gradstreamerelements.h"

#define GRAD_TYPE_IDX_SRC (grad_idx_src_get_type ())
G_DECLARE_FINAL_TYPE (GradIdxSrc, grad_idx_src, GRAD, IDX_SRC, GradSource)

struct _GradIdxSrc
{
  GradSource parent;

  /* properties, object lock */
  gchar *location, *labels, *test_location, *test_labels;
};

G_DEFINE_FINAL_TYPE (GradIdxSrc, grad_idx_src, GRAD_TYPE_SOURCE);
GST_ELEMENT_REGISTER_DEFINE (idxsrc, "idxsrc", GST_RANK_NONE, GRAD_TYPE_IDX_SRC);

/* Without a location, that is what is missing first. */
static gboolean
grad_idx_src_has_labels (GradSource * source)
{
  gboolean has;

  GST_OBJECT_LOCK (source);
  has = GRAD_IDX_SRC (source)->labels || !GRAD_IDX_SRC (source)->location;
  GST_OBJECT_UNLOCK (source);
  return has;
}

static gboolean
open_set (const gchar * location, const gchar * labels, const gchar * missing,
    GradDataset ** set, GError ** error)
{
  if (missing == NULL)
    *set = grad_dataset_open_idx (location, labels, error);
  else
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "set %s", missing);
  return *set != NULL;
}

static gboolean
grad_idx_src_open (GradSource * source, gboolean train, GradDataset ** data, GradDataset ** test,
    GError ** error)
{
  GradIdxSrc *self = GRAD_IDX_SRC (source);
  g_autofree gchar *location = NULL, *labels = NULL, *test_location = NULL, *test_labels = NULL;

  GST_OBJECT_LOCK (self);
  location = g_strdup (self->location);
  labels = g_strdup (self->labels);
  test_location = g_strdup (self->test_location);
  test_labels = g_strdup (self->test_labels);
  GST_OBJECT_UNLOCK (self);

  return open_set (location, labels, location ? NULL : "location to an IDX file with pictures", data,
      error)
      && (!train || test_location == NULL
      || open_set (test_location, test_labels,
          test_labels ? NULL : "test-labels to the file with the labels of test-location", test, error));
}

static void
grad_idx_src_finalize (GObject * object)
{
  GradIdxSrc *self = GRAD_IDX_SRC (object);

  g_free (self->location);
  g_free (self->labels);
  g_free (self->test_location);
  g_free (self->test_labels);
  G_OBJECT_CLASS (grad_idx_src_parent_class)->finalize (object);
}

static void
grad_idx_src_class_init (GradIdxSrcClass * klass)
{
  static const struct
  {
    guint offset;
    const gchar *name, *nick, *blurb;
  } strings[] = {
    {G_STRUCT_OFFSET (GradIdxSrc, location), "location", "Picture file",
        "IDX file with the pictures, plain or gzip"},
    {G_STRUCT_OFFSET (GradIdxSrc, labels), "labels", "Label file",
        "IDX file with the labels of location"},
    {G_STRUCT_OFFSET (GradIdxSrc, test_location), "test-location", "Test picture file",
        "IDX file with pictures to evaluate after each epoch of training"},
    {G_STRUCT_OFFSET (GradIdxSrc, test_labels), "test-labels", "Test label file",
        "IDX file with the labels of test-location"},
  };
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  grad_element_class_init_properties (object_class);
  object_class->finalize = grad_idx_src_finalize;
  for (guint i = 0; i < G_N_ELEMENTS (strings); i++)
    g_object_class_install_property (object_class, strings[i].offset,
        g_param_spec_string (strings[i].name, strings[i].nick, strings[i].blurb, NULL,
            GRAD_PARAM_STATIC));

  gst_element_class_set_static_metadata (GST_ELEMENT_CLASS (klass), "IDX source", "Source/Tensor",
      "Reads batches of pictures and their labels from IDX files (MNIST, Fashion-MNIST)",
      PACKAGE_AUTHOR);
  GRAD_SOURCE_CLASS (klass)->has_labels = grad_idx_src_has_labels;
  GRAD_SOURCE_CLASS (klass)->open = grad_idx_src_open;
}

static void
grad_idx_src_init (GradIdxSrc * self)
{
}
