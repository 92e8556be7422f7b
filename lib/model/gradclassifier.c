/* GradStreamer: a network that classifies, without a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All layers run in one job of the device: training, which waits for its turn, cannot change parameters half way. */
#include "gradclassifier.h"
#include "gradlayerchain-private.h"
#include "gradmodel-private.h"
#include "gradparameter-private.h"

#include <math.h>

struct _GradClassifier
{
  GObject parent;

  GradModel *model;
  GradDevice *device;
  GradParameterStore *store;
  GradLayerChain *chain;
  guint n_classes;
  guint64 version;
  GradNetwork *training;        /* whose parameters are copied to ours; NULL: they are those of a file */
};

G_DEFINE_FINAL_TYPE (GradClassifier, grad_classifier, G_TYPE_OBJECT);

/**
 * grad_softmax: (skip)
 * @logits: of shape (N, K)
 * @n: samples
 * @k: classes
 * @probabilities: where they go, of the same shape; may be @logits
 */
void
grad_softmax (const gfloat * logits, gsize n, gsize k, gfloat * probabilities)
{
  for (gsize i = 0; i < n; i++, logits += k, probabilities += k) {
    gdouble largest = logits[0], sum = 0;

    for (gsize j = 1; j < k; j++)
      largest = MAX (largest, logits[j]);
    for (gsize j = 0; j < k; j++)
      sum += exp (logits[j] - largest);
    for (gsize j = 0; j < k; j++)
      probabilities[j] = exp (logits[j] - largest) / sum;
  }
}

static gboolean
build (GradClassifier * self, GError ** error)
{
  const GradModelInput *in = &self->model->input;
  GPtrArray *layers = grad_model_create_layers (self->model, error);
  GradShape pictures, output;

  if (layers == NULL)
    return FALSE;
  self->chain = grad_layer_chain_new (layers, self->device, self->store);
  if (in->width == 0 || in->channels == 0) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "the model does not say what pictures it "
        "wants: train it with gradresize and a layer of convolutions in front");
    return FALSE;
  }
  pictures = GRAD_SHAPE (1, in->channels, in->height, in->width);
  if (grad_shape_n_elements (&pictures) > GRAD_LAYER_CHAIN_MAX_ELEMENTS) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "the model wants pictures of %d channels and %dx%d pixels: "
        "more than %d values are not taken", in->channels, in->width, in->height,
        GRAD_LAYER_CHAIN_MAX_ELEMENTS);
    return FALSE;
  }
  if (!grad_layer_chain_prepare (self->chain, &pictures, &output, error))
    return FALSE;
  if (output.rank != 2) {
    g_autofree gchar *text = grad_shape_to_string (&output);

    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "the network makes %s of a picture, expected "
        "a number for each class: it has to end with gradfc", text);
    return FALSE;
  }
  self->n_classes = output.dims[1];
  return TRUE;
}

/* store: where the parameters are, or take their values from when they are made */
static GradClassifier *
classifier_new (GradModel * model, GradDevice * device, GradParameterStore * store, GError ** error)
{
  g_autoptr (GradClassifier) self = g_object_new (GRAD_TYPE_CLASSIFIER, NULL);

  self->model = g_object_ref (model);
  self->device = g_object_ref (device);
  self->store = g_object_ref (store);
  self->version = model->steps;
  return build (self, error) ? g_steal_pointer (&self) : NULL;
}

/* ---- those that there are, so that a device has the weights of a file but once */

G_LOCK_DEFINE_STATIC (table);
static GSList *table;           /* of GWeakRef */

