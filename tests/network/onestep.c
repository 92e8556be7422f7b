/* GradStreamer tests: one step of the book's network at its full width, for network/torch-parity
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: onestep DEVICE IN OUT
 *   DEVICE  as in TEST_DEVICES
 *   IN      safetensors: pictures x (N, 1, H, W) and their labels, the number of updates before,
 *           the model, and the moments m/NAME and v/NAME of what is trained
 *   OUT     safetensors: loss before the update, gradients grad/NAME, the model after the update */
#include "model.h"

#define LEARNING_RATE 1e-3

static const GradSafetensorsEntry *
find (GradSafetensors * file, const gchar * prefix, const gchar * name, const gchar * dtype)
{
  g_autofree gchar *full = g_strconcat (prefix, name, NULL);
  const GradSafetensorsEntry *entry = grad_safetensors_find (file, full);

  if (entry == NULL || !g_str_equal (entry->dtype, dtype))
    g_error ("there is no %s of type %s", full, dtype);
  return entry;
}

static GradTensor *
read_plain (Model * m, const GradSafetensorsEntry * entry, const GradShape * shape)
{
  GradTensor *tensor = test_new_parameter (m->device, *shape);

  g_assert_true (grad_tensor_upload (tensor, entry->data, entry->size, NULL));
  return tensor;
}

static void
read_model (Model * m, GradSafetensors * file, const gchar * location)
{
  g_autoptr (GPtrArray) list = model_list_trainable (m);
  g_autoptr (GError) error = NULL;

  grad_parameter_store_load (m->network->store, location, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < list->len; i++) {
    GradParameter *p = list->pdata[i];

    p->m = read_plain (m, find (file, "m/", p->name, "F32"), &p->shape);
    p->v = read_plain (m, find (file, "v/", p->name, "F32"), &p->shape);
    memcpy (&p->count, find (file, "", "updates", "I64")->data, sizeof p->count);
  }
}

/* Mean loss before the update */
static gdouble
train (Model * m, GradSafetensors * file, const GradShape * shape)
{
  const GradSafetensorsEntry *labels = find (file, "", "labels", "I64");
  g_autofree gint *classes = g_new (gint, shape->dims[0]);
  g_autoptr (GradTensor) x = test_new (m->device, *shape);
  g_autoptr (GradNode) root = NULL;
  const GradSafetensorsEntry *pictures = find (file, "", "x", "F32");
  gdouble loss;

  g_assert_cmpuint (labels->size, ==, shape->dims[0] * sizeof (gint64));
  for (gint i = 0; i < shape->dims[0]; i++) {
    gint64 label;

    memcpy (&label, (const guint8 *) labels->data + i * sizeof label, sizeof label);
    classes[i] = label;
  }
  g_assert_true (grad_tensor_upload (x, pictures->data, pictures->size, NULL));
  loss = model_compute (m, x, classes, &root);
  model_update (m, root, LEARNING_RATE);
  return loss;
}

static void
append (GArray * entries, const gchar * prefix, GradParameter * p, GradTensor * tensor)
{
  GradSafetensorsEntry entry = {.name = g_strconcat (prefix, p->name, NULL),.dtype = "F32",
    .rank = p->shape.rank,.size = grad_shape_n_elements (&p->shape) * sizeof (gfloat),
    .data = test_download (tensor)
  };

  for (guint i = 0; i < entry.rank; i++)
    entry.dims[i] = p->shape.dims[i];
  g_array_append_val (entries, entry);
}

static void
write_all (Model * m, gdouble loss, const gchar * location)
{
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (GradSafetensorsEntry));
  GradSafetensorsEntry first = {.name = "loss",.dtype = "F64",.data = &loss,.size = sizeof loss };
  g_autoptr (GError) error = NULL;

  g_array_append_val (entries, first);
  for (guint i = 0; i < grad_parameter_store_get_n_parameters (m->network->store); i++) {
    GradParameter *p = grad_parameter_store_get_parameter (m->network->store, i);

    if (p->value != NULL)
      append (entries, "", p, p->value);
    if (p->grad != NULL)
      append (entries, "grad/", p, p->grad);
  }
  grad_safetensors_write (location, (GradSafetensorsEntry *) entries->data, entries->len, NULL,
      &error);
  g_assert_no_error (error);
  for (guint i = 1; i < entries->len; i++) {
    g_free ((gpointer) g_array_index (entries, GradSafetensorsEntry, i).name);
    g_free ((gpointer) g_array_index (entries, GradSafetensorsEntry, i).data);
  }
}

int
main (int argc, char **argv)
{
  static const gint channels[] = { 64, 128, 256, 512 };
  g_autoptr (GradSafetensors) file = NULL;
  g_autoptr (GError) error = NULL;
  const GradSafetensorsEntry *x;
  GradShape shape;
  Model m;

  gst_init (&argc, &argv);
  g_assert_cmpint (argc, ==, 4);
  file = grad_safetensors_open (argv[2], &error);
  g_assert_no_error (error);
  x = find (file, "", "x", "F32");
  shape = GRAD_SHAPE (x->dims[0], 1, x->dims[2], x->dims[3]);
  model_prepare (&m, argv[1], channels, shape);
  read_model (&m, file, argv[2]);
  write_all (&m, train (&m, file, &shape), argv[3]);
  model_clear (&m);
  return 0;
}
