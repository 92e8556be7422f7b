/* GradStreamer benchmark: training steps of the book's ResNet-18 in a plain loop, without elements
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: plain BATCH SIZE WARMUP COUNT
 * Prints milliseconds as a JSON array: of COUNT steps, after WARMUP that do not count. What feed does in a pipeline: a batch
 * of float pictures is uploaded, then forward, loss, backward, Adam.
 * environment: GRAD_PRECISION, GRAD_THREADS, and GRAD_DEVICE (cpu) */
#include "tests/network/model.h"

#include <stdio.h>
#include <stdlib.h>

#define CLASSES 10

static void
step (Model * m, GradShape shape, const gfloat * pictures, const gint * labels)
{
  g_autoptr (GradTensor) x = test_new (m->device, shape);
  g_autoptr (GradNode) root = NULL;

  g_assert_true (grad_tensor_upload (x, pictures, grad_shape_n_elements (&shape) * sizeof (gfloat),
          NULL));
  model_compute (m, x, labels, &root);
  model_update (m, root, 0.001);
}

int
main (int argc, char **argv)
{
  static const gint channels[] = { 64, 128, 256, 512 };
  const gchar *device = g_getenv ("GRAD_DEVICE");
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  g_autofree gfloat *pictures = NULL;
  g_autofree gint *labels = NULL;
  gint batch, size, warmup, count;
  GradShape shape;
  Model m;

  gst_init (&argc, &argv);
  if (argc != 5)
    g_error ("usage: plain BATCH SIZE WARMUP COUNT");
  batch = atoi (argv[1]);
  size = atoi (argv[2]);
  warmup = atoi (argv[3]);
  count = atoi (argv[4]);
  shape = GRAD_SHAPE (batch, 1, size, size);
  pictures = g_new (gfloat, grad_shape_n_elements (&shape));
  labels = g_new (gint, batch);
  for (gsize i = 0; i < grad_shape_n_elements (&shape); i++)
    pictures[i] = g_rand_double (random);
  for (gint i = 0; i < batch; i++)
    labels[i] = i % CLASSES;

  model_prepare (&m, device ? device : "cpu", channels, shape);
  for (gint i = 0; i < warmup + count; i++) {
    gint64 start = g_get_monotonic_time ();

    step (&m, shape, pictures, labels);
    if (i >= warmup)
      printf ("%s%.3f", i == warmup ? "[" : ", ", (g_get_monotonic_time () - start) / 1e3);
  }
  printf ("]\n");
  model_clear (&m);
  return EXIT_SUCCESS;
}