static gboolean
same_file (const struct stat *a, const struct stat *b)
{
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size
      && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* With the lock; forgets those that have gone. */
static GradClassifier *
find (GradModel * model, GradDevice * device)
{
  for (GSList * l = table, *next; l != NULL; l = next) {
    GWeakRef *weak = l->data;
    g_autoptr (GradClassifier) found = g_weak_ref_get (weak);

    next = l->next;
    if (found == NULL) {
      table = g_slist_delete_link (table, l);
      g_weak_ref_clear (weak);
      g_free (weak);
    } else if (found->device == device && same_file (&found->model->info, &model->info))
      return g_steal_pointer (&found);
  }
  return NULL;
}

static GradClassifier *
make (GradModel * model, GradDevice * device, GError ** error)
{
  g_autoptr (GradParameterStore) store = grad_parameter_store_new ();
  GradClassifier *self;

  grad_parameter_store_set_file (store, model->location, model->file);
  self = classifier_new (model, device, store, error);
  if (self != NULL) {
    GWeakRef *weak = g_new (GWeakRef, 1);

    /* every parameter has its values */
    grad_parameter_store_set_file (store, NULL, NULL);
    g_clear_object (&model->file);
    g_weak_ref_init (weak, self);
    table = g_slist_prepend (table, weak);
  }
  return self;
}

/**
 * grad_classifier_get:
 * @model: a model that was opened just now
 * @device: where to compute
 * @error: location of a #GError
 *
 * Loads the weights of a model. Whoever asks for the same file on the same device, and the file has not changed, gets
 * the same classifier, so that several streams share the weights. The model lets go of its file, which is in memory.
 *
 * Returns: (transfer full) (nullable): the classifier, or %NULL with %GRAD_ERROR_FILE or %GRAD_ERROR_SHAPE when weights are
 *   missing or do not fit the network or each other, or with the device's error
 */
GradClassifier *
grad_classifier_get (GradModel * model, GradDevice * device, GError ** error)
{
  GradClassifier *self;

  g_return_val_if_fail (model->file != NULL, NULL);

  G_LOCK (table);
  self = find (model, device);
  if (self == NULL)
    self = make (model, device, error);
  G_UNLOCK (table);
  return self;
}

/**
 * grad_classifier_new_live:
 * @network: a network in training that has a model: grad_network_get_model()
 * @device: the device that it is trained on
 * @error: location of a #GError
 *
 * Makes a classifier of a network that still learns, with parameters of its own, which grad_classifier_refresh() brings up to
 * date: they are random, and the version 0, until then. For one thread at a time.
 *
 * Returns: (transfer full) (nullable): the classifier, or %NULL as grad_classifier_get()
 */
GradClassifier *
grad_classifier_new_live (GradNetwork * network, GradDevice * device, GError ** error)
{
  g_autoptr (GradParameterStore) store = grad_parameter_store_new ();
  g_autoptr (GradModel) model = grad_network_get_model (network);
  GradClassifier *self = classifier_new (model, device, store, error);

  if (self != NULL)
    self->training = g_object_ref (network);
  return self;
}

/**
 * grad_classifier_get_network:
 * @classifier: a classifier
 *
 * Returns: (transfer none) (nullable): the network in training whose parameters it copies; %NULL for a file's
 */
GradNetwork *
grad_classifier_get_network (GradClassifier * classifier)
{
  return classifier->training;
}

/**
 * grad_classifier_refresh:
 * @classifier: of grad_classifier_new_live()
 * @error: location of a #GError
 *
 * Takes over the parameters that the network has after its last step. While that is half done, they stay as they are.
 *
 * Returns: %FALSE as grad_network_copy_parameters()
 */
gboolean
grad_classifier_refresh (GradClassifier * classifier, GError ** error)
{
  guint64 version = classifier->version;
  gboolean ok;

  g_return_val_if_fail (classifier->training != NULL, FALSE);

  ok = grad_network_copy_parameters (classifier->training, classifier->store, &classifier->version, error);
  if (!ok || classifier->version != version)
    grad_layer_chain_parameters_changed (classifier->chain);
  return ok;
}

/**
 * grad_classifier_get_model:
 * @classifier: a classifier
 *
 * Returns: (transfer none): what it was made of first
 */
GradModel *
grad_classifier_get_model (GradClassifier * classifier)
{
  return classifier->model;
}

/**
 * grad_classifier_get_n_classes:
 * @classifier: a classifier
 *
 * Returns: how many classes it tells apart
 */
guint
grad_classifier_get_n_classes (GradClassifier * classifier)
{
  return classifier->n_classes;
}

/**
 * grad_classifier_get_version:
 * @classifier: a classifier
 *
 * Returns: updates that the weights have had
 */
guint64
grad_classifier_get_version (GradClassifier * classifier)
{
  return classifier->version;
}

typedef struct
{
  GradClassifier *self;
  GradTensor *pictures, *logits;
} Run;

static gboolean
run (gpointer data, GError ** error)
{
  Run *r = data;

  r->logits = grad_layer_chain_run (r->self->chain, r->pictures, error);
  if (r->logits != NULL)
    grad_tensor_fetch (r->logits);      /* its download is not to wait for what training asks for meanwhile */
  return r->logits != NULL;
}

/**
 * grad_classifier_run: (skip)
 * @classifier: a classifier
 * @pictures: float32 of shape (N, C, H, W) on its device, resized and normalised as the model's input says
 * @probabilities: (out caller-allocates): space for (N, K) values, K as grad_classifier_get_n_classes()
 * @error: location of a #GError
 *
 * Computes the probability of each class, between two updates of what is being trained on the device. May be called from
 * several threads.
 *
 * Returns: %FALSE with %GRAD_ERROR_SHAPE when @pictures do not fit the network, or with the device's error
 */
gboolean
grad_classifier_run (GradClassifier * classifier, GradTensor * pictures, gfloat * probabilities,
    GError ** error)
{
  Run r = { classifier, pictures, NULL };
  gsize n = grad_tensor_get_shape (pictures)->dims[0], k = classifier->n_classes;
  gboolean ok;

  g_return_val_if_fail (grad_tensor_get_device (pictures) == classifier->device, FALSE);
  g_return_val_if_fail (grad_tensor_get_dtype (pictures) == GRAD_DTYPE_FLOAT32, FALSE);

  if (!grad_device_call (classifier->device, TRUE, run, &r, error))
    return FALSE;
  ok = grad_tensor_download (r.logits, probabilities, n * k * sizeof (gfloat), error);
  if (ok)
    grad_softmax (probabilities, n, k, probabilities);
  grad_tensor_unref (r.logits);
  return ok;
}

/**
 * grad_classifier_run_bytes: (rename-to grad_classifier_run)
 * @classifier: a classifier
 * @pictures: as for grad_classifier_run()
 * @error: location of a #GError
 *
 * Computes the probability of each class.
 *
 * Returns: (transfer full) (nullable): floats of shape (N, K), or %NULL with the error of grad_classifier_run()
 */
GBytes *
grad_classifier_run_bytes (GradClassifier * classifier, GradTensor * pictures, GError ** error)
{
  gsize size = grad_tensor_get_shape (pictures)->dims[0] * (gsize) classifier->n_classes * sizeof (gfloat);
  g_autofree gfloat *probabilities = g_malloc (size);

  return grad_classifier_run (classifier, pictures, probabilities, error)
      ? g_bytes_new_take (g_steal_pointer (&probabilities), size) : NULL;
}

static void
grad_classifier_finalize (GObject * object)
{
  GradClassifier *self = GRAD_CLASSIFIER (object);

  grad_layer_chain_free (self->chain);
  g_clear_object (&self->store);
  g_clear_object (&self->training);
  g_clear_object (&self->model);
  g_clear_object (&self->device);
  G_OBJECT_CLASS (grad_classifier_parent_class)->finalize (object);
}

static void
grad_classifier_class_init (GradClassifierClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = grad_classifier_finalize;
}

static void
grad_classifier_init (GradClassifier * self)
{
}
