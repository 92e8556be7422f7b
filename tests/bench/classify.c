/* GradStreamer benchmark: what it takes to classify pictures that are on the device, without a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: classify MODEL BATCH WARMUP COUNT
 * Prints milliseconds as a JSON array: of COUNT calls, after WARMUP that do not count, from pictures on the device to
 * probabilities on the host. environment: GRAD_DEVICE, GRAD_PRECISION, GRAD_THREADS */
#include "lib/gradstreamer.h"

#include <stdio.h>
#include <stdlib.h>

static GradTensor *
make_pictures (GradModel * model, GradDevice * device, gint batch, GError ** error)
{
  const GradModelInput *in = grad_model_get_input (model);
  GradShape shape = GRAD_SHAPE (batch, in->channels, in->height, in->width);
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  gsize n = grad_shape_n_elements (&shape);
  g_autofree gfloat *values = g_new (gfloat, n);
  g_autoptr (GradTensor) pictures = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &shape, error);

  for (gsize i = 0; i < n; i++)
    values[i] = g_rand_double (random);
  return pictures && grad_tensor_upload (pictures, values, n * sizeof (gfloat), error)
      ? g_steal_pointer (&pictures) : NULL;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GradModel) model = NULL;
  g_autoptr (GradDevice) device = NULL;
  g_autoptr (GradClassifier) classifier = NULL;
  g_autoptr (GradTensor) pictures = NULL;
  g_autofree gfloat *probabilities = NULL;
  gint batch, warmup, count;

  gst_init (&argc, &argv);
  if (argc != 5)
    g_error ("usage: classify MODEL BATCH WARMUP COUNT");
  batch = atoi (argv[2]);
  warmup = atoi (argv[3]);
  count = atoi (argv[4]);
  if (!(model = grad_model_open (argv[1], &error))
      || !(device = grad_device_open (&(GradDeviceSettings) {.name = "auto"}, &error))
      || !(classifier = grad_classifier_get (model, device, &error))
      || !(pictures = make_pictures (model, device, batch, &error)))
    g_error ("%s", error->message);
  probabilities = g_new (gfloat, batch * grad_classifier_get_n_classes (classifier));
  for (gint i = 0; i < warmup + count; i++) {
    GstClockTime start = gst_util_get_timestamp ();

    if (!grad_classifier_run (classifier, pictures, probabilities, &error))
      g_error ("%s", error->message);
    if (i >= warmup)
      printf ("%s%.4f", i == warmup ? "[" : ", ", (gst_util_get_timestamp () - start) / 1e6);
  }
  printf ("]\n");
  return EXIT_SUCCESS;
}
