/* GradStreamer tests: any text as the network of a model
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "lib/base/gradlayer.h"

int
LLVMFuzzerTestOneInput (const guint8 * data, gsize size)
{
  g_autofree gchar *text = g_strndup ((const gchar *) data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (GradModel) model = grad_model_new (text, NULL, 1, &error);
  g_autoptr (GPtrArray) layers = NULL;

  fuzz_check (model, error);
  if (model == NULL)
    return 0;
  layers = grad_model_create_layers (model, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (layers->len, >, 0);
  for (guint i = 0; i < layers->len; i++)
    g_assert_true (GRAD_IS_LAYER (layers->pdata[i]));
  return 0;
}
