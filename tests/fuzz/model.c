/* GradStreamer tests: any bytes as a model file
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What begins with '{' is a header, whose length is put in front, and after a NUL the weights; anything else a whole file. */
#include "fuzz.h"

#include "lib/model/gradmodel-private.h"

#include <math.h>
#include <string.h>

#define MAX_PICTURE 256         /* values of one that is classified */
#define MAX_CLASSES 256

static GBytes *
make_file (const guint8 * data, gsize size)
{
  const guint8 *end = size > 0 && *data == '{' ? memchr (data, '\0', size) : NULL;
  guint64 header = end ? (gsize) (end - data) : size;
  GByteArray *file = g_byte_array_new ();

  if (size > 0 && *data == '{')
    g_byte_array_append (file, (const guint8 *) &header, 8);
  g_byte_array_append (file, data, header);
  if (end != NULL)
    g_byte_array_append (file, end + 1, size - header - 1);
  return g_byte_array_free_to_bytes (file);
}

static GradDevice *
reference (void)
{
  static GradDevice *device;

  if (device == NULL)
    device = grad_device_open (&(GradDeviceSettings) {.name = "ref",.threads = 1}, NULL);
  return device;
}

static void
classify (GradClassifier * classifier)
{
  const GradModelInput *in = grad_model_get_input (grad_classifier_get_model (classifier));
  GradShape shape = GRAD_SHAPE (1, in->channels, in->height, in->width);
  gfloat pixels[MAX_PICTURE] = { 0 }, probabilities[MAX_CLASSES];
  gsize n = grad_shape_n_elements (&shape);
  g_autoptr (GradTensor) picture = NULL;
  g_autoptr (GError) error = NULL;

  if (n > MAX_PICTURE || grad_classifier_get_n_classes (classifier) > MAX_CLASSES)
    return;
  picture = grad_tensor_new (reference (), GRAD_DTYPE_FLOAT32, &shape, &error);
  g_assert_no_error (error);
  g_assert_true (grad_tensor_upload (picture, pixels, n * sizeof (gfloat), &error));
  grad_classifier_run (classifier, picture, probabilities, &error);
  g_assert_no_error (error);
}

int
LLVMFuzzerTestOneInput (const guint8 * data, gsize size)
{
  g_autoptr (GBytes) bytes = make_file (data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (GradModel) model = grad_model_parse (bytes, "model", &error);
  g_autoptr (GradClassifier) classifier = NULL;

  fuzz_check (model, error);
  if (model == NULL)
    return 0;
  classifier = grad_classifier_get (model, reference (), &error);
  fuzz_check (classifier, error);
  if (classifier != NULL)
    classify (classifier);
  return 0;
}
