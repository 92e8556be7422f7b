/* Tests of lib/autograd/gradmeasure: a step whose gradient is not finite leaves no trace, whenever that is found
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testmodel.h"
#include "lib/autograd/gradnetwork-private.h"

#include <math.h>

/* A convolution with a norm: it has statistics and a counter, too. */
static void
open_model (TestModel * m, const gchar * device)
{
  test_model_init (m, test_device (device), grad_conv_unit_new ("conv1", "bn1", 4, 3, 1, 1, FALSE,
          FALSE, TRUE), NULL, 1, &GRAD_SHAPE (2, 3, 5, 5), 1);
}

/* Copies of all tensors that a step may change, and the number of batches that were counted */
static GPtrArray *
get_state (TestModel * m, gint64 * count)
{
  GPtrArray *state = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_tensor_unref);

  for (guint i = 0; i < grad_parameter_store_get_n_parameters (m->network->store); i++) {
    GradParameter *p = grad_parameter_store_get_parameter (m->network->store, i);
    GradTensor *tensors[] = { p->own, p->value, p->m, p->v, p->average };

    if (p->kind == GRAD_PARAMETER_COUNTER)
      *count = p->count;
    for (guint k = 0; k < G_N_ELEMENTS (tensors); k++)
      if (tensors[k] != NULL)
        g_ptr_array_add (state, test_duplicate (tensors[k]));
  }
  return state;
}

static void
assert_state (TestModel * m, GPtrArray * state, gint64 count)
{
  gint64 now = -1;
  g_autoptr (GPtrArray) got = get_state (m, &now);

  g_assert_cmpint (now, ==, count);
  g_assert_cmpuint (got->len, ==, state->len);
  for (guint i = 0; i < got->len; i++)
    test_assert_same (got->pdata[i], state->pdata[i]);
}

static void
spoil (TestModel * m, const gchar * name)
{
  GradTensor *grad = grad_parameter_store_find (m->network->store, name)->grad;
  g_autofree gfloat *values = test_download (grad);

  values[0] = NAN;
  g_assert_true (grad_tensor_upload (grad, values, grad->memory.maxsize, NULL));
}

static gboolean
measure (TestModel * m, GError ** error)
{
  return grad_network_measure (m->network, NULL, 0, error);
}

static void
finish (TestModel * m)
{
  static const GradAdamOptions adam = GRAD_ADAM_DEFAULTS;

  g_assert_true (grad_network_update_adam (m->network, &adam, NULL));
  test_model_commit (m);
}

static void
step (TestModel * m)
{
  test_model_backward (m, FALSE, FALSE);
  g_assert_true (measure (m, NULL));
  finish (m);
}

static void
assert_not_finite (GError ** error, const gchar * text)
{
  g_assert_error (*error, GRAD_ERROR, GRAD_ERROR_NOT_FINITE);
  if (strstr ((*error)->message, text) == NULL)
    g_error ("\"%s\" does not say \"%s\"", (*error)->message, text);
  g_clear_error (error);
}

static void
test_at_once (void)
{
  for (const gchar * const *device = test_devices (); *device; device++) {
    TestModel m;
    g_autoptr (GPtrArray) state = NULL;
    g_autoptr (GError) error = NULL;
    gint64 count;

    open_model (&m, *device);
    grad_network_set_average (m.network, 0.5);
    step (&m);
    state = get_state (&m, &count);
    test_model_backward (&m, FALSE, FALSE);
    spoil (&m, "bn1.weight");
    spoil (&m, "conv1.weight");
    if (measure (&m, &error)) { /* a GPU may not be as far */
      finish (&m);
      g_assert_false (grad_network_settle (m.network, &error));
    } else
      grad_network_discard (m.network);
    assert_not_finite (&error, "step 2: the gradient of bn1.weight of ");
    g_assert_cmpuint (grad_network_get_n_updates (m.network), ==, 1);
    assert_state (&m, state, count);
    step (&m);                  /* what is over is forgotten */
    g_assert_true (grad_network_settle (m.network, &error));
    g_assert_cmpuint (grad_network_get_n_updates (m.network), ==, 2);
    test_model_clear (&m);
  }
}

/* A device that is behind does the steps after that one, too, and they change nothing. */
static void
test_later (void)
{
  for (const gchar * const *device = test_devices (); *device; device++) {
    TestModel m;
    guint (*slow) (gboolean);
    g_autoptr (GPtrArray) state = NULL;
    g_autoptr (GError) error = NULL;
    gint64 count;

    if (!g_str_has_prefix (*device, "cuda"))
      continue;
    open_model (&m, *device);
    slow = test_cuda_symbol ("emulated_slow");
    step (&m);
    state = get_state (&m, &count);
    test_model_backward (&m, FALSE, FALSE);
    spoil (&m, "conv1.weight");
    if (slow != NULL) {
      slow (TRUE);
      g_assert_true (measure (&m, &error));
      finish (&m);
      slow (FALSE);
      g_assert_cmpuint (grad_network_get_n_updates (m.network), ==, 2);
      test_model_backward (&m, FALSE, FALSE);
      g_assert_false (measure (&m, &error));
      assert_not_finite (&error, "step 2: the gradient of conv1.weight of ");
      g_assert_cmpuint (grad_network_get_n_updates (m.network), ==, 1);
      assert_state (&m, state, count);
    } else
      g_test_message ("real GPUs cannot be told to be slow");
    grad_network_discard (m.network);
    test_model_clear (&m);
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/measure/at-once", test_at_once);
  g_test_add_func ("/measure/later", test_later);
  return g_test_run ();
}
